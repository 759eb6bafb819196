"""All predictors by name; joining this dict means inheriting its contract tests."""

import math
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from theradose.errors import SettingsError, Where
from theradose.models.baselines import LastCycle, PetScaled, PopulationMean
from theradose.models.gaussian import GaussianDose, HybridGaussianDose
from theradose.models.latency_predictors import LATENCY_PREDICTORS
from theradose.models.linear import HybridDose, LastCycleHybrid, RidgeDose
from theradose.models.mlp import MlpDose
from theradose.models.multitask_predictors import MULTITASK_PREDICTORS
from theradose.models.neighbours import NearestPatients
from theradose.models.outcome_predictors import OUTCOME_PREDICTORS
from theradose.models.pls import PlsDose
from theradose.models.predictors import Predictor
from theradose.models.renal_slope_predictors import SLOPE_PREDICTORS
from theradose.models.tiac_predictors import TIAC_PREDICTORS
from theradose.models.trees import BoostedTrees, ExtraTrees
from theradose.models.volume_predictors import MAP_PREDICTORS

ORGAN_PREDICTORS: tuple[type[Predictor], ...] = (
    PopulationMean,
    PetScaled,
    LastCycle,
    RidgeDose,
    HybridDose,
    LastCycleHybrid,
    PlsDose,
    GaussianDose,
    HybridGaussianDose,
    BoostedTrees,
    ExtraTrees,
    NearestPatients,
    MlpDose,
)
PREDICTORS: dict[str, type[Predictor]] = {
    **{predictor.name: predictor for predictor in ORGAN_PREDICTORS},
    **MAP_PREDICTORS,
    **LATENCY_PREDICTORS,
    **OUTCOME_PREDICTORS,
    **MULTITASK_PREDICTORS,
    **TIAC_PREDICTORS,
    **SLOPE_PREDICTORS,
}


def predictor_named(
    name: str, kind: str, fixed: Mapping[str, Any] | None = None, *, experiment: str = ""
) -> type[Predictor]:
    """Return a predictor's class, its hyperparameters `fixed` to values that are then not searched.

    `experiment` is who asks, for the fault. SettingsError when there is none of this name for this kind of experiment,
    or it has no such hyperparameter.
    """
    fitting = sorted(known for known, predictor in PREDICTORS.items() if predictor.kind == kind)
    if name not in fitting:
        close = get_close_matches(name, fitting, n=1)
        raise SettingsError(
            f"no predictor of this name for {kind}",
            where=Where(field=f"{experiment}.predictors" if experiment else "predictors"),
            got=name,
            expected=fitting,
            remedy=f"did you mean {close[0]}?" if close else None,
        )
    return with_fixed(PREDICTORS[name], fixed) if fixed else PREDICTORS[name]


def with_fixed(predictor: type[Predictor], fixed: Mapping[str, Any]) -> type[Predictor]:
    """Return a predictor of the same name whose hyperparameters `fixed` have these values and are not searched.

    SettingsError when it has no such hyperparameter, or `unfit` finds fault with a value.
    """
    for name, value in fixed.items():
        if expected := unfit(predictor, name, value):
            where = Where(field=f"parameters.{predictor.name}.{name}")
            raise SettingsError("impossible hyperparameter", where=where, got=repr(value), expected=expected)
    searched = {name: span for name, span in predictor.space.items() if name not in fixed}
    defaults = predictor(**fixed).parameters
    return type(predictor.__name__, (predictor,), {"space": searched, "defaults": defaults})


def unfit(predictor: type[Predictor], name: str, value: Any) -> str:
    """Return what a hyperparameter may be if this value is none for it, else an empty text.

    The type is that of its default (a whole number may stand for a number), a word one that the predictor knows, a
    number finite and not negative; a rate is not zero, and of dropout something is left.
    """
    usual = predictor.defaults.get(name, value)
    if type(value) is not type(usual) and not (type(value) is int and type(usual) is float):
        return f"{type(usual).__name__}, like {usual!r}"
    if isinstance(value, str):
        known = predictor.words.get(name, (value,))
        return "" if value in known else f"one of {', '.join(known)}"
    low, high = (name == "learning_rate") * 1e-12, 1.0 if name == "dropout" else math.inf
    return "" if low <= value < high else f"a number from {'above ' * bool(low)}0 to below {high:g}"
