from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from theradose.errors import LeakageError, SettingsError
from theradose.experiment_sections import ExperimentSettings, NestedSettings, SelectionSettings
from theradose.learning_schemas import NESTED_PREDICTIONS
from theradose.models import organ_dose, outcome
from theradose.models.baselines import PopulationMean
from theradose.models.examples import OrganExamples, subset
from theradose.models.linear import RidgeDose
from theradose.models.nested import OuterFold, Procedure, dealt, held_out, nested_predictions, outer_folds, people_of
from theradose.models.outcome_predictors import Logistic
from theradose.models.predictors import FloatRange, Predictor, TrainingPlan
from theradose.models.registry import PREDICTORS
from theradose.tables import SPLITS, checked

REPEATED = NestedSettings(scheme="repeated", folds=3, repeats=2, trials=2, inner_folds=2)
CENTRE = NestedSettings(scheme="centre", trials=2, inner_folds=2)
LEVEL = 0.9


class Spy(Predictor):
    """Predicts the mean log dose and writes down whom, with which dose, every fit saw and every prediction met."""

    name, kind = "spy", "organ_dose"
    space, defaults = {"shift": FloatRange(-0.1, 0.1)}, {"shift": 0.0}
    fits: ClassVar[list] = []
    met: ClassVar[list] = []

    def _fit(self, examples, *, seed, training, on_epoch):
        self.fits.append(dict(zip(examples.patients, examples.dose, strict=True)))
        self.mean = examples.log_dose.mean()
        return []

    def _predict(self, examples):
        self.met.append((dict(self.fits[-1]), list(examples.patients)))
        return np.full(len(examples), self.mean + self.parameters["shift"])

    def _arrays(self):
        return {"mean": np.array([self.mean])}

    def _restore(self, state, tensors):
        self.mean = tensors["mean"][0]


class SpyNetwork(Spy):
    """The same, said to iterate."""

    iterates = True


class Thief(Spy):
    """Knows every dose by heart: what a leak looks like."""

    known: ClassVar[dict] = {}

    def _predict(self, examples):
        return np.log([self.known[patient] for patient in examples.patients])


@pytest.fixture
def spy():
    Spy.fits, Spy.met = [], []
    return Spy


def procedure(predictor=RidgeDose, nested=REPEATED, kind=organ_dose, **training):
    plan = TrainingPlan(epochs=3, **training)
    return Procedure(predictor, kind.subset, kind.score, kind.calibrate, nested, plan)


def of_two_centres(everyone, splits):
    """Return examples and the people outside the test partition, of two centres in turn."""
    return everyone, people_of(splits.assign(centre=[("north", "south")[i % 2] for i in range(len(splits))]))


@pytest.fixture
def study(organ_examples):
    """Return all examples of kidneys, and the people outside the test partition."""
    return of_two_centres(*organ_examples()[1:])


def predictions(study, how, seed=1):
    everyone, people = study
    return nested_predictions(how, "kidneys", everyone, people=people, level=LEVEL, seed=seed)


def with_dose(examples, dose):
    return OrganExamples(examples.organ, examples.patients, examples.partitions, examples.covariates, dose)


def test_every_repeat_holds_everyone_once_and_each_centre_is_spread(study):
    _, people = study
    folds = outer_folds(people, NestedSettings(scheme="repeated", folds=4, repeats=3), seed=1)
    centre = people.set_index("patient")["centre"]
    assert len(folds) == 12
    for repeat in range(3):
        own = [fold for fold in folds if fold.repeat == repeat]
        assert sorted(p for fold in own for p in fold.held) == list(people["patient"])
        for fold in own:
            assert sorted([*fold.learn, *fold.held]) == list(people["patient"])
            assert centre[fold.held].value_counts().to_dict() == {"north": 2, "south": 2}
    assert len({tuple(fold.held) for fold in folds}) > 8


def test_the_same_seed_deals_the_same_and_another_seed_does_not(study):
    _, people = study
    assert outer_folds(people, REPEATED, 1) == outer_folds(people.sample(frac=1, random_state=0), REPEATED, 1)
    assert outer_folds(people, REPEATED, 1) != outer_folds(people, REPEATED, 2)


def test_test_patients_take_no_part(study, spy):
    everyone, people = study
    untouched = {p for p, where in zip(everyone.patients, everyone.partitions, strict=True) if where == "test"}
    assert untouched
    table = predictions(study, procedure(spy))
    assert set(table["patient"]) == set(everyone.patients) - untouched == set(people["patient"])
    seen = {p for fit in spy.fits for p in fit} | {p for _, met in spy.met for p in met}
    assert not seen & untouched
    fold = OuterFold(0, "0", list(people["patient"]), sorted(untouched))
    with pytest.raises(LeakageError, match="test patient"):
        held_out(procedure(spy), everyone, [fold], people, 1)


