"""Which ticks a model is fitted on, and which it is tried on."""

from __future__ import annotations

from dataclasses import dataclass

from calibrig.errors import InvalidTicksError
from calibrig.market import MarketData

__all__ = ["Split", "split_market"]

TRAINING_SHARE = 0.8  # of a single session


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Earlier ticks to fit on, later ticks to replay, and how they were parted in words."""

    training: MarketData
    replayed: MarketData
    rule: str


def split_market(market: MarketData) -> Split:
    """Fit on the earlier sessions and replay the last; one session only: first 80 % and last 20 % of its time.

    Examples
    --------
    >>> from calibrig import Instrument, MarketData, Quotes, Trades
    >>> fix = {"instrument": Instrument(symbol="X", tick_size=1.0, lot_size=1.0), "sessions": [[0, 100]]}
    >>> quotes = Quotes(time_ns=[0, 90], bid_ticks=[9, 9], bid_lots=[1, 1], ask_ticks=[11, 11], ask_lots=[1, 1], **fix)
    >>> trades = Trades(time_ns=[10, 95], price_ticks=[11, 9], size_lots=[1, 1], side=[1, -1], id=[1, 2], **fix)
    >>> split = split_market(MarketData(trades=trades, quotes=quotes))
    >>> len(split.training.trades), len(split.replayed.trades)
    (1, 1)
    """
    sessions = market.sessions
    if len(sessions) == 0:
        raise InvalidTicksError(
            f"{market.instrument.symbol}: no session holds a tick; give files with trades and quotes"
        )
    start, end = int(sessions[0, 0]), int(sessions[-1, 1])
    if len(sessions) > 1:
        border = int(sessions[-1, 0])
        many = "sessions" if len(sessions) > 2 else "session"
        rule = f"fitted on the first {len(sessions) - 1} {many}, replayed on the last"
    else:
        border = start + int(TRAINING_SHARE * (end - start))
        rule = "one session only: fitted on its first 80 %, replayed on its last 20 %"
    return Split(training=market.between(start, border), replayed=market.between(border, end), rule=rule)
