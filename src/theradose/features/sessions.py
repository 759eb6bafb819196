"""Names for images by when they were made, and the change of a feature from one image to the next."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from theradose.features.names import unit_of
from theradose.features.presets import ORIGINAL_NAME, UNIT_OF

# Times (h) that images are meant to be made at; each belongs to the nearest on the log scale, 3 h and 6 h to 4 h.
NOMINAL_H = (1.0, 2.0, 4.0, 24.0, 48.0, 72.0, 96.0, 168.0)
NO_TIME = -1.0
DELTA = "delta"
# What changes sign has no ratio; so too intensities of filtered images.
SIGNED = {("firstorder", "Skewness"), ("glcm", "ClusterShade"), ("glcm", "Correlation"), ("glcm", "Imc1")}


def feature_unit(modality: str, feature_class: str, feature: str) -> str:
    """Return the unit of a feature by modality; a SPECT is taken in SUV, as a PET is."""
    return unit_of(feature_class, feature, UNIT_OF.get(modality, UNIT_OF["pet"]))


def nominal_h(time_h: np.ndarray) -> np.ndarray:
    """Return the nominal time, h, of every time (n,) after the injection, h; NO_TIME for NaN."""
    times = np.asarray(time_h, float)
    apart = np.abs(np.log(np.maximum(times, 1e-3))[:, None] - np.log(NOMINAL_H))
    return np.where(np.isnan(times), NO_TIME, np.asarray(NOMINAL_H)[np.nan_to_num(apart).argmin(axis=1)])


def image_names(features: pd.DataFrame) -> pd.Series:
    """Return the name of each row's image: `pet`, then by nominal time `pet_4h`, `pet_24h`.

    The first of a patient and session is `pet`, unless others had their later images then: that patient missed
    the first. A second image at one nominal time ends in `_2`. Rows need patient, session, modality and time_h.
    """
    by = ["patient", "session", "modality"]
    images = features[[*by, "time_h"]].drop_duplicates().sort_values([*by, "time_h"])
    images["nominal"] = nominal_h(images["time_h"].to_numpy())
    slot = images.groupby(by)["nominal"].rank("dense")
    kind = images["modality"]
    later_from = images[slot > 1].groupby("modality")["nominal"].min()
    plain = (slot == 1) & ~(images["nominal"] >= kind.map(later_from).astype("float64"))
    again = images.groupby([*by, "nominal"]).cumcount() + 1
    at = images["nominal"].map("_{:g}h".format).astype("str").where(~plain, "")
    images["image"] = kind + at + again.map("_{}".format).astype("str").where(again > 1, "")
    return features[[*by, "time_h"]].merge(images, how="left")["image"].set_axis(features.index)


def in_order(images: pd.DataFrame) -> list[str]:
    """Return the different names in column `image`, earliest first by the median of their column `time_h`."""
    return [str(name) for name in images.groupby("image")["time_h"].median().sort_values(kind="stable").index]


def changes(
    wide: pd.DataFrame, once: pd.DataFrame, pairs: Sequence[tuple[str, str]]
) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Return what changes from one image to another as columns `delta.<later>-<earlier>.<feature>`, and their rows.

    `wide` has columns `<image>.<feature>`, `once` describes them (index: column; modality, filter, feature_class,
    feature), `pairs` are (earlier, later). log(later / earlier), where both are positive, else missing; the
    difference for features that change sign. Left out where nobody has a value. Rows: column, unit, meaning.
    """
    found: dict[str, pd.Series] = {}
    rows = []
    for earlier, later in pairs:
        for column, about in once[once["image"] == later].iterrows():
            name = str(column).removeprefix(f"{later}.")
            before = f"{earlier}.{name}"
            if before not in wide:
                continue
            label, signed = f"{DELTA}.{later}-{earlier}.{name}", changes_sign(about)
            change = _change(wide[before], wide[column], signed=signed)
            if change.isna().all():
                continue
            found[label] = change
            unit = feature_unit(about["modality"], about["feature_class"], about["feature"]) if signed else "1"
            meaning = f"{'difference' if signed else 'log ratio'}, {later} against {earlier}: {name}"
            rows.append({"column": label, "unit": unit, "meaning": meaning})
    return pd.DataFrame(found, index=wide.index), rows


def changes_sign(about: "pd.Series[str]") -> bool:
    """Tell whether a feature (modality, filter, feature_class, feature) may change sign, so that it has no ratio."""
    kind = (about["feature_class"], about["feature"])
    signed_image = about["filter"] != ORIGINAL_NAME or about["modality"] == "ct"
    return kind in SIGNED or (kind[0] == "firstorder" and signed_image)


def _change(earlier: pd.Series, later: pd.Series, *, signed: bool) -> pd.Series:
    """Return the difference, or the logarithm of the ratio where both are positive."""
    if signed:
        return later - earlier
    return np.log(later.where(later > 0)) - np.log(earlier.where(earlier > 0))
