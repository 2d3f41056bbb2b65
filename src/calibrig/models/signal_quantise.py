"""Bring trees and networks that were trained in real numbers into the integers of a signal model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibrig.errors import InvalidInputError
from calibrig.models.signal import N_FEATURES, add_golden_vectors
from calibrig.parameters import NetworkLayer, SignalModel, TreeEnsemble

__all__ = ["RANGE_BITS", "RANGE_STD", "quantise_network", "quantise_trees"]

RANGE_STD = 8.0  # standard deviations on each side before a feature saturates
RANGE_BITS = 4  # integer bits of a standardised feature, with its sign
_WEIGHT_LIMIT = 2**15 - 1
Float64Array = NDArray[np.float64]


def quantise_trees(
    features: ArrayLike,
    thresholds: ArrayLike,
    leaves: ArrayLike,
    *,
    bias: float = 0.0,
    feature_offset: Sequence[float] | Float64Array,
    feature_std: Sequence[float] | Float64Array,
    feature_bits: int = 12,
    output_fraction_bits: int = 12,
    horizon_s: float = 1.0,
    **record: Any,
) -> SignalModel:
    """Bring complete binary trees into fixed point.

    Parameters
    ----------
    features : array_like of int, shape (trees, 2^depth - 1)
        Index of the feature of each decision, breadth first.
    thresholds : array_like of float64, same shape
        In the feature's own unit: a row goes left where ``feature <= threshold``. Infinity sends every row left.
    leaves : array_like of float64, shape (trees, 2^depth)
        Half-spreads.
    bias : float
        Half-spreads, added to the sum of the leaves.
    feature_offset, feature_std : sequence of float, length 16
        Centre and spread of each feature; a spread of 0 makes the feature 0.
    feature_bits, output_fraction_bits : int
        Formats of a feature and of the answer.
    horizon_s : float
        Horizon of the prediction, s.
    **record
        Further fields of `SignalModel`.

    Returns
    -------
    SignalModel
        With golden vectors. A threshold lies between two integers, nearest to where it was.

    Raises
    ------
    InvalidInputError
        Wrong shapes, or numbers that are not finite (thresholds may be infinite).
    InvalidParametersError
        Too many trees, too deep, or leaves that overflow the format.

    Examples
    --------
    >>> model = quantise_trees([[1]], [[0.25]], [[-0.5, 0.5]], feature_offset=[0.0] * 16, feature_std=[1.0] * 16)
    >>> from calibrig.models.signal import evaluate_signal
    >>> evaluate_signal(model, [[0.0, 0.24] + [0.0] * 14, [0.0, 0.26] + [0.0] * 14]).tolist()
    [-0.5, 0.5]
    """
    chosen = np.asarray(features, dtype=np.int64)
    borders = np.asarray(thresholds, dtype=np.float64)
    values = np.asarray(leaves, dtype=np.float64)
    if (
        chosen.ndim != 2
        or borders.shape != chosen.shape
        or values.shape != (len(chosen), chosen.shape[1] + 1)
    ):
        raise InvalidInputError(
            f"trees of shapes {chosen.shape}, {borders.shape}, {values.shape}; give features and thresholds of shape "
            "(trees, 2^depth - 1) and leaves of shape (trees, 2^depth)"
        )
    if not (np.isfinite(values).all() and np.isfinite(bias)) or np.isnan(borders).any():
        raise InvalidInputError("a leaf, the bias or a threshold is not a number; train the trees again")
    centre, scale = make_scales(feature_offset, feature_std, feature_bits)
    reach = float(1 << (feature_bits - 1))
    used = scale[chosen] > 0.0  # a feature left out is its centre always
    scaled = np.where(used, (borders - centre[chosen]) * np.where(used, scale[chosen], 1.0), 0.0)
    scaled = np.where(used, scaled, np.where(borders >= centre[chosen], np.inf, -np.inf))
    # q <= T is (x - offset) * scale < T + 1/2, so T + 1/2 is to be next to the scaled threshold
    cut = np.clip(np.rint(scaled - 0.5), -reach - 1.0, reach - 1.0)
    one = float(1 << output_fraction_bits)
    model = SignalModel(
        kind="trees",
        feature_offset=tuple(centre.tolist()),
        feature_scale=tuple(scale.tolist()),
        feature_bits=feature_bits,
        trees=TreeEnsemble(
            depth=int(values.shape[1]).bit_length() - 1,
            features=tuple(chosen.ravel().tolist()),
            thresholds=tuple(int(t) for t in np.maximum(cut, -(2.0**15)).ravel()),
            leaves=tuple(int(v) for v in np.rint(values * one).ravel()),
        ),
        bias=round(bias * one),
        output_fraction_bits=output_fraction_bits,
        horizon_s=horizon_s,
        **record,
    )
    return add_golden_vectors(model)


def quantise_network(
    weights: Sequence[Float64Array],
    biases: Sequence[Float64Array],
    *,
    fraction_bits: Sequence[int],
    feature_offset: Sequence[float] | Float64Array,
    feature_std: Sequence[float] | Float64Array,
    reach_bits: Sequence[int] = (3, 3),
    feature_bits: int = 12,
    activation_bits: int = 10,
    horizon_s: float = 1.0,
    **record: Any,
) -> SignalModel:
    """Bring a network of three layers, which takes standardised features, into fixed point.

    Parameters
    ----------
    weights, biases : sequence of 3 arrays, shapes (outputs, inputs) and (outputs,)
        For features in standard deviations and answers in half-spreads; hidden layers rectify.
    fraction_bits : sequence of 3 int
        Weights are rounded to multiples of ``2 ** -fraction_bits``.
    feature_offset, feature_std : sequence of float, length 16
        Centre and spread of each feature.
    reach_bits : sequence of 2 int
        Hidden values saturate at ``2 ** reach_bits``.
    feature_bits, activation_bits : int
        Formats of a feature and of a hidden value.
    horizon_s : float
        Horizon of the prediction, s.
    **record
        Further fields of `SignalModel`.

    Returns
    -------
    SignalModel
        With golden vectors; hidden values are rounded to nearest.

    Raises
    ------
    InvalidInputError
        Numbers that are not finite, or weights that overflow 16 bits.
    InvalidParametersError
        Layers of an unsupported shape, or sums beyond 32 bits.

    Examples
    --------
    >>> first, second, last = np.zeros((2, 16)), np.eye(2), np.array([[0.5, -0.5]])
    >>> first[0, 1], first[1, 1] = 1.0, -1.0
    >>> model = quantise_network((first, second, last), (np.zeros(2), np.zeros(2), np.zeros(1)), fraction_bits=(2, 2, 2),
    ...     feature_offset=[0.0] * 16, feature_std=[1.0] * 16)
    >>> from calibrig.models.signal import evaluate_signal
    >>> evaluate_signal(model, [[0.0, -1.5] + [0.0] * 14]).tolist()
    [-0.75]
    """
    centre, scale = make_scales(feature_offset, feature_std, feature_bits)
    layers = []
    given_bits = feature_bits - RANGE_BITS  # fraction bits of what a layer is given
    for index, (matrix, bias, wished_bits) in enumerate(zip(weights, biases, fraction_bits, strict=True)):
        if not (np.isfinite(matrix).all() and np.isfinite(bias).all()):
            raise InvalidInputError(
                f"layer {index} holds a weight that is no number; train the network again"
            )
        last = index == len(weights) - 1
        wanted_bits = 0 if last else activation_bits - 1 - reach_bits[index]
        # a sum coarser than the hidden value is made finer: the same weights with more fraction bits
        own_bits = wished_bits if last else max(wished_bits, wanted_bits - given_bits)
        shift = 0 if last else given_bits + own_bits - wanted_bits
        integers = np.rint(matrix * 2.0**own_bits)
        if np.abs(integers).max(initial=0.0) > _WEIGHT_LIMIT:
            raise InvalidInputError(
                f"layer {index} has a weight of {np.abs(matrix).max():.4g}, beyond 16 bits with {own_bits} fraction "
                "bits; give fewer fraction bits"
            )
        half = 0 if shift == 0 else 1 << (shift - 1)
        constants = np.rint(bias * 2.0 ** (given_bits + own_bits)) + half
        layers.append(
            NetworkLayer(
                weights=tuple(tuple(int(w) for w in row) for row in integers),
                bias=tuple(int(b) for b in constants),
                shift=shift,
            )
        )
        output_bits, given_bits = given_bits + own_bits, wanted_bits
    model = SignalModel(
        kind="network",
        feature_offset=tuple(centre.tolist()),
        feature_scale=tuple(scale.tolist()),
        feature_bits=feature_bits,
        layers=tuple(layers),
        activation_bits=activation_bits,
        output_fraction_bits=output_bits,
        horizon_s=horizon_s,
        **record,
    )
    return add_golden_vectors(model)


def make_scales(
    offset: Sequence[float] | Float64Array, std: Sequence[float] | Float64Array, feature_bits: int
) -> tuple[Float64Array, Float64Array]:
    """Return offsets and scales of features that saturate at 8 standard deviations.

    Examples
    --------
    >>> make_scales([1.0] * 16, [0.5] * 16, 12)[1][0].item()
    512.0
    """
    centre, spread = np.asarray(offset, dtype=np.float64), np.asarray(std, dtype=np.float64)
    sound = np.isfinite(centre).all() and np.isfinite(spread).all() and (spread >= 0.0).all()
    if centre.shape != (N_FEATURES,) or spread.shape != (N_FEATURES,) or not sound:
        raise InvalidInputError(
            f"feature_offset and feature_std have shapes {centre.shape} and {spread.shape}; give {N_FEATURES} finite "
            "numbers each, spreads not negative"
        )
    reach = 2.0 ** (feature_bits - 1) / RANGE_STD
    return centre, np.where(spread > 0.0, reach / np.where(spread > 0.0, spread, 1.0), 0.0)
