"""Would it have earned, and is that evidence: held-out replay under changed conditions, with every trial counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from calibrig.bridge import HardwareInTheLoopBridge
from calibrig.calibration.judging import describe_market, fingerprint_market
from calibrig.calibration.profit import ProfitEvidence, judge_profit
from calibrig.calibration.risk import compute_default_budget
from calibrig.calibration.scenarios import SCENARIOS, Scenario, apply_scenario, find_own_events
from calibrig.calibration.statistics import compute_sharpe
from calibrig.engine import Replay
from calibrig.engine import replay as run_replay
from calibrig.errors import InvalidInputError
from calibrig.market import MarketData
from calibrig.parameters import (
    AvellanedaStoikovParameters,
    Evidence,
    GateResult,
    ParameterSet,
    Verdict,
)

__all__ = ["BacktestResult", "GammaTrial", "backtest", "measure_daily", "split_market"]

Float64Array = NDArray[np.float64]
Int64Array = NDArray[np.int64]

_DAY_NS = 86_400 * 10**9
_MULTIPLES = (0.25, 0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class GammaTrial:
    """One risk aversion that was looked at; the curve shows what picking its top would mean.

    Attributes
    ----------
    gamma : float
        Risk aversion.
    pnl : float
        Total net result, price units.
    sharpe, sharpe_error : float or None
        A year; None under 2 days or without any variation.
    """

    gamma: float
    pnl: float
    sharpe: float | None
    sharpe_error: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestResult:
    """A replay on ticks the parameters have not seen, and its judgement.

    Attributes
    ----------
    parameters : ParameterSet
        What traded.
    days : ndarray of int64, shape (T,)
        Start of each day, ns.
    daily_pnl : ndarray of float64, shape (T,)
        Net result per day: marked at mid, after fees, liquidated at the far side at the end of each session.
    profit : ProfitEvidence
        Sharpe, PSR, DSR, PBO, bootstrap, gates.
    conditions : dict of str to float
        Total result under ``conservative``, ``doubled_latency``, ``zero_rebate``.
    fill_models : dict of str to float
        Total result under every fill model: how much the fill model decides.
    scenarios : dict of str to float
        Minus the largest drawdown under each stress scenario at full size.
    gamma_curve : tuple of GammaTrial
        Every risk aversion tried.
    loss_budget : float
        What may be lost, price units.
    replay : Replay
        The main run.
    evidence : Evidence
        Gates, verdict, reason, data.
    """

    parameters: ParameterSet
    days: Int64Array
    daily_pnl: Float64Array
    profit: ProfitEvidence
    conditions: dict[str, float]
    fill_models: dict[str, float]
    scenarios: dict[str, float]
    gamma_curve: tuple[GammaTrial, ...]
    loss_budget: float
    replay: Replay
    evidence: Evidence

    @property
    def gates(self) -> tuple[GateResult, ...]:
        """Every gate that was judged."""
        return self.evidence.gates

    @property
    def verdict(self) -> Verdict:
        """Whether this may be deployed."""
        return self.evidence.verdict

    @property
    def reason(self) -> str:
        """Why, in one sentence."""
        return self.evidence.reason

    @property
    def pnl(self) -> float:
        """Total net result, price units."""
        return float(self.daily_pnl.sum())

    @property
    def fill_model(self) -> str:
        """Fill model of the main run; every figure depends on it."""
        return self.replay.fill_model

    @property
    def sharpe(self) -> float | None:
        """Sharpe ratio a year; None under 2 days or without any variation: it has no error then."""
        ratio = self.profit.sharpe
        return None if ratio is None or self.sharpe_error is None else _finite(ratio.annual)

    @property
    def sharpe_error(self) -> float | None:
        """Standard error of `sharpe`."""
        return None if self.profit.sharpe is None else _finite(self.profit.sharpe.annual_error)

    def fill_in(self, record: AvellanedaStoikovParameters) -> AvellanedaStoikovParameters:
        """Return the quoting record with ``backtest_sharpe`` and ``backtest_pnl`` of this result."""
        return msgspec.structs.replace(record, backtest_sharpe=self.sharpe, backtest_pnl=self.pnl)

    def summary(self) -> str:
        """Return the result as text: days, ratios, conditions, curve, gates, verdict."""
        rows = [
            f"Backtest, {self.evidence.data_description}, fill model {self.fill_model}",
            f"  net result {self.pnl:.6g} over {len(self.daily_pnl)} days, budget {self.loss_budget:.6g}",
        ]
        if self.sharpe is not None:
            rows.append(
                f"  Sharpe {self.sharpe:.2f} +- {self.sharpe_error:.2f} a year, {self.profit.trials} trials"
            )
        rows.append("  " + ", ".join(f"{name} {total:.6g}" for name, total in self.conditions.items()))
        rows.append(
            "  fills: " + ", ".join(f"{name} {total:.6g}" for name, total in self.fill_models.items())
        )
        for trial in self.gamma_curve:
            shown = (
                "not defined" if trial.sharpe is None else f"{trial.sharpe:.2f} +- {trial.sharpe_error:.2f}"
            )
            rows.append(f"  gamma {trial.gamma:.4g}: {trial.pnl:.6g}, Sharpe {shown}")
        words = {True: "ok  ", False: "FAIL", None: "n/a "}
        for gate in self.gates:
            figure = "" if gate.value is None else f"{gate.value:.4g} "
            rows.append(f"  {words[gate.passed]} {gate.name}: {figure}({gate.limit}) {gate.detail}")
        rows.append(f"  {self.verdict}: {self.reason}")
        return "\n".join(rows)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain values for JSON."""
        found = self.profit.overfitting
        return {
            "days": [str(np.datetime64(int(t), "ns"))[:10] for t in self.days],
            "daily_pnl": self.daily_pnl.tolist(),
            "pnl": self.pnl,
            "sharpe": self.sharpe,
            "sharpe_error": self.sharpe_error,
            "probabilistic_sharpe": self.profit.probabilistic,
            "deflated_sharpe": self.profit.deflated,
            "trials": self.profit.trials,
            "overfitting_probability": None if found is None else found.probability,
            "conditions": dict(self.conditions),
            "fill_models": dict(self.fill_models),
            "scenarios": dict(self.scenarios),
            "gamma_curve": [
                {"gamma": t.gamma, "pnl": t.pnl, "sharpe": t.sharpe, "sharpe_error": t.sharpe_error}
                for t in self.gamma_curve
            ],
            "loss_budget": self.loss_budget,
            "fill_model": self.fill_model,
            "evidence": msgspec.to_builtins(self.evidence),
        }


