"""A head of a few numbers behind a predicted dose map, found by Nelder-Mead on maps of patients not learned from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from theradose.errors import SettingsError

# The search loses its grip as parameters grow (Gao and Han, Comput. Optim. Appl. 51, 2012), and a network has thousands
# of them. The limit, evaluations for each parameter and knots are the project's own choices.
MOST_PARAMETERS = 20
EVALUATIONS_EACH = 400
# Knots at these quantiles of the predicted dose above zero: half of the head serves the hottest percent.
QUANTILES = (0.5, 0.9, 0.99, 0.999)


def nelder_mead(objective: Callable[[np.ndarray], float], start: np.ndarray) -> np.ndarray:
    """Return where the simplex search of Nelder and Mead (Comput. J. 7, 1965) ends from `start` (p,); deterministic.

    SettingsError for more than 20 parameters.
    """
    if len(start) > MOST_PARAMETERS:
        raise SettingsError(
            "Nelder-Mead does not train networks",
            got=f"{len(start)} parameters",
            expected=f"at most {MOST_PARAMETERS}",
            remedy="train by gradients and calibrate a few numbers",
        )
    simplex = np.vstack([start, start + 0.1 * np.eye(len(start))])  # gains of 10 % to begin with
    found = optimize.minimize(
        objective,
        start,
        method="Nelder-Mead",
        options={
            "maxfev": EVALUATIONS_EACH * len(start),
            "xatol": 1e-5,
            "fatol": 1e-9,
            "initial_simplex": simplex,
            "adaptive": True,
        },
    )
    return np.asarray(found.x, dtype=np.float64)


def _weights(log_dose: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Return how much each knot counts at each log dose, (n, k): linear between knots, flat beyond them."""
    return np.stack([np.interp(log_dose, knots, row) for row in np.eye(len(knots))], axis=-1)


@dataclass(frozen=True)
class Head:
    """d -> d exp(g(log d)): g linear between `gains` (k,) at `knots` (k,) of log dose in Gy/GBq, flat beyond.

    Between two knots that is a scale times a power of the dose; zero stays zero.
    """

    knots: np.ndarray
    gains: np.ndarray

    def apply(self, maps: np.ndarray) -> np.ndarray:
        """Return calibrated maps of the same shape and type, Gy/GBq."""
        found = maps.astype(np.float64)
        hot = found > 0
        found[hot] *= np.exp(_weights(np.log(found[hot]), self.knots) @ self.gains)
        return found.astype(maps.dtype)


def fit_head(predicted: np.ndarray, wanted: np.ndarray, mask: np.ndarray, patients: Sequence[str]) -> Head:
    """Fit a head of at most four numbers: the least RMSE inside the body, averaged over patients.

    Maps (n, h, w) in Gy/GBq, `mask` (n, h, w) bool, `patients` (n,). Give predictions for patients that the network
    has not learned from; its own would need no calibration. Without any predicted dose the head changes nothing.
    """
    used = mask & (predicted > 0)
    dose, reference = predicted[used].astype(np.float64), wanted[used].astype(np.float64)
    if not len(dose):
        return Head(np.zeros(1), np.zeros(1))
    log_dose = np.log(dose)
    knots = np.unique(np.quantile(log_dose, QUANTILES))
    weights = _weights(log_dose, knots)
    _, owner = np.unique(np.asarray(patients), return_inverse=True)
    whose = np.broadcast_to(owner[:, None, None], mask.shape)
    sizes = np.maximum(np.bincount(whose[mask], minlength=owner.max() + 1), 1)
    # Voxels without predicted dose cannot change, but are part of each patient's error.
    left = mask & ~used
    fixed = np.bincount(whose[left], wanted[left].astype(np.float64) ** 2, minlength=len(sizes))

    def objective(gains: np.ndarray) -> float:
        errors = (dose * np.exp(np.clip(weights @ gains, -50.0, 50.0)) - reference) ** 2
        sums = np.bincount(whose[used], errors, minlength=len(sizes)) + fixed
        return float(np.sqrt(sums / sizes).mean())

    return Head(knots, nelder_mead(objective, np.zeros(len(knots))))
