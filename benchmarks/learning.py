"""What models learn from 27 to 1000 patients beside the smallest possible error: `python benchmarks/learning.py`.

Training and fresh patients are drawn from tier 1 (no images, the same latents); models are the project's own, shrinkage
and columns chosen inside the training set. tests/evaluation/test_learning_benchmark.py runs the same functions on less.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sklearn
from matplotlib.figure import Figure
from scipy import stats

from theradose.cohort.virtual.asymptotic import quadratic
from theradose.cohort.virtual.bars import CLINIC, COUPLING
from theradose.cohort.virtual.covariates import event
from theradose.cohort.virtual.floors import best_prediction
from theradose.cohort.virtual.limits import World
from theradose.cohort.virtual.observables import measured_egfr_ml_min, observables, seen_suv, seen_texture
from theradose.cohort.virtual.organs import SOFT_TISSUE_G_PER_ML
from theradose.cohort.virtual.tier_one import TierOne
from theradose.evaluation.figures import INK, canvas, series_style, styled
from theradose.evaluation.limit_scores import LEAK_P, holm
from theradose.models.baselines import PetScaled
from theradose.models.conformal import half_width_or_nan, log_spread, lowest_mape
from theradose.models.examples import SUV, VOLUME, WEIGHT, OrganExamples, subset
from theradose.models.folds import Folds, out_of_fold
from theradose.models.linear import HybridDose, RidgeDose
from theradose.models.mlp import MlpDose
from theradose.models.organ_dose import score
from theradose.models.predictors import Predictor, TrainingPlan

SEED, TEST_SEED, MANY_SEED = 20260215, 20260216, 20260217
SMALL, USUAL, CURVE = 27, 165, (27, 54, 100, 165, 300, 600, 1000)
FOLDS, LEVEL, NUISANCE, POOL = 5, 0.9, 8, 20000
FIGURES = ["mape", "to_image", "to_table", "mae_to_image", "coverage", "width"]
PLAN = TrainingPlan(epochs=150, patience=30, batch_size=32)
# What the search inside the training set may choose from.
GRIDS: dict[type[Predictor], dict[str, Sequence[Any]]] = {
    PetScaled: {},
    RidgeDose: {"alpha": (1.0, 10.0, 100.0), "k": (5, 10, 30)},
    HybridDose: {"alpha": (100.0, 300.0, 1e3, 1e5), "k": (3, 10)},
    MlpDose: {},
}
SHOWN = {"pet_scaled": "PET-scaled", "hybrid": "hybrid", "ridge": "ridge", "mlp": "network (MLP)"}


@dataclass(frozen=True)
class Fresh:
    """Patients nobody is trained on: examples of one organ and, each (n,), the best predictions for MAPE and MAE.

    `image`: everything before therapy known; `table`: what the columns can tell, learned from many patients.
    """

    examples: OrganExamples
    image_mape: np.ndarray
    image_mae: np.ndarray
    table_mape: np.ndarray


def covariates(cohort: TierOne, organ: str, seed: int) -> pd.DataFrame:
    """Return what a clinic has on many patients before therapy: own organ under the study's names, others beside it."""
    body, latents = cohort.body, cohort.latents
    columns = {
        SUV: seen_suv(cohort, organ, CLINIC, seed), VOLUME: cohort.mass_g[organ] / SOFT_TISSUE_G_PER_ML,
        WEIGHT: body.weight_kg, "clinical.age_y": body.age_y, "clinical.height_cm": body.height_cm,
        "biological.egfr_ml_min": measured_egfr_ml_min(cohort),
        "pet.texture": seen_texture(cohort, organ, CLINIC, seed),
        **{f"clinical.{name}": event(latents, name) for name in ("hypertension", "diabetes", "smoker")},
        "clinical.centre_second": 1.0 * (np.arange(np.size(body.age_y)) % len(CLINIC.centres) == 1),
    }  # fmt: skip
    for other in set(cohort.mass_g) - {organ}:
        columns[f"pet.suv_mean_{other}"] = seen_suv(cohort, other, CLINIC, seed)
        columns[f"ct.volume_ml_{other}"] = cohort.mass_g[other] / SOFT_TISSUE_G_PER_ML
    noise = np.random.default_rng(seed).standard_normal((np.size(body.age_y), NUISANCE))
    columns |= {f"biological.nuisance_{i}": noise[:, i] for i in range(NUISANCE)}
    return pd.DataFrame({name: np.asarray(columns[name], float) for name in sorted(columns)})


