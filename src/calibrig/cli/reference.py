"""The reference of the command line as Markdown, made from the commands: ``python -m calibrig.cli.reference``."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from calibrig.cli.commands import COMMANDS, build_app

__all__ = ["render_reference"]

_HEAD = """# Command line

Made from the commands by `python -m calibrig.cli.reference > docs/cli.md`; a test compares the two.

stdout is the result, stderr progress and logs, so `calibrig ... --json > result.json` is always a JSON document.
`--debug`, anywhere on the line, shows the traceback of an error.

| exit code | meaning |
|---|---|
| 0 | ok |
| 1 | failed |
| 2 | usage, or input that cannot be used |
| 3 | not ready or degraded |
| 4 | stale, or a gate not met |
| 5 | refused |
| 75 | try again later |
| 130 | interrupted (Ctrl-C) |
"""


def render_reference() -> str:
    """Return the reference of every command: usage, what it does, arguments and options with their defaults.

    Examples
    --------
    >>> "## `calibrig config show`" in render_reference()
    True
    """
    root: Any = get_command(build_app(everything=True))
    sections = [_HEAD]
    for name in COMMANDS:
        sections.extend(_describe(f"calibrig {name}", root.commands[name]))
    return "\n".join(sections)


def _describe(path: str, command: Any) -> Iterator[str]:
    commands = getattr(command, "commands", None)
    if commands is not None:
        for name, child in commands.items():
            yield from _describe(f"{path} {name}", child)
        return
    yield f"## `{path}`\n"
    yield f"{inspect.cleandoc(command.help or '')}\n"
    rows = [_describe_parameter(p) for p in command.params if "--help" not in p.opts]
    if rows:
        yield "| argument or option | default | what |\n|---|---|---|"
        yield "\n".join(rows) + "\n"


def _describe_parameter(parameter: Any) -> str:
    is_option = parameter.opts[0].startswith("-")
    name = ", ".join(f"`{word}`" for word in parameter.opts) if is_option else f"`{parameter.name.upper()}`"
    if parameter.nargs == -1 or getattr(parameter, "multiple", False):
        name += " (several)"
    what = " ".join((parameter.help or "").split()).replace("|", "\\|")
    return f"| {name} | {_default(parameter)} | {what} |"


def _default(parameter: Any) -> str:
    value = parameter.default
    if callable(value):
        value = value()
    if parameter.required:
        return "required"
    if value is None or value in ("", (), []):
        return "–"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"`{getattr(value, 'value', value)}`"


if __name__ == "__main__":
    sys.stdout.write(render_reference())
