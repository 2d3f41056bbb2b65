"""``calibrig run``: the whole product on your ticks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calibrig.cli.console import JsonOption, StageProgress, print_json
from calibrig.cli.result import print_outcome

__all__ = ["command"]


def command(
    data: Annotated[list[Path], typer.Argument(help="Tick files or folders of one symbol.")],
    *,
    symbol: Annotated[
        str | None, typer.Option("--symbol", help="Which symbol, where the files hold several.")
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", help="Folder for report.html, result.json and the store.")
    ] = Path("calibrig-run"),
    store: Annotated[
        str | None,
        typer.Option("--store", help="Store to write to; default: calibrig.db in the --out folder."),
    ] = None,
    tick_size: Annotated[
        float | None, typer.Option("--tick-size", help="Price step, where the data do not say.")
    ] = None,
    lot_size: Annotated[
        float | None, typer.Option("--lot-size", help="Size step, where the data do not say.")
    ] = None,
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Leave out and count unreadable rows instead of refusing.")
    ] = False,
    override: Annotated[
        str, typer.Option("--override", help="Store models whose gates failed: who decided it, and why.")
    ] = "",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of every bootstrap.")] = 7,
    paths: Annotated[
        int,
        typer.Option(
            "--paths", min=100, help="Resampled days behind the position limit; 100000 make it final."
        ),
    ] = 1_000,
    signal_kind: Annotated[
        list[str] | None,
        typer.Option(
            "--signal-kind",
            help="linear, trees, network: what the signal is chosen from; may be given several times. Default: all "
            "three; without LightGBM linear.",
        ),
    ] = None,
    json: JsonOption = False,
) -> int:
    """Run the whole product on real ticks: quality, four fits, backtest, gates, store, replay, report.

    Holds out the last fifth of the sessions (at least one): fits on the others, backtests on these and replays the
    last. One session only: first 80 %, last 20 %. Exit code 4 when a gate is not met (FAIL, RESTRICTED,
    TOO_FEW_DAYS, ...), with the reason; the report is written all the same.
    """
    from calibrig.operations import RUN_SIGNALS, RUN_STAGES, run_market

    with StageProgress(total=RUN_STAGES) as progress:
        outcome = run_market(
            data,
            out,
            symbol=symbol,
            store_url=store,
            tick_size=tick_size,
            lot_size=lot_size,
            skip_bad_rows=skip_bad_rows,
            override=override,
            seed=seed,
            paths=paths,
            signal_kinds=tuple(signal_kind) if signal_kind else RUN_SIGNALS,
            listener=progress,
        )
    if json:
        print_json(outcome.to_dict())
    else:
        print_outcome(outcome)
    return outcome.exit_code
