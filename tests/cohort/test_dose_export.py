"""Dose maps and masks of a study go out as NIfTI, RTDOSE, SEG and RTSTRUCT, whole or not at all."""

import shutil

import numpy as np
import pandas as pd
import pydicom
import pytest

from theradose.cohort.dicom_copy import export_dicom
from theradose.cohort.dose_export import export_dose
from theradose.cohort.layout import PRE, Dataset
from theradose.errors import DataError, SettingsError
from theradose.imaging.grid import Grid
from theradose.imaging.nifti import read_sidecar, read_volume, write_volume
from theradose.imaging.rtdose import read_rtdose
from theradose.imaging.rtstruct import rasterise, read_rtstruct
from theradose.imaging.seg import place_segments, read_seg
from theradose.imaging.volume import Volume
from theradose.provenance import sha256_file, write_json
from theradose.tables import IMAGES, PARTICIPANTS, write_table

GRID = Grid((4, 6, 5), (8.0, 8.0, 8.0), (-16.0, -20.0, 100.0))
STEM = "sub-v001/ses-tx1/sub-v001_ses-tx1"
CYCLES = (("v001", 1), ("v001", 2), ("v002", 1))


def about(virtual):
    """Return the sidecar of a SPECT."""
    return {
        "Virtual": virtual, "TracerRadionuclide": "Lu-177", "InjectedRadioactivity": 7000.0, "FrameDuration": [600.0],
        "InjectedRadioactivityUnits": "MBq", "FrameTimesStart": [86400.0], "DecayReference": "scan_start",
        "ImageDecayCorrected": True,
    }  # fmt: skip


def images(data, virtual):
    """Write masks before therapy and a SPECT a cycle; return manifest rows."""
    rng, rows = np.random.default_rng(1), []

    def add(patient, modality, session, volume, *, extra=None, time_h=None):
        path = data.image_file(patient, modality, session, time_h)
        write_volume(volume, path, extra)
        row = {"patient": patient, "session": session, "modality": modality, "time_h": time_h}
        rows.append(row | {"file": path.relative_to(data.root).as_posix()})

    for patient in ("v001", "v002"):
        labels = rng.choice([0, 5, 101], GRID.shape_zyx).astype(np.uint16)
        add(patient, "mask", PRE, Volume(labels, GRID, "label"))
    for patient, cycle in CYCLES:
        values = rng.uniform(0.0, 1e5, GRID.shape_zyx).astype(np.float32)
        add(patient, "spect", f"ses-tx{cycle}", Volume(values, GRID, "Bq/mL"), extra=about(virtual), time_h=24.0)
    return rows


def study(root, *, virtual=True):
    """Write a data set and the dose folder of a study on it; return both."""
    data, chunk = Dataset(root / "data"), root / "results" / "dose" / "chunk-0"
    data.write_manifest(pd.DataFrame(images(data, virtual)))
    person = {"centre": "x", "weight_kg": 80.0, "height_cm": None, "administered_mbq": 7000.0, "radionuclide": "Lu-177"}
    people = pd.DataFrame([{"patient": patient, **person} for patient in ("v001", "v002")])
    write_table(people, data.participants_file, PARTICIPANTS)
    rows, rng = [], np.random.default_rng(2)
    for patient, cycle in CYCLES:
        file = chunk / f"sub-{patient}_cycle-{cycle}_dose.nii.gz"
        dose = Volume((rng.random(GRID.shape_zyx) * 20).astype(np.float32), GRID, "Gy")
        write_volume(dose, file, {"DoseEngine": "kernel", **({"Virtual": True} if virtual else {})})
        key = {"patient": patient, "cycle": cycle, "role": "dose", "time_h": None}
        # The study may have been moved: tables name files by where they were made.
        rows.append(key | {"file": f"results/old/dose/chunk-0/{file.name}", "sha256": sha256_file(file)})
    write_table(pd.DataFrame(rows), chunk.parent / "images.tsv", IMAGES)
    write_json(
        chunk / "provenance.json", {"inputs": {str(data.manifest_file): sha256_file(data.manifest_file), "x.tsv": "0"}}
    )
    return root / "results", data


@pytest.fixture
def virtual(tmp_path):
    """Return results folder and data set of a study of virtual patients."""
    return study(tmp_path)


