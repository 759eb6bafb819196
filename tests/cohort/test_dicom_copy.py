"""A virtual patient goes out as DICOM and comes back through the importer as the same patient."""

import shutil
from dataclasses import replace
from datetime import datetime

import numpy as np
import pandas as pd
import pydicom
import pytest

from theradose.cohort.dicom_copy import export_dicom, injection
from theradose.cohort.importer import import_dicom
from theradose.cohort.layout import PRE, Dataset
from theradose.cohort.virtual.patient import virtual_patient
from theradose.cohort.virtual.scans import ct_scan, pet_scan, spect_scan
from theradose.errors import DataError, SettingsError
from theradose.imaging.grid import Grid
from theradose.imaging.nifti import read_sidecar, write_volume
from theradose.imaging.volume import Volume
from theradose.provenance import write_json
from theradose.tables import PARTICIPANTS, write_table
from theradose.vocabulary import VIRTUAL_MARKS

GRID = Grid((4, 6, 5), (8.0, 8.0, 8.0), (-16.0, -20.0, 100.0))
OTHER_GRID = Grid((3, 6, 5), (8.0, 8.0, 8.0), (-16.0, -20.0, 100.0))
# The slope is the slice's maximum over 65535, values are rounded to half of it; float32 adds 2^-24 twice.
HALF_STEP = 0.5 / 65535 + 2.0**-23


def emission(nuclide, mbq, time_h, reference):
    """Return a sidecar of a virtual PET or SPECT."""
    return {
        "TracerRadionuclide": nuclide, "InjectedRadioactivity": mbq, "InjectedRadioactivityUnits": "MBq",
        "FrameTimesStart": [3600.0 * time_h], "FrameDuration": [600.0], "ImageDecayCorrected": reference != "none",
        "DecayReference": reference,
    }  # fmt: skip


class Maker:
    """Writes the images of patient v001 and then the tables of the data set."""

    def __init__(self, root):
        self.data, self.rows = Dataset(root), []

    def add(self, modality, session, volume, extra=None, time_h=None):
        path = self.data.image_file("v001", modality, session, None if session == PRE else time_h)
        write_volume(volume, path, {"Virtual": True, **(extra or {})})
        row = {"patient": "v001", "session": session, "modality": modality, "time_h": time_h}
        self.rows.append(row | {"file": path.relative_to(self.data.root).as_posix()})

    def close(self, **person):
        table = pd.DataFrame([{"patient": "v001", "centre": "north", "radionuclide": "Lu-177", **person}])
        write_table(table, self.data.participants_file, PARTICIPANTS)
        self.data.write_manifest(pd.DataFrame(self.rows))
        return self.data


@pytest.fixture
def data(tmp_path):
    """Return a data set of one small patient: CT, PET, a SPECT in two cycles, a mask before and in the second."""
    made, rng = Maker(tmp_path / "data"), np.random.default_rng(1)
    values = rng.uniform(0.0, 1e5, GRID.shape_zyx).astype(np.float32)
    labels = rng.choice([0, 5, 101], GRID.shape_zyx).astype(np.uint16)
    made.add("ct", PRE, Volume(np.rint(values / 100).astype(np.float32), GRID, "HU"))
    made.add("pet", PRE, Volume(values, GRID, "Bq/mL"), emission("Ga-68", 150.0, 1.0, "administration"), 1.0)
    made.add("mask", PRE, Volume(labels, GRID, "label"))
    for cycle in (1, 2):
        about = emission("Lu-177", 7000.0 + cycle, 24.25, "scan_start")
        made.add("spect", f"ses-tx{cycle}", Volume(values[::-1] * cycle, GRID, "Bq/mL"), about, 24.25)
    made.add("mask", "ses-tx2", Volume(labels[::-1], GRID, "label"))
    return made.close(weight_kg=81.5, height_cm=176.0, administered_mbq=7001.0, sex="female")


@pytest.fixture
def virtual(tmp_path):
    """Return the data set of the trunk of a virtual patient on voxels of 8 mm: 26 slices around the kidneys."""
    patient = virtual_patient(
        5, 0, centres=("north",), spacing_mm=8.0, difficulty="xue_like", texture_coupling=0.6
    )  # fmt: skip
    made, labels = Maker(tmp_path / "data"), patient.anatomy.labels.copy()
    middle = int(np.median(np.argwhere((labels == 5) | (labels == 6))[:, 0]))

    def trunk(volume):
        x, y, z = volume.grid.origin_mm
        values = volume.values[middle - 13 : middle + 13]
        origin = (x, y, z + (middle - 13) * volume.grid.spacing_mm[2])
        return Volume(values, replace(volume.grid, shape_zyx=values.shape, origin_mm=origin), volume.unit)

    made.add("ct", PRE, trunk(ct_scan(patient)))
    pet = emission("Ga-68", patient.administered_pet_mbq, 50 / 60, "administration")
    made.add("pet", PRE, trunk(pet_scan(patient, "xue_like", "Ga-68", 50 / 60)), pet, 50 / 60)
    spect = emission("Lu-177", patient.administered_mbq, 24.0, "scan_start")
    made.add("spect", "ses-tx1", trunk(spect_scan(patient, 24.0, "Lu-177")), spect, 24.0)
    mask = trunk(Volume(labels, patient.anatomy.grid, "label"))
    for number, lesion in enumerate(np.unique(mask.values[mask.values > 100])):
        mask.values[mask.values == lesion] = 101 + number  # the importer numbers lesions without gaps
    made.add("mask", PRE, mask)
    return made.close(weight_kg=71.3, height_cm=182.0, administered_mbq=patient.administered_mbq, sex="male")