def backtest(
    market: MarketData,
    parameters: ParameterSet,
    bridge: HardwareInTheLoopBridge | None = None,
    *,
    fill_model: str = "conservative",
    order_latency_ns: int = 50_000,
    response_latency_ns: int = 50_000,
    gamma_multiples: Sequence[float] = _MULTIPLES,
    earlier_trials: int = 0,
    loss_budget: float | None = None,
    scenarios: Sequence[Scenario] = SCENARIOS,
    reconciled: bool = False,
    seed: int = 0,
) -> BacktestResult:
    """Replay held-out ticks, under changed conditions too, and judge whether the result is evidence.

    Parameters
    ----------
    market : MarketData
        Ticks that no fit has seen.
    parameters : ParameterSet
        With quoting and risk; with signal and hawkes where a bridge is given.
    bridge : HardwareInTheLoopBridge, optional
        Initialised, with ``parameters.signal`` as its model.
    fill_model : str
        Of the main run: ``"conservative"``, ``"touch"`` or ``"through"``; the gate asks for the first.
    order_latency_ns, response_latency_ns : int
        Of the main run.
    gamma_multiples : sequence of float
        Risk aversions to look at, as multiples of the fitted one; each counts as a trial, 1 is always among them.
    earlier_trials : int
        Variants looked at before this call.
    loss_budget : float, optional
        What may be lost: that of the risk fit; default what ``fit_risk`` takes by default.
    scenarios : sequence of Scenario
        Stress events, laid over the last session; the largest moves of these ticks are added.
    reconciled : bool
        Whether the fill model has been measured against own fills.
    seed : int
        Of the bootstrap.

    Returns
    -------
    BacktestResult

    Raises
    ------
    InvalidInputError
        Quoting or risk parameters are missing.
    """
    quoting, risk = parameters.quoting, parameters.risk
    if quoting is None or risk is None:
        raise InvalidInputError(
            f"the parameters of {parameters.symbol!r} lack quoting or risk; fit both before a backtest"
        )
    if loss_budget is None:
        loss_budget = compute_default_budget(quoting)

    def run(what: MarketData, chosen: ParameterSet, *, fills: str = fill_model, slower: int = 1) -> Replay:
        return run_replay(
            what,
            chosen,
            bridge,
            fill_model=fills,
            order_latency_ns=slower * order_latency_ns,
            response_latency_ns=slower * response_latency_ns,
        )

    main = run(market, parameters)
    days, daily = measure_daily(main)
    conditions = {
        "conservative": main.pnl
        if fill_model == "conservative"
        else run(market, parameters, fills="conservative").pnl,
        "doubled_latency": run(market, parameters, slower=2).pnl,
        "zero_rebate": main.pnl
        if market.instrument.maker_fee >= 0.0
        else run(_without_rebate(market), parameters).pnl,
    }
    fill_models = {
        name: conditions["conservative"]
        if name == "conservative"
        else run(market, parameters, fills=name).pnl
        for name in ("conservative", "through", "touch")
    }
    curve, variants = [], []
    for multiple in sorted({1.0, *gamma_multiples}):
        trial = msgspec.structs.replace(quoting, gamma=quoting.gamma * multiple)
        result = daily if multiple == 1.0 else measure_daily(run(market, _with_quoting(parameters, trial)))[1]
        variants.append(result)
        curve.append(_make_trial(trial.gamma, result, _periods_per_year(market)))
    losses = _stress(market, parameters, (*scenarios, *find_own_events(market.quotes)), run)
    profit = judge_profit(
        daily,
        variants=np.column_stack(variants),
        trials=len(variants) + earlier_trials,
        conditions=conditions,
        scenarios=losses,
        loss_budget=loss_budget,
        reconciled=reconciled,
        selection="rule",
        periods_per_year=_periods_per_year(market),
        seed=seed,
    )
    return BacktestResult(
        parameters=parameters,
        days=days,
        daily_pnl=daily,
        profit=profit,
        conditions=conditions,
        fill_models=fill_models,
        scenarios=losses,
        gamma_curve=tuple(curve),
        loss_budget=loss_budget,
        replay=main,
        evidence=_make_evidence(market, profit),
    )


