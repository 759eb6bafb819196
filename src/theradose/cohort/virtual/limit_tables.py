"""The limits of a virtual study as tables: of its world, or, where kinetics have no closed form, of its patients."""

from dataclasses import asdict

import numpy as np
import pandas as pd

from theradose.cohort.virtual.floors import floor_mape
from theradose.cohort.virtual.limits import LABEL, PLANTED, Limit, World, against_label, dose_limits


def label_log_sds(recovery: pd.DataFrame) -> dict[str, float]:
    """Return organ -> spread of log(label / truth), the error of the reference that SPECT gives."""
    log_ratio = np.log1p(recovery["dose_error"]).groupby(recovery["organ"])
    return {str(organ): float(spread) for organ, spread in log_ratio.std(ddof=1).fillna(0.0).items()}


def of_world(world: World, organs: list[str], label_log_sd: dict[str, float], patients: int) -> pd.DataFrame:
    """Return the limits of every organ against the planted truth and against labels."""
    rows = []
    for organ in organs:
        planted = dose_limits(world, organ, patients)
        sets = {PLANTED: planted, LABEL: against_label(planted, label_log_sd.get(organ, 0.0))}
        for reference, found in sets.items():
            for one in found:
                rows.append({"voi": organ, "reference": reference, **asdict(one), "mape": 100 * one.mape})
    return pd.DataFrame(rows)


def of_second_tier(oracle: pd.DataFrame, label_log_sd: dict[str, float]) -> pd.DataFrame:
    """Return the limits of a world whose kinetics have no closed form: those of its own patients, for images alone."""
    rows = []
    for organ, own in oracle.groupby("voi", sort=False):
        spread = float(np.sqrt((own["log_sd"] ** 2).mean()))
        planted = [Limit("resimulated", "image", spread, float(floor_mape(spread)))]
        for reference, found in (
            (PLANTED, planted),
            (LABEL, against_label(planted, label_log_sd.get(str(organ), 0.0))),
        ):
            same = {"voi": organ, "reference": reference}
            rows += [{**same, **asdict(one), "mape": 100 * one.mape} for one in found]
    return pd.DataFrame(rows)