def examples_of(world: World, organ: str, patients: int) -> OrganExamples:
    """Return examples of the patients of a world with their planted dose of the first cycle."""
    cohort = world.cohort(patients)
    dose = np.asarray(cohort.dose_gy_per_gbq[organ][0])
    names = [f"t{i:06d}" for i in range(patients)]
    return OrganExamples(organ, names, ["train"] * patients, covariates(cohort, organ, world.seed), dose)


def rows_of(examples: OrganExamples, first: int, n: int) -> OrganExamples:
    """Return n examples from place `first` on."""
    at = slice(first, first + n)
    table = examples.covariates.iloc[at].reset_index(drop=True)
    return OrganExamples(examples.organ, examples.patients[at], examples.partitions[at], table, examples.dose[at])


def world_of(coupling: float, seed: int) -> World:
    """Return a world of PSMA patients, xue_like."""
    return World("psma", "Lu-177", coupling, CLINIC, seed)


def told_by_columns(coupling: float, organs: Sequence[str], fresh: World, patients: int, many: int) -> np.ndarray:
    """Return for fresh patients (n, organs) the prediction of a quadratic model trained on `many` other patients."""
    own, past = fresh.cohort(patients), world_of(coupling, MANY_SEED).again(many, None)
    target = np.log(np.column_stack([np.asarray(past.dose_gy_per_gbq[organ][0]) for organ in organs]))
    x, cut = observables(past, CLINIC, "log", MANY_SEED), 3 * many // 4
    model = quadratic().fit(x[:cut], target[:cut])
    guess, new = (model.predict(z).reshape(-1, len(organs)) for z in (x, observables(own, CLINIC, "log", fresh.seed)))
    return np.asarray(np.exp(new) * best_prediction(np.exp(target - guess)[cut:]))


def fresh_patients(
    coupling: float, organs: Sequence[str], patients: int, therapies: int, many: int
) -> dict[str, Fresh]:
    """Return fresh patients by organ, with what can be known of them before therapy at best."""
    world, found = world_of(coupling, TEST_SEED), {}
    runs = [world.again(patients, number).dose_gy_per_gbq for number in range(therapies)]
    told = told_by_columns(coupling, organs, world, patients, many)
    for organ, table in zip(organs, told.T, strict=True):
        possible = np.array([run[organ][0] for run in runs])
        best = best_prediction(possible), np.median(possible, axis=0)
        found[organ] = Fresh(examples_of(world, organ, patients), *best, table)
    return found


def inner_folds(examples: OrganExamples) -> Folds:
    """Return the folds of the training set; its patients are in random order."""
    names, place = np.array(examples.patients), np.arange(len(examples)) % FOLDS
    return [(list(names[place != k]), list(names[place == k])) for k in range(FOLDS)]


def chosen(predictor: type[Predictor], examples: OrganExamples, seed: int) -> tuple[Predictor, np.ndarray]:
    """Return the predictor with the lowest out-of-fold error, fitted to all examples, and its log residuals (n,)."""
    grid, best, found = GRIDS[predictor], np.inf, ({}, np.zeros(0))
    for values in product(*grid.values()):
        own = dict(zip(grid, values, strict=True))
        folds = inner_folds(examples)
        guess = out_of_fold(predictor, own, examples, folds=folds, subset=subset, seed=seed, training=PLAN)
        if (error := score(examples, guess)) < best:
            best, found = error, (own, examples.log_dose - guess)
    model = predictor(**found[0])
    model.fit(examples, seed=seed, training=PLAN)
    return model, found[1]


