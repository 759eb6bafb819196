"""Model cards: what a model is for, what it was made from, how well it does and where it must not be used."""

from collections.abc import Mapping
from typing import Any

from theradose.evaluation.figures import sort_organs, words
from theradose.evaluation.report_scores import OUT_OF_FOLD, TEST, overall, score_sheet
from theradose.evaluation.report_tables import DASH, Cell, Head, Sheet, count, three
from theradose.evaluation.results import ExperimentResults, StudyResults
from theradose.provenance import sha256_file

WHAT_IT_PREDICTS = {
    "organ_dose": "Mean absorbed dose per administered activity (Gy/GBq) of {organs}, with a prediction interval, from "
    "images and values known before the therapy.",
    "dose_map": "A map of absorbed dose per administered activity (Gy/GBq) from pre-therapy PET and CT slices.",
    "multitask": "Mean doses per administered activity (Gy/GBq) and chances of events after therapy, together, from "
    "image patches and values known before the therapy.",
    "tiac": "The time-integrated activity coefficient (h) of {organs} for every radionuclide, from values known before "
    "the therapy.",
    "outcome": "The chance of {organs} after therapy, from values known before it and predicted doses.",
    "renal_slope": "The change of eGFR in the year after therapy (mL/min/1.73 m2 a year), with a prediction interval, "
    "from values known before therapy and predicted doses.",
    "latency": "The time to the first fall of eGFR by 10 %, from values known before therapy and predicted doses.",
}
LEARNED = {
    "population_mean": "Nothing about the patient: the geometric mean dose of the training patients.",
    "pet_scaled": "Physics alone: dose proportional to the organ's PET uptake over body weight, one factor fitted.",
    "last_cycle": "Nothing: the dose of the cycle before once more.",
    "last_cycle_hybrid": "The last dose carries this one; a strongly shrunk linear regression learns how it changes.",
    "pet_scaled_map": "Physics alone: dose proportional to the PET, one factor fitted.",
    "ridge": "Linear regression of the log dose on selected covariates with a quadratic penalty.",
    "hybrid": "Physics carries the dose; a strongly shrunk linear regression learns what it leaves unexplained.",
    "mlp": "A small multi-layer perceptron on the covariates.",
    "pls": "Partial least squares: a few directions in correlated covariates.",
    "gp": "A Gaussian process on selected covariates.",
    "hybrid_gp": "Physics carries the dose; a Gaussian process learns what it leaves unexplained.",
    "gradient_boosting": "Shallow trees, each correcting those before it.",
    "extra_trees": "The mean of many randomly cut trees.",
    "knn": "The mean log dose of the most similar training patients.",
    "unet2d": "A two-dimensional U-Net that corrects the PET-scaled map, slice by slice.",
    "cnn2d": "Three convolutions in a row that correct the PET-scaled map, slice by slice.",
    "unet25d": "A two-dimensional U-Net that sees the slices above and below as well.",
    "unet3d": "A small three-dimensional U-Net that corrects the PET-scaled map.",
    "unet2d_calibrated": "The two-dimensional U-Net, then four gains fitted by Nelder-Mead on out-of-fold maps.",
    "unet2d_raw": "The U-Net with R(S) as the source paper prints it: its sum term is not divided by the voxels.",
    "unet2d_normalised": "The U-Net with R(S) whose sum term is divided by the number of voxels.",
    "unet2d_eta0": "The U-Net with the mean squared error alone.",
    "multitask_physics": "Physics and base rates alone: PET-scaled doses, and how often each event was seen.",
    "multitask_ridge": "Physics with a linear residual for doses, logistic regression for events.",
    "multitask": "A network of image patches and covariates with one trunk for doses and events.",
    "multitask_dose": "The same network for doses alone: what sharing with events is worth.",
    "multitask_outcome": "The same network for events alone: what sharing with doses is worth.",
    "multitask_dose_map": "The network of all branches: PET, CT, the dose map that scaling the PET gives, covariates.",
    "multitask_images": "The same network without covariates: image patches alone.",
    "multitask_vector": "The same network without images: radiomics and clinical values alone.",
    "tiac_mean": "Nothing about the patient: mean uptake and half-life of the training patients.",
    "tiac_pet_scaled": "Uptake proportional to that in the PET, the half-life of the population.",
    "tiac_ridge": "Linear regression of log uptake and log half-life with a quadratic penalty.",
    "tiac_hybrid": "The PET carries the uptake; shrunk regressions learn what it leaves, and the half-life.",
    "tiac_mlp": "One network with two heads, uptake and half-life, and the decay law behind them.",
    "base_rate": "Nothing about the patient: how often the event was seen in training patients.",
    "ntcp": "A published dose-response curve of the predicted dose, its level fitted.",
    "logistic": "Logistic regression on the few quantities that mechanisms name.",
    "logistic_all": "Logistic regression on all covariates with a quadratic penalty.",
    "hybrid_outcome": "The dose-response curve carries the chance; a shrunk regression learns what it leaves.",
    "outcome_mlp": "A small multi-layer perceptron on the covariates.",
    "slope_mean": "Nothing about the patient: the mean change of eGFR of the training patients.",
    "slope_mechanistic": "A line on predicted kidney BED, age, hypertension, diabetes and eGFR.",
    "slope_ridge": "Linear regression on selected covariates with a quadratic penalty.",
    "slope_mlp": "A small multi-layer perceptron on the covariates.",
    "latency_constant": "Nothing about the patient: the median time of training patients, censoring counted in.",
    "latency_mechanistic": "Log-normal regression on predicted kidney BED, age, hypertension, diabetes and eGFR.",
    "latency_ridge": "Log-normal regression on all covariates with a quadratic penalty.",
    "latency_mlp": "A dense network with the log-normal likelihood, censored patients counted in.",
    "latency_mlp_literal": "As the source paper prints it: a dense network on uncensored patients, squared log error.",
}
NOT_FOR = (
    "Not for clinical use: neither for choosing an activity nor for judging a treatment.",
    "Not for other radionuclides, ligands, scanners or voxel sizes than those it was trained on.",
    "Not for patients unlike those it has learned from; the predict command says so and names the values.",
)


