"""What the signal model answers: the NumPy twin of the kernels and of the card, exact in integers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibrig.errors import InvalidInputError
from calibrig.parameters import FEATURE_NAMES, NetworkLayer, ParameterVersion, SignalModel

__all__ = [
    "add_golden_vectors",
    "evaluate_quantised",
    "evaluate_signal",
    "quantise_features",
    "quantise_linear",
    "reference_model",
    "typical_features",
    "verify_golden_vectors",
]

N_FEATURES = len(FEATURE_NAMES)
_N_GOLDEN = 32
_WEIGHT_LIMIT = 2**15 - 1


def quantise_features(model: SignalModel, features: ArrayLike) -> NDArray[np.int16]:
    """Make features into the integers that the model and the card take, saturating.

    Parameters
    ----------
    model : SignalModel
        Holds offsets, scales and width.
    features : array_like of float64, shape (n, 16) or (16,)
        In the order of ``FEATURE_NAMES``; finite.

    Returns
    -------
    ndarray of int16, same shape
        ``clamp(rint((x - offset) * scale))``, halves to even.

    Raises
    ------
    InvalidInputError
        Wrong shape, NaN or infinity.

    Examples
    --------
    >>> quantise_features(reference_model(), np.zeros(16)).tolist() == [0] * 16
    True
    """
    values = np.asarray(features, dtype=np.float64)
    if values.ndim not in {1, 2} or values.shape[-1] != N_FEATURES:
        raise InvalidInputError(f"features have shape {values.shape}; give (n, {N_FEATURES})")
    if not np.isfinite(values).all():
        place = np.argwhere(~np.isfinite(values))[0].tolist()
        raise InvalidInputError(f"features{place} is {values[tuple(place)]}; give finite numbers")
    reach = float(2 ** (model.feature_bits - 1))
    with np.errstate(over="ignore"):
        scaled = (values - np.asarray(model.feature_offset)) * np.asarray(model.feature_scale)
    rounded: NDArray[np.int16] = np.rint(np.clip(scaled, -reach, reach - 1.0)).astype(np.int16)
    return rounded


def evaluate_quantised(model: SignalModel, quantised: NDArray[np.int16]) -> NDArray[np.int32]:
    """Compute the model's integer for integer features; exact.

    Parameters
    ----------
    model : SignalModel
        Any kind.
    quantised : ndarray of int16, shape (n, 16)
        From `quantise_features`.

    Returns
    -------
    ndarray of int32, shape (n,)
        In units of ``2 ** -output_fraction_bits``, clamped to +-1.

    Examples
    --------
    >>> model = reference_model()
    >>> evaluate_quantised(model, np.zeros((1, 16), np.int16)).tolist()
    [0]
    """
    inputs = np.asarray(quantised).astype(np.int64)
    if model.kind == "linear":
        total = inputs @ np.asarray(model.weights, dtype=np.int64) + model.bias
    elif model.kind == "trees":
        total = _sum_leaves(model, inputs) + model.bias
    else:
        total = _run_layers(model, inputs)
    one = 1 << model.output_fraction_bits
    clamped: NDArray[np.int32] = np.clip(total, -one, one).astype(np.int32)
    return clamped


def _sum_leaves(model: SignalModel, inputs: NDArray[np.int64]) -> NDArray[np.int64]:
    trees = model.trees
    assert trees is not None
    shape = (trees.n_trees, (1 << trees.depth) - 1)
    features = np.reshape(trees.features, shape)
    thresholds = np.reshape(trees.thresholds, shape)
    leaves = np.reshape(np.asarray(trees.leaves, dtype=np.int64), (trees.n_trees, 1 << trees.depth))
    rows, columns = np.arange(len(inputs))[:, None], np.arange(trees.n_trees)[None, :]
    node = np.zeros((len(inputs), trees.n_trees), dtype=np.int64)
    for _ in range(trees.depth):
        right = inputs[rows, features[columns, node]] > thresholds[columns, node]
        node = 2 * node + 1 + right
    reached: NDArray[np.int64] = leaves[columns, node - shape[1]]
    total: NDArray[np.int64] = reached.sum(axis=1)
    return total


def _run_layers(model: SignalModel, inputs: NDArray[np.int64]) -> NDArray[np.int64]:
    largest = (1 << (model.activation_bits - 1)) - 1
    values = inputs
    for layer in model.layers[:-1]:
        values = np.clip(_apply(layer, values) >> layer.shift, 0, largest)
    answers: NDArray[np.int64] = _apply(model.layers[-1], values)[:, 0]
    return answers


def _apply(layer: NetworkLayer, values: NDArray[np.int64]) -> NDArray[np.int64]:
    weights = np.asarray(layer.weights, dtype=np.int64)
    sums: NDArray[np.int64] = values @ weights.T + np.asarray(layer.bias, dtype=np.int64)
    return sums


def evaluate_signal(model: SignalModel, features: ArrayLike) -> NDArray[np.float64]:
    """Predict the mid move over the model's horizon, in half-spreads.

    Parameters
    ----------
    model : SignalModel
        Any kind.
    features : array_like of float64, shape (n, 16)
        In the order of ``FEATURE_NAMES``.

    Returns
    -------
    ndarray of float64, shape (n,)
        In [-1, 1]; the same bits as every compiled kernel and the card.

    Examples
    --------
    >>> signal = evaluate_signal(reference_model(), np.eye(16))
    >>> bool(signal[1] > 0)  # depth on the bid side predicts a rise
    True
    """
    rows = np.atleast_2d(np.asarray(features, dtype=np.float64))
    value = evaluate_quantised(model, quantise_features(model, rows))
    return value / float(1 << model.output_fraction_bits)


def quantise_linear(
    coefficients: Sequence[float] | NDArray[np.float64],
    intercept: float,
    feature_offset: Sequence[float] | NDArray[np.float64],
    feature_std: Sequence[float] | NDArray[np.float64],
    *,
    feature_bits: int = 16,
    range_std: float = 8.0,
    horizon_s: float = 1.0,
    **record: Any,
) -> SignalModel:
    """Bring a linear model ``intercept + coefficients @ x`` into fixed point.

    Parameters
    ----------
    coefficients : sequence of float, length 16
        Half-spreads per unit of each feature (not per standard deviation).
    intercept : float
        Half-spreads.
    feature_offset, feature_std : sequence of float, length 16
        Centre and spread of each feature; a spread of 0 leaves the feature out.
    feature_bits : int
        Width of a feature, 8 to 16.
    range_std : float
        Standard deviations on each side before a feature saturates.
    horizon_s : float
        Horizon of the prediction, s.
    **record
        Further fields of `SignalModel`: skill, samples, version.

    Returns
    -------
    SignalModel
        With as many fraction bits as 16-bit weights allow, and golden vectors.

    Raises
    ------
    InvalidInputError
        Wrong lengths, numbers that are not finite, or coefficients too large for the format.

    Examples
    --------
    >>> model = quantise_linear([0.1] + [0.0] * 15, 0.0, [0.0] * 16, [1.0] * 16)
    >>> float(np.round(evaluate_signal(model, [[2.0] + [0.0] * 15])[0], 4))
    0.2
    """
    slope, centre, spread = (
        _sixteen(name, values)
        for name, values in (
            ("coefficients", coefficients),
            ("feature_offset", feature_offset),
            ("feature_std", feature_std),
        )
    )
    if (spread < 0).any() or not range_std > 0 or not np.isfinite(intercept):
        raise InvalidInputError(
            f"feature_std must be >= 0 (smallest is {spread.min()}), range_std above 0 (is {range_std}) and "
            f"intercept finite (is {intercept})"
        )
    used = spread > 0
    scale = np.where(used, 2.0 ** (feature_bits - 1) / (range_std * np.where(used, spread, 1.0)), 0.0)
    per_quantum = np.where(used, slope / np.where(used, scale, 1.0), 0.0)
    constant = float(intercept) + float(slope @ centre)
    bits = _fraction_bits(float(np.abs(per_quantum).max()), abs(constant))
    model = SignalModel(
        kind="linear",
        feature_offset=tuple(centre.tolist()),
        feature_scale=tuple(scale.tolist()),
        feature_bits=feature_bits,
        weights=tuple(int(w) for w in np.rint(per_quantum * 2.0**bits)),
        bias=round(constant * 2**bits),
        output_fraction_bits=bits,
        horizon_s=horizon_s,
        **record,
    )
    return add_golden_vectors(model)


def _sixteen(name: str, values: Any) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (N_FEATURES,) or not np.isfinite(array).all():
        raise InvalidInputError(
            f"{name} has shape {array.shape}; give {N_FEATURES} finite numbers, in the order of FEATURE_NAMES"
        )
    return array


def _fraction_bits(largest_weight: float, constant: float) -> int:
    """Most fraction bits (at most 30) that keep weights in 16 bits and the constant in 47."""
    for bits in range(30, 3, -1):
        if largest_weight * 2.0**bits <= _WEIGHT_LIMIT and constant * 2.0**bits <= 2.0**46:
            return bits
    raise InvalidInputError(
        f"a coefficient of {largest_weight:g} half-spreads per quantum is too large for 16-bit weights; "
        "lower range_std or check the units of the features"
    )


def golden_inputs(model: SignalModel, n_vectors: int = _N_GOLDEN) -> NDArray[np.int16]:
    """Integer inputs that exercise corners and the inside, seeded by the model's hash."""
    reach = 1 << (model.feature_bits - 1)
    rng = np.random.Generator(np.random.PCG64(int(model.content_hash, 16)))
    inside = rng.integers(-reach, reach, size=(n_vectors, N_FEATURES))
    inside[8::2] //= 16  # typical sizes: features are a few standard deviations, not the whole range
    inside[0], inside[1], inside[2] = 0, reach - 1, -reach
    inside[3], inside[4] = 1, -1
    return inside.astype(np.int16)


