"""The engine on small markets: fills against their slow twin, books that add up, limits that hold, closed failures."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibrig import AcceleratorMode, HardwareInTheLoopBridge
from calibrig._native import engine as native
from calibrig.engine import ACTIONS, FILL_KINDS, FILL_MODELS, REASONS, Engine, PreTradeLimits, Replay, replay
from calibrig.engine.fill_twin import compute_fills
from calibrig.engine.parameter_block import make_block
from calibrig.errors import BridgeStateError, InvalidInputError, InvalidParametersError
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


@pytest.mark.parametrize("fill_model", FILL_MODELS)
@pytest.mark.parametrize("latency_ns", [0, 3_000_000])
def test_fills_equal_the_slow_twin_bit_for_bit(fill_model: str, latency_ns: int) -> None:
    filled = 0
    for seed in range(12):
        market = random_market(seed, sessions=2, bad=0.02 * (seed % 2))
        result = replay(
            market,
            PLAIN,
            fill_model=fill_model,
            order_latency_ns=latency_ns,
            response_latency_ns=latency_ns,
        )
        expected = compute_fills(
            market,
            result.orders,
            fill_model=fill_model,
            order_latency_ns=latency_ns,
            response_latency_ns=latency_ns,
        )
        assert fill_rows(result) == expected
        check_books(market, result)
        filled += len(expected)
    assert filled > 300
    kinds = {row[5] for row in fill_rows(result)}
    assert {
        "touch": "touch" in kinds,
        "conservative": "queue" in kinds,
        "through": kinds <= {"through", "crossed"},
    }[fill_model]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    fill_model=st.sampled_from(FILL_MODELS),
    latency_ns=st.sampled_from([0, 1_000, 5_000_000, 2 * S]),
    max_position=st.integers(0, 12),
    gamma=st.sampled_from([0.0005, 0.02, 1.0]),
    touch_only=st.booleans(),
    form=st.sampled_from(["stationary", "finite_horizon"]),
)
def test_invariants_hold_on_any_market(
    *,
    seed: int,
    fill_model: str,
    latency_ns: int,
    max_position: int,
    gamma: float,
    touch_only: bool,
    form: str,
) -> None:
    market = random_market(seed, ticks=250, sessions=2, bad=0.03)
    parameters = ParameterSet(
        symbol="X",
        quoting=msgspec.structs.replace(QUOTING, gamma=gamma, touch_only=touch_only),
        risk=msgspec.structs.replace(RISK, max_position=max_position),
    )
    limits = PreTradeLimits(max_messages_per_s=7, max_order_lots=3)
    result = replay(
        market,
        parameters,
        fill_model=fill_model,
        order_latency_ns=latency_ns,
        response_latency_ns=latency_ns // 2,
        form=form,
        limits=limits,
    )
    check_books(market, result)
    assert np.abs(result.fills["position_lots"]).max(initial=0) <= max_position
    assert result.sessions["largest_position_lots"].max() <= max_position
    assert result.counts["limit_breach"] == 0
    o = result.orders
    made = o["action"] != ACTIONS.index("cancel")
    assert o["size_lots"][made].max(initial=0) <= 3
    times = o["time_ns"][made]
    assert np.all(times[7:] - times[:-7] >= S)  # at most 7 in any second
    # no order crosses the sound book in force at its decision
    q = market.quotes
    sound = (q.bid_ticks < q.ask_ticks) & (q.bid_lots > 0)
    at = np.searchsorted(q.time_ns[sound], times, side="right") - 1
    later = np.searchsorted(q.time_ns[sound], times, side="left") - 1
    for side, opposite in ((1, q.ask_ticks[sound]), (-1, q.bid_ticks[sound])):
        mine = o["side"][made] == side
        distance = [
            max(side * (int(opposite[j]) - int(p)) for j in range(max(b, 0), a + 1))
            for a, b, p in zip(at[mine], later[mine], o["price_ticks"][made][mine], strict=True)
        ]
        assert all(d > 0 for d in distance)


def test_a_queue_fill_needs_the_volume_that_stood_ahead() -> None:
    """Independent of both venues: the volume traded at the price since joining covers queue and fills."""
    checked = 0
    for seed in range(20):
        market = random_market(seed + 100)
        result = replay(market, PLAIN, order_latency_ns=1_000_000)
        q, t = market.quotes, market.trades
        for id_, now, side, price, _, kind in fill_rows(result):
            if kind != "queue":
                continue
            row = np.flatnonzero(
                (result.orders["id"] == id_) & (result.orders["action"] != ACTIONS.index("cancel"))
            )[0]
            joined = int(result.orders["time_ns"][row]) + 1_000_000
            book = np.searchsorted(q.time_ns, joined, side="right") - 1
            touch = (q.bid_ticks if side > 0 else q.ask_ticks)[book]
            shown = int((q.bid_lots if side > 0 else q.ask_lots)[book]) if touch == price else 0
            met = (t.time_ns > joined) & (t.time_ns <= now) & (t.side == -side) & (t.price_ticks == price)
            met &= t.sub_tick == 0
            mine = sum(f[4] for f in fill_rows(result) if f[0] == id_ and f[1] <= now and f[5] == "queue")
            assert int(t.size_lots[met].sum()) >= shown + mine
            checked += 1
    assert checked > 50


def test_at_equal_stamps_the_market_comes_first() -> None:
    span = [[0, 100 * S]]
    quotes = Quotes(
        time_ns=[0, 50 * S],
        bid_ticks=[9_990, 9_990],
        bid_lots=[5, 5],
        ask_ticks=[10_010, 10_010],
        ask_lots=[5, 5],
        instrument=X,
        sessions=span,
    )

    def fills(trade_ns: int) -> int:
        trades = Trades(
            time_ns=[trade_ns],
            price_ticks=[9_900],
            size_lots=[9],
            side=[-1],
            id=[0],
            instrument=X,
            sessions=span,
        )
        result = replay(MarketData(trades=trades, quotes=quotes), PLAIN, order_latency_ns=1_000)
        return len(fill_rows(result))

    assert fills(1_000) == 0  # the order reaches the book at 1,000 ns, after the trade of that stamp
    assert fills(1_001) == 1


def test_stub_latency_is_charged_to_the_venues_clock() -> None:
    market, parameters = random_market(1), full_set(1)

    def run(stub_latency_ns: int) -> tuple[Replay, list[tuple[int, int, int, int, int, str]]]:
        with HardwareInTheLoopBridge(
            AcceleratorMode.SOFTWARE_STUB, model=parameters.signal, stub_latency_ns=stub_latency_ns
        ) as bridge:
            bridge.initialize()
            result = replay(market, parameters, bridge, order_latency_ns=1_000, response_latency_ns=0)
        twin = compute_fills(
            market,
            result.orders,
            fill_model="conservative",
            order_latency_ns=1_000,
            response_latency_ns=0,
            device_ns=stub_latency_ns,
        )
        return result, twin

    slow, slow_twin = run(30_000_000)  # 30 ms on each of 1,200 ticks would be 36 s of spinning
    fast, fast_twin = run(400)
    assert fill_rows(slow) == slow_twin
    assert fill_rows(fast) == fast_twin
    assert fill_rows(slow) != fill_rows(fast)
    assert slow.run_s < 5.0 + fast.run_s


def test_orders_record_the_versions_and_an_update_takes_effect_at_its_tick() -> None:
    market = random_market(2, ticks=2_000)
    first, second = full_set(1), full_set(2)
    with HardwareInTheLoopBridge(AcceleratorMode.SOFTWARE_STUB, model=first.signal) as bridge:
        bridge.initialize()
        result = replay(market, first, bridge, updates=[(1_500, second)])
    o = result.orders
    assert result.updates["event"].tolist() == [0, 1_500]
    before, after = o["event"] < 1_500, o["event"] >= 1_500
    assert before.sum() > 20
    assert after.sum() > 20
    for offset, kind in ((0, "quoting"), (10, "risk"), (20, "hawkes"), (30, "signal")):
        assert set(o[f"{kind}_version"][before].tolist()) == {1 + offset}
        assert set(o[f"{kind}_version"][after].tolist()) == {2 + offset}
    assert (
        result.updates["time_ns"][1]
        == np.sort(np.concatenate([market.trades.time_ns, market.quotes.time_ns]))[1_500]
    )


def test_an_update_from_another_thread_takes_effect_while_the_loop_runs() -> None:
    market = random_market(3, ticks=300_000, span_s=20_000)
    first, second = full_set(1), full_set(2)
    with HardwareInTheLoopBridge(AcceleratorMode.SOFTWARE_STUB, model=first.signal) as bridge:
        bridge.initialize()
        engine = Engine(market, first, bridge)

        def publish() -> None:
            while engine.event < 50_000:
                pass
            engine.publish(second)

        thread = threading.Thread(target=publish)
        thread.start()
        result = engine.run()
        thread.join()
    event = int(result.updates["event"][1])
    assert 50_000 <= event < 600_000
    o = result.orders
    assert set(o["quoting_version"][o["event"] < event].tolist()) == {1}
    assert set(o["quoting_version"][o["event"] >= event].tolist()) == {2}
    assert np.all(np.diff(o["event"]) >= 0)


def test_no_order_after_kill() -> None:
    market = random_market(4, ticks=2_000)
    engine = Engine(market, PLAIN)
    assert not engine._native.run(1_000)
    killed_at = engine.event
    engine.kill()
    result = engine.run()
    late = result.orders["event"] > killed_at
    assert set(result.orders["action"][late].tolist()) <= {ACTIONS.index("cancel")}
    assert (~late).sum() > 10
    assert result.counts["killed"] == 1
    last = result.samples
    assert last["own_bid_ticks"][-1] == last["own_ask_ticks"][-1] == 0


def test_a_kill_from_another_thread_stops_a_running_loop() -> None:
    engine = Engine(random_market(3, ticks=300_000, span_s=20_000), PLAIN)

    def stop() -> None:
        while engine.event < 50_000:
            pass
        engine.kill()

    thread = threading.Thread(target=stop)
    thread.start()
    result = engine.run()
    thread.join()
    killed_at = int(result.reasons["event"][reasons_of(result).index("killed")])
    assert 50_000 <= killed_at < 600_000
    late = result.orders["event"] > killed_at
    assert set(result.orders["action"][late].tolist()) <= {ACTIONS.index("cancel")}


INTERRUPTED = """
import sys
sys.path.insert(0, {folder!r})
from test_engine import *
engine = Engine(random_market(3, ticks=300_000, span_s=20_000), PLAIN)
print("ready", flush=True)
try:
    while True:
        Engine(engine._market, PLAIN).run()
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_ctrl_c_stops_a_replay() -> None:
    folder = str(Path(__file__).parent)
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED.format(folder=folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    assert out == "interrupted\n"
    assert process.returncode == 0


def reasons_of(result: Replay) -> list[str]:
    return [REASONS[r] for r in result.reasons["reason"]]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"quoting": None}, "missing_parameters"),
        ({"risk": None}, "missing_parameters"),
        ({"stale": True}, "stale_parameters"),
        ({"age_s": 1e9}, "stale_parameters"),
        ({"quoting": stamp(QUOTING, 1, "default")}, "default_parameters"),
    ],
)
def test_without_good_parameters_no_order_leaves(change: dict[str, object], reason: str) -> None:
    result = replay(random_market(5), msgspec.structs.replace(PLAIN, **change))
    assert result.orders.rows == 0
    assert reasons_of(result) == [reason]


