"""Nested cross-validation: everything that looks at a target, tuning included, happens anew inside each outer fold.

Outer folds hold patients out, several times anew (`repeated`), or one centre after the other (`centre`). Everyone takes
part but the patients of the partition `test`, who stay untouched. Predictors that iterate (networks) are tuned on one
inner hold-out instead of inner folds, and their outer folds are dealt once.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit

from theradose.cohort.participants import EMPTY
from theradose.cohort.split import PERSON, split_patients
from theradose.errors import LeakageError, SettingsError, Where
from theradose.experiment_sections import NestedSettings
from theradose.models.folds import Folds, Subset, fit_seed, out_of_fold
from theradose.models.organ_dose import RESIDUALS, natural
from theradose.models.predictors import TEST, Predictor, TrainingPlan, require_no_test
from theradose.models.tuning import Tell, best, search

Calibrate = Callable[[Any, np.ndarray], dict[str, np.ndarray]]
Row = dict[str, np.ndarray]
UNITS = {"organ_dose": "Gy/GBq", "outcome": "1"}


class OuterFold(NamedTuple):
    """One outer fold: its repeat, its name (the centre held out), patients to learn from, patients to predict."""

    repeat: int
    name: str
    learn: list[str]
    held: list[str]


@dataclass(frozen=True)
class Procedure:
    """What is done inside every outer fold: the predictor, how its kind judges it, the budget, how fits are trained.

    `subset`, `score` and `calibrate` are those of the kind of experiment (`steps.kinds.Kind`).
    """

    predictor: type[Predictor]
    subset: Subset
    score: Callable[[Any, np.ndarray], float]
    calibrate: Calibrate
    nested: NestedSettings
    training: TrainingPlan


class Held(NamedTuple):
    """What an outer fold gives: its patients, what is predicted of them, and arrays from inner folds for intervals."""

    fold: OuterFold
    examples: Any
    prediction: np.ndarray
    calibration: dict[str, np.ndarray]


def people_of(splits: pd.DataFrame, participants: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return patient, centre and person of everyone outside the partition `test`, sorted.

    The person is the patient unless participants state one: the same human being under two names.
    """
    people = splits.loc[splits["partition"] != TEST, ["patient", "centre"]].sort_values("patient", ignore_index=True)
    if participants is None or PERSON not in participants:
        return people.assign(**{PERSON: people["patient"]})
    named = participants.loc[~participants[PERSON].isin(EMPTY) & participants[PERSON].notna()]
    person = people["patient"].map(named.set_index("patient")[PERSON].astype("str"))
    return people.assign(**{PERSON: person.fillna(people["patient"])})


def dealt(people: pd.DataFrame, folds: int, seed: int, field: str) -> Folds:
    """Return (patients to learn from, patients to predict) of folds by person, each centre spread over all of them.

    SettingsError when there are fewer people than folds; `field` is the setting that asks for them.
    """
    count = people[PERSON].nunique()
    if count < folds:
        raise SettingsError(
            "too few patients for so many folds",
            where=Where(field=field),
            got=f"{count} people, {folds} folds",
            remedy="ask for fewer folds, leave the organ or outcome out, or add patients",
        )
    kept: dict[str, Any] = {"scheme": "kfold", "test_fraction": 0.0, "test_centre": None, "stratify_by": "centre"}
    table = split_patients(people, folds=folds, seed=seed, **kept)
    names, place = table["patient"].to_numpy(), table["fold"].to_numpy()
    return [(list(names[place != k]), list(names[place == k])) for k in range(folds)]


def _by_centre(people: pd.DataFrame) -> list[OuterFold]:
    """Return one fold a centre; a person who was also seen elsewhere teaches nothing about himself."""
    centres = sorted(set(people["centre"]))
    if len(centres) < 2:
        raise SettingsError(
            "leaving one centre out needs another to learn from",
            where=Where(field="nested.scheme"),
            got=f"one centre, {', '.join(centres)}",
            expected="patients of two centres or more outside the test partition",
            remedy="set nested.scheme: repeated, or add a centre",
        )
    found = []
    for centre in centres:
        away = people["centre"] == centre
        known = people[PERSON].isin(people.loc[away, PERSON])
        found.append(OuterFold(0, centre, list(people.loc[~known, "patient"]), list(people.loc[away, "patient"])))
    return found


