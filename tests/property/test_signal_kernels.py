"""Every instruction set's kernel equals the NumPy twin bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibrig._native import signal as native
from calibrig.models.signal import evaluate_quantised, golden_inputs, quantise_features
from calibrig.parameters import NetworkLayer, SignalModel, TreeEnsemble


def random_model(kind: str, rng: np.random.Generator) -> SignalModel:
    """Any valid model of a kind, extremes included."""
    bits = int(rng.integers(8, 17))
    fields: dict[str, Any] = {
        "kind": kind,
        "feature_offset": tuple(rng.normal(0, 2, 16).tolist()),
        "feature_scale": tuple((2.0 ** rng.uniform(0, 14, 16)).tolist()),
        "feature_bits": bits,
        "output_fraction_bits": int(rng.integers(0, 31)),
    }
    if kind != "network":
        fields["bias"] = int(rng.integers(-(2**40), 2**40)) >> int(rng.integers(0, 40))
    if kind == "linear":
        fields["weights"] = tuple((rng.integers(-(2**15) + 1, 2**15, 16) >> rng.integers(0, 12)).tolist())
    elif kind == "trees":
        depth, n_trees = int(rng.integers(1, 5)), int(rng.integers(1, 101))
        nodes, leaves = n_trees * ((1 << depth) - 1), n_trees << depth
        fields["trees"] = TreeEnsemble(
            depth=depth,
            features=tuple(rng.integers(0, 16, nodes).tolist()),
            thresholds=tuple(
                (rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), nodes) // rng.integers(1, 9)).tolist()
            ),
            leaves=tuple((rng.integers(-(2**24), 2**24 + 1, leaves) >> rng.integers(0, 20)).tolist()),
        )
    else:
        fields["activation_bits"] = int(rng.integers(8, 17))
        widths = (16, int(rng.integers(1, 33)), int(rng.integers(1, 17)), 1)
        largest = 2 ** (bits - 1)
        layers = []
        for k in range(3):
            limit = max(1, min(2**15, (2**31 - 2**21) // (largest * widths[k]))) - 1
            weights = rng.integers(-limit, limit + 1, (widths[k + 1], widths[k]))
            layers.append(
                NetworkLayer(
                    weights=tuple(map(tuple, weights.tolist())),
                    bias=tuple(rng.integers(-(2**20), 2**20, widths[k + 1]).tolist()),
                    shift=int(rng.integers(0, 20)) if k < 2 else 0,
                )
            )
            largest = 2 ** (fields["activation_bits"] - 1) - 1
        fields["layers"] = tuple(layers)
    return SignalModel(**fields)


@pytest.mark.parametrize("isa", native.available_isas())
@pytest.mark.parametrize("kind", ["linear", "trees", "network"])
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_kernels_equal_the_twin(isa: str, kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = random_model(kind, rng)
    inputs = golden_inputs(model, 200)
    assert np.array_equal(native.Model(model, isa).evaluate(inputs), evaluate_quantised(model, inputs))


@pytest.mark.parametrize("isa", native.available_isas())
@pytest.mark.parametrize(
    "features",
    [
        pytest.param([3], id="one feature with up to 1,500 thresholds: six rankings"),
        pytest.param([0, 15], id="two features, three rankings each"),
        pytest.param(
            list(range(15)) + [15] * 9, id="sixteen features, one beyond a byte: no room for a second ranking"
        ),
    ],
)
@pytest.mark.parametrize("step", [1, 40])
def test_trees_of_few_features_equal_the_twin(isa: str, features: list[int], step: int) -> None:
    """Thresholds are ranked in bytes where they fit; inputs lie on every threshold, beside it, and at the ends."""
    rng = np.random.default_rng(len(features) + step)
    trees = TreeEnsemble(
        depth=4,
        features=tuple(rng.choice(features, 1_500).tolist()),
        thresholds=tuple((rng.permutation(1_500) * step - 750 * step).clip(-(2**15), 2**15 - 1).tolist()),
        leaves=tuple(rng.integers(-(2**24), 2**24 + 1, 1_600).tolist()),
    )
    model = SignalModel(
        kind="trees",
        feature_offset=(0.0,) * 16,
        feature_scale=(1.0,) * 16,
        output_fraction_bits=30,
        trees=trees,
    )
    inputs = rng.choice(np.asarray(trees.thresholds), (1_000, 16)) + rng.integers(-1, 2, (1_000, 16))
    inputs[:2] = [[2**15 - 1], [-(2**15)]]
    rows = inputs.clip(-(2**15), 2**15 - 1).astype(np.int16)
    assert np.array_equal(native.Model(model, isa).evaluate(rows), evaluate_quantised(model, rows))


@pytest.mark.parametrize("isa", native.available_isas())
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_quantisation_equals_the_twin(isa: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = random_model("linear", rng)
    x = rng.normal(0, 2, (300, 16)) * 10.0 ** rng.integers(-3, 4, (300, 16))
    halves = np.round(rng.normal(0, 50, (100, 16))) + 0.5
    offset, scale = np.asarray(model.feature_offset), np.asarray(model.feature_scale)
    rows = np.concatenate([x, offset + halves / scale, np.full((1, 16), 1e308), np.full((1, 16), -1e308)])
    assert np.array_equal(native.Model(model, isa).quantise(rows), quantise_features(model, rows))


@pytest.mark.parametrize("isa", native.available_isas())
@pytest.mark.parametrize("place", range(16))
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_quantisation_refuses_what_is_not_finite(isa: str, place: int, bad: float) -> None:
    row = np.zeros((1, 16))
    row[0, place] = bad
    model = native.Model(random_model("linear", np.random.default_rng(0)), isa)
    with pytest.raises(ValueError, match="NaN or infinite"):
        model.quantise(row)
