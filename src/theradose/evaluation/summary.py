"""The few lines that end a run: who was worked on, how good the labels are, which model is best, where to look."""

from typing import Any

from theradose.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, EXIT_QUARANTINED, EXIT_REFUSED
from theradose.evaluation.figures import words
from theradose.evaluation.report_tables import count
from theradose.evaluation.results import StudyResults

METRIC_WORDS = {"mape": "MAPE", "rmse": "RMSE", "log_loss": "log loss", "ipcw_brier": "integrated Brier score"}
EXIT_CODES = (
    f"{EXIT_OK} done, {EXIT_REFUSED} refused, {EXIT_QUARANTINED} done with patients quarantined, {EXIT_FAILED} failed, "
    f"{EXIT_INTERRUPTED} interrupted"
)


def patients_line(study: StudyResults) -> str:
    """Return how many patients are ok, flagged, quarantined and excluded."""
    status = study.table("patients")["status"].value_counts()
    parts = [f"{int(status.get(name, 0))} {name}" for name in ("ok", "flagged", "quarantined")]
    parts += [f"{int(status['excluded'])} excluded"] if "excluded" in status else []
    remark = " (reasons: check/patients.tsv and the report)" if "quarantined" in status else ""
    return f"Patients    {', '.join(parts)}{remark}"


def labels_line(study: StudyResults) -> str:
    """Return how well the kidney TIA was recovered (virtual), else how many fits; empty without curves."""
    kidneys = study.recovery[study.recovery["organ"] == "kidneys"]
    if not kidneys.empty:
        error, plain = (100 * float(kidneys[name].mean()) for name in ("tia_error", "tia_error_uncorrected"))
        spread = 100 * float(kidneys["tia_error"].std(ddof=0))
        beside = f"without recovery correction {plain:+.1f} %"
        return f"Labels      kidney TIA {error:+.1f} % from truth (sd {spread:.1f} %); {beside}"
    tiac = study.table("tiac")
    if tiac.empty:
        return ""
    refused = int((tiac["reason"] != "").sum())
    return f"Labels      {len(tiac)} time-activity curves, {refused} fits refused (population half-life instead)"


def score_words(score: dict[str, Any] | None, metric: str) -> str:
    """Return a score with its 95 % interval, `MAPE 17.1 % (14.0 to 20.2)`."""
    if not score or score.get("value") is None:
        return "no score"
    unit = "" if score["unit"] == "1" else f" {score['unit']}"
    text = f"{METRIC_WORDS.get(metric, metric)} {score['value']:.3g}{unit}"
    if score.get("low") is None or score.get("high") is None:
        return text
    return f"{text} ({score['low']:.3g} to {score['high']:.3g})"


def experiment_lines(study: StudyResults) -> list[str]:
    """Return for each experiment the chosen predictor beside the best baseline, on the test patients."""
    lines, width = [], max(12, *(len(words(name)) + 2 for name in study.verdicts), 0)
    for name, found in study.verdicts.items():
        best, baseline, metric = found["best"], found["best_baseline"], found["metric"]
        own = f"{words(best)} {score_words(found['test'].get(best), metric)}"
        beside = (
            "a baseline; no model beats it"
            if best == baseline
            else f"best baseline {words(baseline)} {score_words(found['test'].get(baseline), metric)}"
        )
        lines.append(f"{words(name).capitalize():<{width}}{own}; {beside}")
    return lines


def summary(study: StudyResults) -> str:
    """Return six to ten lines on a finished study."""
    kind = "VIRTUAL patients, research use only" if study.virtual else "research use only"
    features = study.table("features")
    shown = f"{count(len(features), 'value')} of {count(features['patient'].nunique(), 'patient')}"
    lines = [
        f"theradose   {study.settings.study}: {study.settings.title} ({kind})",
        patients_line(study),
        labels_line(study),
        f"Radiomics   {shown}" if len(features) else "",
        *experiment_lines(study),
        f"Report      {(study.root / 'report' / 'index.html').as_posix()}",
        "Runs        make ui opens the experiments in MLflow" if study.verdicts else "",
        f"Exit codes  of the theradose command: {EXIT_CODES}",
    ]
    return "\n".join(line for line in lines if line) + "\n"
