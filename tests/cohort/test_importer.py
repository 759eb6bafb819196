"""A DICOM folder becomes a patient; nothing of the person comes along; no fault leaves half a data set."""

import gzip
import io
import re
import tarfile
from pathlib import Path

import numpy as np
import pydicom
import pytest

from theradose.cohort.check import check_dataset
from theradose.cohort.importer import AS_DECLARED, import_dicom
from theradose.cohort.intake import intake_faults
from theradose.cohort.layout import Dataset
from theradose.cohort.raw_files import hashes_of, require_raw
from theradose.errors import DataError
from theradose.imaging.grid import Grid
from theradose.imaging.nifti import read_sidecar, read_volume
from theradose.imaging.rtdose import write_rtdose
from theradose.imaging.rtdose_reference import generated
from theradose.imaging.volume import Volume
from theradose.provenance import sha256_file

SHAPE = (6, 20, 24)


def cuboid(x0, x1, y0, y1, slices):
    """Return closed contours around voxels x0..x1-1, y0..y1-1 of some slices."""
    spacing, origin = (4.0, 4.0, 4.0), (-10.0, -20.0, 30.0)
    x = [origin[0] + (v - 0.5) * spacing[0] for v in (x0, x1, x1, x0)]
    y = [origin[1] + (v - 0.5) * spacing[1] for v in (y0, y0, y1, y1)]
    return [("CLOSED_PLANAR", np.column_stack([x, y, [origin[2] + k * spacing[2]] * 4])) for k in slices]


