"""Label masks as RTSTRUCT: one structure a label, its contours along the edges of its voxels, slice by slice."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ImplicitVRLittleEndian

from theradose.imaging.dicom_writer import NOTICE, SOP_CLASSES, Scan, header, item, points
from theradose.imaging.rtdose_reference import Reference
from theradose.imaging.rtdose_reference import header as reference_header
from theradose.imaging.volume import Volume
from theradose.vocabulary import RESEARCH_USE_ONLY

# Steps (row, column) to the right, down, left, up in a plane whose rows go down; each turns right from the last.
STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))
STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"  # Detached Study Management, which RTSTRUCT asks for


def outlines(plane: np.ndarray) -> list[np.ndarray]:
    """Return the outlines of a mask (y, x) as corners (n, 2; x, y) in voxel indices, holes included.

    Corners lie at half-integers. Outlines never cross; voxels that touch at a corner alone have outlines of their own.
    Each starts at its topmost, then leftmost corner. Together, by exclusive or, they hold the mask and no more.

    >>> outlines(np.array([[0, 1, 1]], bool))[0].tolist()
    [[0.5, -0.5], [2.5, -0.5], [2.5, 0.5], [0.5, 0.5]]
    """
    padded = np.pad(np.asarray(plane, bool), 1)
    nw, ne, sw, se = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    # Edges that leave a corner by each of the four steps with the mask on their right.
    leave = np.stack([se & ~ne, sw & ~se, nw & ~sw, ne & ~nw])
    found = []
    for start in np.argwhere(leave.any(axis=0)).tolist():
        (row, column), way, corners = start, -1, []
        while leave[:, row, column].any():
            # The sharpest right turn stays with the same voxel.
            turn = next(t % 4 for t in (way + 1, way, way + 3, way + 2) if leave[t % 4, row, column])
            if turn != way:
                corners.append((column - 0.5, row - 0.5))
            way = turn
            leave[way, row, column] = False
            row, column = row + STEPS[way][0], column + STEPS[way][1]
        if corners:
            found.append(np.array(corners))
    return found


def _references(on: Scan, n_slices: int) -> list[Dataset]:
    """Return a reference to each file of the image that the structures lie on; an NM is one file."""
    count = 1 if on.modality == "NM" else n_slices
    return [
        item(ReferencedSOPClassUID=SOP_CLASSES[on.modality], ReferencedSOPInstanceUID=on.instance(k))
        for k in range(count)
    ]


def _contours(mask: Volume, label: int, references: list[Dataset]) -> list[Dataset]:
    """Return the contours of a label as points in LPS mm, each with the slice it lies on where that is a file."""
    affine, made = mask.grid.affine_lps(), []
    inside = np.asarray(mask.values) == label
    for k in np.flatnonzero(inside.any(axis=(1, 2))).tolist():
        for corners in outlines(inside[k]):
            index = np.column_stack([corners, np.full(len(corners), k), np.ones(len(corners))])
            contour = item(
                ContourGeometricType="CLOSED_PLANAR", NumberOfContourPoints=len(corners),
                ContourData=points((index @ affine.T)[:, :3]),
            )  # fmt: skip
            if len(references) == len(inside):
                contour.ContourImageSequence = Sequence([references[k]])
            made.append(contour)
    return made


def _structures(
    mask: Volume, names: Mapping[int, str], uids: tuple[str, str, str], references: list[Dataset]
) -> dict[str, Any]:
    """Return the fields of the structures of a mask (label -> name) on files; UIDs of frame, study and series."""
    mask.require_unit("label")
    frame, study, series = uids
    on = item(SeriesInstanceUID=series, ContourImageSequence=Sequence(references))
    of = item(
        ReferencedSOPClassUID=STUDY_CLASS, ReferencedSOPInstanceUID=study, RTReferencedSeriesSequence=Sequence([on])
    )
    return {
        "OperatorsName": "", "ApprovalStatus": "UNAPPROVED", "ReferencedFrameOfReferenceSequence": Sequence(
            [item(FrameOfReferenceUID=frame, RTReferencedStudySequence=Sequence([of]))]
        ),
        "StructureSetROISequence": Sequence(
            item(ROINumber=k, ReferencedFrameOfReferenceUID=frame, ROIName=name, ROIGenerationAlgorithm="AUTOMATIC")
            for k, name in names.items()
        ),
        "ROIContourSequence": Sequence(
            item(ReferencedROINumber=k, ContourSequence=Sequence(_contours(mask, k, references))) for k in names
        ),
        "RTROIObservationsSequence": Sequence(
            item(ObservationNumber=k, ReferencedROINumber=k, RTROIInterpretedType="", ROIInterpreter="") for k in names
        ),
    }  # fmt: skip


def _saved(made: Dataset, path: Path) -> Path:
    """Write a structure set and return its file."""
    # Explicit lengths of 16 bits end at 64 kB, some 4000 points.
    made.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    made.save_as(path, enforce_file_format=True)
    return path


def write_rtstruct(mask: Volume, names: Mapping[int, str], scan: Scan, on: Scan, path: Path) -> Path:
    """Write the labels of a mask (label -> name) as structures on the image `on`, which has its grid; return the file.

    UnitError when the volume is no mask.
    """
    uids = (on.uid("frame", on.visit), on.uid("study", on.visit), on.series)
    made = header(
        scan, 0, StructureSetLabel="VIRTUAL", StructureSetDescription=NOTICE,
        StructureSetDate=scan.start.strftime("%Y%m%d"), StructureSetTime=scan.start.strftime("%H%M%S"),
        **_structures(mask, names, uids, _references(on, len(mask.values))),
    )  # fmt: skip
    return _saved(made, path)


def attach_rtstruct(
    mask: Volume, names: Mapping[int, str], reference: Reference, path: Path, *, what: str, content: str
) -> Path:
    """Write the labels of a mask (label -> name) as structures in the study and frame of a reference; return the file.

    `what` and `content` as for a dose map. UnitError when the volume is no mask.
    """
    files = [item(ReferencedSOPClassUID=kind, ReferencedSOPInstanceUID=uid) for kind, uid in reference.files]
    fields = _structures(mask, names, (reference.frame, reference.study, reference.series), files)
    fields |= {
        "StructureSetLabel": "VIRTUAL" if reference.virtual else "RESEARCH", "StructureSetDate": "",
        "StructureSetTime": "", "StructureSetDescription": NOTICE if reference.virtual else RESEARCH_USE_ONLY,
    }  # fmt: skip
    return _saved(reference_header(reference, "RTSTRUCT", what, content, **fields), path)
