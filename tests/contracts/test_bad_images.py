"""Bad inputs 1 to 44 and 58: images, masks, DICOM, NIfTI. Each is answered by a sentence that says what to do.

A row of the table: number, what is wrong, how it is made and who is asked, what the answer must hold, what it must not.
The answer is what `import` and `check` say about one patient, line by line, or the one sentence of a refusal.
"""

import gzip
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import highdicom as hd
import nibabel as nib
import numpy as np
import pandas as pd
import pydicom
import pytest
from pydicom.sr.codedict import codes

from theradose.cohort.check import check_dataset
from theradose.cohort.importer import Allowed, import_dicom
from theradose.cohort.layout import Dataset
from theradose.cohort.mapping import MAPPING, import_mapping
from theradose.cohort.structure_sets import fingerprint
from theradose.errors import TheradoseError
from theradose.features.vois import label_masks
from theradose.imaging.nifti import sidecar
from theradose.provenance import write_json
from theradose.tables import write_table

SIDE, MM = 12, 4.0
SPACING = (MM, MM, MM)
ORIGIN = (-10.0, -20.0, 30.0)
# 20 % of 7400 MBq at the time of the scan, in 110 mL.
BQ_PER_ML = 0.2 * 7.4e9 * 0.9 / (SIDE**3 * MM**3 / 1000.0)
KIDNEY_LEFT, KIDNEY_RIGHT, LIVER, LESION = 5, 6, 7, 101


def cube(label=LESION, x=3, values=None):
    """Return a mask with a cube of 4 x 4 x 4 voxels that starts at NIfTI's index x."""
    mask = np.zeros((SIDE, SIDE, SIDE), np.uint16) if values is None else values
    mask[x : x + 4, 4:8, 4:8] = label
    return mask


class World:
    """A patient in the making: files under `source`, and what import and check say about them."""

    def __init__(self, maker, folder: Path) -> None:
        self.maker, self.folder, self.source, self.data = maker, folder, folder / "in", Dataset(folder / "data")
        self.rows: list[dict[str, object]] = []
        self.source.mkdir()

    def pt(self, name="s", stored=None, **options):
        """Write a PT series of 177Lu, 6 slices of 12 x 12 voxels."""
        if stored is None:
            stored = np.random.default_rng(2).integers(30000, 60000, (6, SIDE, SIDE)).astype(np.uint16)
        options = {"spacing": SPACING, "slopes": [300.0] * len(stored), **options}
        return self.maker.write_slices(self.source / name, stored, **options)

    def contours(self, *rois, **options):
        """Write a structure set of (name, contours)."""
        return self.maker.write_structures(self.source / "rs.dcm", list(rois), **options)

    def answer(self, ask):
        """Return the lines of an answer, or the sentence of a refusal."""
        try:
            return "\n".join(ask())
        except TheradoseError as error:
            return str(error)

    def imported(self, **options):
        """Import the DICOM files as p001."""
        options = {"decay_reference": "scan_start", **options}
        return self.answer(lambda: import_dicom(self.source, self.data.root, patient="p001", **options))

    def image(self, name, values, modality="spect", *, affine=None, about=None, packed=True, **row):
        """Write a NIfTI file of a patient at 24 h with its sidecar and its row in the mapping."""
        file = self.source / f"{name}.nii{'.gz' if packed else ''}"
        nib.save(nib.Nifti1Image(values, np.diag([-MM, -MM, MM, 1.0]) if affine is None else affine), file)
        if modality in ("spect", "pet"):
            write_json(
                sidecar(file),
                {
                    "TracerRadionuclide": "Lu-177", "InjectedRadioactivity": 7400.0, "FrameTimesStart": [86400.0],
                    "InjectedRadioactivityUnits": "MBq", "InjectionStart": 0, "FrameDuration": [1200.0],
                    "ImageDecayCorrected": True, "DecayReference": "scan_start", **(about or {}),
                },
            )  # fmt: skip
        units = {"spect": "Bq/mL", "pet": "Bq/mL", "ct": "HU"}.get(modality, "")
        self.rows.append(
            {
                "patient": "p001", "session": "ses-tx1", "modality": modality, "time_h": 24.0, "file": file.name,
                "units": units, "label": "", "centre": "north", "weight_kg": 80.0, "height_cm": 175.0,
                "administered_mbq": 7400.0, "radionuclide": "Lu-177", **row,
            }
        )  # fmt: skip
        return file

    def spect(self, values=None, **options):
        """Write a SPECT whose total is a fifth of what was injected."""
        noise = np.random.default_rng(3).uniform(0.5, 1.5, (SIDE, SIDE, SIDE))
        return self.image("spect", np.float32(BQ_PER_ML * noise) if values is None else values, **options)

    def mapped(self):
        """Import the mapping."""
        write_table(pd.DataFrame(self.rows), self.folder / "mapping.tsv", MAPPING)
        return self.answer(lambda: import_mapping(self.source, self.data.root, self.folder / "mapping.tsv"))

    def checked(self, before=""):
        """Check the data set; what the import said stands before."""

        def ask():
            result = check_dataset(self.data, require=("spect",), max_time_h=200.0, radionuclide="Lu-177")
            return [before, *(f"{f.severity} {f.message}" for f in result.faults.itertuples()), result.invariant()]

        return self.answer(ask)

    def both(self):
        """Import the mapping and check."""
        return self.checked(self.mapped())


