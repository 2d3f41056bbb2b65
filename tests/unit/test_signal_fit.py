"""The signal fit: planted truth, no skill where there is none, no leak, robust errors, honest rounding."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from calibrig import Instrument, MarketData, Quotes, Trades, Verdict
from calibrig.calibration.regression import assign_time_blocks, fit_ridge, fit_slope, slope_errors
from calibrig.calibration.samples import build_samples, split_purged
from calibrig.calibration.signal import fit_signal
from calibrig.calibration.signal_rows import find_holdout_start
from calibrig.engine import extract_features
from calibrig.errors import InvalidTicksError
from calibrig.models.signal import evaluate_signal
from calibrig.parameters import FEATURE_NAMES

SECOND = 10**9
STEP = SECOND // 2
UNIT = 100
X = Instrument(symbol="X", tick_size=0.01, lot_size=1.0)


def world(seed: int, *, slope: float, seconds: int = 6_000, sessions: int = 1) -> MarketData:
    """Quotes each half second; the imbalance is a slow wave and the mid drifts by ``slope * imbalance`` a second.

    Unit 100 ticks (rounding to a coarse grid would be predictable noise): half-spread 10, noise 1 in a second.
    """
    rng = np.random.default_rng(seed)
    n = seconds * 2
    wave = np.zeros(n)
    noise = rng.standard_normal(n)
    for i in range(1, n):
        wave[i] = 0.99 * wave[i - 1] + 0.1 * noise[i]
    imbalance = np.tanh(wave)
    bid_lots = np.rint(500 * (1 + imbalance)).astype(int) + 1
    ask_lots = np.rint(500 * (1 - imbalance)).astype(int) + 1
    mid = 100_000 + np.concatenate(
        ([0], np.cumsum(0.5 * slope * imbalance[:-1] + rng.normal(0, math.sqrt(0.5), n - 1)))
    )
    bid = np.rint(UNIT * mid).astype(int) - 10 * UNIT
    spans = [
        [int(s * seconds * STEP * 2 / sessions), int((s + 1) * seconds * STEP * 2 / sessions)]
        for s in range(sessions)
    ]
    quotes = Quotes(
        time_ns=np.arange(n) * STEP,
        bid_ticks=bid,
        bid_lots=bid_lots,
        ask_ticks=bid + 20 * UNIT,
        ask_lots=ask_lots,
        sessions=spans,
        instrument=X,
    )
    m = seconds // 4
    trades = Trades(
        time_ns=np.sort(rng.integers(0, n * STEP, m)),
        price_ticks=np.full(m, 100_000 * UNIT),
        size_lots=np.ones(m),
        side=rng.choice([-1, 1], m),
        id=np.arange(m),
        sessions=spans,
        instrument=X,
    )
    return MarketData(trades=trades, quotes=quotes)


def test_planted_coefficient_and_r_squared_are_recovered() -> None:
    z, z_r, skills = [], [], []
    for seed in range(6):
        market = world(seed, slope=0.8)
        fit = fit_signal(market, controls=10, replicas=200)
        # the imbalance persists: over 1 s the move is 0.8 * (I_t + I_{t+1/2}) / 2, a little less than 0.8 I_t
        rows = extract_features(market)
        imbalance = rows.values[~rows.is_trade, FEATURE_NAMES.index("depth_imbalance")]
        persistence = 0.5 * (1 + float(imbalance[1:] @ imbalance[:-1] / (imbalance[:-1] @ imbalance[:-1])))
        truth = 0.8 * persistence
        z.append(
            (fit.imbalance_coefficient / UNIT - truth) / fit.standard_errors["imbalance_coefficient"] * UNIT
        )
        signal = truth**2 * float(np.var(imbalance))
        r_squared = signal / (signal + 1.0)
        z_r.append((fit.imbalance.r_squared - r_squared) / fit.imbalance.r_squared_error)
        skills.append(fit.r_squared)
        assert fit.verdict is Verdict.PASS, fit.reason
        assert json.loads(json.dumps(fit.to_dict()))["held_out"]["r_squared"] == fit.r_squared
    assert abs(np.mean(z)) < 3 / math.sqrt(6)
    assert np.std(z) < 2.0
    assert abs(np.mean(z_r)) < 3 / math.sqrt(6)
    assert min(skills) > 0.05


def test_no_skill_is_claimed_where_there_is_none() -> None:
    verdicts = [
        fit_signal(world(seed, slope=0.0, seconds=3_000), controls=20, replicas=200).verdict
        for seed in range(8)
    ]
    assert verdicts.count(Verdict.PASS) <= 1


def test_the_stored_model_is_the_judged_model() -> None:
    market = world(3, slope=0.8, sessions=3)
    fit = fit_signal(market, controls=5, replicas=50)
    assert find_holdout_start(market.sessions, 0.2) == market.sessions[2, 0]  # a whole session from three on
    rows = extract_features(market)
    samples = build_samples(market, rows, horizon_s=1.0)
    held = samples.time_ns >= market.sessions[2, 0]
    predicted = evaluate_signal(fit.parameters, samples.features[held])
    train = samples.time_ns + SECOND <= market.sessions[2, 0]
    target, mean = samples.target[held], samples.target[train].mean()
    r_squared = 1 - np.sum((target - predicted) ** 2) / np.sum((target - mean) ** 2)
    assert fit.r_squared == pytest.approx(r_squared, rel=1e-12)
    assert fit.parameters.skill_r_squared == fit.r_squared
    assert fit.test_rows == held.sum()


def test_samples_pair_each_tick_with_the_mid_one_horizon_later() -> None:
    market = world(1, slope=0.5, seconds=60)
    samples = build_samples(market, extract_features(market), horizon_s=2.0)
    mid = market.quotes.mid_ticks()
    at = samples.time_ns // STEP
    later = (samples.time_ns + 2 * SECOND) // STEP
    assert samples.move_ticks == pytest.approx(mid[later] - mid[at])
    assert samples.time_ns.max() + 2 * SECOND < market.sessions[-1, 1]
    assert np.all(samples.half_spread_ticks == 10.0 * UNIT)


def test_no_target_reaches_over_a_session_border() -> None:
    market = world(2, slope=0.5, seconds=600, sessions=3)
    samples = build_samples(market, extract_features(market), horizon_s=5.0)
    end = market.sessions[samples.session, 1]
    assert np.all(samples.time_ns + 5 * SECOND < end)


def test_purged_rows_do_not_know_the_test() -> None:
    rng = np.random.default_rng(0)
    t = np.sort(rng.integers(0, 1_000 * SECOND, 5_000))
    train, test = split_purged(
        t, test_start_ns=400 * SECOND, test_end_ns=500 * SECOND, horizon_s=7.0, embargo_s=11.0
    )
    first, last = t[test].min(), t[test].max()
    before, after = t[train & (t < first)], t[train & (t > last)]
    assert before.max() + 7 * SECOND <= 400 * SECOND
    assert after.min() >= (500 + 7 + 11) * SECOND
    assert not np.any(train & test)


def test_block_errors_allow_overlap() -> None:
    # y is a 20-row moving sum, x an autoregression: ordinary errors are far too small
    rng = np.random.default_rng(7)
    block = np.arange(6_000) // 200
    estimates, block_errors, plain_errors, slope_sd = [], [], [], []
    for _ in range(60):
        e = rng.standard_normal(6_020)
        y = np.convolve(e, np.ones(20), "valid")[:6_000]
        x = np.convolve(rng.standard_normal(6_020), np.ones(20), "valid")[:6_000, None]
        slope, intercept = fit_ridge(x, y, penalty=0.0)
        residual = y - intercept - x @ slope
        estimates.append(slope[0])
        block_errors.append(slope_errors(x, residual, block, penalty=0.0)[0])
        plain_errors.append(slope_errors(x, residual, np.arange(6_000), penalty=0.0)[0])
        slope_sd.append(fit_slope(x[:, 0], y, block, replicas=100, generator=rng).coefficient_error)
    spread = np.std(estimates)
    assert np.mean(block_errors) == pytest.approx(spread, rel=0.3)
    assert np.mean(slope_sd) == pytest.approx(spread, rel=0.3)
    assert np.mean(plain_errors) < 0.5 * spread


def test_ridge_is_the_closed_form() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((50, 4)), rng.standard_normal(50)
    slopes, intercept = fit_ridge(x, y, penalty=0.3)
    design = np.column_stack((np.ones(50), x))
    penalty = 50 * 0.3 * np.diag([0.0, 1, 1, 1, 1])
    exact = np.linalg.solve(design.T @ design + penalty, design.T @ y)
    assert np.concatenate(([intercept], slopes)) == pytest.approx(exact, rel=1e-10)


def test_blocks_never_span_sessions_and_short_data_is_refused() -> None:
    blocks = assign_time_blocks(np.array([0, 1, 2, 3]), np.array([0, 0, 1, 1]), block_s=100.0)
    assert blocks.tolist() == [0, 0, 1, 1]
    with pytest.raises(InvalidTicksError, match="at least 200"):
        fit_signal(world(0, slope=0.5, seconds=60))
