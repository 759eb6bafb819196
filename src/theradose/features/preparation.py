"""What is done to an image and its masks before PyRadiomics sees them, as a preset says it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

SPACING, INTERPOLATOR = "resampledPixelSpacing", "interpolator"
INTERPOLATORS = {"sitkLinear": "linear", "sitkBSpline": "bspline"}
OURS, PLAIN = "theradose", "pyradiomics"
SECTION = "preprocess"


class Refusal(Protocol):
    """Raises the SettingsError of a preset file."""

    def __call__(self, field: str, got: object, expected: str) -> None:
        """Refuse a value of the file."""


@dataclass(frozen=True)
class Preparation:
    """Voxels, range and levels of an image before features are taken.

    `spacing_mm` (x, y, z): voxels that images are brought to, None for those they have. `interpolation`: linear or
    bspline. `average`: larger voxels are means over what they cover, where IBSI takes the value at their centre.
    `range_low`, `range_high` (unit of the image): voxels of a VOI that count for intensities; shape sees all of them.
    `sigma`: of those, the ones within so many standard deviations of their mean. `bin_anchor` (unit of the image): the
    lower edge of the first grey level of a fixed bin width; None numbers the levels from the lowest voxel of the VOI,
    as PyRadiomics does. `engine`: `pyradiomics` leaves all of it to PyRadiomics, for results of old papers.
    """

    spacing_mm: tuple[float, float, float] | None = None
    interpolation: str = "linear"
    average: bool = False
    range_low: float | None = None
    range_high: float | None = None
    sigma: float | None = None
    bin_anchor: float | None = None
    engine: str = OURS

    @property
    def resegments(self) -> bool:
        """Tell whether some voxels of a VOI are left out of its intensities."""
        return any(limit is not None for limit in (self.range_low, self.range_high, self.sigma))


AS_IT_IS = Preparation()


def preparation_from(
    given: Mapping[str, Any] | None, setting: dict[str, Any], modality: str, refuse: Refusal
) -> Preparation:
    """Return what the section `preprocess` of a preset says, taking voxel size and interpolator out of `setting`.

    `modality` is that of the images it is used for, and must be the preset's when it states one. `refuse` raises the
    SettingsError that names the field.
    """
    own = dict(given or {})
    made_for = own.pop("modality", modality)
    if made_for != modality:
        refuse(f"{SECTION}.modality", modality, f"{made_for}, for which this preset is made")
    engine = own.pop("engine", OURS)
    if engine not in (OURS, PLAIN):
        refuse(f"{SECTION}.engine", engine, f"{OURS} or {PLAIN}")
    if engine == PLAIN:
        if own:
            refuse(SECTION, sorted(own), f"nothing else beside engine: {PLAIN}")
        return Preparation(engine=PLAIN)
    spacing, interpolation = _voxels(setting, refuse)
    found: dict[str, Any] = {"spacing_mm": spacing, "interpolation": interpolation}
    for key, value in own.items():
        found.update(_part(key, value, refuse))
    return Preparation(**found)


def _voxels(setting: dict[str, Any], refuse: Refusal) -> tuple[tuple[float, float, float] | None, str]:
    """Take voxel size and interpolation out of the settings, for resampling is done here and not by PyRadiomics."""
    given, how = setting.pop(SPACING, None), setting.pop(INTERPOLATOR, None)
    if given is None and how is None:
        return None, "linear"
    sizes = [float(size) for size in given or ()]
    if len(sizes) != 3 or min(sizes) <= 0:
        refuse(f"setting.{SPACING}", given, "three positive voxel sizes, mm")
    if how not in INTERPOLATORS:
        refuse(f"setting.{INTERPOLATOR}", how, f"{' or '.join(INTERPOLATORS)}, written out")
    return (sizes[0], sizes[1], sizes[2]), INTERPOLATORS[str(how)]


def _part(key: str, value: Any, refuse: Refusal) -> dict[str, Any]:
    """Return the fields that one key of the section stands for."""
    field = f"{SECTION}.{key}"
    if key == "average":
        if not isinstance(value, bool):
            refuse(field, value, "true or false")
        return {"average": value}
    if key == "resegment_range":
        limits = [None if v is None else float(v) for v in value or ()]
        if len(limits) != 2 or (None not in limits and not limits[0] < limits[1]):  # type: ignore[operator]
            refuse(field, value, "[lowest, highest] in the unit of the image, null for no limit")
        return {"range_low": limits[0], "range_high": limits[1]}
    if key == "resegment_sigma" and not (isinstance(value, int | float) and value > 0):
        refuse(field, value, "a positive number of standard deviations")
    if key == "bin_anchor" and not isinstance(value, int | float):
        refuse(field, value, "a value in the unit of the image")
    known = {"resegment_sigma": "sigma", "bin_anchor": "bin_anchor"}
    if key not in known:
        refuse(field, value, "modality, engine, average, resegment_range, resegment_sigma or bin_anchor")
    return {known[key]: float(value)}
