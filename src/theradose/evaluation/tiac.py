"""Judge models of TIACs: with the study's radionuclide, translated to others, and what a TIAC alone would have cost."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from theradose.evaluation.bootstrap import draws, quiet, resampled
from theradose.evaluation.metrics import (
    COVERAGE,
    WIDTH,
    Score,
    concordance,
    interval_coverage,
    interval_log_width,
    mean_absolute_percentage_error,
    mean_error,
)
from theradose.evaluation.organ_dose import doses_of, organ_or_voi
from theradose.evaluation.score_table import SELECTION, Scored, compared, cube, in_order, with_mean
from theradose.evaluation.sides import cells, sides
from theradose.experiment_sections import ExperimentSettings
from theradose.learning_schemas import TIAC_PREDICTIONS
from theradose.models.organ_dose import Doses
from theradose.models.store import Trained
from theradose.models.tiac import residuals_of
from theradose.models.tiac_examples import TiacExamples, log_tiac, nuclides_for, subset, t_eff_of
from theradose.physics.nuclides import nuclide
from theradose.tables import METRICS, read_table, write_table
from theradose.truth_schemas import TRUTH_VOI

JUDGED = ("Lu-177", "Y-90", "I-131")
POINT, LOW, HIGH, T_EFF = "predicted_tiac_h", "low_tiac_h", "high_tiac_h", "predicted_t_eff_h"
REFERENCES = {"label": ("label_tiac_h", "label_t_eff_h"), "truth": ("truth_tiac_h", "truth_t_eff_h")}
NAIVE, SAME = "naive_tiac_h", "same_tiac_h"
MBQ_PER_GBQ = 1000.0
Truth = Mapping[tuple[str, str, str], tuple[float, float]]


@dataclass(frozen=True)
class Asked:
    """A score: its unit, function, radionuclide and columns; None stands for the reference's TIAC."""

    unit: str
    score: Score
    radionuclide: str
    columns: tuple[str | None, ...]


def slug(radionuclide: str) -> str:
    """Return a radionuclide as names of metrics have it.

    >>> slug("Y-90")
    'y90'
    """
    return radionuclide.lower().replace("-", "")


def asked_of(study: str) -> dict[str, Asked]:
    """Return the scores by name: without a radionuclide's name those of the study's own.

    `mape_naive_*` is that of the study's TIAC scaled by the physical half-lives, `mape_same_*` that of the study's TIAC
    as it is: both leave out the time the molecule stays.
    """
    percentage = mean_absolute_percentage_error
    found = {
        SELECTION: Asked("%", percentage, study, (POINT, None)),
        "mape_t_eff": Asked("%", percentage, study, (T_EFF, "t_eff")),
        "bias": Asked("h", mean_error, study, (POINT, None)),
        "ccc": Asked("1", concordance, study, (POINT, None)),
        COVERAGE: Asked("%", interval_coverage, study, (LOW, HIGH, None)),
        WIDTH: Asked("1", interval_log_width, study, (LOW, HIGH)),
    }
    for name in nuclides_for(study, JUDGED):
        found[f"{SELECTION}_{slug(name)}"] = Asked("%", percentage, name, (POINT, None))
        if name != study:
            found[f"{SELECTION}_naive_{slug(name)}"] = Asked("%", percentage, name, (NAIVE, None))
            found[f"{SELECTION}_same_{slug(name)}"] = Asked("%", percentage, name, (SAME, None))
            found[f"{COVERAGE}_{slug(name)}"] = Asked("%", interval_coverage, name, (LOW, HIGH, None))
    return found


def true_tiacs(truth: Path, study: str) -> dict[tuple[str, str, str], tuple[float, float]]:
    """Return the planted TIAC and T_eff (h) of patients, organs and radionuclides in their first cycle.

    A VOI has one term with an uptake, f (exp(-lambda t) - exp(-lambda_u t)); lambda_u is what its planted TIAC lacks
    of f / lambda, and both constants move with the radionuclide. VOIs of one organ add up as labels do.
    """
    table = read_table(truth / "truth_voi.parquet", TRUTH_VOI)
    table = table[table["cycle"] == table.groupby("patient")["cycle"].transform("min")]
    table = table[(table["tia_mbq_h"] > 0) & (table["dose_gy_per_gbq"] > 0)]
    given_mbq = table["dose_gy"] / table["dose_gy_per_gbq"] * MBQ_PER_GBQ
    rate = math.log(2.0) / table["t_eff_h"].to_numpy(float)
    fraction = table["uptake_fraction"].to_numpy(float)
    whole = (table["tia_mbq_h"] / given_mbq).to_numpy(float)
    lost = np.maximum(fraction / rate - whole, 0.0)  # f / lambda_u in h; nothing where the uptake takes no time
    uptake_time_h = lost / fraction
    found = {}
    for name in nuclides_for(study, JUDGED):
        shift = nuclide(name).lambda_per_h - nuclide(study).lambda_per_h
        moved = rate + shift
        tiac_h = fraction * (1.0 / moved - uptake_time_h / (1.0 + shift * uptake_time_h))
        rows = table.assign(organ=table["voi"].map(organ_or_voi), tiac_h=tiac_h, rate=tiac_h * moved)
        sums = rows.groupby(["patient", "organ"])[["tiac_h", "rate"]].sum()
        t_eff_h = math.log(2.0) * sums["tiac_h"] / sums["rate"]
        for (patient, organ), tiac, t_eff in zip(sums.index, sums["tiac_h"], t_eff_h, strict=True):
            found[str(patient), str(organ), name] = (float(tiac), float(t_eff))
    return found