def square(x0, x1, y0=2, y1=8, *, slices=(1, 2), shift=0.0):
    """Return closed contours around voxels x0..x1-1, y0..y1-1 of some slices, moved along z by a part of a slice."""
    x = [ORIGIN[0] + (v - 0.5) * MM for v in (x0, x1, x1, x0)]
    y = [ORIGIN[1] + (v - 0.5) * MM for v in (y0, y0, y1, y1)]
    return [("CLOSED_PLANAR", np.column_stack([x, y, [ORIGIN[2] + (k + shift) * MM] * 4])) for k in slices]


@dataclass(frozen=True)
class Case:
    """A row of the table."""

    number: int
    what: str
    ask: Callable[[World], str]
    says: tuple[str, ...]
    never: tuple[str, ...] = ()


TABLE: list[Case] = []


def row(number, what, *says, never=()):
    """Enter a way to make a fault into the table."""

    def enter(ask):
        TABLE.append(Case(number, what, ask, says, tuple(never)))
        return ask

    return enter


def moved(by_mm=(0.0, 0.0, 0.0), turn=0.0, flip=False):
    """Return an affine (NIfTI, RAS) like the images', moved, turned about z, or with x reversed."""
    affine = np.diag([-MM, -MM, MM, 1.0])
    rotation = np.eye(4)
    rotation[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    affine = rotation @ affine
    affine[:3, 3] += by_mm
    affine[:, 0] *= -1 if flip else 1
    return affine


@row(1, "mask off by a 4000th of a voxel", "usable", never=("THR-220", "ERROR"))
def _(w):
    w.spect()
    w.image("mask", cube(), "mask", affine=moved((0.001, 0, 0)))
    return w.both()


@row(
    1,
    "mask on another grid",
    r"NOTE patient p001, line 3 of the mapping: THR-277 mask was resampled .*4 mm at .* to .*4 mm at .*: "
    r"lesion_01 4\.10 -> 4\.10 mL",
    "1 usable",
    never=("ERROR", "resampling changed"),
)
def _(w):
    w.spect()
    w.image("mask", cube(), "mask", affine=moved((3.0, 0, 0)))
    return w.both()


def fine(w, x0=6, x1=14):
    """Write a SPECT, and a mask with voxels of half its size: a lesion of 8 x 8 voxels between two planes."""
    w.spect()
    affine = np.diag([-MM / 2, -MM / 2, MM / 2, 1.0])
    affine[:3, 3] = [MM / 4, MM / 4, -MM / 4]
    mask = np.zeros((2 * SIDE,) * 3, np.uint16)
    mask[x0:x1, 8:16, 8:16] = LESION
    w.image("mask", mask, "mask", affine=affine)
    return w.both()


row(1, "mask on a finer grid", r"lesion_01 4\.10 -> 4\.10 mL", "1 usable", never=("ERROR", "resampling changed"))(fine)
row(
    1,
    "mask of half a voxel's thickness",
    r"WARN THR-334 line 3 of the mapping: resampling changed a volume by [+-]\d+ %: lesion_01 3\.58 -> \d\.\d\d mL",
    "1 usable",
    never=("ERROR",),
)(lambda w: fine(w, 7, 14))


def far(w, by_mm):
    """Write a SPECT and a mask that lies elsewhere."""
    w.spect()
    w.image("mask", cube(), "mask", affine=moved((by_mm, 0, 0)))
    return w.both()


REFUSED = r"ERROR THR-220 .*{} lie outside the image · patient p001 · .*line 3 .* got .* at .* · expected .* at"
row(1, "mask that does not meet the image", REFUSED.format("100 % of lesion_01"))(lambda w: far(w, 400.0))
row(1, "mask half outside the image", REFUSED.format("50 % of lesion_01"))(lambda w: far(w, 20.0))
row(1, "mask that reaches the border of the image", "1 usable", never=("ERROR",))(lambda w: far(w, 12.0))


@row(
    1,
    "mask of before therapy on another grid than the SPECT",
    r"ERROR THR-220 mask lies on another grid than the SPECT at 24 h .* import the patient again: .* once more at 24 h",
)
def _(w):
    w.spect()
    w.image("mask", cube(), "mask", affine=moved((3.0, 0, 0)), session="ses-pre", time_h=np.nan)
    return w.both()


@row(1, "contours on the CT of a SPECT", "NOTE structures_0001.*: THR-277 mask was resampled", "1 usable", "same grid")
def _(w):
    w.pt()
    stored = np.full((12, 2 * SIDE, 2 * SIDE), 1024, np.uint16)
    stored[0, 0, 0] = 0
    half = {"spacing": (MM / 2,) * 3, "origin": [v - MM / 4 for v in ORIGIN]}
    w.pt("ct", stored, modality="CT", series="1.2.3.8", slopes=[1.0] * 12, **half)
    on_ct = [
        (kind, points + np.array([0.0, 0.0, MM * part])) for part in (-0.25, 0.25) for kind, points in square(2, 5)
    ]
    w.contours(("lesion_01", on_ct), series="1.2.3.8")
    said = w.checked(w.imported())
    same = w.data.load_one("p001", "mask").grid.same_as(w.data.load_one("p001", "spect").grid)
    return f"{said} {'same grid' if same else 'other grid'}"


@row(2, "direction differs by rounding", "usable", never=("THR-220", "ERROR"))
def _(w):
    w.spect()
    w.image("mask", cube(), "mask", affine=moved(turn=1e-7))
    return w.both()


@row(3, "mask in the other handedness", "ERROR THR-220 .* direction")
def _(w):
    w.spect()
    w.image("mask", cube(), "mask", affine=moved(flip=True))
    return w.both()


@row(
    3,
    "mask mirrored in its array",
    r"ERROR THR-273 left and right are exchanged .* left at x = .* expected left > right",
)
def _(w):
    w.spect()
    w.image("mask", cube(KIDNEY_LEFT, 1, cube(KIDNEY_RIGHT, 7)), "mask")
    return w.both()


@row(
    3,
    "liver in air",
    r"WARN THR-340 mask may be mirrored.* liver · got mean -9\d\d\S* HU in \S+_ct\.nii\.gz .* at least -200",
)
def _(w):
    w.spect()
    w.image("ct", np.random.default_rng(1).integers(-950, -850, (SIDE,) * 3).astype(np.int16), "ct")
    w.image("mask", cube(LIVER), "mask")
    return w.both()


@row(3, "kidney colder than the rest", r"WARN THR-340 mask may be mirrored.* kidney · got mean .* Bq/mL in \S+_spect")
def _(w):
    values = np.float32(BQ_PER_ML * np.random.default_rng(3).uniform(0.5, 1.5, (SIDE,) * 3))
    values[3:7, 4:8, 4:8] *= 0.1
    w.spect(values)
    w.image("mask", cube(KIDNEY_LEFT, 3, cube(KIDNEY_RIGHT, 8)), "mask")
    return w.both()


@row(4, "empty mask", r"ERROR THR-272 mask is empty · patient p001 · file line 3 of the mapping .* at least one label")
def _(w):
    w.spect()
    w.image("mask", np.zeros((SIDE,) * 3, np.uint8), "mask")
    return w.mapped()


@row(4, "label that is absent", r"label is not in the mask · got \[5, 101\] · expected 7")
def _(w):
    w.spect()
    w.image("mask", cube(LESION, 7, cube(KIDNEY_LEFT, 2)), "mask")
    w.mapped()
    return w.answer(lambda: label_masks(w.data.load_one("p001", "mask"), LIVER))


@row(
    5, "label 255", r"NOTE patient p001, line 3 of the mapping: mask values 255 all became lesion_01", never=("ERROR",)
)
def _(w):
    w.spect()
    w.image("mask", cube(255), "mask", label="lesion_01")
    return w.both()


@row(5, "label 0.0039", r"mask values 0\.0039 all became liver", never=("ERROR THR-2[27]",))
def _(w):
    w.spect()
    w.image("mask", np.float32(cube(1) * 0.0039), "mask", label="liver")
    return w.both()


@row(5, "labels 1 and 2 named as one VOI", r"WARN THR-334 line 3 of the mapping: mask values 1, 2 all became lesion_01")
def _(w):
    w.spect()
    w.image("mask", cube(1, 7, cube(2, 2)), "mask", label="lesion_01")
    return w.both()


@row(6, "VOIs of one voxel and of one slice", "1 usable", "lesion_01 1 voxels", "lesion_02 16 voxels", never=("ERROR",))
def _(w):
    w.spect()
    mask = np.zeros((SIDE,) * 3, np.uint16)
    mask[2, 2, 2], mask[5:9, 5:9, 5] = LESION, LESION + 1
    w.image("mask", mask, "mask")
    said = w.both()
    masks = label_masks(w.data.load_one("p001", "mask"))
    return "\n".join([said, *(f"{name} {int(mask.sum())} voxels" for name, mask in masks.items())])


@row(7, "mask that fills the image", "1 usable", never=("ERROR",))
def _(w):
    w.spect()
    w.image("mask", np.full((SIDE,) * 3, LESION, np.uint16), "mask")
    return w.both()


@row(8, "organs that overlap", r"-> lesion_01: 2\.30 mL .*; 0\.77 mL lie in another structure", never=("ERROR",))
def _(w):
    w.pt()
    w.contours(("Kidney_L", square(2, 5)), ("lesion_01", square(4, 7)))
    return w.imported()


@row(
    9, "ten structures of one name", "WARN THR-334 .* 9 structures repeat the name", "10 -> lesion_10", never=("ERROR",)
)
def _(w):
    w.pt()
    w.contours(*[("Met", square(k, k + 1)) for k in range(1, 11)])
    return w.imported()


@row(
    9,
    "one organ twice",
    r"ERROR THR-256 structures cannot be told apart · patient p001 · file structures_0001.*kidney_left",
)
def _(w):
    w.pt()
    w.contours(("Kidney_L", square(2, 4)), ("left kidney", square(6, 8)))
    return w.imported()


@row(10, "SEG that names other UIDs", "segment 1 -> lesion_01: 1.02 mL", "other frame|another frame", never=("ERROR",))
def _(w):
    files = w.pt()
    header = pydicom.dcmread(files[0])
    header.PatientSex = header.AccessionNumber = header.StudyID = header.StudyDate = header.StudyTime = ""
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]], affine[:3, 3], affine[3, 3] = MM, ORIGIN, 1.0
    mask = np.zeros((6, SIDE, SIDE), np.uint8)
    mask[1:5, 4:6, 4:6] = 1
    volume = hd.Volume(mask, affine, "PATIENT", frame_of_reference_uid="9.9.9")
    header.FrameOfReferenceUID, header.SeriesInstanceUID = "9.9.9", "1.2.3.4"
    about = [hd.seg.SegmentDescription(1, "lesion_01", codes.SCT.Tissue, codes.SCT.Tissue, "MANUAL")]
    made = hd.seg.Segmentation([header], volume, "BINARY", about, "9.8", 1, "9.7", 1, "x", "x", "1", "1")
    made.ReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.3.4"
    made.save_as(w.source / "seg.dcm")
    return w.imported()


