"""How each kind of experiment is judged; apart from `kinds`, so that a change here trains nothing anew."""

from collections.abc import Callable

from theradose.evaluation import dose_map, latency, multitask, organ_dose, outcome, renal_slope, tiac

# Each writes predictions.tsv and metrics.tsv into `out`; dose_map maps.safetensors too, multitask chances of events.
# When asked for, audit.tsv comes from `evaluation.audited_models`.
EVALUATIONS: dict[str, Callable[..., None]] = {
    "organ_dose": organ_dose.evaluate,
    "dose_map": dose_map.evaluate,
    "multitask": multitask.evaluate,
    "outcome": outcome.evaluate,
    "latency": latency.evaluate,
    "tiac": tiac.evaluate,
    "renal_slope": renal_slope.evaluate,
}
