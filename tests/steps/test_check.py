"""Every fault is found and named, the patient quarantined and nobody lost; good patients stay good."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from theradose.cli.data import check_data
from theradose.cohort.check import check_dataset
from theradose.cohort.faults import CHECKS
from theradose.cohort.layout import Dataset
from theradose.errors import EXIT_QUARANTINED, DataError
from theradose.imaging.grid import Grid
from theradose.imaging.nifti import read_sidecar, sidecar, write_volume
from theradose.imaging.volume import Volume
from theradose.provenance import write_json
from theradose.sections import POPULATION_T_EFF_H
from theradose.steps import check
from theradose.steps.entry import arguments
from theradose.tables import FAULTS, MANIFEST, PARTICIPANTS, PATIENTS, read_table, write_table

GRID = Grid((12, 14, 16), (20.0, 20.0, 20.0), (-150.0, -130.0, 0.0))
TIMES = (4.0, 24.0, 72.0)
LIMITS = {"require": ("pet", "ct", "spect", "mask"), "max_time_h": 336.0, "radionuclide": "Lu-177"}


def emission(nuclide, injected, start_h, reference):
    return {
        "TracerRadionuclide": nuclide, "InjectedRadioactivity": injected, "InjectedRadioactivityUnits": "MBq",
        "InjectionStart": 0, "FrameTimesStart": [start_h * 3600], "FrameDuration": [1200.0],
        "ImageDecayCorrected": True, "DecayReference": reference,
    }  # fmt: skip


def labels():
    values = np.zeros(GRID.shape_zyx, np.uint16)
    values[4:6, 6:8, 11:13], values[4:6, 6:8, 3:5], values[8, 5, 7] = 5, 6, 101
    return values


def images_of(seed):
    """Return (modality, session, time, values, unit, sidecar) of one good patient."""
    rng = np.random.default_rng(seed)
    voxel_ml = GRID.voxel_ml

    def spread(mbq):
        values = rng.random(GRID.shape_zyx) * np.where(labels() > 0, 8.0, 1.0)
        return (values / values.sum() * mbq * 1e6 / voxel_ml).astype(np.float32)

    rows = [
        ("pet", "ses-pre", 1.0, spread(100.0), "Bq/mL", emission("Ga-68", 150.0, 1.0, "administration")),
        ("ct", "ses-pre", None, rng.normal(0, 50, GRID.shape_zyx).astype(np.float32), "HU", {}),
        ("mask", "ses-pre", None, labels(), "label", {}),
    ]
    for time in TIMES:
        left = 7400.0 * 0.5 * 2 ** (-time / 60.0)
        rows.append(("spect", "ses-tx1", time, spread(left), "Bq/mL", emission("Lu-177", 7400.0, time, "scan_start")))
    return rows


@pytest.fixture
def data(tmp_path) -> Dataset:
    made = Dataset(tmp_path / "data")
    rows = []
    for i, patient in enumerate(("a01", "a02", "a03")):
        for modality, session, time, values, unit, extra in images_of(i):
            path = made.image_file(patient, modality, session, None if session == "ses-pre" else time)
            write_volume(Volume(values, GRID, unit), path, extra)
            rows.append(
                {"patient": patient, "session": session, "modality": modality,
                 "time_h": np.nan if time is None else time, "file": path.relative_to(made.root).as_posix()}
            )  # fmt: skip
    people = pd.DataFrame({"patient": ["a01", "a02", "a03"]}).assign(
        centre="north", weight_kg=80.0, height_cm=175.0, administered_mbq=7400.0, radionuclide="Lu-177"
    )
    write_table(people, made.participants_file, PARTICIPANTS)
    made.write_manifest(pd.DataFrame(rows))
    return made


def file_of(data, modality, time=None, patient="a02"):
    rows = data.rows(patient, modality)
    row = rows.iloc[0] if time is None else rows[rows["time_h"] == time].iloc[0]
    return data.root / row["file"]


def rehash(data):
    data.write_manifest(data.manifest()[["patient", "session", "modality", "time_h", "file"]])


def rewrite(data, path, values=None, grid=GRID, unit=None, **extra):
    """Change an image or its sidecar and take it into the manifest as if it had come so."""
    old = read_sidecar(path)
    from_file = Volume(values, grid, unit or old["Units"])
    write_volume(from_file, path, {**{k: v for k, v in old.items() if k != "Units"}, **extra})
    rehash(data)


def change_sidecar(path, **fields):
    write_json(sidecar(path), {**read_sidecar(path), **fields})


def cell(data, name, value, patient="a02"):
    table = pd.read_csv(data.participants_file, sep="\t", dtype=str, keep_default_na=False)
    table[name] = table.get(name, "")
    table.loc[table["patient"] == patient, name] = value
    table.to_csv(data.participants_file, sep="\t", index=False)


def test_a_good_data_set_has_no_fault(data) -> None:
    result = check_dataset(data, **LIMITS)
    assert result.faults.empty
    assert result.patients["status"].tolist() == ["ok"] * 3
    assert result.invariant() == "3 patients = 3 usable (0 flagged) + 0 quarantined + 0 excluded"


def swap_sides(data):
    values = labels()
    values[values == 5], values[values == 6] = 60, 5
    values[values == 60] = 6
    rewrite(data, file_of(data, "mask"), values)


def nan_voxel(data):
    values = images_of(1)[0][3].copy()
    values[0, 0, 0] = np.nan
    rewrite(data, file_of(data, "pet"), values)


def drop(data, modality):
    table = data.manifest()
    keep = table[~((table["patient"] == "a02") & (table["modality"] == modality))]
    data.write_manifest(keep[["patient", "session", "modality", "time_h", "file"]])


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def twice_in_the_table(data):
    lines = data.participants_file.read_text().splitlines()
    data.participants_file.write_text("\n".join([*lines, lines[2]]) + "\n")


def remove_row(data):
    lines = data.participants_file.read_text().splitlines()
    data.participants_file.write_text("\n".join(lines[:2] + lines[3:]) + "\n")


def twin(data):
    file_of(data, "pet").write_bytes(file_of(data, "pet", patient="a01").read_bytes())
    rehash(data)


def shifted(data, modality):
    other = Grid(GRID.shape_zyx, GRID.spacing_mm, (0.0, 0.0, 0.0))
    rewrite(data, file_of(data, modality), labels() if modality == "mask" else images_of(1)[3][3], other)


def strange_label(data):
    rewrite(data, file_of(data, "mask"), np.where(labels() == 5, 77, labels()).astype(np.uint16))


# What is done to patient a02, the code it must get, and words that must stand in the message.
WRONG = {
    "missing file": (lambda d: file_of(d, "ct").unlink(), "THR-201", "_ct.nii.gz"),
    "changed byte": (lambda d: flip_a_byte(file_of(d, "spect", 24.0)), "THR-202", "time-024h"),
    "missing sidecar": (lambda d: sidecar(file_of(d, "pet")).unlink(), "THR-203", "_pet.json"),
    "no pet": (lambda d: drop(d, "pet"), "THR-205", "no pet image"),
    "no mask": (lambda d: drop(d, "mask"), "THR-205", "no mask image"),
    "unit": (lambda d: change_sidecar(file_of(d, "spect", 4.0), Units="counts"), "THR-210", "got counts"),
    "nan": (nan_voxel, "THR-270", "1 voxels"),
    "empty image": (lambda d: rewrite(d, file_of(d, "ct"), np.zeros(GRID.shape_zyx, np.float32)), "THR-271", "_ct"),
    "mask on another grid": (lambda d: shifted(d, "mask"), "THR-220", "another grid"),
    "spect on another grid": (lambda d: shifted(d, "spect"), "THR-220", "SPECT at 4 h"),
    "empty mask": (lambda d: rewrite(d, file_of(d, "mask"), np.zeros(GRID.shape_zyx, np.uint16)), "THR-272", "dseg"),
    "unknown label": (strange_label, "THR-221", "got 77"),
    "sides": (swap_sides, "THR-273", "kidney"),
    "weight": (lambda d: cell(d, "weight_kg", "8000"), "THR-261", "20 to 250"),
    "comma": (lambda d: cell(d, "weight_kg", "72,5"), "THR-261", "got 72,5"),
    "no weight": (lambda d: cell(d, "weight_kg", ""), "THR-211", "SUV needs the body weight"),
    "no activity": (lambda d: cell(d, "administered_mbq", ""), "THR-263", "administered_mbq"),
    "other nuclide": (lambda d: cell(d, "radionuclide", "Y-90"), "THR-262", "got Y-90"),
    "no row": (remove_row, "THR-260", "0 rows"),
    "two rows": (twice_in_the_table, "THR-260", "2 rows"),
    "twin": (twin, "THR-265", "belongs to patient a01"),
    "kBq": (lambda d: rewrite(d, file_of(d, "spect", 4.0), images_of(1)[3][3] / 1000), "THR-213", "factor 1000"),
    "too hot": (lambda d: rewrite(d, file_of(d, "spect", 4.0), images_of(1)[3][3] * 3), "THR-213", "check calibration"),
    "no reference": (lambda d: change_sidecar(file_of(d, "spect", 4.0), DecayReference=None), "THR-207", "got Decay"),
    "times": (lambda d: change_sidecar(file_of(d, "spect", 4.0), FrameTimesStart=[7200.0]), "THR-268", "2.000 h"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_one_fault_quarantines_its_patient_alone(data, name) -> None:
    spoil, code, words = WRONG[name]
    spoil(data)
    result = check_dataset(data, **LIMITS)
    status = dict(zip(result.patients["patient"], result.patients["status"], strict=True))
    guilty = {"a01", "a02"} if name == "twin" else {"a02"}
    assert {patient for patient, s in status.items() if s == "quarantined"} == guilty
    found = result.faults[(result.faults["patient"] == "a02") & (result.faults["code"] == code)]
    assert len(found) >= 1, result.faults["message"].tolist()
    assert found["message"].str.contains(words, regex=False).any(), found["message"].tolist()
    assert found["message"].str.contains("patient a02", regex=False).all()
    assert len(result.patients) == 3


def manifest_time(data, old, new):
    table = data.manifest()
    table.loc[(table["patient"] == "a02") & (table["time_h"] == old), "time_h"] = new
    write_table(table, data.manifest_file, MANIFEST)


@pytest.mark.parametrize(("new", "code"), [(500.0, "THR-266"), (0.1, "THR-266"), (4.01, "THR-267")])
def test_times_out_of_range_or_alike_are_errors(data, new, code) -> None:
    manifest_time(data, 24.0, new)
    change_sidecar(file_of(data, "spect", new), FrameTimesStart=[new * 3600])
    result = check_dataset(data, **LIMITS)
    assert code in set(result.faults["code"])
    assert result.count("quarantined") == 1


def test_several_faults_of_several_patients_are_listed_at_once(data) -> None:
    file_of(data, "ct").unlink()
    cell(data, "weight_kg", "8", "a02")
    flip_a_byte(file_of(data, "pet", patient="a03"))
    result = check_dataset(data, **LIMITS, exclude=["a01", "zz"])
    assert set(result.faults["code"]) >= {"THR-201", "THR-261", "THR-202", "THR-275"}
    assert result.patients["status"].tolist() == ["excluded", "quarantined", "quarantined"]
    assert result.invariant() == "3 patients = 0 usable (0 flagged) + 2 quarantined + 1 excluded"


@pytest.mark.parametrize(("name", "value"), [("weight_kg", "72,5"), ("age_y", "1000"), ("height_cm", "1.75")])
def test_later_steps_can_still_read_the_table_with_a_wrong_cell(data, name, value) -> None:
    cell(data, "age_y", "70", "a01")
    cell(data, "age_y", "71", "a03")
    cell(data, name, value)
    assert check_dataset(data, **LIMITS).patients["status"].tolist() == ["ok", "quarantined", "ok"]
    people = data.participants()
    assert people["patient"].tolist() == ["a01", "a03"]
    assert people[name].dtype.kind in "if"


def test_a_single_time_point_and_a_contradicting_header_are_flagged(data) -> None:
    change_sidecar(file_of(data, "spect", 24.0), DecayCorrectionDeclared="ADMIN", DecayFactorDeclared=1.0)
    table = data.manifest()
    lone = table[~((table["patient"] == "a03") & (table["time_h"].isin([24.0, 72.0])))]
    data.write_manifest(lone[["patient", "session", "modality", "time_h", "file"]])
    result = check_dataset(data, **LIMITS)
    assert result.patients["status"].tolist() == ["ok", "flagged", "flagged"]
    assert result.faults["code"].tolist() == ["THR-276", "THR-269"]


def test_a_ct_on_a_finer_grid_is_a_note(data) -> None:
    finer = Grid((24, 28, 32), (10.0, 10.0, 10.0), (-155.0, -135.0, -5.0))
    rewrite(data, file_of(data, "ct"), np.random.default_rng(0).normal(0, 50, (24, 28, 32)).astype(np.float32), finer)
    result = check_dataset(data, **LIMITS)
    assert result.patients["status"].tolist() == ["ok"] * 3
    assert result.faults["severity"].tolist() == ["NOTE"]


def test_pictures_without_clinic_are_usable_when_the_study_asks_for_no_more(data) -> None:
    for name in ("height_cm", "administered_mbq"):
        cell(data, name, "")
    drop(data, "spect")
    result = check_dataset(data, **{**LIMITS, "require": ("pet", "mask")})
    assert result.patients["status"].tolist() == ["ok"] * 3
    assert "not usable as covariate" in result.faults["message"].iloc[0]


def test_the_registry_runs_from_cheap_to_dear() -> None:
    names = list(CHECKS)
    assert names.index("clinical") < names.index("files") < names.index("images") < names.index("activity")


def run_step(data, out, monkeypatch, organs=(), half_lives=None, **settings):
    flags = ["--settings", json.dumps(settings), "--cohort", "{}", "--radionuclide", "Lu-177", "--counts", "0"]
    flags += ["--organs", json.dumps(organs), *(["--half-lives", json.dumps(half_lives)] if half_lives else [])]
    monkeypatch.setattr(sys, "argv", ["check", *flags, "--data", str(data.root), "--out", str(out)])
    texts, paths = ("settings", "cohort", "radionuclide", "organs", "half_lives"), ("data", "out")
    parser = arguments("check", texts=texts, paths=paths, numbers=("counts",), optional=("half_lives",))
    check.run(parser.parse_args())


def test_the_step_writes_its_tables_and_strict_stops_after_that(data, tmp_path, monkeypatch, capsys) -> None:
    file_of(data, "ct").unlink()
    run_step(data, tmp_path / "check", monkeypatch)
    assert "3 patients = 2 usable (0 flagged) + 1 quarantined + 0 excluded" in capsys.readouterr().out
    with pytest.raises(DataError, match="strict"):
        run_step(data, tmp_path / "strict", monkeypatch, strict=True)
    for folder in ("check", "strict"):
        assert read_table(tmp_path / folder / "patients.tsv", PATIENTS)["status"].tolist() == [
            "ok",
            "quarantined",
            "ok",
        ]
        assert "THR-201" in set(read_table(tmp_path / folder / "faults.tsv", FAULTS)["code"])
        assert (tmp_path / folder / "provenance.json").is_file()


def test_the_step_warns_of_half_lives_of_another_tracer(data, tmp_path, monkeypatch) -> None:
    for name, hours in (("psma", POPULATION_T_EFF_H), ("own", {**POPULATION_T_EFF_H, "kidneys": 50.0})):
        run_step(data, tmp_path / name, monkeypatch, half_lives=hours)
    codes = [set(read_table(tmp_path / name / "faults.tsv", FAULTS)["code"]) for name in ("psma", "own")]
    assert ["THR-377" in found for found in codes] == [True, False]


def test_the_step_holds_masks_to_the_organs_that_experiments_learn(data, tmp_path, monkeypatch) -> None:
    run_step(data, tmp_path / "lesions", monkeypatch, organs=["kidneys", "lesions"])
    assert set(read_table(tmp_path / "lesions" / "patients.tsv", PATIENTS)["status"]) == {"ok"}
    run_step(data, tmp_path / "spleen", monkeypatch, organs=["kidneys", "spleen"])
    assert set(read_table(tmp_path / "spleen" / "faults.tsv", FAULTS)["code"]) == {"THR-374"}


def without(*numbers):
    values = labels()
    values[np.isin(values, numbers)] = 0
    return values


@pytest.mark.parametrize(
    ("organs", "gone", "absent", "said"),
    [
        (("spleen", "liver"), (), "", "field liver, spleen ·"), (("parotids",), (), "parotid_gland_left",
        "field parotid_gland_right ·"), (("parotids",), (), "parotids", None), (("kidneys",), (5,), "", "kidney_left"),
        (("kidneys",), (5, 6), "", "field kidney_left, kidney_right ·"), (("kidneys",), (5, 6), "kidneys", None),
        (("kidneys",), (5,), "kidney_left", None), (("lesions",), (101,), "", None), ((), (5, 6), "", None),
    ],
)  # fmt: skip
def test_an_organ_that_is_learned_is_in_the_mask_or_declared_absent(data, organs, gone, absent, said) -> None:
    rewrite(data, file_of(data, "mask"), without(*gone))
    cell(data, "absent_organs", absent)
    faults = check_dataset(data, **LIMITS, organs=organs).faults
    own = faults.loc[faults["patient"] == "a02"]
    assert own["code"].tolist() == ([] if said is None else ["THR-374"])
    assert said is None or said in own["message"].iloc[0]


def test_a_spect_in_counts_passes_only_with_the_sensitivity_of_the_camera(data) -> None:
    counts = np.random.default_rng(1).poisson(9.0, GRID.shape_zyx).astype(np.float32)
    rewrite(data, file_of(data, "spect", 24.0), counts, unit="counts")
    refused = check_dataset(data, **LIMITS).faults
    assert refused["code"].tolist() == ["THR-210"]
    assert "set quantify.sensitivity_cps_per_mbq" in refused["message"].iloc[0]
    assert check_dataset(data, **LIMITS, counts=True).faults.empty
    rewrite(data, file_of(data, "pet"), images_of(1)[0][3], unit="counts")
    assert check_dataset(data, **LIMITS, counts=True).faults["code"].tolist() == ["THR-210"]


def test_the_command_lists_faults_and_ends_with_3(data) -> None:
    app = typer.Typer()
    app.command()(check_data)
    good = CliRunner().invoke(app, [str(data.root), "--json"])
    assert (good.exit_code, json.loads(good.output)["faults"]) == (0, [])
    file_of(data, "ct").unlink()
    bad = CliRunner().invoke(app, [str(data.root)])
    assert bad.exit_code == EXIT_QUARANTINED
    assert "THR-201" in bad.output


def test_without_a_study_no_kind_of_image_is_asked_for_but_one_image_is(data, tmp_path) -> None:
    app = typer.Typer()
    app.command()(check_data)
    drop(data, "pet")
    study = tmp_path / "mine.yaml"
    study.write_text("cohort: {name: data, source: folder}\n")
    assert CliRunner().invoke(app, [str(data.root)]).exit_code == 0
    asked = CliRunner().invoke(app, [str(data.root), "--config", str(study)])
    assert (asked.exit_code, "no pet image" in asked.output) == (EXIT_QUARANTINED, True)
    for modality in ("ct", "spect", "mask"):
        drop(data, modality)
    empty = CliRunner().invoke(app, [str(data.root)])
    assert (empty.exit_code, "THR-205 no image · patient a02" in empty.output) == (EXIT_QUARANTINED, True)
