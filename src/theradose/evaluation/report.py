"""Put a study's results into one page that needs no network, and a card for each of its models."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from theradose.evaluation.card import card_file, model_card
from theradose.evaluation.figures import words
from theradose.evaluation.report_cohort import FOLD_ROWS, cohort_section, data_section
from theradose.evaluation.report_doses import doses_section, recovery_frame, recovery_section
from theradose.evaluation.report_floor import floor_section
from theradose.evaluation.report_methods import methods_text, provenance_section
from theradose.evaluation.report_overview import overview_section
from theradose.evaluation.report_patients import patient_pages
from theradose.evaluation.report_plans import plans_section
from theradose.evaluation.report_scores import experiment_page
from theradose.evaluation.report_stability import stability_section
from theradose.evaluation.report_tables import Cell, Head, Sheet, count, percent, three, words_cell
from theradose.evaluation.results import StudyResults
from theradose.physics.nuclides import nuclide
from theradose.provenance import write_atomically
from theradose.vocabulary import RESEARCH_USE_ONLY

TEMPLATES = Path(__file__).resolve().parent / "templates"
TEMPLATE_FILES = ("base.html.j2", "parts.html.j2", "index.html.j2", "card.html.j2", "style.css", "patient.html.j2")
PAGE, CARD = TEMPLATE_FILES[2], TEMPLATE_FILES[3]


FIRST_SCORES = 2  # above the first chapter; all of them stand in "What was learned"


@dataclass(frozen=True)
class Section:
    """A chapter of the page: its anchor, its title, and what the template of the same name shows."""

    anchor: str
    title: str
    content: Any


def _models(study: StudyResults) -> list[dict[str, Any]]:
    """Return the card of every predictor of every experiment."""
    return [model_card(study, experiment, name) for experiment in study.experiments for name in experiment.predictors]


def sections(study: StudyResults) -> list[Section]:
    """Return the chapters that this study has, in order."""
    chapters: Sequence[tuple[str, str, Callable[[], Any]]] = (
        ("cohort", "Cohort", lambda: cohort_section(study)),
        ("data", "Data and checks", lambda: data_section(study)),
        ("patients", "Example patients", lambda: patient_pages(study)),
        ("doses", "Organ doses", lambda: doses_section(study)),
        ("recovery", "Planted against recovered", lambda: recovery_section(study)),
        ("features", "Radiomics", lambda: features_section(study)),
        ("stability", "Stability of radiomics", lambda: stability_section(study)),
        ("overview", "What was learned", lambda: overview_section(study)),
        ("experiments", "Experiments", lambda: [experiment_page(study, e) for e in study.experiments]),
        ("plans", "Planned activities", lambda: plans_section(study)),
        ("floor", "The smallest possible error", lambda: floor_section(study)),
        ("cards", "Model cards", lambda: _models(study)),
        ("methods", "Methods, ready to paste", lambda: methods_text(study)),
        ("provenance", "Provenance", lambda: provenance_section(study)),
    )
    built = [Section(anchor, title, build()) for anchor, title, build in chapters]
    return [section for section in built if section.content]


def features_section(study: StudyResults) -> dict[str, Any] | None:
    """Return how many features were extracted and how many failed, None without radiomics."""
    table = study.table("features")
    if table.empty:
        return None
    failed = int((table["status"] != "ok").sum())
    heads = [
        Head("Image", number=False),
        Head("Filter", number=False),
        Head("Class", number=False),
        Head("Features"),
        Head("VOIs"),
        Head("Patients"),
        Head("Values"),
    ]
    rows = [
        [
            Cell(str(modality).upper()),
            Cell(str(image)),
            words_cell(kind),
            *(
                Cell(str(n))
                for n in (
                    own["feature"].nunique(),
                    own["voi"].nunique(),
                    own["patient"].nunique(),
                    int(own["value"].notna().sum()),
                )
            ),
        ]
        for (modality, image, kind), own in table.groupby(["modality", "filter", "feature_class"])
    ]
    patients = count(table["patient"].nunique(), "patient")
    lead = f"{len(table)} feature values of {patients}, {failed} of them not available."
    return {
        "lead": lead,
        "table": Sheet(heads, rows, fold="" if len(rows) < FOLD_ROWS else "Features by image, filter and class"),
    }


def key_numbers(study: StudyResults) -> list[tuple[str, str, str]]:
    """Return the few numbers at the top of the page: number, what it is, and a remark."""
    status = study.table("patients")["status"].value_counts()
    left = int(status.get("quarantined", 0)) + int(status.get("excluded", 0))
    found = [
        (str(len(study.usable)), "patients worked on", f"{int(status.get('flagged', 0))} flagged, {left} left out")
    ]
    times = study.table("tac")["time_h"].nunique() if not study.table("tac").empty else 0
    if times:
        points = study.table("tac").groupby("patient")["time_h"].nunique()
        half_life = nuclide(study.settings.radionuclide).half_life_h
        found.append(
            (
                f"{int(points.max())}",
                "SPECT time points",
                f"{study.settings.radionuclide}, half-life {half_life:.1f} h",
            )
        )
    recovered = recovery_frame(study)
    if not recovered.empty and (recovered["organ"] == "kidneys").any():
        own = recovered[recovered["organ"] == "kidneys"]
        plain = percent(float(own["error_uncorrected"].mean()), signed=True)
        found.append(
            (
                percent(float(own["error_corrected"].mean()), signed=True),
                "kidney TIA against truth",
                f"{plain} uncorrected",
            )
        )
    return [*found, *_best_scores(study)]


def _best_scores(study: StudyResults) -> list[tuple[str, str, str]]:
    """Return the test score of the chosen predictor of the first organ-dose experiments beside the best baseline."""
    found: dict[tuple[str, str, str], str] = {}  # experiments that found the same are one
    for name, verdict in study.verdicts.items():
        best, baseline = verdict["best"], verdict["best_baseline"]
        own, rival = verdict["test"].get(best) or {}, verdict["test"].get(baseline) or {}
        if verdict["kind"] == "organ_dose" and own.get("value") is not None:
            beside = (
                "a baseline; no model beats it"
                if best == baseline
                else f"best baseline, {words(baseline)}: {three(rival.get('value'))} %"
            )
            what, rest = f"dose error (MAPE) of {words(best)}", f"{own['n']} test patients; {beside}"
            found.setdefault((f"{three(own['value'])} %", what, rest), words(name))
    return [(value, what, f"{name}: {rest}") for (value, what, rest), name in found.items()][:FIRST_SCORES]


def settings_line(study: StudyResults) -> list[tuple[str, str]]:
    """Return the few settings that decide most, those of the parts that this study has."""
    settings = study.settings
    found = [("Cohort", settings.cohort.name)]
    if not study.table("tiac").empty:
        found += [
            ("Radionuclide", settings.radionuclide),
            ("Recovery correction", words(settings.quantify.recovery)),
            ("Kinetic models", ", ".join(name.replace("_", " + ") for name in settings.kinetics.models)),
            ("Dose engine", settings.dose.engine),
        ]
    if study.experiments:
        found.append(("Split", words(settings.split.scheme)))
    return [*found, ("Seed", str(settings.seed))]


def environment() -> Environment:
    """Return the template environment: everything escaped, an unknown name is an error."""
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["words"] = words
    return found


def render(template: str, content: Mapping[str, Any]) -> bytes:
    """Fill a template with the style sheet inside."""
    style = (TEMPLATES / TEMPLATE_FILES[4]).read_text(encoding="utf-8")
    page = environment().get_template(template).render(**content, style=style, notice=RESEARCH_USE_ONLY)
    return page.encode()


def write_report(study: StudyResults, out: Path) -> list[Path]:
    """Write index.html, one card for each model, and the scores as CSV into a folder; return what was written."""
    chapters = sections(study)
    shared = {"study": study.settings.study, "title": study.settings.title, "virtual": study.virtual}
    index = out / "index.html"
    write_atomically(
        index,
        render(PAGE, {**shared, "sections": chapters, "numbers": key_numbers(study), "settings": settings_line(study)}),
    )
    written = [index]
    cards: list[dict[str, Any]] = next((section.content for section in chapters if section.anchor == "cards"), [])
    for card in cards:
        path = out / "cards" / card_file(card)
        write_atomically(path, render(CARD, {**shared, "card": card}))
        written.append(path)
    if not study.scores.empty:
        path = out / "experiments.csv"
        write_atomically(path, study.scores.to_csv(index=False, lineterminator="\n").encode())
        written.append(path)
    return written
