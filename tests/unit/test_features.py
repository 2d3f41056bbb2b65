"""Native features against the sums that define them, and their behaviour at the edges of the data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibrig._native import engine as native
from calibrig.engine import extract_features
from calibrig.engine.columns import mark_new_orders, quoting_numbers, risk_numbers
from calibrig.engine.feature_twin import compute_features
from calibrig.errors import InvalidTicksError
from calibrig.market import MarketData, Quotes, Trades, merge_child_fills
from calibrig.models.hawkes import HawkesEngine
from calibrig.models.quoting import AvellanedaStoikov
from calibrig.models.risk import compute_regime_signal, compute_regimes, compute_volatility
from calibrig.parameters import (
    FEATURE_NAMES,
    AvellanedaStoikovParameters,
    HawkesParameters,
    Instrument,
    RiskParameters,
)

X = Instrument(symbol="X", tick_size=0.01, lot_size=1.0)
S = 10**9


def random_market(seed: int, *, ticks: int = 400, sessions: int = 1, bad: float = 0.0) -> MarketData:
    rng = np.random.default_rng(seed)
    spans = np.array([[k * 10_000 * S, k * 10_000 * S + 300 * S] for k in range(sessions)])
    n = ticks * sessions
    start = np.repeat(spans[:, 0], ticks)
    quote_time = start + rng.integers(0, 300 * 1000, n) * 10**6  # millisecond stamps: ties are common
    trade_time = start + rng.integers(0, 300 * 1000, n) * 10**6
    quote_time.sort()
    trade_time.sort()
    mid = 10_000 + np.cumsum(rng.integers(-1, 2, n))
    width = rng.integers(1, 4, n)
    crossed = rng.random(n) < bad
    trades = Trades(
        time_ns=trade_time,
        price_ticks=10_000 + rng.integers(-3, 4, n),
        size_lots=rng.integers(1, 50, n),
        side=rng.integers(-1, 2, n).astype(np.int8),
        id=np.arange(n),
        instrument=X,
        sessions=spans,
        resolution_ns=10**6,
    )
    quotes = Quotes(
        time_ns=quote_time,
        bid_ticks=mid,
        bid_lots=rng.integers(0 if bad else 1, 90, n),
        ask_ticks=np.where(crossed, mid - 1, mid + width),
        ask_lots=rng.integers(1, 90, n),
        instrument=X,
        sessions=spans,
    )
    return MarketData(trades=trades, quotes=quotes)


@pytest.mark.parametrize("bad", [0.0, 0.1])
@pytest.mark.parametrize("seed", [1, 2])
def test_native_features_equal_their_definitions(seed: int, bad: float) -> None:
    market = random_market(seed, bad=bad)
    native_rows, twin = extract_features(market), compute_features(market)
    np.testing.assert_array_equal(native_rows.time_ns, twin.time_ns)
    np.testing.assert_array_equal(native_rows.valid, twin.valid)
    np.testing.assert_array_equal(native_rows.is_trade, twin.is_trade)
    assert twin.valid.mean() > 0.6
    np.testing.assert_allclose(native_rows.values, twin.values, rtol=1e-9, atol=1e-9)
    moving = np.ptp(twin.values[twin.valid], axis=0) > 0.0
    assert [n for n, m in zip(FEATURE_NAMES, moving, strict=True) if not m] == [
        "buy_intensity",
        "sell_intensity",
        "intensity_imbalance",
    ]


def test_sessions_start_anew() -> None:
    both = random_market(3, sessions=2)
    rows = extract_features(both)
    second = both.between(*(int(t) for t in both.sessions[1]))
    alone = extract_features(second)
    np.testing.assert_array_equal(rows.values[-len(alone.values) :], alone.values)


def test_before_the_first_quote_and_in_a_crossed_book_nothing_is_valid() -> None:
    span = [[0, 100 * S]]
    quotes = Quotes(
        time_ns=[5 * S, 6 * S, 7 * S],
        bid_ticks=[10, 12, 10],
        bid_lots=[1, 1, 1],
        ask_ticks=[11, 11, 11],
        ask_lots=[1, 1, 1],
        instrument=X,
        sessions=span,
    )
    trades = Trades(
        time_ns=[1 * S], price_ticks=[10], size_lots=[4], side=[1], id=[0], instrument=X, sessions=span
    )
    rows = extract_features(MarketData(trades=trades, quotes=quotes))
    assert rows.valid.tolist() == [False, True, False, True]
    assert not rows.values[0].any()
    assert rows.values[1, 14] == 4.0  # the trade before the first quote counts for the age, 4 s ago
    assert rows.values[1, 15] == 60.0  # no quote before it: the cap
    assert rows.values[1, 5] == pytest.approx(4.0 * np.exp(-4.0), rel=1e-12)


def test_intensities_are_those_of_the_hawkes_engine_over_the_stationary_mean() -> None:
    market = random_market(5)
    p = HawkesParameters(
        alpha_self=0.3,
        alpha_cross=0.1,
        beta=0.5,
        gamma=2.0,
        lambda_base=1.0,
        asymmetry=0.2,
        profile=(1.5, 0.5),
    )
    rows = extract_features(market, p)
    start, end = (int(t) for t in market.sessions[0])
    engine = HawkesEngine(p)
    engine.reset(start, end)
    base = np.array([np.exp(0.2), np.exp(-0.2)])
    mean = np.linalg.solve(np.eye(2) - np.array([[0.6, 0.2], [0.2, 0.6]]), base)
    sides = iter(market.trades.side[(market.trades.time_ns >= start) & (market.trades.time_ns < end)])
    for row in range(200):
        t = int(rows.time_ns[row])
        if rows.is_trade[row] and (side := int(next(sides))):
            engine.update(t, side)
        if rows.valid[row]:
            buy, sell = engine.compute_intensity(t)
            expected = [buy / mean[0], sell / mean[1], (buy - sell) / (buy + sell)]
            np.testing.assert_allclose(rows.values[row, 7:10], expected, rtol=1e-12)


@pytest.mark.parametrize("rule", ["id", "stamp", "none", "auto"])
def test_child_fills_of_one_order_excite_once_by_the_rule_of_the_fit(rule: str) -> None:
    rng = np.random.default_rng(6)
    n = 500
    trades = Trades(
        time_ns=np.sort(rng.integers(0, 150, n)),
        price_ticks=np.full(n, 5),
        size_lots=np.ones(n, int),
        side=rng.integers(-1, 2, n),
        id=np.sort(rng.integers(0, 400, n)),
        instrument=X,
        sessions=[[0, 200]],
    )
    assert int(mark_new_orders(trades, rule=rule).sum()) == len(merge_child_fills(trades, rule=rule))


def test_a_market_without_quotes_is_refused() -> None:
    market = random_market(1)
    empty = market.quotes.between(0, 0)
    with pytest.raises(InvalidTicksError, match="no quotes"):
        extract_features(MarketData(trades=market.trades, quotes=empty))


@settings(max_examples=200, deadline=None)
@given(
    bid=st.integers(500, 20_000),
    width=st.integers(1, 20),
    position=st.integers(-60, 60),
    signal=st.integers(-64, 64),
    gamma=st.floats(1e-4, 2.0),
    sigma=st.floats(0.05, 50.0),
    size=st.sampled_from([1.0, 3.0]),
    form=st.sampled_from(["stationary", "finite_horizon"]),
    touch_only=st.booleans(),
)
def test_native_quotes_are_those_of_the_model(
    *,
    bid: int,
    width: int,
    position: int,
    signal: int,
    gamma: float,
    sigma: float,
    size: float,
    form: str,
    touch_only: bool,
) -> None:
    p = AvellanedaStoikovParameters(
        gamma=gamma,
        sigma=sigma,
        kappa=2.0,
        time_horizon_seconds=600.0,
        arrival_rate=0.5,
        reference_price=100.0,
        tick_size=0.01,
        lot_size=1.0,
        order_size=size,
        touch_only=touch_only,
    )
    model = AvellanedaStoikov(p, form=form, inventory_limit=60.0)  # type: ignore[arg-type]
    twin = native.QuotingModel(quoting_numbers(p, form=form, maker_fee=0.0001), 60)
    assert twin.stiffness == pytest.approx(model.stiffness, rel=1e-12)
    assert twin.exact == model.is_exact
    mid = (2 * bid + width) / 2 * 0.01
    expected = model.compute_quotes(
        mid,
        float(position),
        best_bid_ticks=bid,
        best_ask_ticks=bid + width,
        signal=signal / 64,
        maker_fee=0.0001,
        time_left_s=100.0,
    )
    got = twin.prices(bid, bid + width, position, signal / 64, 100.0)
    # equal, but where the unrounded price lies within rounding error of a tick
    assert got[0] == pytest.approx(expected.bid_ticks, abs=1 if _near_tick(expected.bid_distance) else 0)
    assert got[1] == pytest.approx(expected.ask_ticks, abs=1 if _near_tick(expected.ask_distance) else 0)
    assert got[2] * 0.01 == pytest.approx(expected.reservation_price - mid, rel=1e-9, abs=1e-9)


def _near_tick(distance: float) -> bool:
    return abs(distance) > 1e6 or abs((distance / 0.01 * 2) % 1 - 0.5) > 0.4999999


def test_native_regimes_are_those_of_the_model() -> None:
    rng = np.random.default_rng(8)
    sessions = np.array([[0, 4_000 * S], [10_000 * S, 14_000 * S]])
    time_ns = np.sort(
        np.concatenate([rng.integers(0, 4_000 * S, 3_000), 10_000 * S + rng.integers(0, 4_000 * S, 3_000)])
    )
    steps = rng.normal(0, 1e-4, 6_000) * np.where(np.arange(6_000) // 500 % 3 == 1, 6.0, 1.0)
    mid = 100.0 * np.exp(np.cumsum(steps))
    p = RiskParameters(
        max_position=10,
        normal_volatility_threshold=1.2,
        elevated_volatility_threshold=1.8,
        high_stress_volatility_threshold=3.0,
        volatility_half_life_s=60.0,
        volatility_medians=(1e-4, 1.2e-4, 0.9e-4),
        hysteresis_s=60.0,
        halt_s=120.0,
    )
    path = compute_volatility(time_ns, mid, sessions, half_life_s=60.0)
    z = compute_regime_signal(path, sessions, p.volatility_medians)
    levels = compute_regimes(path.time_ns, z, p, session=path.session)
    times, z_native, levels_native = native.regime_path(
        time_ns, mid, sessions.reshape(-1), risk_numbers(p, typical_volatility=1e-4)
    )
    rows = np.searchsorted(times, path.time_ns)
    np.testing.assert_array_equal(times[rows], path.time_ns)
    known = ~np.isnan(z)
    np.testing.assert_allclose(z_native[rows][known], z[known], rtol=1e-12)
    np.testing.assert_array_equal(levels_native[rows], levels)
    assert set(levels.tolist()) == {0, 1, 2, 3}
