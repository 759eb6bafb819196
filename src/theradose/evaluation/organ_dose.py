"""Judge organ-dose models on patients they have not seen: the test partition, and training patients out of fold."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from theradose.evaluation.risk_coverage import DOMAIN_SCORE
from theradose.evaluation.score_table import score_table
from theradose.evaluation.sides import TRAIN, cells, sides
from theradose.evaluation.uptake_scaling import uptake_scaling
from theradose.experiment_sections import ExperimentSettings
from theradose.learning_schemas import UPTAKE_SCALING
from theradose.models.beside import of_parts, others, with_others
from theradose.models.domain import Domain
from theradose.models.examples import OrganExamples, subset
from theradose.models.organ_dose import RESIDUALS, Doses, natural
from theradose.models.store import Trained
from theradose.tables import METRICS, PREDICTIONS, read_table, write_table
from theradose.truth_schemas import TRUTH_VOI
from theradose.vocabulary import organ_of


def true_doses(truth: Path, cycle: int = 1) -> dict[tuple[str, str], float]:
    """Return the planted dose (Gy/GBq) of patients and organs in their first cycle, or in a later one.

    VOIs of one organ are averaged by mass: the dose of both kidneys together is their energy over their mass.
    """
    table = read_table(truth / "truth_voi.parquet", TRUTH_VOI)
    first = table.groupby("patient")["cycle"].transform("min")
    table = table[table["cycle"] == (first if cycle == 1 else cycle)]
    table = table.assign(organ=table["voi"].map(organ_or_voi), energy=table["dose_gy_per_gbq"] * table["mass_g"])
    sums = table.groupby(["patient", "organ"])[["energy", "mass_g"]].sum()
    means = sums["energy"] / sums["mass_g"]
    return dict(zip(means.index, means.to_numpy(float).tolist(), strict=True))


def organ_or_voi(voi: str) -> str:
    """Return the organ of a VOI; a name that is an organ's already stays."""
    try:
        return organ_of(voi)
    except KeyError:
        return voi


def out_of_fold_doses(log_dose: np.ndarray, observed: np.ndarray, level: float) -> Doses:
    """Return doses with intervals for training patients, each from the residuals of all others (jackknife)."""
    residuals = observed - log_dose
    one_by_one = [natural(log_dose[[i]], np.delete(residuals, i), level) for i in range(len(log_dose))]
    parts = {
        name: np.concatenate([getattr(d, name) for d in one_by_one]) for name in ("point", "median", "low", "high")
    }
    return Doses(**parts)


def doses_of(log_dose: np.ndarray, observed: np.ndarray | None, residuals: np.ndarray, level: float) -> Doses:
    """Return doses with intervals from `residuals` of training patients, or from their own where `observed`."""
    return natural(log_dose, residuals, level) if observed is None else out_of_fold_doses(log_dose, observed, level)


def rows_of(
    predictor: str,
    examples: OrganExamples,
    doses: Doses,
    *,
    folds: Mapping[str, int],
    truth: Mapping[tuple[str, str], float],
) -> pd.DataFrame:
    """Return the rows of the prediction table for one predictor, organ and partition."""
    return pd.DataFrame(
        {
            **cells(predictor, examples, folds),
            "voi": examples.organ,
            "predicted_gy_per_gbq": doses.point,
            "median_gy_per_gbq": doses.median,
            "low_gy_per_gbq": doses.low,
            "high_gy_per_gbq": doses.high,
            "label_gy_per_gbq": examples.dose,
            "truth_gy_per_gbq": [truth.get((p, examples.organ), np.nan) for p in examples.patients],
        }
    )


def domain_scores(parts: Mapping[str, OrganExamples], models: Mapping[str, Trained]) -> dict[tuple[str, ...], float]:
    """Return how unlike those learned from each patient is (models.domain), by predictor, patient and organ.

    Training patients beside those of other folds, others beside all of training; nobody where a model has no domain.
    """
    table, found = of_parts(parts), dict[tuple[str, ...], float]()
    for name, model in models.items():
        for organ, part in parts.items():
            notes = model.card.get("parts", {}).get(organ, {}).get("domain")
            if notes is None:
                continue
            domain = Domain.restore(notes, model.calibration[organ])
            examples = with_others(part, table, others(table, organ))
            training = [p for p, where in zip(part.patients, part.partitions, strict=True) if where == TRAIN]
            own, scores = domain.score_out_of_fold(subset(examples, training)), domain.score(examples)
            scored = dict(zip(part.patients, scores, strict=True)) | dict(zip(training, own, strict=True))
            found |= {(name, patient, organ): float(score) for patient, score in scored.items()}
    return found


def predict_all(
    settings: ExperimentSettings,
    parts: Mapping[str, OrganExamples],
    models: Mapping[str, Trained],
    *,
    folds: Mapping[str, int],
    truth: Mapping[tuple[str, str], float],
) -> pd.DataFrame:
    """Return what every model predicts for every patient: out of fold in training, by the final model elsewhere."""
    tables = []
    for name, model in models.items():
        for organ, examples in parts.items():
            residuals = model.calibration[organ][RESIDUALS]
            for side in sides(examples, model, organ, subset):
                doses = doses_of(side.said, side.own(side.examples.log_dose), residuals, settings.interval)
                tables.append(rows_of(name, side.examples, doses, folds=folds, truth=truth))
    return pd.concat(tables, ignore_index=True)


def evaluate(
    *,
    settings: ExperimentSettings,
    parts: Mapping[str, OrganExamples],
    models: Mapping[str, Trained],
    folds: Mapping[str, int],
    truth: Path | None,
    seed: int,
    out: Path,
) -> None:
    """Write predictions.tsv, metrics.tsv and uptake_scaling.tsv; `folds` gives the fold of each patient."""
    planted = {} if truth is None else true_doses(truth, settings.cycle)
    predictions = predict_all(settings, parts, models, folds=folds, truth=planted)
    unlike = domain_scores(parts, models)
    keys = zip(predictions["predictor"], predictions["patient"], predictions["voi"], strict=True)
    predictions[DOMAIN_SCORE] = [unlike.get(key, np.nan) for key in keys]
    scores = score_table(
        predictions,
        experiment=settings.name,
        organs=settings.organs,
        baselines=settings.baselines,
        predictors=list(models),
        seed=seed,
    )
    write_table(predictions, out / "predictions.tsv", PREDICTIONS)
    write_table(scores, out / "metrics.tsv", METRICS)
    write_table(uptake_scaling(parts, models), out / "uptake_scaling.tsv", UPTAKE_SCALING)