@pytest.fixture
def hospital(dicom_maker, tmp_path):
    """Return a folder with two SPECT time points stored as PT, structure sets, a PET with CT, and a text file."""
    folder = tmp_path / "CANARY_folder"
    rng = np.random.default_rng(0)

    def add(name, day, series, bq_per_ml, tag="ADMIN", **options):
        stored = rng.integers(bq_per_ml // 2, bq_per_ml, SHAPE).astype(np.uint16)
        changes = {"SeriesDate": day, "AcquisitionDate": day, "DecayCorrection": tag}
        dicom_maker.write_slices(
            folder / name, stored, spacing=(4.0, 4.0, 4.0), series=series, changes=changes, slopes=[40.0] * SHAPE[0],
            **options,
        )  # fmt: skip
        return stored

    stored = {
        "late": add("b", "20240111", "1.1.2", 50000, frame="1.9.2"),
        "early": add("a", "20240110", "1.1.1", 60000, frame="1.9.1"),
        "pet": add(
            "p", "20240110", "1.1.3", 2000, info=dicom_maker.tracer("^68^Gallium", 1.5e8), tag="START", frame="1.9.3"
        ),
    }
    ct = rng.integers(900, 1100, SHAPE).astype(np.uint16)
    dicom_maker.write_slices(folder / "c", ct, modality="CT", spacing=(4.0, 4.0, 4.0), series="1.1.4", frame="1.9.3")
    for name, series, frame, x0 in (("r1", "1.1.1", "1.9.1", 4), ("r2", "1.1.2", "1.9.2", 5)):
        rois = [
            ("Lesion CANARY b", cuboid(x0, x0 + 3, 2, 6, (1, 2))),
            ("CANARY Lesion a", cuboid(12, 15, 10, 14, (3,))),
            ("Kidney_L", cuboid(16, 20, 2, 6, (2, 3))),
            ("Body CANARY", cuboid(0, 24, 0, 20, (1,))),
            ("Areola", None),
        ]
        dicom_maker.write_structures(
            folder / f"{name}.dcm", rois[:: 1 if name == "r1" else -1], series=series, frame=frame
        )
    (folder / "CANARY.txt").write_text("CANARY")
    return folder, stored


def test_a_folder_becomes_a_patient(hospital, tmp_path) -> None:
    folder, stored = hospital
    data = Dataset(tmp_path / "data")
    lines = import_dicom(folder, data.root, patient="p001", centre="north", decay_reference="scan_start")
    assert data.participants().iloc[0].to_dict() == {
        "patient": "p001", "centre": "north", "weight_kg": 80.0, "height_cm": 175.0, "administered_mbq": 7400.0,
        "radionuclide": "Lu-177",
    }  # fmt: skip
    spect = data.rows("p001", "spect")
    assert spect["time_h"].tolist() == pytest.approx([4.0, 28.0], abs=1e-3)
    for (_, row), name in zip(spect.iterrows(), ("early", "late"), strict=True):
        image = data.load(row)
        assert image.unit == "Bq/mL"
        assert np.array_equal(image.values, stored[name].astype(np.float32) * 40)
        mask = data.load(data.rows("p001", "mask", "ses-tx1").query("time_h == @row.time_h").iloc[0])
        assert image.grid.same_as(mask.grid)
    assert len(data.rows("p001", "pet", "ses-pre")) == len(data.rows("p001", "ct", "ses-pre")) == 1
    assert lines[-1] == "4 series, 2 structure sets; 27 files found = 26 used + 1 left aside with reason"


def test_lesions_keep_their_number_over_time_points(hospital, tmp_path) -> None:
    data = Dataset(tmp_path / "data")
    import_dicom(hospital[0], data.root, patient="p001", decay_reference="scan_start")
    masks = [data.load(row).values for _, row in data.rows("p001", "mask").iterrows()]
    for mask, x0 in zip(masks, (4, 5), strict=True):
        assert set(np.unique(mask)) == {0, 5, 101, 102}
        assert np.argwhere(mask == 102)[:, 2].min() == x0  # `lesion b` comes second in both files
        assert (mask == 102).sum() == 2 * 3 * 4
        assert (mask == 101).sum() == 3 * 4


def test_the_decay_reference_is_decided_and_both_readings_are_written(hospital, tmp_path) -> None:
    decay = 2 ** (-28.0 / 159.528)
    for choice, taken in ((AS_DECLARED, "administration"), ("scan_start", "scan_start")):
        data = Dataset(tmp_path / choice)
        lines = import_dicom(hospital[0], data.root, patient="p001", decay_reference=choice)
        row = data.rows("p001", "spect").iloc[1]
        sidecar = read_sidecar(data.root / row["file"])
        assert sidecar["DecayReference"] == taken
        assert sidecar["DecayReferenceDecidedBy"] == ("header" if choice == AS_DECLARED else "user")
        assert (sidecar["DecayCorrectionDeclared"], sidecar["DecayFactorDeclared"]) == ("ADMIN", 1.0)
        readings = sidecar["ActivityInFieldOfViewMBq"]
        assert readings["as_stored"] == pytest.approx(data.load(row).total_mbq())
        assert readings["scan_start"] == readings["as_stored"]
        assert readings["administration"] == pytest.approx(readings["as_stored"] * decay, rel=1e-4)
        assert sum("contradicts itself" in line for line in lines) == 2


def test_nothing_of_the_person_comes_along(hospital, tmp_path) -> None:
    lines = import_dicom(hospital[0], tmp_path / "data", patient="p001", decay_reference="scan_start")
    assert not any("CANARY" in line for line in lines)
    for path in (p for p in (tmp_path / "data").rglob("*") if p.is_file()):
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for secret in (b"CANARY", b"19010203", b"20240110", b"20240111", b"1.1.2", b"1.9.1"):
            assert secret not in content, path.name
        assert "CANARY" not in path.as_posix().removeprefix(tmp_path.as_posix())


def test_a_second_patient_is_added_and_a_known_one_refused(hospital, tmp_path) -> None:
    folder, _ = hospital
    data = Dataset(tmp_path / "data")
    import_dicom(folder, data.root, patient="p001", decay_reference="scan_start")
    before = data.manifest()
    import_dicom(folder, data.root, patient="p002", decay_reference="scan_start")
    assert data.participants()["patient"].tolist() == ["p001", "p002"]
    assert data.manifest().query("patient == 'p001'").reset_index(drop=True).equals(before)
    with pytest.raises(DataError, match="in the data set already"):
        import_dicom(folder, data.root, patient="p002", decay_reference="scan_start")


@pytest.mark.parametrize("patient", ["../x", "a b", "", "x;rm"])
def test_identifiers_that_are_no_names_are_refused(hospital, tmp_path, patient) -> None:
    with pytest.raises(DataError, match="identifier"):
        import_dicom(hospital[0], tmp_path / "data", patient=patient, decay_reference="scan_start")
    assert not (tmp_path / "x").exists()


def test_archives_inside_a_folder_are_read(hospital, tmp_path) -> None:
    folder, _ = hospital
    packed = tmp_path / "packed"
    packed.mkdir()
    with tarfile.open(packed / "early.tar.xz", "w:xz") as tar:
        tar.add(folder / "a", "a")
    with tarfile.open(packed / "late.tar.gz", "w:gz") as tar:
        tar.add(folder / "b", "b")
    data = Dataset(tmp_path / "data")
    import_dicom(packed, data.root, patient="p001", decay_reference="scan_start")
    assert len(data.rows("p001", "spect")) == 2


@pytest.mark.parametrize("evil", ["../out", "/tmp/out", "link", "device"])
def test_archives_that_lead_elsewhere_are_refused(tmp_path, evil) -> None:
    member = tarfile.TarInfo(evil)
    if evil in ("link", "device"):
        member.type = tarfile.SYMTYPE if evil == "link" else tarfile.CHRTYPE
        member.linkname = "/etc/passwd"
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        tar.addfile(member, io.BytesIO(b""))
    with pytest.raises(DataError, match=r"THR-255|no image series"):
        import_dicom(tmp_path / "x.tar", tmp_path / "data", patient="p001")
    assert not (tmp_path / "out").exists()


def test_a_bomb_is_refused(tmp_path) -> None:
    with tarfile.open(tmp_path / "x.tar.xz", "w:xz") as tar:
        member = tarfile.TarInfo("zeros")
        member.size = 20_000_000
        tar.addfile(member, io.BytesIO(bytes(member.size)))
    with pytest.raises(DataError, match="archive is not safe"):
        import_dicom(tmp_path / "x.tar.xz", tmp_path / "data", patient="p001")


def test_two_people_in_one_folder_are_refused(hospital, dicom_maker, tmp_path) -> None:
    folder, _ = hospital
    dicom_maker.write_slices(folder / "z", np.zeros((3, 4, 4), np.uint16), series="7.7", changes={"PatientID": "OTHER"})
    with pytest.raises(DataError, match="more than one patient") as caught:
        import_dicom(folder, tmp_path / "data", patient="p001")
    assert "OTHER" not in str(caught.value)
    assert not (tmp_path / "data" / "manifest.tsv").exists()


@pytest.mark.parametrize("field", ["PatientBirthDate", "PatientSex"])
def test_people_whom_a_hospital_gave_one_identifier_are_told_apart(hospital, dicom_maker, tmp_path, field) -> None:
    folder, _ = hospital
    stored = np.zeros((3, 4, 4), np.uint16)
    other = {"PatientBirthDate": "19340506", "PatientSex": "F"}
    dicom_maker.write_slices(folder / "y", stored, series="7.6", changes={"PatientSex": "M"})
    dicom_maker.write_slices(folder / "z", stored, series="7.7", changes={"PatientSex": "M", field: other[field]})
    with pytest.raises(DataError, match=rf"THR-205.*more than one patient.*field {field}.*differ") as caught:
        import_dicom(folder, tmp_path / "data", patient="p001")
    assert not any(value in str(caught.value) for value in ("19340506", "19010203", "CANARY"))
    assert not (tmp_path / "data" / "manifest.tsv").exists()


def test_a_birth_date_or_sex_left_empty_tells_nobody_apart(hospital, tmp_path) -> None:
    folder, _ = hospital
    for number, file in enumerate(sorted(folder.rglob("*.dcm"))):
        header = pydicom.dcmread(file)
        header.PatientSex, header.PatientBirthDate = ("", "") if number % 2 else ("F ", "19010203")
        header.save_as(file)
    assert import_dicom(folder, tmp_path / "data", patient="p001", decay_reference="scan_start")


def test_a_structure_set_without_its_series_puts_the_patient_in_quarantine(hospital, dicom_maker, tmp_path) -> None:
    folder, _ = hospital
    dicom_maker.write_structures(folder / "r3.dcm", [("lesion", cuboid(1, 3, 1, 3, (1,)))], series="8.8", frame="8.9")
    lines = import_dicom(folder, tmp_path / "data", patient="p001", decay_reference="scan_start")
    assert lines.quarantined == ("p001",)
    assert re.search(
        r"ERROR THR-259 .* belongs to no series .* patient p001 · file structures_0003\.dcm", "\n".join(lines)
    )
    assert len(Dataset(tmp_path / "data").rows("p001", "mask")) == 2


def test_an_undeclared_decay_correction_needs_a_decision(dicom_maker, tmp_path) -> None:
    stored = np.full((4, 20, 20), 60000, np.uint16)
    stored[0, 0, 0] = 1
    dicom_maker.write_slices(tmp_path / "s", stored, changes={"DecayCorrection": None})
    with pytest.raises(DataError, match="--decay-reference"):
        import_dicom(tmp_path / "s", tmp_path / "data", patient="p001")
    import_dicom(tmp_path / "s", tmp_path / "data", patient="p001", decay_reference="scan_start")


def series_of(dicom_maker, folder, uid, day, *, injected="20240110", clock="120000", tracer=None, bq=7.4e9, frame=None):
    """Write a small series of PT and return its files."""
    stored = np.random.default_rng(1).integers(30000, 60000, (4, 20, 20)).astype(np.uint16)
    changes = {"SeriesDate": day, "AcquisitionDate": day, "SeriesTime": clock, "AcquisitionTime": clock}
    info = dicom_maker.tracer(tracer or "177 Lutetium", bq, moment=f"{injected}080000")
    return dicom_maker.write_slices(
        folder, stored, spacing=(4.0, 4.0, 4.0), series=uid, frame=frame or f"{uid}.9", changes=changes, info=info,
        slopes=[(20.0 if tracer is None else 0.1)] * 4,
    )  # fmt: skip


def test_cycles_are_told_apart_by_their_injections(dicom_maker, tmp_path) -> None:
    for number, (day, injected) in enumerate(
        [("20240110", "20240110"), ("20240117", "20240110"), ("20240306", "20240306"), ("20240501", "20240501")]
    ):
        series_of(dicom_maker, tmp_path / f"s{3 - number}", f"1.2.{number}", day, injected=injected)
    data = Dataset(tmp_path / "data")
    lines = import_dicom(tmp_path, data.root, patient="p001", decay_reference="scan_start")
    rows = data.rows("p001", "spect")
    assert rows["session"].tolist() == ["ses-tx1", "ses-tx1", "ses-tx2", "ses-tx3"]
    assert rows["time_h"].tolist() == pytest.approx([4.0, 172.0, 4.0, 4.0])
    assert not lines.quarantined


def test_injections_of_one_cycle_that_differ_are_told(dicom_maker, tmp_path) -> None:
    series_of(dicom_maker, tmp_path / "a", "1.2.1", "20240111")
    series_of(dicom_maker, tmp_path / "b", "1.2.2", "20240112", injected="20240111")
    lines = import_dicom(tmp_path, tmp_path / "data", patient="p001", decay_reference="scan_start")
    assert any("injections of cycle 1 differ by 24.0 h" in line for line in lines)


def test_several_pets_before_therapy_keep_their_times(dicom_maker, tmp_path) -> None:
    for name, clock, day in (("a", "085000", "20240110"), ("b", "120000", "20240110"), ("c", "080000", "20240111")):
        series_of(
            dicom_maker, tmp_path / name, f"1.3.{name.encode().hex()}", day, clock=clock, tracer="64 Copper", bq=2e8
        )
    data = Dataset(tmp_path / "data")
    import_dicom(tmp_path, data.root, patient="p001", decay_reference="scan_start")
    names = [Path(file).name for file in data.rows("p001", "pet", "ses-pre")["file"]]
    assert names == [f"sub-p001_ses-pre_time-{hours}h_pet.nii.gz" for hours in ("001", "004", "024")]


def inner_slice(folder):
    """Return the file of the third of six slices."""
    return folder / f"{np.random.default_rng(1).permutation(6)[2]:03d}.dcm"


def test_all_faults_are_listed_and_the_rest_is_imported(hospital, dicom_maker, tmp_path) -> None:
    folder, _ = hospital
    inner_slice(folder / "c").unlink()  # a slice of the CT is missing
    damaged = folder / "r2.dcm"
    damaged.write_bytes(damaged.read_bytes()[:-30])
    series_of(dicom_maker, folder / "d", "1.1.5", "20240112", bq=7400.0)
    data = Dataset(tmp_path / "data")
    lines = import_dicom(folder, data.root, patient="p001", decay_reference="scan_start")
    faults = [line for line in lines if line.startswith("ERROR")]
    assert sorted(line.split()[1] for line in faults) == ["THR-204", "THR-212", "THR-229"]
    assert all("patient p001" in line and " file " in line and "CANARY" not in line for line in faults)
    assert lines.quarantined == ("p001",)
    assert len(data.rows("p001", "spect")) == 2
    assert lines[-1] == "3 series, 1 structure set; 30 files found = 19 used + 11 left aside with reason"
    checked = check_dataset(data, require=("spect",), max_time_h=200.0, radionuclide="Lu-177")
    assert checked.patients.iloc[0]["status"] == "quarantined"
    assert {"THR-204", "THR-212", "THR-229"} <= set(checked.faults["code"])


def test_a_patient_in_quarantine_can_be_imported_again(hospital, tmp_path) -> None:
    folder, _ = hospital
    data = Dataset(tmp_path / "data")
    lost = inner_slice(folder / "c").read_bytes()
    inner_slice(folder / "c").unlink()
    assert import_dicom(folder, data.root, patient="p001", decay_reference="scan_start").quarantined
    inner_slice(folder / "c").write_bytes(lost)
    lines = import_dicom(folder, data.root, patient="p001", decay_reference="scan_start")
    assert lines[0].startswith("NOTE not as in the last import: 1 file, ct-01_0")
    assert not lines.quarantined
    assert data.participants()["patient"].tolist() == ["p001"]
    assert len(data.rows("p001", "ct")) == 1
    assert intake_faults(data).query("severity == 'ERROR'").empty


def test_an_import_leaves_the_rows_of_others_alone(hospital, tmp_path) -> None:
    folder, _ = hospital
    data = Dataset(tmp_path / "data")
    import_dicom(folder, data.root, patient="p001", decay_reference="scan_start")
    text = data.participants_file.read_text()
    data.participants_file.write_text(text.replace("80.0", "eighty"))
    import_dicom(folder, data.root, patient="p002", decay_reference="scan_start")
    assert "eighty" in data.participants_file.read_text()


def test_raw_files_are_known_by_their_bytes(hospital, tmp_path) -> None:
    folder, _ = hospital
    data = Dataset(tmp_path / "data")
    import_dicom(folder, data.root, patient="p001", decay_reference="scan_start")
    assert require_raw(data, "p001", hashes_of(folder)) == "patient p001: 27 raw files as at intake"
    file = sorted((folder / "b").iterdir())[2]
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"THR-331 .* patient p001 · file pt-02_0003\.dcm · got 1 of 27 files"):
        require_raw(data, "p001", hashes_of(folder))