@pytest.fixture
def real(tmp_path):
    """Return results folder and data set of a study whose images do not say that they are virtual."""
    return study(tmp_path, virtual=False)


def headers(folder, stem=STEM):
    """Return the DICOM files of a cycle."""
    return [pydicom.dcmread(folder / f"{stem}_{what}.dcm") for what in ("dose", "seg", "rtstruct")]


def test_dose_and_masks_come_back_from_every_file(virtual, tmp_path):
    results, data = virtual
    lines = export_dose(results, tmp_path / "out")
    given = read_volume(results / "dose" / "chunk-0" / "sub-v001_cycle-1_dose.nii.gz")
    labels = data.load_one("v001", "mask").values
    assert lines[0] == f"v001 ses-tx1: dose up to {given.values.max():.4g} Gy, 2 masks"
    assert [line.split(":")[0] for line in lines] == ["v001 ses-tx1", "v001 ses-tx2", "v002 ses-tx1"]
    nifti, rtdose = read_volume(tmp_path / f"out/{STEM}_dose.nii.gz"), read_rtdose(tmp_path / f"out/{STEM}_dose.dcm")
    assert nifti.unit == rtdose.unit == "Gy"
    assert np.array_equal(nifti.values, given.values)
    assert rtdose.grid.same_as(GRID)
    assert np.abs(rtdose.values - given.values).max() <= 2.0**-31 * given.values.max()
    segments = place_segments(read_seg(tmp_path / f"out/{STEM}_seg.dcm"), GRID, None)[0]
    rois = read_rtstruct(tmp_path / f"out/{STEM}_rtstruct.dcm").rois
    assert [roi.name for roi in rois] == ["kidney_left", "lesion_01"]
    for number, label in ((1, 5), (2, 101)):
        assert np.array_equal(segments[number], labels == label)
        assert np.array_equal(rasterise(rois[number - 1], GRID), labels == label)


def test_files_of_a_virtual_patient_say_so(virtual, tmp_path):
    export_dose(virtual[0], tmp_path / "out", patients=["v001"])
    said = read_sidecar(tmp_path / f"out/{STEM}_dose.nii.gz")
    assert said["Virtual"] is True
    assert said["DoseEngine"] == "kernel"
    assert "VIRTUAL" in said["Notice"]
    assert all(str(made.PatientName) == "VIRTUAL^v001" for made in headers(tmp_path / "out"))


def test_files_of_a_real_patient_are_for_research_only(real, tmp_path):
    export_dose(real[0], tmp_path / "out", patients=["v001"])
    assert "Research use only" in read_sidecar(tmp_path / f"out/{STEM}_dose.nii.gz")["Notice"]
    for made in headers(tmp_path / "out"):
        assert str(made.PatientName) == "RESEARCH^v001"
        assert made.SeriesDescription.startswith("Research use only")
        assert "VIRTUAL" not in str(made)


def test_made_up_uids_are_consistent(virtual, tmp_path):
    export_dose(virtual[0], tmp_path / "out")
    first, second = headers(tmp_path / "out"), headers(tmp_path / "out", STEM.replace("tx1", "tx2"))
    other = headers(tmp_path / "out", STEM.replace("v001", "v002"))
    assert len({made.StudyInstanceUID for made in first + second}) == 1
    assert {made.StudyInstanceUID for made in other} != {made.StudyInstanceUID for made in first}
    frames = [{made.FrameOfReferenceUID for made in cycle} for cycle in (first, second, other)]
    assert [len(frame) for frame in frames] == [1, 1, 1]
    assert len(set.union(*frames)) == 3
    assert len({made.SOPInstanceUID for made in first + second + other}) == 9


def test_the_same_study_gives_the_same_bytes(virtual, tmp_path):
    for name in ("a", "b"):
        export_dose(virtual[0], tmp_path / name, patients=["v001"])
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*"))
    assert len(files) == 10
    assert all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in files)