@row(
    11,
    "structures of another frame of reference",
    r"ERROR THR-259 structure set belongs to no series .* got SeriesInstanceUID [0-9a-f]{8}, 0 series of its frame .* "
    r"expected pt-01 \(SeriesInstanceUID [0-9a-f]{8}\) · add the series it was drawn on",
)
def _(w):
    w.pt()
    w.contours(("lesion_01", square(2, 5)), series="8.8", frame="8.9")
    return w.imported()


def foreign(w, **allowed):
    """Write contours that name a series of the same frame of reference which is not there."""
    w.pt()
    w.contours(("lesion_01", square(2, 5)), series="8.8")
    return w.imported(allowed=Allowed(**allowed))


row(
    11,
    "structures of another series in the same frame",
    r"ERROR THR-342 structure set was drawn on another series .* "
    rf"got SeriesInstanceUID {fingerprint('8.8')}.* · expected "
    rf"pt-01 \(SeriesInstanceUID {fingerprint('1.2.3.4')}\) · .* --allow-frame-match",
    never=("8.8", r"1\.2\.3", "lesion_01"),
)(foreign)
row(
    11,
    "structures of another series in the same frame, allowed",
    r"WARN THR-334 .* drawn on a series that is not here; pt-01 of its frame",
    "-> lesion_01: ",
    never=("ERROR",),
)(lambda w: foreign(w, frame_match=True))
row(11, "structures of another frame of reference, allowed", "ERROR THR-259")(
    lambda w: (
        w.contours(("lesion_01", square(2, 5)), series="8.8", frame="8.9"),
        w.pt(),
        w.imported(allowed=Allowed(frame_match=True)),
    )[-1]
)


