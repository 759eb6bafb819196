"""A radiomics preset: PyRadiomics' own YAML form, held to the rules that keep its numbers meaningful."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from theradose.errors import SettingsError, Where
from theradose.imaging.grid import Grid
from theradose.settings import read_yaml

UNIT_OF = {"pet": "g/mL", "ct": "HU"}
ORIGINAL, LOG = "Original", "LoG"
ORIGINAL_NAME = "original"
PARTS = ("imageType", "featureClass", "setting")
# 8 sigma of image around the VOIs leave an error of 5e-6 at sigma 12 mm; PyRadiomics' default of 5 voxels leaves 26 %.
MARGIN_SIGMA = 8.0
# One bin of 5 SUV or more holds most organs whole: the texture is then a constant.
PET_BIN_WIDTH_BELOW_SUV = 5.0
SCALE_TOLERANCE_MM = 1e-3
SPACING, INTERPOLATOR, LINEAR = "resampledPixelSpacing", "interpolator", "sitkLinear"
REFUSED = {
    "normalize": "it scales by the whole field of view, so the same organ gets other values in a cropped image",
    "normalizeScale": "it belongs to `normalize`, which is refused",
    "removeOutliers": "it belongs to `normalize`, which is refused",
    "preCrop": "images are cropped with a margin of 8 sigma of the widest filter",
    "padDistance": "images are cropped with a margin of 8 sigma of the widest filter",
    "resegmentRange": "masks are used as they are",
    "correctMask": "masks are put on the image's grid before",
    "label": "VOIs are chosen by name",
    "geometryTolerance": "image and mask share one grid",
}


@dataclass(frozen=True)
class Filter:
    """One image the features are taken from: PyRadiomics' name, the kind of filter, its scale and own settings."""

    name: str
    kind: str
    sigma_mm: float | None
    settings: Mapping[str, Any]

    def below_voxel(self, grid: Grid) -> bool:
        """Tell whether the scale is finer than the coarsest side of a voxel, so that it would see the grid."""
        return self.sigma_mm is not None and self.sigma_mm < max(grid.spacing_mm) - SCALE_TOLERANCE_MM


@dataclass(frozen=True)
class Preset:
    """What to extract from images of one modality: filters, features by class (None: all), PyRadiomics settings.

    `spacing_mm` (x, y, z) is the voxel size that images are brought to before, None for the one they have.
    """

    name: str
    modality: str
    filters: tuple[Filter, ...]
    feature_classes: Mapping[str, tuple[str, ...] | None]
    setting: Mapping[str, Any]
    spacing_mm: tuple[float, float, float] | None = None

    @property
    def unit(self) -> str:
        """The unit the image must be in: g/mL (SUV) for PET, HU for CT."""
        return UNIT_OF[self.modality]

    @property
    def margin_mm(self) -> float:
        """How much image must surround the VOIs, mm."""
        return MARGIN_SIGMA * max((f.sigma_mm for f in self.filters if f.sigma_mm is not None), default=0.0)

    def require_a_scale(self, grid: Grid) -> None:
        """Raise SettingsError when the preset has LoG scales and every one is below a voxel of the grid."""
        scales = [f for f in self.filters if f.sigma_mm is not None]
        if scales and all(f.below_voxel(grid) for f in scales):
            raise SettingsError(
                f"preset {self.name} has no LoG scale left",
                got=f"sigma {[f.sigma_mm for f in scales]} mm on voxels of {max(grid.spacing_mm):.3g} mm",
                expected="at least one sigma of a voxel or more",
                remedy="choose a preset made for this voxel size",
                code="THR-111",
            )

    def content(self) -> dict[str, Any]:
        """Return what PyRadiomics itself is to do with an image that is resampled already."""
        images: dict[str, Any] = {}
        for f in self.filters:
            own = images.setdefault(f.kind, dict(f.settings))
            if f.sigma_mm is not None:
                own.setdefault("sigma", []).append(f.sigma_mm)
        classes = {name: None if chosen is None else list(chosen) for name, chosen in self.feature_classes.items()}
        return {"imageType": images, "featureClass": classes, "setting": dict(self.setting)}


