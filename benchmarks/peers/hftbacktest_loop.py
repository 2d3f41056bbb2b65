"""The quoting loop of bench_replay in hftbacktest: numba strategy, vector depth, conservative queue, same ticks.

Run by an interpreter that has hftbacktest: ``python hftbacktest_loop.py ticks.npz``; prints one JSON line.
"""

from __future__ import annotations

import json
import math
import sys
import time

import numpy as np
from hftbacktest import (
    BUY,
    BUY_EVENT,
    DEPTH_EVENT,
    EXCH_EVENT,
    GTX,
    LIMIT,
    LOCAL_EVENT,
    SELL_EVENT,
    TRADE_EVENT,
    BacktestAsset,
    ROIVectorMarketDepthBacktest,
)
from hftbacktest.types import event_dtype
from numba import njit

BOTH = EXCH_EVENT | LOCAL_EVENT


def to_events(ticks) -> np.ndarray:
    """Best quotes as changes of price levels (a level left behind goes to 0), trades as trades."""
    tick = float(ticks["tick_size"])
    parts = []
    for price, lots, flag in (
        (ticks["bid"], ticks["bid_lots"], BUY_EVENT),
        (ticks["ask"], ticks["ask_lots"], SELL_EVENT),
    ):
        changed = np.ones(len(price), bool)
        changed[1:] = (np.diff(price) != 0) | (np.diff(lots) != 0)
        moved = np.zeros(len(price), bool)
        moved[1:] = np.diff(price) != 0
        for rows, level, size, order in (
            (np.flatnonzero(moved), price[np.flatnonzero(moved) - 1], 0.0, 0),
            (np.flatnonzero(changed), price[changed], lots[changed], 1),
        ):
            block = np.zeros(len(rows), event_dtype)
            block["ev"] = DEPTH_EVENT | flag | BOTH
            block["exch_ts"] = block["local_ts"] = ticks["quote_time"][rows]
            block["px"] = level * tick
            block["qty"] = size
            parts.append((block, 2 * rows + order, 1))
    trades = np.zeros(len(ticks["trade_time"]), event_dtype)
    trades["ev"] = TRADE_EVENT | BOTH | np.where(ticks["side"] > 0, BUY_EVENT, SELL_EVENT).astype(np.uint64)
    trades["exch_ts"] = trades["local_ts"] = ticks["trade_time"]
    trades["px"], trades["qty"] = ticks["price"] * tick, ticks["lots"]
    parts.append((trades, np.arange(len(trades)), 0))
    events = np.concatenate([p[0] for p in parts])
    order = np.lexsort(
        (
            np.concatenate([p[1] for p in parts]),
            np.concatenate([np.full(len(p[0]), p[2]) for p in parts]),
            events["exch_ts"],
        )
    )
    return events[order]


@njit
def trade(hbt, quote):
    """One order a side at the Gueant-Lehalle-Fernandez-Tapia distance, replaced when its price moves."""
    edge_ticks, slope_ticks, size, limit, tick_size = quote
    feeds = orders = 0
    next_id = 1
    while True:
        code = hbt.wait_next_feed(False, 10**15)
        if code == 1:
            break
        feeds += 1
        hbt.clear_inactive_orders(0)
        depth = hbt.depth(0)
        bid, ask = depth.best_bid_tick, depth.best_ask_tick
        if not (0 < bid < ask < 10**9):
            continue
        position = hbt.position(0)
        mid = 0.5 * (bid + ask)
        n = position / size
        want_buy = min(math.floor(mid - edge_ticks - (n + 0.5) * slope_ticks), ask - 1)
        want_sell = max(math.ceil(mid + edge_ticks - (n - 0.5) * slope_ticks), bid + 1)
        has_buy = has_sell = False
        values = hbt.orders(0).values()
        while values.has_next():
            order = values.get()
            if order.side == BUY:
                if order.price_tick == want_buy and position < limit:
                    has_buy = True
                elif order.cancellable:
                    hbt.cancel(0, order.order_id, False)
                    orders += 1
            elif order.price_tick == want_sell and position > -limit:
                has_sell = True
            elif order.cancellable:
                hbt.cancel(0, order.order_id, False)
                orders += 1
        if not has_buy and position < limit:
            hbt.submit_buy_order(0, next_id, want_buy * tick_size, size, GTX, LIMIT, False)
            next_id += 1
            orders += 1
        if not has_sell and position > -limit:
            hbt.submit_sell_order(0, next_id, want_sell * tick_size, size, GTX, LIMIT, False)
            next_id += 1
            orders += 1
    return feeds, orders


def run(ticks, events) -> dict:
    """One pass; CPU seconds of the loop alone."""
    tick = float(ticks["tick_size"])
    low, high = float(ticks["bid"].min()) * tick, float(ticks["ask"].max()) * tick
    asset = (
        BacktestAsset()
        .data([events])
        .linear_asset(1.0)
        .constant_order_latency(50_000, 50_000)
        .risk_adverse_queue_model()
        .partial_fill_exchange()
        .trading_value_fee_model(0.0, 0.0)
        .tick_size(tick)
        .lot_size(1.0)
        .roi_lb(max(tick, 0.9 * low))
        .roi_ub(1.1 * high)
        .last_trades_capacity(0)
    )
    hbt = ROIVectorMarketDepthBacktest([asset])
    start = time.process_time()
    names = ("edge_ticks", "slope_ticks", "size", "limit", "tick_size")
    feeds, orders = trade(hbt, tuple(float(ticks[name]) for name in names))
    cpu_s = time.process_time() - start
    trades = int(hbt.state_values(0).num_trades)
    hbt.close()
    return {"cpu_s": cpu_s, "feeds": int(feeds), "messages": int(orders), "fills": trades}


def main() -> None:
    """Compile on the first pass, then take the median of three."""
    ticks = np.load(sys.argv[1])
    ticks = {name: ticks[name] for name in ticks.files}
    events = to_events(ticks)
    passes = [run(ticks, events) for _ in range(4)][1:]
    passes.sort(key=lambda p: p["cpu_s"])
    print(json.dumps({**passes[1], "events": len(events)}))


if __name__ == "__main__":
    main()
