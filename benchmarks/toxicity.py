"""How well events after therapy are told from what is known before it: `python benchmarks/toxicity.py`.

Training and fresh patients are drawn from tier 1 (virtual, no images, four cycles). Predicted doses come from the
learned hybrid, out of fold for training patients; every model chooses its shrinkage inside the training set.
tests/evaluation/test_toxicity_benchmark.py runs the same functions on less. Research use only.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import sklearn
from learning import FOLDS, covariates, rows_of, world_of
from learning import chosen as chosen_dose
from scipy.special import expit

from theradose.cohort.virtual.bars import CLINIC, COUPLING
from theradose.cohort.virtual.covariates import MISSING_BY_CHANCE, event
from theradose.cohort.virtual.exposures import exposure_of_many
from theradose.cohort.virtual.limits import World
from theradose.cohort.virtual.observables import measured_egfr_ml_min
from theradose.cohort.virtual.outcome_scores import bayes_auc, expected_auc
from theradose.cohort.virtual.outcomes import OUTCOME_DRAWS, draw_outcomes, impairment_probability, probabilities
from theradose.cohort.virtual.tier_one import TierOne
from theradose.evaluation.classification import brier, log_loss
from theradose.models.conformal import log_spread, lowest_mape
from theradose.models.dose_columns import MBQ_PER_GBQ, dose_columns
from theradose.models.examples import OrganExamples
from theradose.models.folds import Folds, out_of_fold
from theradose.models.linear import HybridDose
from theradose.models.outcome import score
from theradose.models.outcome_examples import CAUSES, OutcomeExamples, examples_of, observed_outcomes, subset
from theradose.models.outcome_predictors import BaseRate, HybridOutcome, Logistic, LogisticAll, Ntcp, OutcomeMlp
from theradose.models.predictors import Predictor, TrainingPlan
from theradose.vocabulary import LEARNED_OUTCOMES, OUTCOME_EVENTS, RENAL_IMPAIRMENT

SEED, TEST_SEED = 20260315, 20260316
USUAL, MANY, CYCLES, THERAPIES, BAR = 165, 1000, 4, 20, 0.07
ORGANS = tuple(dict.fromkeys(cause.organ for cause in CAUSES.values()))
PLAN = TrainingPlan(epochs=100, patience=20, batch_size=32)
FIGURES = ["auc", "log_loss", "brier"]
# What the search inside the training set may choose from.
GRIDS: dict[type[Predictor], dict[str, Sequence[Any]]] = {
    BaseRate: {},
    Ntcp: {},
    Logistic: {"alpha": (1.0, 10.0, 100.0)},
    HybridOutcome: {"alpha": (10.0, 100.0, 1e4), "k": (3, 10)},
    LogisticAll: {"alpha": (10.0, 100.0, 1e3)},
    OutcomeMlp: {},
}


@dataclass(frozen=True)
class Patients:
    """Patients of tier 1: examples for the dose of every organ, what happened, and the planted chances, each (n,)."""

    organs: dict[str, OrganExamples]
    observed: pd.DataFrame
    courses: pd.DataFrame
    chances: dict[str, np.ndarray]


def blood(cohort: TierOne, bone_ml: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Return the blood values that tell of the bones, as the participants table of virtual patients makes them."""
    reach, latents = np.log1p(bone_ml / 77.0), cohort.latents
    values = {
        "biological.alp_u_per_l": 85.0 * np.exp(0.45 * reach + 0.35 * latents.z("alp")),
        "biological.haemoglobin_g_per_dl": np.clip(12.4 - 0.6 * reach + 1.5 * latents.z("haemoglobin"), 6.0, 18.0),
    }
    gone = np.random.default_rng([seed, 7]).random((len(values), len(reach))) < 2 * MISSING_BY_CHANCE
    return {name: np.where(lost, np.nan, own) for (name, own), lost in zip(values.items(), gone, strict=True)}


def chances_of(cohort: TierOne) -> dict[str, np.ndarray]:
    """Return the planted probability of every outcome; renal impairment against the true eGFR before therapy."""
    exposure = exposure_of_many(cohort)
    found = {name: np.asarray(p) for name, p in probabilities(exposure).items()}
    return found | {RENAL_IMPAIRMENT: np.asarray(impairment_probability(exposure, cohort.body.egfr_ml_min))}


