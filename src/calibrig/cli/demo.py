"""``calibrig demo``: the whole product on a simulated market whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calibrig.cli.console import JsonOption, StageProgress, print_json
from calibrig.cli.result import print_outcome

__all__ = ["command"]


def command(
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Seed of the market and of every bootstrap.")
    ] = 7,
    out: Annotated[
        Path, typer.Option("--out", help="Folder for report.html, result.json and the store.")
    ] = Path("calibrig-demo"),
    paths: Annotated[
        int,
        typer.Option(
            "--paths", min=100, help="Resampled days behind the position limit; 100000 make it final."
        ),
    ] = 1_000,
    json: JsonOption = False,
) -> int:
    """Run the whole product on a simulated market with known truth.

    Simulates five sessions, calibrates the four models on the earlier ones, judges them, stores versions, replays
    the last session through the inference bridge, publishes a recalibration while the loop runs, and writes
    report.html. Exit code 0 when the truth is recovered, whatever the deployment verdict; 1 when it is not.
    """
    from calibrig.operations import DEMO_STAGES, run_demo

    with StageProgress(total=DEMO_STAGES) as progress:
        outcome = run_demo(out, seed=seed, paths=paths, listener=progress)
    if json:
        print_json(outcome.to_dict())
    else:
        print_outcome(outcome)
    return outcome.exit_code
