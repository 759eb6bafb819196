"""All predictors by name; joining this dict means inheriting its contract tests."""

from theradose.errors import SettingsError, Where
from theradose.models.baselines import PetScaled, PopulationMean
from theradose.models.gaussian import GaussianDose, HybridGaussianDose
from theradose.models.latency_predictors import LATENCY_PREDICTORS
from theradose.models.linear import HybridDose, RidgeDose
from theradose.models.mlp import MlpDose
from theradose.models.multitask_predictors import MULTITASK_PREDICTORS
from theradose.models.neighbours import NearestPatients
from theradose.models.outcome_predictors import OUTCOME_PREDICTORS
from theradose.models.pls import PlsDose
from theradose.models.predictors import Predictor
from theradose.models.tiac_predictors import TIAC_PREDICTORS
from theradose.models.trees import BoostedTrees, ExtraTrees
from theradose.models.volume_predictors import MAP_PREDICTORS

ORGAN_PREDICTORS: tuple[type[Predictor], ...] = (
    PopulationMean,
    PetScaled,
    RidgeDose,
    HybridDose,
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
}


def predictor_named(name: str, kind: str) -> type[Predictor]:
    """Return a predictor's class; SettingsError when there is none of this name for this kind of experiment."""
    fitting = sorted(known for known, predictor in PREDICTORS.items() if predictor.kind == kind)
    if name not in fitting:
        raise SettingsError(
            f"no predictor of this name for {kind}", where=Where(field="predictors"), got=name, expected=fitting
        )
    return PREDICTORS[name]
