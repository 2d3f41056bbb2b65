"""Small markets and parameter sets for the tests of the engine, and readers of its results."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from calibrig.engine import ACTIONS, FILL_KINDS, REASONS, Replay
from calibrig.market import MarketData, Quotes, Trades
from calibrig.models.signal import reference_model
from calibrig.parameters import (
    AvellanedaStoikovParameters,
    HawkesParameters,
    Instrument,
    ParameterSet,
    ParameterVersion,
    RiskParameters,
)

S = 10**9
X = Instrument(symbol="X", tick_size=0.01, lot_size=1.0, maker_fee=-0.0001, taker_fee=0.0003)
QUOTING = AvellanedaStoikovParameters(
    gamma=0.02,
    sigma=0.5,
    kappa=60.0,
    time_horizon_seconds=600.0,
    arrival_rate=1.0,
    reference_price=100.0,
    tick_size=0.01,
    lot_size=1.0,
    order_size=3.0,
)
RISK = RiskParameters(
    max_position=10,
    normal_volatility_threshold=50.0,
    elevated_volatility_threshold=60.0,
    high_stress_volatility_threshold=70.0,
)
HAWKES = HawkesParameters(alpha_self=0.3, alpha_cross=0.1, beta=0.5, gamma=2.0, lambda_base=1.0)
PLAIN = ParameterSet(symbol="X", quoting=QUOTING, risk=RISK)


def stamp(record: object, version_id: int, origin: str = "manual") -> object:
    version = ParameterVersion(
        version_id=version_id, updated_at=1, updated_by="test", comment="", origin=origin
    )
    return msgspec.structs.replace(record, version=version)


def full_set(version_id: int) -> ParameterSet:
    model = msgspec.structs.replace(reference_model(), horizon_s=1.0)
    return ParameterSet(
        symbol="X",
        quoting=stamp(QUOTING, version_id),
        risk=stamp(RISK, version_id + 10),
        hawkes=stamp(HAWKES, version_id + 20),
        signal=stamp(model, version_id + 30),
    )


def random_market(
    seed: int, *, ticks: int = 600, sessions: int = 1, span_s: int = 300, bad: float = 0.0
) -> MarketData:
    """Trades around a moving touch: at it, inside, through, between ticks; ties at millisecond stamps are common."""
    rng = np.random.default_rng(seed)
    spans = np.array([[k * 10_000 * S, (k * 10_000 + span_s) * S] for k in range(sessions)])
    n = ticks * sessions
    start = np.repeat(spans[:, 0], ticks)
    quote_time, trade_time = (np.sort(start + rng.integers(0, span_s * 1000, n) * 10**6) for _ in range(2))
    bid = 10_000 + np.cumsum(rng.choice([-2, -1, 0, 0, 0, 0, 1, 2], n))
    width = rng.integers(1, 6, n)
    ask = np.where(rng.random(n) < bad, bid - 1, bid + width)
    bid_lots = np.where(rng.random(n) < bad, 0, rng.integers(1, 30, n))
    at = np.maximum(np.searchsorted(quote_time, trade_time) - 1, 0)
    side = rng.integers(-1, 2, n)
    price = np.where(side > 0, ask[at], bid[at]) + rng.integers(-2, 3, n)
    trades = Trades(
        time_ns=trade_time,
        price_ticks=price,
        size_lots=rng.integers(1, 40, n),
        side=side,
        id=np.arange(n),
        instrument=X,
        sessions=spans,
        resolution_ns=10**6,
        sub_tick=np.where(rng.random(n) < 0.1, 0.5, 0.0),
    )
    quotes = Quotes(
        time_ns=quote_time,
        bid_ticks=bid,
        bid_lots=bid_lots,
        ask_ticks=ask,
        ask_lots=rng.integers(1, 30, n),
        instrument=X,
        sessions=spans,
    )
    return MarketData(trades=trades, quotes=quotes)


def fill_rows(result: Replay) -> list[tuple[int, int, int, int, int, str]]:
    f = result.fills
    names = ("order_id", "time_ns", "side", "price_ticks", "size_lots", "kind")
    rows = zip(*(f[name].tolist() for name in names), strict=True)
    return [(*row[:5], FILL_KINDS[row[5]]) for row in rows if row[0] != 0]


def check_books(market: MarketData, result: Replay) -> None:
    """Position and cash are the sums of the fills, exactly, and every session ends flat."""
    f, s = result.fills, result.sessions
    bounds = s["start_ns"].tolist()
    row = np.searchsorted(bounds, f["time_ns"], side="right") - 1
    row -= f["time_ns"] > s["end_ns"][row]
    signed = f["side"].astype(int) * f["size_lots"]
    value = f["price_ticks"] * f["size_lots"]
    for k in range(s.rows):
        mine = row == k
        assert signed[mine].sum() == 0
        np.testing.assert_array_equal(f["position_lots"][mine], np.cumsum(signed[mine]))
        assert s["cash_tick_lots"][k] == -(signed[mine] * f["price_ticks"][mine]).sum()
        rates = np.where(f["kind"][mine] == FILL_KINDS.index("liquidation"), 300, -100)  # 1e-6 of the value
        assert s["fees_micro_tick_lots"][k] == (value[mine] * rates).sum()
        unit = 0.01
        expected = (int(s["cash_tick_lots"][k]) - 1e-6 * int(s["fees_micro_tick_lots"][k])) * unit
        assert s["pnl"][k] == pytest.approx(expected, abs=1e-9)


def reasons_of(result: Replay) -> list[str]:
    return [REASONS[r] for r in result.reasons["reason"]]


def book(times_s: list[float], bids: list[int], asks: list[int], *, end_s: int = 5_000) -> Quotes:
    return Quotes(
        time_ns=[round(t * S) for t in times_s],
        bid_ticks=bids,
        bid_lots=[5] * len(bids),
        ask_ticks=asks,
        ask_lots=[5] * len(asks),
        instrument=X,
        sessions=[[0, end_s * S]],
    )


def trades_at(times_s: list[float], price: int, side: int, *, end_s: int = 5_000) -> Trades:
    n = len(times_s)
    return Trades(
        time_ns=[round(t * S) for t in times_s],
        price_ticks=[price] * n,
        size_lots=[4] * n,
        side=[side] * n,
        id=range(n),
        instrument=X,
        sessions=[[0, end_s * S]],
    )


def actions_of(result: Replay) -> list[tuple[int, str]]:
    return [
        (int(t) // S, ACTIONS[a])
        for t, a in zip(result.orders["time_ns"], result.orders["action"], strict=True)
    ]
