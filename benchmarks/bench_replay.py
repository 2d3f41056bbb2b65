"""Replay through the engine: ticks per second of CPU, beside hftbacktest on the same ticks and the same quotes.

The full loop makes features, Hawkes intensity, prediction and quotes at each tick; the peer's task is quotes only (one
order a side at the closed-form distance, moved when its price moves, conservative queue, same latency), so the ratio
compares the engine without a bridge. The peer is given its fastest depth and counts its own events: a quote whose price
moves is two of them. It runs in an environment of its own
(:mod:`benchmarks.peers.environment`); where hftbacktest cannot be installed the ratio is not measured.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.environment import peer_python
from calibrig import AcceleratorMode, HardwareInTheLoopBridge
from calibrig.engine import Replay, replay
from calibrig.market import MarketData, read_market, simulate_market
from calibrig.models.quoting import AvellanedaStoikov
from calibrig.models.signal import reference_model
from calibrig.parameters import AvellanedaStoikovParameters, HawkesParameters, ParameterSet, RiskParameters

REACH = 2e6
DATA = Path(__file__).parents[2] / "shared" / "data" / "us_equities_2013" / "bac"
PEER = Path(__file__).parent / "peers" / "hftbacktest_loop.py"


def run() -> list[dict[str, Any]]:
    """Measure on the simulated market, and on real ticks where they are present."""
    markets = {"simulated": simulate_market(seed=1, sessions=10).market}
    if DATA.is_dir():
        markets["BAC 2013-10-07..09"] = read_market([DATA], symbol="BAC").market
    return [row for name, market in markets.items() for row in _measure(name, market)]


def _measure(name: str, market: MarketData) -> list[dict[str, Any]]:
    parameters = _parameters(market)
    with HardwareInTheLoopBridge(AcceleratorMode.SOFTWARE_STUB, model=parameters.signal) as bridge:
        bridge.initialize()
        full, full_s = _cost(lambda: replay(market, parameters, bridge, accept=("unversioned", "default")))
    plain, plain_s = _cost(lambda: replay(market, parameters))
    rate = full.events / full_s
    rows: list[dict[str, Any]] = [
        {
            "claim": f"replay with features, Hawkes, bridge and checks on {name}",
            "value": rate,
            "unit": "events/s of CPU",
            "reach": f">= {REACH:g}",
            "holds": rate >= REACH,
            "ticks": full.events,
            "messages": full.orders.rows,
            "fills": full.fills.rows,
            "loop_p50_ns": full.latency_percentile(0.5),
            "loop_p99_ns": full.latency_percentile(0.99),
        }
    ]
    peer = _peer(market, parameters)
    ours = plain.events / plain_s
    row: dict[str, Any] = {
        "claim": f"replay of quotes only on {name}, over hftbacktest",
        "unit": "x its events/s of CPU",
        "reach": "no limit",
        "holds": None,
        "ours_events_per_s": ours,
        "ours_messages": plain.orders.rows,
    }
    if peer is None:
        return [*rows, {**row, "value": None, "peer": "not measured: hftbacktest could not be installed"}]
    theirs = peer["events"] / peer["cpu_s"]
    return [
        *rows,
        {
            **row,
            "value": ours / theirs,
            "peer_events_per_s": theirs,
            "ratio_on_our_rows": ours / (plain.events / peer["cpu_s"]),
            "our_fills": plain.fills.rows,
            "peer": peer,
        },
    ]


def _cost(work: Any) -> tuple[Replay, float]:
    """Result and median CPU time of five runs, after one that is not counted."""
    result = work()
    times = []
    for _ in range(5):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return result, statistics.median(times)


def _parameters(market: MarketData) -> ParameterSet:
    """Quotes about two ticks from the mid, so that the loop has orders to move."""
    x = market.instrument
    price = float(np.median(market.quotes.mid_ticks())) * x.tick_size
    quoting = AvellanedaStoikovParameters(
        gamma=0.02 / x.tick_size / 10_000,
        sigma=0.3,
        kappa=0.5 / x.tick_size,
        time_horizon_seconds=600.0,
        arrival_rate=2.0,
        reference_price=price,
        tick_size=x.tick_size,
        lot_size=x.lot_size,
        seconds_per_year=x.seconds_per_year,
        order_size=5.0 * x.lot_size,
    )
    risk = RiskParameters(
        max_position=100,
        normal_volatility_threshold=50.0,
        elevated_volatility_threshold=60.0,
        high_stress_volatility_threshold=70.0,
    )
    hawkes = HawkesParameters(alpha_self=0.3, alpha_cross=0.1, beta=0.5, gamma=2.0, lambda_base=1.0)
    return ParameterSet(symbol=x.symbol, quoting=quoting, risk=risk, hawkes=hawkes, signal=reference_model())


def _peer(market: MarketData, parameters: ParameterSet) -> dict[str, Any] | None:
    python = peer_python("replay", "hftbacktest==2.4.4", "numba")
    quoting = parameters.quoting
    if python is None or quoting is None:
        return None
    model = AvellanedaStoikov(quoting)
    if model.is_exact:
        raise RuntimeError(f"stiffness {model.stiffness:.3g}: the peer's loop knows the closed form only")
    q, t = market.quotes, market.trades
    known = t.side != 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ticks.npz"
        np.savez(
            path,
            tick_size=market.instrument.tick_size,
            quote_time=q.time_ns,
            bid=q.bid_ticks,
            bid_lots=q.bid_lots,
            ask=q.ask_ticks,
            ask_lots=q.ask_lots,
            trade_time=t.time_ns[known],
            price=t.price_ticks[known],
            lots=t.size_lots[known],
            side=t.side[known],
            edge_ticks=model.liquidity_edge / market.instrument.tick_size,
            slope_ticks=model.closed_form_slope * quoting.order_size / market.instrument.tick_size,
            size=round(quoting.order_size / market.instrument.lot_size),
            limit=100,
        )
        done = subprocess.run(
            [python, str(PEER), str(path)],
            capture_output=True,
            text=True,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