def test_files_that_are_still_arriving_stop_the_import(hospital, tmp_path, monkeypatch) -> None:
    folder, _ = hospital

    def late(*args, **kwargs):
        (folder / "CANARY.txt").write_text("more")
        return []

    monkeypatch.setattr("theradose.cohort.importer._add_masks", late)
    with pytest.raises(DataError, match=r"THR-332 .* file other_0001\.txt"):
        import_dicom(folder, tmp_path / "data", patient="p001", decay_reference="scan_start")
    assert not (tmp_path / "data" / "manifest.tsv").exists()


def dosed(dicom_maker, folder, **changes):
    """Write a SPECT and an RTDOSE of the same person; return the dose."""
    stored = np.full(SHAPE, 50000, np.uint16)
    stored[0, 0, 0] = 40000
    dicom_maker.write_slices(folder / "s", stored, spacing=(4.0, 4.0, 4.0), slopes=[40.0] * SHAPE[0])
    dose = Volume(np.random.default_rng(1).random(SHAPE), Grid(SHAPE, (4.0, 4.0, 4.0), (-10.0, -20.0, 30.0)), "Gy")
    file = write_rtdose(dose, generated("x", 1, "data", virtual=False), folder / "d.dcm", what="dose", content="hash")
    header = pydicom.dcmread(file)
    for name, value in {"PatientID": "CANARY-ID", "PatientName": "CANARY", "DoseComment": "CANARY", **changes}.items():
        setattr(header, name, value)
    header.save_as(file)
    return dose


