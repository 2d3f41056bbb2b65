"""Days that did not happen but could have: minutes of real ticks in new order, as ticks for the real engine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calibrig.calibration.blocks import resample_stationary
from calibrig.calibration.quoting import prepare_orders
from calibrig.engine.paths import MINUTE_NS, MinuteRows
from calibrig.errors import InvalidTicksError
from calibrig.market import MarketData, Quotes, Trades

__all__ = ["assemble_days", "collect_minutes", "draw_days"]

Int64Array = NDArray[np.int64]


def collect_minutes(market: MarketData, *, cells: int = 12) -> MinuteRows:
    """Cut a market into whole minutes, the book seen ``cells`` times in each.

    Parameters
    ----------
    market : MarketData
        Trades and quotes.
    cells : int
        Instants a minute; 12 is every 5 s.

    Raises
    ------
    InvalidTicksError
        No session holds two whole minutes of two-sided quotes.
    """
    quotes = market.quotes
    orders, _ = prepare_orders(market)
    usable = (quotes.bid_ticks > 0) & (quotes.ask_ticks > quotes.bid_ticks)
    quote_ns = quotes.time_ns[usable]
    book = np.column_stack((quotes.bid_ticks, quotes.ask_ticks, quotes.bid_lots, quotes.ask_lots))[usable]
    step_ns = MINUTE_NS // cells
    parts: list[tuple[Int64Array, Int64Array, Int64Array, Int64Array, int]] = []
    for day, (start_ns, end_ns) in enumerate(market.sessions):
        low, high = np.searchsorted(quote_ns, (start_ns, end_ns))
        if high == low:
            continue
        first = -(-int(quote_ns[low] - start_ns) // MINUTE_NS)
        begin = int(start_ns) + first * MINUTE_NS
        minutes = (int(end_ns) - begin) // MINUTE_NS
        if minutes < 2:
            continue
        grid = begin + np.arange(minutes * cells + 1, dtype=np.int64) * step_ns
        at = low + np.searchsorted(quote_ns[low:high], grid, side="right") - 1
        price, lots = _gather_trades(orders, begin, minutes * cells, step_ns)
        parts.append((book[at], price, lots, np.full(minutes, day, np.int64), minutes))
    if not parts:
        raise InvalidTicksError(
            f"no session of {market.instrument.symbol!r} holds two whole minutes of two-sided quotes; give a longer "
            "span"
        )
    seen = np.concatenate([p[0][:-1].reshape(p[4], cells, 4) for p in parts])
    twice = [(p[0][:, 0] + p[0][:, 1])[::cells] for p in parts]
    return MinuteRows(
        bid=seen[:, :, 0],
        ask=seen[:, :, 1],
        bid_lots=seen[:, :, 2],
        ask_lots=seen[:, :, 3],
        start_twice_mid=np.concatenate([t[:-1] for t in twice]),
        end_twice_mid=np.concatenate([t[1:] for t in twice]),
        trade_price=np.concatenate([p[1].reshape(p[4], cells, 2) for p in parts]),
        trade_lots=np.concatenate([p[2].reshape(p[4], cells, 2) for p in parts]),
        day=np.concatenate([p[3] for p in parts]),
        day_minutes=max(p[4] for p in parts),
        instrument=market.instrument,
    )


def _gather_trades(orders: Trades, begin: int, cells: int, step_ns: int) -> tuple[Int64Array, Int64Array]:
    """Furthest price and volume by cell and side."""
    cell = (orders.time_ns - begin) // step_ns
    inside = (orders.time_ns >= begin) & (cell < cells)
    cell, side = cell[inside], (orders.side[inside] < 0).astype(np.int64)
    price, lots = orders.price_ticks[inside], orders.size_lots[inside]
    key = cell * 2 + side
    volume = np.bincount(key, weights=lots, minlength=2 * cells).astype(np.int64)
    sign = 1 - 2 * side
    furthest = np.full(2 * cells, np.iinfo(np.int64).min)
    np.maximum.at(furthest, key, price * sign)
    furthest[volume == 0] = 0
    return (furthest.reshape(cells, 2) * np.array([1, -1])), volume.reshape(cells, 2)


def draw_days(
    minutes: MinuteRows, *, days: int, block_minutes: float, generator: np.random.Generator
) -> tuple[Int64Array, Int64Array]:
    """Draw minutes for new days: each day from the minutes of one real day, by the stationary bootstrap.

    Returns
    -------
    tuple of ndarray
        Rows of ``minutes``, shape (days, day_minutes), and the real day of each new one, shape (days,).
    """
    known = np.unique(minutes.day)
    origin = known[np.arange(days) % len(known)]
    rows = np.empty((days, minutes.day_minutes), np.int64)
    for day in known:
        mine = np.flatnonzero(minutes.day == day)
        wanted = np.flatnonzero(origin == day)
        drawn = resample_stationary(
            len(mine),
            block_length=min(max(block_minutes, 1.0), float(len(mine))),
            paths=len(wanted),
            generator=generator,
            rows=minutes.day_minutes,
        )
        rows[wanted] = mine[drawn]
    return rows, origin


def assemble_days(minutes: MinuteRows, rows: Int64Array) -> MarketData:
    """Put drawn minutes together as ticks: one session per day, the price running on from minute to minute.

    Prices are shifted by whole ticks where blocks meet; a trade comes after the book of its cell.

    Parameters
    ----------
    minutes : MinuteRows
        From :func:`collect_minutes`.
    rows : ndarray of int64, shape (days, day_minutes)
        From :func:`draw_days`.

    Returns
    -------
    MarketData
    """
    days, length = rows.shape
    cells = minutes.cells
    step_ns = MINUTE_NS // cells
    move = (minutes.end_twice_mid - minutes.start_twice_mid)[rows]
    before = np.cumsum(move, axis=1) - move
    opening = minutes.start_twice_mid[rows[:, :1]]
    shift = (opening + before - minutes.start_twice_mid[rows]) // 2
    session_ns = length * MINUTE_NS
    starts = np.arange(days, dtype=np.int64) * (session_ns + MINUTE_NS)
    sessions = np.column_stack((starts, starts + session_ns))
    cell_ns = starts[:, None] + np.arange(length * cells, dtype=np.int64) * step_ns
    whole = shift[:, :, None]
    quotes = Quotes(
        time_ns=cell_ns.reshape(-1),
        bid_ticks=(minutes.bid[rows] + whole).reshape(-1),
        bid_lots=minutes.bid_lots[rows].reshape(-1),
        ask_ticks=(minutes.ask[rows] + whole).reshape(-1),
        ask_lots=minutes.ask_lots[rows].reshape(-1),
        sessions=sessions,
        instrument=minutes.instrument,
    )
    lots = minutes.trade_lots[rows].reshape(-1)
    traded = lots > 0
    price = (minutes.trade_price[rows] + shift[:, :, None, None]).reshape(-1)
    offset = np.array([step_ns // 3, 2 * step_ns // 3], dtype=np.int64)
    time_ns = (cell_ns.reshape(-1, 1) + offset).reshape(-1)
    side = np.tile(np.array([1, -1], np.int8), days * length * cells)
    count = int(traded.sum())
    trades = Trades(
        time_ns=time_ns[traded],
        price_ticks=price[traded],
        size_lots=lots[traded],
        side=side[traded],
        id=np.arange(count),
        sessions=sessions,
        instrument=minutes.instrument,
    )
    return MarketData(trades=trades, quotes=quotes, description=f"{days} resampled days")
