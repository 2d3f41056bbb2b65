"""``calibrig fit``: one model alone, on your ticks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from calibrig.cli import fit_signal
from calibrig.cli.console import JsonOption, StageProgress, print_json, print_lines, print_table
from calibrig.errors import InvalidInputError

if TYPE_CHECKING:
    from calibrig.market import Trades

__all__ = ["app"]

app = typer.Typer()

GATE_NOT_MET = 4
_MODELS: dict[str, Literal["power_law", "two_scale"]] = {"power-law": "power_law", "two-scale": "two_scale"}


@app.callback()
def _fit() -> None:
    """Fit one model alone and judge it on held-out data."""


app.command("signal")(fit_signal.command)


@app.command("hawkes")
def fit_hawkes_command(
    data: Annotated[list[Path], typer.Argument(help="Tick files or folders.")],
    *,
    symbol: Annotated[
        list[str] | None,
        typer.Option("--symbol", help="Which symbol; may be given several times; default all."),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            help="power-law; or two-scale: a fast part and a slow one, for stamps of a millisecond.",
        ),
    ] = "power-law",
    window: Annotated[
        int | None, typer.Option("--window", min=1, help="Sessions per fit, rolling; default all at once.")
    ] = None,
    step: Annotated[int, typer.Option("--step", min=1, help="Sessions between the starts of windows.")] = 1,
    profile_bins: Annotated[
        int, typer.Option("--profile-bins", min=1, help="1: no time-of-day profile.")
    ] = 13,
    holdout: Annotated[
        float, typer.Option("--holdout", min=0.0, max=0.5, help="Share of events kept for judging.")
    ] = 0.2,
    child_fills: Annotated[
        str, typer.Option("--child-fills", help="Merge trades of one order by: auto, id, stamp, none.")
    ] = "auto",
    plot: Annotated[Path | None, typer.Option("--plot", help="Folder for one SVG per fit.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of ties and bootstraps.")] = 0,
    json: JsonOption = False,
) -> int:
    """Fit a two-sided Hawkes process: estimates, standard errors, held-out gates, verdict.

    Exit code 4 when a fit is neither PASS nor RESTRICTED, or a window could not be fitted.
    """
    from calibrig.calibration.hawkes_rolling import RollingFit, fit_hawkes_rolling

    process = _MODELS.get(model)
    if process is None:
        raise typer.BadParameter(f"{model!r} is no model; give {' or '.join(_MODELS)}", param_hint="--model")

    trades = _read_trades(data, symbol)
    total = (
        len(trades)
        if window is None
        else sum(max(1, (len(t.sessions) - window) // step + 1) for t in trades.values())
    )
    with StageProgress(total=total) as progress:

        def tell(item: RollingFit) -> None:
            said = item.error if item.fit is None else str(item.fit.verdict)
            progress.advance(f"{item.symbol} {item.first_day} to {item.last_day}", said)

        found = fit_hawkes_rolling(
            trades,
            model=process,
            window_sessions=window,
            step_sessions=step,
            draw=plot is not None,
            on_done=tell,
            profile_bins=profile_bins,
            holdout=holdout,
            child_fills=child_fills,
            seed=seed,
        )
    if plot is not None:
        _write_plots(plot, found)
    if json:
        print_json([_plain(item) for item in found])
    elif len(found) == 1 and found[0].fit is not None:
        print_lines(found[0].fit.summary().splitlines())
    else:
        print_table("Hawkes fits", _HEADER, [_row(item) for item in found])
    good = all(item.fit is not None and item.fit.verdict.deployable for item in found)
    return 0 if good else GATE_NOT_MET


def _read_trades(data: list[Path], symbols: list[str] | None) -> dict[str, Trades]:
    """Trades by symbol: of those that were named, or of all that have any."""
    from calibrig.market import read_market, read_markets

    readings = (
        [read_market(data, symbol=name) for name in symbols] if symbols else read_markets(data).values()
    )
    found = {reading.market.instrument.symbol: reading.market.trades for reading in readings}
    empty = [name for name, trades in found.items() if len(trades) == 0]
    if empty and (symbols or len(empty) == len(found)):
        raise InvalidInputError(
            f"{', '.join(empty)}: no trades in these files, and order flow is fitted to trades; add the files that hold them"
        )
    return {name: trades for name, trades in found.items() if len(trades)}


_HEADER = (
    "symbol",
    "from",
    "to",
    "events",
    "n",
    "std error",
    "beta, s",
    "gamma",
    "skill",
    "verdict",
    "reason",
)


def _row(item: Any) -> tuple[object, ...]:
    days = (item.symbol, item.first_day, item.last_day)
    if item.fit is None:
        return (*days, *[None] * 6, "refused", item.error)
    p, e = item.fit.parameters, item.fit.standard_errors
    figures = (p.calibration_samples, p.branching_ratio, e["branching_ratio"], p.beta, p.gamma)
    return (*days, *figures, p.calibration_r_squared, str(item.fit.verdict), item.fit.reason)


def _plain(item: Any) -> dict[str, Any]:
    fit = None if item.fit is None else item.fit.to_dict()
    return {
        "symbol": item.symbol,
        "from": item.first_day,
        "to": item.last_day,
        "error": item.error,
        "fit": fit,
    }


def _write_plots(folder: Path, found: list[Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for item in found:
        if item.plot is not None:
            item.plot.save(folder / f"hawkes-{item.symbol}-{item.first_day}-{item.last_day}.svg")
