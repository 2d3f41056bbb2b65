"""Would refitting every day have earned: fit on some days, purge, trade the next, roll on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibrig.calibration.profit import ProfitEvidence, judge_profit
from calibrig.calibration.quoting import fit_quoting
from calibrig.calibration.regimes import build_thresholds, fit_regimes
from calibrig.engine import replay
from calibrig.errors import InvalidInputError
from calibrig.market import MarketData
from calibrig.parameters import ParameterSet

__all__ = ["Fold", "WalkForward", "fit_parameters", "walk_forward"]

Float64Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """One step: what was fitted on, what was traded, what came out.

    Attributes
    ----------
    train_start_ns, train_end_ns : int
        Training span, the purge already taken off.
    test_start_ns, test_end_ns : int
        The session traded.
    parameters : ParameterSet
        Fitted on the training span.
    pnl, max_drawdown : float
        Of the session, price units.
    fills : int
        Fills.
    """

    train_start_ns: int
    train_end_ns: int
    test_start_ns: int
    test_end_ns: int
    parameters: ParameterSet
    pnl: float
    max_drawdown: float
    fills: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkForward:
    """Every fold, and the judgement of their daily results together.

    Attributes
    ----------
    folds : tuple of Fold
        In time order.
    profit : ProfitEvidence
        Gates over the folds' results.
    fill_model : str
        Every figure depends on it.
    """

    folds: tuple[Fold, ...]
    profit: ProfitEvidence
    fill_model: str

    @property
    def daily_pnl(self) -> Float64Array:
        """Net result of each fold, shape (folds,)."""
        return np.array([fold.pnl for fold in self.folds])


def fit_parameters(market: MarketData) -> ParameterSet:
    """Fit quoting and regimes, with a position limit of 10 orders: the default of :func:`walk_forward`."""
    quoting = fit_quoting(market)
    regimes = fit_regimes(market.quotes)
    record = quoting.parameters
    limit = quoting.inventory.limit_orders * max(round(record.order_size / record.lot_size), 1)
    risk = build_thresholds(
        regimes.thresholds,
        regimes.medians,
        half_life_s=regimes.half_life_s,
        sample_s=regimes.sample_s,
        max_position=limit,
    )
    return ParameterSet(symbol=market.instrument.symbol, quoting=record, risk=risk)


def walk_forward(
    market: MarketData,
    *,
    window_sessions: int = 2,
    purge_s: float = 600.0,
    fit: Callable[[MarketData], ParameterSet] = fit_parameters,
    fill_model: str = "conservative",
    loss_budget: float | None = None,
    periods_per_year: float = 252.0,
    seed: int = 0,
) -> WalkForward:
    """Fit on ``window_sessions``, leave out ``purge_s``, trade the next session, roll by one.

    Parameters
    ----------
    market : MarketData
        At least ``window_sessions + 1`` sessions.
    window_sessions : int
        Training window.
    purge_s : float
        Taken off the end of each training window, s; at least the horizon of what is fitted.
    fit : callable
        From training ticks to parameters.
    fill_model : str
        Of the venue.
    loss_budget : float, optional
        What may be lost, price units.
    periods_per_year : float
        For annualising.
    seed : int
        Of the bootstrap.

    Returns
    -------
    WalkForward

    Raises
    ------
    InvalidInputError
        Too few sessions, or a purge that leaves nothing to train on.

    Examples
    --------
    >>> from calibrig.market import simulate_market
    >>> walk = walk_forward(simulate_market(seed=1, sessions=4, session_s=900.0).market, purge_s=60.0)
    >>> len(walk.folds), str(walk.profit.verdict)
    (2, 'TOO_FEW_DAYS')
    """
    sessions = market.sessions
    if window_sessions < 1 or len(sessions) <= window_sessions:
        raise InvalidInputError(
            f"{len(sessions)} sessions with a window of {window_sessions}; give at least one session more than the "
            "window"
        )
    folds = []
    for row in range(window_sessions, len(sessions)):
        train_start = int(sessions[row - window_sessions, 0])
        train_end = int(sessions[row - 1, 1]) - round(purge_s * 1e9)
        if train_end <= int(sessions[row - 1, 0]):
            raise InvalidInputError(
                f"a purge of {purge_s:g} s takes a whole session; give less than the session's length"
            )
        test_start, test_end = (int(t) for t in sessions[row])
        parameters = fit(market.between(train_start, train_end))
        run = replay(market.between(test_start, test_end), parameters, fill_model=fill_model)
        folds.append(
            Fold(
                train_start_ns=train_start,
                train_end_ns=train_end,
                test_start_ns=test_start,
                test_end_ns=test_end,
                parameters=parameters,
                pnl=run.pnl,
                max_drawdown=float(np.max(run.sessions["max_drawdown"], initial=0.0)),
                fills=int(np.sum(run.sessions["fills"])),
            )
        )
    profit = judge_profit(
        np.array([fold.pnl for fold in folds]),
        loss_budget=loss_budget,
        periods_per_year=periods_per_year,
        seed=seed,
    )
    return WalkForward(folds=tuple(folds), profit=profit, fill_model=fill_model)
