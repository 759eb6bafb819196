"""Dose maps as RTDOSE: 32 bits there and back, in any orientation."""

import itertools

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from theradose.errors import DataError, GeometryError, UnitError
from theradose.imaging.grid import Grid
from theradose.imaging.rtdose import read_rtdose, write_rtdose
from theradose.imaging.rtdose_reference import generated
from theradose.imaging.volume import Volume

SHAPE = (4, 6, 5)
TURN = np.deg2rad(20.0)
OBLIQUE = ((1.0, 0.0, 0.0), (0.0, np.cos(TURN), -np.sin(TURN)), (0.0, np.sin(TURN), np.cos(TURN)))
AXES = [
    tuple(tuple(float(sign if axis == row else 0) for sign, axis in zip(signs, order, strict=True)) for row in range(3))
    for order in itertools.permutations(range(3))
    for signs in ((1, 1, 1), (-1, 1, 1), (1, -1, -1), (-1, -1, -1))
]


def write(path, values, *, direction=OBLIQUE, virtual=False):
    """Write doses as RTDOSE and return them as a volume."""
    dose = Volume(values, Grid(values.shape, (1.17, 2.3, 4.9), (-10.1, -20.7, 30.3), direction), "Gy")
    reference = generated("p001", 1, "data", virtual=virtual)
    write_rtdose(dose, reference, path, what="dose of cycle 1", content="hash")
    return dose


def at_points(volume):
    """Return the values in the order of the places of their voxels, and the places, LPS mm."""
    nz, ny, nx = volume.values.shape
    z, y, x = np.mgrid[:nz, :ny, :nx].reshape(3, -1)
    places = (np.column_stack([x, y, z, np.ones_like(x)]) @ volume.grid.affine_lps().T)[:, :3].round(4) + 0.0
    order = np.lexsort(places.T)
    return volume.values.ravel()[order], places[order]


@pytest.mark.parametrize("direction", [OBLIQUE, *AXES])
def test_every_voxel_comes_back_to_two_to_the_minus_31_of_the_maximum(tmp_path, direction):
    dose = write(tmp_path / "d.dcm", np.random.default_rng(1).random(SHAPE) * 37.3, direction=direction)
    found = read_rtdose(tmp_path / "d.dcm")
    (given, where), (back, there) = at_points(dose), at_points(found)
    assert np.abs(back - given).max() <= 2.0**-31 * given.max()
    assert np.abs(there - where).max() <= 2e-4
    assert found.unit == "Gy"
    if np.linalg.det(np.asarray(direction)) > 0:
        assert found.grid.same_as(dose.grid)


@pytest.mark.parametrize("top", [1e-9, 1.0, 1e6])
def test_small_and_large_doses_keep_their_digits(tmp_path, top):
    dose = write(tmp_path / "d.dcm", np.linspace(0.0, top, 120).reshape(SHAPE))
    assert np.abs(read_rtdose(tmp_path / "d.dcm").values - dose.values).max() <= 2.0**-31 * top


def test_no_dose_is_no_dose(tmp_path):
    write(tmp_path / "d.dcm", np.zeros(SHAPE))
    assert not read_rtdose(tmp_path / "d.dcm").values.any()


def test_the_header_says_what_viewers_ask_for(tmp_path):
    values = np.zeros(SHAPE)
    values[1, 2, 3] = 8.0
    write(tmp_path / "d.dcm", values)
    made = pydicom.dcmread(tmp_path / "d.dcm")
    assert (made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation) == (32, 32, 31, 0)
    assert float(made.DoseGridScaling) == pytest.approx(8.0 / 2**32, rel=1e-11)
    assert [float(mm) for mm in made.GridFrameOffsetVector] == pytest.approx([0.0, 4.9, 9.8, 14.7])
    assert (made.DoseUnits, made.DoseType, made.DoseSummationType) == ("GY", "PHYSICAL", "PLAN")
    assert made.ReferencedRTPlanSequence[0].ReferencedSOPInstanceUID
    assert made.FrameOfReferenceUID == generated("p001", 1, "data", virtual=False).frame
    assert "research use only" in made.SeriesDescription.lower()
    assert "research use only" in made.DoseComment.lower()