def test_a_held_patients_dose_reaches_no_fit_of_its_fold_nor_the_choice_of_parameters(study, spy):
    """Tuning of a fold sees other patients alone: with another dose of the held one, it fits and predicts the same."""
    everyone, people = study
    fold = outer_folds(people, REPEATED, 1)[0]
    before = held_out(procedure(spy), everyone, [fold], people, 1)[0]
    fits, spy.fits = spy.fits, []
    assert fits
    assert not any(set(fit) & set(fold.held) for fit in fits)
    dose = everyone.dose.copy()
    dose[[p in fold.held for p in everyone.patients]] *= 100.0
    after = held_out(procedure(spy), with_dose(everyone, dose), [fold], people, 1)[0]
    assert spy.fits == fits
    assert before.prediction.tobytes() == after.prediction.tobytes()
    assert before.calibration["log_residuals"].tobytes() == after.calibration["log_residuals"].tobytes()


def test_selection_and_tuning_of_columns_happen_inside(study):
    everyone, people = study
    how = procedure(selection=SelectionSettings(relevance=5))
    fold = outer_folds(people, REPEATED, 1)[0]
    before = held_out(how, everyone, [fold], people, 1)[0].prediction
    dose = everyone.dose.copy()
    held = np.array([p in fold.held for p in everyone.patients])
    dose[held] = dose[held][::-1] * 3.0
    assert held_out(how, with_dose(everyone, dose), [fold], people, 1)[0].prediction.tobytes() == before.tobytes()
    dose[np.flatnonzero([p in fold.learn for p in everyone.patients])[0]] *= 3.0
    assert held_out(how, with_dose(everyone, dose), [fold], people, 1)[0].prediction.tobytes() != before.tobytes()


def test_no_patient_is_predicted_by_a_fit_that_saw_him(study, spy):
    predictions(study, procedure(spy))
    assert spy.met
    assert not any(set(fit) & set(met) for fit, met in spy.met)


def test_a_patient_on_both_sides_is_a_leak(study):
    everyone, people = study
    names = list(people["patient"])
    with pytest.raises(LeakageError, match="one fold"):
        held_out(procedure(), everyone, [OuterFold(0, "0", names[:9], names[8:])], people, 1)


def test_one_person_under_two_names_stays_on_one_side():
    names = [f"p{i:02d}" for i in range(12)]
    splits = pd.DataFrame(
        {"patient": names, "centre": ["north", "south"] * 6, "stratum": "all", "partition": "train", "fold": 0}
    )
    people = people_of(splits, pd.DataFrame({"patient": names, "person": ["", "n/a", "x", "x", *[np.nan] * 8]}))
    assert list(people["person"][:5]) == ["p00", "p01", "x", "x", "p04"]
    for nested in (REPEATED, CENTRE):
        for fold in outer_folds(people, nested, 1):
            assert not ({"p02", "p03"} & set(fold.learn) and {"p02", "p03"} & set(fold.held))
    north = outer_folds(people, CENTRE, 1)[0]
    assert north.held == names[::2]
    assert "p03" not in north.learn


def test_a_centre_left_out_teaches_nothing(study, spy):
    everyone, people = study
    centre = people.set_index("patient")["centre"]
    table = predictions(study, procedure(spy, CENTRE))
    assert set(table["fold"]) == {"north", "south"}
    assert list(table["fold"]) == list(centre[table["patient"]])
    for fold in outer_folds(people, CENTRE, 1):
        spy.fits = []
        held_out(procedure(spy, CENTRE), everyone, [fold], people, 1)
        assert {centre[p] for fit in spy.fits for p in fit} == {"north", "south"} - {fold.name}


def test_one_centre_too_few_people_and_no_scheme_are_refused(study):
    _, people = study
    with pytest.raises(SettingsError, match=r"leaving one centre out.*add a centre"):
        outer_folds(people.assign(centre="north"), CENTRE, 1)
    with pytest.raises(SettingsError, match=r"nested\.folds.*3 people, 4 folds"):
        dealt(people[:3], 4, 1, "nested.folds")
    with pytest.raises(SettingsError, match="asks for no nested"):
        outer_folds(people, NestedSettings(), 1)


def test_networks_have_one_repeat_and_one_inner_hold_out(study, spy):
    table = predictions(study, procedure(SpyNetwork))
    assert set(table["repeat"]) == {0}
    # Three outer folds, each with two trials, the final fit and the fit behind the interval.
    assert len(spy.fits) == 3 * (2 + 1 + 1)
    spy.fits = []
    predictions(study, procedure(spy))
    assert len(spy.fits) == 2 * 3 * (2 * 2 + 1 + 2)


