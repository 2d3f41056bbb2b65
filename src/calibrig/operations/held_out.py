"""Would the fitted quotes have earned on days no fit has seen, and what that says about the quoting record."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace

import msgspec

from calibrig.calibration import BacktestResult, backtest
from calibrig.calibration.profit import FEWEST_DAYS
from calibrig.operations.fitting import Fitted
from calibrig.operations.inference import open_bridge, trades_signal
from calibrig.operations.split import Split
from calibrig.parameters import Evidence, GateResult, ParameterSet, Verdict

__all__ = ["PAPER", "HeldOut", "add_backtest", "backtest_fitted", "collect_set"]

PAPER = "paper_or_minimum_size"
"""What a quoting record is restricted to until its profit is shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """The backtest of one quoting record; ``result`` is None, and ``reason`` says why, where there is none."""

    result: BacktestResult | None = None
    reason: str = ""

    @property
    def words(self) -> str:
        """The result in one line: days and hours of trading, profit, Sharpe ratio with its error."""
        result = self.result
        if result is None:
            return self.reason
        days = len(result.daily_pnl)
        sessions = result.replay.sessions
        seconds = float((sessions["end_ns"] - sessions["start_ns"]).sum()) * 1e-9
        span = f"{seconds / 3_600.0:,.1f} h" if seconds >= 3_600.0 else f"{seconds:,.0f} s"
        span = f"{days} day{'' if days == 1 else 's'} ({span})"
        return f"{result.pnl:+,.2f} over {span}, Sharpe ratio {self.sharpe_words}"

    @property
    def summary(self) -> str:
        """The verdict, and the line of `words`."""
        return self.reason if self.result is None else f"{self.result.verdict}, {self.words}"

    @property
    def sharpe_words(self) -> str:
        """The Sharpe ratio with its error, or why there is none."""
        result = self.result
        if result is None:
            return "none"
        if result.sharpe is None or result.sharpe_error is None:
            return "not defined " + ("under 2 days" if len(result.daily_pnl) < 2 else "without variation")
        return f"{result.sharpe:.2f} ± {result.sharpe_error:.2f} a year"


def collect_set(symbol: str, fitted: Mapping[str, Fitted], override: str = "") -> ParameterSet:
    """Return the fitted records as one set without versions; a signal without skill is left out."""
    records = {kind: model.parameters for kind, model in fitted.items() if model.parameters is not None}
    if not trades_signal(fitted.get("signal"), override):
        records.pop("signal", None)
    return ParameterSet(symbol=symbol, **records)


def backtest_fitted(
    split: Split, fitted: Mapping[str, Fitted], *, earlier_trials: int = 0, override: str = "", seed: int = 0
) -> HeldOut:
    """Backtest the fitted set on the held-out ticks, within the loss budget of the risk fit.

    ``earlier_trials`` counts the variants looked at before on the same ticks.
    """
    market = split.held_out
    for kind in ("quoting", "risk"):
        if fitted[kind].parameters is None:
            return HeldOut(reason=f"not run: there are no {kind} parameters ({fitted[kind].reason})")
    if not len(market.quotes):
        return HeldOut(reason="not run: the held-out part has no quotes")
    parameters = collect_set(market.instrument.symbol, fitted, override)
    risk = fitted["risk"].fit
    with ExitStack() as opened:
        bridge = open_bridge(parameters)
        if bridge is not None:
            opened.enter_context(bridge)
        return HeldOut(
            result=backtest(
                market,
                parameters,
                bridge,
                loss_budget=None if risk is None else risk.loss_budget,
                earlier_trials=earlier_trials,
                seed=seed,
            )
        )


def add_backtest(model: Fitted, held_out: HeldOut) -> Fitted:
    """Return the quoting model with its backtest: figures in the record, a gate and a restriction in the evidence.

    A backtest that shows a profit changes nothing. One that fails on enough days makes the verdict FAIL. Days too few
    to judge, or fills never compared with own ones, restrict the record to paper or minimum size.
    """
    if model.parameters is None or model.evidence is None:
        return model
    result = held_out.result
    parameters = model.parameters if result is None else result.fill_in(model.parameters)
    gate = _make_gate(held_out)
    evidence = _combine(model.evidence, gate, held_out)
    return replace(
        model,
        parameters=parameters,
        verdict=evidence.verdict,
        reason=evidence.reason,
        gates=evidence.gates,
        evidence=evidence,
    )


def _make_gate(held_out: HeldOut) -> GateResult:
    result = held_out.result
    limit = f"evidence of profit ({FEWEST_DAYS} days or more), else paper or minimum size"
    if result is None:
        return GateResult(name="backtest", value=None, limit=limit, passed=False, detail=held_out.reason)
    return GateResult(
        name="backtest",
        value=result.sharpe,
        limit=limit,
        passed=result.verdict is Verdict.PASS,
        detail=f"{held_out.words}; {result.fill_model} fills, held out: {result.evidence.data_description}",
    )


def _combine(evidence: Evidence, gate: GateResult, held_out: HeldOut) -> Evidence:
    """Put the backtest's gate beside those of the fit."""
    result = held_out.result
    backtested = Verdict.TOO_FEW_DAYS if result is None else result.verdict
    verdict, reason, restrictions = evidence.verdict, evidence.reason, evidence.restrictions
    if not gate.passed:
        named = f"backtest {backtested}: {held_out.reason if result is None else result.reason}"
        if backtested is Verdict.FAIL:
            reason = f"{reason}; {named}" if verdict is Verdict.FAIL else named
            verdict = Verdict.FAIL if verdict.deployable else verdict
        elif verdict.deployable:
            before = f"{reason}; " if verdict is Verdict.RESTRICTED else ""
            reason, restrictions = f"{before}{named}; restricted: {PAPER}", (*restrictions, PAPER)
            verdict = Verdict.RESTRICTED
    return msgspec.structs.replace(
        evidence, verdict=verdict, reason=reason, gates=(*evidence.gates, gate), restrictions=restrictions
    )
