"""Random models of the supported shapes: nothing in them is pruned, so they are the hardest case for silicon."""

from __future__ import annotations

import numpy as np

from calibrig.models.signal import N_FEATURES, add_golden_vectors
from calibrig.parameters import NetworkLayer, SignalModel, TreeEnsemble

__all__ = ["sample_network", "sample_trees"]


def sample_trees(*, seed: int, n_trees: int = 20, depth: int = 3, feature_bits: int = 12) -> SignalModel:
    """Return trees with random features, thresholds and leaves.

    Parameters
    ----------
    seed : int
        Of everything.
    n_trees, depth, feature_bits : int
        Shape and input format.

    Examples
    --------
    >>> sample_trees(seed=1).trees.n_trees
    20
    """
    rng = np.random.default_rng(seed)
    n_nodes, fraction = n_trees * ((1 << depth) - 1), 12
    quarter = 1 << (feature_bits - 2)
    leaf = (1 << fraction) // 8
    model = SignalModel(
        kind="trees",
        feature_offset=(0.0,) * N_FEATURES,
        feature_scale=(float(quarter // 4),) * N_FEATURES,
        feature_bits=feature_bits,
        trees=TreeEnsemble(
            depth=depth,
            features=tuple(rng.integers(0, N_FEATURES, n_nodes).tolist()),
            thresholds=tuple(rng.integers(-quarter, quarter, n_nodes).tolist()),
            leaves=tuple(rng.integers(-leaf, leaf + 1, n_trees << depth).tolist()),
        ),
        bias=int(rng.integers(-leaf, leaf)),
        output_fraction_bits=fraction,
    )
    return add_golden_vectors(model)


def sample_network(
    *, seed: int, weight_bits: int = 4, feature_bits: int = 12, activation_bits: int = 10
) -> SignalModel:
    """Return a dense network 16-32-16-1 with random weights.

    Parameters
    ----------
    seed : int
        Of everything.
    weight_bits, feature_bits, activation_bits : int
        Widths, each with its sign.

    Examples
    --------
    >>> [layer.shape for layer in sample_network(seed=1).layers]
    [(32, 16), (16, 32), (1, 16)]
    """
    rng = np.random.default_rng(seed)
    largest = (1 << (weight_bits - 1)) - 1
    layers, width, bits = [], N_FEATURES, feature_bits
    for outputs in (32, 16, 1):
        weights = rng.integers(-largest, largest + 1, (outputs, width))
        # A sum of `width` products has about this spread; the shift brings it back to the activation's width.
        spread_bits = bits - 1 + weight_bits - 2 + int(np.log2(width)) // 2
        shift = 0 if outputs == 1 else max(spread_bits - (activation_bits - 1), 0)
        bias = rng.integers(-(1 << spread_bits - 2), 1 << spread_bits - 2, outputs)
        layers.append(
            NetworkLayer(weights=tuple(map(tuple, weights.tolist())), bias=tuple(bias.tolist()), shift=shift)
        )
        width, bits = outputs, activation_bits
    model = SignalModel(
        kind="network",
        feature_offset=(0.0,) * N_FEATURES,
        feature_scale=(float(1 << (feature_bits - 4)),) * N_FEATURES,
        feature_bits=feature_bits,
        layers=tuple(layers),
        activation_bits=activation_bits,
        output_fraction_bits=activation_bits + weight_bits,
    )
    return add_golden_vectors(model)
