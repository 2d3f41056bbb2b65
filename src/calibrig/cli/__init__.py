"""The command line: parse, call the library, print."""

from __future__ import annotations

import sys

from calibrig import __version__

__all__ = ["main"]


def main() -> None:
    """Run the command line; ``--version`` answers before anything heavy is imported."""
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"calibrig {__version__}\n")
        return
    raise SystemExit(2)
