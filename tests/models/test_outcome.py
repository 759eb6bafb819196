import numpy as np
import pandas as pd
import pytest

from theradose.errors import DataError, LeakageError, SettingsError
from theradose.experiment_sections import ExperimentSettings
from theradose.models import outcome, renal_slope
from theradose.models.logistic import log_loss
from theradose.models.outcome_examples import IMPAIRED_RATIO, LESION_VOLUME, observed_outcomes
from theradose.tables import COVARIATE_MANIFEST, COVARIATES, OUTCOMES, PARTICIPANTS, PREDICTIONS, SPLITS, write_table
from theradose.vocabulary import EGFR_SLOPE, LEARNED_OUTCOMES, OUTCOME_EVENTS

ORGANS = ("kidneys", "parotids", "marrow", "lesions")
N = 12
NAMES = [f"v{i:03d}" for i in range(N)]


def settings(**changes):
    given = {"name": "toxicity", "kind": "outcome", "title": "t", "outcomes": LEARNED_OUTCOMES}
    return ExperimentSettings(**{**given, "baselines": ("base_rate",), "predictors": ("logistic",), **changes})


def tables():
    """Return the tables behind an outcome experiment, by the name of the argument that takes them."""
    rng = np.random.default_rng(0)
    rows = [
        {"patient": p, "voi": o, "physics.pet_suv_mean": 5.0, "physics.weight_kg": 80.0, "physics.volume_ml": 10.0 + i,
         "clinical.age_y": 70.0, "ct.late": 1.0}
        for i, p in enumerate(NAMES) for o in ORGANS
    ]  # fmt: skip
    about = ("clinical", "made", "1")
    manifest = [(c, *about, "post_therapy" if "late" in c else "pre_therapy", "made") for c in list(rows[0])[2:]]
    predictions = [
        ("hybrid", p, o, "test" if i >= 9 else "train", -1 if i >= 9 else i % 3, 0.5 + 0.1 * i, 0.5)
        for i, p in enumerate(NAMES) for o in ORGANS
    ]  # fmt: skip
    events = pd.DataFrame({name: rng.integers(0, 2, N) for name in OUTCOME_EVENTS})
    events = events.assign(
        patient=NAMES, latency_months=12.0, latency_observed=1, egfr_12m_ml_min=np.arange(60.0, 72.0)
    )
    events.loc[0, "egfr_12m_ml_min"] = np.nan
    people = pd.DataFrame({"patient": NAMES, "centre": "north", "weight_kg": 80.0, "height_cm": 175.0})
    people = people.assign(administered_mbq=7000.0, radionuclide="Lu-177", egfr_ml_min=80.0, planned_cycles=4)
    people.loc[1, "egfr_ml_min"] = np.nan
    splits = [(p, "north", "all", "test" if i >= 9 else "train", -1 if i >= 9 else i % 3) for i, p in enumerate(NAMES)]
    columns = [*PREDICTIONS.names()[:5], "predicted_gy_per_gbq", "label_gy_per_gbq"]
    return {
        "covariates": pd.DataFrame(rows),
        "covariate_manifest": pd.DataFrame(manifest, columns=COVARIATE_MANIFEST.names()),
        "doses": pd.DataFrame(predictions, columns=columns).assign(
            low_gy_per_gbq=np.nan, high_gy_per_gbq=np.nan, truth_gy_per_gbq=np.nan
        ),
        "outcomes": events, "participants": people, "splits": pd.DataFrame(splits, columns=SPLITS.names()),
    }  # fmt: skip


SCHEMAS = {
    "covariates": COVARIATES, "covariate_manifest": COVARIATE_MANIFEST, "doses": PREDICTIONS, "outcomes": OUTCOMES,
    "participants": PARTICIPANTS, "splits": SPLITS,
}  # fmt: skip


@pytest.fixture
def load(tmp_path):
    """Return a function that writes the tables, changed by name, and loads the experiment."""

    def loaded(own=None, **changes):
        found = tables() | changes
        paths = {name: write_table(found[name], tmp_path / f"{name}.tsv", SCHEMAS[name]) for name in SCHEMAS}
        unused = {"labels": None, "pairs": None, "stability": None, "images": None}
        return outcome.load(**paths, **unused, settings=own or settings())

    return loaded


def test_every_outcome_has_the_patients_it_was_observed_in(load):
    parts = load()
    assert list(parts) == list(LEARNED_OUTCOMES)
    assert len(parts["xerostomia"]) == N
    assert parts["xerostomia"].left_out == {}
    renal = parts["renal_impairment"]
    assert set(renal.left_out) == {"v000", "v001"}
    assert "eGFR" in renal.left_out["v000"]
    assert set(renal.patients) == set(NAMES[2:])


