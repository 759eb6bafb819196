"""Models of time-activity curves: sums of exponentials, with or without an uptake phase, and their integrals.

Every model is a sum of phases A_i f(t; lambda_i) with

    f(t; lambda) = exp(-lambda t)                          without uptake
    f(t; lambda) = exp(-lambda t) - exp(-lambda_u t)       with uptake

where lambda = lambda_phys + lambda_bio is the effective constant of the washout and lambda_u = lambda_phys + ln 2 / T_u
that of the uptake; T_u is a property of the population and never fitted, so a phase always has two parameters.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theradose.errors import FitError

Array = NDArray[np.float64]
NO_UPTAKE = math.inf


@dataclass(frozen=True)
class KineticModel:
    """A sum of `phases` washouts; with `uptake` all of them rise with the population's uptake constant."""

    phases: int
    uptake: bool = False

    @property
    def n_parameters(self) -> int:
        """An amplitude and a constant for each phase."""
        return 2 * self.phases


# Where two models are equally good, the one that stands first is kept.
KINETIC_MODELS: dict[str, KineticModel] = {
    "mono": KineticModel(1),
    "mono_uptake": KineticModel(1, uptake=True),
    "bi": KineticModel(2),
    "bi_uptake": KineticModel(2, uptake=True),
    "tri": KineticModel(3),
}


def uptake_constant_per_h(lambda_phys_per_h: float, uptake_half_time_h: float) -> float:
    """Return lambda_u = lambda_phys + ln 2 / T_u in 1/h, T_u being the biological half-time of the uptake.

    >>> round(uptake_constant_per_h(0.00434499, 0.5), 4)
    1.3906
    """
    return lambda_phys_per_h + math.log(2.0) / uptake_half_time_h


def shape(time_h: ArrayLike, lambda_per_h: ArrayLike, lambda_uptake_per_h: float = NO_UPTAKE) -> Array:
    """Return f(t; lambda), broadcast over times (h) and constants (1/h); an infinite uptake constant means no uptake.

    >>> shape(10.0, math.log(2) / 10)
    array(0.5)
    """
    time = np.asarray(time_h, float)
    washout = np.exp(-np.asarray(lambda_per_h, float) * time)
    uptake = 0.0 if math.isinf(lambda_uptake_per_h) else np.exp(-lambda_uptake_per_h * time)
    return np.asarray(washout - uptake)


def shape_slope(time_h: ArrayLike, lambda_per_h: ArrayLike) -> Array:
    """Return df/dlambda = -t exp(-lambda t) in h, the same with and without uptake.

    >>> shape_slope(2.0, 0.0)
    array(-2.)
    """
    time = np.asarray(time_h, float)
    return np.asarray(-time * np.exp(-np.asarray(lambda_per_h, float) * time))


def shape_integral(lambda_per_h: ArrayLike, lambda_uptake_per_h: float = NO_UPTAKE, from_h: float = 0.0) -> Array:
    """Return the integral of f from `from_h` to infinity in h: exp(-l t)/l - exp(-l_u t)/l_u.

    >>> round(float(shape_integral(math.log(2) / 33.73)), 2)
    48.66
    """
    rate = np.asarray(lambda_per_h, float)
    washout = np.exp(-rate * from_h) / rate
    uptake = 0.0 if math.isinf(lambda_uptake_per_h) else math.exp(-lambda_uptake_per_h * from_h) / lambda_uptake_per_h
    return np.asarray(washout - uptake)


def shape_integral_slope(lambda_per_h: ArrayLike) -> Array:
    """Return the derivative by lambda of the integral of f from zero to infinity, -1/lambda^2, in h^2.

    >>> shape_integral_slope(0.5)
    array(-4.)
    """
    return np.asarray(-1.0 / np.asarray(lambda_per_h, float) ** 2)


def named_parameters(amplitude_mbq: Array, lambda_per_h: Array, lambda_uptake_per_h: float) -> dict[str, float]:
    """Return the parameters of a fit by name: a1_mbq, lambda1_per_h, ..., lambda_uptake_per_h if there is uptake."""
    named = {f"a{i}_mbq": float(a) for i, a in enumerate(amplitude_mbq, 1)}
    named |= {f"lambda{i}_per_h": float(rate) for i, rate in enumerate(lambda_per_h, 1)}
    return named if math.isinf(lambda_uptake_per_h) else named | {"lambda_uptake_per_h": lambda_uptake_per_h}


def phases_of(parameters: Mapping[str, float]) -> tuple[Array, Array, float]:
    """Return amplitudes (MBq), constants (1/h) and the uptake constant behind the named parameters of a fit.

    FitError (reason no_curve) when the method that gave the parameters has no curve, like a trapezoid.

    >>> phases_of({"a1_mbq": 100.0, "lambda1_per_h": 0.02})
    (array([100.]), array([0.02]), inf)
    """
    uptake = parameters.get("lambda_uptake_per_h", NO_UPTAKE)
    phases = sum(name.startswith("a") for name in parameters)
    if not phases:
        raise FitError("this method has no curve, only an integral", reason="no_curve", got=", ".join(parameters))
    amplitude = np.array([parameters[f"a{i}_mbq"] for i in range(1, phases + 1)])
    rate = np.array([parameters[f"lambda{i}_per_h"] for i in range(1, phases + 1)])
    return amplitude, rate, uptake


def curve_mbq(parameters: Mapping[str, float], time_h: ArrayLike) -> Array:
    """Return the activity in MBq at times (h) of a fit given by its named parameters, as the TIAC table holds them.

    FitError (reason no_curve) when the method that gave the parameters has no curve, like a trapezoid.

    >>> curve_mbq({"a1_mbq": 100.0, "lambda1_per_h": 0.0693147181}, [0.0, 10.0]).round(3)
    array([100.,  50.])
    """
    amplitude, rate, uptake = phases_of(parameters)
    return np.asarray(shape(np.asarray(time_h, float)[..., None], rate, uptake) @ amplitude)
