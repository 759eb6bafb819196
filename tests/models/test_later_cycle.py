"""Examples of a later cycle: its doses are learned from what the cycle before showed, and from nothing after it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from theradose.errors import DataError, SettingsError
from theradose.experiment_sections import ExperimentSettings
from theradose.features.cycles import LAST_DOSE
from theradose.models.baselines import LastCycle
from theradose.models.new_patients import predict_new, require_organ_dose
from theradose.models.organ_dose import load
from theradose.models.predictors import TrainingPlan
from theradose.models.store import Trained
from theradose.tables import COVARIATE_MANIFEST, COVARIATES, ORGAN_DOSE, SPLITS, TIAC, write_table

GIVEN = {"name": "e", "title": "t", "organs": ("liver",), "baselines": ("last_cycle",), "predictors": ("ridge",)}
SETTINGS = ExperimentSettings(**GIVEN, kind="organ_dose", cycle=2)


@pytest.fixture(scope="module")
def tables(organ_tables):
    """Twelve patients with two cycles each; v002 has but the first, v003 a first one that cannot be."""
    covariates, manifest, first, splits = organ_tables(n_patients=12, n_test=4)
    second = first.assign(cycle=2, dose_gy_per_gbq=0.7 * first["dose_gy_per_gbq"])
    first.loc[first["patient"] == "v003", "flags"] = "impossible_tia"
    curves = first.assign(
        voi=first["voi"].replace({"kidneys": "kidney_left"}), model="mono", tia_std_mbq_h=0.1, tiac_h=2.0,
        tiac_std_h=0.1, t_eff_h=50.0, tail_fraction=0.1, aicc=1.0, parameters="{}", covariance="[]", flags="",
        reason="",
    )[TIAC.names()]  # fmt: skip
    labels = pd.concat([first, second[second["patient"] != "v002"]], ignore_index=True)
    schemas = {
        "covariates": COVARIATES, "covariate_manifest": COVARIATE_MANIFEST, "labels": ORGAN_DOSE, "splits": SPLITS,
        "tiac": TIAC,
    }  # fmt: skip
    made = (covariates, manifest, labels, splits, pd.concat([curves, curves.assign(cycle=2)], ignore_index=True))
    return {name: (table, schema) for (name, schema), table in zip(schemas.items(), made, strict=True)}


@pytest.fixture(scope="module")
def written(tables, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    return {name: write_table(table, folder / f"{name}.tsv", schema) for name, (table, schema) in tables.items()}


@pytest.fixture
def read(tables, written, tmp_path):
    """Return a function that reads the examples of the liver, some tables changed."""

    def examples(settings=SETTINGS, **changed):
        own = {n: write_table(table, tmp_path / f"{n}.tsv", tables[n][1]) for n, table in changed.items()}
        return load(**written | own, settings=settings)["liver"]

    return examples


def test_doses_are_those_of_the_cycle_and_the_one_before_is_a_covariate(read):
    examples, first = read(), read(SETTINGS.model_copy(update={"cycle": 1}))
    same = [first.patients.index(patient) for patient in examples.patients]
    np.testing.assert_allclose(examples.dose, 0.7 * first.dose[same])
    np.testing.assert_allclose(examples.column(LAST_DOSE), first.dose[same])
    assert {"previous.t_eff_h", "previous.tiac_h", "previous.volume_ml"} <= set(examples.covariates)
    assert not [name for name in first.covariates if name.startswith("previous")]


def test_patients_without_the_cycle_or_the_one_before_are_left_out_with_the_reason(read):
    examples = read()
    assert sorted(examples.left_out) == ["v002", "v003"]
    assert "no positive reference dose" in examples.left_out["v002"]
    assert "no dose of the cycle before" in examples.left_out["v003"]


def test_the_cycle_itself_is_in_no_covariate(read, tables):
    labels, curves = tables["labels"][0], tables["tiac"][0]
    dose = labels["dose_gy_per_gbq"]
    twice = dose.where(labels["cycle"] == 1, 2.0 * dose)
    other = labels.assign(dose_gy_per_gbq=twice, volume_ml=labels["cycle"] * 150.0)
    kinetics = curves.assign(tiac_h=curves["tiac_h"] * curves["cycle"], t_eff_h=curves["t_eff_h"] / curves["cycle"])
    plain, changed = read(), read(labels=other, tiac=kinetics)
    pd.testing.assert_frame_equal(plain.covariates, changed.covariates)
    np.testing.assert_allclose(changed.dose, 2.0 * plain.dose)


def test_patterns_choose_among_earlier_cycles_and_the_last_dose_stays(read):
    chosen = read(SETTINGS.model_copy(update={"features": ("previous.t_eff_h",)}))
    assert set(chosen.covariates) == {"physics.pet_suv_mean", "physics.weight_kg", LAST_DOSE, "previous.t_eff_h"}


def test_curves_are_needed_and_other_kinds_have_no_cycle(read):
    with pytest.raises(SettingsError, match="of a later cycle fitted curves too"):
        load(splits=None, covariates="c", covariate_manifest="m", labels="l", settings=SETTINGS)
    with pytest.raises(ValueError, match="planning: only"):
        ExperimentSettings(
            name="t", kind="organ_dose", title="t", baselines=("ridge",), predictors=(), cycle=2, planning={}
        )
    with pytest.raises(ValueError, match="cycle: only"):
        ExperimentSettings(**GIVEN, kind="tiac", cycle=2)


def test_a_new_patient_is_refused(read):
    examples = read()
    model = LastCycle()
    model.fit(replace(examples, partitions=["train"] * len(examples)), seed=1, training=TrainingPlan())
    trained = Trained({"liver": model}, {}, {"kind": "organ_dose", "parts": {}, **SETTINGS.later_cycle})
    with pytest.raises(DataError, match=r"THR-431 .* cycle 2"):
        predict_new(trained, examples.covariates.assign(patient=examples.patients, voi="liver"))
    require_organ_dose(replace(trained, card={"kind": "organ_dose"}))
