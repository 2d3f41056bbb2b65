"""The 16 features written as the sums that define them: O(n^2), for checking the native ones and for reading."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calibrig.engine.features import FeatureRows
from calibrig.market import MarketData

__all__ = ["compute_features"]

Float = NDArray[np.float64]
_AGE_CAP_S = 60.0


def compute_features(market: MarketData, session: int = 0) -> FeatureRows:
    """Return the features of one session from their definitions, without a Hawkes model.

    Every exponentially weighted sum is taken anew at every tick over all earlier events, with no recursion. Meant
    for some thousands of ticks.

    Examples
    --------
    >>> from calibrig.market import MarketData, Quotes, Trades
    >>> from calibrig.parameters import Instrument
    >>> x = Instrument(symbol="X", tick_size=1.0, lot_size=1.0)
    >>> quotes = Quotes(time_ns=[0], bid_ticks=[99], bid_lots=[3], ask_ticks=[101], ask_lots=[1], instrument=x,
    ...     sessions=[[0, 10]])
    >>> trades = Trades(time_ns=[], price_ticks=[], size_lots=[], side=[], id=[], instrument=x, sessions=[[0, 10]])
    >>> compute_features(MarketData(trades=trades, quotes=quotes)).values[0, :3].tolist()
    [2.0, 0.5, 0.5]
    """
    start, end = market.sessions[session]
    part = market.between(int(start), int(end))
    trades, quotes = part.trades, part.quotes
    sound = (quotes.bid_ticks < quotes.ask_ticks) & (quotes.bid_lots > 0) & (quotes.ask_lots > 0)
    quote_s = (quotes.time_ns - start) * 1e-9
    trade_s = (trades.time_ns - start) * 1e-9
    book = _Book(
        quote_s[sound],
        *(
            c[sound].astype(float)
            for c in (quotes.bid_ticks, quotes.bid_lots, quotes.ask_ticks, quotes.ask_lots)
        ),
    )
    signed = trades.side * trades.size_lots.astype(float)
    order = np.lexsort(
        (
            np.concatenate([np.zeros(len(trades)), np.ones(len(quotes))]),
            np.concatenate([trades.time_ns, quotes.time_ns]),
        )
    )
    values = np.zeros((len(order), 16))
    valid = np.zeros(len(order), bool)
    n_trades = n_quotes = 0
    for row, source in enumerate(order):
        is_trade = source < len(trades)
        now = trade_s[source] if is_trade else quote_s[source - len(trades)]
        ages = [
            min(now - times[n - 1], _AGE_CAP_S) if n else _AGE_CAP_S
            for times, n in ((trade_s, n_trades), (quote_s, n_quotes))
        ]
        n_trades, n_quotes = n_trades + is_trade, n_quotes + (not is_trade)
        known = int(sound[:n_quotes].sum())
        valid[row] = known > 0 and bool(sound[n_quotes - 1])
        if valid[row]:
            values[row] = book.row(now, known, trade_s[:n_trades], signed[:n_trades], ages)
    return FeatureRows(
        values,
        np.concatenate([trades.time_ns, quotes.time_ns])[order],
        valid,
        order < len(trades),
    )


class _Book:
    def __init__(self, time_s: Float, bid: Float, bid_lots: Float, ask: Float, ask_lots: Float) -> None:
        self.time_s, self.bid, self.bid_lots, self.ask, self.ask_lots = time_s, bid, bid_lots, ask, ask_lots
        self.mid = 0.5 * (bid + ask)
        self.moves = np.diff(self.mid)
        self.flow = (  # Cont, Kukanov, Stoikov 2014, eq. 3
            (bid[1:] >= bid[:-1]) * bid_lots[1:]
            - (bid[1:] <= bid[:-1]) * bid_lots[:-1]
            - (ask[1:] <= ask[:-1]) * ask_lots[1:]
            + (ask[1:] >= ask[:-1]) * ask_lots[:-1]
        )

    def row(self, now: float, n: int, trade_s: Float, signed: Float, ages: list[float]) -> Float:
        """Return the features at ``now`` after ``n`` sound quotes."""
        spread = self.ask[n - 1] - self.bid[n - 1]
        touch = self.bid_lots[n - 1] + self.ask_lots[n - 1]
        imbalance = (self.bid_lots[n - 1] - self.ask_lots[n - 1]) / touch
        elapsed = now - self.time_s[0]
        mean_bid, mean_ask = (self._held(c, now, n, 1.0) for c in (self.bid_lots, self.ask_lots))
        size = 0.5 * touch
        if elapsed > 0.0:
            size = self._held(0.5 * (self.bid_lots + self.ask_lots), now, n, 60.0) / (
                1.0 - np.exp(-elapsed / 60.0)
            )
        mids = [
            self._held(self.mid, now, n, tau) + self.mid[0] * np.exp(-elapsed / tau) for tau in (1.0, 10.0)
        ]
        flow = [np.sum(self.flow[: n - 1] * np.exp(-(now - self.time_s[1:n]) / tau)) for tau in (1.0, 10.0)]
        volume = [np.sum(signed * np.exp(-(now - trade_s) / tau)) for tau in (1.0, 10.0)]
        volatility = [
            np.sqrt(
                np.sum(self.moves[: n - 1] ** 2 * np.exp(-(now - self.time_s[1:n]) / tau))
                / max(1.0, tau * (1.0 - np.exp(-elapsed / tau)))
            )
            for tau in (10.0, 60.0)
        ]
        averaged = mean_bid + mean_ask
        return np.array(
            [
                spread,
                imbalance,
                (mean_bid - mean_ask) / averaged if averaged > 0.0 else imbalance,
                *(f / size for f in flow),
                *(v / size for v in volume),
                1.0,
                1.0,
                0.0,
                *volatility,
                *((self.mid[n - 1] - m) / (0.5 * spread) for m in mids),
                *ages,
            ]
        )

    def _held(self, column: Float, now: float, n: int, tau: float) -> float:
        """Integral of a held value over the past, weighted by exp(-age / tau) / tau, from the first quote."""
        edges = np.append(self.time_s[:n], now)
        weights = np.exp(-(now - edges[1:]) / tau) - np.exp(-(now - edges[:-1]) / tau)
        return float(np.sum(column[:n] * weights))
