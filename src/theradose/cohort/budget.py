"""The uncertainty budget of the doses of a cycle, from the rows of its time-activity and kinetics tables."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from theradose.errors import DataError, Where
from theradose.physics.dose import VoiDose
from theradose.physics.kinetics import TiaFit
from theradose.physics.uncertainty import Budget, VoiSources, fit_relative_effects, organ_budget, voi_budget
from theradose.vocabulary import CHAIN_COLUMNS, LESIONS

# Means of organs from voxels and from scaled S values agree within 3 %; a uniform error of that half-width has a
# standard deviation of 1.7 %.
S_RELATIVE_STD = 0.017


@dataclass(frozen=True)
class Budgets:
    """Budgets by (level, name): VOIs and organs, level `voi` or `organ`."""

    found: dict[tuple[str, str], Budget]

    def relative_std(self, level: str, name: str) -> float:
        """Return the relative standard uncertainty of the dose of a VOI or organ."""
        return self.found[level, name].relative_std["dose"]

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of the budget table (voi, level, step, relative_std), the steps of each dose in order."""
        return [
            {"voi": name, "level": level, "step": step, "relative_std": value}
            for (level, name), budget in self.found.items()
            for step, value in budget.relative_std.items()
        ]


def tia_fit(row: "Mapping[str, Any] | pd.Series[Any]") -> TiaFit:
    """Return the fit of a row of the kinetics table (schema TIAC)."""
    return TiaFit(
        model=str(row["model"]),
        parameters=json.loads(row["parameters"]),
        covariance=np.array(json.loads(row["covariance"]), float),
        tia_mbq_h=float(row["tia_mbq_h"]),
        tia_std_mbq_h=float(row["tia_std_mbq_h"]),
        t_eff_h=float(row["t_eff_h"]),
        tail_fraction=float(row["tail_fraction"]),
        chi2=np.nan,
        aicc=float(row["aicc"]),
    )


def _sources(voi: str, points: pd.DataFrame, fit: TiaFit, s_relative_std: float, mass_exponent: float) -> VoiSources:
    """Return what goes wrong in a VOI; its outline and recovery are those of the scans' mean."""
    known = points[list(CHAIN_COLUMNS)].mean()
    if points.empty or points[list(CHAIN_COLUMNS)].isna().any(axis=None):
        raise DataError(
            "time-activity table does not say how well a VOI is known",
            where=Where(voi=voi),
            got=f"{len(points)} time points",
            expected=f"at least one, with {', '.join(CHAIN_COLUMNS)}",
            remedy="run the step quantify again",
            code="THR-248",
        )
    seen = points[points["activity_mbq"] > 0]
    noise = (seen["activity_std_mbq"] / seen["activity_mbq"]).to_numpy()
    by_noise, by_half_life = fit_relative_effects(fit)
    return VoiSources(
        volume=known["volume_relative_std"],
        recovery_slope=known["recovery_slope"],
        recovery=(known["recovery_relative_std"],),
        counts_slope=known["counts_slope"],
        calibration=known["calibration_relative_std"],
        counts=float(np.sqrt(np.mean(noise**2))) if noise.size else by_noise,
        fit=by_noise,
        half_life=by_half_life,
        s=s_relative_std,
        mass_exponent=mass_exponent,
    )


def budget_of(
    points: pd.DataFrame,
    fits: pd.DataFrame,
    doses: Mapping[str, VoiDose],
    *,
    s_relative_std: float = S_RELATIVE_STD,
    mass_exponent: float = 1.0,
) -> Budgets:
    """Return the budgets of a cycle's VOIs and of the organs they make, from its rows of TAC and TIAC and its doses.

    `doses` maps VOI to its dose; `mass_exponent` is c in S ~ m^-c, and `s_relative_std` how well S is known otherwise.
    Relative uncertainties are those of a VOI's own activity; a cross-dose is taken to be as uncertain. DataError
    (THR-248) when the table of activities does not hold what the budget needs.
    """
    found: dict[tuple[str, str], Budget] = {}
    organs: dict[str, list[Budget]] = {}
    curves = {str(row["voi"]): tia_fit(row) for _, row in fits.iterrows()}
    for voi, dose in doses.items():
        own = points[points["voi"] == voi]
        sources = _sources(voi, own, curves[voi], s_relative_std, mass_exponent)
        found["voi", voi] = voi_budget(sources, volume_ml=dose.volume_ml, dose_gy=dose.dose_gy)
        organs.setdefault(dose.organ, []).append(found["voi", voi])
    for organ, parts in organs.items():
        found["organ", organ] = organ_budget(parts, one_half_life=organ != LESIONS)
    return Budgets(found)
