"""The generated logic against the NumPy twin's exact integers; no compiler is needed here."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibrig.errors import InvalidInputError, MissingDependencyError
from calibrig.models.signal import evaluate_quantised, reference_model
from calibrig.parameters import NetworkLayer, SignalModel, TreeEnsemble
from calibrig.rtl import generate_core, make_vectors, sample_network, sample_trees
from calibrig.rtl.interpreter import interpret_operations

SCALES: dict[str, Any] = {"feature_offset": (0.0,) * 16, "feature_scale": (1.0,) * 16}


def wide_linear(bias: int) -> SignalModel:
    """16-bit weights on 16-bit features: sums of 36 bits, wider than the generator's own interpreter."""
    weights = np.random.default_rng(1).integers(-32767, 32768, 16)
    return SignalModel(**SCALES, weights=tuple(weights.tolist()), bias=bias, output_fraction_bits=30)


MODELS = {
    "reference": reference_model(),
    "wide linear": wide_linear(5),
    "linear with a large constant": wide_linear(2**31),
    "one coarse fraction bit": SignalModel(**SCALES, weights=(3,) + (0,) * 15, output_fraction_bits=1),
    "trees 20 x 3": sample_trees(seed=1),
    "trees 7 x 1": sample_trees(seed=2, n_trees=7, depth=1, feature_bits=8),
    "trees 100 x 4": sample_trees(seed=3, n_trees=100, depth=4, feature_bits=16),
    "network, 3-bit weights": sample_network(seed=1, weight_bits=3),
    "network, 8-bit weights, 16-bit features": sample_network(
        seed=2, weight_bits=8, feature_bits=16, activation_bits=16
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_both_interpreters_equal_the_twin(name: str) -> None:
    model = MODELS[name]
    vectors = make_vectors(model, 4000, seed=5)
    expected = evaluate_quantised(model, vectors)
    core = generate_core(model)
    assert len(np.unique(expected)) > 2
    np.testing.assert_array_equal(core.evaluate(vectors), expected)
    np.testing.assert_array_equal(interpret_operations(core.logic, vectors), expected)


INTEGER = st.integers
small_trees = st.builds(
    lambda features, thresholds, leaves, bias, fraction: SignalModel(
        **SCALES,
        kind="trees",
        feature_bits=8,
        trees=TreeEnsemble(depth=2, features=features, thresholds=thresholds, leaves=leaves),
        bias=bias,
        output_fraction_bits=fraction,
    ),
    st.tuples(*[INTEGER(0, 15)] * 6),
    st.tuples(*[INTEGER(-140, 140)] * 6),  # some lie outside the format: such a node always goes one way
    st.tuples(*[INTEGER(-(2**20), 2**20)] * 8),
    INTEGER(-(2**21), 2**21),
    INTEGER(0, 22),
)
small_networks = st.builds(
    lambda first, second, third, shifts, bits: SignalModel(
        **SCALES,
        kind="network",
        feature_bits=8,
        activation_bits=bits,
        layers=(
            NetworkLayer(weights=(first, second), bias=(shifts[2], -shifts[2]), shift=shifts[0]),
            NetworkLayer(weights=(third,), bias=(shifts[3],), shift=shifts[1]),
            NetworkLayer(weights=((third[0],),), bias=(shifts[2],), shift=0),
        ),
        output_fraction_bits=12,
    ),
    st.tuples(*[INTEGER(-300, 300)] * 16),
    st.tuples(*[INTEGER(-300, 300)] * 16),
    st.tuples(INTEGER(-9, 9), INTEGER(-9, 9)),
    st.tuples(INTEGER(0, 20), INTEGER(0, 20), INTEGER(-5000, 5000), INTEGER(-(2**20), 2**20)),
    INTEGER(8, 16),
)


@settings(max_examples=60, deadline=None)
@given(st.one_of(small_trees, small_networks))
def test_any_model_is_exact_or_refused_as_constant(model: SignalModel) -> None:
    vectors = make_vectors(model, 400, seed=1)
    expected = evaluate_quantised(model, vectors)
    if len(np.unique(expected)) == 1:
        with suppress(InvalidInputError):  # constant: refused where the logic shows it
            assert (generate_core(model).evaluate(vectors) == expected).all()
        return
    core = generate_core(model)
    np.testing.assert_array_equal(core.evaluate(vectors), expected)


def test_the_text_is_the_same_for_the_same_model() -> None:
    model = sample_network(seed=4, weight_bits=3)
    assert generate_core(model).sources == generate_core(model).sources


def test_more_stages_for_a_smaller_depth() -> None:
    model = sample_network(seed=1, weight_bits=3)
    cycles = [generate_core(model, stage_delay=delay).cycles for delay in (2.0, 4.0, 8.0)]
    assert cycles == sorted(cycles, reverse=True)
    assert cycles[0] > cycles[-1]


def test_a_model_that_uses_nothing_is_refused() -> None:
    model = SignalModel(**SCALES, weights=(0,) * 16, bias=3)
    with pytest.raises(InvalidInputError, match="same answer whatever the features"):
        generate_core(model)


@pytest.mark.parametrize("delay", [0.0, -1.0, float("nan")])
def test_a_stage_delay_below_one_is_refused(delay: float) -> None:
    with pytest.raises(InvalidInputError, match="stage_delay"):
        generate_core(reference_model(), stage_delay=delay)


def test_without_the_extra_the_message_holds_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "da4ml"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [finder for finder in sys.meta_path if not _finds(finder)])
    with pytest.raises(MissingDependencyError, match=r"pip install 'calibrig\[rtl\]'"):
        generate_core(reference_model())


def _finds(finder: Any) -> bool:
    return getattr(finder, "find_spec", None) is not None and finder.find_spec("da4ml", None) is not None


def test_a_changed_model_changes_the_text() -> None:
    model = sample_trees(seed=1)
    other = msgspec.structs.replace(model, bias=model.bias + 1)
    assert generate_core(model).sources != generate_core(other).sources
