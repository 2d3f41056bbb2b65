"""``calibrig fit signal``: train the signal model, judge it on held-out ticks, place it, store it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from calibrig.cli.console import JsonOption, StageProgress, print_json, print_lines
from calibrig.cli.store_options import ByOption, author, open_store

if TYPE_CHECKING:
    from calibrig.calibration import SignalFit
    from calibrig.store import ModelStore

__all__ = ["command"]

GATE_NOT_MET = 4


def command(
    data: Annotated[list[Path], typer.Argument(help="Tick files or folders of one symbol.")],
    *,
    symbol: Annotated[str | None, typer.Option("--symbol", help="Which symbol.")] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind", help="linear, trees, network; may be given several times. Default: all three."
        ),
    ] = None,
    foreign: Annotated[
        Path | None,
        typer.Option("--import", help="Judge this LightGBM model (saved as text) instead of training one."),
    ] = None,
    horizon_s: Annotated[float, typer.Option("--horizon-s", help="How far ahead it looks.")] = 1.0,
    holdout: Annotated[
        float, typer.Option("--holdout", min=0.01, max=0.5, help="Last share of the time, kept for judging.")
    ] = 0.2,
    timing: Annotated[
        bool,
        typer.Option("--timing", help="Place its card on ECP5 and judge device_ns: minutes for a network."),
    ] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Write the model as JSON.")] = None,
    store: Annotated[
        str, typer.Option("--store", help="URL of the store to write to; nothing is stored without.")
    ] = "",
    override: Annotated[str, typer.Option("--override", help="Who decided against the gates, and why.")] = "",
    by: ByOption = "",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of training and bootstraps.")] = 0,
    json: JsonOption = False,
) -> int:
    """Train the signal model and judge it on held-out ticks; choose its kind by skill for nanoseconds.

    Exit code 4 when its verdict is neither PASS nor RESTRICTED.
    """
    from contextlib import ExitStack

    from calibrig.market import read_market
    from calibrig.operations.signal_job import find_hawkes, place_signal, store_signal, train_signal

    with StageProgress(total=3 + timing) as progress, ExitStack() as opened:
        progress.begin("reading ticks")
        market = read_market(data, symbol=symbol).market
        name = market.instrument.symbol
        progress.advance("read", f"{len(market.trades):,} trades, {len(market.quotes):,} quotes of {name}")
        target: ModelStore | None = opened.enter_context(open_store(store)) if store else None
        progress.begin("finding the Hawkes model")
        hawkes, words = find_hawkes(market, target, seed=seed)
        progress.advance("hawkes", words)
        progress.begin("training and judging")
        fit = train_signal(
            market,
            hawkes=hawkes,
            kinds=tuple(kind) if kind else ("linear", "trees", "network"),
            foreign=foreign,
            horizon_s=horizon_s,
            holdout=holdout,
            seed=seed,
        )
        progress.advance("signal", f"{fit.kind}, {fit.verdict}")
        if timing:
            progress.begin("placing the card")
            fit = place_signal(fit)
            progress.advance("timing", next(gate.detail for gate in fit.gates if gate.name == "device_ns"))
        if out is not None:
            _write(fit, out)
        version = None
        if target is not None and (fit.verdict.deployable or override):
            comment = f"{fit.kind}, horizon {horizon_s:g} s, seed {seed}; {words}"
            version = store_signal(
                target, name, fit, updated_by=author(by), comment=comment, override=override
            )
    _tell(fit, version, asked=bool(store), json=json)
    return 0 if fit.verdict.deployable else GATE_NOT_MET


def _write(fit: SignalFit, path: Path) -> None:
    import msgspec

    from calibrig.reports import write_whole

    write_whole(path, msgspec.json.format(msgspec.json.encode(fit.parameters), indent=1) + b"\n")


def _tell(fit: SignalFit, version: Any, *, asked: bool, json: bool) -> None:
    if json:
        print_json({**fit.to_dict(), "version": version})
        return
    print_lines(fit.summary().splitlines())
    if version is not None:
        print_lines([f"  stored as version {version.version_id} of signal/{version.symbol}"])
    elif asked:
        print_lines(["  not stored: its verdict is not deployable; --override names who decides otherwise"])
