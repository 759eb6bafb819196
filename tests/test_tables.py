"""Tables are checked on the way out and on the way in, and lose nothing on the way."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theradose.errors import DataError
from theradose.tables import DVH, MANIFEST, PATIENTS, QC, SCHEMAS, checked, concat_tables, read_table, write_table
from theradose.truth_schemas import LATENTS


def patients(*ids: str) -> pd.DataFrame:
    return pd.DataFrame({"patient": list(ids), "centre": "north", "status": "ok", "reason": ""})


def test_ids_stay_text(tmp_path: Path) -> None:
    file = write_table(patients("007", "7", "NA", "1e5"), tmp_path / "p.tsv", PATIENTS)
    assert read_table(file, PATIENTS)["patient"].tolist() == ["007", "7", "NA", "1e5"]


def test_a_spreadsheet_formula_is_defused_and_comes_back(tmp_path: Path) -> None:
    table = patients("a").assign(centre="=HYPERLINK(1)")
    file = write_table(table, tmp_path / "p.tsv", PATIENTS)
    assert "\t'=HYPERLINK(1)" in file.read_text()
    assert read_table(file, PATIENTS)["centre"].tolist() == ["=HYPERLINK(1)"]


def test_all_faults_are_told_at_once() -> None:
    table = pd.concat([patients("a", "a"), patients("../x").assign(status="fine")])
    with pytest.raises(DataError) as fault:
        checked(table, PATIENTS)
    for word in ("fine", "../x", "stands twice"):
        assert word in str(fault.value)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(DataError, match="status"):
        checked(patients("a").drop(columns="status"), PATIENTS)


def test_a_decimal_comma_is_refused_not_guessed(tmp_path: Path) -> None:
    file = tmp_path / "dvh.tsv"
    file.write_text("patient\tcycle\tvoi\tdose_gy\tvolume_fraction\na\t1\tliver\t1,5\t0.5\n")
    with pytest.raises(DataError, match="1,5"):
        read_table(file, DVH)


def test_a_value_out_of_range_is_refused() -> None:
    with pytest.raises(DataError, match="volume_fraction"):
        checked(
            pd.DataFrame({"patient": ["a"], "cycle": 1, "voi": "liver", "dose_gy": 1.0, "volume_fraction": 1.2}), DVH
        )


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.tsv"):
        read_table(tmp_path / "gone.tsv", PATIENTS)


@given(values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
@settings(max_examples=40, deadline=None)
def test_numbers_keep_all_their_digits(values: list[float], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("digits")
    table = pd.DataFrame({"patient": "a", "voi": "", "name": "x", "value": values})
    for name in ("t.tsv", "t.parquet"):
        back = read_table(write_table(table, folder / name, LATENTS), LATENTS)
        np.testing.assert_array_equal(back["value"].to_numpy(), np.asarray(values))


def test_empty_cells_stay_empty(tmp_path: Path) -> None:
    row = {"patient": "a", "step": "s", "subject": "x", "name": "n", "value": np.nan, "unit": "1", "note": None}
    back = read_table(write_table(pd.DataFrame([row]), tmp_path / "qc.tsv", QC), QC)
    assert back["value"].isna().all()
    assert back["note"].tolist() == [""]


def test_parts_join_sorted(tmp_path: Path) -> None:
    files = [write_table(patients(i), tmp_path / f"{i}.tsv", PATIENTS) for i in ("b", "a")]
    assert concat_tables(files, PATIENTS)["patient"].tolist() == ["a", "b"]


def test_every_key_is_a_column_of_its_schema() -> None:
    for schema in SCHEMAS.values():
        assert set(schema.key) <= set(schema.names()), schema.name


@pytest.mark.parametrize("file", ["/etc/passwd", "../other/sub-a.nii.gz", "sub-a/../../x.nii.gz"])
def test_a_manifest_cannot_point_outside_its_data_set(file: str) -> None:
    row = {
        "patient": "a",
        "session": "ses-pre",
        "modality": "pet",
        "time_h": 1.0,
        "file": file,
        "sha256": "x",
        "n_bytes": 1,
    }
    with pytest.raises(DataError, match="file"):
        checked(pd.DataFrame([{**row, "sha256": "x", "n_bytes": 1}]), MANIFEST)
