"""Scores of nested cross-validation: mean and scatter over repeats, limits by patient, for everyone and each centre."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from theradose.evaluation import classification, metrics
from theradose.evaluation.bootstrap import draws, limits, quiet, resampled
from theradose.evaluation.compare import DECIDES
from theradose.evaluation.score_table import ALL

GROUP, VOI = "group", "voi"
POINTS, BOUNDS = ("predicted", "label"), ("low", "high")


@dataclass(frozen=True)
class Score:
    """A score: its unit, its function over the last axis, and the columns of NESTED_PREDICTIONS that it takes."""

    unit: str
    score: metrics.Score
    columns: tuple[str, ...] = POINTS


SCORES: dict[str, dict[str, Score]] = {
    "organ_dose": {
        **{name: Score(metrics.METRICS[name].unit, metrics.METRICS[name].score) for name in ("mape", "bias")},
        metrics.COVERAGE: Score("%", metrics.interval_coverage, (*BOUNDS, "label")),
        metrics.WIDTH: Score("1", metrics.interval_log_width, BOUNDS),
    },
    "outcome": {
        name: Score("1", classification.METRICS[name].score) for name in ("log_loss", "brier", "auc")
    },
}  # fmt: skip


@dataclass(frozen=True)
class Repeated:
    """A score of each VOI, their mean behind them: by repeat (vois + 1, repeats), resampled (vois + 1, repeats, b)."""

    value: np.ndarray
    samples: np.ndarray
    counts: np.ndarray

    def less(self, other: "Repeated") -> "Repeated":
        """Return the difference from another one of the same patients and resamples, over repeats that both have."""
        both = min(self.value.shape[1], other.value.shape[1])
        value, samples = (getattr(self, n)[:, :both] - getattr(other, n)[:, :both] for n in ("value", "samples"))
        return Repeated(value, samples, np.minimum(self.counts, other.counts))

    def mean(self) -> float:
        """Return the mean over VOIs and repeats, what decides between predictors."""
        return float(quiet(lambda x: np.asarray(np.nanmean(x)), self.value[-1]))


def _with_mean(scores: Sequence[np.ndarray]) -> np.ndarray:
    """Return scores (vois, ...) with the mean over VOIs that have one behind them."""
    stacked = np.stack(scores)
    return np.concatenate([stacked, quiet(lambda x: np.nanmean(x, axis=0), stacked)[None]])


def _of_repeats(rows: pd.DataFrame, column: str, repeats: Sequence[int], patients: Sequence[str]) -> np.ndarray:
    """Return a column of one predictor and VOI as (repeats, patients), NaN where there is no row."""
    place = pd.MultiIndex.from_product([repeats, patients])
    return rows.set_index(["repeat", "patient"])[column].reindex(place).to_numpy(float).reshape(len(repeats), -1)


def scored(score: Score, rows: pd.DataFrame, *, vois: Sequence[str], patients: Sequence[str], seed: int) -> Repeated:
    """Compute one score of one predictor in every repeat, resampling `patients`; the same seed draws the same ones."""
    values, samples, usable = [], [], []
    repeats = sorted(set(rows["repeat"]))
    chosen = draws(len(patients), seed)
    for voi in vois:
        own = rows[rows[VOI] == voi]
        arrays = tuple(_of_repeats(own, column, repeats, patients) for column in score.columns)
        there = np.logical_and.reduce([np.isfinite(array) for array in arrays])
        arrays = tuple(np.where(there, array, np.nan) for array in arrays)
        values.append(quiet(score.score, *arrays))
        samples.append(resampled(score.score, arrays, chosen))
        usable.append(there.any(axis=0))
    counts = np.array([*(own.sum() for own in usable), np.any(usable, axis=0).sum()])
    return Repeated(_with_mean(values), _with_mean(samples), counts)


def _records(
    found: Repeated, vois: Sequence[str], base: Mapping[str, str], metric: str, unit: str
) -> list[dict[str, object]]:
    """Return the rows of one score: each VOI and `all`; repeats are averaged before limits are taken."""
    means = quiet(lambda x: np.nanmean(x, axis=1), found.samples)
    records = []
    for k, voi in enumerate([*vois, ALL]):
        own, value = found.value[k], float(quiet(lambda x: np.asarray(np.nanmean(x)), found.value[k]))
        low, high = limits(means[k])
        spread = float(own.std(ddof=1)) if len(own) > 1 else np.nan
        record = {VOI: voi, "metric": metric, "unit": unit, "value": value, "sd_between_repeats": spread}
        records.append({**base, **record, "low": low, "high": high, "n": int(found.counts[k])})
    return records


def _groups(patients: Sequence[str], centres: Mapping[str, str]) -> dict[str, list[str]]:
    """Return everyone, and the patients of each centre when there are several."""
    named = sorted({centres[patient] for patient in patients})
    found = {name: [p for p in patients if centres[p] == name] for name in named} if len(named) > 1 else {}
    return {ALL: list(patients), **found}


def nested_table(
    predictions: pd.DataFrame,
    *,
    experiment: str,
    kind: str,
    vois: Sequence[str],
    baselines: Sequence[str],
    predictors: Sequence[str],
    centres: Mapping[str, str],
    seed: int,
) -> pd.DataFrame:
    """Return the scores (schema NESTED) of predictions (schema NESTED_PREDICTIONS) of all predictors of an experiment.

    Each score is the mean over repeats; its limits come from drawing patients, each with all his repeats. `all` is the
    mean over VOIs. The rows `<metric>_minus_best_baseline` are paired by patient; the best baseline is everyone's.
    """
    wanted, decides = SCORES[kind], DECIDES[kind]
    own = {name: predictions[predictions["predictor"] == name] for name in predictors}
    records: list[dict[str, object]] = []
    standard = ""
    for group, patients in _groups(sorted(set(predictions["patient"])), centres).items():
        decisive: dict[str, Repeated] = {}
        for name, rows in own.items():
            base = {"experiment": experiment, "predictor": name, GROUP: group}
            for metric, score in wanted.items():
                found = scored(score, rows, vois=vois, patients=patients, seed=seed)
                records += _records(found, vois, base, metric, score.unit)
                if metric == decides:
                    decisive[name] = found
        standard = standard or min(baselines, key=lambda name: decisive[name].mean())
        for name, found in decisive.items():
            base = {"experiment": experiment, "predictor": name, GROUP: group}
            apart = found.less(decisive[standard])
            records += _records(apart, vois, base, f"{decides}_minus_best_baseline", wanted[decides].unit)
    order = {name: place for place, name in enumerate(predictors)}
    table = pd.DataFrame(records)
    return table.sort_values("predictor", key=lambda names: names.map(order), kind="stable", ignore_index=True)
