"""Which ticks to keep: rows of trades and quotes by a mask."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from calibrig.market import Quotes, Trades

__all__ = ["select_quotes", "select_trades"]


def select_trades(trades: Trades, keep: NDArray[np.bool_]) -> Trades:
    """Return the trades where ``keep`` is True; sessions stay."""
    return replace(
        trades,
        time_ns=trades.time_ns[keep],
        price_ticks=trades.price_ticks[keep],
        size_lots=trades.size_lots[keep],
        side=trades.side[keep],
        id=trades.id[keep],
        sub_tick=None if trades.sub_tick is None else trades.sub_tick[keep],
        local_time_ns=None if trades.local_time_ns is None else trades.local_time_ns[keep],
    )


def select_quotes(quotes: Quotes, keep: NDArray[np.bool_]) -> Quotes:
    """Return the quotes where ``keep`` is True; sessions stay."""
    return replace(
        quotes,
        time_ns=quotes.time_ns[keep],
        bid_ticks=quotes.bid_ticks[keep],
        bid_lots=quotes.bid_lots[keep],
        ask_ticks=quotes.ask_ticks[keep],
        ask_lots=quotes.ask_lots[keep],
        local_time_ns=None if quotes.local_time_ns is None else quotes.local_time_ns[keep],
    )