@row(12, "structure without contours", "structure 2 is empty in the file: left aside", never=("ERROR",))
def _(w):
    w.pt()
    w.contours(("lesion_01", square(2, 5)), ("Areola", None))
    return w.imported()


@row(13, "points and lines among contours", r"-> lesion_01: .*; 2 points or lines skipped", never=("ERROR",))
def _(w):
    w.pt()
    closed = square(2, 5)
    w.contours(("lesion_01", [*closed, ("POINT", closed[0][1][:1]), ("CLOSED_PLANAR", closed[0][1][:2])]))
    return w.imported()


@row(14, "a ring", r"-> lesion_01: 4\.10 mL \(contours 4\.10 mL\)", never=("ERROR",))
def _(w):
    w.pt()
    w.contours(("lesion_01", [*square(2, 8), *square(4, 6, 4, 6)]))
    return w.imported()


@row(15, "structure that reaches a little out of the image", r"; 0\.31 mL lie outside the image", never=("ERROR",))
def _(w):
    w.pt()
    w.contours(("lesion_01", square(-0.3, 12, 0, 8)))
    return w.imported()


@row(15, "structure a third outside", r"ERROR THR-223 structure reaches out .* structures_0001.* 33 % .* at most 5 %")
def _(w):
    w.pt()
    w.contours(("lesion_01", square(10, 13)))
    return w.imported()


@row(15, "contours between slices", r"ERROR THR-222 .* 1\.60 mm from the nearest slice · expected at most 1\.00 mm")
def _(w):
    w.pt()
    w.contours(("lesion_01", square(2, 5, shift=0.4)))
    return w.imported()


@row(16, "oblique slices", r"-> lesion_01: 1\.15 mL \(contours 1\.15 mL\)", never=("ERROR",))
def _(w):
    turn = np.array([[0.8, 0.0, 0.6], [0.0, 1.0, 0.0], [-0.6, 0.0, 0.8]])
    w.pt(axes=(*turn[:, 0], *turn[:, 1]))
    turned = [(kind, (points - ORIGIN) @ turn.T + ORIGIN) for kind, points in square(2, 5, 3, 6)]
    w.contours(("lesion_01", turned))
    return w.imported()


def pet(w, **options):
    """Write a PET of 68Ga at 1 h, 120 MBq."""
    options = {"info": w.maker.tracer("^68^Gallium", 1.2e8, moment="20240110110000", clock="110000"), **options}
    return w.pt("pet", series="1.2.3.7", slopes=[10.0] * 6, **options)


@row(
    17,
    "weight missing",
    r"ERROR THR-211 SUV needs the body weight · patient p001 · file participants.tsv · field weight_kg",
)
def _(w):
    pet(w, changes={"PatientWeight": None})
    return w.checked(w.imported())


@row(17, "weight 0", "ERROR THR-211 .* expected 20 to 250 kg")
def _(w):
    pet(w, changes={"PatientWeight": "0"})
    return w.checked(w.imported())


def weighed(w, header_kg, table_kg):
    """Import a PET whose header states a weight, write another into the table, and check."""
    pet(w, changes={"PatientWeight": header_kg})
    said = w.imported()
    table = w.data.participants_file
    rows = pd.read_csv(table, sep="\t", dtype=str, keep_default_na=False).assign(weight_kg=table_kg)
    rows.to_csv(table, sep="\t", index=False)
    return w.checked(said)


