"""The command line: parse, call the library, print.

Add a command group
-------------------
Write ``calibrig/cli/<group>.py`` with a ``typer.Typer()`` called ``app`` (a group such as ``store``) or a function
called ``command`` (a single command such as ``demo``), and add **one line** to ``COMMANDS`` in
:mod:`calibrig.cli.commands`. Nothing else: the module is imported only when its command is called, so keep heavy
imports (numpy, polars, the rooms themselves) inside the functions. Then bring the reference up to date, which a test
compares: ``python -m calibrig.cli.reference > docs/cli.md``.

Conventions
-----------
- stdout holds the result, stderr the progress and the logs; ``--json`` (:data:`calibrig.cli.console.JsonOption`) on
  every command that reads, printed with :func:`calibrig.cli.console.print_json`.
- A command ends by returning its exit code (None is 0) or by raising an error of :mod:`calibrig.errors`, whose
  ``exit_code`` the process ends with and whose message is printed as one sentence; ``--debug``, anywhere on the line,
  shows the traceback.
- Exit codes: 0 ok, 1 failed, 2 usage or unusable input, 3 not ready or degraded, 4 stale or a gate not met,
  5 refused, 75 try again later, 130 interrupted.
"""

from __future__ import annotations

import sys

from calibrig import __version__

__all__ = ["main"]


def main() -> None:
    """Run the command line; ``--version`` answers before anything heavy is imported."""
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"calibrig {__version__}\n")
        return
    from calibrig.cli.frame import run_command_line

    sys.exit(run_command_line(sys.argv[1:]))
