"""The signal model: record, quantisation and exact kernels, against plain Python integers."""

from __future__ import annotations

import math
from fractions import Fraction

import msgspec
import numpy as np
import pytest

from calibrig.errors import InvalidInputError, InvalidParametersError
from calibrig.models.signal import (
    evaluate_quantised,
    evaluate_signal,
    quantise_features,
    quantise_linear,
    reference_model,
    verify_golden_vectors,
)
from calibrig.parameters import NetworkLayer, SignalModel, TreeEnsemble

SCALES = {"feature_offset": (0.0,) * 16, "feature_scale": (1.0,) * 16}


def test_quantisation_rounds_halves_to_even_and_saturates() -> None:
    model = SignalModel(**SCALES, feature_bits=8, weights=(0,) * 16)
    values = [
        0.5,
        1.5,
        2.5,
        -0.5,
        -1.5,
        126.5,
        127.5,
        -128.5,
        1e308,
        -1e308,
        0.0,
        -0.0,
        3.49,
        3.51,
        -3.51,
        1e-320,
    ]
    expected = [
        min(127, max(-128, round(Fraction(v)))) for v in values
    ]  # Python rounds halves to even, exactly
    assert quantise_features(model, values).tolist() == expected


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_quantisation_refuses_what_is_not_finite(bad: float) -> None:
    with pytest.raises(InvalidInputError, match="finite"):
        quantise_features(reference_model(), [0.0] * 15 + [bad])


def test_quantise_linear_stays_close_to_the_floating_model() -> None:
    rng = np.random.default_rng(3)
    slope, centre = rng.normal(0, 0.05, 16), rng.normal(0, 1, 16)
    spread = rng.uniform(0.1, 3, 16)
    model = quantise_linear(slope / spread, 0.02, centre, spread)
    x = centre + spread * rng.normal(size=(2_000, 16))
    exact = np.clip(0.02 + x @ (slope / spread), -1, 1)
    # Half a quantum per feature (8 standard deviations in 2^15 steps) and half a weight step, 16 times.
    bound = np.abs(slope).sum() * 0.5 * 8 / 2**15 + 16 * 0.5 * 2**15 / 2.0**model.output_fraction_bits
    assert np.abs(evaluate_signal(model, x) - exact).max() <= bound
    assert verify_golden_vectors(model)


def test_quantise_linear_leaves_constant_features_out() -> None:
    model = quantise_linear([1.0] * 16, 0.0, [0.0] * 16, [0.0] * 15 + [1.0])
    assert model.weights[:15] == (0,) * 15
    assert model.weights[15] > 0


def test_quantise_linear_refuses_coefficients_that_do_not_fit() -> None:
    with pytest.raises(InvalidInputError, match="too large"):
        quantise_linear([1e12] + [0.0] * 15, 0.0, [0.0] * 16, [1.0] * 16)
    with pytest.raises(InvalidInputError, match="coefficients has shape"):
        quantise_linear([1.0] * 3, 0.0, [0.0] * 16, [1.0] * 16)


def test_answers_saturate_at_one() -> None:
    model = quantise_linear([1.0] * 16, 0.0, [0.0] * 16, [1.0] * 16)
    assert evaluate_signal(model, [[10.0] * 16, [-10.0] * 16]).tolist() == [1.0, -1.0]


def test_trees_follow_the_stated_order() -> None:
    # node 0: feature 1 <= 10; left child: feature 2 <= 0; right child: feature 3 <= -5
    trees = TreeEnsemble(depth=2, features=(1, 2, 3), thresholds=(10, 0, -5), leaves=(1, 2, 4, 8))
    model = SignalModel(**SCALES, kind="trees", trees=trees, bias=100, output_fraction_bits=20)
    rows = np.zeros((4, 16), np.int16)
    rows[0, 1:4] = 10, 0, 0  # left, left
    rows[1, 1:4] = 10, 1, 0  # left, right
    rows[2, 1:4] = 11, 0, -5  # right, left
    rows[3, 1:4] = 11, 0, -4  # right, right
    assert evaluate_quantised(model, rows).tolist() == [101, 102, 104, 108]


def test_network_shifts_downwards_and_rectifies() -> None:
    layers = (
        NetworkLayer(weights=((3,) + (0,) * 15, (-3,) + (0,) * 15), bias=(1, 1), shift=1),
        NetworkLayer(weights=((1, 1),), bias=(0,), shift=0),
        NetworkLayer(weights=((5,),), bias=(7,), shift=0),
    )
    model = SignalModel(**SCALES, kind="network", layers=layers, activation_bits=8, output_fraction_bits=20)
    rows = np.zeros((3, 16), np.int16)
    rows[:, 0] = 2, -2, 1000
    # 2: (7 >> 1, -5 >> 1) = (3, -3 -> 0); 5 * 3 + 7. -2: (-3 -> 0, 3). 1000: saturates at 127.
    assert evaluate_quantised(model, rows).tolist() == [22, 22, 5 * 127 + 7]


def test_hash_names_what_decides_and_nothing_else() -> None:
    model = reference_model()
    assert msgspec.structs.replace(model, skill_r_squared=0.1).content_hash == model.content_hash
    assert msgspec.structs.replace(model, bias=model.bias + 1).content_hash != model.content_hash
    assert model.model_id == int(model.content_hash[:8], 16)


def test_golden_vectors_notice_another_answer() -> None:
    model = reference_model()
    assert verify_golden_vectors(model)
    wrong = (model.golden_values[0] + 1, *model.golden_values[1:])
    assert not verify_golden_vectors(msgspec.structs.replace(model, golden_values=wrong))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"weights": (1,) * 15}, "give 16"),
        ({"weights": (2**15,) + (0,) * 15}, "weights\\[0\\]"),
        ({"kind": "forest"}, "'linear', 'trees' or 'network'"),
        ({"kind": "trees"}, "weights is given"),
        ({"feature_scale": (-1.0,) * 16}, "at least 0"),
        ({"feature_bits": 17}, "8 .. 16"),
        ({"output_fraction_bits": 31}, "0 .. 30"),
        ({"golden_values": (1,)}, "one each"),
    ],
)
def test_records_refuse_what_cannot_run(change: dict[str, object], match: str) -> None:
    fields: dict[str, object] = {**SCALES, "weights": (1,) * 16, **change}
    with pytest.raises(InvalidParametersError, match=match):
        SignalModel(**fields)  # type: ignore[arg-type]


def test_network_that_overflows_32_bits_is_refused() -> None:
    wide = NetworkLayer(weights=((32767,) * 16,), bias=(0,), shift=0)
    one = NetworkLayer(weights=((1,),), bias=(0,), shift=0)
    with pytest.raises(InvalidParametersError, match="32 bits"):
        SignalModel(**SCALES, kind="network", layers=(wide, one, one))


def test_records_survive_json() -> None:
    trees = TreeEnsemble(depth=1, features=(1,), thresholds=(0,), leaves=(-100, 100))
    model = SignalModel(**SCALES, kind="trees", trees=trees)
    assert msgspec.json.decode(msgspec.json.encode(model), type=SignalModel) == model