row(
    17,
    "weights of header and table",
    r"ERROR THR-343 weights of header and table disagree · patient p001 · file \S+_pet\.nii\.gz · field PatientWeight "
    r"· got 80 kg · expected 85 kg as in participants\.tsv",
)(lambda w: weighed(w, "80", "85"))
row(17, "weights that differ by rounding", "1 patient ", never=("THR-343", "THR-211"))(lambda w: weighed(w, "80", "81"))
row(17, "weight of the table only", "1 patient ", never=("THR-343", "THR-211"))(lambda w: weighed(w, None, "85"))


@row(17, "weight of the table, then imported again", "weight 85", "1 patient ", never=("THR-343", "THR-211"))
def _(w):
    w.contours(("lesion_01", square(2, 5)), series="8.8")  # keeps the patient in quarantine
    weighed(w, None, "85")
    (w.source / "rs.dcm").unlink()
    said = w.checked(w.imported())
    return f"{said} weight {w.data.participants()['weight_kg'].iloc[0]:g}"


@row(
    18,
    "weight in g",
    r"ERROR THR-339 .* p001 · file pt-01 · field PatientWeight · got 80000 · expected 20 to 250 kg · .* like g;",
)
def _(w):
    w.pt(changes={"PatientWeight": "80000"})
    return w.imported()


@row(18, "weight in lb", "THR-339 .* got 300 .* looks like lb")
def _(w):
    w.pt(changes={"PatientWeight": "300"})
    return w.imported()


@row(
    18,
    "height in cm",
    "THR-339 .* field PatientSize · got 17500 · expected 100 to 230 cm · .* looks like cm in a field of m",
)
def _(w):
    w.pt(changes={"PatientSize": "175"})
    return w.imported()


@row(19, "activity missing", r"THR-250 .* field RadionuclideTotalDose · .*mapping file")
def _(w):
    info = w.maker.tracer()
    del info.RadionuclideTotalDose
    w.pt(info=info)
    return w.imported()


@row(
    19,
    "activity in MBq in a field of Bq",
    r"THR-212 .* field RadionuclideTotalDose · got 0.0074 MBq · expected 1000 to 12000 MBq",
)
def _(w):
    w.pt(info=w.maker.tracer(bq=7400))
    return w.imported()


@row(
    19,
    "7.4e9 in a column of MBq",
    r"ERROR THR-261 .* p001 .* field administered_mbq · got 7400000000\.0 · expected 1 to 20000.* · .* looks like Bq; ",
)
def _(w):
    w.spect(administered_mbq=7.4e9)
    return w.mapped()


@row(
    19,
    "7.4 in a column of MBq",
    r"ERROR THR-212 .* field administered_mbq · got 7\.4 MBq .* the value looks like GBq; ",
    never=("THR-213", "THR-274"),
)
def _(w):
    w.spect(administered_mbq=7.4)
    return w.both()


@row(
    20, "time of day of the injection only", r"NOTE pt-01: injection has a time of day only; put on the day of the scan"
)
def _(w):
    pet(w, info=w.maker.tracer("^68^Gallium", 1.2e8, moment="", clock="110000"))
    return w.imported()


@row(
    21,
    "two times of injection",
    r"THR-253 two injection times disagree .* got 093000 and 110000 .* expected the same time",
)
def _(w):
    pet(w, info=w.maker.tracer("^68^Gallium", 1.2e8, moment="20240110110000", clock="093000"))
    return w.imported()


@row(22, "injection after the scan", r"THR-252 scan does not follow the injection .* got -\d+\.\d\d h · expected 0 to")
def _(w):
    w.pt(info=w.maker.tracer(moment="20240111080000", clock="080000"))
    return w.imported()


@row(
    22,
    "over midnight",
    "NOTE pt-01: injection has a time of day later than the scan; put on the day before",
    "pet at 1.00 h",
)
def _(w):
    late = {"SeriesTime": "003000", "AcquisitionTime": "003000"}
    pet(w, info=w.maker.tracer("^68^Gallium", 1.2e8, moment="", clock="233000"), changes=late)
    return w.imported()


@row(23, "injection in another zone", "spect at 3.00 h", never=("ERROR",))
def _(w):
    info = w.maker.tracer(moment="20240110080000+0000", clock="")
    w.pt(info=info, changes={"TimezoneOffsetFromUTC": "+0100"})
    return w.imported()


@row(
    25,
    "decay correction to the injection",
    "administration .*taken: administration",
    "WARN decay correction contradicts itself",
)
def _(w):
    w.pt(changes={"DecayCorrection": "ADMIN"})
    return w.imported(decay_reference="as_declared")


@row(25, "no decay correction", "taken: none")
def _(w):
    w.pt(changes={"DecayCorrection": "NONE"})
    return w.imported(decay_reference="as_declared")


@row(
    25,
    "decay correction not stated",
    r"THR-207 decay correction is not stated .* pt-01 · field DecayCorrection .* --decay-reference",
)
def _(w):
    w.pt(changes={"DecayCorrection": None})
    return w.imported(decay_reference="as_declared")


@row(26, "acquisition time of a bed in place of the series' start", "spect at 4.00 h", never=("ERROR",))
def _(w):
    w.pt(changes={"AcquisitionTime": "123000", "SeriesTime": "120000"})
    return w.imported()


