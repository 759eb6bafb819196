"""The kind of experiment that predicts mean organ doses, one predictor an organ: its examples and its natural scale."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from theradose.errors import SettingsError, Where
from theradose.experiment_sections import ExperimentSettings
from theradose.features.selection import unstable_columns
from theradose.models.beside import of_parts, others, with_others
from theradose.models.conformal import half_width_or_nan, log_spread, lowest_mape
from theradose.models.domain import FEWEST, Domain, held_together
from theradose.models.examples import SUV, VOLUME, WEIGHT, OrganExamples, load_organs, subset
from theradose.models.fitting import Fitted
from theradose.tables import STABILITY, read_table

__all__ = ["Doses", "calibrate", "card", "finish", "load", "natural", "outside", "score", "subset"]

KEY_INPUTS = {SUV: "g/mL", VOLUME: "mL", WEIGHT: "kg"}
# How far beyond the training range a key input may lie, as a part of the range on the log scale.
RANGE_MARGIN = 0.1
RESIDUALS = "log_residuals"


def load(
    *,
    splits: Path,
    covariates: Path | None,
    covariate_manifest: Path | None,
    labels: Path | None,
    settings: ExperimentSettings,
    stability: Path | None = None,
    tiac: Path | None = None,
    **unused: object,
) -> dict[str, OrganExamples]:
    """Read the examples of each organ of an experiment; SettingsError when a table is not given."""
    del unused
    if covariates is None or covariate_manifest is None or labels is None or (settings.cycle > 1 and tiac is None):
        raise SettingsError(
            "an organ_dose experiment needs covariates, their manifest and labels, of a later cycle fitted curves too",
            where=Where(field=settings.name),
            got={"covariates": covariates, "covariate_manifest": covariate_manifest, "labels": labels, "tiac": tiac},
        )
    bound = None if settings.selection is None else settings.selection.stability
    if bound is not None and stability is None:
        raise SettingsError(
            "selection.stability needs a study of stability",
            where=Where(field=settings.name),
            remedy="set radiomics.stability.patients of the study above 0, or leave selection.stability out",
        )
    without = () if bound is None or stability is None else unstable_columns(read_table(stability, STABILITY), bound)
    return load_organs(
        splits=splits,
        covariates=covariates,
        covariate_manifest=covariate_manifest,
        labels=labels,
        organs=settings.organs,
        patterns=settings.features,
        without=without,
        cycle=settings.cycle,
        tiac=tiac,
    )


def score(examples: OrganExamples, prediction: np.ndarray) -> float:
    """Return the mean absolute error of the log dose: about the median relative error, outliers not squared."""
    return float(np.mean(np.abs(examples.log_dose - prediction)))


def calibrate(examples: OrganExamples, prediction: np.ndarray) -> dict[str, np.ndarray]:
    """Return the out-of-fold log residuals in ascending order, without names: all that intervals need."""
    return {RESIDUALS: np.sort(examples.log_dose - prediction)}


def card(examples: OrganExamples) -> dict[str, Any]:
    """Return what the model of an organ was trained on: how many patients, and the range of each key input."""
    values = {name: examples.column(name) for name in KEY_INPUTS if name in examples.covariates}
    ranges = {n: [float(np.nanmin(v)), float(np.nanmax(v))] for n, v in values.items() if np.isfinite(v).any()}
    doses = [float(examples.dose.min()), float(examples.dose.max())]
    return {"patients": len(examples), "ranges": ranges, "dose_gy_per_gbq": doses, "left_out": len(examples.left_out)}


def finish(parts: Mapping[str, OrganExamples], found: Fitted) -> None:
    """Add to each organ's model what its training patients look like, for the doubt about others.

    The columns are those of the predictor, its key inputs and what `models.beside` adds; with fewer than ten patients
    nothing is added, and the ranges of the card stand alone.
    """
    table = of_parts(parts)
    known = [organ for organ in found.predictors if len(parts[organ]) >= FEWEST]
    if not known:
        return
    whole = {organ: with_others(parts[organ], table, others(table, organ)) for organ in known}
    domains = {
        organ: Domain.fit(whole[organ], found.predictors[organ].state().get("columns", []), others(table, organ))
        for organ in known
    }
    for organ, domain in held_together(domains, whole).items():
        found.calibration[organ] |= domain.tensors()
        found.cards[organ]["domain"] = domain.notes()


def outside(values: Mapping[str, float], ranges: Mapping[str, list[float]]) -> list[str]:
    """Return one sentence for each key input that lies outside the training range, or is missing."""
    reasons = []
    for name, (low, high) in ranges.items():
        margin = (high / low) ** RANGE_MARGIN
        unit, value = KEY_INPUTS[name], values.get(name, np.nan)
        if not low / margin <= value <= high * margin:
            reasons.append(f"{name} {value:.3g} {unit} lies outside the training range {low:.3g} to {high:.3g} {unit}")
    return reasons


@dataclass(frozen=True)
class Doses:
    """Predictions in Gy/GBq, each (n,): the point that lowers MAPE, the median, the interval (NaN when infinite)."""

    point: np.ndarray
    median: np.ndarray
    low: np.ndarray
    high: np.ndarray


def natural(log_dose: np.ndarray, residuals: np.ndarray, level: float) -> Doses:
    """Turn predicted log doses (n,) and out-of-fold residuals (m,) into doses with an interval of coverage `level`."""
    median, width = np.exp(log_dose), half_width_or_nan(residuals, level)
    point = lowest_mape(median, log_spread(residuals))
    return Doses(point, median, median * np.exp(-width), median * np.exp(width))