def test_a_dose_is_kept_beside_the_patient_and_nowhere_else(dicom_maker, tmp_path) -> None:
    dose, data = dosed(dicom_maker, tmp_path / "in"), Dataset(tmp_path / "data")
    lines = import_dicom(tmp_path / "in", data.root, patient="p001", decay_reference="scan_start")
    assert lines[-1] == "1 series, 0 structure sets, 1 dose; 7 files found = 7 used + 0 left aside with reason"
    file = data.root / "derivatives" / "dose" / "sub-p001" / "sub-p001_rtdose-01_dose.nii.gz"
    found, about = read_volume(file), read_sidecar(file)
    assert np.allclose(found.values, dose.values, atol=1e-6)
    assert found.grid.same_as(dose.grid)
    assert about == {
        "Units": "Gy", "Modality": "RTDOSE", "DoseSummationType": "PLAN", "Use": "comparison only",
        "SourceSha256": sha256_file(tmp_path / "in" / "d.dcm"),
    }  # fmt: skip
    assert not any("dose" in file for file in data.manifest()["file"])
    assert require_raw(data, "p001", hashes_of(tmp_path / "in")).endswith("7 raw files as at intake")


def test_a_dose_that_is_none_is_left_aside_and_keeps_nobody_out(dicom_maker, tmp_path) -> None:
    dosed(dicom_maker, tmp_path / "in", DoseUnits="RELATIVE", DoseSummationType="CANARY")
    lines = import_dicom(tmp_path / "in", tmp_path / "data", patient="p001", decay_reference="scan_start")
    assert lines.quarantined == ()
    assert "WARN THR-334 dose_0001.dcm: left aside, not a physical dose in Gy · patient p001" in lines
    assert "left aside: 1 file (not usable: THR-316)" in lines
    assert not (tmp_path / "data" / "derivatives" / "dose").exists()