def change(data, modality, **fields):
    """Change the sidecar of the first image of a modality."""
    path = data.root / data.rows("v001", modality).iloc[0]["file"]
    about = {**read_sidecar(path), **fields}
    write_json(path.with_name(path.name.replace(".nii.gz", ".json")), about)


def headers(folder):
    """Return the headers under a folder by path."""
    return {path.relative_to(folder).as_posix(): pydicom.dcmread(path) for path in sorted(folder.rglob("*.dcm"))}


def test_a_virtual_patient_comes_back_the_same(virtual, tmp_path):
    export_dicom(virtual, tmp_path / "dicom", spect="pt")
    found = Dataset(tmp_path / "imported")
    lines = import_dicom(tmp_path / "dicom" / "sub-v001", found.root, patient="v001", centre="north")
    assert "0 left aside" in lines[-1]
    wanted_row, row = virtual.participants().iloc[0], found.participants().iloc[0]
    for name in ("weight_kg", "height_cm", "administered_mbq"):
        assert row[name] == pytest.approx(wanted_row[name], rel=1e-9)
    assert len(found.manifest()) == len(virtual.manifest()) == 4
    for file in found.manifest()["file"]:
        assert read_sidecar(found.root / file).items() >= VIRTUAL_MARKS.items(), file
    for modality in ("ct", "pet", "spect", "mask"):
        wanted, image = (each.load_one("v001", modality) for each in (virtual, found))
        assert image.grid.same_as(wanted.grid, 1e-6)
        gap = np.abs(image.values.astype(float) - wanted.values).max(axis=(1, 2))
        top = np.abs(wanted.values.astype(float)).max(axis=(1, 2))
        if modality == "mask":
            assert gap.max() == 0
            assert {5, 6, 101} <= set(np.unique(image.values))
        elif modality == "ct":
            assert gap.max() <= 0.5
        else:
            assert (gap <= HALF_STEP * top).all()
            about, back = (
                read_sidecar(each.root / each.rows("v001", modality).iloc[0]["file"]) for each in (virtual, found)
            )
            for key in ("TracerRadionuclide", "DecayReference", "InjectedRadioactivityUnits", "FrameDuration"):
                assert back[key] == about[key]
            assert back["FrameTimesStart"] == pytest.approx(about["FrameTimesStart"], abs=1e-3)
            assert back["InjectedRadioactivity"] == pytest.approx(about["InjectedRadioactivity"], rel=1e-9)


def test_folders_times_and_visits(data, tmp_path):
    lines = export_dicom(data, tmp_path)
    found = headers(tmp_path / "sub-v001")
    assert {path.split("/")[0] for path in found} == {
        "ses-pre_ct", "ses-pre_pet_001h", "ses-pre_mask", "ses-tx1_spect_024h", "ses-tx2_spect_024h", "ses-tx2_mask",
    }  # fmt: skip
    assert len(found) == 4 + 4 + 1 + 1 + 1 + 1
    assert lines[0] == "v001 ses-pre_ct: 4 CT"
    pet, ct = found["ses-pre_pet_001h/0001.dcm"], found["ses-pre_ct/0001.dcm"]
    assert (pet.SeriesDate, pet.SeriesTime) == ("20000101", "090000.000000")
    info = pet.RadiopharmaceuticalInformationSequence[0]
    assert info.RadiopharmaceuticalStartDateTime == "20000101080000.000000"
    assert (pet.DecayCorrection, pet.PatientSex, pet.PatientID) == ("ADMIN", "F", "v001")
    first, second = (found[f"ses-tx{cycle}_spect_024h/0001.dcm"] for cycle in (1, 2))
    # Therapy two weeks after the PET, cycles eight weeks apart; 24.25 h after 8:00 it is 8:15 of the next day.
    assert (first.SeriesDate, first.SeriesTime) == ("20000116", "081500.000000")
    assert (second.SeriesDate, second.SeriesTime) == ("20000312", "081500.000000")
    assert float(second.RadiopharmaceuticalInformationSequence[0].RadionuclideTotalDose) == 7.002e9
    assert injection("ses-tx1") == datetime(2000, 1, 15, 8)
    for each in found.values():
        assert f"{each.StudyDate}{each.StudyTime}" <= f"{each.SeriesDate}{each.SeriesTime}"
    studies = {path.split("/")[0]: each.StudyInstanceUID for path, each in found.items()}
    frames = {path.split("/")[0]: each.FrameOfReferenceUID for path, each in found.items()}
    for shared in (studies, frames):
        assert shared["ses-pre_ct"] == shared["ses-pre_pet_001h"] == shared["ses-pre_mask"]
        assert shared["ses-tx2_mask"] == shared["ses-tx2_spect_024h"]
        assert len(set(shared.values())) == 3
    assert len({each.SOPInstanceUID for each in found.values()}) == len(found)
    structures = found["ses-pre_mask/0001.dcm"].ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    assert structures.RTReferencedSeriesSequence[0].SeriesInstanceUID == ct.SeriesInstanceUID
    names = [roi.ROIName for roi in found["ses-pre_mask/0001.dcm"].StructureSetROISequence]
    assert names == ["kidney_left", "lesion_01"]