@row(
    27,
    "counts",
    r"THR-214 image is not in Bq/mL · patient p001 · file pt-01_0001.dcm .* field Units · got CNTS · expected BQML",
)
def _(w):
    w.pt(changes={"Units": "CNTS"})
    return w.imported()


@row(28, "proportional to counts per second", "THR-214 .* got PROPCPS .* export the quantitative series")
def _(w):
    w.pt(changes={"Units": "PROPCPS"})
    return w.imported()


@row(
    29,
    "a MIP in the folder",
    "left aside: 1 file .image type MIP.",
    "7 files found = 6 used . 1 left aside",
    never=("ERROR",),
)
def _(w):
    w.pt()
    stored = np.ones((1, SIDE, SIDE), np.uint16)
    w.pt("mip", stored, series="5.5", changes={"ImageType": ["DERIVED", "SECONDARY", "MIP"]})
    return w.imported()


@row(30, "SUV by body weight", "pet at 1.00 h is in g/mL", never=("ERROR",))
def _(w):
    pet(w, changes={"Units": "GML"})
    return w.imported()


@row(30, "SUV by body surface", "THR-214 .* got CM2ML")
def _(w):
    pet(w, changes={"Units": "CM2ML"})
    return w.imported()


@row(
    31,
    "unit not declared",
    r"THR-210 unit of the image is not stated · .*line 2 of the mapping · field units · got an empty cell · expected",
)
def _(w):
    w.spect(units="")
    return w.mapped()


@row(31, "kBq/mL as Bq/mL", r"THR-213 .* 0\.02 % of .* MBq · expected 0\.11 to 105 % · looks like a factor 1000")
def _(w):
    w.spect(np.float32(BQ_PER_ML / 1000 * np.random.default_rng(3).uniform(0.9, 1.1, (SIDE,) * 3)))
    return w.both()


@row(
    32,
    "another radionuclide than the study's",
    r"THR-262 radionuclide is not the study's .* got Y-90 · expected Lu-177",
)
def _(w):
    w.spect(about={"TracerRadionuclide": "Y-90"}, radionuclide="Y-90")
    return w.both()


@row(32, "a radionuclide that is none", r"THR-250 .* p001 · file pt-01 · field RadionuclideCodeSequence")
def _(w):
    w.pt(info=w.maker.tracer("177m nothing"))
    return w.imported()


def decaying(w, half_life_s):
    """Import a PET of 18F whose header states a half-life."""
    info = w.maker.tracer("^18^Fluorine", 3e8, moment="20240110110000", clock="110000")
    info.RadionuclideHalfLife = half_life_s
    pet(w, info=info)
    return w.imported()


row(32, "half-life of the header, rounded", "pet at 1.00 h", never=("half-life", "ERROR"))(
    lambda w: decaying(w, "6588")
)
row(
    32,
    "half-life of the header is another",
    r"WARN THR-334 pt-01: half-life of F-18 is 6600 s in the header, 6586\.\d+ s in ICRP 107, which was taken",
    never=("ERROR",),
)(lambda w: decaying(w, "6600"))


def traced(w, radionuclide):
    """Import a SPECT whose sidecar states its radionuclide in a list."""
    w.spect(about={"TracerRadionuclide": radionuclide})
    w.image("mask", cube(), "mask")
    return w.both()


row(32, "radionuclide in a list", "1 usable", never=("ERROR",))(lambda w: traced(w, ["Lu-177"]))
row(
    32,
    "two radionuclides in a list",
    r"ERROR THR-341 radionuclide of the sidecar is no single name · patient p001 .* TracerRadionuclide · got 2 values",
)(lambda w: traced(w, ["Lu-177", "Y-90"]))


@row(
    33,
    "energy window beside the lines",
    r"WARN THR-334 pt-01: energy window 126-154 keV holds no line of Lu-177 \(112\.95, 208\.37 keV\)",
)
def _(w):
    window = w.maker.item(EnergyWindowLowerLimit="126", EnergyWindowUpperLimit="154")
    w.pt(changes={"EnergyWindowRangeSequence": [window]})
    return w.imported()


def without(w, k, **options):
    """Write a series and take slice k away, counted along the patient."""
    files = w.pt(**options)
    files[k].unlink()
    return w.imported()


row(
    34,
    "slice missing inside",
    r"THR-229 a slice is missing · patient p001 · file pt-01_\d{4}\.dcm .* 8\.000 mm before .* mm · expected steps",
)(lambda w: without(w, 2))
row(34, "first slice missing", "THR-229 series is not complete .* NumberOfSlices · got 5 slices · expected 6")(
    lambda w: without(w, 0)
)
row(34, "last slice missing", "THR-229 series is not complete .* got 5 slices · expected 6")(lambda w: without(w, -1))
row(34, "images in the acquisition", "THR-229 .* field ImagesInAcquisition · got 5 slices · expected 6")(
    lambda w: without(w, -1, modality="CT", slopes=[1.0] * 6, changes={"ImagesInAcquisition": 6})
)


@row(35, "a slice twice", r"NOTE pt-01: pt-01_000\d\.dcm.* repeats pt-01_000\d\.dcm.*: dropped", never=("ERROR",))
def _(w):
    files = w.pt()
    (w.source / "s" / "copy.dcm").write_bytes(files[2].read_bytes())
    return w.imported()


