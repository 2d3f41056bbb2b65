"""The engine on small markets: fills against their slow twin, books that add up, updates, repeatable results."""

from __future__ import annotations

import itertools
import os
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
    check_books,
    fill_rows,
    full_set,
    random_market,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from calibrig import AcceleratorMode, HardwareInTheLoopBridge
from calibrig.engine import ACTIONS, FILL_MODELS, REASONS, Engine, PreTradeLimits, Replay, replay
from calibrig.engine.fill_twin import compute_fills
from calibrig.errors import InvalidInputError, InvalidParametersError
from calibrig.market import MarketData, Quotes, Trades
from calibrig.models.risk import compute_regime_signal, compute_regimes, compute_volatility
from calibrig.parameters import (
    ParameterSet,
    RiskParameters,
)


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


def test_regimes_cut_size_and_limit_and_a_halt_sends_nothing() -> None:
    # calm, wild, very wild, calm again; the regimes come from the Python model on the same mids
    rng = np.random.default_rng(31)
    n = 4_000
    time_ns = np.sort(rng.integers(0, 2_000 * S, n))
    wild = np.select([time_ns < 500 * S, time_ns < 800 * S, time_ns < 1_000 * S], [1, 4, 12], 1)
    bid = 10_000 + np.cumsum(rng.integers(-1, 2, n) * wild)
    span = [[0, 2_000 * S]]
    quotes = Quotes(
        time_ns=time_ns,
        bid_ticks=bid,
        bid_lots=np.full(n, 5),
        ask_ticks=bid + 2,
        ask_lots=np.full(n, 5),
        instrument=X,
        sessions=span,
    )
    side = rng.choice([-1, 1], n)
    trades = Trades(
        time_ns=time_ns + 1,
        price_ticks=np.where(side > 0, bid + 4, bid - 2),
        size_lots=np.full(n, 9),
        side=side,
        id=np.arange(n),
        instrument=X,
        sessions=span,
    )
    risk = RiskParameters(
        max_position=40,
        normal_volatility_threshold=2.0,
        elevated_volatility_threshold=4.0,
        high_stress_volatility_threshold=8.0,
        volatility_half_life_s=30.0,
        hysteresis_s=20.0,
        halt_s=60.0,
        volatility_medians=(1.2e-4,),
    )
    quoting = msgspec.structs.replace(QUOTING, order_size=10.0)
    result = replay(
        MarketData(trades=trades, quotes=quotes), ParameterSet(symbol="X", quoting=quoting, risk=risk)
    )
    path = compute_volatility(time_ns, quotes.mid_ticks(), np.array(span), half_life_s=30.0)
    z = compute_regime_signal(path, np.array(span), risk.volatility_medians)
    regimes = compute_regimes(path.time_ns, z, risk)
    assert set(regimes.tolist()) == {0, 1, 2, 3}
    o = result.orders
    made = o["action"] != ACTIONS.index("cancel")
    at = np.searchsorted(path.time_ns, o["time_ns"][made], side="right") - 1
    regime = np.where(at >= 0, regimes[at], 0)
    largest = [int(o["size_lots"][made][regime == level].max(initial=0)) for level in range(4)]
    assert largest == [10, 7, 4, 0]  # multipliers 1.0, 0.7, 0.4, 0.0 on 10 lots
    assert result.counts["regime_halted"] >= 1


def test_an_update_carries_the_intensity_and_the_position_on() -> None:
    market, parameters = random_market(17, ticks=500), full_set(1)
    results = []
    for updates in ([], [(333, parameters), (700, parameters)]):
        with HardwareInTheLoopBridge(AcceleratorMode.SOFTWARE_STUB, model=parameters.signal) as bridge:
            bridge.initialize()
            results.append(replay(market, parameters, bridge, updates=updates, sample_s=1.0))
    plain, updated = results
    assert updated.updates.rows == 3
    for name in ("buy_intensity", "sell_intensity"):
        np.testing.assert_allclose(updated.samples[name], plain.samples[name], rtol=1e-9)
    assert np.ptp(plain.samples["buy_intensity"]) > 0.1
    assert fill_rows(updated) == fill_rows(plain)


DIGEST = """
import sys
sys.path.insert(0, {folder!r})
from engine_markets import *
from calibrig import AcceleratorMode, HardwareInTheLoopBridge, replay
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