def judged(fresh: Fresh, log_dose: np.ndarray, residuals: np.ndarray) -> dict[str, float]:
    """Return errors of predictions for fresh patients beside the limit, and coverage and width of the 90 % interval."""
    dose, median = fresh.examples.dose, np.exp(log_dose)
    own = np.abs(lowest_mape(median, log_spread(residuals)) / dose - 1.0)
    image, table = (np.abs(best / dose - 1.0) for best in (fresh.image_mape, fresh.table_mape))
    better, width = image - own, half_width_or_nan(residuals, LEVEL)
    error = better.std(ddof=1) / np.sqrt(better.size)
    return {
        "mape": 100 * own.mean(), "to_image": own.mean() / image.mean(), "to_table": own.mean() / table.mean(),
        "mae_to_image": np.abs(median - dose).mean() / np.abs(fresh.image_mae - dose).mean(),
        "p_better": float(stats.t.sf(better.mean() / error, better.size - 1)),
        "coverage": float(np.mean(np.abs(np.log(dose) - log_dose) <= width)), "width": 2.0 * width,
    }  # fmt: skip


def learn(
    coupling: float, fresh: Mapping[str, Fresh], models: Sequence[type[Predictor]], sizes: Sequence[int], draws: int
) -> pd.DataFrame:
    """Return the scores of every organ, size, draw and model; smaller training sets are the first of larger ones."""
    world, found = world_of(coupling, SEED), []
    for organ, patients in fresh.items():
        pool = examples_of(world, organ, POOL)
        for draw, n, predictor in product(range(draws), sizes, models):
            model, residuals = chosen(predictor, rows_of(pool, draw * max(CURVE), n), draw)
            key = {"coupling": coupling, "organ": organ, "n": n, "draw": draw, "model": predictor.name}
            found.append(key | judged(patients, model.predict(patients.examples), residuals))
    return pd.DataFrame(found)


