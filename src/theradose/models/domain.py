"""Whether a patient is like those learned from: range, nearest neighbours and leverage as one score with a cut."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd

from theradose.errors import DataError
from theradose.models.columns import log_where
from theradose.models.conformal import rank
from theradose.models.examples import SUV, VOLUME, WEIGHT, OrganExamples

KEY = (SUV, VOLUME, WEIGHT, "biological.egfr_ml_min")
MEASURES = ("box", "neighbours", "leverage")
BOX, KEPT, NEAREST, NAMED, FEWEST, FOLDS, AT_ONCE = (0.05, 0.95), 0.95, 3, 3, 10, 20, 256
SMALLEST = 1e-3  # a measure that is zero for nearly all in training counts from here
RIDGE = 1.0  # added to the sums of squares: with more columns than patients no direction gets an infinite leverage
IQR_OF_NORMAL = 1.349
# For organs held together. With 95 % of few patients, the largest, as its unit no training patient would be beyond any
# measure, and a cut would know nothing of several at once: units are what 80 % stay below (the design's share for
# neighbours), and two spreads beyond a range, which most do not leave (chosen on tier-1 patients, 27 and 165 of them).
UNITS, RANGE_UNIT, MANY = 0.80, 2.0, 0.90
# The design's 95th out-of-fold percentile, of the patient and not of each organ. A cut from few patients scatters: with
# 0.91, an expectation just below the one in ten who may be in doubt, 13 % of fresh ones were (benchmarks/shifted.py).
TOGETHER = 0.95
PREFIX = "domain."


def _learned(z: np.ndarray) -> dict[str, np.ndarray]:
    """Return what the measures need of standardised training rows (n, p): range, rows, inverse sums of squares."""
    return {
        "range": np.quantile(z, BOX, axis=0),
        "mean": z.mean(axis=0),
        # In the order of the first column: a place among the rows then says not who is who.
        "rows": z[np.lexsort(z.T[::-1])],
        "inverse": np.linalg.inv((z - z.mean(axis=0)).T @ (z - z.mean(axis=0)) + RIDGE * np.eye(z.shape[1])),
    }


def _parts(z: np.ndarray, a: Mapping[str, np.ndarray], keys: int) -> np.ndarray:
    """Return what each column adds to each measure, (3, n, p); the first `keys` columns are the key inputs.

    Beyond the range in spreads; squared distance to the nearest patients; leverage without its constant.
    """
    beyond = np.maximum(np.maximum(a["range"][0] - z, z - a["range"][1]), 0.0)
    beyond[:, keys:] = 0.0
    apart = (z[:, None, :] - a["rows"][None]) ** 2
    nearest = np.argsort(apart.sum(axis=2), axis=1, kind="stable")[:, :NEAREST]
    near = np.take_along_axis(apart, nearest[:, :, None], axis=1).mean(axis=1)
    centred = z - a["mean"]
    return np.stack([beyond, near, centred * (centred @ a["inverse"])])


def _measures(parts: np.ndarray) -> np.ndarray:
    """Return the measures (3, n) of what columns add, (3, n, p)."""
    return np.stack([parts[0].max(axis=1), np.sqrt(parts[1].sum(axis=1)), parts[2].sum(axis=1)])


def _out_of_fold(z: np.ndarray, keys: int) -> np.ndarray:
    """Return the measures (3, n) of each training patient beside the others, in folds."""
    place, found = np.arange(len(z)) % FOLDS, np.zeros((len(MEASURES), len(z)))
    for fold in sorted(set(place)):
        found[:, place == fold] = _measures(_parts(z[place == fold], _learned(z[place != fold]), keys))
    return found


def _upper(values: np.ndarray, kept: float = KEPT) -> np.ndarray:
    """Return along the last axis the value that a new one stays below with `kept`, the largest when there are few."""
    n = values.shape[-1]
    return np.asarray(np.sort(values, axis=-1)[..., min(rank(n, kept), n) - 1])


@dataclass(frozen=True)
class Domain:
    """What training patients look like, in `columns`, the first `keys` of them held to their range; no dose is seen."""

    columns: tuple[str, ...]
    keys: int
    arrays: dict[str, np.ndarray]

    @classmethod
    def fit(cls, examples: OrganExamples, columns: Sequence[str], beside: Sequence[str] = ()) -> Self:
        """Learn from training examples: key inputs they have, `beside` them, `columns`; what never varies is left out.

        Key inputs and `beside` are held to their range, and a patient without a key input is never inside. The score of
        a patient is the largest of three measures, each as a multiple of what 95 % of training patients stay below out
        of fold; the cut is its 95 % rank. DataError for fewer than ten patients or when nothing varies.
        """
        wanted = tuple(dict.fromkeys((*KEY, *beside, *columns)))
        names = [name for name in wanted if name in examples.covariates and len(set(_known(examples.column(name)))) > 1]
        if len(examples) < FEWEST or not names:
            got = f"{len(examples)} patients, {len(names)} columns"
            raise DataError(
                "too little to say what is usual", got=got, expected=f"{FEWEST} patients, a column that varies"
            )
        raw, keys = examples.covariates[names].to_numpy(float), sum(name in {*KEY, *beside} for name in names)
        scale = _scale(raw)
        z = _standardised(raw, scale)
        usual = _out_of_fold(z, keys)
        unit = np.maximum(_upper(usual), SMALLEST)
        cut = _upper((usual / unit[:, None]).max(axis=0))
        return cls(tuple(names), keys, {**scale, **_learned(z), "unit": unit, "cut": np.array([cut])})

    @property
    def cut(self) -> float:
        """Return the score above which a patient is unlike those learned from."""
        return float(self.arrays["cut"][0])

    def score(self, examples: OrganExamples) -> np.ndarray:
        """Return the score of each patient, (n,), infinite where a key input is missing; no dose is needed."""
        return np.asarray(np.where(self._gaps(examples).any(axis=1), np.inf, self._relative(examples)[1].max(axis=0)))

    def score_out_of_fold(self, examples: OrganExamples) -> np.ndarray:
        """Return the score of each training patient beside those of other folds, (n,), as the cut was made.

        `examples` are those of `fit`, in their order; scales and units alone are of all of them.
        """
        found = _out_of_fold(_standardised(self._raw(examples), self.arrays), self.keys) / self.arrays["unit"][:, None]
        return np.asarray(np.where(self._gaps(examples).any(axis=1), np.inf, found.max(axis=0)))

    def abstain(self, examples: OrganExamples) -> list[list[str]]:
        """Return for each patient the reasons to give no prediction, with columns that matter; none below the cut."""
        parts, relative = self._relative(examples)
        gaps, raw = self._gaps(examples), self._raw(examples)
        return [
            [f"{self.columns[j]} is missing" for j in np.flatnonzero(gaps[i])]
            + [self._words(int(m), parts[m, i], raw[i]) for m in np.flatnonzero(relative[:, i] > self.cut)]
            for i in range(len(examples))
        ]

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the arrays under the names `restore` looks for."""
        return {PREFIX + name: np.ascontiguousarray(values) for name, values in self.arrays.items()}

    def notes(self) -> dict[str, Any]:
        """Return what `restore` needs beside the arrays; JSON-like."""
        return {"columns": list(self.columns), "keys": self.keys}

    @classmethod
    def restore(cls, notes: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> Self:
        """Build it again from what `notes` and `tensors` gave."""
        arrays = {n.removeprefix(PREFIX): v for n, v in tensors.items() if n.startswith(PREFIX)}
        return cls(tuple(notes["columns"]), int(notes["keys"]), arrays)

    def _raw(self, examples: OrganExamples) -> np.ndarray:
        return np.stack([examples.column(name) for name in self.columns], axis=1)

    def _gaps(self, examples: OrganExamples) -> np.ndarray:
        needed = np.array([name in KEY for name in self.columns])
        return ~np.isfinite(self._raw(examples)) & needed

    def _relative(self, examples: OrganExamples) -> tuple[np.ndarray, np.ndarray]:
        """Return what columns add to each measure, (3, n, p), and the measures in their units, (3, n)."""
        a = self.arrays
        z = _standardised(self._raw(examples), a)
        few = [_parts(z[i : i + AT_ONCE], a, self.keys) for i in range(0, max(len(z), 1), AT_ONCE)]
        parts = np.concatenate(few, axis=1)
        return parts, _measures(parts) / a["unit"][:, None]

    def _words(self, measure: int, parts: np.ndarray, raw: np.ndarray) -> str:
        """Return one sentence about a measure, what columns (p,) add to it, and their values (p,)."""
        most = [j for j in np.argsort(-parts, kind="stable")[:NAMED] if parts[j] > 0.25 * parts.max()]
        named = ", ".join(f"{self.columns[j]} {raw[j]:.3g}" for j in most)
        if MEASURES[measure] == "box":
            return f"beyond what nine in ten training patients have: {named}"
        if MEASURES[measure] == "neighbours":
            return f"no training patient is alike, most of all in {named}"
        return f"values that training patients do not have together: {named}"


def held_together(domains: Mapping[str, Domain], parts: Mapping[str, OrganExamples]) -> dict[str, Domain]:
    """Return the domains of a patient's organs with units and cuts for all of them together.

    A patient is in doubt when any organ is, so each organ's 5 % add up. Cuts become one multiple of what 90 % of the
    training patients (`parts`, to which the domains were fitted) stay below in each organ, out of fold: that which 95 %
    stay below in all organs together.
    """
    units, scores = {}, {}
    for organ, one in domains.items():
        usual = _out_of_fold(_standardised(one._raw(parts[organ]), one.arrays), one.keys)
        units[organ] = np.maximum(_upper(usual, UNITS), (RANGE_UNIT, SMALLEST, SMALLEST))
        scores[organ] = pd.Series((usual / units[organ][:, None]).max(axis=0), list(parts[organ].patients))
    ninety = {organ: float(_upper(own.to_numpy(), MANY)) for organ, own in scores.items()}
    worst = pd.concat([own / ninety[organ] for organ, own in scores.items()], axis="columns").max(axis="columns")
    multiple = float(_upper(worst.to_numpy(), TOGETHER))
    return {
        organ: replace(one, arrays=one.arrays | {"unit": units[organ], "cut": np.array([multiple * ninety[organ]])})
        for organ, one in domains.items()
    }


def _known(values: np.ndarray) -> np.ndarray:
    """Return the finite ones of values (n,)."""
    return values[np.isfinite(values)]


def _scale(raw: np.ndarray) -> dict[str, np.ndarray]:
    """Return of columns (n, p) which are logged (all above zero), where the logarithm ends, median, robust spread."""
    logged = np.nanmin(raw, axis=0) > 0
    floor = np.where(logged, np.nanmin(raw, axis=0) / 2.0, 0.0)
    values = log_where(raw, logged, floor)
    low, middle, high = np.nanquantile(values, (0.25, 0.5, 0.75), axis=0)
    robust = (high - low) / IQR_OF_NORMAL
    spread = np.where(robust > 0, robust, np.nanstd(values, axis=0))
    return {"logged": logged.astype(np.uint8), "floor": floor, "middle": middle, "spread": spread}


def _standardised(raw: np.ndarray, a: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return columns (n, p) in robust spreads from the median, gaps as the median."""
    values = log_where(raw, a["logged"].astype(bool), a["floor"])
    return np.asarray(np.where(np.isfinite(values), (values - a["middle"]) / a["spread"], 0.0))
