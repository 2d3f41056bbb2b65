"""The four fits, in order, each with its judgement; a fit that cannot be made says why and stops nothing else."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from calibrig.calibration import fit_hawkes, fit_quoting, fit_risk, fit_signal
from calibrig.calibration.signal_training import KINDS
from calibrig.errors import InvalidInputError
from calibrig.market import MarketData, Trades, sign_trades
from calibrig.operations.listener import Listener
from calibrig.parameters import Evidence, GateResult, Verdict

__all__ = [
    "TITLES",
    "Fitted",
    "Spacing",
    "choose_signal_kinds",
    "choose_spacing",
    "fit_again",
    "fit_models",
    "select_signed",
]

TITLES = {"hawkes": "Hawkes", "quoting": "Quoting", "risk": "Risk", "signal": "Signal"}


class Fit(Protocol):
    """What every fit offers."""

    @property
    def parameters(self) -> Any: ...
    @property
    def standard_errors(self) -> Mapping[str, float]: ...
    @property
    def gates(self) -> tuple[GateResult, ...]: ...
    @property
    def verdict(self) -> Verdict: ...
    @property
    def reason(self) -> str: ...
    @property
    def evidence(self) -> Evidence: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """One model after its fit; ``parameters`` and ``fit`` are None where the data cannot give any."""

    kind: str
    verdict: Verdict
    reason: str
    parameters: Any = None
    standard_errors: Mapping[str, float] = field(default_factory=dict)
    gates: tuple[GateResult, ...] = ()
    evidence: Evidence | None = None
    fit: Any = None
    seconds: float = 0.0


def fit_models(
    training: MarketData,
    *,
    listener: Listener,
    seed: int,
    horizon_s: float = 1.0,
    paths: int = 1_000,
    signal_kinds: Sequence[str] = ("linear",),
) -> dict[str, Fitted]:
    """Fit Hawkes, quoting, risk and signal to ``training``; risk needs quoting, signal uses Hawkes where there is one.

    ``horizon_s`` is how far ahead the signal looks, ``signal_kinds`` what it is chosen from, ``paths`` how many
    resampled days stand behind the position limit.
    """
    fitted: dict[str, Fitted] = {}

    def run(kind: str, make: Callable[[], Fit]) -> None:
        listener.begin(f"fitting {kind}")
        fitted[kind] = _run_fit(kind, make)
        result = fitted[kind]
        listener.advance(f"fit {kind}", f"{result.verdict}, {result.seconds:.2f} s")

    run("hawkes", lambda: fit_hawkes(select_signed(training), seed=seed))
    spacing = choose_spacing(training)
    run("quoting", lambda: fit_quoting(training, sample_s=spacing.returns_s, seed=seed))
    quoting = fitted["quoting"].parameters
    if quoting is None:
        reason = "not fitted: the position limit is found by replaying quotes, and there is no quoting model"
        fitted["risk"] = Fitted(kind="risk", verdict=fitted["quoting"].verdict, reason=reason)
        listener.advance("fit risk", reason)
    else:
        run("risk", lambda: _fit_risk(training, quoting, spacing, seed, paths))
    run(
        "signal",
        lambda: fit_signal(
            training,
            kinds=signal_kinds,
            hawkes=fitted["hawkes"].parameters,
            horizon_s=horizon_s,
            seed=seed,
        ),
    )
    return fitted


def choose_signal_kinds(wanted: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """Return what the signal can be trained as here, and in words what was left out; ``()`` where nothing is.

    Without LightGBM (the ``signal`` extra) the linear signal stays. A kind that does not exist is an InvalidInputError.

    Examples
    --------
    >>> choose_signal_kinds(("linear",))
    (('linear',), '')
    """
    unknown = [kind for kind in wanted if kind not in KINDS]
    if unknown or not wanted or len(set(wanted)) != len(wanted):
        raise InvalidInputError(
            f"the signal cannot be chosen from {', '.join(wanted) or 'nothing'}; give some of {', '.join(KINDS)}, each once"
        )
    if tuple(wanted) == ("linear",) or importlib.util.find_spec("lightgbm") is not None:
        return tuple(wanted), ""
    left_out = ", ".join(kind for kind in wanted if kind != "linear")
    return ("linear",), (
        f"Only a linear signal was trained: {left_out} need the signal extra (pip install 'calibrig[signal]')."
    )


def fit_again(kind: str, make: Callable[[], Fit]) -> Fitted:
    """Run one more fit outside of the four."""
    return _run_fit(kind, make)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spacing:
    """How far apart returns are taken, s: what methods ask for, or less where the ticks span too little time.

    ``half_life_s`` and ``regime_s`` are of the volatility behind the risk regimes; ``short`` says that they are not
    the usual ones.
    """

    returns_s: float = 60.0
    half_life_s: float = 300.0
    regime_s: float = 5.0
    short: bool = False


def choose_spacing(market: MarketData) -> Spacing:
    """Return the usual spacings, or shorter ones where fewer than 50 one-minute returns can be had.

    Examples
    --------
    >>> from calibrig.market import simulate_market
    >>> choose_spacing(simulate_market(seed=1, sessions=1, session_s=300.0).market).returns_s
    6.0
    """
    span_s = float((market.sessions[:, 1] - market.sessions[:, 0]).sum()) * 1e-9
    usual = Spacing()
    if span_s >= 50.0 * usual.returns_s:
        return usual
    share = span_s / (50.0 * usual.returns_s)
    return Spacing(
        returns_s=usual.returns_s * share,
        half_life_s=usual.half_life_s * share,
        regime_s=usual.regime_s * share,
        short=True,
    )


def _fit_risk(training: MarketData, quoting: Any, spacing: Spacing, seed: int, paths: int) -> Fit:
    return fit_risk(
        training,
        quoting,
        half_life_s=spacing.half_life_s,
        sample_s=spacing.regime_s,
        paths=paths,
        seed=seed,
    )


def select_signed(market: MarketData) -> Trades:
    """Return the trades whose side is known or follows from the quotes; the rest is left out."""
    trades = market.trades
    if (trades.side != 0).all():
        return trades
    trades = sign_trades(trades, market.quotes)
    known = trades.side != 0
    return replace(
        trades,
        time_ns=trades.time_ns[known],
        price_ticks=trades.price_ticks[known],
        size_lots=trades.size_lots[known],
        side=trades.side[known],
        id=trades.id[known],
        sub_tick=None if trades.sub_tick is None else trades.sub_tick[known],
        local_time_ns=None if trades.local_time_ns is None else trades.local_time_ns[known],
    )


def _run_fit(kind: str, make: Callable[[], Fit]) -> Fitted:
    started = time.perf_counter()
    try:
        fit = make()
    except InvalidInputError as error:  # the data cannot say; anything else is a fault and passes on
        return Fitted(kind=kind, verdict=Verdict.TOO_FEW_EVENTS, reason=f"not fitted: {error}")
    return Fitted(
        kind=kind,
        verdict=fit.verdict,
        reason=fit.reason,
        parameters=fit.parameters,
        standard_errors=dict(fit.standard_errors),
        gates=tuple(fit.gates),
        evidence=fit.evidence,
        fit=fit,
        seconds=time.perf_counter() - started,
    )
