"""Hawkes fits over many symbols and rolling windows of sessions, by any ``concurrent.futures`` executor."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from calibrig.calibration.hawkes import HawkesFit, fit_hawkes
from calibrig.calibration.hawkes_plot import HawkesPlot
from calibrig.calibration.hawkes_two_scale import TwoScaleFit, fit_two_scale_hawkes
from calibrig.errors import CalibrigError, InvalidInputError
from calibrig.market.ticks import Trades
from calibrig.models.hawkes_passes import usable_threads

__all__ = ["HawkesModel", "RollingFit", "fit_hawkes_rolling"]

HawkesModel = Literal["power_law", "two_scale"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RollingFit:
    """One symbol and window: its fit, or why there is none.

    Attributes
    ----------
    symbol : str
        Which symbol.
    start_ns, end_ns : int
        First session's start, last session's end.
    fit : HawkesFit, TwoScaleFit or None
        Without the events themselves.
    error : str
        One sentence where the window could not be fitted, else empty.
    plot : HawkesPlot or None
        Drawn from the events before they were left out, where plots were asked for.
    """

    symbol: str
    start_ns: int
    end_ns: int
    fit: HawkesFit | TwoScaleFit | None
    error: str = ""
    plot: HawkesPlot | None = None

    @property
    def first_day(self) -> str:
        """UTC day of the window's start."""
        return str(np.datetime64(self.start_ns, "ns"))[:10]

    @property
    def last_day(self) -> str:
        """UTC day of the window's end."""
        return str(np.datetime64(self.end_ns - 1, "ns"))[:10]


def _windows(trades: Trades, window: int | None, step: int) -> list[tuple[int, int]]:
    spans = trades.sessions
    counts = np.diff(np.searchsorted(trades.time_ns, spans[:, 1]), prepend=0)
    spans = spans[counts > 0]
    size = len(spans) if window is None else min(window, len(spans))
    return [
        (int(spans[first, 0]), int(spans[first + size - 1, 1]))
        for first in range(0, len(spans) - size + 1, step)
        if size > 0
    ]


def _fit_window(
    symbol: str, trades: Trades, model: HawkesModel, draw: bool, options: dict[str, Any]
) -> RollingFit:
    start, end = int(trades.sessions[0, 0]), int(trades.sessions[-1, 1])
    fit: HawkesFit | TwoScaleFit
    try:
        fit = (
            fit_hawkes(trades, **options) if model == "power_law" else fit_two_scale_hawkes(trades, **options)
        )
    except CalibrigError as error:
        return RollingFit(symbol=symbol, start_ns=start, end_ns=end, fit=None, error=str(error))
    light = replace(fit, sample=fit.sample.between(0, 0))
    plot = fit.plot() if draw else None
    return RollingFit(symbol=symbol, start_ns=start, end_ns=end, fit=light, plot=plot)


def fit_hawkes_rolling(
    trades: Mapping[str, Trades],
    *,
    model: HawkesModel = "power_law",
    window_sessions: int | None = None,
    step_sessions: int = 1,
    draw: bool = False,
    executor: Executor | None = None,
    on_done: Callable[[RollingFit], None] | None = None,
    **options: Any,
) -> list[RollingFit]:
    """Fit every window of every symbol; a window that cannot be fitted does not stop the others.

    Parameters
    ----------
    trades : mapping of str to Trades
        By symbol.
    model : {"power_law", "two_scale"}
        Which process: :func:`fit_hawkes` or :func:`fit_two_scale_hawkes`.
    window_sessions : int, optional
        Sessions per window; default all of them at once.
    step_sessions : int
        Sessions between the starts of windows.
    draw : bool
        Whether each window's plot is drawn too, where its fit is made.
    executor : concurrent.futures.Executor, optional
        Default: a process pool, one process per processor this process may use; each fit then uses one thread.
    on_done : callable, optional
        Called with each :class:`RollingFit` as it comes, in this process.
    **options
        Of the function that fits.

    Returns
    -------
    list of RollingFit
        In the order of symbols and windows.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from calibrig import simulate_market
    >>> trades = simulate_market(seed=1, sessions=2, session_s=600.0).market.trades
    >>> with ThreadPoolExecutor(1) as pool:
    ...     found = fit_hawkes_rolling({"SIM": trades}, window_sessions=1, executor=pool)
    >>> [(item.symbol, item.first_day == item.last_day) for item in found]
    [('SIM', True), ('SIM', True)]
    """
    if model not in ("power_law", "two_scale"):
        raise InvalidInputError(f"model is {model!r}; give 'power_law' or 'two_scale'")
    if window_sessions is not None and window_sessions < 1:
        raise InvalidInputError(f"window_sessions is {window_sessions}; give 1 or more, or None for all")
    if step_sessions < 1:
        raise InvalidInputError(f"step_sessions is {step_sessions}; give 1 or more")
    jobs = [
        (symbol, ticks.between(start, end))
        for symbol, ticks in trades.items()
        for start, end in _windows(ticks, window_sessions, step_sessions)
    ]
    with ExitStack() as stack:
        if executor is None:
            workers = min(usable_threads(None), max(1, len(jobs)))
            context = multiprocessing.get_context(
                "spawn"
            )  # a forked child may inherit a lock held by a thread
            executor = stack.enter_context(ProcessPoolExecutor(workers, mp_context=context))
        options = {"threads": 1, **options}
        pending = {
            executor.submit(_fit_window, *job, model, draw, options): index for index, job in enumerate(jobs)
        }
        results: dict[int, RollingFit] = {}
        try:
            for future in as_completed(pending):
                results[pending[future]] = future.result()
                if on_done is not None:
                    on_done(results[pending[future]])
        except BaseException:
            for future in pending:
                future.cancel()
            raise
    return [results[index] for index in range(len(jobs))]
