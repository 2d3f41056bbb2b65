"""Engine and features on real ticks: the slow twins agree, books add up, the fill models rank as they must."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from calibrig.engine import FILL_KINDS, FILL_MODELS, extract_features, replay
from calibrig.engine.feature_twin import compute_features
from calibrig.engine.fill_twin import compute_fills
from calibrig.market import MarketData, read_market
from calibrig.parameters import AvellanedaStoikovParameters, ParameterSet, RiskParameters

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data (real ticks) is not there"),
]
MINUTE = 60 * 10**9


@cache
def market_of(name: str) -> MarketData:
    if name == "bac":
        day = read_market(DATA / "us_equities_2013" / "bac", days=["2013-10-08"]).market
        open_ns = int(day.sessions[0, 0])
        return day.between(open_ns, open_ns + 40 * MINUTE)
    return read_market(DATA / "binance_capture_2024" / f"{name}_20240808.gz").market


def parameters_of(market: MarketData, *, touch_only: bool) -> ParameterSet:
    x = market.instrument
    price = float(np.median(market.quotes.mid_ticks())) * x.tick_size
    order_lots = max(1, round(float(np.median(market.trades.size_lots))))
    size = order_lots * x.lot_size
    quoting = AvellanedaStoikovParameters(
        gamma=0.01 / (x.tick_size * size),
        sigma=0.3,
        kappa=0.5 / x.tick_size,
        time_horizon_seconds=60.0,
        arrival_rate=1.0,
        reference_price=price,
        tick_size=x.tick_size,
        lot_size=x.lot_size,
        seconds_per_year=x.seconds_per_year,
        order_size=size,
        touch_only=touch_only,
    )
    risk = RiskParameters(
        max_position=10 * order_lots,
        normal_volatility_threshold=3.0,
        elevated_volatility_threshold=4.0,
        high_stress_volatility_threshold=9.0,
    )
    return ParameterSet(symbol=x.symbol, quoting=quoting, risk=risk)


@pytest.mark.parametrize(("name", "touch_only"), [("bac", True), ("bac", False), ("usdm_btcusdt", False)])
def test_fills_on_real_ticks_equal_the_slow_twin(name: str, touch_only: bool) -> None:
    market = market_of(name)
    parameters = parameters_of(market, touch_only=touch_only)
    counts = {}
    for fill_model in FILL_MODELS:
        result = replay(market, parameters, fill_model=fill_model)
        expected = compute_fills(
            market,
            result.orders,
            fill_model=fill_model,
            order_latency_ns=50_000,
            response_latency_ns=50_000,
        )
        f = result.fills
        names = ("order_id", "time_ns", "side", "price_ticks", "size_lots", "kind")
        rows = zip(*(f[name].tolist() for name in names), strict=True)
        assert [(*row[:5], FILL_KINDS[row[5]]) for row in rows if row[0] != 0] == expected
        assert result.sessions["largest_position_lots"].max() <= parameters.risk.max_position
        assert result.counts["limit_breach"] == 0
        counts[fill_model] = len(expected)
    assert counts["touch"] >= counts["conservative"] > 0
    assert counts["touch"] >= counts["through"]
    if touch_only:  # where most trades stop at the touch, whom they meet there decides the result
        assert counts["touch"] > 3 * counts["conservative"]


@pytest.mark.parametrize("name", ["bac", "usdm_btcusdt"])
def test_features_on_real_ticks_equal_their_definitions(name: str) -> None:
    market = market_of(name)
    start = int(market.quotes.time_ns[0])
    stop = int(np.sort(np.concatenate([market.quotes.time_ns, market.trades.time_ns]))[2_500])
    part = market.between(start, stop)
    native_rows, twin = extract_features(part), compute_features(part)
    np.testing.assert_array_equal(native_rows.valid, twin.valid)
    np.testing.assert_allclose(native_rows.values, twin.values, rtol=1e-8, atol=1e-8)


def test_latency_costs_fills_at_the_touch() -> None:
    market = market_of("bac")
    parameters = parameters_of(market, touch_only=True)
    fast, slow = (
        replay(market, parameters, order_latency_ns=ns, response_latency_ns=ns)
        for ns in (50_000, 500_000_000)
    )
    assert slow.sessions["pnl"].sum() != fast.sessions["pnl"].sum()
    assert slow.orders.rows < fast.orders.rows  # one message a side is under way at a time
