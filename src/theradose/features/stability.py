"""How far features survive small changes: intraclass correlation with its lower bound, scatter within a patient."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from theradose.features.perturb import BASE, IMAGE_VERSIONS, MASK_VERSIONS, VERSIONS
from theradose.features.selection import REDUNDANT_ABOVE, DistinctColumns, UsableColumns
from theradose.tables import STABILITY

GROUPS = {"all": VERSIONS, "image": (BASE, *IMAGE_VERSIONS), "mask": (BASE, *MASK_VERSIONS)}
"""Which versions are compared: all of them, or those that change the image or the outline alone."""
STABLE_ICC, GOOD_ICC = 0.90, 0.75
CONFIDENCE = 0.95
FEATURE = ["voi", "filter", "feature_class", "feature"]


@dataclass(frozen=True)
class Icc:
    """An intraclass correlation and the lower end of its two-sided 95 % interval, NaN where there is none."""

    value: float
    low: float


def icc(values: np.ndarray) -> Icc:
    """Return ICC(2,1) of values (targets, raters): two-way random effects, absolute agreement, one rater.

    Shrout and Fleiss, Psychol Bull 86:420 (1979); interval of McGraw and Wong, Psychol Methods 1:30 (1996), ICC(A,1).
    Their four raters and six targets:

    >>> table = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    >>> found = icc(np.array(table, float))
    >>> round(found.value, 2), round(found.low, 2)
    (0.29, 0.02)
    """
    n, k = values.shape
    if n < 2 or k < 2 or np.ptp(values.mean(axis=1)) == 0:
        return Icc(math.nan, math.nan)
    targets, raters, mean = values.mean(axis=1, keepdims=True), values.mean(axis=0, keepdims=True), values.mean()
    rows = k * float(((targets - mean) ** 2).sum()) / (n - 1)
    columns = n * float(((raters - mean) ** 2).sum()) / (k - 1)
    rest = float(((values - targets - raters + mean) ** 2).sum()) / ((n - 1) * (k - 1))
    value = (rows - rest) / (rows + (k - 1) * rest + k * (columns - rest) / n)
    if value >= 1.0:
        return Icc(1.0, 1.0)
    a = k * value / (n * (1.0 - value))
    b = 1.0 + k * value * (n - 1) / (n * (1.0 - value))
    freedom = (a * columns + b * rest) ** 2 / ((a * columns) ** 2 / (k - 1) + (b * rest) ** 2 / ((n - 1) * (k - 1)))
    f = float(stats.f.ppf(0.5 + CONFIDENCE / 2, n - 1, freedom))
    low = n * (rows - f * rest) / (f * (k * columns + (k * n - k - n) * rest) + n * rows)
    return Icc(float(value), float(low))


def cov_within(values: np.ndarray) -> float:
    """Return the median over targets of standard deviation over |mean| of values (targets, raters), NaN without any."""
    means = np.abs(values.mean(axis=1))
    known = means > 0
    if values.shape[1] < 2 or not known.any():
        return math.nan
    return float(np.median(values.std(axis=1, ddof=1)[known] / means[known]))


def stability_table(features: pd.DataFrame, modality: str, threshold: float = STABLE_ICC) -> pd.DataFrame:
    """Return the stability (schema STABILITY) of every feature of a table of versions (schema VERSIONED).

    Only patients with a value in every version of a group count. A feature is stable when the lower bound of its ICC
    reaches `threshold`; where there is no ICC it is not.
    """
    wide = features.pivot(index=[*FEATURE, "patient"], columns="version", values="value")  # noqa: PD010
    everything, rows = wide.to_numpy(float), []
    places: dict[Any, Any] = wide.groupby(level=FEATURE, sort=False).indices
    for key, chosen in places.items():
        for group, versions in GROUPS.items():
            values = everything[chosen][:, [wide.columns.get_loc(name) for name in versions]]
            values = values[np.isfinite(values).all(axis=1)]
            found = icc(values)
            rows.append(
                {
                    **dict(zip(FEATURE, key, strict=True)), "modality": modality, "versions": group,
                    "icc": found.value, "icc_low": found.low, "cov": cov_within(values), "patients": len(values),
                    "stable": "yes" if found.low >= threshold else "no",
                }
            )  # fmt: skip
    table = pd.DataFrame(rows, columns=STABILITY.names())
    return features[FEATURE].drop_duplicates().merge(table, on=FEATURE)[STABILITY.names()]


def base_values(features: pd.DataFrame) -> pd.DataFrame:
    """Return the base version of a table of versions: a row a patient and VOI, a column a feature.

    Columns are `filter.class.feature`, filter after filter, the original image first as presets have it.
    """
    own = features[features["version"] == BASE]
    place = {name: number for number, name in enumerate(dict.fromkeys(own["filter"]))}
    own = own.sort_values("filter", key=lambda names: names.map(place), kind="stable")
    name = own["filter"] + "." + own["feature_class"] + "." + own["feature"]
    wide = own.assign(name=name).pivot(index=["patient", "voi"], columns="name", values="value")  # noqa: PD010
    return wide[list(dict.fromkeys(name))]


def redundancy(values: pd.DataFrame, limit: float = REDUNDANT_ABOVE) -> pd.DataFrame:
    """Return which columns of values (patients, features) stand for themselves, going from left to right.

    A column is kept unless its |Spearman correlation| with one kept before is above `limit`. Columns: feature, kept,
    like (the kept feature it resembles most, itself when kept), rho; flat or mostly empty ones are like none.
    """
    usable = values.loc[:, UsableColumns().fit(values.to_numpy(float)).kept_]
    filled = usable.fillna(usable.median())
    kept = usable.columns[DistinctColumns(limit).fit(filled.to_numpy(float)).kept_]
    rho = filled.corr(method="spearman")[kept]
    like = rho.abs().idxmax(axis=1)
    rows = [
        (name, "yes" if name in kept else "no", like[name], float(rho.loc[name, like[name]]))
        if name in like.index
        else (name, "no", "", math.nan)
        for name in values.columns
    ]
    return pd.DataFrame(rows, columns=["feature", "kept", "like", "rho"])