def typical_features(model: SignalModel, n_rows: int, *, seed: int) -> NDArray[np.float64]:
    """Draw rows that use the model's range: a third within an eighth of it, a third all of it, a third beyond.

    Examples
    --------
    >>> typical_features(reference_model(), 5, seed=1).shape
    (5, 16)
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    reach = 2.0 ** (model.feature_bits - 1) * np.array([0.125, 1.0, 4.0])[np.arange(n_rows) % 3]
    scale = np.asarray(model.feature_scale)
    inverse = np.where(scale > 0, 1.0 / np.where(scale > 0, scale, 1.0), 0.0)
    spread = rng.uniform(-1.0, 1.0, (n_rows, N_FEATURES)) * reach[:, None]
    rows: NDArray[np.float64] = np.asarray(model.feature_offset) + spread * inverse
    return rows


def add_golden_vectors(model: SignalModel, n_vectors: int = _N_GOLDEN) -> SignalModel:
    """Return the model with inputs and answers a device is checked with.

    Examples
    --------
    >>> len(add_golden_vectors(reference_model()).golden_values)
    32
    """
    inputs = golden_inputs(model, n_vectors)
    return msgspec.structs.replace(
        model,
        golden_features=tuple(tuple(row) for row in inputs.tolist()),
        golden_values=tuple(evaluate_quantised(model, inputs).tolist()),
    )


def verify_golden_vectors(model: SignalModel) -> bool:
    """Whether the stored answers are those that the arithmetic gives; False too where there are none.

    Examples
    --------
    >>> verify_golden_vectors(reference_model())
    True
    """
    if not model.golden_values:
        return False
    inputs = np.asarray(model.golden_features, dtype=np.int16)
    return tuple(evaluate_quantised(model, inputs).tolist()) == model.golden_values


def reference_model() -> SignalModel:
    """Return the packaged model a bridge runs when it is given none: linear, never fitted, origin "default".

    It leans with depth imbalance, microprice and order flow, and carries no skill figure.

    Examples
    --------
    >>> reference_model().version.origin
    'default'
    """
    slope = dict.fromkeys(FEATURE_NAMES, 0.0)
    slope.update(depth_imbalance=0.2, microprice_offset=0.1, order_flow_imbalance_fast=0.05)
    spread = dict.fromkeys(FEATURE_NAMES, 1.0)
    spread.update(depth_imbalance=0.5, microprice_offset=0.5, intensity_imbalance=0.5)
    return quantise_linear(
        list(slope.values()),
        0.0,
        [0.0] * N_FEATURES,
        list(spread.values()),
        version=ParameterVersion(
            version_id=1,
            updated_at=0,
            updated_by="calibrig",
            comment="packaged reference model, never fitted",
            kind="signal",
            origin="default",
        ),
    )