@pytest.mark.parametrize("spect", ["nm", "pt"])
def test_files_join_the_spect_that_the_cycle_began_with(virtual, tmp_path, spect):
    results, data = virtual
    # Both cycles have one grid and one time: the image itself tells which is which.
    manifest = data.manifest()
    copy = Dataset(tmp_path / "copy")
    shutil.copytree(data.root, copy.root)
    copy.write_manifest(manifest[manifest["modality"] == "spect"].drop(columns=["sha256", "n_bytes"]))
    export_dicom(copy, tmp_path / "dicom", patients=["v001"], spect=spect)
    export_dose(results, tmp_path / "out", patients=["v001"], dicom=tmp_path / "dicom")
    for cycle in (1, 2):
        image = pydicom.dcmread(next((tmp_path / "dicom" / "sub-v001" / f"ses-tx{cycle}_spect_024h").glob("*.dcm")))
        for made in headers(tmp_path / "out", STEM.replace("tx1", f"tx{cycle}")):
            assert made.StudyInstanceUID == image.StudyInstanceUID
            assert made.FrameOfReferenceUID == image.FrameOfReferenceUID
        seg = headers(tmp_path / "out", STEM.replace("tx1", f"tx{cycle}"))[1]
        assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == image.SeriesInstanceUID


@pytest.mark.parametrize(
    ("chosen", "code"), [(["v001"], "THR-323"), (["v001", "v002"], "THR-326"), (["v009"], "THR-325")]
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(virtual, tmp_path, chosen, code):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=code):
        export_dose(virtual[0], tmp_path / "out", patients=chosen, dicom=tmp_path / "empty")
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_a_changed_dose_mask_or_data_set_is_refused(virtual, tmp_path):
    results, data = virtual
    mask = data.root / data.rows("v001", "mask")["file"].iloc[0]
    for file in (results / "dose" / "chunk-0" / "sub-v001_cycle-1_dose.nii.gz", mask, data.manifest_file):
        whole = file.read_bytes()
        file.write_bytes(whole + b"\n")
        with pytest.raises(DataError, match="THR-202"):
            export_dose(results, tmp_path / "out", patients=["v001"])
        file.write_bytes(whole)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_a_data_set_that_moved_is_asked_for_and_found(virtual, tmp_path):
    results, data = virtual
    data.root.rename(tmp_path / "moved")
    with pytest.raises(DataError, match=r"THR-321 .*--data"):
        export_dose(results, tmp_path / "out", patients=["v002"])
    assert export_dose(results, tmp_path / "out", patients=["v002"], data=tmp_path / "moved")


def test_maps_of_unknown_origin_are_refused(virtual, tmp_path):
    write_json(virtual[0] / "dose" / "chunk-0" / "provenance.json", {"inputs": {}})
    with pytest.raises(DataError, match="THR-320"):
        export_dose(virtual[0], tmp_path / "out")


def test_no_folder_is_overwritten(virtual, tmp_path):
    (tmp_path / "out" / "sub-v001").mkdir(parents=True)
    with pytest.raises(SettingsError, match="folder exists"):
        export_dose(virtual[0], tmp_path / "out", patients=["v001"])


def test_series_in_archives_are_read_as_the_import_reads_them(virtual, tmp_path):
    results, data = virtual
    manifest, copy = data.manifest(), Dataset(tmp_path / "copy")
    shutil.copytree(data.root, copy.root)
    copy.write_manifest(manifest[manifest["modality"] == "spect"].drop(columns=["sha256", "n_bytes"]))
    export_dicom(copy, tmp_path / "dicom", patients=["v002"])
    export_dose(results, tmp_path / "plain", patients=["v002"], dicom=tmp_path / "dicom" / "sub-v002")
    shutil.make_archive(str(tmp_path / "packed" / "series"), "xztar", tmp_path / "dicom")
    shutil.make_archive(str(tmp_path / "alone"), "zip", tmp_path / "dicom")
    for name, dicom in (("folder", tmp_path / "packed"), ("archive", tmp_path / "alone.zip")):
        export_dose(results, tmp_path / name, patients=["v002"], dicom=dicom)
        files = sorted(path.relative_to(tmp_path / "plain") for path in (tmp_path / "plain").rglob("*.*"))
        assert len(files) == 5
        assert all((tmp_path / "plain" / f).read_bytes() == (tmp_path / name / f).read_bytes() for f in files)


def test_dicom_that_is_not_there_is_said_to_be_missing(virtual, tmp_path):
    with pytest.raises(DataError, match=r"THR-201 source is missing · field --dicom"):
        export_dose(virtual[0], tmp_path / "out", patients=["v001"], dicom=tmp_path / "absent")
    assert not (tmp_path / "out").exists()