def rows_of(
    predictor: str,
    examples: TiacExamples,
    predicted: tuple[Doses, np.ndarray],
    *,
    radionuclide: str,
    folds: Mapping[str, int],
    truth: Truth,
) -> pd.DataFrame:
    """Return rows of the prediction table for one predictor, organ and radionuclide; `predicted` is TIAC and T_eff."""
    tiac, t_eff_h = predicted
    organ = examples.base.organ
    planted = [truth.get((p, organ, radionuclide), (np.nan, np.nan)) for p in examples.patients]
    label_t_eff_h = 1.0 / (1.0 / examples.t_bio_h + 1.0 / nuclide(radionuclide).half_life_h)
    return pd.DataFrame(
        {
            **cells(predictor, examples, folds), "voi": organ,
            "radionuclide": radionuclide, POINT: tiac.point, "median_tiac_h": tiac.median, LOW: tiac.low,
            HIGH: tiac.high, T_EFF: t_eff_h, "label_tiac_h": examples.label_tiac_h[radionuclide],
            "label_t_eff_h": label_t_eff_h, "truth_tiac_h": [one[0] for one in planted],
            "truth_t_eff_h": [one[1] for one in planted],
        }
    )  # fmt: skip


def predict_all(
    settings: ExperimentSettings,
    parts: Mapping[str, TiacExamples],
    models: Mapping[str, Trained],
    *,
    folds: Mapping[str, int],
    truth: Truth,
) -> pd.DataFrame:
    """Return what every model says of every patient: out of fold in training, by the final model elsewhere."""
    tables = []
    for name, model in models.items():
        for organ, examples in parts.items():
            judged = nuclides_for(examples.radionuclide, JUDGED)
            for other, side in product(judged, sides(examples, model, organ, subset)):
                half_life_h, labels = nuclide(other).half_life_h, np.log(side.examples.label_tiac_h[other])
                residuals = model.calibration[organ][residuals_of(other)]
                tiac = doses_of(log_tiac(side.said, half_life_h), side.own(labels), residuals, settings.interval)
                said = (tiac, t_eff_of(side.said, half_life_h))
                tables.append(rows_of(name, side.examples, said, radionuclide=other, folds=folds, truth=truth))
    return pd.concat(tables, ignore_index=True)


def with_naive(predictions: pd.DataFrame, study: str) -> pd.DataFrame:
    """Add to each row what would stand there without a time constant: the study's TIAC, as it is and by half-lives."""
    key = ["predictor", "patient", "voi"]
    own = predictions.loc[predictions["radionuclide"] == study, [*key, POINT]].rename(columns={POINT: SAME})
    table = predictions.merge(own, on=key, how="left", validate="m:1")
    scale = table["radionuclide"].map(lambda name: nuclide(name).half_life_h / nuclide(study).half_life_h)
    return table.assign(**{NAIVE: table[SAME] * scale})


def scored(rows: pd.DataFrame, asked: Asked, reference: str, *, organs: Sequence[str], seed: int) -> Scored:
    """Compute one score of one predictor and partition against `label` or `truth`, resampling its patients."""
    own = rows[rows["radionuclide"] == asked.radionuclide]
    patients = sorted(set(own["patient"]))
    tiac, t_eff = REFERENCES[reference]
    names = [tiac if column is None else t_eff if column == "t_eff" else column for column in asked.columns]
    arrays = tuple(cube(own, name, organs, patients) for name in names)
    usable = np.logical_and.reduce([np.isfinite(values) for values in arrays])
    arrays = tuple(np.where(usable, values, np.nan) for values in arrays)
    samples = resampled(asked.score, arrays, draws(len(patients), seed))
    counts = np.append(usable.sum(axis=1), usable.any(axis=0).sum())
    return Scored(with_mean(quiet(asked.score, *arrays)), with_mean(samples), counts)


def metrics_table(predictions: pd.DataFrame, *, settings: ExperimentSettings, study: str, seed: int) -> pd.DataFrame:
    """Return the scores (schema METRICS) of predictions (schema TIAC_PREDICTIONS), with 95 % limits.

    As `score_table.compared` gives them, by MAPE; `all` is the mean over organs.
    """

    def scores_of(rows: pd.DataFrame, reference: str) -> Iterator[tuple[str, str, Scored]]:
        for name, asked in asked_of(study).items():
            yield name, asked.unit, scored(rows, asked, reference, organs=settings.organs, seed=seed)

    records = compared(
        with_naive(predictions, study),
        scores_of,
        references={reference: tiac for reference, (tiac, _) in REFERENCES.items()},
        vois=settings.organs,
        experiment=settings.name,
        baselines=settings.baselines,
    )
    return in_order(records, settings.all_predictors)


def evaluate(
    *,
    settings: ExperimentSettings,
    parts: Mapping[str, TiacExamples],
    models: Mapping[str, Trained],
    folds: Mapping[str, int],
    truth: Path | None,
    seed: int,
    out: Path,
) -> None:
    """Write predictions.tsv (schema TIAC_PREDICTIONS) and metrics.tsv; `folds` gives the fold of each patient."""
    study = next(iter(parts.values())).radionuclide
    planted = {} if truth is None else true_tiacs(truth, study)
    predictions = predict_all(settings, parts, models, folds=folds, truth=planted)
    scores = metrics_table(predictions, settings=settings, study=study, seed=seed)
    write_table(predictions, out / "predictions.tsv", TIAC_PREDICTIONS)
    write_table(scores[METRICS.names()], out / "metrics.tsv", METRICS)