def _filters(images: Mapping[str, Any], refuse: "_Refusal") -> tuple[Filter, ...]:
    """Return one filter per image: the original and one LoG per scale."""
    found: list[Filter] = []
    for kind, given in images.items():
        own = dict(given or {})
        if kind == ORIGINAL:
            found.append(Filter(ORIGINAL_NAME, kind, None, own))
        elif kind == LOG:
            sigmas = [float(sigma) for sigma in own.pop("sigma", [])]
            if not sigmas or min(sigmas) <= 0 or len(set(sigmas)) < len(sigmas):
                refuse("imageType.LoG.sigma", sigmas, "different positive scales in mm")
            if not own.get("binCount"):
                refuse("imageType.LoG", own, "binCount: a fixed bin width has no meaning on a filtered image")
            found += [Filter(f"log-sigma-{str(s).replace('.', '-')}-mm-3D", kind, s, own) for s in sigmas]
        else:
            refuse("imageType", kind, f"{ORIGINAL} or {LOG}")
    return tuple(found)


class _Refusal:
    """Raises the SettingsError of a preset file."""

    def __init__(self, file: str) -> None:
        self.file = file

    def __call__(self, field: str, got: object, expected: str) -> None:
        """Refuse a value of the file."""
        raise SettingsError(
            "radiomics preset is not valid",
            where=Where(file=self.file, field=field),
            got=got,
            expected=expected,
            remedy="edit the preset",
            code="THR-110",
        )


def preset_from(content: Mapping[str, Any], modality: str, name: str) -> Preset:
    """Turn PyRadiomics parameters into a preset for `pet` or `ct`; SettingsError names the first fault."""
    refuse = _Refusal(name)
    if modality not in UNIT_OF:
        refuse("modality", modality, f"one of {list(UNIT_OF)}")
    unknown = [key for key in content if key not in PARTS]
    if unknown or not content.get("featureClass"):
        refuse("/".join(unknown) or "featureClass", list(content), f"{list(PARTS)}, with at least one feature class")
    images, setting = content.get("imageType") or {ORIGINAL: {}}, dict(content.get("setting") or {})
    for given in (setting, *(own or {} for own in images.values())):
        for key in given:
            if key in REFUSED:
                refuse(key, given[key], f"no such key: {REFUSED[key]}")
    spacing = _spacing(setting, refuse)
    filters = _filters(images, refuse)
    for f in filters:
        _check_bins({**setting, **f.settings}, modality, f, refuse)
    classes = {key: tuple(chosen) if chosen else None for key, chosen in content["featureClass"].items()}
    return Preset(name, modality, filters, classes, setting, spacing)


def _spacing(setting: dict[str, Any], refuse: _Refusal) -> tuple[float, float, float] | None:
    """Take the voxel size out of the settings, for resampling is done here and not by PyRadiomics."""
    given, how = setting.pop(SPACING, None), setting.pop(INTERPOLATOR, None)
    if given is None and how is None:
        return None
    sizes = [float(size) for size in given or ()]
    if len(sizes) != 3 or min(sizes) <= 0:
        refuse(f"setting.{SPACING}", given, "three positive voxel sizes, mm")
    if how != LINEAR:
        refuse(f"setting.{INTERPOLATOR}", how, f"{LINEAR}, written out, for PyRadiomics' default is a B-spline")
    return (sizes[0], sizes[1], sizes[2])


def _check_bins(setting: Mapping[str, Any], modality: str, f: Filter, refuse: _Refusal) -> None:
    """Refuse a filter without declared bins, and bins of a PET that are as wide as an organ's uptake."""
    if not (setting.get("binWidth") or setting.get("binCount")):
        refuse(f"setting.binWidth ({f.name})", None, "binWidth or binCount; PyRadiomics' silent 25 is for CT alone")
    if modality == "pet" and not setting.get("binCount") and float(setting["binWidth"]) >= PET_BIN_WIDTH_BELOW_SUV:
        refuse("setting.binWidth", setting["binWidth"], f"below {PET_BIN_WIDTH_BELOW_SUV:g} SUV; 0.1 to 0.5 is usual")


def read_preset(path: Path, modality: str) -> Preset:
    """Read `path` (YAML in PyRadiomics' form) as a preset for `pet` or `ct`; SettingsError names the first fault."""
    return preset_from(read_yaml(path), modality, Path(path).stem)
