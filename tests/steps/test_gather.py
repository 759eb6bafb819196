"""The step gather: all rows once, sorted, whatever the order of the chunks; a provenance for each table."""

import json
from argparse import Namespace

import pandas as pd
import pytest

from theradose.errors import DataError, SettingsError
from theradose.steps import gather
from theradose.tables import PATIENTS, read_table, write_table


def chunk(path, *names):
    frame = pd.DataFrame({"patient": names, "centre": "north", "status": "ok", "reason": ""})
    return write_table(frame, path, PATIENTS)


def test_tables_are_joined_and_sorted(tmp_path) -> None:
    chunks = [chunk(tmp_path / "a.tsv", "007", "9"), chunk(tmp_path / "b.tsv", "7", "NA")]
    for out, inputs in (("one", chunks), ("two", chunks[::-1])):
        gather.run(Namespace(schema="patients", inputs=inputs, out=tmp_path / out / "patients.tsv"))
    assert read_table(tmp_path / "one" / "patients.tsv", PATIENTS)["patient"].tolist() == ["007", "7", "9", "NA"]
    assert (tmp_path / "one" / "patients.tsv").read_bytes() == (tmp_path / "two" / "patients.tsv").read_bytes()
    record = json.loads((tmp_path / "one" / "patients.provenance.json").read_text())
    assert len(record["inputs"]) == 2


def test_a_patient_in_two_chunks_and_an_unknown_table_are_errors(tmp_path) -> None:
    chunks = [chunk(tmp_path / "a.tsv", "1"), chunk(tmp_path / "b.tsv", "1")]
    with pytest.raises(DataError, match="stands twice"):
        gather.run(Namespace(schema="patients", inputs=chunks, out=tmp_path / "out.tsv"))
    with pytest.raises(SettingsError, match=r"got people.*patients"):
        gather.run(Namespace(schema="people", inputs=chunks, out=tmp_path / "out.tsv"))
