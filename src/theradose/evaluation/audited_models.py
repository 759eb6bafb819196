"""The leakage audit of an experiment's models, whatever its kind: what their labels are and how others get them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from theradose.evaluation.leakage_audit import Audit, audits
from theradose.experiment_sections import ExperimentSettings
from theradose.models import examples, image_examples, latency_examples, outcome_examples, patch_examples, tiac_examples
from theradose.models.folds import Folds, out_of_fold
from theradose.models.image_examples import ImageExamples
from theradose.models.latency_examples import LatencyExamples
from theradose.models.patch_examples import PatchExamples
from theradose.models.predictors import TrainingPlan
from theradose.models.store import Trained
from theradose.models.tiac_examples import TiacExamples, log_tiac
from theradose.tables import AUDIT, write_table

LEAST_GY_PER_GBQ = 1e-6  # of a mean over the body: a map that is zero everywhere has a logarithm too


def names_of(own: Any) -> list[str]:
    """Return the patients of examples, each once, in order."""
    return list(dict.fromkeys(own.patients))


@dataclass(frozen=True)
class Shuffled:
    """What labels a kind of experiment has, its examples with others, and predictions on the scale of labels.

    Labels are (n,), or (n, targets) with NaN where not known and `targets` to name them. `rows` gives the patient of
    each row.
    """

    labels: Callable[[Any], np.ndarray]
    relabelled: Callable[[Any, np.ndarray], Any]
    subset: Callable[[Any, Collection[str]], Any]
    scaled: Callable[[Any, np.ndarray], np.ndarray]
    rows: Callable[[Any], Sequence[str]] = attrgetter("patients")
    targets: Callable[[Any], Sequence[str]] | None = None


def as_said(examples: Any, said: np.ndarray) -> np.ndarray:
    """Return predictions (n,) that are on the scale of labels already."""
    del examples
    return np.asarray(said)


def whose(labels: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return whose label (n,) everybody has got by a shuffling `y` (n,) of all, so that the rest can go with it."""
    order = np.argsort(labels, kind="stable")
    return np.asarray(order[np.searchsorted(labels[order], y)])


def _tiacs(own: TiacExamples, y: np.ndarray) -> TiacExamples:
    """Return examples with other patients' TIACs, half-lives with them."""
    rows = whose(own.base.log_dose, y)
    return replace(own, base=replace(own.base, dose=own.base.dose[rows]), t_bio_h=own.t_bio_h[rows])


def _latencies(own: LatencyExamples, y: np.ndarray) -> LatencyExamples:
    """Return examples with other patients' latencies, and whether these were seen or censored."""
    rows = whose(own.log_months, y)
    return replace(own, log_months=own.log_months[rows], observed=own.observed[rows])


def _together(own: PatchExamples, y: np.ndarray) -> PatchExamples:
    """Return examples with other patients' log doses of each organ, then events, (n, organs + outcomes)."""
    n = len(own.organs)
    doses = {
        organ: replace(part, dose=np.exp(y[own.place(organ), column]))
        for column, (organ, part) in enumerate(own.organs.items())
    }
    return replace(own, organs=doses, events=y[:, n:])


def _events_scaled(own: PatchExamples, said: np.ndarray) -> np.ndarray:
    """Return log doses as they are and log odds as probabilities, (n, organs + outcomes)."""
    n = len(own.organs)
    return np.column_stack([said[:, :n], expit(said[:, n:])])


def _log_means(own: ImageExamples, maps: np.ndarray) -> np.ndarray:
    """Return the log of the mean of maps (pairs, h, w) in each patient's body, without copies, (patients,)."""
    sums = np.where(own.mask, maps.astype(np.float64), 0.0).sum(axis=(1, 2))
    table = pd.DataFrame({"patient": own.patients, "sum": sums, "n": own.mask.sum(axis=(1, 2))})[own.originals]
    found = table.groupby("patient", sort=False).sum().loc[names_of(own)]
    return np.asarray(np.log(np.maximum(found["sum"] / found["n"], LEAST_GY_PER_GBQ)), float)


def _maps(own: ImageExamples, y: np.ndarray) -> ImageExamples:
    """Return examples with every dose map brought to the mean of another patient's, exp(y) (patients,) in Gy/GBq."""
    gain = dict(zip(names_of(own), np.exp(y - _log_means(own, own.dose)), strict=True))
    gains = np.array([gain[patient] for patient in own.patients], np.float32)
    return replace(own, dose=own.dose * gains[:, None, None])