def patients_of(world: World, n: int) -> Patients:
    """Return n patients of a world."""
    cohort = world.cohort(n, CYCLES)
    exposure, names = exposure_of_many(cohort), [f"t{i:06d}" for i in range(n)]
    more = blood(cohort, np.asarray(exposure.bone_tumour_ml), world.seed)
    more["clinical.prior_chemotherapy"] = np.asarray(event(cohort.latents, "prior_chemotherapy"))
    happened = draw_outcomes({name: cohort.latents.z(name) for name in OUTCOME_DRAWS}, exposure)
    columns = {name: np.asarray(happened[name]) for name in (*OUTCOME_EVENTS, "egfr_12m_ml_min")}
    before = pd.DataFrame({"patient": names, "egfr_ml_min": measured_egfr_ml_min(cohort)})
    observed = observed_outcomes(pd.DataFrame({"patient": names, **columns}), before)
    gbq = np.asarray(cohort.administered_mbq[0]) / MBQ_PER_GBQ
    organs = {
        organ: OrganExamples(
            organ, names, ["train"] * n, covariates(cohort, organ, world.seed).assign(**more),
            np.asarray(cohort.dose_gy_per_gbq[organ][0]),
        )
        for organ in ORGANS
    }  # fmt: skip
    courses = pd.DataFrame({"patient": names, "administered_gbq": gbq, "cycles": float(CYCLES)})
    return Patients(organs, observed, courses, chances_of(cohort))


def predictions_of(organ: str, names: Sequence[str], dose: np.ndarray, partition: str) -> pd.DataFrame:
    """Return predicted doses (n,) in Gy/GBq as rows of schema PREDICTIONS; training patients are out of fold."""
    fold = np.arange(len(names)) % FOLDS if partition == "train" else -1
    rows = {"predictor": HybridDose.name, "patient": list(names), "voi": organ, "partition": partition, "fold": fold}
    return pd.DataFrame({**rows, "predicted_gy_per_gbq": dose})


def with_doses(
    patients: Patients, doses: Sequence[pd.DataFrame], first: int, n: int, partition: str
) -> dict[str, OutcomeExamples]:
    """Return the examples of every outcome of n patients from place `first` on, their doses predicted."""
    own = {organ: rows_of(examples, first, n) for organ, examples in patients.organs.items()}
    names = list(own[ORGANS[0]].patients)
    table = pd.concat([one.covariates.assign(patient=names, voi=organ) for organ, one in own.items()])
    splits = pd.DataFrame({"patient": names, "partition": partition, "centre": "any"})
    columns = dose_columns(pd.concat(doses), predictor=HybridDose.name, courses=patients.courses)
    shared = {"doses": columns, "observed": patients.observed, "splits": splits}
    asked = [name for name in table if name not in ("patient", "voi")]
    return {name: examples_of(name, covariates=table, columns=asked, **shared) for name in LEARNED_OUTCOMES}


def dosed(
    pool: Patients, fresh: Patients, first: int, n: int, seed: int
) -> tuple[dict[str, OutcomeExamples], dict[str, OutcomeExamples]]:
    """Return training examples with doses predicted out of fold, and fresh ones with doses of the final hybrid."""
    inside, outside = [], []
    for organ in ORGANS:
        own, new = rows_of(pool.organs[organ], first, n), fresh.organs[organ]
        model, residuals = chosen_dose(HybridDose, own, seed)
        spread = log_spread(residuals)
        past, coming = (np.exp(x) for x in (own.log_dose - residuals, model.predict(new)))
        inside.append(predictions_of(organ, own.patients, lowest_mape(past, spread), "train"))
        outside.append(predictions_of(organ, new.patients, lowest_mape(coming, spread), "test"))
    fresh_n = len(fresh.courses)
    return with_doses(pool, inside, first, n, "train"), with_doses(fresh, outside, 0, fresh_n, "test")


def inner_folds(examples: OutcomeExamples) -> Folds:
    """Return the folds of the training set by number of the patient, the same as for doses."""
    names, place = np.array(examples.patients), np.array([int(p[1:]) for p in examples.patients]) % FOLDS
    return [(list(names[place != k]), list(names[place == k])) for k in range(FOLDS)]


def chosen(predictor: type[Predictor], examples: OutcomeExamples, seed: int) -> Predictor:
    """Return the predictor with the lowest out-of-fold log loss, fitted to all examples."""
    grid, folds = GRIDS[predictor], inner_folds(examples)
    tried = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    losses = [
        score(examples, out_of_fold(predictor, own, examples, folds=folds, subset=subset, seed=seed, training=PLAN))
        for own in (tried if len(tried) > 1 else ())
    ]
    model = predictor(**tried[int(np.argmin(losses)) if losses else 0])
    model.fit(examples, seed=seed, training=PLAN)
    return model