def test_the_same_dose_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / name, np.ones(SHAPE))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("wrong", [-1.0, np.nan, np.inf])
def test_a_dose_that_cannot_be_is_refused(tmp_path, wrong):
    values = np.ones(SHAPE)
    values[0, 0, 0] = wrong
    with pytest.raises(DataError, match="THR-315"):
        write(tmp_path / "d.dcm", values)


def test_another_unit_is_refused(tmp_path):
    with pytest.raises(UnitError):
        write_rtdose(
            Volume(np.ones(SHAPE), Grid(SHAPE, (1.0, 1.0, 1.0)), "MBq.h"), generated("p", 1, "", virtual=True),
            tmp_path / "d.dcm", what="", content="",
        )  # fmt: skip


def changed(path, **fields):
    """Change fields of a DICOM file."""
    made = pydicom.dcmread(path)
    for name, value in fields.items():
        setattr(made, name, value)
    made.save_as(path)


def test_frames_may_be_stored_against_the_normal(tmp_path):
    dose = write(tmp_path / "d.dcm", np.random.default_rng(2).random(SHAPE))
    made = pydicom.dcmread(tmp_path / "d.dcm")
    last = dose.grid.affine_lps() @ (0, 0, SHAPE[0] - 1, 1)
    changed(
        tmp_path / "d.dcm", PixelData=made.pixel_array[::-1].tobytes(), GridFrameOffsetVector=[0, -4.9, -9.8, -14.7],
        ImagePositionPatient=last[:3].round(9).tolist(),
    )  # fmt: skip
    found = read_rtdose(tmp_path / "d.dcm")
    assert found.grid.same_as(dose.grid)
    assert np.allclose(found.values, dose.values, rtol=0, atol=1e-9)


def test_offsets_of_axial_frames_may_be_their_z(tmp_path):
    dose = write(tmp_path / "d.dcm", np.random.default_rng(3).random(SHAPE), direction=AXES[0])
    changed(tmp_path / "d.dcm", GridFrameOffsetVector=[30.3, 35.2, 40.1, 45.0])
    found = read_rtdose(tmp_path / "d.dcm")
    assert found.grid.same_as(dose.grid)
    assert np.allclose(found.values, dose.values, rtol=0, atol=1e-9)


@pytest.mark.parametrize("offsets", [[0, 5, 10, 16], [0, 5, 10], [0, 0, 0, 0]])
def test_frames_without_a_regular_place_are_refused(tmp_path, offsets):
    write(tmp_path / "d.dcm", np.ones(SHAPE))
    changed(tmp_path / "d.dcm", GridFrameOffsetVector=offsets)
    with pytest.raises(GeometryError, match="THR-318"):
        read_rtdose(tmp_path / "d.dcm")


@pytest.mark.parametrize("field", [{"DoseUnits": "RELATIVE"}, {"DoseType": "EFFECTIVE"}, {"Modality": "CT"}])
def test_what_is_no_physical_dose_in_gy_is_refused(tmp_path, field):
    write(tmp_path / "d.dcm", np.ones(SHAPE))
    changed(tmp_path / "d.dcm", **field)
    with pytest.raises(DataError, match="THR-316"):
        read_rtdose(tmp_path / "d.dcm")


def test_a_damaged_file_is_named(tmp_path):
    write(tmp_path / "d.dcm", np.ones(SHAPE))
    (tmp_path / "d.dcm").write_bytes((tmp_path / "d.dcm").read_bytes()[:-100])
    with pytest.raises(DataError, match=r"THR-204 .* d\.dcm"):
        read_rtdose(tmp_path / "d.dcm")


def test_a_dose_of_a_planning_system_is_read(tmp_path):
    """A file that pydicom brings, of another maker; its dose is called relative there."""
    path = tmp_path / "tps.dcm"
    made = pydicom.dcmread(get_testdata_file("rtdose.dcm"))
    made.DoseUnits = "GY"
    made.save_as(path)
    found = read_rtdose(path)
    assert found.values.shape == (15, 10, 10)
    assert found.values.max() == pytest.approx(int(made.pixel_array.max()) * float(made.DoseGridScaling))
    assert np.allclose(found.grid.origin_mm[:2], [float(mm) for mm in made.ImagePositionPatient[:2]])