def test_predictions_follow_the_schema_and_lie_in_their_interval(study):
    table = checked(predictions(study, procedure()), NESTED_PREDICTIONS)
    assert set(table["unit"]) == {"Gy/GBq"}
    assert table["low"].notna().all()
    assert (table["low"] < table["predicted"]).all()
    assert (table["predicted"] < table["high"]).all()
    dose = dict(zip(study[0].patients, study[0].dose, strict=True))
    assert list(table["label"]) == [dose[p] for p in table["patient"]]


def test_same_seed_same_bytes(study):
    tables = [predictions(study, procedure(), seed).to_csv() for seed in (1, 1, 2)]
    assert tables[0] == tables[1] != tables[2]


def skill(table):
    """Return 1 - squared error of log doses over that of the mean of everyone, whom a held patient is part of."""
    apart = np.log(table["predicted"] / table["label"])
    return float(1.0 - (apart**2).mean() / np.log(table["label"]).groupby(table["repeat"]).var(ddof=0).mean())


def test_shuffled_doses_give_no_skill_and_a_leak_would_show(organ_examples):
    everyone, people = of_two_centres(*organ_examples(n_patients=56, n_test=8, n_noise=2)[1:])
    inside = subset(everyone, list(people["patient"]))
    nested = NestedSettings(scheme="repeated", folds=4, repeats=1, trials=3, inner_folds=2)
    skills = []
    for seed in range(4):
        shuffled = with_dose(inside, np.random.default_rng(seed).permutation(inside.dose))
        skills.append(skill(predictions((shuffled, people), procedure(RidgeDose, nested), seed)))
    assert np.mean(skills) < 0.0
    assert skill(predictions((inside, people), procedure(RidgeDose, nested))) > 0.5
    Thief.known = dict(zip(shuffled.patients, shuffled.dose, strict=True))
    assert skill(predictions((shuffled, people), procedure(Thief, nested))) > 0.9


def test_a_part_whose_fold_holds_nobody_is_predicted_all_the_same(study):
    everyone, people = study
    few = subset(everyone, list(people["patient"][:6]))
    table = predictions((few, people), procedure(PopulationMean))
    assert sorted(table.loc[table["repeat"] == 0, "patient"]) == list(few.patients)


def test_probabilities_of_events_are_held_out_too(outcome_examples):
    examples, _ = outcome_examples(n=40, test=10)
    splits = pd.DataFrame({"patient": examples.patients, "centre": "north", "partition": examples.partitions})
    people = people_of(splits)
    how = procedure(Logistic, REPEATED, outcome)
    table = nested_predictions(how, "kidney_toxicity", examples, people=people, level=LEVEL, seed=1)
    table = checked(table, NESTED_PREDICTIONS)
    assert len(table) == 60
    assert table["low"].isna().all()
    assert table["predicted"].between(0.0, 1.0).all()
    first = held_out(how, examples, outer_folds(people, REPEATED, 1), people, 1)[0]
    own = table[(table["repeat"] == 0) & (table["fold"] == "0")]
    np.testing.assert_allclose(own["predicted"], expit(first.prediction))


def test_predictors_that_have_epochs_say_so(organ_examples, outcome_examples):
    cohorts = {"organ_dose": organ_examples(earlier=True)[0], "outcome": outcome_examples(n=30, test=0)[0]}
    for predictor in PREDICTORS.values():
        if predictor.kind in cohorts:
            rows = predictor().fit(cohorts[predictor.kind], seed=1, training=TrainingPlan(epochs=2))
            assert predictor.iterates == bool(rows), predictor.name


def test_only_kinds_with_one_number_a_patient_are_nested():
    given = {"name": "e", "title": "t", "baselines": ("pet_scaled",), "predictors": (), "nested": {"scheme": "centre"}}
    assert ExperimentSettings(**given, kind="organ_dose").nested.repeats == 5
    for kind in ("dose_map", "latency", "multitask"):
        with pytest.raises(ValueError, match="nested: only"):
            ExperimentSettings(**given, kind=kind)
        assert ExperimentSettings(**{**given, "nested": {}}, kind=kind).nested.scheme == "none"


def test_splits_of_the_study_serve(organ_tables):
    splits = checked(organ_tables()[3], SPLITS)
    people = people_of(splits)
    assert set(people["patient"]) == set(splits.loc[splits["partition"] != "test", "patient"])
    assert (people["person"] == people["patient"]).all()
