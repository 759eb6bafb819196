"""The kind of experiment that predicts TIACs of organs with every radionuclide, one predictor an organ."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from theradose.errors import SettingsError, Where
from theradose.experiment_sections import ExperimentSettings
from theradose.models import organ_dose
from theradose.models.fitting import Fitted
from theradose.models.tiac_examples import TiacExamples, load_tiacs, log_tiac, nuclides_for, subset, t_eff_of
from theradose.physics.nuclides import nuclide

__all__ = ["calibrate", "card", "finish", "load", "residuals_of", "score", "subset"]


def load(
    *,
    splits: Path,
    covariates: Path | None,
    covariate_manifest: Path | None,
    settings: ExperimentSettings,
    tiac: Path | None = None,
    **unused: object,
) -> dict[str, TiacExamples]:
    """Read the examples of each organ of an experiment; SettingsError when a table is not given."""
    del unused
    if covariates is None or covariate_manifest is None or tiac is None:
        raise SettingsError(
            "a tiac experiment needs covariates, their manifest and fitted curves",
            where=Where(field=settings.name),
            got={"covariates": covariates, "covariate_manifest": covariate_manifest, "tiac": tiac},
        )
    return load_tiacs(
        splits=splits,
        covariates=covariates,
        covariate_manifest=covariate_manifest,
        tiac=tiac,
        organs=settings.organs,
        patterns=settings.features,
    )


def residuals_of(radionuclide: str) -> str:
    """Return the name of the array of log residuals of a radionuclide's TIAC."""
    return f"log_residuals.{radionuclide}"


def score(examples: TiacExamples, prediction: np.ndarray) -> float:
    """Return the mean absolute error of log TIAC plus that of log T_eff, with the study's radionuclide.

    The second keeps a model from paying for a wrong half-life with a wrong uptake, which another radionuclide would
    bring to light.
    """
    apart = examples.base.log_dose - log_tiac(prediction, examples.half_life_h)
    t_eff = np.log(examples.t_eff_h / t_eff_of(prediction, examples.half_life_h))
    return float(np.mean(np.abs(apart)) + np.mean(np.abs(t_eff)))


def calibrate(examples: TiacExamples, prediction: np.ndarray) -> dict[str, np.ndarray]:
    """Return for each radionuclide the out-of-fold log residuals of the TIAC in ascending order, without names."""
    return {
        residuals_of(name): np.sort(np.log(label) - log_tiac(prediction, nuclide(name).half_life_h))
        for name, label in examples.label_tiac_h.items()
    }


def card(examples: TiacExamples) -> dict[str, Any]:
    """Return what the model of an organ was trained on: patients, radionuclide, ranges of inputs and of targets."""
    shared = organ_dose.card(examples.base)
    spans = {"tiac_h": examples.base.dose, "t_eff_h": examples.t_eff_h, "uptake_fraction": examples.uptake_fraction}
    return {
        **{name: shared[name] for name in ("patients", "ranges", "left_out")},
        "radionuclide": examples.radionuclide,
        "translated_to": list(nuclides_for(examples.radionuclide)),
        **{name: [float(values.min()), float(values.max())] for name, values in spans.items()},
    }


def finish(parts: Mapping[str, TiacExamples], found: Fitted) -> None:
    """Add to each organ's model what its training patients look like, as models of organ doses do."""
    organ_dose.finish({organ: examples.base for organ, examples in parts.items()}, found)