def test_unversioned_parameters_are_refused_unless_accepted_by_name() -> None:
    assert reasons_of(replay(random_market(5), PLAIN, accept=())) == ["unversioned_parameters"]
    with pytest.raises(InvalidInputError, match="unversioned, default, stale"):
        replay(random_market(5), PLAIN, accept=("anything",))


def test_a_bad_update_takes_the_orders_out_and_a_good_one_brings_them_back() -> None:
    market = random_market(6, ticks=2_000)
    bad = msgspec.structs.replace(PLAIN, stale=True)
    result = replay(market, PLAIN, updates=[(1_000, bad), (2_000, PLAIN)])
    names = reasons_of(result)
    assert "stale_parameters" in names
    o = result.orders
    during = (o["event"] >= 1_000) & (o["event"] < 2_000)
    assert set(o["action"][during].tolist()) == {ACTIONS.index("cancel")}
    assert np.any(o["event"] >= 2_000)


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


def test_a_crossed_book_takes_the_orders_out_until_it_is_sound() -> None:
    quotes = book([0, 10, 20], [9_990, 10_020, 9_990], [10_010, 10_010, 10_010])
    result = replay(MarketData(trades=trades_at([], 1, 1), quotes=quotes), PLAIN)
    assert reasons_of(result)[:2] == ["crossed_book", "none"]
    assert actions_of(result)[:6] == [
        (0, "place"),
        (0, "place"),
        (10, "cancel"),
        (10, "cancel"),
        (20, "place"),
        (20, "place"),
    ]


