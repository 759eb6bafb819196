"""What earlier cycles showed of each organ: dose, kinetics and volume of the last one, and how they changed."""

import numpy as np
import pandas as pd

from theradose.vocabulary import organ_of

PREVIOUS, TREND = "previous.", "trend."
LAST_DOSE = f"{PREVIOUS}dose_gy_per_gbq"
KEY = ["patient", "voi"]
PLACE = [*KEY, "cycle"]


def earlier_cycles(doses: pd.DataFrame, tiac: pd.DataFrame, cycle: int) -> pd.DataFrame:
    """Return a row per patient and organ of what is known before cycle `cycle` (from 2); later scans are not looked at.

    `doses` are rows of organs (schema ORGAN_DOSE) that may be believed, `tiac` fitted curves of VOIs (schema TIAC).
    Columns: of the cycle before as `previous.dose_gy_per_gbq`, `previous.volume_ml`, `previous.tiac_h` (the sum over
    the organ's VOIs) and `previous.t_eff_h` (their mean weighted by TIA); from cycle 3 on, their change from the cycle
    before that as `trend.<column>`, log of the ratio. Relative names let cycles share them. All are a leak for any
    earlier cycle.
    """
    shown = doses.groupby(PLACE)[["dose_gy_per_gbq", "volume_ml"]].first().join(_kinetics(tiac)).reset_index("cycle")
    last, before = (shown[shown["cycle"] == at].drop(columns="cycle") for at in (cycle - 1, cycle - 2))
    found = [last.add_prefix(PREVIOUS)]
    if cycle > 2:
        ratio = last / before.reindex(last.index)
        found.append(ratio.where(ratio > 0).apply(np.log).add_prefix(TREND))
    return pd.concat(found, axis="columns").reset_index()


def _kinetics(tiac: pd.DataFrame) -> pd.DataFrame:
    """Return TIAC and effective half-life, h, by patient, organ and cycle."""
    parts = tiac.assign(voi=tiac["voi"].map(organ_of), weighted=tiac["t_eff_h"] * tiac["tia_mbq_h"])
    sums = parts.groupby(PLACE)[["tiac_h", "tia_mbq_h", "weighted"]].sum()
    return pd.DataFrame({"tiac_h": sums["tiac_h"], "t_eff_h": sums["weighted"] / sums["tia_mbq_h"]})
