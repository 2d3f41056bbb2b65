"""How bad a day can get: resampled days through the real engine, per position limit, with common random numbers.

A recorded day is cut into steps (one minute, say) of mid return, spread, orders and depth; :func:`replay_paths` draws
days from them by the stationary bootstrap (or takes rows given to it: whole days, scenarios), makes ticks of each step,
and sends them through the native engine and venue, once per position limit. Paths are numbered; the random numbers of
path k depend on the seed and k only, so results do not depend on threads, chunks or limits.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import msgspec
import numpy as np
from numpy.typing import NDArray

from calibrig._native import engine as _native  # noqa: TID251
from calibrig.engine.columns import mark_new_orders
from calibrig.engine.limits import PreTradeLimits
from calibrig.engine.loop import FILL_MODELS
from calibrig.engine.parameter_block import judge_parameters, make_block
from calibrig.errors import InvalidInputError, InvalidTicksError
from calibrig.market import MarketData
from calibrig.parameters import Instrument, ParameterSet

__all__ = ["PathResults", "PathSteps", "measure_steps", "replay_paths"]

_CHUNK = 64  # paths between two looks at Ctrl-C


@dataclass(frozen=True, slots=True, kw_only=True)
class PathSteps:
    """What happened in each step of the recorded days; shape (n,) each.

    Attributes
    ----------
    mid_return : ndarray of float64
        Simple return of the mid over the step.
    volatility : ndarray of float64
        Of the mid inside the step around its drift, return per sqrt second; at least 0.
    spread_ticks : ndarray of int64
        At least 1.
    buy_orders, sell_orders : ndarray of int64
        Market orders (child fills merged).
    touch_lots : ndarray of int64
        Displayed size on one side, lots; at least 1.
    order_lots : ndarray of float64
        Mean size of a market order, lots.
    session : ndarray of int64
        Which recorded session the step belongs to, for drawing whole days.
    step_s : float
        Length of a step, s.
    price_ticks : float
        Where paths start, ticks.
    """

    mid_return: NDArray[np.float64]
    volatility: NDArray[np.float64]
    spread_ticks: NDArray[np.int64]
    buy_orders: NDArray[np.int64]
    sell_orders: NDArray[np.int64]
    touch_lots: NDArray[np.int64]
    order_lots: NDArray[np.float64]
    session: NDArray[np.int64]
    step_s: float
    price_ticks: float

    def __post_init__(self) -> None:
        n = len(self.mid_return)
        for field in fields(self)[:8]:
            kind = np.float64 if field.name in ("mid_return", "volatility", "order_lots") else np.int64
            array = np.ascontiguousarray(getattr(self, field.name), dtype=kind)
            if array.shape != (n,) or not np.all(np.isfinite(array)):
                raise InvalidInputError(
                    f"PathSteps.{field.name} has shape {array.shape} or holds values that are not finite; "
                    f"give {n} finite values"
                )
            array.flags.writeable = False
            object.__setattr__(self, field.name, array)
        least = {
            "volatility": 0,
            "spread_ticks": 1,
            "buy_orders": 0,
            "sell_orders": 0,
            "touch_lots": 1,
            "order_lots": 0,
        }
        for name, low in least.items():
            if n == 0 or float(np.min(getattr(self, name))) < low:
                raise InvalidInputError(
                    f"PathSteps.{name} is empty or below {low}; give values of at least {low}"
                )
        if float(np.min(self.mid_return)) <= -1.0 or not (self.step_s > 0.0 and self.price_ticks >= 1.0):
            raise InvalidInputError(
                f"PathSteps: the smallest return is {float(np.min(self.mid_return))}, step_s {self.step_s!r}, "
                f"price_ticks {self.price_ticks!r}; give returns above -1, a step above 0 and a price of at least 1"
            )

    def __len__(self) -> int:
        return len(self.mid_return)


@dataclass(frozen=True, slots=True, kw_only=True)
class PathResults:
    """One row per path, one column per position limit; money in price units.

    Attributes
    ----------
    limits : tuple of int
        Position limits, lots.
    max_drawdown, pnl : ndarray of float64, shape (paths, limits)
        Largest fall of the P&L (marked at mid, after fees) from its peak within the day; and its final value, flat.
    largest_position, fills : ndarray of int64, shape (paths, limits)
    """

    limits: tuple[int, ...]
    max_drawdown: NDArray[np.float64]
    pnl: NDArray[np.float64]
    largest_position: NDArray[np.int64]
    fills: NDArray[np.int64]


def measure_steps(market: MarketData, *, step_s: float = 60.0, substeps: int = 12) -> PathSteps:
    """Cut the sessions of a market into whole steps and measure each.

    A step counts where the mid is known at its start. Mids are those in force at the ``substeps`` borders.

    Examples
    --------
    >>> import numpy as np
    >>> from calibrig.market import MarketData, Quotes, Trades
    >>> from calibrig.parameters import Instrument
    >>> x = Instrument(symbol="X", tick_size=1.0, lot_size=1.0)
    >>> span = [[0, 180 * 10**9]]
    >>> quotes = Quotes(time_ns=[0, 70 * 10**9], bid_ticks=[99, 109], bid_lots=[4, 4], ask_ticks=[101, 111],
    ...     ask_lots=[4, 4], instrument=x, sessions=span)
    >>> trades = Trades(time_ns=[10**9, 90 * 10**9], price_ticks=[101, 109], size_lots=[2, 6], side=[1, -1], id=[1, 2],
    ...     instrument=x, sessions=span)
    >>> steps = measure_steps(MarketData(trades=trades, quotes=quotes))
    >>> steps.mid_return.round(6).tolist(), steps.buy_orders.tolist(), steps.order_lots.tolist()
    ([0.0, 0.1, 0.0], [1, 0, 0], [2.0, 6.0, 4.0])
    """
    if not step_s > 0.0 or substeps < 2:
        raise InvalidInputError(
            f"step_s is {step_s!r}, substeps {substeps!r}; give a length above 0 and at least 2"
        )
    q, t = market.quotes, market.trades
    sound = (q.bid_ticks < q.ask_ticks) & (q.bid_lots > 0) & (q.ask_lots > 0)
    time_ns, mid = q.time_ns[sound], q.mid_ticks()[sound]
    spread, touch = (q.ask_ticks - q.bid_ticks)[sound], ((q.bid_lots + q.ask_lots) * 0.5)[sound]
    begins = mark_new_orders(t).astype(bool)
    part_ns = round(step_s * 1e9 / substeps)
    rows: list[tuple[float, float, int, int, int, int, float, int]] = []
    all_lots, all_orders = float(t.size_lots.sum()), max(1, int(begins.sum()))
    for k, (start, end) in enumerate(market.sessions):
        first = int(np.searchsorted(time_ns, start))
        for low in range(int(start), int(end) - substeps * part_ns + 1, substeps * part_ns):
            borders = low + part_ns * np.arange(substeps + 1)
            at = np.searchsorted(time_ns, borders, side="right") - 1
            if at[0] < first:
                continue
            a, b = np.searchsorted(t.time_ns, (low, borders[-1]))
            side, new = t.side[a:b], begins[a:b]
            orders = int(np.count_nonzero(new & (side != 0)))
            moves = np.diff(mid[at]) / mid[at[0]]
            noise = np.sqrt(np.sum((moves - moves.mean()) ** 2) / (substeps - 1) / (part_ns * 1e-9))
            rows.append(
                (
                    float(mid[at[-1]] / mid[at[0]] - 1.0),
                    float(noise),
                    max(1, round(float(spread[at[:-1]].mean()))),
                    int(np.count_nonzero(new & (side > 0))),
                    int(np.count_nonzero(new & (side < 0))),
                    max(1, round(float(touch[at[:-1]].mean()))),
                    float(t.size_lots[a:b][side != 0].sum()) / orders if orders else all_lots / all_orders,
                    k,
                )
            )
    if not rows:
        raise InvalidTicksError(
            f"no session holds a whole step of {step_s:g} s with quotes; give more data or a shorter step"
        )
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return PathSteps(
        mid_return=columns[0],
        volatility=columns[1],
        spread_ticks=columns[2],
        buy_orders=columns[3],
        sell_orders=columns[4],
        touch_lots=columns[5],
        order_lots=columns[6],
        session=columns[7],
        step_s=substeps * part_ns / 1e9,
        price_ticks=float(mid[-1]),
    )


def replay_paths(
    steps: PathSteps,
    parameters: ParameterSet,
    *,
    limits: Sequence[int],
    instrument: Instrument,
    paths: int = 1_000,
    path_steps: int | None = None,
    block_steps: float = 30.0,
    rows: NDArray[np.int64] | None = None,
    substeps: int = 12,
    groups: int = 4,
    fill_model: str = "conservative",
    order_latency_ns: int = 50_000,
    response_latency_ns: int = 50_000,
    form: str = "stationary",
    pre_trade: PreTradeLimits | None = None,
    seed: int = 0,
    first_path: int = 0,
    threads: int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> PathResults:
    """Send resampled days through the native engine and return the drawdown of each under each position limit.

    Parameters
    ----------
    steps : PathSteps
        From :func:`measure_steps`, or made by hand (a scenario).
    parameters : ParameterSet
        Quoting and risk are used (regimes included); ``risk.max_position`` is replaced by each of ``limits``. The
        engine runs without a signal (0).
    limits : sequence of int
        Position limits, lots. All see the same days (common random numbers), so their drawdowns can be compared path
        by path, for example by bisection over several calls.
    instrument : Instrument
        Tick, lot and fees.
    paths : int
        Days to draw. Ignored where ``rows`` is given.
    path_steps : int or None
        Steps of one day; None takes the longest recorded session's.
    block_steps : float
        Mean block length of the stationary bootstrap, steps.
    rows : ndarray of int64, shape (paths, path_steps), or None
        Rows of ``steps`` that make each day, instead of the bootstrap: whole days resampled, or a scenario.
    substeps : int
        Quotes per step: the mid walks from the step's start to its end, as a Brownian bridge of the step's volatility.
    groups : int
        The orders of a side and substep are merged into at most so many: their summed size, and the furthest of
        their exponential distances from the mid (decay ``parameters.quoting.kappa``).
    fill_model, order_latency_ns, response_latency_ns, form, pre_trade
        As in :func:`calibrig.engine.replay`.
    seed, first_path : int
        Path k uses random numbers made from (seed, first_path + k).
    threads : int or None
        None takes every processor this process may use.
    on_progress : callable, optional
        Given the number of paths done.

    Examples
    --------
    >>> import numpy as np
    >>> from calibrig.parameters import AvellanedaStoikovParameters, RiskParameters
    >>> n = 120
    >>> steps = PathSteps(mid_return=np.tile([1e-3, -1e-3], n // 2), volatility=np.full(n, 1e-4),
    ...     spread_ticks=np.full(n, 2), buy_orders=np.full(n, 30), sell_orders=np.full(n, 30),
    ...     touch_lots=np.full(n, 5), order_lots=np.full(n, 4.0), session=np.zeros(n, int), step_s=60.0,
    ...     price_ticks=10_000.0)
    >>> x = Instrument(symbol="X", tick_size=0.01, lot_size=1.0)
    >>> parameters = ParameterSet(symbol="X", quoting=AvellanedaStoikovParameters(gamma=0.01, sigma=0.5, kappa=50.0,
    ...     time_horizon_seconds=600.0, arrival_rate=0.5, reference_price=100.0, tick_size=0.01, lot_size=1.0),
    ...     risk=RiskParameters(max_position=1, normal_volatility_threshold=20.0, elevated_volatility_threshold=30.0,
    ...     high_stress_volatility_threshold=50.0))
    >>> results = replay_paths(steps, parameters, limits=(5, 50), instrument=x, paths=20, threads=1)
    >>> results.max_drawdown.shape
    (20, 2)
    >>> bool(np.all(results.largest_position <= np.array([5, 50])))
    True
    """
    refusal = judge_parameters(
        parameters, with_bridge=False, accept=("unversioned", "default"), max_age_s=1e12
    )
    if refusal != "none" or parameters.quoting is None or parameters.risk is None:
        raise InvalidInputError(
            f"the parameters cannot be traded with: {refusal}; give quoting and risk records"
        )
    chosen = tuple(int(limit) for limit in limits)
    if not chosen or min(chosen) < 0:
        raise InvalidInputError(
            f"limits is {tuple(limits)}; give at least one position limit of at least 0 lots"
        )
    if fill_model not in FILL_MODELS:
        raise InvalidInputError(f"fill_model is {fill_model!r}; give one of {', '.join(FILL_MODELS)}")
    if substeps < 1 or groups < 1 or block_steps < 1.0 or paths < 1:
        raise InvalidInputError(
            f"substeps is {substeps}, groups {groups}, block_steps {block_steps}, paths {paths}; give at least 1 each"
        )
    if rows is not None:
        rows = np.ascontiguousarray(rows, dtype=np.int64)
        if rows.ndim != 2 or rows.size == 0 or rows.min() < 0 or rows.max() >= len(steps):
            raise InvalidInputError(
                f"rows has shape {rows.shape}; give (paths, path_steps) row numbers in 0 .. {len(steps) - 1}"
            )
        paths, path_steps = rows.shape
    if path_steps is None:
        path_steps = int(np.bincount(steps.session - steps.session.min()).max())
    blocks = [
        make_block(
            msgspec.structs.replace(
                parameters, risk=msgspec.structs.replace(parameters.risk, max_position=limit)
            ),
            instrument,
            refusal="none",
            form=form,
        )
        for limit in chosen
    ]
    path = (
        round(steps.step_s * 1e9),
        substeps,
        groups,
        float(block_steps),
        int(path_steps),
        float(steps.price_ticks),
        parameters.quoting.kappa * instrument.tick_size,
        seed & 0xFFFFFFFFFFFFFFFF,
    )
    fees = round(instrument.maker_fee * 1e9), round(instrument.taker_fee * 1e9)
    options = (FILL_MODELS.index(fill_model), order_latency_ns, response_latency_ns, *fees, 0, 0)
    workers = len(os.sched_getaffinity(0)) if threads is None else threads
    parts = []
    for start in range(0, paths, _CHUNK * max(1, workers)):
        count = min(_CHUNK * max(1, workers), paths - start)
        parts.append(
            _native.run_paths(
                move=steps.mid_return,
                volatility=steps.volatility,
                spread=steps.spread_ticks,
                buys=steps.buy_orders,
                sells=steps.sell_orders,
                touch_lots=steps.touch_lots,
                order_lots=steps.order_lots,
                path=path,
                options=options,
                limits=(pre_trade or PreTradeLimits()).to_native(instrument),
                blocks=blocks,
                first=first_path + start,
                count=count,
                rows=None if rows is None else rows[start : start + count],
                threads=max(1, workers),
            )
        )
        if on_progress is not None:
            on_progress(start + count)
    unit = instrument.tick_size * instrument.lot_size
    drawdown, pnl, position, fills = (
        np.concatenate([part[i] for part in parts]).reshape(paths, len(chosen)) for i in range(4)
    )
    return PathResults(
        limits=chosen,
        max_drawdown=drawdown * unit,
        pnl=pnl * unit,
        largest_position=position.astype(np.int64),
        fills=fills.astype(np.int64),
    )
