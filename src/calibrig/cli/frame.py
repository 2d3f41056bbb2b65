"""How a command ends: exit codes, one-sentence errors, Ctrl-C, full disks and closed pipes."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress

import typer

from calibrig.cli.commands import COMMANDS, build_app
from calibrig.cli.interrupts import interrupts_between_locks
from calibrig.errors import CalibrigError

__all__ = ["run_command_line"]

INTERRUPTED = 130


def run_command_line(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; errors go to stderr as one sentence.

    Examples
    --------
    >>> run_command_line(["--version"])
    calibrig 0.1.0
    0
    """
    arguments, debug = _take_debug(arguments)
    try:
        with interrupts_between_locks():
            code = _run(arguments)
        sys.stdout.flush()
    except BaseException as error:  # noqa: BLE001  # the last frame of the process: every way to end passes here
        code = _end(error, debug=debug)
    return code


def _take_debug(arguments: Sequence[str]) -> tuple[list[str], bool]:
    own = list(arguments)
    end = own.index("--") if "--" in own else len(own)
    kept = [word for word in own[:end] if word != "--debug"] + own[end:]
    return kept, len(kept) < len(own) or os.environ.get("CALIBRIG_DEBUG", "") not in {"", "0"}


def _run(arguments: list[str]) -> int:
    chosen = next((word for word in arguments if not word.startswith("-")), None)
    app = build_app(chosen if chosen in COMMANDS else None)
    result = app(arguments, prog_name="calibrig", standalone_mode=False)
    if result == INTERRUPTED:  # typer turns Ctrl-C into this code
        raise KeyboardInterrupt
    return result if isinstance(result, int) else 0


def _end(error: BaseException, *, debug: bool) -> int:
    if debug and not isinstance(error, SystemExit):
        traceback.print_exception(error)
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return _say("interrupted; what was already stored stays, nothing is half-written", INTERRUPTED)
    if isinstance(error, CalibrigError):
        return _say(_message(error), error.exit_code)
    if _is_usage_error(error):
        return _say_usage(error)
    if isinstance(error, BrokenPipeError):
        _drop_stdout()
        return 1
    if isinstance(error, OSError):
        return _say(_os_message(error), 1)
    if isinstance(error, MemoryError):
        return _say("out of memory; give fewer days or files, or a machine with more memory", 1)
    hint = "" if debug else "; the same line with --debug shows where"
    return _say(f"internal error, {type(error).__name__}: {_message(error)}{hint}", 1)


def _say(sentence: str, code: int) -> int:
    with suppress(OSError, ValueError):
        sys.stderr.write(f"calibrig: {' '.join(sentence.split())}\n")
        sys.stderr.flush()
    if code != 0:
        _drop_stdout_if_broken()
    return code


def _message(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _os_message(error: OSError) -> str:
    name = f" {error.filename}" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"no space left on the device while writing{name}; free some space or choose another folder with --out"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"no permission for{name}; choose another folder or change its rights"
    return f"{error.strerror or _message(error)}{':' if name else ''}{name}"


def _is_usage_error(error: BaseException) -> bool:
    # typer ships its own copy of click since 0.2x, so the class is known by its interface, not by its module
    return hasattr(error, "format_message") and hasattr(error, "exit_code")


def _say_usage(error: BaseException) -> int:
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        sys.stderr.write(f"{getattr(error, 'message', '')}\n")
        return 2
    path = getattr(context, "command_path", "calibrig")
    sentence = str(error.format_message()).rstrip(".")  # type: ignore[attr-defined]
    return _say(f"{sentence}. See '{path} --help'", 2)


def _drop_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's own flush at exit cannot fail a second time."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _drop_stdout_if_broken() -> None:
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        _drop_stdout()