def leaks(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the scores that are better than what can be known before therapy allows."""
    return scores[holm(scores["p_better"].to_numpy(float)) < LEAK_P]


def summary(scores: pd.DataFrame) -> pd.DataFrame:
    """Return mean and standard error over draws, columns (figure, mean or sem)."""
    return scores.groupby(["coupling", "organ", "n", "model"])[FIGURES].agg(["mean", "sem"])


def bars(scores: pd.DataFrame) -> list[tuple[str, float, bool]]:
    """Return what was promised, what was found and whether it holds: names end with their bars."""
    mean, found = scores.groupby(["coupling", "organ", "n", "model"])[FIGURES].mean(), []
    for coupling, (n, bar) in product(sorted(scores["coupling"].unique()), ((USUAL, 1.10), (SMALL, 1.16))):
        best = float(mean.loc[coupling, "kidneys", n]["to_image"].min())
        found.append((f"coupling {coupling:g}, kidneys, n {n}: best model / limit <= {bar:.2f}", best, best <= bar))
    for coupling, organ in sorted(set(zip(scores["coupling"], scores["organ"], strict=True))):
        mape = mean.loc[coupling, organ, SMALL]["mape"]
        ratio = float(mape["hybrid"] / mape["pet_scaled"])
        found.append((f"coupling {coupling:g}, {organ}, n {SMALL}: hybrid / PET-scaled <= 1.10", ratio, ratio <= 1.10))
    for row in mean[mean.index.get_level_values("model").isin(("pet_scaled", "hybrid"))].reset_index().itertuples():
        if row.n == USUAL or (row.n == SMALL and row.organ == "kidneys"):
            low, high = (0.87, 0.97) if row.n == USUAL else (0.85, 1.0)
            name = f"coupling {row.coupling:g}, {row.organ}, n {row.n}, {row.model}: coverage of 90 % intervals"
            found.append((f"{name} in {low:g} to {high:g}", row.coverage, low <= row.coverage <= high))
    infinite = float(scores["width"].isna().sum())
    return [
        *found,
        ("infinite intervals <= 0", infinite, infinite == 0),
        ("leaks <= 0", len(leaks(scores)), leaks(scores).empty),
    ]


def catches_up(scores: pd.DataFrame, model: str, other: str) -> float:
    """Return from how many patients on a model is at least as good as another, infinity when not within those tried."""
    mape = scores.pivot_table(index="n", columns="model", values="mape")
    good = (mape[model] <= mape[other]).iloc[::-1].cummin().iloc[::-1]
    return float(good.index[good.argmax()]) if good.any() else np.inf


@styled
def picture(scores: pd.DataFrame, limit_mape: float) -> Figure:
    """Return the learning curves of one organ: mean and standard error over draws, the limit as a line."""
    figure, style = canvas(7.0, 4.0), series_style(SHOWN)
    axes, table = figure.subplots(), scores.groupby(["model", "n"])["mape"].agg(["mean", "sem"])
    for name, words in SHOWN.items():
        own, (colour, marker) = table.loc[name], style[name]
        axes.errorbar(own.index, own["mean"], own["sem"], color=colour, marker=marker, capsize=2, label=words)
    axes.axhline(limit_mape, color=INK, linestyle="--", linewidth=1)
    axes.annotate("nobody can be better", (CURVE[0], limit_mape), (0, 4), textcoords="offset points")
    axes.set(xscale="log", xlabel="patients learned from", ylabel="MAPE on fresh patients, %")
    sizes = sorted(scores["n"].unique())
    axes.set_xticks(sizes, [str(n) for n in sizes])
    axes.minorticks_off()
    axes.legend()
    return figure


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def told(scores: pd.DataFrame) -> None:
    """Print mean and standard error of every figure."""
    say(f"{'coupling organ n model':<44}" + "".join(f"{name:>17}" for name in FIGURES))
    for key, row in summary(scores).iterrows():
        cells = "".join(f"{row[name, 'mean']:9.3f} +-{row[name, 'sem']:6.3f}" for name in FIGURES)
        say(f"{' '.join(map(str, key)):<44}{cells}")


def main() -> int:
    """Print every figure beside its bar, draw the curves; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few draws and patients: a minute instead of half an hour")
    parser.add_argument("--picture", type=Path, default=Path("learning_curves.png"), help="where the curves are drawn")
    chosen_flags = parser.parse_args()
    quick = chosen_flags.quick
    sklearn.set_config(assume_finite=True, skip_parameter_validation=True)  # thousands of small fits
    patients, therapies, many, draws = (1000, 40, 8000, 3) if quick else (5000, 100, 40000, 20)
    every, few = tuple(GRIDS), (PetScaled, RidgeDose, HybridDose)
    found = []
    for coupling in (COUPLING, 0.0):
        organs = world_of(coupling, SEED).organs() if coupling else ("kidneys",)
        fresh = fresh_patients(coupling, organs, patients, therapies, many)
        kidneys = {"kidneys": fresh.pop("kidneys")}
        found.append(learn(coupling, kidneys, every if coupling else few, (SMALL, USUAL), draws))
        found.append(learn(coupling, fresh, (PetScaled, HybridDose), (SMALL,), draws))
        if coupling:
            between = (300,) if quick else tuple(n for n in CURVE if n not in (SMALL, USUAL))
            found.append(learn(coupling, kidneys, every, between, 2 if quick else 8))
            curves, one = pd.concat([found[0], found[2]]), kidneys["kidneys"]
            limit = 100 * float(np.abs(one.image_mape / one.examples.dose - 1).mean())
            picture(curves, limit).savefig(chosen_flags.picture, dpi=150)
    scores = pd.concat(found, ignore_index=True)
    told(scores)
    say(f"\nlimit, kidneys, coupling {COUPLING:g}: {limit:.2f} %; curves: {chosen_flags.picture}")
    for model, other in (("mlp", "ridge"), ("mlp", "pet_scaled"), ("ridge", "pet_scaled"), ("ridge", "hybrid")):
        say(f"{SHOWN[model]} is as good as {SHOWN[other]} from n = {catches_up(curves, model, other):g} on")
    for name, value, ok in bars(scores):
        say(f"{name:<82}{value:8.3f}  {'ok' if ok else 'MISSED'}")
    return 0 if quick or all(ok for _, _, ok in bars(scores)) else 1


if __name__ == "__main__":
    sys.exit(main())