def measure_daily(run: Replay) -> tuple[Int64Array, Float64Array]:
    """Return the UTC days of a replay and the net result of each; sessions that start on one day are added.

    Returns
    -------
    tuple of ndarray
        Start of each day (ns), result (price units).
    """
    day = run.sessions["start_ns"] // _DAY_NS
    days, which = np.unique(day, return_inverse=True)
    daily = np.bincount(which.reshape(-1), weights=run.sessions["pnl"], minlength=len(days))
    return days * _DAY_NS, daily.astype(np.float64)


def split_market(market: MarketData, *, holdout: float = 0.2) -> tuple[MarketData, MarketData]:
    """Split into training and held-out ticks: whole last sessions, or the last share of a single one.

    Parameters
    ----------
    market : MarketData
        Ticks.
    holdout : float
        Share to hold out, between 0 and 1; with several sessions rounded to whole ones, at least one.

    Examples
    --------
    >>> from calibrig.market import simulate_market
    >>> train, test = split_market(simulate_market(seed=1, sessions=3, session_s=60.0).market)
    >>> len(train.sessions), len(test.sessions)
    (2, 1)
    """
    if not 0.0 < holdout < 1.0:
        raise InvalidInputError(f"holdout is {holdout!r}; give a share between 0 and 1")
    sessions = market.sessions
    if len(sessions) == 1:
        start, end = (int(t) for t in sessions[0])
        border = end - round(holdout * (end - start))
    else:
        held = min(max(round(holdout * len(sessions)), 1), len(sessions) - 1)
        border = int(sessions[-held, 0])
    return market.between(int(sessions[0, 0]), border), market.between(border, int(sessions[-1, 1]))


def _periods_per_year(market: MarketData) -> float:
    return 252.0 if market.instrument.calendar == "us_equities" else 365.0


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _with_quoting(parameters: ParameterSet, quoting: AvellanedaStoikovParameters) -> ParameterSet:
    return msgspec.structs.replace(parameters, quoting=quoting)


def _without_rebate(market: MarketData) -> MarketData:
    instrument = msgspec.structs.replace(market.instrument, maker_fee=0.0)
    return replace(
        market,
        trades=replace(market.trades, instrument=instrument),
        quotes=replace(market.quotes, instrument=instrument),
    )


def _make_trial(gamma: float, daily: Float64Array, periods_per_year: float) -> GammaTrial:
    if len(daily) < 2:
        return GammaTrial(gamma=gamma, pnl=float(daily.sum()), sharpe=None, sharpe_error=None)
    ratio = compute_sharpe(daily, periods_per_year=periods_per_year)
    error = _finite(ratio.annual_error)
    return GammaTrial(
        gamma=gamma,
        pnl=float(daily.sum()),
        sharpe=None if error is None else _finite(ratio.annual),
        sharpe_error=error,
    )


def _stress(
    market: MarketData,
    parameters: ParameterSet,
    scenarios: Sequence[Scenario],
    run: Callable[[MarketData, ParameterSet], Replay],
) -> dict[str, float]:
    losses = {}
    for scenario in scenarios:
        bent = run(apply_scenario(market, scenario), parameters)
        losses[scenario.name] = -float(np.max(bent.sessions["max_drawdown"], initial=0.0))
    return losses


def _make_evidence(market: MarketData, profit: ProfitEvidence) -> Evidence:
    import calibrig

    return Evidence(
        verdict=profit.verdict,
        reason=profit.reason,
        gates=profit.gates,
        data_fingerprint=fingerprint_market(market),
        data_description=describe_market(market),
        code_version=calibrig.__version__,
        restrictions=profit.restrictions,
    )
