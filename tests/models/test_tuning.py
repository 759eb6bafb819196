import json
import os
import time

import numpy as np
import pytest

from theradose.errors import DataError
from theradose.models import latency
from theradose.models.fitting import objective
from theradose.models.latency_predictors import MlpLatency
from theradose.models.predictors import Choice, FloatRange, IntRange, TrainingPlan
from theradose.models.tuning import best, search, trials_table
from theradose.tables import TRIALS, read_table, write_table

SPACE = {"x": FloatRange(1e-3, 10.0, log=True), "n": IntRange(1, 9), "word": Choice(("a", "b"))}
START = {"x": 1.0, "n": 3, "word": "a"}


class KilledError(BaseException):
    """Stands for kill -9: not caught by anything."""


def bowl(parameters, _=None):
    return (parameters["x"] - 0.5) ** 2 + parameters["n"] + (parameters["word"] == "b")


def run(folder, trials, objective=bowl, **options):
    defaults = {"seed": 5, "journal": folder / "optuna.journal", "name": "study", "start": START}
    return search(SPACE, objective, trials=trials, **{**defaults, **options})


def table_bytes(rows, folder):
    return write_table(trials_table({"all": rows}), folder / "trials.tsv", TRIALS).read_bytes()


def test_first_trial_is_the_default_and_values_stay_in_range(tmp_path):
    rows = run(tmp_path, 8)
    assert rows[0].parameters == START
    assert [row.number for row in rows] == list(range(8))
    for row in rows:
        assert 1e-3 <= row.parameters["x"] <= 10.0
        assert 1 <= row.parameters["n"] <= 9
        assert row.parameters["word"] in ("a", "b")
        assert row.value == bowl(row.parameters)


@pytest.mark.parametrize("killed_in", [0, 3, 6])
def test_resumed_search_is_the_uninterrupted_one(tmp_path, killed_in):
    whole = table_bytes(run(tmp_path / "whole", 9), tmp_path / "whole")
    calls = []

    def dying(parameters, _):
        calls.append(parameters)
        if len(calls) == killed_in + 1:
            raise KilledError
        return bowl(parameters)

    with pytest.raises(KilledError):
        run(tmp_path / "cut", 9, dying)
    seen = []
    rows = run(tmp_path / "cut", 9, on_trial=lambda row: seen.append(row.number))
    assert table_bytes(rows, tmp_path / "cut") == whole
    assert seen == list(range(9))


def test_workers_share_the_budget_and_the_first_trial_is_the_default(tmp_path):
    seen, mine = [], os.getpid()

    def slow(parameters, _):
        time.sleep(0.02)
        (tmp_path / f"{os.getpid()}").touch()
        return bowl(parameters)

    rows = run(tmp_path, 12, slow, workers=3, on_trial=seen.append)
    assert seen == rows
    assert [row.number for row in rows] == list(range(12))
    assert rows[0].parameters == START
    assert all(row.value == bowl(row.parameters) for row in rows)
    assert len({json.dumps(row.parameters) for row in rows[1:]}) > 6
    processes = {path.name for path in tmp_path.iterdir() if path.name.isdigit()}
    assert len(processes - {str(mine)}) > 1
    assert run(tmp_path, 12, workers=3) == rows


def test_what_a_worker_that_died_leaves_undone_is_done_alone(tmp_path):
    mine = os.getpid()

    def deadly(parameters, _):
        if os.getpid() != mine:
            os._exit(1)
        return bowl(parameters)

    rows = run(tmp_path, 5, deadly, workers=2)
    assert [row.number for row in rows] == list(range(5))
    assert all(row.value is not None for row in rows)


def test_half_written_last_line_does_not_stop_the_search(tmp_path):
    whole = run(tmp_path / "whole", 8)
    run(tmp_path / "cut", 4)
    journal = tmp_path / "cut" / "optuna.journal"
    content = journal.read_bytes()
    last = content.rstrip(b"\n").rfind(b"\n") + 1
    journal.write_bytes(content[: last + 10])
    assert run(tmp_path / "cut", 8) == whole


def test_more_trials_continue_the_search(tmp_path):
    assert run(tmp_path / "steps", 4) + run(tmp_path / "steps", 8)[4:] == run(tmp_path / "whole", 8)


def test_other_name_starts_afresh(tmp_path):
    run(tmp_path, 4)
    assert len(run(tmp_path, 2, name="other")) == 2


def test_other_seed_draws_other_values(tmp_path):
    first, second = run(tmp_path, 4), run(tmp_path, 4, name="other", seed=99)
    assert first[1].parameters != second[1].parameters


