import importlib.util
import json
from argparse import Namespace
from pathlib import Path

import pytest

from theradose.sections import StudySettings
from theradose.settings import to_json
from theradose.steps import report, summarise

TREE = Path(__file__).parents[1] / "evaluation" / "results_tree.py"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A small real study: (data, results)."""
    spec = importlib.util.spec_from_file_location("results_tree", TREE)
    tree = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tree)
    return tree.write_real(tmp_path_factory.mktemp("step"))


def flags(folders, out):
    data, results = folders
    return Namespace(settings=to_json(StudySettings(experiments=())), data=data, results=results, out=out)


def test_report_step_writes_page_and_provenance(folders, capsys):
    out = folders[1] / "report"
    report.run(flags(folders, out))
    record = json.loads((out / "provenance.json").read_text(encoding="utf-8"))
    assert record["step"] == "report"
    assert any(name.endswith("tiac.tsv") for name in record["inputs"])
    assert (out / "index.html").is_file()
    assert "index.html" in capsys.readouterr().out


def test_summary_step_writes_what_it_prints(folders, capsys):
    out = folders[1] / "summary.txt"
    summarise.run(flags(folders, out))
    assert capsys.readouterr().out == out.read_text(encoding="utf-8")
