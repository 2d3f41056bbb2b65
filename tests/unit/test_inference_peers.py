"""The peers that `bridge bench` measures compute the model that the bridge computes."""

from __future__ import annotations

import numpy as np
import pytest

from calibrig.models.signal import evaluate_signal, quantise_features, quantise_linear, typical_features
from calibrig.parameters import NetworkLayer, SignalModel, TreeEnsemble
from calibrig.testing import inference_peers
from calibrig.testing.inference_peers import measure_inference_peers


def make_trees(rng: np.random.Generator) -> SignalModel:
    trees = TreeEnsemble(
        depth=3,
        features=tuple(rng.integers(0, 16, 70).tolist()),
        thresholds=tuple(rng.integers(-3_000, 3_000, 70).tolist()),
        leaves=tuple(rng.integers(-50_000, 50_000, 80).tolist()),
    )
    return SignalModel(
        kind="trees", feature_offset=(0.1,) * 16, feature_scale=(1_000.0,) * 16, bias=777, trees=trees
    )


def make_network(rng: np.random.Generator) -> SignalModel:
    layers = tuple(
        NetworkLayer(
            weights=tuple(map(tuple, rng.integers(-60, 60, (rows, columns)).tolist())),
            bias=tuple(rng.integers(-999, 999, rows).tolist()),
            shift=shift,
        )
        for rows, columns, shift in ((32, 16, 10), (16, 32, 8), (1, 16, 0))
    )
    return SignalModel(
        kind="network", feature_offset=(0.0,) * 16, feature_scale=(1_000.0,) * 16, layers=layers
    )


@pytest.mark.parametrize("kind", ["linear", "trees", "network"])
def test_numpy_computes_the_same_model(kind: str) -> None:
    """Floats against the exact integers; a network rounds down twice, which is worth a few thousandths."""
    rng = np.random.default_rng(3)
    model = {
        "linear": lambda: quantise_linear([0.02] * 16, 0.1, [0.0] * 16, [1.0] * 16),
        "trees": lambda: make_trees(rng),
        "network": lambda: make_network(rng),
    }[kind]()
    for row in typical_features(model, 60, seed=1)[::3]:
        call = inference_peers._make_numpy(model, quantise_features(model, row).astype(np.float32))
        expected = evaluate_signal(model, row)[0]
        assert np.clip(float(call()), -1.0, 1.0) == pytest.approx(
            expected, abs=0.003 if kind == "network" else 1e-6
        )


@pytest.mark.parametrize("kind", ["trees", "network"])
def test_onnxruntime_computes_the_same_model(kind: str) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    model = (
        make_trees(np.random.default_rng(5)) if kind == "trees" else make_network(np.random.default_rng(5))
    )
    costs = measure_inference_peers(model, calls=100)
    assert [("off" in cost.note) for cost in costs] == [False] * 4
    assert all(cost.call_ns is not None and cost.call_ns > 0 for cost in costs)
