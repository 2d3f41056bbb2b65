"""Which ticks a model is fitted on, which it is backtested on, and which the loop replays."""

from __future__ import annotations

from dataclasses import dataclass

from calibrig.calibration.backtest import split_market as hold_out
from calibrig.errors import InvalidTicksError
from calibrig.market import MarketData

__all__ = ["Split", "count_sessions", "split_market"]

HELD_OUT = 0.2  # of the sessions, or of a single one; the tutorial and the help of `calibrig run` say so


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Earlier ticks to fit on, later ones to backtest on, the last session of these to replay, and the rule in words."""

    training: MarketData
    held_out: MarketData
    replayed: MarketData
    rule: str


def count_sessions(number: int) -> str:
    """Say how many sessions.

    Examples
    --------
    >>> count_sessions(1), count_sessions(3)
    ('1 session', '3 sessions')
    """
    return f"{number:,} session{'' if number == 1 else 's'}"


def split_market(market: MarketData) -> Split:
    """Hold out the last fifth of the sessions (at least one) and replay the last; of one session, the last 20 %.

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
    training, held_out = hold_out(market, holdout=HELD_OUT)
    replayed = held_out
    if len(sessions) == 1:
        rule = "one session only: fitted on its first 80 %, replayed on its last 20 %"
    else:
        fitted, held = len(training.sessions), len(held_out.sessions)
        replayed = market.between(int(sessions[-1, 0]), int(sessions[-1, 1]))
        backtested = f"backtested on the last {held}, " if held > 1 else ""
        rule = f"fitted on the first {count_sessions(fitted)}, {backtested}replayed on the last"
    return Split(training=training, held_out=held_out, replayed=replayed, rule=rule)
