"""One curve of a time-activity table: its fit, or what takes the fit's place."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from theradose.errors import FitError
from theradose.physics.decay import decay_constant_per_h
from theradose.physics.kinetic_tia import TiaFit, curve_points
from theradose.physics.kinetics import POPULATION, fit_or_population, replacement
from theradose.physics.population_prior import PopulationPrior
from theradose.physics.single_time import SINGLE_TIME_METHODS, VALID_FROM, VALID_TO, single_time_fit

OUTSIDE_WINDOW = "outside_validity_window"


def _of_one_scan(name: str, points: tuple[ArrayLike, ...], known: dict[str, Any]) -> TiaFit:
    """Return the TIA of one scan by a method of `physics.single_time`; FitError where the method does not hold.

    The declared half-life is the population's median, its relative spread the log-sd. These methods know no uptake.
    """
    prior = PopulationPrior(decay_constant_per_h(known["t_eff_h"]), known["t_eff_cv"])
    time_h, activity_mbq, std_mbq = points
    given = {"half_life_h": known["half_life_h"], "tail_flag": known["tail_flag"]}
    fit = single_time_fit(name, time_h, activity_mbq, std_mbq, prior, **given)
    if OUTSIDE_WINDOW in fit.flags:
        raise FitError(
            f"{name} does not hold at this time of the scan", reason=OUTSIDE_WINDOW, got=f"{fit.last_h:g} h",
            expected=f"{VALID_FROM:g} to {VALID_TO:g} effective half-lives of {known['t_eff_h']:g} h",
        )  # fmt: skip
    return fit


def curve_fit(*points: ArrayLike, models: tuple[str, ...], single_time_point: str = POPULATION, **known: Any) -> TiaFit:
    """Fit a curve (h, MBq, standard uncertainty in MBq), or say why the population's half-life took the fit's place.

    `known` are the other arguments of `fit_or_population`. With one scan, `single_time_point` names the method.
    """
    if single_time_point == POPULATION or curve_points(*points).n > 1:
        return fit_or_population(*points, models=models, **known)
    try:
        return _of_one_scan(single_time_point, points, known)
    except FitError as error:
        return replacement(error, *points, **known)


def uncorrected_fit(curve: pd.DataFrame, fit: TiaFit, models: tuple[str, ...], known: dict[str, Any]) -> TiaFit:
    """Return the fit of the activities as images show them, with the model and relative uncertainties of the other."""
    shown = curve["activity_uncorrected_mbq"].to_numpy()
    measured, std = curve["activity_mbq"].to_numpy(), curve["activity_std_mbq"].to_numpy()
    relative = np.divide(std, measured, out=np.ones_like(std), where=measured > 0)
    kept = models if fit.model == POPULATION else (fit.model,)
    single = fit.model if fit.model in SINGLE_TIME_METHODS else POPULATION
    points = (curve["time_h"], shown, relative * np.abs(shown))
    return curve_fit(*points, models=kept, single_time_point=single, **known)