def test_a_dose_says_nothing_that_dicom_does_not_list(dicom_maker, tmp_path) -> None:
    dosed(dicom_maker, tmp_path / "in", DoseSummationType="CANARY", SyntheticData="YES")
    import_dicom(tmp_path / "in", tmp_path / "data", patient="p001", decay_reference="scan_start")
    about = read_sidecar(next((tmp_path / "data").rglob("*_dose.nii.gz")))
    assert about["DoseSummationType"] == "not stated"
    assert about["Virtual"] is True


def test_what_was_filled_in_by_hand_outlives_another_import(dicom_maker, tmp_path) -> None:
    dosed(dicom_maker, tmp_path / "in", DoseUnits="RELATIVE")
    for file in (tmp_path / "in" / "s").iterdir():
        header = pydicom.dcmread(file)
        header.PatientWeight = None
        header.save_as(file)
    dicom_maker.write_structures(
        tmp_path / "in" / "r.dcm", [("lesion", cuboid(2, 4, 2, 4, (1,)))], series="9", frame="9"
    )
    data = Dataset(tmp_path / "data")
    assert import_dicom(tmp_path / "in", data.root, patient="p001", decay_reference="scan_start").quarantined
    table = data.participants_file.read_text().splitlines()
    names, cells = (line.split("\t") for line in table)
    cells[names.index("weight_kg")], cells[names.index("height_cm")] = "71.5", "160"
    cells[names.index("centre")] = "south"
    data.participants_file.write_text("\t".join([*names, "age_y"]) + "\n" + "\t".join([*cells, "60"]) + "\n")
    (tmp_path / "in" / "r.dcm").unlink()
    assert not import_dicom(tmp_path / "in", data.root, patient="p001", decay_reference="scan_start").quarantined
    row = data.participants().iloc[0]
    assert (row["weight_kg"], row["age_y"], row["centre"]) == (71.5, 60, "south")
    assert row["height_cm"] == 175.0  # the header knows it


