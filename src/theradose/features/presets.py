"""A radiomics preset: PyRadiomics' own YAML form, held to the rules that keep its numbers meaningful."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from theradose.errors import SettingsError, Where
from theradose.features.names import LOCAL
from theradose.features.preparation import AS_IT_IS, PLAIN, SECTION, Preparation, preparation_from
from theradose.imaging.grid import Grid
from theradose.settings import read_yaml

PRESETS = Path("config/radiomics")
UNIT_OF = {"pet": "g/mL", "ct": "HU", "dose": "Gy"}
ORIGINAL, LOG, WAVELET = "Original", "LoG", "Wavelet"
ORIGINAL_NAME = "original"
WAVELET_BANDS = ("LLH", "LHL", "LHH", "HLL", "HLH", "HHL", "HHH", "LLL")
PARTS = ("imageType", "featureClass", "setting", SECTION)
# Features of our own, computed beside PyRadiomics'.
LOCAL_FEATURES = ("peak", "tlu")
# 8 sigma of image around the VOIs leave an error of 5e-6 at sigma 12 mm; PyRadiomics' default of 5 voxels leaves 26 %.
MARGIN_SIGMA = 8.0
# One bin of 5 SUV or more holds most organs whole: the texture is then a constant.
PET_BIN_WIDTH_BELOW_SUV = 5.0
SCALE_TOLERANCE_MM = 1e-3
# Half the length of coif1, PyRadiomics' wavelet, in voxels, and one for the shift of the undecimated transform.
WAVELET_MARGIN_VOXELS = 5
REFUSED = {
    "normalize": "it scales by the whole field of view, so the same organ gets other values in a cropped image",
    "normalizeScale": "it belongs to `normalize`, which is refused",
    "removeOutliers": "it belongs to `normalize`, which is refused",
    "preCrop": "images are cropped with a margin of 8 sigma of the widest filter",
    "padDistance": "images are cropped with a margin of 8 sigma of the widest filter",
    "resegmentRange": "it stands under `preprocess` as resegment_range, and may go with resegment_sigma",
    "resegmentMode": "it stands under `preprocess` as resegment_range and resegment_sigma",
    "resegmentShape": "the shape is that of the mask as drawn",
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
    """What to extract from images of one modality: preparation, filters, features by class (None: all), settings.

    `own` names features of our own that PyRadiomics does not have; `recipe` is all of it as it was read, and makes the
    same preset again.
    """

    name: str
    modality: str
    filters: tuple[Filter, ...]
    feature_classes: Mapping[str, tuple[str, ...] | None]
    setting: Mapping[str, Any]
    preparation: Preparation = AS_IT_IS
    own: tuple[str, ...] = ()
    recipe: Mapping[str, Any] = field(default_factory=dict)

    @property
    def unit(self) -> str:
        """The unit the image must be in: g/mL (SUV) for PET, HU for CT, Gy for a dose map."""
        return UNIT_OF[self.modality]

    def margin_mm(self, grid: Grid) -> float:
        """Return how much image of a grid must surround the VOIs, mm: 8 sigma of the widest LoG, 5 voxels of wavelets.

        It cannot be set: PyRadiomics' own 5 voxels leave errors of up to 26 %.
        """
        wavelets = any(f.kind == WAVELET for f in self.filters)
        widest = max((f.sigma_mm for f in self.filters if f.sigma_mm is not None), default=0.0)
        return max(MARGIN_SIGMA * widest, WAVELET_MARGIN_VOXELS * max(grid.spacing_mm) if wavelets else 0.0)

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
    """Return one filter per image: the original, one LoG per scale, one wavelet per band."""
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
        elif kind == WAVELET:
            if not own.get("binCount"):
                refuse("imageType.Wavelet", own, "binCount: a fixed bin width has no meaning on a filtered image")
            if own.get("level", 1) != 1 or own.get("start_level", 0) != 0:
                refuse("imageType.Wavelet", own, "one level; scales beyond it are the LoG's")
            found += [Filter(f"wavelet-{band}", kind, None, own) for band in WAVELET_BANDS]
        else:
            refuse("imageType", kind, f"{ORIGINAL}, {LOG} or {WAVELET}")
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
    """Turn PyRadiomics parameters into a preset for `pet`, `ct` or `dose`; SettingsError names the first fault.

    A section `preprocess` says what is done to the image before (features.preparation).
    """
    refuse = _Refusal(name)
    if modality not in UNIT_OF:
        refuse("modality", modality, f"one of {list(UNIT_OF)}")
    unknown = [key for key in content if key not in PARTS]
    if unknown or not content.get("featureClass"):
        refuse("/".join(unknown) or "featureClass", list(content), f"{list(PARTS)}, with at least one feature class")
    images, setting = content.get("imageType") or {ORIGINAL: {}}, dict(content.get("setting") or {})
    preparation = preparation_from(content.get(SECTION), setting, modality, refuse)
    if preparation.engine != PLAIN:
        _check_keys(images, setting, refuse)
    filters = _filters(images, refuse)
    for f in filters:
        _check_bins({**setting, **f.settings}, modality, f, refuse)
    classes = {key: tuple(chosen) if chosen else None for key, chosen in content["featureClass"].items()}
    own = tuple(classes.pop(LOCAL, ()) or ())
    if set(own) - set(LOCAL_FEATURES):
        refuse(f"featureClass.{LOCAL}", list(own), f"of {list(LOCAL_FEATURES)}")
    return Preset(name, modality, filters, classes, setting, preparation, own, dict(content))


def _check_keys(images: Mapping[str, Any], setting: Mapping[str, Any], refuse: _Refusal) -> None:
    """Refuse settings of PyRadiomics that would undo what is prepared here."""
    for given in (setting, *(own or {} for own in images.values())):
        for key in given:
            if key in REFUSED:
                refuse(key, given[key], f"no such key: {REFUSED[key]}")


def _check_bins(setting: Mapping[str, Any], modality: str, f: Filter, refuse: _Refusal) -> None:
    """Refuse a filter without declared bins, and bins of a PET that are as wide as an organ's uptake."""
    if not (setting.get("binWidth") or setting.get("binCount")):
        refuse(f"setting.binWidth ({f.name})", None, "binWidth or binCount; PyRadiomics' silent 25 is for CT alone")
    if modality == "pet" and not setting.get("binCount") and float(setting["binWidth"]) >= PET_BIN_WIDTH_BELOW_SUV:
        refuse("setting.binWidth", setting["binWidth"], f"below {PET_BIN_WIDTH_BELOW_SUV:g} SUV; 0.1 to 0.5 is usual")


def preset_file(given: str, folder: Path = PRESETS) -> Path:
    """Return the file of a preset, given as a name in `folder` or as a path; SettingsError names those there are."""
    file = Path(given) if given.endswith((".yaml", ".yml")) else folder / f"{given}.yaml"
    if not file.is_file():
        known = ", ".join(sorted(path.stem for path in folder.glob("*.yaml"))) or f"none in {folder.as_posix()}"
        raise SettingsError("radiomics preset is not there", got=given, expected=known, code="THR-113")
    return file


def read_preset(path: Path, modality: str) -> Preset:
    """Read `path` (YAML in PyRadiomics' form) as a preset for a modality; SettingsError names the first fault."""
    return preset_from(read_yaml(path), modality, Path(path).stem)
