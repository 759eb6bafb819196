"""Label masks as SEG."""

import numpy as np
import pydicom
import pytest

from theradose.errors import DataError, UnitError
from theradose.imaging.grid import Grid
from theradose.imaging.rtdose_reference import Reference, generated
from theradose.imaging.seg import read_seg
from theradose.imaging.seg_writer import TYPES, write_seg
from theradose.imaging.volume import Volume
from theradose.vocabulary import LESIONS, VOIS

SHAPE = (4, 7, 5)
GRID = Grid(SHAPE, (2.0, 3.0, 4.0), (-10.0, -20.0, 30.0))
NAMES = {5: "kidney_left", 101: "lesion_01"}
ON_DOSE = generated("p001", 1, "data", virtual=True).on_dose("hash")


def write(path, values, *, grid=GRID, names=NAMES, reference=ON_DOSE):
    """Write a mask as SEG."""
    return write_seg(Volume(values, grid, "label"), names, reference, path, what="masks", content="hash")


def blocks():
    """Return a mask with a block of each label."""
    values = np.zeros(SHAPE, np.uint16)
    values[1, 2:5, 1:4], values[2:, 0:2, 4] = 5, 101
    return values


def test_every_organ_has_a_coded_type():
    assert set(TYPES) == {voi.organ for voi in VOIS.values()} | {LESIONS}


def test_segments_are_numbered_named_and_typed(tmp_path):
    made = pydicom.dcmread(write(tmp_path / "s.dcm", blocks()))
    found = [
        (s.SegmentNumber, s.SegmentLabel, s.SegmentedPropertyTypeCodeSequence[0].CodeValue)
        for s in made.SegmentSequence
    ]
    # SNOMED CT: kidney 64033007, lesion 52988006.
    assert found == [(1, "kidney_left", "64033007"), (2, "lesion_01", "52988006")]


def test_empty_frames_are_there_for_viewers(tmp_path):
    assert pydicom.dcmread(write(tmp_path / "s.dcm", blocks())).NumberOfFrames == 2 * SHAPE[0]


def test_each_frame_names_the_slice_it_lies_on(tmp_path):
    files = tuple(("1.2.840.10008.5.1.4.1.1.128", f"1.2.3.{k}") for k in range(1, 5))
    reference = Reference("p001", False, "1.2", "1.3", "1.4", files)
    made = pydicom.dcmread(write(tmp_path / "s.dcm", blocks(), reference=reference))
    for frame in made.PerFrameFunctionalGroupsSequence:
        k = round((float(frame.PlanePositionSequence[0].ImagePositionPatient[2]) - 30.0) / 4.0)
        source = frame.DerivationImageSequence[0].SourceImageSequence[0]
        assert (source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID) == files[k]


def test_the_same_mask_gives_the_same_bytes_and_no_date_of_today(tmp_path):
    first, second = (write(tmp_path / name, blocks()) for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
    dates = {str(e.value) for e in pydicom.dcmread(first).iterall() if e.VR in ("DA", "DT") and e.value}
    assert dates == {"20000101"}


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_mask_of_either_handedness_keeps_its_place(tmp_path, sign):
    grid = Grid(SHAPE, (2.0, 3.0, 4.0), (-10.0, -20.0, 30.0), ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, sign)))
    found = read_seg(write(tmp_path / "s.dcm", blocks(), grid=grid))
    kidney = found.rois[0]
    index = np.argwhere(kidney.inside).mean(axis=0) + kidney.start
    there = found.grid.affine_lps() @ (*index[::-1], 1.0)
    given = grid.affine_lps() @ (*np.argwhere(blocks() == 5).mean(axis=0)[::-1], 1.0)
    assert np.allclose(there, given, rtol=0, atol=1e-6)


def test_no_label_and_no_mask_are_refused(tmp_path):
    with pytest.raises(DataError, match="THR-319"):
        write(tmp_path / "s.dcm", np.zeros(SHAPE, np.uint16), names={})
    with pytest.raises(UnitError):
        write_seg(Volume(blocks(), GRID, "HU"), NAMES, ON_DOSE, tmp_path / "s.dcm", what="", content="")
