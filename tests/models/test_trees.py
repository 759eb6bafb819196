import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor

from theradose.models.baselines import PopulationMean
from theradose.models.columns import learned
from theradose.models.examples import subset
from theradose.models.predictors import TrainingPlan
from theradose.models.trees import BoostedTrees, ExtraTrees, joined, leaf_values, nodes_of

PLAN = TrainingPlan()
NONE = np.array([-1])


def fitted(model, examples):
    model.fit(examples, seed=1, training=PLAN)
    return model


def stump(feature, threshold, low, high):
    """Return one cut: `low` at or below the threshold, `high` above."""
    children = (np.array([1, -1, -1]), np.array([2, -1, -1]))
    numbers = np.array([feature, -2, -2]), np.array([threshold, np.nan, np.nan])
    return nodes_of(*numbers, children, np.array([0.5, low, high]))


def test_two_trees_by_hand():
    nodes = joined([stump(0, 1.0, 10.0, 20.0), stump(1, -3.0, 0.1, 0.2)])
    x = np.array([[1.0, -3.0], [np.nextafter(1.0, 2.0), -3.0], [0.0, 0.0]])
    assert leaf_values(nodes, x).tolist() == [[10.0, 0.1], [20.0, 0.1], [10.0, 0.2]]
    assert nodes["root"].tolist() == [0, 3]


def test_a_tree_of_one_leaf_says_the_same_to_all():
    lonely = nodes_of(NONE, np.array([np.nan]), (NONE, NONE), np.array([7.0]))
    assert leaf_values(joined([lonely, lonely]), np.zeros((3, 2))).tolist() == [[7.0, 7.0]] * 3


def boosting(seed):
    return HistGradientBoostingRegressor(
        max_iter=30, learning_rate=0.1, max_leaf_nodes=4, min_samples_leaf=5, early_stopping=False, random_state=seed
    )


def forest(seed):
    return ExtraTreesRegressor(30, min_samples_leaf=2, max_features=0.5, random_state=seed)


@pytest.mark.parametrize(
    ("model", "library"),
    [
        (BoostedTrees(rounds=30, learning_rate=0.1, leaves=4, least=5, k=9), boosting),
        (ExtraTrees(trees=30, least=2, part=0.5, k=9), forest),
    ],
)
def test_restored_nodes_say_what_scikit_learn_says(organ_examples, model, library):
    training, everyone, _ = organ_examples(n_patients=60)
    fitted(model, training)
    again = type(model).restore(model.state(), model.tensors())
    columns, x = learned(training, training.log_dose, 9, PLAN)
    expected = library(1).fit(x, training.log_dose).predict(columns.prepare(everyone))
    np.testing.assert_allclose(again.predict(everyone), expected, rtol=1e-12)
    # Where the library rounds to single precision before it compares, values at a threshold tell the two apart.
    on_the_cut = np.repeat(again.tensors()["threshold"][:50, None], 9, axis=1)
    expected = library(1).fit(x, training.log_dose).predict(on_the_cut)
    np.testing.assert_allclose(again.learned["intercept"][0] + again._apply(on_the_cut), expected, rtol=1e-12)


@pytest.mark.parametrize("predictor", [BoostedTrees, ExtraTrees])
def test_trees_learn_better_than_the_mean_and_never_leave_the_range(organ_examples, predictor):
    training, everyone, _ = organ_examples(n_patients=150, n_test=50)
    test = subset(everyone, [p for p in everyone.patients if p not in training.patients])
    said = fitted(predictor(), training).predict(test)
    mean = fitted(PopulationMean(), training).predict(test)
    assert np.mean(np.abs(said - test.log_dose)) < 0.7 * np.mean(np.abs(mean - test.log_dose))
    assert training.log_dose.min() <= said.min() < said.max() <= training.log_dose.max()


def test_too_few_patients_for_a_cut_leave_the_mean(organ_examples):
    training, everyone, _ = organ_examples()
    for model in (BoostedTrees(least=15), ExtraTrees(least=10)):
        np.testing.assert_allclose(fitted(model, training).predict(everyone), training.log_dose.mean())
