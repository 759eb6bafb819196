"""The `theradose suv` command."""

import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from theradose.cli.main import app
from theradose.vocabulary import RESEARCH_USE_ONLY

STORED = np.full((2, 3, 3), 5000, np.uint16)


@pytest.fixture
def write(dicom_maker, tmp_path):
    def make(folder="pet", series="1.2.3.4", **changes):
        # 7400 MBq of Lu-177 and 74 kg, corrected to the administration: 1e-5 per Bq/mL.
        plain = {"CorrectedImage": ["ATTN", "SCAT", "DECY"], "DecayCorrection": "ADMIN", "PatientWeight": "74"}
        changes = {**plain, "DecayFactor": f"{2 ** (4.000139 / 159.528):.6f}", **changes}
        dicom_maker.write_slices(tmp_path / folder, STORED, series=series, changes=changes)
        return tmp_path

    return make


def call(*words):
    return CliRunner().invoke(app, ["suv", *map(str, words)])


def test_one_series(write) -> None:
    done = call(write(), "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["suv_max"] == report["suv_mean"] == pytest.approx(0.05)
    assert report["factor"] == pytest.approx(1e-5)
    assert (report["rule"], report["reference_time"]) == (
        "bqml_admin", "the administration (ADMIN); 0.0000 h after injection",
    )  # fmt: skip
    assert (report["notes"], report["notice"], report["files"]) == ([], RESEARCH_USE_ONLY, 2)
    assert "series" not in report
    page = call(write()).stdout
    assert page.startswith(RESEARCH_USE_ONLY)
    assert "0.05 g/mL (voxels above zero)" in page


def test_several_series_and_the_contradiction_of_a_decay_tag(write) -> None:
    write("a", "1.1", SeriesNumber=3, Units="PROPCPS")
    report = json.loads(call(write("b", "1.2", SeriesNumber=4, DecayFactor="1"), "--json").stdout)
    assert report["series_number"] == 4
    assert [one.get("refused") for one in report["series"]] == ["THR-292", None]
    assert report["other"] == {"rule": "scan_start", "factor": pytest.approx(1e-5 * 2 ** (4.000139 / 159.528))}
    page = call(write()).stdout
    assert "THR-292 unit cannot become SUV" in page
    assert "other reading" in page


@pytest.mark.parametrize(("changes", "code"), [({"PatientWeight": None}, "THR-211"), ({"Units": "CNTS"}, "THR-292")])
def test_refusals_end_with_code_2(write, changes, code) -> None:
    done = call(write(**changes), "--json")
    assert done.exit_code == 2
    report = json.loads(done.stdout)
    assert report["refused"] == code
    assert code in report["reason"]
    page = call(write(**changes))
    assert (page.exit_code, "refused" in page.stdout) == (2, True)


def test_an_empty_folder(tmp_path) -> None:
    done = call(tmp_path, "--json")
    assert (done.exit_code, json.loads(done.stdout)["refused"]) == (2, "THR-299")


def test_a_packed_series_is_answered_as_an_open_one(write, tmp_path) -> None:
    folder = write()
    plain = json.loads(call(folder, "--json").stdout)
    shutil.make_archive(str(tmp_path / "packed" / "series"), "xztar", folder / "pet")
    for where in (tmp_path / "packed", tmp_path / "packed" / "series.tar.xz"):
        assert json.loads(call(where, "--json").stdout) == plain


def test_a_folder_that_is_missing_is_said_to_be(tmp_path) -> None:
    done = call(tmp_path / "absent", "--json")
    assert (done.exit_code, json.loads(done.stdout)["refused"]) == (2, "THR-201")
