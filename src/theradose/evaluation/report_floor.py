"""The report's chapter on the smallest possible error of a virtual study, and every score beside it."""

from typing import Any

import pandas as pd

from theradose.evaluation.figures import sort_organs, words
from theradose.evaluation.limit_scores import LEAK, WARNING
from theradose.evaluation.report_tables import DASH, Cell, Head, Sheet, interval, three, three_signed
from theradose.evaluation.results import StudyResults

WAYS = {"closed_form": "error budget", "asymptotic": "learned from many", "resimulated": "therapies drawn anew"}
KNOWN = {"table": "numbers of a table", "log": "table and texture", "image": "everything before therapy"}
REFERENCES = {"planted": "the planted truth", "label": "the label from SPECT"}
PERCENT = "%"
OUTCOME_SCORES = {
    "auc_known": "AUC, all known", "auc_image": "AUC, before therapy", "brier_known": "Brier, all known",
    "brier_image": "Brier, before therapy", "log_rmse_known": "RMSE of log latency, all known",
    "log_rmse_image": "the same before therapy", "log_rmse_uncensored_known": "the same, uncensored alone",
}  # fmt: skip
SCORES_CAPTION = (
    "Virtual patients, out-of-fold and test ones together, against the planted truth. Small: 95 % limits from drawing "
    "patients, model and limit on the same ones. Where the population mean is no predictor of an experiment, the "
    "geometric mean of its training labels, out of fold, stands for efficiency 0."
)
VERDICTS = {LEAK: ("leak", "bad"), WARNING: ("better than possible by 2 standard errors", "warn")}
WHY = (
    "Virtual patients. No model can know what the therapy will bring anew: drift of receptors since the PET, and that "
    "part of the half-lives which nothing shows. What is left is the limit, one for each kind of knowledge, found in "
    "several ways. Efficiency 1 means that nothing better is possible, 0 that the population mean does as well; the "
    "excess log-variance is how much wider than necessary the errors are. A model that beats the limit is a leak."
)


def _world(limits: pd.DataFrame, reference: str) -> Sheet:
    """Return the limits of every organ by knowledge and way, MAPE in %, against one reference."""
    own = limits[limits["reference"] == reference]
    columns = list(dict.fromkeys(zip(own["information"], own["way"], strict=True)))
    values = own.set_index(["voi", "information", "way"])["mape"].to_dict()
    heads = [Head("Organ", number=False), *(Head(f"{KNOWN[known]}: {WAYS[way]}", PERCENT) for known, way in columns)]
    rows = [
        [Cell(words(organ)), *(Cell(three(values.get((organ, *column)))) for column in columns)]
        for organ in sort_organs(own["voi"])
    ]
    return Sheet(heads, rows, fold=f"Smallest MAPE against {REFERENCES[reference]}")


def _scores(scores: pd.DataFrame, fold: str) -> Sheet:
    """Return the scores of an experiment's predictors against the truth beside the oracle's on the same patients."""
    heads = [
        Head("Organ", number=False), Head("Predictor", number=False), Head("Patients"), Head("MAPE", PERCENT),
        Head("Limit on them", PERCENT), Head("MAPE less the limit", "points"), Head("Efficiency"),
        Head("Excess log-variance"), Head("Verdict", number=False),
    ]  # fmt: skip
    rows = []
    for row in scores.to_dict("records"):
        text, kind = VERDICTS.get(row["verdict"], ("possible", "ok"))
        rows.append(
            [
                Cell(words(row["voi"])), Cell(words(row["predictor"]), "", row["experiment"]), Cell(str(row["n"])),
                Cell(three(row["mape"])), Cell(three(row["oracle_mape"])),
                Cell(three_signed(row["worse_by"]), "", interval(row["worse_low"], row["worse_high"])),
                Cell(three(row["efficiency"]), "", interval(row["efficiency_low"], row["efficiency_high"])),
                Cell(three(row["excess_log_variance"]), "", interval(row["excess_low"], row["excess_high"])),
                Cell(text, kind),
            ]
        )  # fmt: skip
    return Sheet(heads, rows, SCORES_CAPTION, fold)


def _outcomes(limits: pd.DataFrame) -> Sheet:
    """Return the best possible scores on outcomes."""
    names = list(dict.fromkeys(limits["score"]))
    values = limits.set_index(["target", "score"])["value"].to_dict()
    rows = [
        [Cell(words(target)), *(Cell(three(values[target, n]) if (target, n) in values else DASH) for n in names)]
        for target in dict.fromkeys(limits["target"])
    ]
    heads = [Head("Outcome", number=False), *(Head(OUTCOME_SCORES.get(name, words(name))) for name in names)]
    return Sheet(
        heads, rows, fold="Best possible scores on outcomes, from planted chances; all known, or all before therapy"
    )


def floor_section(study: StudyResults) -> dict[str, Any] | None:
    """Return the limits and the scores beside them, None when the patients are real."""
    limits, scores = study.table("limits"), study.table("limit_scores")
    if limits.empty:
        return None
    place = {organ: i for i, organ in enumerate(sort_organs(scores["voi"]))}
    against_truth = scores[scores["reference"] == "truth"]
    against_truth = against_truth.sort_values("voi", key=lambda names: names.map(place), kind="stable")
    return {
        "lead": WHY,
        "scores": [
            _scores(own, f"Experiment {name}" if number else "")
            for number, (name, own) in enumerate(against_truth.groupby("experiment", sort=False))
        ],
        "worlds": [_world(limits, reference) for reference in REFERENCES],
        "outcomes": _outcomes(study.table("outcome_limits")),
    }  # fmt: skip
