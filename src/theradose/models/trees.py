"""Ensembles of regression trees on selected covariates, kept as arrays of nodes: boosted, and extremely randomised."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor

from theradose.models.predictors import FloatRange, IntRange, Range
from theradose.models.tabular import TabularDose

Nodes = dict[str, np.ndarray]
NODES = ("root", "feature", "threshold", "left", "right", "value")


def nodes_of(
    feature: np.ndarray, threshold: np.ndarray, children: tuple[np.ndarray, np.ndarray], value: np.ndarray
) -> Nodes:
    """Return the nodes of one tree, each array (nodes,), the root first; a leaf is a child of its own.

    `children` are the places of the left and right ones, below 1 where there are none.
    """
    left, right = (np.asarray(side, np.int64) for side in children)
    leaf, own = left < 1, np.arange(len(left))
    return {
        "feature": np.where(leaf, 0, feature).astype(np.int32),
        "threshold": np.where(leaf, 0.0, threshold),
        "left": np.where(leaf, own, left).astype(np.int32),
        "right": np.where(leaf, own, right).astype(np.int32),
        "value": np.where(leaf, value, 0.0),
    }


def joined(trees: Sequence[Nodes]) -> Nodes:
    """Return the nodes of all trees one after the other, with the place of each root, (trees,)."""
    root = np.cumsum([0, *(len(tree["value"]) for tree in trees[:-1])]).astype(np.int32)
    moved = [{**t, "left": t["left"] + at, "right": t["right"] + at} for t, at in zip(trees, root, strict=True)]
    return {"root": root, **{name: np.concatenate([tree[name] for tree in moved]) for name in trees[0]}}


def leaf_values(nodes: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """Return the value of the leaf that each row of x (n, k) reaches in each tree, (n, trees)."""
    row = np.arange(len(x))[:, None]
    at = np.tile(nodes["root"], (len(x), 1))
    while True:
        goes_left = x[row, nodes["feature"][at]] <= nodes["threshold"][at]
        below = np.where(goes_left, nodes["left"][at], nodes["right"][at])
        if (below == at).all():
            return np.asarray(nodes["value"][at])
        at = below


class BoostedTrees(TabularDose):
    """log D by `rounds` shallow trees, each fitted to what those before it leave; no patient is held back."""

    name: ClassVar[str] = "gradient_boosting"
    stored: ClassVar[tuple[str, ...]] = NODES
    space: ClassVar[dict[str, Range]] = {
        "rounds": IntRange(20, 200),
        "learning_rate": FloatRange(0.02, 0.2, log=True),
        "leaves": IntRange(2, 8),
        "least": IntRange(3, 15),
        "k": IntRange(1, 40),
    }
    defaults: ClassVar[dict[str, Any]] = {"rounds": 80, "learning_rate": 0.06, "leaves": 4, "least": 5, "k": 15}

    def _learn(self, x: np.ndarray, target: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        p = self.parameters
        boosted = HistGradientBoostingRegressor(
            max_iter=p["rounds"],
            learning_rate=p["learning_rate"],
            max_leaf_nodes=p["leaves"],
            min_samples_leaf=p["least"],
            early_stopping=False,
            random_state=seed,
        ).fit(x, target)
        # The library shows its trees under a private name alone; a test compares what they say with its prediction.
        trees = [one.nodes for (one,) in boosted._predictors]
        nodes = [nodes_of(t["feature_idx"], t["num_threshold"], (t["left"], t["right"]), t["value"]) for t in trees]
        return {**joined(nodes), "intercept": boosted._baseline_prediction.ravel()}

    def _apply(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(leaf_values(self.learned, x).sum(axis=1))


class ExtraTrees(TabularDose):
    """log D by the mean of `trees` trees that cut at random places, leaves of at least `least` patients."""

    name: ClassVar[str] = "extra_trees"
    stored: ClassVar[tuple[str, ...]] = NODES
    space: ClassVar[dict[str, Range]] = {
        "least": IntRange(1, 10),
        "part": FloatRange(0.1, 1.0),
        "k": IntRange(1, 60),
    }
    defaults: ClassVar[dict[str, Any]] = {"trees": 100, "least": 2, "part": 0.5, "k": 20}

    def _learn(self, x: np.ndarray, target: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        p = self.parameters
        forest = ExtraTreesRegressor(
            p["trees"], min_samples_leaf=p["least"], max_features=p["part"], random_state=seed, n_jobs=1
        ).fit(x, target)
        trees = [one.tree_ for one in forest.estimators_]
        nodes = [nodes_of(t.feature, t.threshold, (t.children_left, t.children_right), t.value.ravel()) for t in trees]
        return {**joined(nodes), "intercept": np.zeros(1)}

    def _apply(self, x: np.ndarray) -> np.ndarray:
        # The library compares in single precision, and a value next to a threshold must fall where it would there.
        return np.asarray(leaf_values(self.learned, x.astype(np.float32)).mean(axis=1))