def test_a_training_that_runs_away_is_a_failed_trial(tmp_path):
    def fragile(parameters, _):
        if parameters["n"] > 4:
            raise DataError("training has run away")
        return bowl(parameters)

    rows = run(tmp_path, 8, fragile)
    failed = [row for row in rows if row.state == "failed"]
    assert failed
    assert all(row.value is None and "run away" in row.reason for row in failed)
    assert len(rows) == 8
    assert run(tmp_path, 8, fragile) == rows
    assert best(rows).parameters["n"] <= 4


def in_parts(counted):
    """Return a search objective of four parts of work, which notes how many parts each trial did."""

    def objective(parameters, tell):
        for part in range(1, 5):
            counted.append(part)
            if part < 4:
                tell(part, bowl(parameters) + 0.1 * part)
        return bowl(parameters)

    return objective


def test_a_trial_worse_than_the_median_ends_early_and_the_best_is_the_same(tmp_path):
    counted = []
    rows = run(tmp_path, 20, in_parts(counted))
    assert len(rows) == 20
    assert all(row.state == "complete" for row in rows[:5])
    pruned = [row for row in rows if row.state == "pruned"]
    assert pruned
    assert all(row.value is None for row in pruned)
    assert len(counted) == 4 * (20 - len(pruned)) + len(pruned)
    for row in pruned:
        before = [bowl(r.parameters) for r in rows[: row.number] if r.state == "complete"]
        assert bowl(row.parameters) > sorted(before)[len(before) // 2 - 1]
    assert bowl(best(rows).parameters) == min(bowl(row.parameters) for row in rows)
    assert set(table_states(rows, tmp_path)) == {"complete", "pruned"}


def table_states(rows, folder):
    table_bytes(rows, folder)
    return read_table(folder / "trials.tsv", TRIALS)["state"]


@pytest.mark.parametrize("killed_after", [3, 22, 24, 29])
def test_a_search_with_pruning_resumes_to_the_same_trials(tmp_path, killed_after):
    whole = run(tmp_path / "whole", 12, in_parts([]))
    assert "pruned" in {row.state for row in whole}
    counted = []

    def dying(parameters, tell):
        def told(part, value):
            tell(part, value)
            if len(counted) >= killed_after:
                raise KilledError

        return in_parts(counted)(parameters, told)

    with pytest.raises(KilledError):
        run(tmp_path / "cut", 12, dying)
    assert run(tmp_path / "cut", 12, in_parts([])) == whole


def test_workers_prune_too(tmp_path):
    rows = run(tmp_path, 16, in_parts([]), workers=2)
    assert len(rows) == 16
    assert "pruned" in {row.state for row in rows}


def test_a_fold_without_an_event_has_no_score_yet_and_fails_no_trial(latency_examples, tmp_path):
    examples = latency_examples(n=40, test=0)[0]
    names = list(examples.patients)
    seen = dict(zip(names, np.asarray(examples.observed, bool), strict=True))
    first = [name for name in names if not seen[name]][:6]
    rest = [name for name in names if name not in first]
    folds = [([n for n in names if n not in held], held) for held in (first, rest[::2], rest[1::2])]
    judge = objective(
        MlpLatency, examples, folds=folds, subset=latency.subset, score=latency.score, seed=1,
        training=TrainingPlan(epochs=2), pruning=True,
    )  # fmt: skip
    told = []
    value = judge(MlpLatency.defaults, lambda done, score: told.append((done, score)))
    assert np.isfinite(value)
    assert [done for done, _ in told] == [1, 2]
    assert np.isnan(told[0][1])
    assert np.isfinite(told[1][1])


def test_a_score_that_is_no_number_ends_no_trial(tmp_path):
    def objective(parameters, tell):
        tell(1, float("nan"))
        return bowl(parameters)

    assert {row.state for row in run(tmp_path, 10, objective)} == {"complete"}


def test_no_complete_trial_is_an_error(tmp_path):
    def failing(parameters, _):
        raise DataError("no")

    with pytest.raises(DataError, match="no trial"):
        best(run(tmp_path, 2, failing))


def test_empty_space_gets_one_trial(tmp_path):
    rows = search({}, lambda *_: 2.0, trials=9, seed=1, journal=tmp_path / "j", name="s", start={})
    assert [(row.parameters, row.value) for row in rows] == [({}, 2.0)]
    assert json.loads(trials_table({"kidneys": rows})["parameters"][0]) == {}


def test_earliest_of_equals_wins(tmp_path):
    assert best(run(tmp_path, 5, lambda *_: 1.0)).number == 0
