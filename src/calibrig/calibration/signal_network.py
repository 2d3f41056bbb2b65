"""Train the small network of a signal model, so that it keeps its skill with few-bit weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = ["NetworkWeights", "evaluate_network", "train_network"]

Float64Array = NDArray[np.float64]
Float32Array = NDArray[np.float32]

WIDTHS = (32, 16, 1)
ACTIVATION_REACH = 8.0  # hidden values saturate here, as on the card
_EPOCHS = (12, 8)  # with exact weights; then with the weights rounded at every step
_BATCH = 512  # products of this size stay on one thread in OpenBLAS: more would only wait for each other
_RATE = 3e-3
_DECAY = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkWeights:
    """Weights and biases of the three layers, and the step that each layer's weights were rounded to.

    Attributes
    ----------
    weights : tuple of ndarray of float64, shapes (32, inputs), (16, 32), (1, 16)
        Multiples of ``2 ** -fraction_bits`` where the network was trained for integers.
    biases : tuple of ndarray of float64
        One per output.
    fraction_bits : tuple of int
        Per layer.
    """

    weights: tuple[Float64Array, ...]
    biases: tuple[Float64Array, ...]
    fraction_bits: tuple[int, ...]


def evaluate_network(network: NetworkWeights, design: Float64Array) -> Float64Array:
    """Return the answers in real numbers, before any rounding of features and hidden values.

    Examples
    --------
    >>> one = NetworkWeights(weights=(np.eye(2), np.eye(2), np.ones((1, 2))), biases=(np.zeros(2),) * 2 + (np.zeros(1),),
    ...     fraction_bits=(0, 0, 0))
    >>> evaluate_network(one, np.array([[1.0, -1.0], [9.0, 0.5]])).tolist()
    [1.0, 8.5]
    """
    values = design
    for weights, bias in zip(network.weights[:-1], network.biases[:-1], strict=True):
        values = np.clip(values @ weights.T + bias, 0.0, ACTIVATION_REACH)
    answers: Float64Array = (values @ network.weights[-1].T + network.biases[-1])[:, 0]
    return answers


def train_network(
    design: Float64Array,
    target: Float64Array,
    *,
    weight_bits: int = 4,
    sparsity: float = 0.5,
    epochs: Sequence[int] = _EPOCHS,
    seed: int = 0,
) -> NetworkWeights:
    """Minimise the squared error by Adam; then prune, and train on with the weights rounded at every step.

    Rounding passes the gradient through (Bengio, Leonard, Courville 2013), so the few-bit weights are those that were
    trained. Pruned weights stay 0: they cost nothing in silicon.

    Parameters
    ----------
    design : ndarray of float64, shape (n, inputs)
        Standardised features.
    target : ndarray of float64, shape (n,)
        What to predict.
    weight_bits : int
        Width of a weight with its sign.
    sparsity : float
        Share of the weights of the two wide layers that are pruned, the smallest of each first.
    epochs : sequence of two int
        Passes before and after pruning.
    seed : int
        Of first weights and of the order of rows.

    Returns
    -------
    NetworkWeights

    Examples
    --------
    >>> x = np.random.default_rng(1).standard_normal((4000, 4))
    >>> y = 0.5 * np.abs(x[:, 0]) - 0.4  # no line can follow this
    >>> network = train_network(x, y, weight_bits=6, sparsity=0.3, seed=1)
    >>> bool(np.var(y - evaluate_network(network, x)) < 0.1 * np.var(y))
    True
    """
    trainer = _Trainer(design, target, weight_bits=weight_bits, seed=seed)
    trainer.run(epochs[0], rounded=False)
    trainer.prune(sparsity)
    trainer.run(epochs[1], rounded=True)
    return trainer.collect()


class _Trainer:
    """Weights on their way, with Adam's two moments of each."""

    def __init__(self, design: Float64Array, target: Float64Array, *, weight_bits: int, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._design = np.ascontiguousarray(design, dtype=np.float32)
        self._target = np.ascontiguousarray(target, dtype=np.float32)
        self._largest = float((1 << (weight_bits - 1)) - 1)
        widths = (design.shape[1], *WIDTHS)
        self._values: list[Float32Array] = []  # weights and biases in turn
        for inputs, outputs in pairwise(widths):
            spread = np.sqrt(2.0 / inputs) if outputs > 1 else 0.1 / np.sqrt(inputs)
            drawn = self._rng.standard_normal((outputs, inputs)) * spread
            self._values += [drawn.astype(np.float32), np.zeros(outputs, dtype=np.float32)]
        self._values[-1][:] = target.mean()
        self._moments = [(np.zeros_like(v), np.zeros_like(v)) for v in self._values]
        self._masks = [np.ones_like(v) for v in self._values]
        self._fraction_bits: tuple[int, ...] = (0, 0, 0)
        self._step = 0

    def run(self, epochs: int, *, rounded: bool) -> None:
        rows = len(self._target)
        steps, done = epochs * -(-rows // _BATCH), 0
        if rounded:
            self._fraction_bits = tuple(self._choose_step(self._values[2 * i]) for i in range(3))
        for _ in range(epochs):
            order = self._rng.permutation(rows)
            for start in range(0, rows, _BATCH):
                picked = order[start : start + _BATCH]
                rate = _RATE * (0.5 if rounded else 1.0) * 0.5 * (1.0 + math.cos(math.pi * done / steps))
                self._descend(self._design[picked], self._target[picked], rate, rounded=rounded)
                done += 1

    def prune(self, sparsity: float) -> None:
        for index in (0, 2):
            sizes = np.abs(self._values[index])
            border = np.quantile(sizes, sparsity)
            self._masks[index] = (sizes >= border).astype(np.float32)
            self._values[index] *= self._masks[index]

    def collect(self) -> NetworkWeights:
        weights = tuple(
            self._round(self._values[2 * i], self._fraction_bits[i]).astype(np.float64) for i in range(3)
        )
        biases = tuple(self._values[2 * i + 1].astype(np.float64) for i in range(3))
        return NetworkWeights(weights=weights, biases=biases, fraction_bits=self._fraction_bits)

    def _choose_step(self, weights: Float32Array) -> int:
        """Fraction bits with the smallest squared error of rounding and cutting off."""
        tried = range(-2, 12)
        errors = [float(np.sum((self._round(weights, bits) - weights) ** 2)) for bits in tried]
        return tried[int(np.argmin(errors))]

    def _round(self, weights: Float32Array, fraction_bits: int) -> Float32Array:
        scale = np.float32(2.0**fraction_bits)
        rounded: Float32Array = np.clip(np.rint(weights * scale), -self._largest, self._largest) / scale
        return rounded

    def _descend(self, x: Float32Array, y: Float32Array, rate: float, *, rounded: bool) -> None:
        weights = [self._values[2 * i] for i in range(3)]
        if rounded:
            weights = [self._round(w, bits) for w, bits in zip(weights, self._fraction_bits, strict=True)]
        biases = [self._values[2 * i + 1] for i in range(3)]
        first = x @ weights[0].T + biases[0]
        hidden = np.clip(first, 0.0, ACTIVATION_REACH)
        second = hidden @ weights[1].T + biases[1]
        narrow = np.clip(second, 0.0, ACTIVATION_REACH)
        slope = (narrow @ weights[2].T + biases[2] - y[:, None]) * np.float32(2.0 / len(y))
        back = (slope @ weights[2]) * ((second > 0.0) & (second < ACTIVATION_REACH))
        deep = (back @ weights[1]) * ((first > 0.0) & (first < ACTIVATION_REACH))
        gradients = [deep.T @ x, deep.sum(0), back.T @ hidden, back.sum(0), slope.T @ narrow, slope.sum(0)]
        self._step += 1
        fade, fade_squared = 1.0 - 0.9**self._step, 1.0 - 0.999**self._step
        for value, gradient, (mean, square), mask in zip(
            self._values, gradients, self._moments, self._masks, strict=True
        ):
            np.multiply(gradient, mask, out=gradient)
            np.add(mean, 0.1 * (gradient - mean), out=mean)
            np.add(square, 0.001 * (gradient * gradient - square), out=square)
            step = (mean / fade) / (np.sqrt(square / fade_squared) + 1e-8) + _DECAY * value
            np.subtract(value, rate * step, out=value)
