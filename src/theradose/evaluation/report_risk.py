"""The report's table and picture of risk and coverage: what is gained where a model may say that it does not know."""

import pandas as pd

from theradose.evaluation.figures import Picture, as_svg, sort_organs, words
from theradose.evaluation.figures_scores import risk_curves
from theradose.evaluation.report_tables import Cell, Head, Sheet, interval, three, three_signed
from theradose.evaluation.results import ExperimentResults, StudyResults
from theradose.evaluation.risk_coverage import DOMAIN_SCORE, SHARES, risk_coverage

TITLE = "Error when patients most unlike the others are left out"
HOW = (
    "Left out are those most unlike the patients learned from in what is known before therapy, by the domain of use of "
    "each predictor; a training patient is held beside those of other folds. All patients together, against {}."
)
CAPTION = (
    "Small: MAPE of those left out. Last column: what they err more than those kept, in percentage points, with 95 % "
    "limits from drawing patients; with zero inside, no gain is shown."
)


def risk_rows(study: StudyResults, experiment: ExperimentResults) -> pd.DataFrame:
    """Return the predictions of the chosen predictor and the baselines that have a domain score, baselines first."""
    table = experiment.predictions
    if DOMAIN_SCORE not in table:
        return table.iloc[:0]
    best = study.verdicts.get(experiment.name, {}).get("best")
    return table[table["predictor"].isin([best, *experiment.baselines]) & table[DOMAIN_SCORE].notna()]


def risk_sheet(rows: pd.DataFrame, reference: str, seed: int) -> Sheet | None:
    """Return MAPE by organ, predictor and share kept, None without domain scores; `reference`: a column of doses."""
    table = risk_coverage(rows, reference, seed) if len(rows) else pd.DataFrame()
    if table.empty:
        return None
    lines = []
    for organ in sort_organs(table["voi"]):
        for predictor, own in table[table["voi"] == organ].groupby("predictor", sort=False):
            line = [Cell(words(organ)), Cell(words(str(predictor))), Cell(str(own["n"].iloc[0]))]
            for row in own.to_dict("records"):
                left_out = f"left out {three(row['mape_dropped'])}" if row["kept"] < row["n"] else ""
                line.append(Cell(three(row["mape_kept"]), "", left_out))
            last = own.iloc[-1]
            more = three_signed(last["worse_by"]) if last["kept"] < last["n"] else ""
            lines.append([*line, Cell(more, "", interval(last["worse_low"], last["worse_high"]))])
    kept = [Head(f"{share:.0%} kept".replace("%", " %"), "MAPE, %") for share in SHARES]
    heads = [Head("Organ", number=False), Head("Predictor", number=False), Head("Patients"), *kept]
    heads.append(Head(f"Left out at {SHARES[-1]:.0%}".replace("%", " %"), "points more"))
    return Sheet(heads, lines, f"{HOW.format(_named(reference))} {CAPTION}")


def risk_picture(rows: pd.DataFrame, baselines: list[str], reference: str) -> Picture:
    """Return MAPE against the share of patients kept, a panel an organ."""
    return as_svg(risk_curves(rows, baselines, reference), TITLE, f"{TITLE}. {HOW.format(_named(reference))}")


def risk_parts(
    study: StudyResults, experiment: ExperimentResults, reference: str
) -> tuple[list[tuple[str, Sheet]], list[Picture | None]]:
    """Return the titled table and the picture of an experiment, as lists; both empty without domain scores."""
    rows = risk_rows(study, experiment)
    sheet = risk_sheet(rows, reference, study.settings.seed)
    return ([], []) if sheet is None else ([(TITLE, sheet)], [risk_picture(rows, experiment.baselines, reference)])


def _named(reference: str) -> str:
    """Return a column of doses in words."""
    return "the planted truth of virtual patients" if reference.startswith("truth") else "the label from SPECT"
