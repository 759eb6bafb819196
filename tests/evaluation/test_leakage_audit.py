"""On noise nothing can be learned: who selects on all patients is found out, who selects inside the fold passes."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from theradose.errors import DataError
from theradose.evaluation.leakage_audit import audit, audits, in_folds, shuffled, skill
from theradose.evaluation.report_scores import audit_words
from theradose.evaluation.results import ExperimentResults
from theradose.features.selection import DistinctColumns, most_relevant
from theradose.tables import AUDIT, write_table


def noise(seed, n, p=1000):
    rng = np.random.default_rng(seed)
    groups = [f"p{i:02d}" for i in range(n)]
    folds = list(GroupKFold(5, shuffle=True, random_state=seed).split(np.zeros(n), groups=groups))
    return rng.normal(size=(n, p)), rng.normal(size=n), groups, folds


def selected_outside(x, folds, k=20):
    """Choose columns on everyone, then cross-validate: the classical mistake."""

    def procedure(y):
        kept = most_relevant(k).fit(x, y).get_support()
        return in_folds(make_pipeline(StandardScaler(), Ridge(10.0)), x[:, kept], folds)(y)

    return procedure


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("seed", "n"),
    [(1, 40), *(pytest.param(*case, marks=SLOW) for case in [(2, 50), (3, 60), (4, 45), (5, 55), (6, 40)])],
)
def test_selection_outside_the_fold_fails_and_inside_passes_on_noise(seed, n):
    x, y, groups, folds = noise(seed, n)
    inside = make_pipeline(DistinctColumns(), most_relevant(20), StandardScaler(), Ridge(10.0))
    rng = np.random.default_rng(seed)
    honest = audit(in_folds(inside, x, folds), y, groups, rng=rng, permutations=8)
    cheat = audit(selected_outside(x, folds), y, groups, rng=rng, permutations=20)
    assert honest.passed
    assert honest.null.mean() < 0
    assert not cheat.passed
    assert cheat.verdict == "leak"
    assert cheat.null.mean() > 0.3
    assert "held-out labels have been seen" in cheat.sentence()
    assert "no leak" in honest.sentence()


def test_scaling_outside_sees_no_label_and_passes():
    x, y, groups, folds = noise(5, 50, p=20)
    everyone = StandardScaler().fit_transform(x)
    found = audit(in_folds(Ridge(1.0), everyone, folds), y, groups, rng=np.random.default_rng(5), permutations=10)
    assert found.passed


def test_a_true_signal_is_no_leak():
    x, y, groups, folds = noise(6, 50, p=30)
    y = y + 2.0 * x[:, 3]
    inside = make_pipeline(DistinctColumns(), most_relevant(5), StandardScaler(), Ridge(1.0))
    found = audit(in_folds(inside, x, folds), y, groups, rng=np.random.default_rng(6), permutations=9)
    assert found.passed
    assert found.score > 0.5
    assert found.p == pytest.approx(1 / 10)


def test_false_alarms_are_rare():
    alarms = 0
    for seed in range(15):
        x, y, groups, folds = noise(100 + seed, 30, p=5)
        found = audit(in_folds(Ridge(5.0), x, folds), y, groups, rng=np.random.default_rng(seed), permutations=6)
        alarms += not found.passed
    assert alarms == 0


def test_the_mean_has_no_skill_and_is_no_leak():
    _, y, groups, folds = noise(7, 30, p=1)
    found = audit(
        in_folds(Ridge(1e12), np.zeros((30, 1)), folds), y, groups, rng=np.random.default_rng(7), permutations=5
    )
    assert -0.2 < found.score < 0.0  # the mean of the others leans away from those held out
    assert found.passed
    with pytest.raises(DataError, match="too few"):
        audit(lambda labels: labels, y, groups, rng=np.random.default_rng(7), permutations=2)


def test_knowing_the_label_is_a_leak():
    _, y, groups, _ = noise(8, 30, p=1)
    found = audit(lambda labels: labels, y, groups, rng=np.random.default_rng(8), permutations=5)
    assert not found.passed
    assert skill(y, y) == 1.0


def test_labels_are_handed_around_by_patient():
    groups = ["a", "b", "a", "c", "d", "c", "e"]
    y = np.array([1.0, 2.0, 1.5, 3.0, 4.0, 3.5, 5.0])
    for seed in range(20):
        found = shuffled(y, groups, np.random.default_rng(seed))
        assert sorted(found) == sorted(y)
        assert (found[0], found[2]) in {(1.0, 1.5), (3.0, 3.5)}
        assert {found[1], found[4], found[6]} == {2.0, 4.0, 5.0}


def test_targets_are_audited_together_and_each_swaps_among_those_who_know_it():
    rng = np.random.default_rng(9)
    x, groups = rng.normal(size=40), [f"p{i:02d}" for i in range(40)]
    y = np.column_stack([x + 0.1 * rng.normal(size=40), rng.normal(size=40), np.ones(40), rng.normal(size=40)])
    y[:7, 0] = np.nan
    seen = []

    def procedure(labels):
        seen.append(labels)
        return np.column_stack([x, labels[:, 1], np.ones(40), np.full(40, np.nan)])

    found = audits(procedure, y, groups, rng=np.random.default_rng(1), permutations=6)
    assert {target: one.verdict for target, one in found.items()} == {0: "clean", 1: "leak"}
    assert found[0].score > 0.9 > found[0].null.max()
    for labels in seen:
        assert (np.isnan(labels) == np.isnan(y)).all()
        assert (np.sort(labels, axis=0)[:33] == np.sort(y, axis=0)[:33]).all()


def test_labels_that_are_all_the_same_are_refused():
    with pytest.raises(DataError, match="all the same"):
        audit(lambda y: y, np.ones(4), ["a", "b", "c", "d"], rng=np.random.default_rng(1), permutations=5)


def test_the_report_says_what_was_found(tmp_path):
    assert audit_words(ExperimentResults("t", tmp_path)) == ""
    row = {"predictor": "mlp", "voi": "kidneys", "permutations": 20, "skill": 0.4, "null_mean": -0.1, "null_max": 0.1}
    clean = {**row, "p": 0.05, "p_leak": 0.9, "verdict": "clean"}
    write_table(pd.DataFrame([clean]), tmp_path / "audit.tsv", AUDIT)
    assert "no leak was found" in audit_words(ExperimentResults("t", tmp_path))
    leak = {**clean, "voi": "liver", "null_mean": 0.5, "p_leak": 1e-9, "verdict": "leak"}
    write_table(pd.DataFrame([clean, leak]), tmp_path / "audit.tsv", AUDIT)
    assert "seen by MLP (liver)" in audit_words(ExperimentResults("t", tmp_path))