@row(
    35,
    "two slices at one place",
    r"THR-228 two different slices at one position .* mm, as pt-01_00\d\d\.dcm.* separate",
)
def _(w):
    w.pt()
    w.pt("t", np.full((6, SIDE, SIDE), 7, np.uint16))
    return w.imported()


def stretched(w, steps_mm, stored=None, **allowed):
    """Write a series with slices at steps of their own."""
    files = w.pt(stored=stored)
    for file, at in zip(files, np.cumsum([0.0, *steps_mm]), strict=True):
        header = pydicom.dcmread(file)
        header.ImagePositionPatient = [*ORIGIN[:2], ORIGIN[2] + float(at)]
        header.save_as(file)
    return w.imported(allowed=Allowed(**allowed))


row(36, "slightly uneven steps", "NOTE pt-01: steps vary by up to 0.080 mm: accepted", never=("ERROR",))(
    lambda w: stretched(w, [3.19, 3.27, 3.29, 3.27, 3.27])
)
row(
    37,
    "really uneven steps",
    r"THR-336 slices are not evenly spaced .* got 4\.000 mm · expected 3\.200 mm · import with --resample-uneven",
)(lambda w: stretched(w, [3.2, 4.0, 3.2, 3.2, 3.2]))
row(
    37,
    "a gap, although uneven steps are allowed",
    r"THR-229 a slice is missing .* got 6\.400 mm before",
)(lambda w: stretched(w, [3.2, 6.4, 3.2, 3.2, 3.2], uneven=True))


@row(
    37,
    "really uneven steps, allowed",
    r"WARN THR-334 pt-01: slices are 3\.200 to 4\.000 mm apart: interpolated on even steps of 3\.360 mm",
    "a ramp in 6 slices of 3.36 mm",
    never=("ERROR",),
)
def _(w):
    steps_mm = [3.2, 4.0, 3.2, 3.2, 3.2]
    ramp = np.rint(20000 + 1000 * np.cumsum([0.0, *steps_mm])).astype(np.uint16)
    stored = np.broadcast_to(ramp[:, None, None], (6, SIDE, SIDE)).copy()
    said = stretched(w, steps_mm, stored, uneven=True)
    volume = w.data.load_one("p001", "spect")
    wanted = 300.0 * (20000 + 3360 * np.arange(6))
    exact = np.allclose(volume.values, wanted[:, None, None], rtol=1e-6)
    kind = "a ramp" if exact else "no ramp"
    return f"{said} {kind} in {len(volume.values)} slices of {volume.grid.spacing_mm[2]:.4g} mm"


@row(37, "tilted gantry", r"THR-336 slices are stacked askew \(tilted gantry\) .* resample it on an upright grid")
def _(w):
    for k, file in enumerate(w.pt()):
        header = pydicom.dcmread(file)
        header.ImagePositionPatient = [ORIGIN[0], ORIGIN[1] + 2.0 * k, ORIGIN[2] + MM * k]
        header.save_as(file)
    return w.imported()


@row(38, "numbers in another order than space", "rising", never=("ERROR",))
def _(w):
    w.pt(stored=np.stack([np.full((SIDE, SIDE), 20000 + 5000 * k, np.uint16) for k in range(6)]))
    said = w.imported()
    along = w.data.load_one("p001", "spect").values.mean(axis=(1, 2))
    return f"{said} {'rising' if (np.diff(along) > 0).all() else 'scrambled'}"


@row(39, "NM with a negative distance of slices", "origin 10.0, last frame first", never=("ERROR",))
def _(w):
    stored = np.stack([np.full((SIDE, SIDE), 20000 + 5000 * k, np.uint16) for k in range(6)])
    w.maker.write_nm(w.source / "nm.dcm", stored, step=-4.0, changes={"RescaleSlope": "3000"})
    said = w.imported(nm_unit="Bq/mL")
    volume = w.data.load_one("p001", "spect")
    order = "last" if volume.values[0].mean() > volume.values[-1].mean() else "first"
    return f"{said} origin {volume.grid.origin_mm[2]}, {order} frame first"


@row(
    40,
    "enhanced PET",
    r"THR-254 not supported: this kind of image .* SOPClassUID · got Enhanced PET Image Storage .* convert it",
)
def _(w):
    file = w.pt(stored=np.ones((2, SIDE, SIDE), np.uint16))[0]
    header = pydicom.dcmread(file)
    header.SOPClassUID = "1.2.840.10008.5.1.4.1.1.130"
    header.NumberOfFrames = 1
    header.save_as(file)
    return w.imported()


@row(
    40,
    "pixels in a syntax that needs a decoder",
    r"THR-204 pixels cannot be read · patient p001 · file pt-01_\d+\.dcm .*JPEG.* uncompressed",
)
def _(w):
    for file in w.pt():
        header = pydicom.dcmread(file)
        header.file_meta.TransferSyntaxUID = pydicom.uid.JPEGLSLossless
        header.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xd9"])
        header["PixelData"].VR = "OB"
        header.save_as(file)
    return w.imported()


@row(41, "NIfTI cut off", r"THR-204 image file is damaged · .*line 2 of the mapping · got 3000 of 7264 bytes")
def _(w):
    file = w.spect(packed=False)
    file.write_bytes(file.read_bytes()[:3000])
    return w.mapped()