def test_the_same_data_set_gives_the_same_bytes(data, tmp_path):
    for name in ("one", "two"):
        export_dicom(data, tmp_path / name, spect="pt")
    one, two = (
        {p.relative_to(tmp_path / name).as_posix(): p.read_bytes() for p in (tmp_path / name).rglob("*.dcm")}
        for name in ("one", "two")
    )
    assert one == two


def test_forms_of_one_spect_have_uids_of_their_own(data, tmp_path):
    found = {}
    for spect in ("nm", "nm-reversed", "pt"):
        export_dicom(data, tmp_path / spect, spect=spect)
        found[spect] = headers(tmp_path / spect / "sub-v001")["ses-tx1_spect_024h/0001.dcm"]
    assert len({each.SOPInstanceUID for each in found.values()}) == 3
    assert [each.Modality for each in found.values()] == ["NM", "NM", "PT"]
    assert [float(found[name].SpacingBetweenSlices) for name in ("nm", "nm-reversed")] == [8.0, -8.0]


@pytest.mark.parametrize("spect", ["nm", "nm-reversed"])
def test_a_spect_with_its_mask_comes_back_from_nm(data, tmp_path, spect):
    export_dicom(data, tmp_path / "dicom", spect=spect)
    shutil.rmtree(tmp_path / "dicom" / "sub-v001" / "ses-tx1_spect_024h")  # the importer takes one cycle
    found = Dataset(tmp_path / "imported")
    import_dicom(tmp_path / "dicom", found.root, patient="v001")
    wanted = data.load_one("v001", "spect", "ses-tx2")
    image = found.load_one("v001", "spect")
    assert image.grid.same_as(wanted.grid, 1e-6)
    assert np.abs(image.values - wanted.values).max() <= HALF_STEP * wanted.values.max()
    masks = [found.load_one("v001", "mask", session).values for session in (PRE, "ses-tx1")]
    for mask, session in zip(masks, (PRE, "ses-tx2"), strict=True):
        assert np.array_equal(mask, data.load_one("v001", "mask", session).values)


def test_real_patients_are_refused(data, tmp_path):
    change(data, "spect", Virtual=False)
    with pytest.raises(DataError, match="THR-282 image is not of a virtual patient · patient v001"):
        export_dicom(data, tmp_path / "dicom")
    assert list((tmp_path / "dicom").iterdir()) == []


def test_an_unknown_patient_and_an_unknown_form_are_refused(data, tmp_path):
    with pytest.raises(DataError, match=r"not in the clinical table .* one of v001"):
        export_dicom(data, tmp_path / "dicom", patients=["v002"])
    with pytest.raises(SettingsError, match="one of nm, nm-reversed, pt"):
        export_dicom(data, tmp_path / "dicom", spect="seg")
    assert not (tmp_path / "dicom").exists()


def test_a_folder_that_is_there_is_left_alone(data, tmp_path):
    (tmp_path / "dicom" / "sub-v001").mkdir(parents=True)
    with pytest.raises(SettingsError, match="folder exists"):
        export_dicom(data, tmp_path / "dicom")
    assert [p.name for p in (tmp_path / "dicom").rglob("*")] == ["sub-v001"]


def test_a_place_that_cannot_be_written_gets_a_sentence(data, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="folder cannot be written"):
        export_dicom(data, tmp_path / "file" / "dicom")


def test_a_mask_on_no_image_and_an_unknown_label_are_refused(data, tmp_path):
    row = data.rows("v001", "mask", PRE).iloc[0]
    rows = data.manifest()[["patient", "session", "modality", "time_h", "file"]]
    for values, grid, words in (
        (np.ones(OTHER_GRID.shape_zyx, np.uint16), OTHER_GRID, "mask lies on no image"),
        (np.full(GRID.shape_zyx, 99, np.uint16), GRID, "label is no VOI .* got 99"),
    ):
        write_volume(Volume(values, grid, "label"), data.root / row["file"], {"Virtual": True})
        data.write_manifest(rows)
        with pytest.raises(DataError, match=words):
            export_dicom(data, tmp_path / "dicom")


def test_an_image_that_changed_is_refused(data, tmp_path):
    path = data.root / data.rows("v001", "pet").iloc[0]["file"]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="changed since intake"):
        export_dicom(data, tmp_path / "dicom")
