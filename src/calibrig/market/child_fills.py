"""One order that sweeps several resting orders prints several trades: put them together again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calibrig.errors import InvalidInputError
from calibrig.market.ticks import Int64Array, Trades

__all__ = ["ChildFillAssessment", "assess_child_fills", "merge_child_fills"]

FINE_CLOCK_RATIO = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildFillAssessment:
    """Whether trades can be merged into orders, and by what.

    Attributes
    ----------
    rule : str
        ``"id"`` (order numbers repeat), ``"stamp"`` (the clock is fine enough) or ``"none"``.
    shared_id_share : float
        Share of trades with the id and side of the trade before.
    tied_share : float
        Share of trades with the stamp of an earlier trade of their side.
    chance_share : float
        The share that independent orders at the rates of each second would show with this clock.
    """

    rule: str
    shared_id_share: float
    tied_share: float
    chance_share: float


def assess_child_fills(trades: Trades) -> ChildFillAssessment:
    """Measure how many trades share id or stamp, and how many would by chance.

    The chance share counts, second by second and per side, the ties that the same number of orders placed
    uniformly on the clock's steps would show: ``n - cells * (1 - (1 - 1 / cells) ** n)``. Merging by stamp is
    advised where the ties seen are at least 4 times that.

    Parameters
    ----------
    trades : Trades

    Returns
    -------
    ChildFillAssessment

    Examples
    --------
    >>> from calibrig.market import Instrument, Trades, assess_child_fills
    >>> trades = Trades(time_ns=[1, 1, 5], price_ticks=[10, 11, 9], size_lots=[2, 3, 1], side=[1, 1, -1],
    ...     id=[1, 2, 3], sessions=[[0, 10]], instrument=Instrument(symbol="X", tick_size=1.0, lot_size=1.0))
    >>> assess_child_fills(trades).rule
    'stamp'
    """
    n = len(trades)
    if n == 0:
        return ChildFillAssessment(rule="none", shared_id_share=0.0, tied_share=0.0, chance_share=0.0)
    same_side = trades.side[1:] == trades.side[:-1]
    shared = float(np.count_nonzero((trades.id[1:] == trades.id[:-1]) & same_side) / n)
    tied = (n - int(_group_by_stamp(trades).max() + 1)) / n
    chance = _chance_ties(trades) / n
    by_stamp = "stamp" if tied > max(FINE_CLOCK_RATIO * chance, 1e-3) else "none"
    rule = "id" if shared > 0.0 else by_stamp
    return ChildFillAssessment(rule=rule, shared_id_share=shared, tied_share=tied, chance_share=chance)


def merge_child_fills(trades: Trades, *, rule: str = "auto") -> Trades:
    """Return one row per order: first stamp, summed size, the furthest price in the order's direction.

    Parameters
    ----------
    trades : Trades
        Signed; rows of side 0 are never merged.
    rule : str, default "auto"
        ``"id"``: consecutive trades of one id and side; ``"stamp"``: trades of one stamp and side; ``"none"``; or
        ``"auto"``: what :func:`assess_child_fills` advises. In doubt fit both ways and report both.

    Returns
    -------
    Trades

    Raises
    ------
    InvalidInputError
        An unknown rule.

    Examples
    --------
    >>> from calibrig.market import Instrument, Trades, merge_child_fills
    >>> trades = Trades(time_ns=[1, 1, 5], price_ticks=[10, 11, 9], size_lots=[2, 3, 1], side=[1, 1, -1],
    ...     id=[1, 2, 3], sessions=[[0, 10]], instrument=Instrument(symbol="X", tick_size=1.0, lot_size=1.0))
    >>> orders = merge_child_fills(trades, rule="stamp")
    >>> orders.price_ticks.tolist(), orders.size_lots.tolist()
    ([11, 9], [5, 1])
    """
    if rule == "auto":
        rule = assess_child_fills(trades).rule
    if rule not in {"id", "stamp", "none"}:
        raise InvalidInputError(f"rule is {rule!r}; give 'auto', 'id', 'stamp' or 'none'")
    if rule == "none" or len(trades) == 0:
        return trades
    group = _group_by_id(trades) if rule == "id" else _group_by_stamp(trades)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    first = order[starts]
    side = trades.side[first]
    price = trades.price_ticks.astype(np.float64)
    if trades.sub_tick is not None:
        price += trades.sub_tick
    furthest = np.maximum.reduceat((price * np.where(trades.side == 0, 1, trades.side))[order], starts)
    furthest *= np.where(side == 0, 1, side)
    price_ticks = np.floor(furthest).astype(np.int64)
    return Trades(
        time_ns=trades.time_ns[first],
        price_ticks=price_ticks,
        size_lots=np.add.reduceat(trades.size_lots[order], starts),
        side=side,
        id=trades.id[first],
        sub_tick=None if trades.sub_tick is None else (furthest - price_ticks).astype(np.float32),
        local_time_ns=None if trades.local_time_ns is None else trades.local_time_ns[first],
        sessions=trades.sessions,
        resolution_ns=trades.resolution_ns,
        instrument=trades.instrument,
    )


def _group_by_id(trades: Trades) -> Int64Array:
    new = (trades.id[1:] != trades.id[:-1]) | (trades.side[1:] != trades.side[:-1]) | (trades.side[1:] == 0)
    group: Int64Array = np.concatenate(([0], np.cumsum(new, dtype=np.int64)))
    return group


def _group_by_stamp(trades: Trades) -> Int64Array:
    """Number of the order of each trade, by first appearance."""
    n = len(trades)
    stamp = np.concatenate(([0], np.cumsum(np.diff(trades.time_ns) != 0, dtype=np.int64)))
    key = stamp * 2 + (trades.side > 0)
    alone = trades.side == 0
    if alone.any():
        key = np.where(alone, 2 * n + np.arange(n), key)
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    return rank[inverse]


def _chance_ties(trades: Trades) -> float:
    cells = max(1.0, 1e9 / trades.resolution_ns)
    ties = 0.0
    for side in (-1, 1):
        second = trades.time_ns[trades.side == side] // 1_000_000_000
        if len(second):
            count = np.diff(np.flatnonzero(np.concatenate(([True], np.diff(second) > 0, [True])))).astype(
                float
            )
            ties += float(np.sum(count - cells * -np.expm1(count * np.log1p(-1.0 / max(cells, 1.0 + 1e-9)))))
    return max(ties, 0.0)