SHUFFLED: dict[str, Shuffled] = {
    "organ_dose": Shuffled(
        lambda own: own.log_dose, lambda own, y: replace(own, dose=np.exp(y)), examples.subset, as_said
    ),
    "outcome": Shuffled(
        lambda own: own.observed,
        lambda own, y: replace(own, observed=y),
        outcome_examples.subset,
        lambda _, x: expit(x),
    ),
    "tiac": Shuffled(
        lambda own: own.base.log_dose, _tiacs, tiac_examples.subset, lambda own, said: log_tiac(said, own.half_life_h)
    ),
    "latency": Shuffled(lambda own: own.log_months, _latencies, latency_examples.subset, as_said),
    "multitask": Shuffled(
        lambda own: np.column_stack([own.log_dose, own.events]), _together, patch_examples.subset, _events_scaled,
        targets=lambda own: [*own.organs, *own.outcomes],
    ),
    "dose_map": Shuffled(lambda own: _log_means(own, own.dose), _maps, image_examples.subset, _log_means, names_of),
}  # fmt: skip
SHUFFLED["renal_slope"] = replace(SHUFFLED["outcome"], scaled=as_said)
"""Log doses and TIACs, events as 0 and 1, slopes, log latencies; of maps how high each is, not what is where."""


def _folds_of(patients: Sequence[str], folds: Mapping[str, int], n_folds: int) -> Folds:
    """Return the inner folds of training patients by name, as training has them."""
    turn, names = np.array([folds[patient] % n_folds for patient in patients]), np.array(patients)
    return [(list(names[turn != k]), list(names[turn == k])) for k in sorted(set(turn.tolist()))]


def _record(predictor: str, voi: str, found: Audit) -> dict[str, object]:
    """Return what was found as a row of AUDIT; the VOI of an outcome is its name."""
    return {
        "predictor": predictor, "voi": voi, "permutations": len(found.null), "skill": found.score,
        "null_mean": float(found.null.mean()), "null_max": float(found.null.max()), "p": found.p,
        "p_leak": found.p_leak, "verdict": found.verdict,
    }  # fmt: skip


def audit_models(
    settings: ExperimentSettings,
    parts: Mapping[str, Any],
    models: Mapping[str, Trained],
    *,
    folds: Mapping[str, int],
    seed: int,
) -> pd.DataFrame:
    """Audit every predictor and part of an experiment with its tuned parameters; return a table of schema AUDIT.

    Only training patients (those with a fold) take part; all shuffle in the same way. Tuning is not run again: it is
    judged out of fold and cannot see labels of the audit.
    """
    records, how = [], SHUFFLED[settings.kind]
    for (name, model), (part, everyone) in product(models.items(), parts.items()):
        own = how.subset(everyone, [p for p in everyone.patients if folds.get(p, -1) >= 0])
        named, predictor = _folds_of(names_of(own), folds, settings.tuning.folds), model.predictors[part]
        labels = how.labels(own)

        def procedure(
            y: np.ndarray, own: Any = own, named: Folds = named, predictor: Any = predictor, like: Any = labels
        ) -> np.ndarray:
            said = out_of_fold(
                type(predictor), predictor.parameters, how.relabelled(own, y.reshape(like.shape)),
                folds=named, subset=how.subset, seed=seed, training=TrainingPlan.of(settings),
            )  # fmt: skip
            return how.scaled(own, said).reshape(y.shape)

        rng, shufflings = np.random.default_rng(seed), settings.audit_permutations
        found = audits(procedure, labels.reshape(len(labels), -1), how.rows(own), rng=rng, permutations=shufflings)
        vois = [part] if how.targets is None else how.targets(own)
        records += [_record(name, vois[target], one) for target, one in found.items()]
    return pd.DataFrame(records)


def write_audit(
    *,
    settings: ExperimentSettings,
    parts: Mapping[str, Any],
    models: Mapping[str, Trained],
    folds: Mapping[str, int],
    seed: int,
    out: Path,
) -> None:
    """Write audit.tsv (schema AUDIT) when the experiment asks for it; an older one never stays beside newer scores."""
    (out / "audit.tsv").unlink(missing_ok=True)
    if settings.audit_permutations:
        write_table(audit_models(settings, parts, models, folds=folds, seed=seed), out / "audit.tsv", AUDIT)
