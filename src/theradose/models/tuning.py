"""Search for hyperparameters: resumable after a kill, and then the same trials as without it.

A trial that does worse than others may end early. Several workers share storage and budget. What a trial can learn
from then depends on who is faster: there are as many trials as with one worker, not the same ones.
"""

import json
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from theradose.errors import DataError
from theradose.models.predictors import Choice, FloatRange, IntRange, Range

COMPLETE, FAILED, PRUNED = "complete", "failed", "pruned"
STATES = {TrialState.COMPLETE: COMPLETE, TrialState.FAIL: FAILED, TrialState.PRUNED: PRUNED}
REASON = "reason"
# Random trials before the sampler starts to learn from them; Optuna's default of 10 would leave a short search random.
STARTUP_TRIALS = 5
# The median of fewer than five trials would say little (Optuna's default).
PRUNER = optuna.pruners.MedianPruner(n_startup_trials=5)

logging.getLogger("optuna").setLevel(logging.WARNING)


@dataclass(frozen=True)
class TrialRow:
    """A finished trial: its place in the search, its hyperparameters and the score, which is lower when better."""

    number: int
    parameters: dict[str, Any]
    value: float | None
    state: str
    reason: str = ""


OnTrial = Callable[[TrialRow], None]
Tell = Callable[[int, float], None]
"""Takes what a trial has scored after part 1, 2, ... of its work; ends one that is worse than the median of others."""
Objective = Callable[[dict[str, Any], Tell], float]


def suggest(trial: Trial, space: Mapping[str, Range]) -> dict[str, Any]:
    """Draw one value for each range of a search space."""
    found: dict[str, Any] = {}
    for name, span in space.items():
        if isinstance(span, FloatRange):
            found[name] = trial.suggest_float(name, span.low, span.high, log=span.log)
        elif isinstance(span, IntRange):
            found[name] = trial.suggest_int(name, span.low, span.high)
        elif isinstance(span, Choice):
            found[name] = trial.suggest_categorical(name, span.values)
    return found


def _without_torn_tail(path: Path) -> None:
    """Cut a last line that a killed process left half-written: with more behind it the journal could not be read."""
    content = path.read_bytes() if path.is_file() else b""
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        path.write_bytes(whole)


def _storage(journal: Path) -> JournalStorage:
    """Return the storage in a file, made when it is not there."""
    journal.parent.mkdir(parents=True, exist_ok=True)
    _without_torn_tail(journal)
    return JournalStorage(JournalFileBackend(str(journal)))


def _row(number: int, trial: FrozenTrial) -> TrialRow:
    state, reason = STATES[trial.state], trial.user_attrs.get(REASON, "")
    return TrialRow(number, dict(trial.params), trial.value if state == COMPLETE else None, state, reason)


def _counts(trial: FrozenTrial) -> bool:
    """Tell whether a trial takes a part of the budget: one that failed without a reason was cut off by a kill."""
    return trial.state != TrialState.FAIL or REASON in trial.user_attrs


def _finished(study: optuna.Study) -> list[TrialRow]:
    """Return the trials that came to an end by themselves, in order; those cut off by a kill do not count."""
    found = study.get_trials(deepcopy=False, states=tuple(STATES))
    return [_row(number, trial) for number, trial in enumerate(filter(_counts, found))]


def _judge(study: optuna.Study, trial: Trial, space: Mapping[str, Range], objective: Objective) -> None:
    """Judge and tell a trial; a training that runs away is a failed trial, not the end of the search."""

    def tell(part: int, value: float) -> None:
        if math.isfinite(value):
            trial.report(value, part)
            if trial.should_prune():
                raise optuna.TrialPruned

    parameters = suggest(trial, space)
    try:
        value = objective(parameters, tell)
    except optuna.TrialPruned:
        study.tell(trial, state=TrialState.PRUNED)
        return
    except DataError as error:
        trial.set_user_attr(REASON, str(error))
        study.tell(trial, state=TrialState.FAIL)
        return
    study.tell(trial, value)


