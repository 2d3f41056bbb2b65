"""From the parts of a run to what its report shows and what a program reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from calibrig import __version__
from calibrig.calibration.profit import FEWEST_DAYS
from calibrig.market import MarketTruth, QualityReport
from calibrig.operations.comparing import compare_parameters
from calibrig.operations.fitting import TITLES, Fitted, choose_spacing
from calibrig.operations.held_out import HeldOut
from calibrig.operations.order_flow import draw_order_flow
from calibrig.operations.split import Split, count_sessions
from calibrig.operations.storing import Stored
from calibrig.operations.trading import Trading
from calibrig.reports import Figure, ModelSection, ParameterRow, ReportContent, VersionRow

__all__ = ["Parts", "build_content", "build_result"]

SCHEMA = 1
PRELIMINARY_LIMIT = (
    "The position limit is PRELIMINARY: block bootstrap of {paths} paths, simulation error included."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything a run produced, before it is told."""

    command: str
    symbol: str
    seed: int
    split: Split
    fitted: Mapping[str, Fitted]
    stored: Stored
    held_out: HeldOut
    trading: Trading
    store_url: str
    left_out: str = ""
    quality: QualityReport | None = None
    truth: MarketTruth | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def rows(self) -> tuple[ParameterRow, ...]:
        """Every parameter, beside the truth where there is one."""
        return compare_parameters(self.fitted, self.truth, self.held_out)


def build_content(parts: Parts, *, title: str, subtitle: str, verdict: str, reason: str) -> ReportContent:
    """Return what the report shows."""
    intensity, quantiles = draw_order_flow(parts.fitted.get("hawkes"))
    return ReportContent(
        title=title,
        subtitle=subtitle,
        verdict=verdict,
        verdict_reason=reason,
        figures=_figures(parts),
        notices=_notices(parts),
        quality=_quality_rows(parts.quality),
        quality_notes=() if parts.quality is None else parts.quality.warnings,
        parameters=parts.rows,
        models=(*(_section(model) for model in parts.fitted.values()), *_backtest_section(parts.held_out)),
        intensity=intensity,
        quantiles=quantiles,
        loop=parts.trading.curve,
        latencies=parts.trading.latencies,
        versions=_version_rows(parts),
        made_by=f"calibrig {__version__}",
        facts=_facts(parts),
    )


def build_result(
    parts: Parts, *, verdict: str, reason: str, exit_code: int, files: Mapping[str, str]
) -> dict[str, Any]:
    """Return the machine-readable result; see docs/report.md."""
    trading = parts.trading
    return {
        "schema": SCHEMA,
        "calibrig": __version__,
        "command": parts.command,
        "symbol": parts.symbol,
        "seed": parts.seed,
        "verdict": verdict,
        "reason": reason,
        "exit_code": exit_code,
        "split": {"rule": parts.split.rule, **_split_counts(parts.split)},
        "quality": None if parts.quality is None else parts.quality.to_dict(),
        "truth": None if parts.truth is None else parts.truth.to_dict(),
        "parameters": [_parameter(row) for row in parts.rows],
        "models": {kind: _model(model) for kind, model in parts.fitted.items()},
        "versions": [
            {
                "kind": row.kind,
                "version": None if row.version is None else row.version.version_id,
                "verdict": row.verdict,
                "where": row.stored,
            }
            for row in _version_rows(parts)
        ],
        "backtest": None if parts.held_out.result is None else parts.held_out.result.to_dict(),
        "backtest_reason": parts.held_out.reason,
        "loop": trading.summary,
        "loop_reason": trading.reason,
        "update": trading.update,
        "card": trading.card,
        "latency": [
            {"path": curve.path, "sla_ns": curve.sla_ns, **dict(curve.percentiles)}
            for curve in trading.latencies
        ],
        "files": dict(files),
        "seconds": dict(parts.seconds),
    }


def _notices(parts: Parts) -> tuple[str, ...]:
    notices = []
    risk = parts.fitted.get("risk")
    if risk is not None and risk.fit is not None and risk.fit.preliminary:
        notices.append(_preliminary(risk))
    if parts.left_out:
        notices.append(parts.left_out)
    spacing = choose_spacing(parts.split.training)
    if spacing.short:
        notices.append(
            f"Only {spacing.returns_s * 50:,.0f} s of ticks to fit on: volatility is PRELIMINARY, from returns of "
            f"{spacing.returns_s:.3g} s instead of 60 s, regimes from a half-life of {spacing.half_life_s:.3g} s."
        )
    scratch = [kind for kind, place in parts.stored.places.items() if place.startswith("scratch")]
    if scratch:
        notices.append(
            f"Not stored, because not deployable: {', '.join(scratch)}. The loop used "
            f"{'it' if len(scratch) == 1 else 'them'} from a scratch set."
        )
    if parts.trading.reason:
        notices.append(f"The loop was {parts.trading.reason}")
    return (*notices, *parts.trading.notices)


def _preliminary(risk: Fitted) -> str:
    d = risk.fit.drawdown
    return (
        f"The position limit of {risk.parameters.max_position:,} lots is PRELIMINARY: 99.9 % drawdown of a day "
        f"{d.quantile:,.5g}, 95 % interval {d.lower:,.5g} to {d.upper:,.5g}, over {d.paths:,} resampled days; "
        "100,000 make it final."
    )