def test_a_gap_in_the_feed_takes_the_orders_out_on_time_and_a_loss_stays() -> None:
    quotes = book([0, 100, 900, 901], [9_990] * 4, [10_010] * 4)
    result = replay(MarketData(trades=trades_at([], 1, 1), quotes=quotes), PLAIN)
    # 60 s after the last tick the gap; at 100 s the feed is back; 600 s after it the loss, which stays
    assert list(zip((result.reasons["time_ns"] // S).tolist(), reasons_of(result), strict=True)) == [
        (60, "feed_gap"),
        (100, "none"),
        (160, "feed_gap"),
        (700, "feed_loss"),
    ]
    assert [t for t, a in actions_of(result) if a == "cancel"] == [60, 60, 160, 160]
    assert max(t for t, a in actions_of(result) if a == "place") == 100


def test_a_late_first_tick_is_no_feed_loss() -> None:
    quotes = book([2_000, 2_010], [9_990] * 2, [10_010] * 2)
    result = replay(MarketData(trades=trades_at([], 1, 1), quotes=quotes), PLAIN)
    assert actions_of(result)[:2] == [(2_000, "place"), (2_000, "place")]
    assert reasons_of(result)[0] == "feed_gap"  # after the last tick, at 2,070 s
    assert int(result.reasons["time_ns"][0]) // S == 2_070


def test_a_clock_that_goes_back_stops_the_session() -> None:
    def column(*values: int) -> np.ndarray:
        return np.array(values, np.int64)

    none = column()
    market = native.Market(
        none,
        none,
        none,
        np.array([], np.int8),
        None,
        None,
        column(1 * S, 20 * S, 15 * S, 30 * S),  # columns a reader refuses; a live feed may bring them
        column(9_990, 9_990, 9_990, 9_990),
        column(5, 5, 5, 5),
        column(10_010, 10_010, 10_010, 10_010),
        column(5, 5, 5, 5),
        column(0, 100 * S),
    )
    engine = native.Replay(market, (0, 0, 0, 0, 0, 0, 0), PreTradeLimits().to_native(X), None)
    engine.publish(make_block(PLAIN, X, refusal="none", form="stationary"))
    assert engine.run(100)
    assert [REASONS[r] for r in engine.reasons()["reason"]] == ["clock_jump"]
    assert engine.orders()["action"].tolist() == [0, 0, 2, 2]


def test_a_frozen_book_takes_the_orders_out_though_trades_arrive() -> None:
    quotes = book([0], [9_990], [10_010])
    trades = trades_at(list(range(1, 100, 10)), 10_050, 1)
    result = replay(MarketData(trades=trades, quotes=quotes), PLAIN)
    assert reasons_of(result)[0] == "frozen_book"
    assert int(result.reasons["time_ns"][0]) // S == 61


def test_a_session_loss_beyond_its_limit_stops_the_session_only() -> None:
    # the price falls five ticks a second and sellers sweep the bid in between
    n = 100
    spans = np.array([[0, n * S], [1_000 * S, (1_000 + n) * S]])
    bid = np.tile(9_990 - 5 * np.arange(n), 2)
    start = np.repeat(spans[:, 0], n)
    quotes = Quotes(
        time_ns=start + np.tile(np.arange(n), 2) * S,
        bid_ticks=bid,
        bid_lots=np.full(2 * n, 5),
        ask_ticks=bid + 20,
        ask_lots=np.full(2 * n, 5),
        instrument=X,
        sessions=spans,
    )
    trades = Trades(
        time_ns=start + np.tile(np.arange(n), 2) * S + S // 2,
        price_ticks=bid - 3,
        size_lots=np.full(2 * n, 4),
        side=np.full(2 * n, -1),
        id=np.arange(2 * n),
        instrument=X,
        sessions=spans,
    )
    market = MarketData(trades=trades, quotes=quotes)
    patient = msgspec.structs.replace(PLAIN, risk=msgspec.structs.replace(RISK, max_position=1_000))
    free = replay(market, patient)
    assert free.sessions["pnl"].max() < -5.0
    result = replay(market, patient, limits=PreTradeLimits(max_session_loss=2.0))
    assert result.counts["drawdown"] == 2  # once a session
    assert result.sessions["pnl"].min() > free.sessions["pnl"].min()
    o, names = result.orders, reasons_of(result)
    stopped = int(result.reasons["time_ns"][names.index("drawdown")])
    after = (o["time_ns"] > stopped) & (o["time_ns"] < spans[0, 1])
    assert set(o["action"][after].tolist()) <= {ACTIONS.index("cancel")}
    assert np.any(o["time_ns"] >= spans[1, 0])


def test_too_many_executions_stop_the_session() -> None:
    market = random_market(9, ticks=3_000, span_s=100)
    result = replay(market, PLAIN, fill_model="touch", limits=PreTradeLimits(max_executions_per_s=2))
    assert result.counts["executions"] == 1
    assert reasons_of(result)[-1] == "executions"


def test_a_bridge_with_another_model_than_the_parameters_name_is_not_traded_on() -> None:
    parameters = full_set(1)
    other = msgspec.structs.replace(reference_model(), bias=reference_model().bias + 1)
    with HardwareInTheLoopBridge(AcceleratorMode.SOFTWARE_STUB, model=other) as bridge:
        with pytest.raises(BridgeStateError, match="initialize"):
            replay(random_market(1), parameters, bridge)
        bridge.initialize()
        result = replay(random_market(1), parameters, bridge)
    assert result.orders.rows == 0
    assert "model_mismatch" in reasons_of(result)


def test_a_bridge_needs_hawkes_and_signal_parameters() -> None:
    with HardwareInTheLoopBridge(AcceleratorMode.SOFTWARE_STUB) as bridge:
        bridge.initialize()
        result = replay(random_market(1), PLAIN, bridge)
    assert reasons_of(result) == ["missing_parameters"]


def test_a_closed_bridge_stops_trading() -> None:
    parameters, market = full_set(1), random_market(1, ticks=2_000)
    bridge = HardwareInTheLoopBridge(AcceleratorMode.SOFTWARE_STUB, model=parameters.signal)
    bridge.initialize()
    engine = Engine(market, parameters, bridge)
    engine._native.run(1_000)
    bridge.close()
    result = engine.run()
    assert reasons_of(result)[-1] == "bridge_fault"
    late = result.orders["event"] > 1_000
    assert set(result.orders["action"][late].tolist()) <= {ACTIONS.index("cancel")}


def test_orders_beyond_collar_value_or_volume_are_refused() -> None:
    market = random_market(1)
    wide = msgspec.structs.replace(PLAIN, quoting=msgspec.structs.replace(QUOTING, kappa=0.05))
    assert replay(market, wide, limits=PreTradeLimits(price_collar=0.01)).counts["price_collar"] > 100
    for limits, name in (
        (PreTradeLimits(max_order_lots=2), "order_volume"),
        (PreTradeLimits(max_order_value=150.0), "order_value"),
    ):
        result = replay(market, PLAIN, limits=limits)
        assert result.orders["size_lots"].max(initial=0) <= 2 if name == "order_volume" else True
        assert result.counts[name] > 100


def test_equal_orders_in_a_row_are_throttled() -> None:
    # each ask is met at once, so the engine would place the same ask again and again
    quotes = book(np.arange(0, 2, 0.01).tolist(), [9_990] * 200, [10_010] * 200)
    trades = trades_at(np.arange(0.005, 2, 0.01).tolist(), 10_500, 1)
    risk = msgspec.structs.replace(RISK, max_position=10_000)
    quoting = msgspec.structs.replace(QUOTING, gamma=1e-9)
    parameters = ParameterSet(symbol="X", quoting=quoting, risk=risk)
    market = MarketData(trades=trades, quotes=quotes)
    result = replay(market, parameters, limits=PreTradeLimits(max_duplicates=3))
    assert result.counts["duplicate_order"] > 10
    sells = result.orders["time_ns"][result.orders["side"] == -1]
    assert np.sum(sells < S) == 3


def test_a_lower_limit_quotes_the_reducing_side_only_and_never_dumps() -> None:
    market = random_market(12, ticks=4_000, span_s=600)
    low = msgspec.structs.replace(PLAIN, risk=msgspec.structs.replace(RISK, max_position=1))
    free = replay(market, PLAIN, fill_model="touch", response_latency_ns=0)
    big = np.flatnonzero(np.abs(free.fills["position_lots"]) >= 8)[0]
    event = int(free.fills["event"][big]) + 1
    position = int(free.fills["position_lots"][big])
    result = replay(market, PLAIN, fill_model="touch", response_latency_ns=0, updates=[(event, low)])
    o = result.orders
    growing = (o["side"] == np.sign(position)) & (o["action"] != ACTIONS.index("cancel"))
    f = result.fills
    reduced = int(f["event"][(f["event"] > event) & (np.abs(f["position_lots"]) <= 1)][0])
    assert not np.any(growing & (o["event"] >= event) & (o["event"] < reduced))
    assert np.all(f["kind"][f["event"] < reduced] != FILL_KINDS.index("liquidation"))
    assert result.counts["limit_breach"] == 0


def test_sessions_are_independent_and_end_flat() -> None:
    both = random_market(13, sessions=2)
    second = both.between(*(int(t) for t in both.sessions[1]))
    together, alone = replay(both, PLAIN), replay(second, PLAIN)
    assert together.sessions["pnl"][1] == alone.sessions["pnl"][0]
    assert together.sessions["messages"][1] == alone.sessions["messages"][0]


def test_the_run_stops_promptly_and_says_what_it_did_not_do() -> None:
    market = random_market(14)
    engine = Engine(market, PLAIN)
    seen: list[int] = []
    result = engine.run(on_progress=seen.append)
    assert result.complete
    assert result.events == 1_200
    with pytest.raises(InvalidInputError, match="has run"):
        engine.run()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fill_model": "hope"}, "conservative, touch, through"),
        ({"form": "moving"}, "finite_horizon"),
        ({"order_latency_ns": -1}, "order_latency_ns is -1"),
        ({"sample_s": 0.0}, "sample_s is 0.0"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        replay(random_market(1), PLAIN, **options)  # type: ignore[arg-type]


def test_parameters_of_another_grid_or_symbol_are_refused() -> None:
    other = msgspec.structs.replace(PLAIN, quoting=msgspec.structs.replace(QUOTING, tick_size=0.05))
    with pytest.raises(InvalidParametersError, match=r"tick_size is 0\.05"):
        replay(random_market(1), other)
    with pytest.raises(InvalidInputError, match="'Y'"):
        replay(random_market(1), msgspec.structs.replace(PLAIN, symbol="Y"))


DIGEST = """
import sys
sys.path.insert(0, {folder!r})
from test_engine import *
market, parameters = random_market(21, ticks=3000, sessions=2), full_set(1)
with HardwareInTheLoopBridge(AcceleratorMode.SOFTWARE_STUB, model=parameters.signal) as bridge:
    bridge.initialize()
    print(replay(market, parameters, bridge, updates=[(2500, full_set(5))]).digest())
"""


def test_the_result_is_bit_identical_from_run_to_run_and_on_every_instruction_set() -> None:
    folder = str(Path(__file__).parent)
    digests = {
        subprocess.run(
            [sys.executable, "-c", DIGEST.format(folder=folder)],
            env={**os.environ, "CALIBRIG_ISA": isa},
            capture_output=True,
            text=True,
            check=True,
            stdin=subprocess.DEVNULL,
        ).stdout
        for isa in ("baseline", "avx2", "avx512", "avx512")
    }
    assert len(digests) == 1
    assert len(digests.pop().strip()) == 64


def test_samples_tell_the_state_before_their_tick() -> None:
    market = random_market(15, ticks=2_000)
    result = replay(market, PLAIN, sample_s=1.0)
    s = result.samples
    assert s.rows == pytest.approx(300, abs=3)
    assert np.all(np.diff(s["time_ns"]) > 0)
    f = result.fills
    for row in range(0, s.rows, 7):
        known = f["time_ns"] <= s["time_ns"][row] - 50_000  # what the engine has been told
        certain = known.sum() == 0 or f["time_ns"][known][-1] < s["time_ns"][row] - 10**6
        if certain:
            expected = int(np.sum(f["side"][known].astype(int) * f["size_lots"][known]))
            assert s["position_lots"][row] == expected
    quoted = (s["own_bid_ticks"] > 0) & (s["own_ask_ticks"] > 0)
    assert quoted.mean() > 0.5
    assert np.all(s["own_bid_ticks"][quoted] < s["own_ask_ticks"][quoted])


def test_reasons_are_named_once_each() -> None:
    assert len(set(REASONS)) == len(REASONS)
    assert all(a != b for a, b in itertools.pairwise(REASONS))
