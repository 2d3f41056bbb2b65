"""Train the trees of a signal model with LightGBM, and read trees that were trained elsewhere."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibrig.errors import InvalidInputError, MissingDependencyError, UnavailableError

__all__ = [
    "TreeArrays",
    "TreeNode",
    "evaluate_trees",
    "read_lightgbm",
    "require_lightgbm",
    "stack_trees",
    "train_trees",
]

Float64Array = NDArray[np.float64]
Int64Array = NDArray[np.int64]

MAX_TREES, MAX_DEPTH = 100, 4
_ROWS_IN_LEAF = 200  # rows overlap: fewer would follow single moves
_LEAF_PENALTY = 10.0
_IDENTITY = {"regression", "regression_l1", "l2", "l1", "huber", "fair", "quantile", "mape", "mse", "mae"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeArrays:
    """Complete binary trees, breadth first; a row goes left where ``feature <= threshold``.

    Attributes
    ----------
    features : ndarray of int64, shape (trees, 2^depth - 1)
        Column of each decision.
    thresholds : ndarray of float64, same shape
        Infinite where every row goes left.
    leaves : ndarray of float64, shape (trees, 2^depth)
        The answer is the sum of the leaves reached.
    """

    features: Int64Array
    thresholds: Float64Array
    leaves: Float64Array


def evaluate_trees(trees: TreeArrays, design: Float64Array) -> Float64Array:
    """Return the sums of the leaves reached.

    Examples
    --------
    >>> one = TreeArrays(features=np.array([[0]]), thresholds=np.array([[0.5]]), leaves=np.array([[-1.0, 1.0]]))
    >>> evaluate_trees(one, np.array([[0.5], [0.6]])).tolist()
    [-1.0, 1.0]
    """
    total = np.zeros(len(design))
    rows = np.arange(len(design))
    decisions = trees.features.shape[1]
    for features, thresholds, leaves in zip(trees.features, trees.thresholds, trees.leaves, strict=True):
        node = np.zeros(len(design), dtype=np.int64)
        for _ in range(decisions.bit_length()):
            node = 2 * node + 1 + (design[rows, features[node]] > thresholds[node])
        total += leaves[node - decisions]
    return total


def train_trees(
    design: Float64Array,
    target: Float64Array,
    *,
    n_trees: int = 20,
    depth: int = 3,
    learning_rate: float = 0.15,
    seed: int = 0,
) -> TreeArrays:
    """Boost trees on the squared error with LightGBM, one thread, the same trees on every run.

    Parameters
    ----------
    design : ndarray of float64, shape (n, features)
    target : ndarray of float64, shape (n,)
    n_trees, depth : int
        1 to 100 trees of depth 1 to 4.
    learning_rate : float
        Share of each tree's answer that is taken.
    seed : int
        Of ties.

    Returns
    -------
    TreeArrays

    Raises
    ------
    MissingDependencyError
        The ``signal`` extra is not installed.

    Examples
    --------
    >>> x = np.random.default_rng(1).standard_normal((4000, 2))
    >>> trees = train_trees(x, np.sign(x[:, 1]), n_trees=10, depth=2, learning_rate=0.5)
    >>> bool(np.mean((evaluate_trees(trees, x) - np.sign(x[:, 1])) ** 2) < 0.02)
    True
    """
    if not (1 <= n_trees <= MAX_TREES and 1 <= depth <= MAX_DEPTH):
        raise InvalidInputError(
            f"{n_trees} trees of depth {depth}; give 1 to {MAX_TREES} of depth 1 to {MAX_DEPTH}"
        )
    lightgbm = require_lightgbm()
    options = {
        "objective": "l2",
        "learning_rate": learning_rate,
        "num_leaves": 1 << depth,
        "max_depth": depth,
        "min_data_in_leaf": min(_ROWS_IN_LEAF, max(len(target) // 50, 1)),
        "lambda_l2": _LEAF_PENALTY,
        "seed": seed,
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    data = lightgbm.Dataset(design, target, params={"verbosity": -1})
    return read_lightgbm(lightgbm.train(options, data, n_trees))


def require_lightgbm() -> Any:
    """Import LightGBM, or say how it is installed."""
    try:
        return importlib.import_module("lightgbm")
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            "training trees needs LightGBM; install it with: pip install 'calibrig[signal]'"
        ) from error
    except OSError as error:  # its library loads another of the system
        raise UnavailableError(
            f"LightGBM cannot be loaded: {error}; install the OpenMP runtime (Debian: apt-get install libgomp1)"
        ) from error


def read_lightgbm(booster: Any) -> TreeArrays:
    """Take the trees out of a LightGBM booster (or its scikit-learn estimator).

    Parameters
    ----------
    booster : lightgbm.Booster or lightgbm.LGBMRegressor
        A regression without link function, categories or linear leaves.

    Returns
    -------
    TreeArrays

    Raises
    ------
    InvalidInputError
        More than 100 trees, deeper than 4, or of a kind whose answer is no sum of leaves.
    """
    booster = getattr(booster, "booster_", booster)
    told = booster.dump_model()
    objective = str(told.get("objective", "regression")).split(" ")[0]
    if objective not in _IDENTITY or told.get("average_output") or told.get("num_tree_per_iteration", 1) != 1:
        raise InvalidInputError(
            f"a LightGBM model with objective {objective!r}"
            f"{', averaged' if told.get('average_output') else ''} is not a plain sum of trees; train a regression"
        )
    return stack_trees([TreeNode.from_lightgbm(tree["tree_structure"]) for tree in told["tree_info"]])


def stack_trees(roots: list[TreeNode]) -> TreeArrays:
    """Bring trees to one depth: a leaf that ends early is repeated below decisions that always go left.

    Raises
    ------
    InvalidInputError
        No tree, more than 100, or deeper than 4.
    """
    depth = max((root.depth for root in roots), default=0) or 1
    if not 1 <= len(roots) <= MAX_TREES or depth > MAX_DEPTH:
        raise InvalidInputError(
            f"{len(roots)} trees of depth {depth}; a signal model takes 1 to {MAX_TREES} of depth up to {MAX_DEPTH}: "
            "train with fewer trees, num_leaves=16 and max_depth=4 or less"
        )
    decisions = (1 << depth) - 1
    features = np.zeros((len(roots), decisions), dtype=np.int64)
    thresholds = np.full((len(roots), decisions), np.inf)
    leaves = np.zeros((len(roots), decisions + 1))
    for tree, root in enumerate(roots):
        level = [root]
        for first in ((1 << step) - 1 for step in range(depth)):
            below: list[TreeNode] = []
            for place, node in enumerate(level):
                if node.left is not None and node.right is not None:
                    features[tree, first + place], thresholds[tree, first + place] = (
                        node.feature,
                        node.threshold,
                    )
                    below += [node.left, node.right]
                else:
                    below += [node, node]
            level = below
        leaves[tree] = [node.value for node in level]
    return TreeArrays(features=features, thresholds=thresholds, leaves=leaves)


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeNode:
    """A decision with two branches, or a leaf with a value."""

    value: float = 0.0
    feature: int = 0
    threshold: float = np.inf
    left: TreeNode | None = None
    right: TreeNode | None = None

    @property
    def depth(self) -> int:
        """Decisions on the longest way to a leaf."""
        if self.left is None or self.right is None:
            return 0
        return 1 + max(self.left.depth, self.right.depth)

    @classmethod
    def from_lightgbm(cls, told: dict[str, Any]) -> TreeNode:
        """Read one node of ``dump_model`` and all below it."""
        if "split_feature" not in told:
            if told.get("leaf_coeff"):
                raise InvalidInputError(
                    "a LightGBM model with linear leaves is no sum of constants; train without"
                )
            return cls(value=float(told.get("leaf_value", 0.0)))
        if told["decision_type"] != "<=" or told.get("missing_type") == "Zero":
            raise InvalidInputError(
                f"a LightGBM decision {told['decision_type']!r} (missing: {told.get('missing_type')}) is no comparison "
                "of a number; train without categories and without zero_as_missing"
            )
        return cls(
            feature=int(told["split_feature"]),
            threshold=float(told["threshold"]),
            left=cls.from_lightgbm(told["left_child"]),
            right=cls.from_lightgbm(told["right_child"]),
        )

    @classmethod
    def from_scikit(cls, tree: Any, share: float, node: int = 0) -> TreeNode:
        """Read one ``sklearn`` tree whose leaves count with ``share``."""
        left, right = int(tree.children_left[node]), int(tree.children_right[node])
        if left < 0:
            return cls(value=share * float(tree.value[node].ravel()[0]))
        return cls(
            feature=int(tree.feature[node]),
            threshold=float(tree.threshold[node]),
            left=cls.from_scikit(tree, share, left),
            right=cls.from_scikit(tree, share, right),
        )