def judged(chance: np.ndarray, log_odds: np.ndarray) -> dict[str, float]:
    """Return the scores expected of predictions (n,) over events drawn with their planted chances (n,)."""
    p = expit(log_odds)
    found = {"log_loss": float(log_loss(p, chance)), "brier": float(brier(p, chance))}
    return {"auc": expected_auc(chance, log_odds), **found}


def one_draw(pool: Patients, fresh: Patients, n: int, draw: int) -> pd.DataFrame:
    """Return the scores of every outcome and model learned from n patients; those of two draws are others."""
    found = []
    inside, outside = dosed(pool, fresh, draw * n, n, draw)
    for outcome, predictor in product(LEARNED_OUTCOMES, GRIDS):
        examples, new = inside[outcome], outside[outcome]
        at = [int(p[1:]) for p in new.patients]
        log_odds = chosen(predictor, examples, draw).predict(new)
        key = {"outcome": outcome, "n": n, "draw": draw, "model": predictor.name}
        found.append({**key, "events": examples.observed.sum(), **judged(fresh.chances[outcome][at], log_odds)})
    say(f"n {n}: draw {draw + 1} done")
    return pd.DataFrame(found)


def learn(pool: Patients, fresh: Patients, n: int, draws: int) -> pd.DataFrame:
    """Return the scores of every outcome, draw and model learned from n patients."""
    return pd.concat([one_draw(pool, fresh, n, draw) for draw in range(draws)], ignore_index=True)


def best_possible(world: World, n: int, therapies: int) -> pd.DataFrame:
    """Return the best AUC by outcome: `bayes`, chances known; `before`, everything before therapy known."""
    known = chances_of(world.cohort(n, CYCLES))
    again = [chances_of(world.again(n, number, CYCLES)) for number in range(therapies)]
    rows = {
        name: {"bayes": bayes_auc(p), "before": expected_auc(p, np.mean([run[name] for run in again], axis=0))}
        for name, p in known.items()
    }
    return pd.DataFrame(rows).T


def bars(scores: pd.DataFrame, limits: pd.DataFrame) -> list[tuple[str, float, bool]]:
    """Return what was promised, what was found and whether it holds: names end with their bars."""
    mean = scores.groupby(["n", "outcome", "model"])["auc"].mean()
    found = []
    for n, outcome in product(sorted(scores["n"].unique()), LEARNED_OUTCOMES):
        own, bayes = mean.loc[n, outcome], float(limits.loc[outcome, "bayes"])
        below = bayes - float(own.max())
        found.append((f"n {n}, {outcome}: {own.idxmax()} below Bayes AUC {bayes:.3f} <= {BAR}", below, below <= BAR))
    above = float((mean - limits["bayes"].reindex(mean.index.get_level_values("outcome")).to_numpy()).max())
    return [*found, ("any model above the Bayes AUC (a leak) <= 0", above, above <= 0.0)]


def told(scores: pd.DataFrame, limits: pd.DataFrame) -> None:
    """Print mean and standard error of every figure beside what is possible."""
    table = scores.groupby(["n", "outcome", "model"], sort=False)[FIGURES].agg(["mean", "sem"])
    say(f"{'n outcome model':<40}" + "".join(f"{name:>18}" for name in FIGURES) + f"{'before':>9}{'bayes':>8}")
    for key, row in table.iterrows():
        cells = "".join(f"{row[name, 'mean']:10.4f} +-{row[name, 'sem']:6.4f}" for name in FIGURES)
        best: Mapping[str, float] = limits.loc[key[1]]
        say(f"{' '.join(map(str, key)):<40}{cells}{best['before']:9.3f}{best['bayes']:8.3f}")


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Print every figure beside its bar; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few draws and patients: a few minutes")
    quick = parser.parse_args().quick
    sklearn.set_config(assume_finite=True, skip_parameter_validation=True)  # thousands of small fits
    patients, therapies, usual, many = (4000, 5, 2, 1) if quick else (20000, THERAPIES, 10, 3)
    limits = best_possible(world_of(COUPLING, TEST_SEED), patients, therapies)
    fresh = patients_of(world_of(COUPLING, TEST_SEED), patients)
    pool = patients_of(world_of(COUPLING, SEED), max(usual * USUAL, many * MANY))
    scores = pd.concat([learn(pool, fresh, USUAL, usual), learn(pool, fresh, MANY, many)], ignore_index=True)
    told(scores, limits)
    verdicts = bars(scores, limits)
    for name, value, ok in verdicts:
        say(f"{'ok    ' if ok else 'MISSED'} {name}: {value:.4f}")
    say(f"virtual patients of {', '.join(CLINIC.centres)}; research use only")
    return 0 if all(ok for _, _, ok in verdicts) else 1


if __name__ == "__main__":
    raise SystemExit(main())