def _figures(parts: Parts) -> tuple[Figure, ...]:
    result = parts.held_out.result
    if result is None:
        return parts.trading.figures
    days = len(result.daily_pnl)
    sharpe = Figure(
        label="held-out Sharpe ratio",
        value="not defined" if result.sharpe is None else parts.held_out.sharpe_words.removesuffix(" a year"),
        note=("" if result.sharpe is None else "a year; ")
        + f"{days} day{'' if days == 1 else 's'} of {FEWEST_DAYS} that a judgement needs: {result.verdict}",
    )
    return (*parts.trading.figures[:1], sharpe, *parts.trading.figures[1:])


def _backtest_section(held_out: HeldOut) -> tuple[ModelSection, ...]:
    result = held_out.result
    if result is None:
        return ()
    money = ", ".join(f"{name} {total:+,.2f}" for name, total in result.fill_models.items())
    return (
        ModelSection(
            kind="backtest",
            title="Backtest",
            verdict=str(result.verdict),
            reason=f"{held_out.words}; {result.reason}. Profit by fill model: {money}",
            gates=result.gates,
            fitted_on=f"held out: {result.evidence.data_description}",
            restrictions=result.evidence.restrictions,
        ),
    )


def _section(model: Fitted) -> ModelSection:
    evidence = model.evidence
    return ModelSection(
        kind=model.kind,
        title=TITLES[model.kind],
        verdict=str(model.verdict),
        reason=model.reason,
        gates=model.gates,
        fitted_on="" if evidence is None else evidence.data_description,
        preliminary=_preliminary(model) if getattr(model.fit, "preliminary", False) else "",
        restrictions=() if evidence is None else evidence.restrictions,
    )


def _version_rows(parts: Parts) -> tuple[VersionRow, ...]:
    rows = [
        VersionRow(
            version=parts.stored.versions.get(kind),
            kind=kind,
            verdict=str(model.verdict),
            stored=parts.stored.places[kind],
        )
        for kind, model in parts.fitted.items()
    ]
    return (*rows, *parts.trading.versions)


def _quality_rows(quality: QualityReport | None) -> tuple[tuple[str, str], ...]:
    if quality is None:
        return ()
    q = quality
    signed = ", ".join(
        f"{rule.replace('_', ' ')} {share:.1%}" for rule, share in q.signed_by.items() if share > 0
    )
    rows = [
        (
            "read",
            f"{q.trades:,} trades and {q.quotes:,} quotes in {count_sessions(q.sessions)} from {q.rows:,} rows",
        ),
        ("files", ", ".join(Path(name.partition("!")[0]).name for name in q.files)),
        ("format", ", ".join(q.formats)),
        (
            "left out",
            f"{q.bad_rows:,} unreadable, {q.outside_hours:,} outside hours, {q.duplicates:,} repeated",
        ),
        (
            "doubtful",
            f"{q.out_of_order:,} out of order, {q.suspicious:,} marked by the vendor, {q.zero_size:,} of size 0",
        ),
        ("gaps over 60 s", f"{q.gaps} (longest stretch without an event {q.longest_gap_s:,.1f} s)"),
        ("crossed, locked", f"{q.crossed_share:.4%} and {q.locked_share:.4%} of the time"),
        (
            "trades off the quotes",
            f"{q.outside_quotes_share:.2%} outside, {q.off_grid_share:.2%} between two ticks",
        ),
        ("side of trades from", signed or "no trades"),
        ("clock", f"{q.time_unit}; {q.tied_share:.1%} of trades share the stamp of the one before"),
        ("fingerprint", q.fingerprint),
    ]
    if q.clock_offset_ms is not None:
        low, high = q.clock_offset_ms
        rows.insert(-1, ("local clock", f"{low:,.1f} to {high:,.1f} ms against the exchange's, taken out"))
    return tuple(rows)


def _facts(parts: Parts) -> tuple[tuple[str, str], ...]:
    facts = [
        ("command", parts.command),
        ("seed", str(parts.seed)),
        ("split", parts.split.rule),
        ("calibrig", __version__),
        ("store", parts.store_url),
    ]
    facts += [(f"time, {stage}", f"{seconds:.2f} s") for stage, seconds in parts.seconds.items()]
    candidates = getattr(parts.fitted["signal"].fit, "candidates", ())
    facts += [
        ("signal, " + ("taken" if one.taken else "passed over"), f"{one.kind}: {one.why}")
        for one in candidates
    ]
    return (*facts, *parts.trading.facts)


def _split_counts(split: Split) -> dict[str, int]:
    return {
        "training_trades": len(split.training.trades),
        "training_quotes": len(split.training.quotes),
        "training_sessions": len(split.training.sessions),
        "replayed_trades": len(split.replayed.trades),
        "replayed_quotes": len(split.replayed.quotes),
    }


def _parameter(row: ParameterRow) -> dict[str, Any]:
    return {
        name: getattr(row, name)
        for name in ("model", "name", "unit", "truth", "estimate", "standard_error", "z", "preliminary")
    }


def _model(model: Fitted) -> dict[str, Any]:
    return {
        "verdict": str(model.verdict),
        "reason": model.reason,
        "restrictions": [] if model.evidence is None else list(model.evidence.restrictions),
        "gates": msgspec.to_builtins(model.gates),
        "parameters": None if model.parameters is None else msgspec.to_builtins(model.parameters),
        "seconds": model.seconds,
    }
