"""Which commands there are, and where each one lives."""

from __future__ import annotations

import importlib
from typing import Annotated, NamedTuple

import typer

__all__ = ["COMMANDS", "Command", "build_app", "load_command"]


class Command(NamedTuple):
    """One line of the table: the module that holds ``app`` or ``command``, and what ``--help`` says about it."""

    module: str
    help: str


# One line per command group; the order is the order of `calibrig --help`.
COMMANDS: dict[str, Command] = {
    "demo": Command("calibrig.cli.demo", "The whole product on a simulated market with known truth."),
    "run": Command("calibrig.cli.run", "The whole product on your ticks."),
    "fit": Command("calibrig.cli.fit", "One model alone on your ticks: fit it and judge it."),
    "store": Command("calibrig.cli.store", "Versions of parameters: read, change, verify, carry over."),
    "bridge": Command("calibrig.cli.bridge", "Inference in software or on a card: measure, watch, validate."),
    "rtl": Command("calibrig.cli.rtl", "From a signal model to a card: sources, exactness, timing."),
    "doctor": Command("calibrig.cli.doctor", "What this machine offers, what that means, what to change."),
    "prove": Command("calibrig.cli.prove", "Campaigns of faults: every answer checked, every figure shown."),
    "config": Command("calibrig.cli.config", "What this installation is and which settings it uses."),
}

_CONTEXT = {"help_option_names": ["-h", "--help"]}


def _print_version(asked: bool) -> None:
    if asked:
        from calibrig import __version__

        typer.echo(f"calibrig {__version__}")
        raise typer.Exit(0)


def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; may stand anywhere on the line.")
    ] = False,
) -> None:
    """Calibrate, version and serve the models of a market maker.

    stdout is the result, stderr progress and logs. Exit codes: 0 ok, 1 failed, 2 usage or unusable input, 3 not
    ready or degraded, 4 stale or a gate not met, 5 refused, 75 try again later, 130 interrupted.
    """
    del version, debug  # answered by the callback and by the frame, declared here for --help


def build_app(chosen: str | None = None, *, everything: bool = False) -> typer.Typer:
    """Return the command line with ``chosen`` loaded and every other command present by name and help only.

    Parameters
    ----------
    chosen : str, optional
        Command to load; None loads none, which is enough for ``--help``.
    everything : bool
        Load all commands: for the generated reference.

    Examples
    --------
    >>> app = build_app()
    >>> "config" in COMMANDS
    True
    """
    app = typer.Typer(
        name="calibrig",
        no_args_is_help=True,
        add_completion=False,
        context_settings=_CONTEXT,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback()(_root)
    for name, entry in COMMANDS.items():
        if everything or name == chosen:
            load_command(app, name, entry)
        else:
            app.command(name, help=entry.help)(_placeholder)
    return app


def _placeholder() -> None:
    """Stand for a command that was not asked for."""


def load_command(app: typer.Typer, name: str, entry: Command) -> None:
    """Import the module of ``entry`` and add its ``app`` (a group) or its ``command`` to ``app``."""
    module = importlib.import_module(entry.module)
    group = getattr(module, "app", None)
    if group is not None:
        app.add_typer(group, name=name, help=entry.help, no_args_is_help=True, context_settings=_CONTEXT)
    else:
        app.command(name, context_settings=_CONTEXT, no_args_is_help=False)(module.command)