def outer_folds(people: pd.DataFrame, nested: NestedSettings, seed: int, *, iterates: bool = False) -> list[OuterFold]:
    """Return the outer folds of people (see `people_of`); the same seed gives the same ones.

    Every repeat deals anew, by person, and spreads each centre over all folds; `iterates` asks for one repeat. Scheme
    `centre` holds out one centre after the other, once. SettingsError for one centre, too few people or scheme `none`.
    """
    if nested.scheme == "centre":
        return _by_centre(people)
    if nested.scheme != "repeated":
        raise SettingsError(
            "the experiment asks for no nested cross-validation",
            where=Where(field="nested.scheme"),
            got=nested.scheme,
            expected="repeated or centre",
        )
    return [
        OuterFold(repeat, str(number), learn, held)
        for repeat in range(1 if iterates else nested.repeats)
        for number, (learn, held) in enumerate(dealt(people, nested.folds, fit_seed(seed, repeat), "nested.folds"))
    ]


def _inner_out_of_fold(
    how: Procedure, parameters: dict[str, Any], learning: Any, folds: Folds, seed: int
) -> tuple[Any, np.ndarray]:
    """Return the learning patients that inner folds hold, and predictions of them by fits on the others."""
    judged = how.subset(learning, [patient for _, held in folds for patient in held])

    def chosen(_: Any, patients: Collection[str]) -> Any:
        return how.subset(learning, patients)

    predicted = out_of_fold(
        how.predictor, parameters, judged, folds=folds, subset=chosen, seed=seed, training=how.training
    )  # fmt: skip
    return judged, predicted


def tuned(how: Procedure, learning: Any, people: pd.DataFrame, seed: int) -> tuple[Predictor, dict[str, np.ndarray]]:
    """Return a predictor tuned and fitted on the learning patients alone, and arrays for its intervals.

    The arrays come from inner out-of-fold predictions with the chosen hyperparameters.
    """
    own = people[people["patient"].isin(list(learning.patients))]
    folds = dealt(own, how.nested.inner_folds, seed, "nested.inner_folds")
    folds = folds[:1] if how.predictor.iterates else folds

    def judge(parameters: dict[str, Any], tell: Tell) -> float:
        del tell  # budgets inside outer folds are small
        return how.score(*_inner_out_of_fold(how, parameters, learning, folds, seed))

    rows = search(
        how.predictor.space, judge, trials=how.nested.trials, seed=seed, journal=None, name=how.predictor.name,
        start=how.predictor.defaults,
    )  # fmt: skip
    parameters = best(rows).parameters
    model = how.predictor(**parameters)
    model.fit(learning, seed=seed, training=how.training)
    return model, how.calibrate(*_inner_out_of_fold(how, parameters, learning, folds, seed))


def held_out(
    how: Procedure, examples: Any, outer: list[OuterFold], people: pd.DataFrame, seed: int
) -> list[Held]:  # fmt: skip
    """Return what every outer fold gives for the examples of one part; folds that hold nobody of them give nothing.

    LeakageError when a patient is on both sides of a fold, or one of the partition `test` takes part.
    """
    found = []
    for number, fold in enumerate(outer):
        learning, held = how.subset(examples, fold.learn), how.subset(examples, fold.held)
        both = sorted(set(learning.patients) & set(held.patients))
        if both:
            raise LeakageError("a patient is learned from and predicted in one fold", where=Where(patient=both[0]))
        require_no_test(held)
        if len(held.patients):
            model, calibration = tuned(how, learning, people, fit_seed(fit_seed(seed, fold.repeat), number))
            found.append(Held(fold, held, model.predict(held), calibration))
    return found


def _doses(found: Held, level: float) -> Row:
    """Return doses in Gy/GBq with intervals from the residuals of inner folds."""
    doses = natural(found.prediction, found.calibration[RESIDUALS], level)
    return {"predicted": doses.point, "low": doses.low, "high": doses.high, "label": found.examples.dose}


def _chances(found: Held, level: float) -> Row:
    """Return probabilities; they have no interval."""
    del level
    none = np.full(len(found.prediction), np.nan)
    return {"predicted": expit(found.prediction), "low": none, "high": none, "label": found.examples.observed}


ROWS: dict[str, Callable[[Held, float], Row]] = {"organ_dose": _doses, "outcome": _chances}


def nested_predictions(
    how: Procedure, part: str, examples: Any, *, people: pd.DataFrame, level: float, seed: int
) -> pd.DataFrame:
    """Return what is predicted of every patient of a part (an organ or outcome) while held out, by each repeat.

    A table of schema NESTED_PREDICTIONS. `level` is the coverage that intervals of doses are asked for; their cells are
    empty where inner folds are too small for it.
    """
    kind, outer = how.predictor.kind, outer_folds(people, how.nested, seed, iterates=how.predictor.iterates)
    tables = []
    for found in held_out(how, examples, outer, people, seed):
        place = {"predictor": how.predictor.name, "repeat": found.fold.repeat, "fold": found.fold.name}
        who = {"patient": list(found.examples.patients), "voi": part, "unit": UNITS[kind]}
        tables.append(pd.DataFrame({**place, **who, **ROWS[kind](found, level)}))
    return pd.concat(tables, ignore_index=True)
