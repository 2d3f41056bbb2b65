"""``calibrig store observe`` and ``observations``: quality, latency and staleness over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from calibrig.cli.console import JsonOption, print_json, print_table
from calibrig.cli.store_options import DEFAULT_URL, StoreOption, format_time, open_store, parse_time

if TYPE_CHECKING:
    from collections.abc import Iterable

    from calibrig.store import ModelStore, Observation

__all__ = ["add_commands"]

_SOURCE = "calibrig store observe"


def observe(
    *,
    bridge: Annotated[
        str, typer.Option("--bridge", help="Block of a running bridge: its latencies too.")
    ] = "",
    applied: Annotated[
        str, typer.Option("--applied", help="Times to apply of a running loop too: the file it keeps.")
    ] = "",
    symbol: Annotated[str, typer.Option("--symbol", help="What the bridge serves.")] = "*",
    keep_days: Annotated[float, typer.Option("--keep-days", help="Older observations expire.")] = 90.0,
    every_s: Annotated[
        float, typer.Option("--every-s", help="Go on, once in so many seconds, until Ctrl-C; 0 is once.")
    ] = 0.0,
    store: StoreOption = DEFAULT_URL,
    json: JsonOption = False,
) -> None:
    """Record how good and how old each calibration is now, and the latencies of a bridge or of a loop.

    A source that cannot be read, and a store that does not answer, end it; with --every-s they are reported and tried again.
    """
    import logging
    import time

    from calibrig.errors import CalibrigError, InvalidInputError

    if not 0.0 <= every_s <= 86_400.0:
        raise InvalidInputError(f"--every-s is {every_s!r}; give seconds in 0 .. 86,400")
    with open_store(store, observation_days=keep_days) as opened:
        while True:
            try:
                found = _observe_once(opened, bridge=bridge, applied=applied, symbol=symbol)
                _print(f"{len(found)} observations recorded", found, json=json)
            except CalibrigError as error:
                if not every_s:
                    raise
                logging.getLogger("calibrig.store").warning("nothing recorded: %s", error)
            if not every_s:
                return
            time.sleep(every_s)


def _observe_once(opened: ModelStore, *, bridge: str, applied: str, symbol: str) -> list[Observation]:
    found = opened.observe(source=_SOURCE)
    if bridge:
        from calibrig.bridge import read_bridge_status

        seen = read_bridge_status(bridge)
        for path, statistics in (("device", seen.device), ("roundtrip", seen.roundtrip)):
            found += opened.record_latency(symbol, statistics, path=path, source=_SOURCE)
    if applied:
        from calibrig.store import read_applied

        times = read_applied(applied)
        for path, figures in (("apply.stamp", times.from_stamp), ("apply.handover", times.from_handover)):
            found += opened.record_latency(times.symbol, figures, path=path, source=_SOURCE)
    return found


def observations(
    kind: Annotated[str, typer.Argument(help="quality, latency or staleness; all otherwise.")] = "",
    symbol: Annotated[str, typer.Argument(help="Only this symbol.")] = "",
    metric: Annotated[str, typer.Argument(help="Only this figure.")] = "",
    *,
    since: Annotated[str, typer.Option("--since", help="From then on: 2026-11-01, 30d.")] = "",
    until: Annotated[str, typer.Option("--until", help="Up to then.")] = "",
    limit: Annotated[int, typer.Option("--limit", help="The newest so many.")] = 1000,
    store: StoreOption = DEFAULT_URL,
    json: JsonOption = False,
) -> None:
    """Print what was observed over time; the newest come last."""
    with open_store(store) as opened:
        found = opened.observations(
            kind or None,
            symbol or None,
            metric or None,
            since=parse_time(since),
            until=parse_time(until),
            limit=limit,
        )
    _print(f"{len(found)} observations", found, json=json)


def _print(title: str, found: Iterable[Observation], *, json: bool) -> None:
    if json:
        print_json(list(found))
        return
    rows = [
        (format_time(one.time_ns), f"{one.kind}/{one.symbol}", one.metric, one.value, one.source)
        for one in found
    ]
    print_table(title, ("time", "of", "figure", "value", "by"), rows)


def add_commands(app: typer.Typer) -> None:
    """Add these commands to ``calibrig store``."""
    app.command("observe")(observe)
    app.command("observations")(observations)
