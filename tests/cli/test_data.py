"""The verb `import` on the command line: what is doubtful is taken only with its option."""

import json

import numpy as np
import pydicom
import pytest
from typer.testing import CliRunner

from theradose.cli.main import app

SIDE, MM = 12, 4.0


@pytest.fixture
def folder(dicom_maker, tmp_path):
    """Return a SPECT with a slice out of step, text in its pixels by its header, and contours of another series."""
    stored = np.random.default_rng(2).integers(30000, 60000, (6, SIDE, SIDE)).astype(np.uint16)
    files = dicom_maker.write_slices(
        tmp_path / "in" / "s", stored, spacing=(MM,) * 3, slopes=[300.0] * 6, changes={"BurnedInAnnotation": "YES"}
    )
    header = pydicom.dcmread(files[-1])
    header.ImagePositionPatient = [-10.0, -20.0, 30.0 + 5.25 * MM]
    header.save_as(files[-1])
    ring = np.array([[0.0, -10.0, 30.0], [12.0, -10.0, 30.0], [12.0, 2.0, 30.0], [0.0, 2.0, 30.0]])
    dicom_maker.write_structures(tmp_path / "in" / "r.dcm", [("lesion", [("CLOSED_PLANAR", ring)])], series="9.9")
    return tmp_path / "in"


def test_what_is_doubtful_is_taken_with_its_option_only(folder, tmp_path) -> None:
    options = {"THR-344": "--allow-burned-in", "THR-336": "--resample-uneven", "THR-342": "--allow-frame-match"}
    given = ["--decay-reference", "scan_start"]
    for number, (code, option) in enumerate(options.items()):
        to = ["--to", str(tmp_path / f"data{number}")]
        refused = CliRunner().invoke(app, ["import", str(folder), *to, *given])
        assert refused.exit_code != 0
        assert code in f"{refused.output} {refused.exception}"
        given.append(option)
    done = CliRunner().invoke(app, ["import", str(folder), "--to", str(tmp_path / "data"), *given])
    assert done.exit_code == 0, done.output
    assert "1 series, 1 structure set;" in done.output
    assert done.output.count("WARN") == 3


@pytest.mark.parametrize("more", [[], ["--propose", "mapping.tsv"], ["--mapping", "mapping.tsv"]])
@pytest.mark.parametrize("there", [False, True])
def test_a_source_that_is_no_folder_and_no_archive_is_refused(tmp_path, there, more) -> None:
    source = tmp_path / "notes.md"
    if there:
        source.write_text("no images")
    to = [*(str(tmp_path / word) if word.endswith("tsv") else word for word in more), "--to", str(tmp_path / "data")]
    done = CliRunner().invoke(app, ["import", str(source), *to, "--json"])
    assert (done.exit_code, json.loads(done.output)["refused"]) == (2, "THR-201")


@pytest.mark.parametrize("there", [False, True])
def test_check_of_what_is_no_folder_says_so(tmp_path, there) -> None:
    if there:
        (tmp_path / "notes.md").write_text("no data set")
    done = CliRunner().invoke(app, ["check", str(tmp_path / "notes.md"), "--json"])
    assert (done.exit_code, json.loads(done.output)["refused"]) == (2, "THR-201")
    assert ("is a file" if there else "is missing") in json.loads(done.output)["reason"]
