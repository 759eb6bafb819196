"""Dose maps as DICOM RTDOSE and back: 32-bit numbers, so that a voxel comes back to 2^-31 of the maximum."""

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from theradose.errors import DataError, GeometryError, Where
from theradose.imaging.dicom import DAMAGE, read_header
from theradose.imaging.dicom_writer import decimal, item, points
from theradose.imaging.grid import Grid
from theradose.imaging.opengate import right_handed
from theradose.imaging.rtdose_reference import Reference, described, header
from theradose.imaging.volume import Volume

STEPS = 2**32
RT_PLAN = "1.2.840.10008.5.1.4.1.1.481.5"
SAME_STEP = 1e-3  # of the distance of frames: larger differences are no regular grid
# What DICOM allows in DoseSummationType; anything else might be free text.
SUMMATIONS = (
    "PLAN", "MULTI_PLAN", "PLAN_OVERVIEW", "FRACTION", "BEAM", "BRACHY", "FRACTION_SESSION", "BEAM_SESSION",
    "BRACHY_SESSION", "CONTROL_POINT", "RECORD",
)  # fmt: skip
EXPECTED = {"Modality": "RTDOSE", "DoseUnits": "GY", "DoseType": "PHYSICAL"}


def write_rtdose(dose: Volume, reference: Reference, path: Path, *, what: str, content: str) -> Path:
    """Write a dose map in Gy as RTDOSE and return the file; any orientation, frames along the normal of a frame.

    `what` describes it in a few words, `content` is a hash of the map. The plan that its header names is not there: the
    standard wants one for a sum of type PLAN. UnitError for another unit, DataError (THR-315) for doses that are
    negative or not finite.
    """
    image = right_handed(dose.require_unit("Gy", "dose"))
    gy = np.asarray(image.values, float)
    if not (np.isfinite(gy).all() and gy.min() >= 0):
        where = Where(patient=reference.patient)
        got = f"{gy.min():g} to {gy.max():g} Gy"
        raise DataError("dose cannot be written", where=where, got=got, expected="finite, not negative", code="THR-315")
    scaling = decimal(float(gy.max()) / STEPS or 1.0)
    stored = np.minimum(np.rint(gy / float(scaling)), STEPS - 1).astype("<u4")
    (nz, ny, nx), (sx, sy, sz) = image.grid.shape_zyx, image.grid.spacing_mm
    plan = item(ReferencedSOPClassUID=RT_PLAN, ReferencedSOPInstanceUID=reference.uid("plan", what))
    made = header(
        reference, "RTDOSE", what, content, SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2", Rows=ny,
        Columns=nx, NumberOfFrames=nz, FrameIncrementPointer=Tag("GridFrameOffsetVector"), BitsAllocated=32,
        BitsStored=32, HighBit=31, PixelRepresentation=0, PixelSpacing=points([sy, sx]), SliceThickness=decimal(sz),
        ImageOrientationPatient=points(np.asarray(image.grid.direction).T[:2]),
        ImagePositionPatient=points(image.grid.origin_mm), GridFrameOffsetVector=points(np.arange(nz) * sz),
        OperatorsName="", DoseUnits="GY", DoseType="PHYSICAL", DoseSummationType="PLAN", DoseGridScaling=scaling,
        DoseComment=described(reference, "not for treatment"), ReferencedRTPlanSequence=Sequence([plan]),
        PixelData=stored.tobytes(),
    )  # fmt: skip
    made.save_as(path, enforce_file_format=True)
    return path


def _offsets_mm(made: Dataset, normal: np.ndarray, where: Where) -> np.ndarray:
    """Return how far each frame lies from the first along the normal; DICOM allows distances, or z of axial frames."""
    offsets = np.atleast_1d(np.asarray(made.GridFrameOffsetVector, float))
    if len(offsets) != int(made.NumberOfFrames) or not np.isfinite(offsets).all():
        raise GeometryError(
            "frames and their places differ in number", where=where, got=len(offsets), expected=made.NumberOfFrames,
            code="THR-318",
        )  # fmt: skip
    # Where the first is no zero, the numbers are z coordinates (PS3.3 C.8.8.3.2), which run against a normal that
    # points down.
    return (offsets - offsets[0]) * (1.0 if offsets[0] == 0 else float(np.sign(normal[2])))


def _grid(made: Dataset, where: Where) -> tuple[Grid, int]:
    """Return the grid of an RTDOSE, and 1 or -1: whether its frames run along the normal or against it."""
    axes = np.asarray(made.ImageOrientationPatient, float).reshape(2, 3)
    normal = np.cross(*axes)
    along = _offsets_mm(made, normal, where)
    steps = np.diff(along)
    step = float(np.median(steps)) if steps.size else float(made.get("SliceThickness") or 0.0)
    if step == 0 or np.abs(steps - step).max(initial=0.0) > SAME_STEP * abs(step):
        raise GeometryError(
            "frames are not evenly spaced", where=where, got=f"{steps.min(initial=step):g} to "
            f"{steps.max(initial=step):g} mm", expected="one distance", code="THR-318",
        )  # fmt: skip
    x, y, z = np.asarray(made.ImagePositionPatient, float) + normal * min(0.0, along[-1])
    rows_mm, columns_mm = map(float, made.PixelSpacing)
    direction = tuple((float(a), float(b), float(c)) for a, b, c in np.round(np.column_stack([*axes, normal]), 7) + 0.0)
    shape = (len(along), int(made.Rows), int(made.Columns))
    return Grid(shape, (columns_mm, rows_mm, abs(step)), (float(x), float(y), float(z)), direction), int(np.sign(step))


def summation_of(path: Path) -> tuple[str, bool]:
    """Return what an RTDOSE sums up (`PLAN`, `not stated`), and whether it says that no person was imaged."""
    made = read_header(path)
    stated = str(made.get("DoseSummationType", ""))
    return stated if stated in SUMMATIONS else "not stated", made.get("SyntheticData") == "YES"


def read_rtdose(path: Path) -> Volume:
    """Read the dose map of an RTDOSE, float64 Gy, frames along their normal.

    DataError when the file is damaged (THR-204) or holds no physical dose in Gy (THR-316), GeometryError (THR-318) when
    its frames are no regular grid.
    """
    made = read_header(path, pixels=True)
    for field, wanted in EXPECTED.items():
        if made.get(field) != wanted:
            raise DataError(
                "not a physical dose in Gy", where=Where(file=path.name, field=field), expected=wanted,
                got="another value" if made.get(field) else "nothing", code="THR-316",
            )  # fmt: skip
    try:
        grid, sign = _grid(made, Where(file=path.name, field="GridFrameOffsetVector"))
        stored = np.asarray(made.pixel_array, float).reshape(grid.shape_zyx)
        gy = stored[::sign] * float(made.DoseGridScaling)
    except DAMAGE as error:
        where = Where(file=path.name)
        raise DataError("RTDOSE is damaged", where=where, got=type(error).__name__, code="THR-204") from error
    return Volume(gy, grid, "Gy")
