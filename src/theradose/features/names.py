"""One feature, four names: ours, PyRadiomics', IBSI's and LIFEx's, with the unit of its values."""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TABLE = Path(__file__).parent / "data" / "feature_names.csv"
# The class of our own features, which PyRadiomics does not have.
LOCAL = "local"
# Stands in a unit for the unit of the image.
IMAGE_UNIT = "U"


@dataclass(frozen=True)
class FeatureName:
    """A feature: PyRadiomics' class and name, IBSI's code and tag, LIFEx's name, its block among the 71, its unit.

    What a feature does not have is empty. `twin` is the feature (`class.feature`) that holds the value where
    PyRadiomics refuses to compute it twice.
    """

    feature_class: str
    feature: str
    ibsi_code: str
    ibsi_tag: str
    lifex_name: str
    lifex71_block: str
    unit: str
    twin: str


@cache
def feature_names() -> tuple[FeatureName, ...]:
    """Return the whole table, in its order."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    return tuple(FeatureName(**row) for row in csv.DictReader(line for line in lines if not line.startswith("#")))


def ibsi_tags() -> dict[str, tuple[str, str]]:
    """Return IBSI's tag -> (class, feature) of PyRadiomics whose value is to be compared, twins followed."""
    found = {}
    for name in feature_names():
        if name.ibsi_tag and name.feature_class != LOCAL:
            kind, _, feature = (name.twin or f"{name.feature_class}.{name.feature}").partition(".")
            found[name.ibsi_tag] = (kind, feature)
    return found


@cache
def _units() -> dict[tuple[str, str], str]:
    """Return (class, feature) -> unit."""
    return {(name.feature_class, name.feature): name.unit for name in feature_names()}


def unit_of(feature_class: str, feature: str, image_unit: str) -> str:
    """Return the unit of a feature of an image in `image_unit`; what the table does not hold is a pure number.

    LoG responses, scaled by sigma squared, have the unit of the image.
    """
    return _units().get((feature_class, feature), "1").replace(IMAGE_UNIT, image_unit)
