"""What 130 covariates of the latency are worth beside five quantities and the limit: `python benchmarks/latency.py`.

165 virtual patients (tier 1, no images, four cycles) to learn from, 1000 others to judge on. Columns: predicted doses
(out of fold for those learned from) and BEDs, age, vessels, sugar, measured eGFR, what images show of every organ, and
noise up to 130. Hyperparameters are searched inside the training set as the project does. The limit is the planted
median with the planted spread, which no model can know; its RMSE on uncensored patients is not the least possible one,
since these are the early ones: the line `least RMSE` is. Research use only.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import sklearn
from learning import FOLDS, say
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from theradose.cohort.virtual.bars import COUPLING
from theradose.cohort.virtual.covariates import EGFR_ERROR
from theradose.cohort.virtual.exposures import exposure_of_many
from theradose.cohort.virtual.observables import Clinic, observables
from theradose.cohort.virtual.outcome_scores import bayes_c_index, literal_latency_floor
from theradose.cohort.virtual.outcomes import LATENCY_LOG_SD, latency_of, log_latency
from theradose.cohort.virtual.tier_one import TierOne, tier_one
from theradose.evaluation.latency import DECIDES, predict_all, scores
from theradose.evaluation.survival import censoring
from theradose.features.manifest import ORGAN
from theradose.models import latency
from theradose.models.dose_columns import MBQ_PER_GBQ, dose_columns
from theradose.models.fitting import fit_parts, objective
from theradose.models.folds import Folds
from theradose.models.latency_examples import LEAST_MONTHS, LatencyExamples
from theradose.models.latency_predictors import LATENCY_PREDICTORS, ConstantLatency, MechanisticLatency
from theradose.models.predictors import Predictor, TrainingPlan
from theradose.models.store import Trained
from theradose.models.tuning import best, search

SEED, N, FRESH, COLUMNS, CYCLES = 1000, 165, 1000, 130, 4
CLINIC = Clinic(("north", "south", "west"), 8.0, "xue_like")
ORGANS = ("kidneys", "liver", "spleen", "marrow", "lesions")
ALPHAS = np.logspace(-1, 3, 9)  # what the model of the doses may choose from
MONTHS_DIGITS = 1  # they are recorded to a tenth
PLAN = TrainingPlan(epochs=200, patience=30, batch_size=32)
TRAIN, TEST, LIMIT, RMSE, CONCORDANCE = "train", "test", "limit", "rmse_log", "c_index"
FIGURES = {RMSE: "RMSE, ln months", CONCORDANCE: "C-index", DECIDES: "Brier, integrated"}


@dataclass(frozen=True)
class Draw:
    """Examples of those learned from and of fresh ones (n,), the fold of each, -1 when fresh, planted log medians."""

    examples: LatencyExamples
    fold: np.ndarray
    log_median: np.ndarray


def predicted_doses(cohort: TierOne, x: np.ndarray, fold: np.ndarray, names: list[str]) -> pd.DataFrame:
    """Return the dose per activity of every organ by ridge on x (n, k), as rows of schema PREDICTIONS."""
    model, own, rows = make_pipeline(StandardScaler(), RidgeCV(ALPHAS)), fold >= 0, []
    places = [(np.flatnonzero(fold[own] != k), np.flatnonzero(fold[own] == k)) for k in range(FOLDS)]
    for organ in ORGANS:
        y = np.log(np.asarray(cohort.dose_gy_per_gbq[organ][0]))[own]
        inside = cross_val_predict(model, x[own], y, cv=places)
        dose = np.exp(np.append(inside, model.fit(x[own], y).predict(x[~own])))
        key = {"predictor": "ridge", "patient": names, "voi": organ, "partition": np.where(own, TRAIN, TEST)}
        rows.append(pd.DataFrame({**key, "fold": fold, "predicted_gy_per_gbq": dose}))
    return pd.concat(rows)


def draw_of(seed: int, n: int, fresh: int) -> Draw:
    """Return n patients to learn from and `fresh` others; those of two seeds are others."""
    total, rng = n + fresh, np.random.default_rng(seed)
    names, fold = [f"p{i:05d}" for i in range(total)], np.append(np.arange(n) % FOLDS, np.full(fresh, -1))
    cohort = tier_one(
        SEED + seed, total, ligand="dotatate", radionuclide="Lu-177", texture_coupling=COUPLING,
        difficulty=CLINIC.difficulty, cycles=CYCLES,
    )  # fmt: skip
    exposure, x = exposure_of_many(cohort), observables(cohort, CLINIC, "log", seed)
    happened = latency_of(exposure, rng.standard_normal(total), rng.standard_normal(total))
    gbq = np.asarray(cohort.administered_mbq[0]) / MBQ_PER_GBQ
    courses = pd.DataFrame({"patient": names, "administered_gbq": gbq, "cycles": float(CYCLES)})
    doses = dose_columns(predicted_doses(cohort, x, fold, names), predictor="ridge", courses=courses)
    egfr = np.asarray(cohort.body.egfr_ml_min) * (1.0 + EGFR_ERROR * rng.standard_normal(total))
    clinic = {
        "clinical.age_y": np.asarray(cohort.body.age_y).round(), "clinical.hypertension": exposure.hypertension,
        "clinical.diabetes": exposure.diabetes, "biological.egfr_ml_min": egfr,
    }  # fmt: skip
    seen = doses.drop(columns="patient").assign(**clinic, **{f"image.{j}": own for j, own in enumerate(x.T)})
    noise = pd.DataFrame(rng.standard_normal((COLUMNS - seen.shape[1], total)).T).add_prefix("noise.")
    months = np.maximum(np.round(happened.time_months, MONTHS_DIGITS), LEAST_MONTHS)
    table, partitions = pd.concat([seen, noise], axis=1).astype(float), list(np.where(fold < 0, TEST, TRAIN))
    examples = LatencyExamples(names, partitions, table, np.log(months), np.asarray(happened.observed) > 0)
    return Draw(examples, fold, np.asarray(log_latency(exposure)))


def inner_folds(draw: Draw) -> Folds:
    """Return the folds of those learned from."""
    names, fold = np.array(draw.examples.patients)[draw.fold >= 0], draw.fold[draw.fold >= 0]
    return [(list(names[fold != k]), list(names[fold == k])) for k in range(FOLDS)]


def trained(predictor: type[Predictor], draw: Draw, trials: int, seed: int) -> Trained:
    """Return the model with the hyperparameters of the best of `trials` trials, calibrated out of fold."""
    own, folds = draw.examples.pick(draw.fold >= 0), inner_folds(draw)
    shared = {"folds": folds, "subset": latency.subset, "seed": seed, "training": PLAN}

    judge = objective(predictor, own, score=latency.score, **shared)
    rows = search(
        predictor.space, judge, trials=trials, seed=seed, journal=None, name=predictor.name, start=predictor.defaults
    )
    found = fit_parts(
        predictor, {ORGAN: own}, {ORGAN: best(rows).parameters}, score=latency.score, calibrate=latency.calibrate,
        card=latency.card, **shared,
    )  # fmt: skip
    return Trained(found.predictors, found.calibration, {}, found.out_of_fold)


def limit_rows(draw: Draw) -> pd.DataFrame:
    """Return what one who knows planted medians and spread predicts (schema LATENCY_PREDICTIONS without folds)."""
    months = np.exp(draw.log_median)
    return pd.DataFrame(
        {
            "predictor": LIMIT, "patient": draw.examples.patients, "partition": draw.examples.partitions,
            "predicted_months": months, "log_sd": LATENCY_LOG_SD, "latency_months": np.exp(draw.examples.log_months),
            "latency_observed": draw.examples.observed.astype(int), "truth_months": months,
        }
    )  # fmt: skip


def judged(draw: Draw, models: Mapping[str, Trained], seed: int) -> pd.DataFrame:
    """Return the scores on fresh patients of every model and of the limit: predictor and one column a figure."""
    names, own = draw.examples.patients, draw.fold >= 0
    folds, truth = (dict(zip(names, values.tolist(), strict=True)) for values in (draw.fold, np.exp(draw.log_median)))
    rows = pd.concat([predict_all(draw.examples, models, folds=folds, truth=truth), limit_rows(draw)])
    left = censoring(np.exp(draw.examples.log_months[own]), draw.examples.observed[own])
    found = []
    for name, fresh in rows[rows["partition"] == TEST].groupby("predictor", sort=False):
        values = {metric: one.value[0] for metric, _, one in scores(fresh, "label", left, seed)}
        found.append({"predictor": name, **{metric: values[metric] for metric in FIGURES}})
    return pd.DataFrame(found)


def possible(draw: Draw) -> dict[str, float]:
    """Return the least RMSE on uncensored fresh patients, and the C-index expected of the planted medians."""
    mu, fresh = draw.log_median[draw.fold < 0], draw.examples.pick(draw.fold < 0)
    least = literal_latency_floor(mu, np.exp(fresh.log_months), fresh.observed)
    return {"least_rmse": least, "bayes_c": bayes_c_index(mu)}


def learn(draws: int, trials: int, n: int, fresh: int) -> pd.DataFrame:
    """Return the scores of every draw (from 1) and predictor."""
    found = []
    for seed in range(1, draws + 1):
        draw, models = draw_of(seed, n, fresh), {}
        for name, predictor in LATENCY_PREDICTORS.items():
            models[name] = trained(predictor, draw, trials, seed)
            say(f"draw {seed}: {name} {models[name].predictors[ORGAN].parameters}")
        found.append(judged(draw, models, seed).assign(draw=seed, **possible(draw)))
    return pd.concat(found, ignore_index=True)


def verdicts(table: pd.DataFrame) -> list[tuple[str, float, bool]]:
    """Return what is claimed, what was found (means over draws) and whether it holds: names end with their bars."""
    mean = table.groupby("predictor")[[RMSE, CONCORDANCE, DECIDES]].mean()
    models, few, limit = mean.drop(index=LIMIT), MechanisticLatency.name, mean.loc[LIMIT]
    others = models.drop(index=few)[DECIDES]
    lower = float(mean.loc[few, DECIDES] - others.min())
    gain = float(mean.loc[few, DECIDES] - mean.loc[ConstantLatency.name, DECIDES])
    above = float(limit[DECIDES] - models[DECIDES].min())
    order = float(models[CONCORDANCE].max() - limit[CONCORDANCE])
    rmse = float(table["least_rmse"].mean() - models[RMSE].min())
    return [
        ("five quantities beside a constant, Brier < 0", gain, gain < 0),
        (f"five quantities beside the best of the others ({others.idxmin()}), Brier < 0", lower, lower < 0),
        ("a leak: best Brier below the limit's by <= 0", above, above <= 0),
        ("a leak: best C-index above the limit's by <= 0", order, order <= 0),
        ("a leak: best RMSE below the least possible by <= 0", rmse, rmse <= 0),
    ]


def told(table: pd.DataFrame) -> None:
    """Print mean and standard error over draws of every figure; one draw has no standard error."""
    say(f"{'':<24}" + "".join(f"{words:>22}" for words in FIGURES.values()))
    for name, row in table.groupby("predictor", sort=False)[list(FIGURES)].agg(["mean", "sem"]).iterrows():
        errors = [f" +-{row[m, 'sem']:6.3f}" if row[m, "sem"] > 0 else " " * 9 for m in FIGURES]
        say(f"{name:<24}" + "".join(f"{row[m, 'mean']:13.3f}{e}" for m, e in zip(FIGURES, errors, strict=True)))
    one = table.drop_duplicates("draw")[["least_rmse", "bayes_c"]].mean()
    say(f"{'least RMSE, Bayes C':<24}{one['least_rmse']:13.3f}{one['bayes_c']:22.3f}")


def main() -> int:
    """Print the table and what it says; 1 when a claim fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=2, help="sets of patients learned from")
    parser.add_argument("--trials", type=int, default=10, help="trials of the search of every model")
    parser.add_argument("--quick", action="store_true", help="one draw, two trials: half a minute")
    asked = parser.parse_args()
    sklearn.set_config(assume_finite=True, skip_parameter_validation=True)  # many small fits
    draws, trials = (1, 2) if asked.quick else (asked.draws, asked.trials)
    table = learn(draws, trials, N, FRESH)
    told(table)
    for name, value, ok in (found := verdicts(table)):
        say(f"{'ok    ' if ok else 'MISSED'} {name}: {value:.4f}")
    say(f"virtual patients: {draws} draws of {N}, {trials} trials, {FRESH} fresh; research use only")
    return 0 if asked.quick or all(ok for _, _, ok in found) else 1


if __name__ == "__main__":
    raise SystemExit(main())
