"""The report's table of how dose models follow when the uptake in the PET falls."""

import pandas as pd

from theradose.evaluation.figures import words
from theradose.evaluation.report_tables import Cell, Head, Sheet, interval, percent, three
from theradose.evaluation.results import ExperimentResults
from theradose.evaluation.uptake_scaling import ALL

WHO = {"test": "test patients", "train": "training patients"}
CAPTION = (
    "Predicted dose over that at full uptake, all organs together, when all uptake in the PET is multiplied by the "
    "factor above: median, 10th to 90th percentile, and the share that the domain of use then flags. A ratio of 1 is "
    "blind to the uptake, one equal to the factor is proportional to it. Intensities of the PET follow the factor, "
    "their squares its square; shape, moments and ratios of PETs do not change, textures were left as they are."
)


def uptake_sheets(experiment: ExperimentResults) -> list[tuple[str, Sheet]]:
    """Return the titled table of the test patients, or of the training patients where there are none."""
    table = experiment.uptake_scaling
    table = table[table["voi"] == ALL]
    partition = next((name for name in WHO if (table["partition"] == name).any()), None)
    if partition is None:
        return []
    own = table[table["partition"] == partition].set_index(["predictor", "factor"])
    factors = sorted(set(own.index.get_level_values("factor")), reverse=True)
    rows = [
        [Cell(words(name)), *(_cell(own.loc[(name, factor)]) for factor in factors)] for name in experiment.predictors
    ]
    named = (f"1/{1 / factor:.0f}" if factor < 1 else "1" for factor in factors)
    heads = [Head("Predictor", number=False), *(Head(name) for name in named)]
    return [(f"When uptake falls: {WHO[partition]}, by factor", Sheet(heads, rows, CAPTION))]


def _cell(row: "pd.Series[float]") -> Cell:
    """Return a ratio with its spread and the share outside the domain of use."""
    flagged = percent(100.0 * float(row["outside_share"]))
    return Cell(three(row["ratio"]), "", f"{interval(row['ratio_low'], row['ratio_high'])}, {flagged} flagged")
