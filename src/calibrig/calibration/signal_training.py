"""Train one kind of signal model on standardised features: every kind gives real answers and, rounded, a record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from calibrig.calibration.regression import fit_ridge, fit_ridge_path
from calibrig.calibration.samples import SignalSamples, split_purged
from calibrig.calibration.signal_import import ForeignModel
from calibrig.calibration.signal_network import evaluate_network, train_network
from calibrig.calibration.signal_trees import evaluate_trees, train_trees
from calibrig.errors import InvalidInputError
from calibrig.models.signal import quantise_linear
from calibrig.models.signal_quantise import RANGE_BITS, RANGE_STD, quantise_network, quantise_trees
from calibrig.parameters import SignalModel

__all__ = [
    "FEATURE_BITS",
    "KINDS",
    "MEMORY_S",
    "Design",
    "Trained",
    "choose_penalty",
    "standardise",
    "train",
    "wrap_foreign",
]

Float64Array = NDArray[np.float64]

KINDS = ("linear", "trees", "network")
FEATURE_BITS = MappingProxyType({"linear": 16, "trees": 12, "network": 12})
MEMORY_S = 60.0  # the longest average among the features
_FOLDS = 5
_PENALTIES = (0.0, 1e-4, 1e-3, 1e-2, 1e-1)
_SPARSITY = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """Standardised features, and what they were standardised with.

    Attributes
    ----------
    values : ndarray of float64, shape (n, 16)
        Saturating at 8 deviations as on the card; a constant feature is 0.
    centre, spread : ndarray of float64, shape (16,)
        Of the training rows.
    """

    values: Float64Array
    centre: Float64Array
    spread: Float64Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """One trained model.

    Attributes
    ----------
    kind : str
    predict : callable
        Real answers, unclipped, to standardised rows.
    quantise : callable
        The record of ``horizon_s`` and ``feature_bits``.
    slopes : ndarray of float64, shape (16,)
        Linear models: per standard deviation; empty for the other kinds.
    intercept, penalty : float
        Linear models.
    """

    kind: str
    predict: Callable[[Float64Array], Float64Array]
    quantise: Callable[[float, int | None], SignalModel]
    slopes: Float64Array = field(default_factory=lambda: np.zeros(0))
    intercept: float = 0.0
    penalty: float = 0.0


def standardise(features: Float64Array, train_rows: NDArray[np.bool_]) -> Design:
    """Standardise by the training rows.

    Examples
    --------
    >>> rows = np.array([[1.0, 5.0], [3.0, 5.0], [99.0, 7.0]])
    >>> standardise(rows, np.array([True, True, False])).values.tolist()
    [[-1.0, 0.0], [1.0, 0.0], [8.0, 0.0]]
    """
    centre, spread = features[train_rows].mean(axis=0), features[train_rows].std(axis=0)
    spread = np.where(spread > 1e-12 * np.maximum(np.abs(centre), 1.0), spread, 0.0)
    values = np.where(spread > 0.0, (features - centre) / np.where(spread > 0.0, spread, 1.0), 0.0)
    return Design(values=np.clip(values, -RANGE_STD, RANGE_STD), centre=centre, spread=spread)


def train(
    kind: str,
    design: Design,
    rows: NDArray[np.bool_] | NDArray[np.int64],
    target: Float64Array,
    *,
    penalty: float,
    n_trees: int,
    depth: int,
    weight_bits: int,
    feature_bits: int | None,
    seed: int,
) -> Trained:
    """Train one kind on the ``rows`` of the design.

    Parameters
    ----------
    kind : str
        ``"linear"``, ``"trees"`` or ``"network"``.
    design : Design
        All rows.
    rows : mask or indices
        Those to learn from.
    target : ndarray of float64
        One per row learned from.
    penalty : float
        Linear: ridge penalty.
    n_trees, depth : int
        Trees: their shape.
    weight_bits : int
        Network: width of a weight.
    feature_bits : int or None
        Width of a feature; the kind's own by default.
    seed : int
        Of ties and first weights.
    """
    x = design.values[rows]
    if kind == "linear":
        return _train_linear(design, x, target, penalty)
    if kind == "trees":
        step = 2.0 ** (RANGE_BITS - (feature_bits or FEATURE_BITS["trees"]))
        x = np.rint(x / step) * step  # learns on the grid of the card: every border lies between two integers
        trees = train_trees(x, target, n_trees=n_trees, depth=depth, seed=seed)
        unit = np.where(design.spread > 0.0, design.spread, 1.0)

        def quantise(horizon_s: float, feature_bits: int | None) -> SignalModel:
            return quantise_trees(
                trees.features,
                trees.thresholds * unit[trees.features] + design.centre[trees.features],
                trees.leaves,
                feature_offset=design.centre,
                feature_std=design.spread,
                feature_bits=feature_bits or FEATURE_BITS["trees"],
                horizon_s=horizon_s,
            )

        return Trained(kind=kind, predict=lambda given: evaluate_trees(trees, given), quantise=quantise)
    if kind == "network":
        network = train_network(x, target, weight_bits=weight_bits, sparsity=_SPARSITY, seed=seed)
        return Trained(
            kind=kind,
            predict=lambda given: evaluate_network(network, given),
            quantise=lambda horizon_s, feature_bits: quantise_network(
                network.weights,
                network.biases,
                fraction_bits=network.fraction_bits,
                feature_offset=design.centre,
                feature_std=design.spread,
                feature_bits=feature_bits or FEATURE_BITS["network"],
                horizon_s=horizon_s,
            ),
        )
    raise InvalidInputError(f"kind is {kind!r}; give one of {', '.join(KINDS)}")


def _train_linear(design: Design, x: Float64Array, target: Float64Array, penalty: float) -> Trained:
    slopes, intercept = fit_ridge(x, target, penalty=penalty)
    used = design.spread > 0.0
    per_unit = np.where(used, slopes / np.where(used, design.spread, 1.0), 0.0)
    return Trained(
        kind="linear",
        predict=lambda given: intercept + given @ slopes,
        quantise=lambda horizon_s, feature_bits: quantise_linear(
            per_unit,
            intercept - float(per_unit @ design.centre),
            design.centre,
            design.spread,
            feature_bits=feature_bits or FEATURE_BITS["linear"],
            horizon_s=horizon_s,
        ),
        slopes=slopes,
        intercept=intercept,
        penalty=penalty,
    )


def wrap_foreign(model: ForeignModel, design: Design, sample: Float64Array) -> Trained:
    """Make a model that was trained elsewhere look like one trained here; ``sample`` holds rows of features."""
    unit = np.where(design.spread > 0.0, design.spread, 1.0)
    slopes = np.zeros(0) if model.linear is None else model.linear[0] * unit
    intercept = 0.0 if model.linear is None else model.linear[1] + float(model.linear[0] @ design.centre)
    return Trained(
        kind=model.kind,
        predict=lambda given: model.predict(given * unit + design.centre),
        quantise=lambda horizon_s, feature_bits: model.quantise(
            design.centre, design.spread, sample, feature_bits=feature_bits, horizon_s=horizon_s
        ),
        slopes=slopes,
        intercept=intercept,
    )


def choose_penalty(
    samples: SignalSamples, design: Float64Array, train_rows: NDArray[np.bool_], horizon_s: float
) -> float:
    """Penalty with the smallest squared error over purged folds in time order."""
    rows = np.flatnonzero(train_rows)
    target = samples.target
    losses = np.zeros(len(_PENALTIES))
    for part in np.array_split(rows, _FOLDS):
        inner, held = split_purged(
            samples.time_ns[rows],
            test_start_ns=int(samples.time_ns[part[0]]),
            test_end_ns=int(samples.time_ns[part[-1]]) + 1,
            horizon_s=horizon_s,
            embargo_s=MEMORY_S,
        )
        fit_rows, test_rows = rows[inner], rows[held]
        if len(fit_rows) < 100 or not len(test_rows):
            continue
        slopes, intercepts = fit_ridge_path(design[fit_rows], target[fit_rows][:, None], penalties=_PENALTIES)
        predicted = design[test_rows] @ np.column_stack(slopes) + np.concatenate(intercepts)
        losses += np.sum((target[test_rows][:, None] - predicted) ** 2, axis=0)
    return float(_PENALTIES[int(np.argmin(losses))])
