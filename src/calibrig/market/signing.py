"""Who started each trade: Lee-Ready against the mid before it, the tick rule where that cannot say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from calibrig.market.ticks import Quotes, Trades

__all__ = ["SIGNING_RULES", "compute_signing_rules", "sign_trades"]

SIGNING_RULES = ("source", "mid", "tick_rule", "reverse_tick_rule", "unsigned")
Int8Array = NDArray[np.int8]


def sign_trades(trades: Trades, quotes: Quotes) -> Trades:
    """Return the trades with a side for each that has none.

    A trade above the mid that stood strictly before it was started by the buyer, below by the seller (Lee and
    Ready 1991). At the mid, or before the first quote, the tick rule decides: up from the last other price is a
    buyer. Where there is no earlier other price the next one is used (the reverse tick test of the same paper).
    Sides that the source gave are kept. The side stays 0 only where a whole history has one price.

    Parameters
    ----------
    trades : Trades
        In time order.
    quotes : Quotes
        May be empty: the tick rule signs alone.

    Returns
    -------
    Trades
        The same trades with ``side`` filled in.

    Examples
    --------
    >>> import numpy as np
    >>> from calibrig.market import Instrument, Quotes, Trades, sign_trades
    >>> fix = {"instrument": Instrument(symbol="X", tick_size=1.0, lot_size=1.0), "sessions": [[0, 100]]}
    >>> quotes = Quotes(time_ns=[0], bid_ticks=[10], bid_lots=[1], ask_ticks=[12], ask_lots=[1], **fix)
    >>> one, none = np.ones(3), np.zeros(3)
    >>> trades = Trades(time_ns=[1, 2, 3], price_ticks=[12, 10, 11], size_lots=one, side=none, id=one, **fix)
    >>> sign_trades(trades, quotes).side.tolist()
    [1, -1, 1]
    """
    side, _ = compute_signing_rules(trades, quotes)
    return replace(trades, side=side)


def compute_signing_rules(trades: Trades, quotes: Quotes) -> tuple[Int8Array, Int8Array]:
    """Return the side of each trade and the index in :data:`SIGNING_RULES` of what decided it."""
    side = trades.side.astype(np.int8)
    rule = np.where(side != 0, 0, 4).astype(np.int8)
    if len(side) == 0 or bool((side != 0).all()):
        return side, rule
    price = trades.price_ticks.astype(np.float64)
    if trades.sub_tick is not None:
        price += trades.sub_tick
    for index, votes in (
        (1, _against_mid(trades, price, quotes)),
        (2, _tick_rule(price)),
        (3, _reverse(price)),
    ):
        undecided = (side == 0) & (votes != 0)
        side[undecided] = votes[undecided]
        rule[undecided] = index
    return side, rule


def _against_mid(trades: Trades, price: NDArray[np.float64], quotes: Quotes) -> Int8Array:
    if len(quotes) == 0:
        return np.zeros(len(price), np.int8)
    before = np.searchsorted(quotes.time_ns, trades.time_ns, side="left") - 1
    session = np.searchsorted(trades.sessions[:, 0], trades.time_ns, side="right") - 1
    start = (
        trades.sessions[np.maximum(session, 0), 0] if len(trades.sessions) else np.zeros(len(price), np.int64)
    )
    row = np.maximum(before, 0)
    usable = (before >= 0) & (quotes.time_ns[row] >= start)
    double_mid = (quotes.bid_ticks + quotes.ask_ticks)[row]
    return np.where(usable, np.sign(2.0 * price - double_mid), 0.0).astype(np.int8)


def _tick_rule(price: NDArray[np.float64]) -> Int8Array:
    step = np.sign(np.diff(price, prepend=price[:1])).astype(np.int8)
    last = np.maximum.accumulate(np.where(step != 0, np.arange(len(step)), 0))
    return step[last]


def _reverse(price: NDArray[np.float64]) -> Int8Array:
    result: Int8Array = _tick_rule(price[::-1])[
        ::-1
    ]  # a lower price next: this one was the higher, a buyer's
    return result
