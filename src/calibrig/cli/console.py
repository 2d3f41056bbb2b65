"""What a command prints: results on stdout, progress on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from calibrig.operations.plain import to_plain

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["JsonOption", "StageProgress", "print_json", "print_lines", "print_table"]

JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")]


def print_json(value: Any) -> None:
    """Print ``value`` as one indented JSON document on stdout."""
    import msgspec

    text = msgspec.json.format(msgspec.json.encode(to_plain(value)), indent=2).decode()
    print_lines([text])


def print_lines(lines: Iterable[str]) -> None:
    """Print plain lines on stdout, unaltered."""
    for line in lines:
        sys.stdout.write(f"{line}\n")


def print_table(title: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table on stdout: drawn on a terminal, aligned plain columns elsewhere."""
    cells = [[_cell(value) for value in row] for row in rows]
    if sys.stdout.isatty():
        _print_rich_table(title, header, cells)
        return
    widths = [max(len(name), *(len(row[i]) for row in cells), 0) for i, name in enumerate(header)]
    print_lines(["", title])
    for row in [list(header), *cells]:
        line = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        print_lines([f"  {line}".rstrip()])


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.5g}"
    return " ".join(str(value).split())


def _print_rich_table(title: str, header: Sequence[str], cells: list[list[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for name in header:
        table.add_column(name, overflow="fold")
    for row in cells:
        table.add_row(*(Text(text, style=_STYLES.get(text, "")) for text in row))
    Console().print(table)


_STYLES = {
    "PASS": "green",
    "pass": "green",
    "RESTRICTED": "yellow",
    "FAIL": "red",
    "fail": "red",
    "NO_SELF_EXCITATION": "red",
    "TOO_FEW_EVENTS": "yellow",
    "TOO_FEW_DAYS": "yellow",
}


class StageProgress:
    """Progress of a job made of stages: a bar on a terminal, one plain line per finished stage elsewhere.

    Examples
    --------
    >>> with StageProgress(total=2, quiet=True) as progress:
    ...     progress.advance("reading", "3 files")
    ...     progress.advance("fitting", "done")
    >>> progress.done
    2
    """

    def __init__(self, *, total: int, quiet: bool = False) -> None:
        self.total = total
        self.done = 0
        self._quiet = quiet
        self._started = time.monotonic()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> StageProgress:
        if not self._quiet and sys.stderr.isatty():
            self._open_bar()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def begin(self, stage: str) -> None:
        """Say which stage is being worked on."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=stage)

    def advance(self, stage: str, detail: str) -> None:
        """Say that ``stage`` is finished, and with what."""
        self.done += 1
        if self._quiet:
            return
        seconds = time.monotonic() - self._started
        line = f"[{self.done}/{self.total}] {seconds:6.1f} s  {stage}: {detail}"
        if self._bar is not None and self._task is not None:
            from rich.text import Text

            self._bar.console.print(Text(line))
            self._bar.update(self._task, completed=self.done)
        else:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    def _open_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task("starting", total=self.total)
        self._bar.start()