@row(41, "gzip with a wrong checksum", "THR-204 image file is damaged .* got CRC check failed")
def _(w):
    file = w.spect()
    raw = bytearray(gzip.compress(gzip.decompress(file.read_bytes())))
    raw[-6] ^= 1
    file.write_bytes(bytes(raw))
    return w.mapped()


def askew(w, shear):
    """Write a SPECT whose axes are not quite at right angles, and say how far the import left them from it."""
    affine = np.diag([-MM, -MM, MM, 1.0])
    affine[0, 1] = shear * MM
    w.spect(affine=affine)
    said = w.mapped()
    if "ERROR" in said or "THR-" in said:
        return said
    stored = nib.load(w.data.root / w.data.manifest()["file"].iloc[0]).affine[:3, :3]
    axes = stored / np.linalg.norm(stored, axis=0)
    return f"{said} shear {np.abs(axes.T @ axes - np.eye(3)).max() < 1e-6}"


row(42, "axes askew by rounding", "shear True", never=("ERROR",))(lambda w: askew(w, 5e-4))
row(42, "axes askew", r"THR-337 image axes are not at right angles .* got shear 0\.0\d+ · expected 0\.001 · resample")(
    lambda w: askew(w, 0.05)
)


def spoiled(w, at, value):
    """Write a SPECT with one wrong voxel, and a mask."""
    values = np.float32(BQ_PER_ML * np.random.default_rng(3).uniform(0.5, 1.5, (SIDE,) * 3))
    values[at] = value
    w.spect(values)
    w.image("mask", cube(), "mask")
    return w.both()


row(
    43,
    "NaN inside a VOI",
    r"ERROR THR-270 values inside a VOI .* got 1 voxels of lesion_01, first at voxel \(x, y, z\) = \(4, 5, 6\)",
)(lambda w: spoiled(w, (4, 5, 6), np.nan))
row(43, "infinity outside all VOIs", "NOTE .* 1 values outside all VOIs set to 0", "1 usable", never=("ERROR",))(
    lambda w: spoiled(w, (0, 0, 0), np.inf)
)
row(
    43,
    "negative activity",
    r"NOTE THR-335 negative activity was kept · patient p001 · file \S+ · got 1 voxels",
    never=("ERROR",),
)(lambda w: spoiled(w, (0, 0, 0), -5.0))


@row(
    43,
    "NaN without a mask",
    r"THR-270 values are not finite · patient p001 .* got 1 voxels, first at .* or give a mask",
)
def _(w):
    values = np.full((SIDE,) * 3, BQ_PER_ML, np.float32)
    values[0, 0, 0] = np.nan
    w.spect(values)
    return w.mapped()


@row(
    44,
    "clipped DICOM values",
    r"WARN THR-334 pt-01: 24 voxels \(2\.8 %\) hold the largest number: clipped\?",
    never=("ERROR",),
)
def _(w):
    stored = np.random.default_rng(2).integers(30000, 60000, (6, SIDE, SIDE)).astype(np.uint16)
    stored[:, :2, :2] = 65535
    w.pt(stored=stored)
    return w.imported()


@row(
    44,
    "clipped NIfTI values",
    r"WARN THR-334 line 2 of the mapping: 27 voxels \(1\.6 %\) hold the largest number",
    never=("ERROR",),
)
def _(w):
    values = np.random.default_rng(2).integers(3000, 30000, (SIDE,) * 3).astype(np.int16)
    values[:3, :3, :3] = 32767
    w.spect(values)
    return w.mapped()


def burned(w, stated, **allowed):
    """Write a SPECT and a CT whose header says whether text is burnt into the pixels."""
    w.pt()
    stored = np.random.default_rng(1).integers(900, 1100, (6, SIDE, SIDE)).astype(np.uint16)
    w.pt("ct", stored, modality="CT", series="1.2.3.8", slopes=[1.0] * 6, changes={"BurnedInAnnotation": stated})
    return w.imported(allowed=Allowed(**allowed))


row(
    58,
    "text burnt into the pixels",
    r"ERROR THR-344 text is burnt into the pixels · patient p001 · file ct-01 · field BurnedInAnnotation · "
    r"got YES in 6 files · expected NO · .* --allow-burned-in",
    "1 series, 0 structure sets",
)(lambda w: burned(w, "YES"))
row(58, "no text in the pixels", "2 series, 0 structure sets", never=("ERROR", "WARN"))(lambda w: burned(w, "NO"))
row(
    58,
    "text burnt into the pixels, allowed",
    "WARN THR-334 ct-01: header says that text is burnt into the pixels",
    "2 series, 0 structure sets",
    never=("ERROR",),
)(lambda w: burned(w, "YES", burned_in=True))


@pytest.mark.parametrize("case", TABLE, ids=lambda case: f"{case.number}-{case.what.replace(' ', '-')}")
def test_a_bad_input_is_answered(case, dicom_maker, tmp_path) -> None:
    said = case.ask(World(dicom_maker, tmp_path))
    for words in case.says:
        assert re.search(words, said), said
    for words in case.never:
        assert not re.search(words, said), said
    assert "CANARY" not in said
    assert "Traceback" not in said
    assert tmp_path.name not in said


def test_every_row_of_the_contract_is_here() -> None:
    # 24: the dose measurement time of one vendor is a rule of `suv`.
    assert {case.number for case in TABLE} == set(range(1, 45)) - {24} | {58}