def limits_of(study: StudyResults, trained_on: int) -> list[str]:
    """Return what must be known before a score of this model is believed."""
    found = []
    if study.virtual:
        found.append(
            "Trained and scored on virtual patients. Texture is tied to kinetics by assumption; real patients will "
            "differ, "
            "and no score here is evidence about them."
        )
    found.append("Labels come from SPECT images and carry their own error; scores against the label contain it.")
    found.append(f"{count(trained_on, 'training patient')}: rare anatomy and rare kinetics are not represented.")
    centres = sorted(set(study.table("splits")["centre"]))
    if centres:
        found.append(f"Centres seen: {', '.join(centres)}. A new centre is outside of what was tested.")
    return found


def _nested(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return the leaves of a JSON-like mapping as (dotted name, value in words)."""
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows += _nested(value, f"{prefix}{name}.")
        elif isinstance(value, list) and len(value) == 2 and all(isinstance(v, int | float) for v in value):
            rows.append((f"{prefix}{name}", f"{three(value[0])} to {three(value[1])}"))
        elif isinstance(value, float):
            rows.append((f"{prefix}{name}", three(value)))
        elif isinstance(value, list):
            rows.append((f"{prefix}{name}", ", ".join(three(v) if isinstance(v, float) else str(v) for v in value)))
        else:
            rows.append((f"{prefix}{name}", str(value)))
    return rows


def facts(values: Mapping[str, Any], name: str = "Fact", value: str = "Value") -> Sheet | None:
    """Return a JSON-like mapping as a table of two columns, None when it is empty."""
    rows = [[Cell(words(key)), Cell(text)] for key, text in _nested(values)]
    return Sheet([Head(name, number=False), Head(value, number=False)], rows) if rows else None


def by_part(parts: Mapping[str, Mapping[str, Any]], name: str) -> Sheet | None:
    """Return facts on several parts (organs), a row a part; on one part alone a row a fact; None without facts."""
    if len(parts) == 1:
        return facts(next(iter(parts.values())), name)
    flat = {part: dict(_nested(values)) for part, values in parts.items()}
    columns = list(dict.fromkeys(key for values in flat.values() for key in values))
    if not columns:
        return None
    rows = [[Cell(words(part)), *(Cell(flat[part].get(key, DASH)) for key in columns)] for part in sort_organs(flat)]
    return Sheet([Head("Part", number=False), *(Head(words(key.rsplit(".", 1)[-1])) for key in columns)], rows)


def _without(parts: Mapping[str, Mapping[str, Any]], name: str) -> dict[str, dict[str, Any]]:
    """Return facts on parts less one of them."""
    return {part: {key: v for key, v in values.items() if key != name} for part, values in parts.items()}


def chosen_columns(parts: Mapping[str, Any]) -> Sheet | None:
    """Return the covariates that the predictor of each part chose, a row a part; None when it chooses none."""
    chosen = {part: entry.get("state", {}).get("columns", []) for part, entry in parts.items()}
    rows = [[Cell(words(part)), Cell(", ".join(chosen[part]) or DASH)] for part in sort_organs(chosen)]
    heads = [Head("Part", number=False), Head("Covariates chosen", number=False)]
    return Sheet(heads, rows) if any(chosen.values()) else None


def _subgroups(experiment: ExperimentResults, predictor: str) -> Sheet | None:
    """Return the test error of one predictor by organ against each reference, None without organ scores."""
    metrics = experiment.metrics
    own = metrics[(metrics["predictor"] == predictor) & (metrics["partition"] == TEST) & (metrics["metric"] == "mape")]
    if own.empty:
        return None
    rows = [
        [
            Cell(words(str(r["voi"]))),
            Cell(str(r["reference"])),
            Cell(three(r["value"])),
            Cell(f"{three(r['low'])} to {three(r['high'])}"),
            Cell(str(r["n"])),
        ]
        for r in own.to_dict("records")
    ]
    heads = [
        Head("Organ", number=False),
        Head("Against", number=False),
        Head("MAPE", "%"),
        Head("95 % interval", "%"),
        Head("Patients"),
    ]
    return Sheet(heads, rows)


def _purpose(experiment: ExperimentResults, organs: str) -> str:
    """Return what a model predicts, in a sentence or two."""
    text = WHAT_IT_PREDICTS[experiment.about["kind"]].format(organs=organs)
    cycle = experiment.about.get("cycle")
    late = f" Doses are those of cycle {cycle}; what scans of the cycles before showed is known too."
    return text + (late if cycle else "")


def model_card(study: StudyResults, experiment: ExperimentResults, predictor: str) -> dict[str, Any]:
    """Return everything a card shows: intended use, data, training, scores, limits, versions and hashes."""
    folder = experiment.folder / predictor
    model = experiment.record(predictor, "model/model.json")
    provenance = experiment.record(predictor, "provenance.json")
    about, parts = dict(model.get("card", {})), dict(model.get("parts", {}))
    trained = {part: entry.get("state", {}).get("parameters", {}) for part, entry in parts.items()}
    splits = study.table("splits")["partition"].value_counts()
    organs = ", ".join(words(part) for part in parts if part != "all") or "the body"
    files = [folder / "model" / name for name in ("model.json", "weights.safetensors")]
    references = [r for r in ("truth", "label") if (experiment.metrics["reference"] == r).any()]
    scores = [
        (
            f"{'test patients' if partition == TEST else 'training patients, out of fold'}, against the {reference}",
            sheet,
        )
        for partition in (TEST, OUT_OF_FOLD)
        for reference in references
        if (sheet := score_sheet(experiment, reference, partition, overall(experiment.metrics), predictor)) is not None
    ]
    return {
        "experiment": experiment.name, "title": experiment.title, "predictor": predictor,
        "role": "baseline" if predictor in experiment.baselines else "model",
        "purpose": _purpose(experiment, organs),
        "how": LEARNED.get(predictor, ""), "not_for": NOT_FOR,
        "limits": limits_of(study, int(splits.get("train", 0))),
        "split": {name: int(splits.get(name, 0)) for name in ("train", "validation", "test")},
        "data": by_part(_without(about.get("parts", {}), "domain"), "Training data"),
        "parameters": by_part(trained, "Hyperparameter"), "columns": chosen_columns(parts),
        "scores": scores, "subgroups": _subgroups(experiment, predictor),
        "interval": about.get("interval"), "seed": about.get("seed", study.settings.seed),
        "hashes": {path.name: sha256_file(path) for path in files if path.is_file()},
        "inputs": dict(provenance.get("inputs", {})), "code": provenance.get("code", ""),
        "version": provenance.get("version", ""),
    }  # fmt: skip


def card_file(card: Mapping[str, Any]) -> str:
    """Return the file name of a card, `<experiment>-<predictor>.html`."""
    return f"{card['experiment']}-{card['predictor']}.html"
