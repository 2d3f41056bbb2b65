"""Trees and networks: what they can learn and a line cannot, exact rounding, the choice, models trained elsewhere."""

from __future__ import annotations

import importlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibrig import Instrument, MarketData, Quotes, Trades, fit_signal, import_signal
from calibrig.calibration.signal_choice import choose_kind
from calibrig.calibration.signal_import import read_foreign, read_lightgbm_file
from calibrig.calibration.signal_judging import add_timing
from calibrig.calibration.signal_network import evaluate_network, train_network
from calibrig.calibration.signal_trees import evaluate_trees, read_lightgbm, train_trees
from calibrig.errors import (
    FileFormatError,
    InvalidInputError,
    InvalidParametersError,
    MissingDependencyError,
    MissingFileError,
)
from calibrig.models.signal import evaluate_signal, quantise_features, verify_golden_vectors
from calibrig.models.signal_quantise import quantise_network, quantise_trees
from calibrig.parameters import Verdict
from calibrig.rtl import TimingReport
from calibrig.rtl.timing import SeedResult

SECOND = 10**9
X = Instrument(symbol="X", tick_size=0.01, lot_size=1.0)
ROWS = np.random.default_rng(11).standard_normal((3_000, 16)) * np.linspace(0.5, 20.0, 16) + 3.0
CENTRE, SPREAD = ROWS.mean(axis=0), ROWS.std(axis=0)
TARGET = np.clip(0.3 * np.abs((ROWS[:, 1] - CENTRE[1]) / SPREAD[1]) - 0.2, -1, 1)


