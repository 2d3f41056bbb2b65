"""``calibrig prove``: seeded campaigns of faults; exit 1 when one row does not hold."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from calibrig.cli.console import JsonOption, print_json, print_lines, print_table

__all__ = ["app"]

app = typer.Typer(help="Campaigns of faults: every answer checked, every figure shown.")


@app.callback()
def _group() -> None:
    """Campaigns of faults: every answer checked, every figure shown."""


@app.command("bridge")
def bridge(
    *,
    seed: Annotated[int, typer.Option("--seed", help="The same seed injects the same faults.")] = 0,
    faults: Annotated[
        int, typer.Option("--faults", min=100, help="Faults that need no process to die.")
    ] = 1_000_000,
    deaths: Annotated[
        int, typer.Option("--deaths", min=1, help="Removals, and killed processes, each.")
    ] = 1_000,
    out: Annotated[Path | None, typer.Option("--out", help="Write the result as JSON, too.")] = None,
    json: JsonOption = False,
) -> int:
    """Inject faults into the bridge's card and check every signal bit for bit."""
    import msgspec

    from calibrig.testing import prove_bridge

    def show(row: object) -> None:
        sys.stderr.write(
            f"{getattr(row, 'kind', row)}: {'holds' if getattr(row, 'passed', False) else 'FAILS'}\n"
        )

    proof = prove_bridge(seed=seed, n_faults=faults, n_deaths=deaths, progress=show)
    if out is not None:
        out.write_bytes(msgspec.json.format(msgspec.json.encode(proof), indent=1))
    if json:
        print_json(proof)
        return 0 if proof.passed else 1
    print_table(
        f"Bridge, seed {proof.seed}: {proof.faults} faults",
        ("kind", "faults", "calls", "wrong", "unanswered", "lost", "longest us", "holds", "limit"),
        [
            (
                row.kind,
                row.injected,
                row.calls,
                row.wrong,
                row.unanswered,
                row.sequence_errors,
                row.longest_ns / 1e3,
                "yes" if row.passed else "NO",
                row.limit,
            )
            for row in proof.rows
        ],
    )
    print_lines(
        [
            "",
            f"deadline {proof.deadline_ns} ns; the machine's own longest stall meanwhile: {proof.stall_ns / 1e3:.1f} us",
        ]
    )
    return 0 if proof.passed else 1


@app.command("store")
def store(
    *,
    seed: Annotated[int, typer.Option("--seed", help="The same seed draws the same faults.")] = 0,
    small: Annotated[bool, typer.Option("--small", help="The size that runs in every test run.")] = False,
    only: Annotated[
        str, typer.Option("--only", help="Only campaigns whose name or backend holds this.")
    ] = "",
    out: Annotated[Path | None, typer.Option("--out", help="Write the result as JSON, too.")] = None,
    json: JsonOption = False,
) -> int:
    """Cut the power, kill writers, fail system calls, fill disks, change bytes, step clocks, stop servers."""
    import msgspec

    from calibrig.testing.store_campaigns import CampaignRow, prove_store

    def show(row: CampaignRow) -> None:
        verdict = "holds" if row.violations == 0 else f"FAILS {row.violations} times: {row.problems[0]}"
        sys.stderr.write(f"{row.name} ({row.backend}): {row.runs} in {row.seconds:.0f} s, {verdict}\n")

    proof = prove_store(seed=seed, full=not small, only=only, tell=show)
    if out is not None:
        out.write_bytes(msgspec.json.format(msgspec.json.encode(proof), indent=1))
    if json:
        print_json({"holds": proof.holds, **msgspec.to_builtins(proof)})
        return 0 if proof.holds else 1
    rows = [
        (
            row.name,
            row.backend,
            row.runs,
            row.violations,
            row.seconds,
            " ".join(f"{name}={value:.4g}" for name, value in row.detail.items()),
        )
        for row in proof.rows
    ]
    header = ("campaign", "backend", "tried", "broken", "seconds", "seen")
    print_table(f"Store, seed {proof.seed}", header, rows)
    print_lines(f"not run here: {text}" for text in proof.skipped)
    return 0 if proof.holds else 1
