"""Predictors of an event after therapy; all give log-odds. With one class in training all give its base rate."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from scipy.special import expit, logit
from torch import Tensor, nn

from theradose.models.column_network import HELD_BACK, ColumnNetwork
from theradose.models.columns import Columns, learned
from theradose.models.logistic import fit_logistic, rate_of
from theradose.models.outcome_examples import CAUSES, OutcomeExamples, subset
from theradose.models.predictors import Choice, FloatRange, History, IntRange, OnEpoch, Predictor, Range, TrainingPlan
from theradose.models.training import prepare_torch
from theradose.physics.limits import constant, has_constant
from theradose.physics.radiobiology import eqd2_gy
from theradose.vocabulary import LESIONS

KIND = "outcome"
RESPONSE_LOG_ODDS_PER_GY = np.log(1.5) / 50.0  # odds ratio 1.5 per 50 Gy: docs/virtual-outcomes.md (Alipour)
CURVE_RIDGE = 1.0  # own choice: the slope's prior is normal, an odds ratio of e per spread; felt below ten events
SMALLEST_SPREAD = 1e-9
EVERY = 100_000  # more columns than any table has
PHYSICS = "ntcp."


class BaseRate(Predictor):
    """The same for all: the part of training patients with the event."""

    name: ClassVar[str] = "base_rate"
    kind: ClassVar[str] = KIND

    def _fit(self, examples: Any, *, seed: int, training: TrainingPlan, on_epoch: OnEpoch | None) -> History:
        del seed, training, on_epoch
        self.odds = logit(rate_of(examples.observed))
        return []

    def _predict(self, examples: Any) -> np.ndarray:
        return np.full(len(examples), float(self.odds))

    def _arrays(self) -> dict[str, np.ndarray]:
        return {"log_odds": np.array([self.odds])}

    def _restore(self, state: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
        del state
        self.odds = tensors["log_odds"][0]


def deviate(outcome: str, dose_gy: np.ndarray) -> np.ndarray:
    """Return where doses (n,) in Gy lie on the published curve of an outcome, (n,), on a scale without a unit.

    Organs with a curve of Lyman in `limits.csv`: its normal deviate (D / TD50 - 1) / m, kidneys at the EQD2 of their
    BED; the parameters are from external beam and do not transfer (MIRD Pamphlet No. 20), hence the recalibration.
    Those planted in virtual patients are not used: a model must not know them. Lesions: log odds of response per Gy;
    other organs: dose over the limit.
    """
    organ = CAUSES[outcome].organ
    if organ == LESIONS:
        return np.asarray(RESPONSE_LOG_ODDS_PER_GY * dose_gy)
    if not has_constant(organ, "ntcp_td50_gy", "external_beam"):
        return np.asarray(dose_gy / constant(organ, "limit_dose_gy").value)
    td50, m = (constant(organ, name, "external_beam").value for name in ("ntcp_td50_gy", "ntcp_m"))
    # External beam speaks of fractions of 2 Gy: the BED of kidneys becomes EQD2, other organs have their dose.
    dose = eqd2_gy(dose_gy, constant(organ, "alpha_beta_gy").value) if organ == "kidneys" else dose_gy
    return np.asarray((dose / td50 - 1.0) / m)


class Ntcp(Predictor):
    """The published dose-effect curve, recalibrated: log-odds a + b z, z its standardised deviate, b never negative.

    Intercept and slope as in Cox (Biometrika 1958;45:562-565), the slope with a ridge: few events give the base rate.
    """

    name: ClassVar[str] = "ntcp"
    kind: ClassVar[str] = KIND

    def _fit(self, examples: Any, *, seed: int, training: TrainingPlan, on_epoch: OnEpoch | None) -> History:
        del seed, training, on_epoch
        place = deviate(examples.outcome, examples.dose)
        self.scale = np.array([place.mean(), max(float(place.std()), SMALLEST_SPREAD)])
        intercept, slope = fit_logistic(self._z(examples)[:, None], examples.observed, CURVE_RIDGE)
        # More dose cannot protect: a falling curve is chance, and the best that does not fall is flat.
        flat = slope[0] < 0
        self.line = np.array([logit(rate_of(examples.observed)), 0.0] if flat else [intercept, slope[0]])
        return []

    def _z(self, examples: OutcomeExamples) -> np.ndarray:
        return np.asarray((deviate(examples.outcome, examples.dose) - self.scale[0]) / self.scale[1])

    def _predict(self, examples: Any) -> np.ndarray:
        return np.asarray(self.line[0] + self.line[1] * self._z(examples))

    def _arrays(self) -> dict[str, np.ndarray]:
        return {"scale": self.scale, "line": self.line}

    def _restore(self, state: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
        del state
        self.scale, self.line = tensors["scale"], tensors["line"]


class LogisticAll(Predictor):
    """Log-odds a + b x with a penalty alpha/2 |b|^2, x all columns that differ, filled and standardised in the fold."""

    name: ClassVar[str] = "logistic_all"
    kind: ClassVar[str] = KIND
    space: ClassVar[dict[str, Range]] = {"alpha": FloatRange(1.0, 1e5, log=True)}
    defaults: ClassVar[dict[str, Any]] = {"alpha": 1e3}

    def offset(self, examples: OutcomeExamples) -> np.ndarray:
        """Return the part of the log-odds that is not learned here, (n,)."""
        return np.zeros(len(examples))

    def offered(self, examples: OutcomeExamples) -> OutcomeExamples:
        """Return the examples with the columns that may be learned from."""
        return examples

    def _fit(self, examples: Any, *, seed: int, training: TrainingPlan, on_epoch: OnEpoch | None) -> History:
        del seed, on_epoch
        offset = self.offset(examples)
        left = examples.observed - expit(offset)
        offered: Any = self.offered(examples)
        self.columns, x = learned(offered, left, self.parameters.get("k", EVERY), training)
        intercept, slope = fit_logistic(x, examples.observed, self.parameters["alpha"], offset)
        self.learned = {"intercept": np.array([intercept]), "slope": slope}
        return []

    def _predict(self, examples: Any) -> np.ndarray:
        varying = (self.columns.prepare(examples) * self.learned["slope"]).sum(axis=1)
        return np.asarray(self.offset(examples) + self.learned["intercept"][0] + varying)

    def _arrays(self) -> dict[str, np.ndarray]:
        return {**self.columns.tensors(), **self.learned}

    def _notes(self) -> dict[str, Any]:
        return self.columns.notes() if self.is_fitted else {}

    def _restore(self, state: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
        self.columns = Columns.restore(state, tensors)
        self.learned = {name: tensors[name] for name in ("intercept", "slope")}


class Logistic(LogisticAll):
    """The same on the few columns that an outcome has a reason to follow: the dose that counts, and risk factors."""

    name: ClassVar[str] = "logistic"
    space: ClassVar[dict[str, Range]] = {"alpha": FloatRange(0.1, 1e3, log=True)}
    defaults: ClassVar[dict[str, Any]] = {"alpha": 10.0}

    def offered(self, examples: OutcomeExamples) -> OutcomeExamples:
        """Return the examples with dose and risk factors alone."""
        cause = CAUSES[examples.outcome]
        return examples.with_columns([cause.dose_column, *cause.others])


class HybridOutcome(LogisticAll):
    """Log-odds of `ntcp` plus r(x): the dose-effect curve carries the odds, a shrunk ridge what it leaves open.

    x at most `k` columns, chosen in the fold for what the curve leaves; with a large penalty the two are the same.
    """

    name: ClassVar[str] = "hybrid_outcome"
    space: ClassVar[dict[str, Range]] = {"alpha": FloatRange(1.0, 1e5, log=True), "k": IntRange(1, 30)}
    defaults: ClassVar[dict[str, Any]] = {"alpha": 1e3, "k": 10}

    def _fit(self, examples: Any, *, seed: int, training: TrainingPlan, on_epoch: OnEpoch | None) -> History:
        self.physics = Ntcp()
        self.physics.fit(examples, seed=seed, training=training)
        return super()._fit(examples, seed=seed, training=training, on_epoch=on_epoch)

    def offset(self, examples: OutcomeExamples) -> np.ndarray:
        """Return the log-odds of the dose-effect curve, (n,)."""
        return self.physics.predict(examples)

    def _arrays(self) -> dict[str, np.ndarray]:
        own = {PHYSICS + name: values for name, values in self.physics.tensors().items()}
        return {**super()._arrays(), **own}

    def _restore(self, state: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
        super()._restore(state, tensors)
        own = {n.removeprefix(PHYSICS): v for n, v in tensors.items() if n.startswith(PHYSICS)}
        self.physics = Ntcp.restore(Ntcp().state(), own)


class OutcomeMlp(ColumnNetwork):
    """Base log-odds plus a network of one hidden layer on selected columns; a fifth of the patients ends the training.

    With one class in training nothing can be told apart, and the base rate is all that is predicted.
    """

    name: ClassVar[str] = "outcome_mlp"
    kind: ClassVar[str] = KIND
    scale_name: ClassVar[str] = "base"
    space: ClassVar[dict[str, Range]] = {
        "hidden": Choice((2, 4, 8, 16)),
        "dropout": FloatRange(0.0, 0.5),
        "learning_rate": FloatRange(1e-3, 3e-2, log=True),
        "weight_decay": FloatRange(1e-3, 3.0, log=True),
        "k": IntRange(1, 20),
    }
    defaults: ClassVar[dict[str, Any]] = {
        "hidden": 4, "dropout": 0.2, "learning_rate": 1e-2, "weight_decay": 0.1, "k": 6
    }  # fmt: skip

    def _fit(self, examples: Any, *, seed: int, training: TrainingPlan, on_epoch: OnEpoch | None) -> History:
        prepare_torch(seed)
        learning, watching = held_back(examples, seed)
        self.scale = np.array([logit(rate_of(learning.observed)), float(len(set(learning.observed)) > 1)])
        # Columns and scale come from the patients learned from alone: those who watch must not choose.
        offered: Any = learning
        self.columns, _ = learned(offered, learning.observed, self.parameters["k"], training)
        self.network = self._new(seed)
        if not self.scale[1]:
            return []

        def loss(odds: Tensor, target: Tensor) -> Tensor:
            return nn.functional.binary_cross_entropy_with_logits(odds + float(self.scale[0]), target)

        return self._train(learning, watching, loss, seed=seed, training=training, on_epoch=on_epoch)

    def _target(self, examples: Any) -> np.ndarray:
        return np.asarray(examples.observed[:, None])


def held_back(examples: OutcomeExamples, seed: int) -> tuple[OutcomeExamples, OutcomeExamples | None]:
    """Split training examples by patient into those learned from and those that watch, the event shared out evenly.

    With fewer than ten patients nobody is held back and all epochs run.
    """
    if len(examples) < 2 * HELD_BACK:
        return examples, None
    order = np.random.default_rng([seed, 2]).permutation(np.argsort(examples.patients, kind="stable"))
    # In turn after sorting by the event, every fifth: both classes are shared out evenly.
    watching = order[np.argsort(examples.observed[order], kind="stable")][HELD_BACK - 1 :: HELD_BACK]
    apart = {examples.patients[i] for i in watching}
    return subset(examples, [p for p in examples.patients if p not in apart]), subset(examples, apart)


OUTCOME_PREDICTORS: dict[str, type[Predictor]] = {
    predictor.name: predictor for predictor in (BaseRate, Ntcp, Logistic, HybridOutcome, LogisticAll, OutcomeMlp)
}
