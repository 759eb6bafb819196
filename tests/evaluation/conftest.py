"""Results folders for tests of the report, written once a session."""

import importlib.util
from pathlib import Path

import pytest

from theradose.evaluation.report import write_report
from theradose.evaluation.results import StudyResults
from theradose.sections import CheckSettings, CohortSettings, StudySettings


def load_tree():
    """Return the module beside this file that writes results folders; tests are no package, so it is read by path."""
    spec = importlib.util.spec_from_file_location("results_tree", Path(__file__).with_name("results_tree.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def results_tree():
    """The functions that write results folders."""
    return load_tree()


@pytest.fixture(scope="session")
def study(results_tree, tmp_path_factory):
    """A whole virtual study."""
    data, root = results_tree.write_study(tmp_path_factory.mktemp("study"))
    return StudyResults(StudySettings(title="A & B <study>"), data, root)


@pytest.fixture(scope="session")
def page(study):
    """The report of the whole study."""
    return write_report(study, study.root / "report")[0].read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def real_patient(results_tree, tmp_path_factory):
    """One real patient with two SPECT points."""
    data, root = results_tree.write_real(tmp_path_factory.mktemp("real"))
    settings = StudySettings(study="real", cohort=CohortSettings(source="folder"), experiments=())
    return StudyResults(settings, data, root)


@pytest.fixture(scope="session")
def real_report(real_patient, tmp_path_factory):
    """The file of the report of the real patient."""
    return write_report(real_patient, tmp_path_factory.mktemp("real_report"))[0]


@pytest.fixture(scope="session")
def radiomics_only(results_tree, tmp_path_factory):
    """Two patients with features and nothing else."""
    data, root = results_tree.write_radiomics(tmp_path_factory.mktemp("radiomics"))
    settings = StudySettings(
        study="sts",
        cohort=CohortSettings(source="folder"),
        check=CheckSettings(require=("pet", "mask")),
        experiments=(),
    )
    return StudyResults(settings, data, root)
