"""The report's tables of differences, patient by patient: a model less the best baseline, or less its other half."""

from theradose.evaluation.figures import words
from theradose.evaluation.metric_names import METRIC_NAMES
from theradose.evaluation.report_tables import DASH, Cell, Head, Sheet, interval, three_signed
from theradose.evaluation.results import ExperimentResults

ALL, MINUS = "all", "_minus_"
WHERE = {"test": "test patients", "train": "training patients, out of fold"}
CAPTION = "Below zero the predictor errs less. 95 % limits from drawing patients; with zero inside, nothing is shown."


def _words(metric: str) -> str:
    """Return the name of a difference, `mape_minus_single_task`: MAPE less that of single task."""
    first, second = metric.split(MINUS, 1)
    return f"{METRIC_NAMES.get(first, first)} less that of the {words(second)}"


def pair_sheets(experiment: ExperimentResults) -> list[tuple[str, Sheet]]:
    """Return a titled table of all differences against the label, of test patients and out of fold, where there are."""
    rows = experiment.metrics
    rows = rows[(rows["voi"] == ALL) & (rows["reference"] == "label") & rows["value"].notna()]
    rows = rows[rows["metric"].str.contains(MINUS, regex=False)]
    found = []
    for partition, who in WHERE.items():
        own = rows[rows["partition"] == partition]
        if own.empty:
            continue
        units = own.drop_duplicates("metric").set_index("metric")["unit"]
        scored = {(str(row["predictor"]), str(row["metric"])): row for row in own.to_dict("records")}
        lines = [
            [Cell(words(name)), *(_cell(scored.get((name, metric))) for metric in units.index)]
            for name in experiment.predictors
            if any((name, metric) in scored for metric in units.index)
        ]
        named = (Head(_words(str(metric)), "" if unit == "1" else str(unit)) for metric, unit in units.items())
        heads = [Head("Predictor", number=False), *named]
        found.append((f"Differences patient by patient, {who}", Sheet(heads, lines, CAPTION)))
    return found


def _cell(row: dict | None) -> Cell:
    """Return a difference with its limits, a dash where there is none."""
    if row is None:
        return Cell(DASH)
    return Cell(three_signed(float(row["value"])), "", interval(float(row["low"]), float(row["high"])))
