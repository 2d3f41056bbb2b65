"""``calibrig store share``, ``block`` and ``applied``: parameters for trading loops, and when they came into force."""

from __future__ import annotations

from typing import Annotated

import typer

from calibrig.cli.console import JsonOption, print_json, print_lines, print_table
from calibrig.cli.store_options import DEFAULT_URL, StoreOption, format_time, open_store

__all__ = ["add_commands"]

_STALE = 4
BlockArgument = Annotated[str, typer.Argument(help="The block's file.")]


def share(
    path: Annotated[str, typer.Argument(help="Where; beside the file of a file store otherwise.")] = "",
    *,
    symbol: Annotated[
        list[str] | None, typer.Option("--symbol", help="Only this symbol (may be repeated).")
    ] = None,
    capacity: Annotated[int | None, typer.Option("--capacity", help="Room for that many symbols.")] = None,
    group: Annotated[bool, typer.Option("--group", help="Let the file's group read it.")] = False,
    for_s: Annotated[float, typer.Option("--for-s", help="End after that many seconds; 0 goes on.")] = 0.0,
    store: StoreOption = DEFAULT_URL,
) -> None:
    """Share the store with trading loops as a read-only native block, until it is ended (Ctrl-C, SIGTERM)."""
    import signal
    import threading

    from calibrig.errors import InvalidInputError
    from calibrig.store import block_path

    place = path or block_path(store)
    if place is None:
        raise InvalidInputError("a server's block has no place of its own; give a path, best under /dev/shm")
    ended = threading.Event()
    before = {one: signal.signal(one, lambda *_: ended.set()) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        with open_store(store) as opened:
            block = opened.share(
                place, symbols=symbol or None, capacity=capacity, mode=0o640 if group else 0o600
            )
            names = [one["symbol"] for one in block.status().symbols]
            print_lines([f"sharing {', '.join(names) or 'no symbol yet'} at {place}; Ctrl-C ends it"])
            ended.wait(for_s or None)
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def block(path: BlockArgument, json: JsonOption = False) -> int:
    """Print what a trading loop reads in a block; exit 4 where it is stale."""
    from calibrig.store import read_block

    found = read_block(path)
    if json:
        print_json(found)
        return _STALE if found.stale else 0
    rows = [
        (
            f"{kind}/{one['symbol']}",
            about["version_id"],
            format_time(about["updated_at"]),
            about["updated_by"],
            about["verdict"] or about["origin"],
            about["calibration_age_s"] / 86_400,
        )
        for one in found.symbols
        for kind, about in one["versions"].items()
    ]
    header = ("key", "version", "written", "by", "verdict or origin", "age, days")
    print_table(f"{len(found.symbols)} symbols, {found.publications} sets published", header, rows)
    state = "STALE: loops send nothing" if found.stale else "fresh"
    print_lines([f"{state}; the backend answered {found.contact_age_s:.3f} s ago (process {found.pid})"])
    return _STALE if found.stale else 0


def applied(path: BlockArgument, json: JsonOption = False) -> None:
    """Print how long new versions took to be in force in a running trading loop."""
    from calibrig.store import read_applied

    found = read_applied(path)
    if json:
        print_json(found)
        return
    names = ("count", "p50", "p95", "p99", "max")
    rows = [
        (label, *(figures[name] if name == "count" else figures[name] / 1e3 for name in names))
        for label, figures in (
            ("from the stamp", found.from_stamp),
            ("from the hand-over", found.from_handover),
        )
    ]
    header = ("to the first cycle", "sets", "p50, us", "p95, us", "p99, us", "max, us")
    print_table(f"{found.symbol}: time to apply", header, rows)
    versions = ", ".join(f"{kind} {number}" for kind, number in found.versions.items())
    print_lines([f"in force: {versions or 'no version'} (process {found.pid})"])


def add_commands(app: typer.Typer) -> None:
    """Add these commands to ``calibrig store``."""
    app.command("share")(share)
    app.command("block")(block)
    app.command("applied")(applied)
