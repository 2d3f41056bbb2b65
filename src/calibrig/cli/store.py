"""``calibrig store``: versions of parameters; this module reads, :mod:`calibrig.cli.store_changes` writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from calibrig.cli import store_changes, store_observations, store_sharing
from calibrig.cli.console import JsonOption, print_json, print_lines, print_table
from calibrig.cli.store_options import (
    DEFAULT_URL,
    StoreOption,
    TrustOption,
    format_time,
    open_store,
    parse_time,
    print_changes,
)

if TYPE_CHECKING:
    from calibrig.store import CalibrationQuality, VersionRecord

__all__ = ["app"]

app = typer.Typer(help="Versions of parameters: read, change, verify, carry over.")
Kind = Annotated[str, typer.Argument(help="hawkes, quoting, risk or signal.")]
Symbol = Annotated[str, typer.Argument(help="Symbol, as it was stored.")]
STALE_OR_NOT_MET = 4


def _describe(record: VersionRecord) -> dict[str, Any]:
    """Return a version as plain JSON types."""
    import msgspec

    from calibrig.store.record import encode_parameters

    plain: dict[str, Any] = msgspec.to_builtins(record)
    plain["parameters"] = msgspec.json.decode(encode_parameters(record.parameters))
    return plain


@app.command("get")
def get(
    kind: Kind,
    symbol: Symbol,
    *,
    version: Annotated[int | None, typer.Option("--version", help="A version by its number.")] = None,
    as_of: Annotated[str, typer.Option("--as-of", help="What was live then.")] = "",
    store: StoreOption = DEFAULT_URL,
    json: JsonOption = False,
) -> int:
    """Print the newest version of a record (or one by number or time)."""
    from calibrig.errors import InvalidInputError

    with open_store(store) as opened:
        if version is not None:
            record: VersionRecord | None = opened.read_version(kind, symbol, version)
        elif as_of:
            record = opened.as_of(kind, symbol, parse_time(as_of) or 0)
        else:
            record = opened.head(kind, symbol)
    if record is None:
        raise InvalidInputError(f"{kind}/{symbol} has no version{' then' if as_of else ''}")
    if json:
        print_json(_describe(record))
        return 0
    about = record.version
    rows = [
        ("version", about.version_id),
        ("written", format_time(about.updated_at)),
        ("by", about.updated_by),
    ]
    rows += [("why", about.comment), ("origin", about.origin), ("approved by", record.approved_by or None)]
    if record.evidence:
        rows += [("verdict", record.evidence.verdict), ("reason", record.evidence.reason)]
    rows += [("override", record.override)] if record.override else []
    rows += [("warning", text) for text in record.warnings]
    print_table(f"{kind}/{symbol}", ("what", "value"), rows)
    print_table("Fields", ("field", "value"), _describe(record)["parameters"].items())
    return 0


@app.command("history")
def history(
    kind: Annotated[str, typer.Argument(help="Only this kind.")] = "",
    symbol: Annotated[str, typer.Argument(help="Only this symbol.")] = "",
    *,
    since: Annotated[str, typer.Option("--since", help="From then on: 2026-11-01, 30d.")] = "",
    until: Annotated[str, typer.Option("--until", help="Up to then.")] = "",
    by: Annotated[str, typer.Option("--by", help="Only by this author.")] = "",
    store: StoreOption = DEFAULT_URL,
    json: JsonOption = False,
) -> None:
    """Print versions: who wrote what, when and why."""
    with open_store(store) as opened:
        records = opened.history(
            kind or None,
            symbol or None,
            since=parse_time(since),
            until=parse_time(until),
            updated_by=by or None,
        )
    if json:
        print_json([_describe(record) for record in records])
        return
    rows = []
    for record in records:
        about = record.version
        verdict = record.evidence.verdict if record.evidence else None
        key = f"{about.kind}/{about.symbol}"
        rows.append(
            (
                key,
                about.version_id,
                format_time(about.updated_at),
                about.updated_by,
                about.origin,
                verdict,
                about.comment,
            )
        )
    header = ("key", "version", "written", "by", "origin", "verdict", "why")
    print_table(f"{len(rows)} versions", header, rows)


@app.command("diff")
def diff(
    kind: Kind,
    symbol: Symbol,
    *,
    before: Annotated[int, typer.Argument(help="Version.")],
    after: Annotated[int | None, typer.Argument(help="Version; the newest otherwise.")] = None,
    store: StoreOption = DEFAULT_URL,
    json: JsonOption = False,
) -> None:
    """Print what changed between two versions, field by field."""
    with open_store(store) as opened:
        changes = opened.diff(kind, symbol, before, after)
    if json:
        print_json(changes)
        return
    print_changes(f"{kind}/{symbol}: version {before} to {after or 'the newest'}", changes)


@app.command("pending")
def pending(store: StoreOption = DEFAULT_URL, json: JsonOption = False) -> None:
    """Print the proposals that wait for a second person."""
    with open_store(store) as opened:
        waiting = [(one, opened.preview(one.kind, one.symbol, one.parameters)) for one in opened.pending()]
    if json:
        print_json([{"proposal": one, "changes": changes} for one, changes in waiting])
        return
    for one, changes in waiting:
        print_changes(f"{one.kind}/{one.symbol}, proposed by {one.updated_by}: {one.comment}", changes)
    if not waiting:
        print_lines(["nothing waits for a second person"])


@app.command("verify")
def verify(
    anchor: Annotated[str, typer.Option("--anchor", help="Anchor that was kept outside the store.")] = "",
    write_anchor: Annotated[str, typer.Option("--write-anchor", help="Write the heads here.")] = "",
    trusted_keys: TrustOption = "",
    store: StoreOption = DEFAULT_URL,
    json: JsonOption = False,
) -> int:
    """Check every version: its bytes, its number, its link, its signature, the heads against an anchor."""
    from pathlib import Path

    import msgspec

    from calibrig.store import TrustedKeys, read_anchor

    known = read_anchor(anchor) if anchor else None
    keys = TrustedKeys(trusted_keys) if trusted_keys else None
    with open_store(store) as opened:
        report = opened.verify(known, trusted_keys=keys)
    if write_anchor and report.ok:
        Path(write_anchor).write_bytes(msgspec.json.encode(report.anchor) + b"\n")
    if json:
        print_json({"ok": report.ok, **msgspec.to_builtins(report)})
    else:
        print_lines(report.problems)
        verdict = "all is as it was written" if report.ok else f"{len(report.problems)} problems"
        note = "" if report.anchored else "; without --anchor a cut tail cannot be seen"
        print_lines(
            [
                f"{report.records} versions of {report.keys} keys: {verdict}{note}",
                f"root {report.anchor.root}",
            ]
        )
    return 0 if report.ok else 1


@app.command("export")
def export(
    path: Annotated[str, typer.Argument(help="File to write.")],
    store: StoreOption = DEFAULT_URL,
    json: JsonOption = False,
) -> None:
    """Write every version to one portable, checksummed file."""
    with open_store(store) as opened:
        count = opened.export_to(path)
    if json:
        print_json({"versions": count, "path": path})
    else:
        print_lines([f"{count} versions written to {path}"])


@app.command("quality")
def quality(
    max_age_days: Annotated[
        float, typer.Option("--max-age-days", help="Older calibrations are stale.")
    ] = 7.0,
    record: Annotated[
        bool, typer.Option("--record", help="Keep these figures as observations, too.")
    ] = False,
    store: StoreOption = DEFAULT_URL,
    json: JsonOption = False,
) -> int:
    """Print how good and how old each symbol's calibration is; exit 4 where one is stale or a gate is not met."""
    with open_store(store) as opened:
        found = opened.get_calibration_quality()
        if record:
            opened.observe(source="calibrig store quality")
        due = {one.symbol: opened.needs_recalibration(one.symbol, max_age_days * 86_400) for one in found}
    unmet = [one.symbol for one in found if _not_met(one)]
    if json:
        print_json([{"quality": one, "needs_recalibration": due[one.symbol]} for one in found])
    else:
        rows = [_quality_row(one, due=due[one.symbol]) for one in found]
        header = ("symbol", "Hawkes R²", "AS Sharpe", "signal R²", "verdicts", "age, days", "due")
        print_table("Calibration quality", header, rows)
    return STALE_OR_NOT_MET if unmet or any(due.values()) else 0


def _not_met(one: CalibrationQuality) -> bool:
    return any(verdict is not None and not verdict.deployable for verdict in one.verdicts.values())


def _quality_row(one: CalibrationQuality, *, due: bool) -> tuple[object, ...]:
    verdicts = " ".join(f"{kind}:{verdict or one.origins[kind]}" for kind, verdict in one.verdicts.items())
    figures = (one.hawkes_r_squared, one.as_sharpe, one.signal_r_squared)
    return (one.symbol, *figures, verdicts, one.age_s / 86_400, "yes" if due else "no")


store_changes.add_commands(app)
store_sharing.add_commands(app)
store_observations.add_commands(app)
