"""The trading loop of a run: replay with the fitted set, a recalibration on the way, latencies, and what they show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np

from calibrig.bridge import HardwareInTheLoopBridge
from calibrig.calibration import fit_quoting
from calibrig.engine import REASONS, Replay, extract_features, replay
from calibrig.market import MarketData
from calibrig.operations.card_act import CardAct, OpeningCard, play_card_act
from calibrig.operations.fitting import Fitted, choose_spacing, fit_again
from calibrig.operations.held_out import HeldOut, add_backtest, backtest_fitted
from calibrig.operations.inference import (
    describe_signal,
    find_missing_signal,
    has_signal,
    open_bridge,
)
from calibrig.operations.latency import measure_latencies
from calibrig.operations.live_update import LiveUpdate, update_while_running
from calibrig.operations.split import Split
from calibrig.operations.storing import SCRATCH, Stored
from calibrig.parameters import ParameterSet
from calibrig.reports import Figure, FillMarks, LatencyCurve, LoopCurve, VersionRow
from calibrig.store import ModelStore

__all__ = ["Trading", "trade"]

_TIMED_PREDICTIONS = 20_000
_SAMPLES = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Trading:
    """What the loop did; ``curve`` and ``summary`` are None, and ``reason`` says why, where it could not run."""

    reason: str = ""
    words: str = ""
    curve: LoopCurve | None = None
    summary: dict[str, Any] | None = None
    update: dict[str, Any] | None = None
    figures: tuple[Figure, ...] = ()
    latencies: tuple[LatencyCurve, ...] = ()
    versions: tuple[VersionRow, ...] = ()
    notices: tuple[str, ...] = ()
    card: dict[str, Any] | None = None
    facts: tuple[tuple[str, str], ...] = field(default=())


def trade(
    store: ModelStore,
    symbol: str,
    split: Split,
    fitted: Mapping[str, Fitted],
    stored: Stored,
    *,
    held_out: HeldOut,
    seed: int,
    override: str = "",
    with_card: bool = False,
) -> Trading:
    """Replay the later ticks with the fitted set, recalibrate on the way, and measure latencies.

    The main replay takes the recalibrated set at half of its ticks, so it repeats bit for bit; a second one takes it
    whenever another thread has published it. The recalibrated record is backtested as the first one was
    (``held_out``). ``with_card``: once more on an emulated card that fails on the way.
    """
    before, market = stored.parameters, split.replayed
    for kind in ("quoting", "risk"):
        if getattr(before, kind) is None:
            return Trading(reason=f"not run: there are no {kind} parameters ({fitted[kind].reason})")
    if not len(market.quotes):
        return Trading(reason="not run: the part to be replayed holds no quotes")
    opening = OpeningCard(before.signal) if with_card and has_signal(before) and before.signal else None
    try:
        return _trade(
            store,
            symbol,
            split,
            fitted,
            stored,
            held_out=held_out,
            opening=opening,
            seed=seed,
            override=override,
        )
    finally:
        if opening is not None:
            opening.close()


def _trade(
    store: ModelStore,
    symbol: str,
    split: Split,
    fitted: Mapping[str, Fitted],
    stored: Stored,
    *,
    held_out: HeldOut,
    opening: OpeningCard | None,
    seed: int,
    override: str,
) -> Trading:
    before, market = stored.parameters, split.replayed
    with_signal = has_signal(before)
    recalibration = _recalibrate(split, fitted, held_out, override=override, seed=seed)
    versions: list[VersionRow] = []
    live, after = None, None

    def make_bridge() -> HardwareInTheLoopBridge | None:
        return open_bridge(before)

    if recalibration.parameters is not None:
        writer = _Writer(store, symbol, before, recalibration, override)
        live = update_while_running(market, before, writer.write, make_bridge)
        after = writer.given
        versions = [writer.row]
    half = (len(market.trades) + len(market.quotes)) // 2
    updates = [] if after is None else [(half, after)]
    result = replay(market, before, make_bridge(), updates=updates, sample_s=_sample_s(market))
    update = _describe_update(result, live, recalibration)
    latencies = _measure(market, before, make_bridge, result)
    act = CardAct()
    if opening is not None:
        act = play_card_act(market, before, result, opening, updates=updates, sample_s=_sample_s(market))
    notices = () if with_signal else (f"The loop quoted without a signal. {_explain(fitted)}",)
    return Trading(
        words=f"{result.events:,} events at {result.events_per_s / 1e6:.1f} M/s, profit {result.pnl:,.2f}",
        curve=_curve(result, update),
        summary=_summarise(result, before),
        update=update,
        figures=(*_figures(result, before, live), *act.figures),
        latencies=latencies,
        versions=tuple(versions),
        notices=(*notices, f"The act on the card was not played: {act.reason}.") if act.reason else notices,
        card=act.result,
        facts=(
            ("fill model", f"{result.fill_model}: the displayed size stands ahead, only trades reduce it"),
            ("signal", _name_signal(before)),
            ("events replayed", f"{result.events:,} in {result.run_s:.3f} s"),
            ("orders and fills, SHA-256", result.digest()),
            *act.facts,
        ),
    )


def _sample_s(market: MarketData) -> float:
    """Spacing of the samples that the figures are drawn from; a finer one shows more of the short stretch."""
    return max(1e-3, float((market.sessions[:, 1] - market.sessions[:, 0]).sum()) * 1e-9 / _SAMPLES)


def _explain(fitted: Mapping[str, Fitted]) -> str:
    why = find_missing_signal(fitted)
    return why[:1].upper() + why[1:] + "."


def _name_signal(parameters: ParameterSet) -> str:
    signal = describe_signal(parameters)
    if signal is None:
        return "none"
    where = "scratch set" if signal["version"] is None else f"store, v{signal['version']}"
    return (
        f"{signal['kind']} model {str(signal['content_hash'])[:12]} ({where}) in the software stub, its 400 ns charged "
        "to the venue's clock"
    )


def _recalibrate(
    split: Split, fitted: Mapping[str, Fitted], held_out: HeldOut, *, override: str, seed: int
) -> Fitted:
    """Fit the quoting model again to the most recent training ticks, the last session or half of one; backtest it."""
    training = split.training
    start, end = (int(t) for t in training.sessions[-1])
    if len(training.sessions) == 1:
        start += (end - start) // 2
    recent = training.between(start, end)
    model = fit_again(
        "quoting", lambda: fit_quoting(recent, sample_s=choose_spacing(recent).returns_s, seed=seed)
    )
    if model.parameters is None:
        return replace(model, reason=f"no recalibration: {model.reason}")
    trials = 0 if held_out.result is None else held_out.result.profit.trials
    again = backtest_fitted(
        split, {**fitted, "quoting": model}, earlier_trials=trials, override=override, seed=seed
    )
    return add_backtest(model, again)


class _Writer:
    """Writes the recalibrated quoting record once, and hands the engine the set that holds it."""

    def __init__(
        self, store: ModelStore, symbol: str, before: ParameterSet, fit: Fitted, override: str
    ) -> None:
        self._store, self._symbol, self._before, self._fit, self._override = (
            store,
            symbol,
            before,
            fit,
            override,
        )
        self.given: ParameterSet | None = None
        self.row = VersionRow(version=None, kind="quoting", verdict=str(fit.verdict), stored=SCRATCH)

    def write(self, give: Callable[[ParameterSet], None]) -> None:
        """Store the record (at the first call) and give the engine the new set."""
        if self.given is None:
            self.given = (
                self._store_it() if self._is_storable else self._replace_quoting(self._fit.parameters)
            )
        give(self.given)

    @property
    def _is_storable(self) -> bool:
        own = self._before.quoting
        stored_before = own is not None and own.version is not None
        return stored_before and (self._fit.verdict.deployable or bool(self._override))

    def _store_it(self) -> ParameterSet:
        version = self._store.update_as_parameters(
            self._symbol,
            self._fit.parameters,
            "calibrig recalibration",
            "recalibrated on the most recent training ticks while the loop ran",
            evidence=self._fit.evidence,
            override=self._override,
        )
        self.row = VersionRow(
            version=version,
            kind="quoting",
            verdict=str(self._fit.verdict),
            stored="store, while the loop ran",
        )
        return self._replace_quoting(self._store.get_as_parameters(self._symbol))

    def _replace_quoting(self, quoting: Any) -> ParameterSet:
        return msgspec.structs.replace(self._before, quoting=quoting)


def _describe_update(result: Replay, live: LiveUpdate | None, recalibration: Fitted) -> dict[str, Any] | None:
    if live is None:
        return {"reason": recalibration.reason}
    rows = result.updates
    in_force = rows.rows > 1
    return {
        "kind": "quoting",
        "version": int(rows.quoting_version[-1]) if in_force and rows.quoting_version[-1] else None,
        "event": int(rows.event[-1]) if in_force else None,
        "time_ns": int(rows.time_ns[-1]) if in_force else None,
        "live": {
            "published_event": live.published_event,
            "event": live.event,
            "time_ns": live.time_ns,
            "tries": live.tries,
            "repeatable": live.repeatable,
            "time_to_apply_ns": live.time_to_apply_ns,
        },
    }


def _curve(result: Replay, update: dict[str, Any] | None) -> LoopCurve:
    s, f, instrument = result.samples, result.fills, result.instrument
    label, time_ns = "", None
    if update is not None and update.get("event") is not None:
        version = update["version"]
        label = f"recalibrated {'v' + str(version) if version else 'set'} from event {update['event']:,}"
        time_ns = update["time_ns"]
    own = f.order_id > 0
    return LoopCurve(
        time_ns=s.time_ns,
        market_bid=_price(s.bid_ticks, instrument.tick_size),
        market_ask=_price(s.ask_ticks, instrument.tick_size),
        own_bid=_price(s.own_bid_ticks, instrument.tick_size),
        own_ask=_price(s.own_ask_ticks, instrument.tick_size),
        inventory_lots=s.position_lots.astype(np.float64),
        profit=s.pnl,
        regime=s.regime,
        fills=FillMarks(
            time_ns=f.time_ns[own], price=f.price_ticks[own] * instrument.tick_size, side=f.side[own]
        ),
        update_time_ns=time_ns,
        update_label=label,
        price_unit=instrument.price_unit,
        fill_model=result.fill_model,
    )


def _price(ticks: np.ndarray, tick_size: float) -> np.ndarray:
    """Return prices; NaN where there is none yet (before the first quote, or no own order)."""
    return np.where(ticks > 0, ticks * tick_size, np.nan)


def _summarise(result: Replay, before: ParameterSet) -> dict[str, Any]:
    s, instrument = result.sessions, result.instrument
    regimes = np.bincount(result.samples.regime, minlength=4) / max(1, result.samples.rows)
    blocked = result.samples.reason
    return {
        "profit": result.pnl,
        "fees": float(np.sum(s.fees)),
        "price_unit": instrument.price_unit,
        "fill_model": result.fill_model,
        "fills": int(np.sum(s.fills)),
        "traded_lots": int(np.sum(s.traded_lots)),
        "messages": int(np.sum(s.messages)),
        "largest_position_lots": int(np.max(s.largest_position_lots, initial=0)),
        "position_limit_lots": None if before.risk is None else before.risk.max_position,
        "max_drawdown": float(np.max(s.max_drawdown, initial=0.0)),
        "regime_share": dict(
            zip(("NORMAL", "ELEVATED", "HIGH_STRESS", "HALTED"), regimes.tolist(), strict=True)
        ),
        "not_trading_share": float(np.mean(blocked != 0)) if len(blocked) else None,
        "reasons": {name: int(count) for name, count in result.counts.items() if count},
        "versions": before.versions,
        "signal": describe_signal(before),
        "events": result.events,
        "events_per_s": result.events_per_s,
        "digest": result.digest(),
        "ended_by": [REASONS[int(r)] for r in s.reason],
    }


def _figures(result: Replay, before: ParameterSet, live: LiveUpdate | None) -> tuple[Figure, ...]:
    s, unit = result.sessions, result.instrument.price_unit
    limit = before.risk.max_position if before.risk is not None else 0
    figures = [
        Figure(
            label="net profit",
            value=f"{result.pnl:+,.2f} {unit}".replace("-", "−"),
            note="replayed part, after fees, flat at the far side; conservative fills",
        ),
        Figure(
            label="largest inventory",
            value=f"{int(np.max(s.largest_position_lots, initial=0)):,} lots",
            note=f"limit {limit:,} lots",
        ),
        Figure(
            label="fills",
            value=f"{int(np.sum(s.fills)):,}",
            note=f"{int(np.sum(s.traded_lots)):,} lots, {int(np.sum(s.messages)):,} messages",
        ),
        Figure(
            label="replay speed, events",
            value=f"{result.events_per_s / 1e6:.1f} M/s",
            note=f"{result.events:,} events in one thread",
        ),
    ]
    if live is not None:
        value = f"event {live.event:,}" if live.event is not None else "loop ended first"
        note = f"given by another thread at event {live.published_event:,}"
        if live.event is not None:
            if live.time_to_apply_ns is not None:
                note += f", {live.time_to_apply_ns / 1e6:.1f} ms after its stamp"
            note += "; repeated: same orders" if live.repeatable else "; repeated: OTHER orders"
        figures.append(Figure(label="live update in force", value=value, note=note))
    return tuple(figures)


def _measure(
    market: MarketData,
    before: ParameterSet,
    make_bridge: Callable[[], HardwareInTheLoopBridge | None],
    result: Replay,
) -> tuple[LatencyCurve, ...]:
    curves: list[LatencyCurve] = []
    bridge = make_bridge()
    if bridge is not None:
        rows = extract_features(_head(market), before.hawkes)
        values = rows.values[rows.valid]
        if len(values):
            picked = values[np.linspace(0, len(values) - 1, _TIMED_PREDICTIONS).astype(np.int64)]
            with bridge:
                curves.extend(measure_latencies(bridge, picked))
    if len(result.compute_ns):
        curves.append(_loop_latency(result))
    return tuple(curves)


def _head(market: MarketData) -> MarketData:
    """The first part of the ticks, enough to take features for timed predictions from."""
    index = min(50_000, len(market.quotes) - 1)
    start = int(market.sessions[0, 0])
    return market.between(start, max(int(market.quotes.time_ns[index]), start + 1) + 1)


def _loop_latency(result: Replay) -> LatencyCurve:
    times = np.maximum(result.compute_ns.astype(np.float64), 1.0)
    edges = np.geomspace(max(1.0, times[0] * 0.999), times[-1] * 1.001 + 1.0, 100)
    counts, _ = np.histogram(times, bins=edges)
    shares = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0))
    return LatencyCurve(
        path="loop, per tick, without the device",
        edges_ns=edges,
        counts=counts.astype(np.float64),
        percentiles=tuple((name, result.latency_percentile(share)) for name, share in shares),
    )
