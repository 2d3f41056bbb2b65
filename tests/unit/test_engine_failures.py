"""The engine fails closed: without good parameters, book, feed or bridge no order leaves, and working ones are taken out."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import numpy as np
import pytest
from engine_markets import (
    PLAIN,
    QUOTING,
    RISK,
    S,
    X,
    actions_of,
    book,
    full_set,
    random_market,
    reasons_of,
    stamp,
    trades_at,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from calibrig import AcceleratorMode, HardwareInTheLoopBridge
from calibrig._native import engine as native
from calibrig.engine import ACTIONS, FILL_KINDS, REASONS, Engine, PreTradeLimits, replay
from calibrig.engine.parameter_block import make_block
from calibrig.errors import BridgeStateError, InvalidInputError, InvalidParametersError
from calibrig.market import MarketData, Quotes, Trades
from calibrig.models.signal import reference_model
from calibrig.parameters import (
    ParameterSet,
)


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
from engine_markets import *
from calibrig.engine import Engine
engine = Engine(random_market(3, ticks=300_000, span_s=20_000), PLAIN)
try:
    print("ready", flush=True)
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
        try:
            out, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert out == "interrupted\n"
    assert process.returncode == 0


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
    engine.publish(make_block(PLAIN, X, refusal="none", form="stationary"), -1)
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


EXTREME = st.floats(1e-12, 1e12)


@settings(max_examples=80, deadline=None)
@given(
    gamma=EXTREME,
    sigma=EXTREME,
    kappa=EXTREME,
    arrival_rate=EXTREME,
    form=st.sampled_from(["stationary", "finite_horizon"]),
    touch_only=st.booleans(),
)
def test_extreme_parameters_never_make_an_order_beyond_the_checks(
    *, gamma: float, sigma: float, kappa: float, arrival_rate: float, form: str, touch_only: bool
) -> None:
    market = random_market(2, ticks=100)
    quoting = msgspec.structs.replace(
        QUOTING, gamma=gamma, sigma=sigma, kappa=kappa, arrival_rate=arrival_rate, touch_only=touch_only
    )
    parameters = msgspec.structs.replace(PLAIN, quoting=quoting)
    result = replay(market, parameters, form=form, limits=PreTradeLimits(price_collar=0.02))
    o = result.orders
    made = o["action"] != ACTIONS.index("cancel")
    q = market.quotes
    at = np.searchsorted(q.time_ns, o["time_ns"][made], side="right") - 1
    assert np.all(np.abs(o["price_ticks"][made] - q.mid_ticks()[at]) <= 0.02 * q.mid_ticks()[at] + 20)
    assert np.abs(result.fills["position_lots"]).max(initial=0) <= RISK.max_position


def test_an_order_size_beyond_counting_is_refused() -> None:
    huge = msgspec.structs.replace(PLAIN, quoting=msgspec.structs.replace(QUOTING, order_size=1e300))
    with pytest.raises(InvalidParametersError, match="order_size is 1e"):
        replay(random_market(1), huge)


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