def test_columns_are_those_before_therapy_and_the_predicted_doses(load):
    parts = load()
    for own in parts.values():
        assert "ct.late" not in own.covariates
        assert {"predicted.kidneys.course_bed_gy", "clinical.age_y", LESION_VOLUME} <= set(own.covariates)
    # 0.5 Gy/GBq, 7 GBq and four cycles are 14 Gy.
    np.testing.assert_allclose(parts["xerostomia"].dose[0], 14.0)
    assert parts["kidney_toxicity"].dose[0] > 14.0  # a BED
    np.testing.assert_allclose(parts["marrow_toxicity"].column(LESION_VOLUME), 10.0 + np.arange(N))


def test_impairment_is_a_ratio_below_the_cut():
    outcomes = tables()["outcomes"].assign(egfr_12m_ml_min=[IMPAIRED_RATIO * 80.0, 63.9, 80.0] + [np.nan] * (N - 3))
    people = tables()["participants"].assign(egfr_ml_min=80.0)
    found = observed_outcomes(outcomes, people)["renal_impairment"].tolist()
    assert found[:3] == [0.0, 1.0, 0.0]
    assert np.isnan(found[3:]).all()
    assert observed_outcomes(outcomes, people.drop(columns="egfr_ml_min"))["renal_impairment"].isna().all()


def test_the_slope_of_egfr_is_a_kind_of_its_own(tmp_path):
    paths = {name: write_table(own, tmp_path / f"{name}.tsv", SCHEMAS[name]) for name, own in tables().items()}
    own = settings(kind="renal_slope", outcomes=(EGFR_SLOPE,))
    (slope,) = renal_slope.load(**paths, labels=None, settings=own).values()
    assert list(slope.patients) == NAMES[2:]
    np.testing.assert_array_equal(slope.observed, np.arange(62.0, 72.0) - 80.0)
    assert set(slope.left_out) == {"v000", "v001"}
    assert slope.left_out["v001"].startswith("eGFR missing")
    assert renal_slope.card(slope)["slope_ml_min_per_y"] == [-18.0, -9.0]
    assert renal_slope.score(slope, slope.observed + 3.0) == pytest.approx(3.0)
    with pytest.raises(SettingsError, match="unknown or none"):
        renal_slope.load(**paths, settings=settings(kind="renal_slope"))
    with pytest.raises(SettingsError, match="unknown or none"):
        outcome.load(**paths, settings=settings(outcomes=(EGFR_SLOPE,)))


def test_patients_without_dose_covariates_or_outcome_are_left_out_with_the_reason(load):
    own = tables()
    doses = own["doses"][~((own["doses"]["patient"] == "v003") & (own["doses"]["voi"] == "parotids"))]
    covariates = own["covariates"][
        ~((own["covariates"]["patient"] == "v004") & (own["covariates"]["voi"] == "parotids"))
    ]
    outcomes = own["outcomes"][own["outcomes"]["patient"] != "v005"]
    found = load(doses=doses, covariates=covariates, outcomes=outcomes)["xerostomia"]
    assert found.left_out == {
        "v003": "no predicted dose to parotids", "v004": "no covariates of parotids", "v005": "not observed"
    }  # fmt: skip


def test_a_dose_by_a_model_that_saw_the_patient_is_a_leak(load):
    doses = tables()["doses"]
    with pytest.raises(LeakageError, match="out of fold"):
        load(doses=doses.assign(fold=-1))


def test_what_is_missing_or_unknown_is_said(load, tmp_path):
    with pytest.raises(SettingsError, match="outcomes unknown"):
        load(settings(outcomes=("kidney_toxicity", EGFR_SLOPE)))
    with pytest.raises(SettingsError, match="outcomes unknown or none"):
        load(settings(outcomes=()))
    with pytest.raises(SettingsError, match="this predictor"):
        load(settings(dose_predictor="nobody"))
    nothing = dict.fromkeys(("covariates", "covariate_manifest", "outcomes", "doses", "participants"))
    with pytest.raises(SettingsError, match="needs covariates, outcomes"):
        outcome.load(splits=tmp_path, **nothing, settings=settings())
    with pytest.raises(DataError, match="no patient has this outcome"):
        load(outcomes=tables()["outcomes"].assign(egfr_12m_ml_min=np.nan))
    with pytest.raises(DataError, match="columns are missing"):
        load(doses=tables()["doses"].query("voi != 'marrow'"))


def test_score_calibration_and_card(load):
    examples = load()["xerostomia"]
    odds = np.linspace(-1.0, 1.0, N)
    assert outcome.score(examples, odds) == pytest.approx(log_loss(examples.observed, odds))
    events = examples.observed.sum()
    assert outcome.calibrate(examples, odds)["rate"].tolist() == [(events + 0.5) / (N + 1)]
    assert outcome.card(examples) == {
        "patients": N, "events": int(events), "left_out": 0, "dose_gy": [examples.dose.min(), examples.dose.max()]
    }  # fmt: skip


def test_subset_keeps_order_and_reasons(load):
    examples = load()["renal_impairment"]
    own = outcome.subset(examples, ["v007", "v003", "v000"])
    assert list(own.patients) == ["v003", "v007"]
    assert set(own.left_out) == {"v000"}
    np.testing.assert_array_equal(own.dose, examples.dose[[1, 5]])
