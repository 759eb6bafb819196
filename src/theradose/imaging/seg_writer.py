"""Label masks as DICOM SEG: one binary segment a label, in the study and frame of reference of an image or dose."""

from collections.abc import Mapping
from pathlib import Path

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from theradose import __version__
from theradose.errors import DataError, Where
from theradose.imaging.dicom_writer import SOP_CLASSES as IMAGE_CLASSES
from theradose.imaging.dicom_writer import points
from theradose.imaging.grid import Grid
from theradose.imaging.rtdose_reference import SOP_CLASSES, Reference, described, header, marks
from theradose.imaging.volume import Volume
from theradose.vocabulary import organ_of

# SNOMED CT, as CID 7151 of DICOM PS3.16 lists types of segments.
TYPES = {
    "remainder": codes.SCT.Tissue, "lungs": codes.SCT.Lung, "marrow": codes.SCT.BoneMarrow,
    "kidneys": codes.SCT.Kidney, "liver": codes.SCT.Liver, "spleen": codes.SCT.Spleen,
    "parotids": codes.SCT.ParotidGland, "submandibulars": codes.SCT.SubmandibularGland,
    "lacrimals": codes.SCT.LacrimalGland, "bladder": codes.SCT.Bladder, "lesions": codes.SCT.Lesion,
}  # fmt: skip
DAY, TIME = "20000101", "000000"  # a SEG must state when it was made; invented, as of virtual patients


def _stubs(reference: Reference, grid: Grid) -> list[Dataset]:
    """Return the files of a reference as the writer needs them: UIDs and place, without pixels or anything else.

    All are called slices of a CT: of other classes the writer would want to know more than it uses.
    """
    axes, affine = points(np.asarray(grid.direction).T[:2]), grid.affine_lps()
    made = []
    for k, (_, instance) in enumerate(reference.files):
        stub = header(
            reference, "SEG", "", "", Rows=grid.shape_zyx[1], Columns=grid.shape_zyx[2], ImageOrientationPatient=axes,
            PixelSpacing=points(grid.spacing_zyx_mm[1:]), SliceThickness=grid.spacing_mm[2],
            ImagePositionPatient=points(affine[:3, 3] + k * affine[:3, 2]),
        )  # fmt: skip
        stub.SeriesInstanceUID, stub.SOPClassUID, stub.SOPInstanceUID = reference.series, IMAGE_CLASSES["CT"], instance
        made.append(stub)
    return made


def _finish(made: Dataset, reference: Reference, what: str, content: str) -> None:
    """Name the true class of the files, say whose the SEG is, and take out what depends on the hour of writing."""
    for element in made.iterall():
        if element.keyword == "ReferencedSOPClassUID":
            element.value = reference.files[0][0]
    del made.InstanceCreationDate, made.InstanceCreationTime, made.ContributingEquipmentSequence
    organization = reference.uid("dimensions", content)
    for part in (*made.DimensionOrganizationSequence, *made.DimensionIndexSequence):
        part.DimensionOrganizationUID = organization
    for name, value in marks(reference).items():
        setattr(made, name, value)
    made.SeriesDescription = described(reference, what)


def write_seg(
    mask: Volume, names: Mapping[int, str], reference: Reference, path: Path, *, what: str, content: str
) -> Path:
    """Write the labels of a mask (label -> VOI name) as segments 1, 2, ... in the order of labels; return the file.

    The reference names the files the mask lies on, one for each of its slices or one for all. `what` and `content` as
    for a dose map. UnitError when the volume is no mask, DataError (THR-319) without a label.
    """
    labels, values = sorted(names), mask.require_unit("label").values
    if not labels:
        raise DataError("mask holds no label", where=Where(patient=reference.patient), code="THR-319")
    numbered = np.zeros(values.shape, np.uint16)
    for number, label in enumerate(labels, 1):
        numbered[values == label] = number
    affine = mask.grid.affine_lps()[:, [2, 1, 0, 3]]
    frames = hd.Volume(numbered, affine, "PATIENT", frame_of_reference_uid=reference.frame)
    made_by = hd.AlgorithmIdentificationSequence("masks of theradose", codes.DCM.ArtificialIntelligence, __version__)
    segments = [
        hd.seg.SegmentDescription(
            number, names[label], codes.SCT.AnatomicalStructure, TYPES[organ_of(names[label])], "SEMIAUTOMATIC", made_by
        )
        for number, label in enumerate(labels, 1)
    ]
    made = hd.seg.Segmentation(
        _stubs(reference, mask.grid), frames, "BINARY", segments, reference.series_of("SEG"), SOP_CLASSES["SEG"][1],
        reference.uid("SEG", content), 1, "theradose", "theradose", __version__, "0", content_label="RESEARCH",
        content_description=described(reference, what), omit_empty_frames=False, content_date=DAY, content_time=TIME,
    )  # fmt: skip
    _finish(made, reference, what, content)
    made.save_as(path)
    return path