def _sampler(seed: int, number: int, *, alone: bool = True) -> optuna.samplers.TPESampler:
    """Return what draws one trial; beside others at work it keeps away from what they try."""
    return optuna.samplers.TPESampler(seed=seed + number, n_startup_trials=STARTUP_TRIALS, constant_liar=not alone)


def _work(
    journal: Path, name: str, space: Mapping[str, Range], objective: Objective, *, trials: int, seed: int
) -> None:
    """Take trials from the storage until the budget is used up, beside other workers."""
    storage = JournalStorage(JournalFileBackend(str(journal)))
    study = optuna.load_study(study_name=name, storage=storage, pruner=PRUNER)
    while True:
        study.sampler = _sampler(seed, len(study.get_trials(deepcopy=False)), alone=False)
        trial = study.ask()
        # Numbers are dealt one after the other, so that all workers agree on which trials the budget pays for.
        begun = [one for one in study.get_trials(deepcopy=False) if one.number < trial.number and _counts(one)]
        if len(begun) >= trials:
            study.tell(trial, state=TrialState.FAIL)
            return
        _judge(study, trial, space, objective)


def _together(work: Callable[[], None], workers: int) -> None:
    """Do the same work in several processes; what one that died leaves undone is for the caller."""
    processes = [get_context("fork").Process(target=work) for _ in range(workers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def search(
    space: Mapping[str, Range],
    objective: Objective,
    *,
    trials: int,
    seed: int,
    journal: Path | None,
    name: str,
    start: Mapping[str, Any],
    on_trial: OnTrial | None = None,
    workers: int = 1,
) -> list[TrialRow]:
    """Run a search to `trials` finished trials and return them in order; the first one is `start`.

    The study `name` in `journal` is continued when it is there: give it a digest of everything the objective depends
    on. Without a journal nothing outlasts the call; the trials are the same. An objective that tells what it has scored
    so far may be cut short: a pruned trial takes its part of the budget. Every trial gets a new sampler seeded with
    `seed` and its number, so that a resumed search draws what an uninterrupted one would. An empty space gets one
    trial. `on_trial` sees every trial, earlier ones first. After the first one `workers` processes share the others
    when there is a journal; it sees theirs when all are done.
    """
    storage = None if journal is None else _storage(journal)
    study = optuna.create_study(
        storage=storage, study_name=name, load_if_exists=True, direction="minimize", pruner=PRUNER
    )
    for cut_off in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(cut_off.number, state=TrialState.FAIL)
    rows: list[TrialRow] = []

    def told() -> list[TrialRow]:
        found = _finished(study)
        if on_trial is not None:
            for row in found[len(rows) :]:
                on_trial(row)
        return found

    rows, budget = told(), trials if space else 1
    while len(rows) < budget:
        if rows and workers > 1 and journal is not None:
            work = partial(_work, journal, name, space, objective, trials=budget, seed=seed)
            _together(work, min(workers, budget - len(rows)))
            rows, workers = told(), 1
            continue
        study.sampler = _sampler(seed, len(rows))
        if not rows and not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            study.enqueue_trial({key: start[key] for key in space})
        _judge(study, study.ask(), space, objective)
        rows = told()
    return rows


def best(rows: list[TrialRow]) -> TrialRow:
    """Return the trial with the lowest score, the earliest of equals; DataError when none was completed."""
    complete = [row for row in rows if row.value is not None]
    if not complete:
        raise DataError("no trial could be completed", got=[row.reason for row in rows], code="THR-426")
    return min(complete, key=lambda row: (row.value, row.number))


def trials_table(rows_by_part: Mapping[str, list[TrialRow]]) -> pd.DataFrame:
    """Return the trials of all parts as a table of schema TRIALS."""
    records = [
        {
            "part": part,
            "number": row.number,
            "value": row.value,
            "parameters": json.dumps(row.parameters, sort_keys=True),
            "state": row.state,
        }
        for part, rows in rows_by_part.items()
        for row in rows
    ]
    return pd.DataFrame(records)
