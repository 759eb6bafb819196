"""The one door to PyRadiomics: its extractor, its filters and its classes of features, called one by one."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pykwalify.errors
import SimpleITK as sitk
from radiomics import getFeatureClasses, imageoperations
from radiomics.featureextractor import RadiomicsFeatureExtractor

from theradose.errors import SettingsError, Where
from theradose.features.presets import ORIGINAL_NAME, Filter, Preset
from theradose.imaging.grid import Grid

# What PyRadiomics has to say stands in the column `status`; its own log would repeat it for every VOI.
for _name in ("radiomics", "pykwalify"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)

DISTRIBUTIONS = ("pyradiomics-bhklab", "pyradiomics")
SHAPE = "shape"

Found = dict[str, float]


def engine() -> str:
    """Return name and version of the PyRadiomics distribution that is installed, for the provenance."""
    for name in DISTRIBUTIONS:
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            continue
    return "pyradiomics of unknown version"


def wanted(preset: Preset) -> list[tuple[str, str, str]]:
    """Return every (filter, feature class, feature) a preset asks for; shape once, with the original image."""
    classes = getFeatureClasses()
    rows = []
    for name, chosen in preset.feature_classes.items():
        known = classes[name].getFeatureNames()
        features = list(chosen) if chosen else [feature for feature, deprecated in known.items() if not deprecated]
        filters = [ORIGINAL_NAME] if name == SHAPE else [f.name for f in preset.filters]
        rows += [(f, name, feature) for f in filters for feature in features]
    return rows


def itk_image(values: np.ndarray, grid: Grid, kind: type) -> sitk.Image:
    """Turn an array (z, y, x) into an ITK image of values of a kind."""
    image: sitk.Image = sitk.GetImageFromArray(np.ascontiguousarray(values, kind))
    place: Any = image
    place.SetSpacing(grid.spacing_mm)
    place.SetOrigin(grid.origin_mm)
    place.SetDirection([float(cosine) for row in grid.direction for cosine in row])
    return image


@contextmanager
def anchored_bins(anchor: float | None) -> Iterator[None]:
    """Let grey levels of a fixed width be numbered from one value for all VOIs, as IBSI has it, while it lasts.

    PyRadiomics numbers them from the lowest voxel of a VOI, which moves every feature that weighs by grey level, and
    has no setting for it. Voxels below the anchor belong to the first level. None changes nothing.
    """
    if anchor is None:
        yield
        return
    theirs = imageoperations.getBinEdges

    def edges(values: np.ndarray, **settings: Any) -> np.ndarray:
        """Return the edges of the levels; those of a fixed number are PyRadiomics' own."""
        if settings.get("binCount"):
            return np.asarray(theirs(values, **settings))
        width = float(settings["binWidth"])
        found = np.arange(anchor, max(float(values.max()), anchor) + 2 * width, width)
        found[0] = min(anchor, float(values.min()))
        return found

    imageoperations.getBinEdges = edges
    try:
        yield
    finally:
        imageoperations.getBinEdges = theirs


def guarded(compute: Callable[[], Mapping[str, Any]]) -> Found | str:
    """Return what PyRadiomics computes as plain numbers, or its complaint, so that the other VOIs go on."""
    try:
        # MCC comes from eigenvalues, which may carry an imaginary part of rounding.
        return {key: float(np.real(value)) for key, value in compute().items()}
    except (ValueError, RuntimeError, IndexError, MemoryError, ZeroDivisionError) as error:
        return f"PyRadiomics failed: {type(error).__name__}: {error}"


@lru_cache(maxsize=16)
def _extractor(content: str, name: str) -> RadiomicsFeatureExtractor:
    """Return PyRadiomics' extractor for parameters as JSON; its check of them takes 0.2 s."""
    try:
        return RadiomicsFeatureExtractor(json.loads(content), additionalInfo=False)
    except (pykwalify.errors.PyKwalifyException, ValueError) as error:
        raise SettingsError(
            "PyRadiomics refuses the preset", where=Where(file=name), got=str(error).strip(), code="THR-112"
        ) from error


class Engine:
    """PyRadiomics, set up for one preset; SettingsError when it does not know a key or a feature of it."""

    def __init__(self, preset: Preset) -> None:
        # The result does not depend on it, for the filters work line by line: one job uses one thread.
        process: Any = sitk.ProcessObject
        process.SetGlobalDefaultNumberOfThreads(1)
        self._extractor = _extractor(json.dumps(preset.content()), preset.name)

    def settings(self, f: Filter) -> dict[str, Any]:
        """Return the settings of a filter and of the features of its images."""
        return {**self._extractor.settings, **f.settings, "sigma": [f.sigma_mm or 0.0]}

    def box(self, image: sitk.Image, mask: sitk.Image) -> np.ndarray:
        """Return first and last index of a mask along x, y and z, (6,); ValueError when it is no region."""
        return np.asarray(imageoperations.checkMask(image, mask, **self._extractor.settings)[0])

    def shape(self, image: sitk.Image, mask: sitk.Image, box: np.ndarray) -> Found | str:
        """Return the shape features of a mask, or the reason why there are none."""
        return guarded(lambda: self._extractor.computeShape(image, mask, box, **self._extractor.settings))

    def filtered(self, image: sitk.Image, f: Filter) -> Iterator[tuple[str, sitk.Image]]:
        """Run a filter once and yield name and image of all that it gives: eight of a wavelet, none of a tiny image."""
        for made, name, _ in getattr(imageoperations, f"get{f.kind}Image")(image, None, **self.settings(f)):
            yield name, made

    def features(self, part: sitk.Image, mask: sitk.Image, f: Filter) -> Found | str:
        """Return the features of a filtered image cut to a VOI, or the reason why there are none."""
        return guarded(lambda: self._extractor.computeFeatures(part, mask, f.name, **self.settings(f)))

    def alone(self, image: sitk.Image, mask: sitk.Image) -> Found | str:
        """Return everything as PyRadiomics does it alone: resampling, filters and all, for one mask."""
        return guarded(lambda: _numbers(self._extractor.execute(image, mask)))


def cut(image: sitk.Image, mask: sitk.Image, box: np.ndarray) -> tuple[sitk.Image, sitk.Image, np.ndarray]:
    """Return image and mask cut to a box, and the image's values (n,) within the mask."""
    part, inside = imageoperations.cropToTumorMask(image, mask, box)
    return part, inside, np.asarray(sitk.GetArrayViewFromImage(part)[sitk.GetArrayViewFromImage(inside) == 1])


def log_response(values: np.ndarray, grid: Grid, sigma_mm: float) -> np.ndarray:
    """Return the Laplacian of Gaussian of an image (z, y, x) as PyRadiomics has it, in the unit of IBSI 2.

    PyRadiomics' response is scaled by sigma squared in mm, IBSI's is that of a filter made of voxels:
    (spacing / sigma)^2 lies between. Voxels must be cubes.
    """
    spacing_mm = grid.spacing_mm[0]
    image = itk_image(values, grid, np.float64)
    [(made, _, _)] = imageoperations.getLoGImage(image, None, sigma=[sigma_mm])
    return np.asarray(sitk.GetArrayFromImage(made)) * (spacing_mm / sigma_mm) ** 2


def _numbers(found: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what PyRadiomics says about its run."""
    return {key: value for key, value in found.items() if not key.startswith("diagnostics")}
