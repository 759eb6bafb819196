"""Planted against recovered: how far the reference dosimetry lies from what the virtual patients were given.

Error = recovered / planted - 1, for TIA and dose, corrected for recovery and as the images show it.
"""

import numpy as np
import pandas as pd

from theradose.errors import DataError
from theradose.vocabulary import organ_of

KEY = ["patient", "cycle", "voi"]
# Quantity -> (planted, recovered with correction, recovered without).
QUANTITIES = {
    "tia_mbq_h": ("truth_tia_mbq_h", "tia_mbq_h", "tia_uncorrected_mbq_h"),
    "dose_gy": ("truth_dose_gy", "dose_gy", "dose_uncorrected_gy"),
}
ERRORS = {
    "corrected": {"tia_mbq_h": "tia_error", "dose_gy": "dose_error"},
    "uncorrected": {"tia_mbq_h": "tia_error_uncorrected", "dose_gy": "dose_error_uncorrected"},
}
PERCENTILES = (5, 25, 75, 95)


def _with_errors(table: pd.DataFrame) -> pd.DataFrame:
    """Add the relative errors of both quantities, corrected and uncorrected."""
    table = table.copy()
    for name, (planted, corrected, uncorrected) in QUANTITIES.items():
        table[ERRORS["corrected"][name]] = table[corrected] / table[planted] - 1.0
        table[ERRORS["uncorrected"][name]] = table[uncorrected] / table[planted] - 1.0
    return table


def recovery_check(tiac: pd.DataFrame, doses: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Return planted and recovered TIA and dose of every target VOI with their errors (schema RECOVERY_CHECK).

    `tiac`, `doses` (its rows of level `voi`) and `truth` have the schemas TIAC, ORGAN_DOSE and TRUTH_VOI. Patients
    whose data were quarantined stand in the truth alone and are left out; DataError when a measured VOI has no truth.
    """
    planted = truth[[*KEY, "mass_g", "tia_mbq_h", "dose_gy"]].rename(
        columns={"mass_g": "truth_mass_g", "tia_mbq_h": "truth_tia_mbq_h", "dose_gy": "truth_dose_gy"}
    )
    of_dose = doses.loc[doses["level"] == "voi", [*KEY, "volume_ml", "mass_g", "dose_gy", "dose_uncorrected_gy"]]
    of_tia = tiac[[*KEY, "model", "tia_mbq_h", "tia_uncorrected_mbq_h"]]
    table = of_dose.merge(of_tia, on=KEY, validate="1:1").merge(planted, on=KEY, how="left", validate="1:1")
    lost = table.loc[table["truth_tia_mbq_h"].isna(), KEY]
    if len(lost):
        raise DataError(
            "a measured VOI has no planted truth", got=lost.iloc[0].tolist(), remedy="use the cohort's own truth"
        )
    table["organ"] = table["voi"].map(organ_of)
    return _with_errors(table).sort_values(KEY, ignore_index=True)


def by_organ(check: pd.DataFrame) -> pd.DataFrame:
    """Return the same for organs: TIA is summed over an organ's VOIs, D = sum D_i m_i / sum m_i on both sides."""
    table = check.copy()
    for name in ("dose_gy", "dose_uncorrected_gy"):
        table[name] *= table["mass_g"]
    table["truth_dose_gy"] *= table["truth_mass_g"]
    columns = [c for names in QUANTITIES.values() for c in names] + ["mass_g", "truth_mass_g"]
    sums = table.groupby(["patient", "cycle", "organ"], as_index=False)[columns].sum()
    for name in ("dose_gy", "dose_uncorrected_gy"):
        sums[name] /= sums["mass_g"]
    sums["truth_dose_gy"] /= sums["truth_mass_g"]
    return _with_errors(sums)


def _numbers(errors: "pd.Series[float]") -> dict[str, float]:
    """Return number, mean, standard deviation, median and percentiles of relative errors."""
    values = errors.to_numpy(float)
    spread = float(np.std(values, ddof=1)) if values.size > 1 else 0.0
    found = {"n": float(values.size), "mean": float(values.mean()), "sd": spread, "median": float(np.median(values))}
    return found | {f"p{p:02d}": float(np.percentile(values, p)) for p in PERCENTILES}


def recovery_summary(check: pd.DataFrame) -> dict[str, dict[str, dict[str, dict[str, dict[str, float]]]]]:
    """Return level -> organ -> quantity -> corrected or uncorrected -> numbers of the relative errors.

    At level `voi` each kidney counts for itself, at level `organ` both make one number; so too for lesions.
    """
    levels = {"voi": check, "organ": by_organ(check)}
    return {
        level: {
            str(organ): {
                quantity: {kind: _numbers(rows[ERRORS[kind][quantity]]) for kind in ERRORS} for quantity in QUANTITIES
            }
            for organ, rows in table.groupby("organ")
        }
        for level, table in levels.items()
    }