@pytest.mark.parametrize("word", ["start", "ADMIN", ""])
def test_an_unknown_decay_reference_is_refused_at_once(hospital, tmp_path, word) -> None:
    with pytest.raises(DataError, match=r"THR-240 .*as_declared, administration, scan_start, none$"):
        import_dicom(hospital[0], tmp_path / "data", patient="p001", decay_reference=word)


def test_contours_of_a_series_that_was_refused_say_so(hospital, tmp_path) -> None:
    folder, _ = hospital
    inner_slice(folder / "b").unlink()  # a slice of the later SPECT is missing
    lines = import_dicom(folder, tmp_path / "data", patient="p001", decay_reference="scan_start")
    faults = [line for line in lines if line.startswith("ERROR")]
    assert sorted(line.split()[1] for line in faults) == ["THR-229", "THR-345"]
    refused = next(line.split("file ")[1].split(" ")[0] for line in faults if "THR-229" in line)
    assert f"got {refused.split('_')[0]} " in next(line for line in faults if "THR-345" in line)
    assert "left aside: 1 file (not usable: THR-345)" in lines


def test_numbers_of_the_header_come_without_the_noise_of_their_conversion(hospital, tmp_path) -> None:
    folder, _ = hospital
    for file in folder.rglob("*.dcm"):
        header = pydicom.dcmread(file)
        header.PatientSize = "1.753"
        header.save_as(file)
    assert 1.753 * 100 != 175.3
    import_dicom(folder, tmp_path / "data", patient="p001", decay_reference="scan_start")
    assert "\t175.3\t" in (tmp_path / "data" / "participants.tsv").read_text()
