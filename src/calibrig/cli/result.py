"""A finished run on the terminal: the same records as in its report."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from calibrig.cli.console import print_lines, print_table

if TYPE_CHECKING:
    from calibrig.operations import Outcome
    from calibrig.reports import ParameterRow, ReportContent

__all__ = ["print_outcome"]


def print_outcome(outcome: Outcome) -> None:
    """Print one run: quality, parameters, gates, versions, loop, latencies, verdict, files."""
    from calibrig.operations.outcome import GATE_NOT_MET

    content = outcome.content
    print_lines([content.title, content.subtitle])
    if content.quality:
        print_table("Data quality", ("check", "finding"), content.quality)
    _print_parameters(content)
    _print_gates(content)
    rows = [
        (
            row.kind,
            "-" if row.version is None else f"v{row.version.version_id}",
            row.verdict,
            "-" if row.version is None else row.version.updated_by,
            row.stored,
        )
        for row in content.versions
    ]
    print_table("Versions", ("kind", "version", "verdict", "by", "where"), rows)
    print_table(
        "Trading loop", ("figure", "value", "note"), [(f.label, f.value, f.note) for f in content.figures]
    )
    if content.latencies:
        names = [name for name, _ in content.latencies[0].percentiles]
        table = [(c.path, *(v for _, v in c.percentiles), c.sla_ns) for c in content.latencies]
        print_table("Latency, ns", ("path", *names, "SLA"), table)
    print_lines(["", *(f"note: {notice}" for notice in (*content.quality_notes, *content.notices))])
    print_lines(["", f"{outcome.verdict}: {outcome.reason}"])
    files = ("report", outcome.report_path), ("result", outcome.result_path), ("store", outcome.store_url)
    print_lines([f"{name:6s}  {where}" for name, where in files])
    if outcome.exit_code == GATE_NOT_MET:
        print_lines(
            ["", "Exit code 4: the run is complete; a gate is not met, so not every model may be deployed."]
        )


def _print_parameters(content: ReportContent) -> None:
    known = any(row.truth is not None for row in content.parameters)
    columns: dict[str, Callable[[ParameterRow], object]] = {
        "model": lambda row: row.model,
        "parameter": lambda row: row.name,
        "truth": lambda row: row.truth,
        "estimate": lambda row: row.estimate,
        "std error": lambda row: row.standard_error,
        "z": lambda row: None if row.z is None else f"{row.z:+.2f}",
        "unit": lambda row: row.unit,
        "": lambda row: "PRELIMINARY" if row.preliminary else "",
    }
    if not known:
        columns = {name: read for name, read in columns.items() if name not in {"truth", "z"}}
    rows = [[read(row) for read in columns.values()] for row in content.parameters]
    print_table("Parameters", tuple(columns), rows)


def _print_gates(content: ReportContent) -> None:
    verdicts = [(m.kind, m.verdict, m.reason) for m in content.models]
    print_table("Verdicts", ("model", "verdict", "reason"), verdicts)
    gates = [(model.kind, gate) for model in content.models for gate in model.gates]
    unmet = [(kind, g.name, g.value, g.limit) for kind, g in gates if g.passed is False]
    applies = sum(gate.passed is not None for _, gate in gates)
    title = f"Gates not met: {len(unmet)} of the {applies} that apply; the report shows each with its detail"
    print_table(title, ("model", "gate", "figure", "limit"), unmet)
