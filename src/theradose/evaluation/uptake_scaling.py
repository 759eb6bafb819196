"""How dose models follow when all uptake in the PET falls, as it may 25-fold from one cycle to another.

The columns of an image multiplied by s are known without extracting them again where their unit says so: those in
g/mL follow as s, those in (g/mL)^2 as s^2, of the PET and of its linear filters. Shape, moments, ratios between two
PETs and textures stay: a texture of fixed bin width would change with s too, but only a new extraction could say how.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from theradose.features.names import unit_of
from theradose.features.presets import ORIGINAL_NAME
from theradose.features.sessions import DELTA
from theradose.models.beside import of_parts, others, with_others
from theradose.models.domain import Domain
from theradose.models.examples import SUV, OrganExamples
from theradose.models.organ_dose import outside
from theradose.models.store import Trained

# The fall between cycles that the design asks for is 25-fold; the others show the way there.
FACTORS = (1.0, 1 / 2, 1 / 5, 1 / 10, 1 / 25)
ALL, PET = "all", "pet"
POWERS = {"U": 1, "U.mL": 1, "(U)^2": 2, "(U)^2.mm3": 2}


def power_of(column: str) -> int:
    """Return the power of the uptake that a covariate follows, 0 for one that stays.

    >>> power_of("pet_4h.original.firstorder.Variance"), power_of("delta.pet_4h-pet.original.firstorder.Mean")
    (2, 0)
    """
    if column == SUV:
        return 1
    image, _, name = column.removeprefix(f"{DELTA}.").partition(".")
    if not image.startswith(PET) or name.count(".") < 2:
        return 0
    filtered, kind, feature = name.rsplit(".", 2)
    # Between two PETs the log of a ratio stays, but what changes sign in a filtered image is a difference.
    difference = filtered != ORIGINAL_NAME and kind == "firstorder"
    return POWERS.get(unit_of(kind, feature, "U"), 0) if difference or not column.startswith(DELTA) else 0


def with_uptake(examples: OrganExamples, factor: float) -> OrganExamples:
    """Return the examples as they would be with all uptake in the PET multiplied by a factor."""
    powers = [factor ** power_of(str(column)) for column in examples.covariates]
    return replace(examples, covariates=examples.covariates * powers)


def _outside(trained: Trained, examples: OrganExamples, organs: pd.DataFrame) -> np.ndarray:
    """Return who lies outside the domain of use, (n,); `organs` is `models.beside.together` of all organs."""
    card = trained.card["parts"][examples.organ]
    if "domain" not in card:  # too few training patients: the ranges of key inputs stand alone
        rows = examples.covariates.to_dict("records")
        return np.array([bool(outside({str(n): float(v) for n, v in row.items()}, card["ranges"])) for row in rows])
    domain = Domain.restore(card["domain"], trained.calibration[examples.organ])
    return domain.score(with_others(examples, organs, others(organs, examples.organ))) > domain.cut


def uptake_scaling(parts: Mapping[str, OrganExamples], models: Mapping[str, Trained]) -> pd.DataFrame:
    """Return how the predictions of every final model follow when PET uptake falls (schema UPTAKE_SCALING).

    A ratio of 1 is blind to the uptake, one equal to the factor is proportional to it. VOI `all` pools the organs.
    """
    tables = []
    for factor in FACTORS:
        fallen = {organ: with_uptake(examples, factor) for organ, examples in parts.items()}
        organs = of_parts(fallen)
        for name, trained in models.items():
            for organ, examples in fallen.items():
                predict = trained.predictors[organ].predict
                ratio, lost = np.exp(predict(examples) - predict(parts[organ])), _outside(trained, examples, organs)
                key = {"predictor": name, "voi": organ, "partition": list(examples.partitions), "factor": factor}
                tables.append(pd.DataFrame({**key, "ratio": ratio, "outside": lost}))
    each = pd.concat(tables, ignore_index=True)
    groups = pd.concat([each, each.assign(voi=ALL)]).groupby(["predictor", "voi", "partition", "factor"], sort=False)
    low, high = (groups["ratio"].quantile(share) for share in (0.1, 0.9))
    found = {"n": groups.size(), "ratio": groups["ratio"].median(), "ratio_low": low, "ratio_high": high}
    return pd.DataFrame({**found, "outside_share": groups["outside"].mean()}).reset_index()
