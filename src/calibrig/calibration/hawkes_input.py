"""How trades become the events of a Hawkes fit: child fills, sessions, ties, and what is said about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from calibrig.calibration.gates_hawkes import FEWEST_EVENTS
from calibrig.errors import InvalidInputError, InvalidTicksError
from calibrig.market.child_fills import assess_child_fills, merge_child_fills
from calibrig.market.ticks import Trades
from calibrig.models.hawkes_events import HawkesEvents, prepare_events

__all__ = ["ChildFills", "HawkesInput", "check_counts", "check_options", "read_input"]

ChildFills = Literal["auto", "id", "stamp", "none"]

FEWEST_TO_FIT = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class HawkesInput:
    """Events, what was done to them, and whose they are."""

    events: HawkesEvents
    notes: tuple[str, ...]
    symbol: str


def read_input(
    trades: Trades | tuple[ArrayLike, ArrayLike],
    sessions: ArrayLike | None,
    resolution_ns: int | None,
    child_fills: ChildFills,
    seed: int,
) -> HawkesInput:
    """Merge child fills, leave empty sessions out, check and spread ties; every step is noted."""
    if child_fills not in ("auto", "id", "stamp", "none"):
        raise InvalidInputError(f"child_fills is {child_fills!r}; give 'auto', 'id', 'stamp' or 'none'")
    notes: list[str] = []
    symbol = "events"
    if isinstance(trades, Trades):
        symbol = trades.instrument.symbol
        rule = assess_child_fills(trades).rule if child_fills == "auto" and len(trades) else child_fills
        orders = merge_child_fills(trades, rule=rule) if len(trades) else trades
        if rule != "none":
            share = 1.0 - len(orders) / max(len(trades), 1)
            notes.append(
                f"child fills merged by {rule}: {len(trades)} trades to {len(orders)} orders ({share:.1%} fewer)"
            )
        times, side = orders.time_ns, orders.side
        sessions = orders.sessions if sessions is None else sessions
        resolution_ns = orders.resolution_ns if resolution_ns is None else resolution_ns
        spans = np.asarray(sessions)
        if len(spans) and len(times):  # sessions of the source in which this symbol did not trade
            counts = np.diff(np.searchsorted(times, spans[:, 1]), prepend=0)
            if np.any(counts == 0):
                notes.append(f"{int((counts == 0).sum())} sessions without trades left out")
                sessions = spans[counts > 0]
    else:
        if not isinstance(trades, tuple) or len(trades) != 2:
            raise InvalidInputError(f"trades is {type(trades).__name__}; give Trades or (time_ns, side)")
        times, side = trades  # type: ignore[assignment]
    events = prepare_events(times, side, sessions=sessions, resolution_ns=resolution_ns, seed=seed)
    if events.tied_share > 0:
        notes.append(
            f"{events.tied_share:.1%} of events share a stamp: spread over the clock's step of {events.resolution_ns} ns"
        )
    return HawkesInput(events=events, notes=tuple(notes), symbol=symbol)


def check_options(holdout: float, profile_bins: int) -> None:
    """Refuse shares and bins that no fit can use."""
    if not 0.0 <= holdout <= 0.5:
        raise InvalidInputError(f"holdout is {holdout}; give a share in 0 .. 0.5")
    if not isinstance(profile_bins, (int, np.integer)) or not 1 <= profile_bins <= 1_000:
        raise InvalidInputError(
            f"profile_bins is {profile_bins!r}; give a whole number, 1 (no profile) to 1,000"
        )


def check_counts(events: HawkesEvents) -> int:
    """Return the events of the rarer side; refuse what cannot be fitted."""
    buys, sells = events.count_sides()
    if len(events) >= 4 * FEWEST_TO_FIT and min(buys, sells) == 0:
        raise InvalidTicksError(
            f"all {len(events)} events are {'buys' if buys else 'sells'}; a two-sided fit needs both sides: look at the "
            "side column, or sign the trades anew (sign_trades)"
        )
    if min(buys, sells) < FEWEST_TO_FIT:
        raise InvalidTicksError(
            f"{buys} buys and {sells} sells; a two-sided fit needs at least {FEWEST_TO_FIT} of each "
            f"(and {FEWEST_EVENTS} to be judged): give more events"
        )
    return min(buys, sells)