def bent_world(seed: int, *, strength: float, seconds: int = 3_000) -> MarketData:
    """Quotes each half second; the mid drifts by ``strength`` where the imbalance is far from 0, against it near 0.

    The drift is even in the imbalance, so no line in the features can follow it. Half-spread 1,000 ticks, noise 100
    in a second.
    """
    rng = np.random.default_rng(seed)
    n = seconds * 2
    wave, noise = np.zeros(n), rng.standard_normal(n)
    for i in range(1, n):
        wave[i] = 0.99 * wave[i - 1] + 0.14 * noise[i]
    imbalance = np.tanh(wave)
    drift = strength * np.where(np.abs(imbalance) > 0.55, 1.0, -1.0)
    mid = 1e7 + 100.0 * np.concatenate(
        ([0.0], np.cumsum(0.5 * drift[:-1] + rng.normal(0, math.sqrt(0.5), n - 1)))
    )
    bid = np.rint(mid).astype(int) - 1_000
    span = [[0, n * SECOND // 2]]
    quotes = Quotes(
        time_ns=np.arange(n) * (SECOND // 2),
        bid_ticks=bid,
        bid_lots=np.rint(500 * (1 + imbalance)).astype(int) + 1,
        ask_ticks=bid + 2_000,
        ask_lots=np.rint(500 * (1 - imbalance)).astype(int) + 1,
        sessions=span,
        instrument=X,
    )
    m = seconds // 4
    trades = Trades(
        time_ns=np.sort(rng.integers(0, n * SECOND // 2, m)),
        price_ticks=np.full(m, 10_000_000),
        size_lots=np.ones(m),
        side=rng.choice([-1, 1], m),
        id=np.arange(m),
        sessions=span,
        instrument=X,
    )
    return MarketData(trades=trades, quotes=quotes)


def test_what_no_line_can_follow_is_left_to_trees() -> None:
    # truth: half the drift is explained where |imbalance| stays on its side for the second; R^2 of the true regression
    # is strength^2 / (strength^2 + 1) at most
    market = bent_world(5, strength=0.8)
    fit = fit_signal(market, kinds=("linear", "trees", "network"), controls=5, replicas=200)
    best = 0.8**2 / (0.8**2 + 1.0)
    assert fit.kind != "linear"
    assert 0.4 * best < fit.r_squared < 1.1 * best
    assert fit.verdict is Verdict.PASS, fit.reason
    assert fit.importance[0].feature == "depth_imbalance"
    assert fit.importance[0].loss > 5 * fit.importance[0].error
    assert max(fit.control_r_squared) < 0.02
    assert [c.kind for c in fit.candidates] == ["trees", "linear", "network"]  # fastest in a card first
    assert verify_golden_vectors(fit.parameters)
    assert json.loads(json.dumps(fit.to_dict()))["kind"] == fit.kind
    assert fit.kind in fit.summary()
    assert {p.held_out for p in fit.periods} == {True, False}


@pytest.mark.parametrize("kind", ["trees", "network"])
def test_no_skill_is_claimed_where_there_is_none(kind: str) -> None:
    verdicts = [
        fit_signal(bent_world(seed, strength=0.0), kinds=(kind,), controls=3, replicas=200).verdict
        for seed in range(4)
    ]
    assert verdicts.count(Verdict.PASS) == 0


def test_the_same_seed_gives_the_same_model() -> None:
    market = bent_world(6, strength=0.8, seconds=1_500)
    for kind in ("trees", "network"):
        one, two = (
            fit_signal(market, kinds=(kind,), controls=0, replicas=50, seed=3).parameters for _ in range(2)
        )
        assert one.content_hash == two.content_hash


def test_a_slower_kind_needs_a_gain_that_is_real_and_worth_its_time() -> None:
    rng = np.random.default_rng(1)
    y, zero, block = rng.standard_normal(4_000), np.zeros(4_000), np.arange(4_000) // 20
    line = 0.3 * y
    little = line + 0.001 * y  # gains 1 - 0.699^2 - (1 - 0.7^2) = 0.0014, the same in every block
    ns = {"linear": 20.0, "trees": 220.0}
    assert choose_kind({"linear": line, "trees": little}, zero, y, block, device_ns=ns)[0] == "linear"
    cheap = {"linear": 20.0, "trees": 30.0}
    assert choose_kind({"linear": line, "trees": little}, zero, y, block, device_ns=cheap)[0] == "trees"
    doubtful = line + 0.2 * rng.standard_normal(4_000) * (block[:, None] == 7).ravel()
    assert choose_kind({"linear": line, "trees": doubtful}, zero, y, block, device_ns=cheap)[0] == "linear"


def test_trees_in_integers_are_the_trees_that_were_trained() -> None:
    design = np.rint((ROWS - CENTRE) / SPREAD * 256) / 256  # the grid of 12-bit features
    trees = train_trees(design, TARGET, n_trees=30, depth=4, learning_rate=0.3)
    model = quantise_trees(
        trees.features,
        trees.thresholds * SPREAD[trees.features] + CENTRE[trees.features],
        trees.leaves,
        feature_offset=CENTRE,
        feature_std=SPREAD,
    )
    rounded = quantise_features(model, ROWS) / 256
    expected = np.clip(evaluate_trees(trees, rounded), -1, 1)
    # every leaf is rounded to 2^-12: 30 leaves are off by at most 30 * 2^-13
    assert np.abs(evaluate_signal(model, ROWS) - expected).max() <= 30 / 2**13


def test_the_network_in_integers_is_the_network_that_was_trained() -> None:
    design = (ROWS - CENTRE) / SPREAD
    network = train_network(design, TARGET, weight_bits=4, sparsity=0.5, epochs=(20, 20), seed=2)
    assert np.mean((evaluate_network(network, design) - TARGET) ** 2) < 0.3 * np.var(TARGET)
    for weights, bits in zip(network.weights, network.fraction_bits, strict=True):
        integers = weights * 2.0**bits
        assert np.array_equal(integers, np.rint(integers))
        assert np.abs(integers).max() <= 7
    assert (network.weights[0] == 0).mean() >= 0.5
    model = quantise_network(
        network.weights,
        network.biases,
        fraction_bits=network.fraction_bits,
        feature_offset=CENTRE,
        feature_std=SPREAD,
    )
    difference = evaluate_signal(model, ROWS) - np.clip(evaluate_network(network, design), -1, 1)
    # hidden values are rounded to 1/64 and features to 1/256: small beside the answers, and without a bias
    assert np.std(difference) < 0.02
    assert abs(np.mean(difference)) < 0.002


def lightgbm_of(**options: Any) -> Any:
    lightgbm = pytest.importorskip("lightgbm")
    settings = {"objective": "l2", "num_leaves": 8, "max_depth": 3, "verbosity": -1, "num_threads": 1}
    data = lightgbm.Dataset(ROWS, TARGET, params={"verbosity": -1})
    return lightgbm.train({**settings, **options}, data, options.pop("rounds", 20))


def test_lightgbm_is_taken_over_exactly(tmp_path: Path) -> None:
    booster = lightgbm_of()
    taken = read_foreign(booster)
    expected = booster.predict(ROWS, num_threads=1)
    assert taken.predict(ROWS) == pytest.approx(expected, abs=1e-12)
    booster.save_model(tmp_path / "model.txt")
    assert read_lightgbm_file(tmp_path / "model.txt").predict(ROWS) == pytest.approx(expected, abs=1e-12)


def test_scikit_learn_is_taken_over_exactly() -> None:
    pytest.importorskip("sklearn")
    from sklearn.ensemble import GradientBoostingRegressor
    from sklearn.linear_model import LinearRegression, Ridge
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    for model in (
        LinearRegression(),
        make_pipeline(StandardScaler(), Ridge()),
        GradientBoostingRegressor(n_estimators=15, max_depth=3, random_state=1),
        make_pipeline(
            StandardScaler(), GradientBoostingRegressor(n_estimators=5, max_depth=4, random_state=1)
        ),
        make_pipeline(
            StandardScaler(),
            MLPRegressor(
                hidden_layer_sizes=(32, 16), max_iter=60, early_stopping=True, random_state=1, tol=1e-2
            ),
        ),
    ):
        model.fit(ROWS, TARGET)
        taken = read_foreign(model)
        assert taken.predict(ROWS) == pytest.approx(model.predict(ROWS), abs=1e-6)
        record = taken.quantise(CENTRE, SPREAD, ROWS, feature_bits=None, horizon_s=1.0)
        rounded = evaluate_signal(record, ROWS)
        error = np.std(rounded - np.clip(model.predict(ROWS), -1, 1))
        assert error < 0.1 * np.std(model.predict(ROWS)), (type(model), error)


def test_an_imported_model_is_judged_like_our_own() -> None:
    pytest.importorskip("sklearn")
    from sklearn.ensemble import GradientBoostingRegressor

    from calibrig.calibration.samples import build_samples
    from calibrig.engine import extract_features

    market = bent_world(5, strength=0.8)
    samples = build_samples(market, extract_features(market), horizon_s=1.0)
    early = samples.time_ns < 0.8 * market.sessions[-1, 1]
    model = GradientBoostingRegressor(n_estimators=20, max_depth=3, random_state=1)
    model.fit(samples.features[early], samples.target[early])
    fit = import_signal(model, market, replicas=200)
    assert fit.kind == "trees"
    assert fit.parameters.calibration_samples is None
    held = samples.time_ns >= 0.8 * market.sessions[-1, 1]
    target, answers = samples.target[held], evaluate_signal(fit.parameters, samples.features[held])
    train = samples.time_ns + SECOND <= 0.8 * market.sessions[-1, 1]
    expected = 1 - np.sum((target - answers) ** 2) / np.sum((target - samples.target[train].mean()) ** 2)
    assert fit.r_squared == pytest.approx(expected, rel=1e-12)
    assert fit.r_squared > 0.1
    assert max(fit.control_r_squared) < fit.r_squared


def test_unsupported_shapes_are_refused_by_name(tmp_path: Path) -> None:
    for options, words in (
        ({"max_depth": 6, "num_leaves": 64, "min_data_in_leaf": 5}, "depth"),
        ({"rounds": 101}, "101 trees"),
        ({"objective": "poisson"}, "poisson"),
    ):
        lightgbm = pytest.importorskip("lightgbm")
        rounds = options.pop("rounds", 3)
        settings = {"objective": "l2", "max_depth": 3, "verbosity": -1, "num_threads": 1, **options}
        data = lightgbm.Dataset(ROWS, np.abs(TARGET), params={"verbosity": -1})
        with pytest.raises(InvalidInputError, match=words):
            read_lightgbm(lightgbm.train(settings, data, rounds))
    with pytest.raises(InvalidInputError, match="a dict cannot be taken over"):
        read_foreign({})
    with pytest.raises(MissingFileError, match="there is no file"):
        read_lightgbm_file(tmp_path / "no")
    (tmp_path / "bad").write_text("tree\nnonsense")
    for content in ("", "tree\nnonsense", "\x00\xff"):
        (tmp_path / "bad").write_text(content)
        with pytest.raises(FileFormatError, match="no LightGBM model"):
            read_lightgbm_file(tmp_path / "bad")


def test_networks_of_another_shape_are_refused() -> None:
    pytest.importorskip("sklearn")
    from sklearn.neural_network import MLPRegressor

    for model, words in (
        (MLPRegressor(hidden_layer_sizes=(64, 16), max_iter=1), "at most 32 and 16"),
        (MLPRegressor(hidden_layer_sizes=(8,), max_iter=1), "two hidden layers"),
        (MLPRegressor(hidden_layer_sizes=(8, 8), activation="tanh", max_iter=1), "activation='relu'"),
    ):
        with pytest.warns(UserWarning, match="iterations"):
            model.fit(ROWS[:300], TARGET[:300])
        with pytest.raises(InvalidInputError, match=words):
            read_foreign(model)


def test_weights_that_overflow_the_format_are_refused() -> None:
    ones = (
        [np.ones((4, 16)), np.full((4, 4), 1.5), np.ones((1, 4))],
        [np.zeros(4), np.zeros(4), np.zeros(1)],
    )
    with pytest.raises(InvalidInputError, match="beyond 16 bits"):
        quantise_network(*ones, fraction_bits=(16, 2, 2), feature_offset=CENTRE, feature_std=SPREAD)
    with pytest.raises(InvalidParametersError, match="above the 32 bits of its sum"):
        quantise_network(
            *ones,
            fraction_bits=(2, 14, 14),
            feature_offset=CENTRE,
            feature_std=SPREAD,
            activation_bits=16,
            reach_bits=(-1, -1),
        )
    with pytest.raises(InvalidParametersError, match="leaves"):
        quantise_trees([[0]], [[0.0]], [[1e6, 0.0]], feature_offset=CENTRE, feature_std=SPREAD)
    with pytest.raises(InvalidInputError, match="not a number"):
        quantise_trees([[0]], [[0.0]], [[np.nan, 0.0]], feature_offset=CENTRE, feature_std=SPREAD)


def test_unknown_kinds_are_refused_and_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    market = bent_world(1, strength=0.5, seconds=600)
    for kinds in ((), ("forest",), ("linear", "linear")):
        with pytest.raises(InvalidInputError, match="give some of linear, trees, network"):
            fit_signal(market, kinds=kinds)
    real = importlib.import_module

    def refuse(name: str, *rest: Any) -> Any:
        if name == "lightgbm":
            raise ModuleNotFoundError(name)
        return real(name, *rest)

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(MissingDependencyError, match=r"calibrig\[signal\]"):
        fit_signal(market, kinds=("trees",))
    assert len(fit_signal(market, controls=0, replicas=20).gates) == 6


def test_the_device_gate_travels_with_the_evidence() -> None:
    fit = fit_signal(bent_world(5, strength=0.8), kinds=("trees",), controls=2, replicas=100)
    gate = next(gate for gate in fit.gates if gate.name == "device_ns")
    assert gate.passed is None

    def report(mhz: float, model_hash: str) -> TimingReport:
        return TimingReport(
            model_hash=model_hash,
            build_hash="0" * 64,
            kind="trees",
            part="part",
            tools={"placer": "1"},
            stage_delay=3.0,
            card_cycles=4,
            core_cycles=4,
            luts=1,
            luts_available=2,
            flip_flops=1,
            seeds=(SeedResult(seed=1, fmax_hz=mhz * 1e6, critical_path=()),),
        )

    own = fit.parameters.content_hash
    placed = add_timing(fit, report(100.0, own))
    assert placed.verdict is fit.verdict is Verdict.PASS
    assert next(g.value for g in placed.gates if g.name == "device_ns") == pytest.approx(40.0)  # 4 / 100 MHz
    slow = add_timing(fit, report(10.0, own))  # 4 clocks of 100 ns: 400 is not below 400
    assert slow.verdict is Verdict.FAIL
    assert "device_ns is 400" in slow.reason
    with pytest.raises(InvalidInputError, match="is of model 1111"):
        add_timing(fit, report(100.0, "1" * 64))
