"""``calibrig config``: what this installation is and which settings it uses."""

from __future__ import annotations

import os
import platform
import sys

import typer

from calibrig.cli.console import JsonOption, print_json, print_table

__all__ = ["app"]

app = typer.Typer(help="What this installation is and which settings it uses.")

# (environment variable, default): a setting is listed here when something reads it
_SETTINGS = (("CALIBRIG_DEBUG", "0"),)


@app.callback()
def _group() -> None:
    """What this installation is and which settings it uses."""


@app.command("show")
def show(json: JsonOption = False) -> None:
    """Print versions, the instruction set in use, and every setting with its source."""
    facts = _describe_installation()
    settings = _read_settings()
    if json:
        print_json({"installation": facts, "settings": settings})
        return
    print_table("Installation", ("what", "value"), facts.items())
    rows = [(name, entry["value"], entry["source"]) for name, entry in settings.items()]
    print_table("Settings", ("name", "value", "source"), rows)


def _describe_installation() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    facts = {"calibrig": _own_version(), "python": platform.python_version(), "machine": platform.machine()}
    facts["instruction_set"] = _instruction_set()
    for package in ("numpy", "scipy", "polars", "msgspec", "typer", "rich"):
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = "not installed"
    facts["executable"] = sys.executable
    return facts


def _own_version() -> str:
    from calibrig import __version__

    return __version__


def _instruction_set() -> str:
    from calibrig import _native  # noqa: TID251  # no room owns the name of the instruction set

    return _native.isa()


def _read_settings() -> dict[str, dict[str, str]]:
    """Every setting read from the environment; URLs with passwords are shown without them."""
    settings = {}
    for name, default in _SETTINGS:
        given = os.environ.get(name)
        value = default if given is None else given
        settings[name] = {
            "value": _redact(value),
            "source": "default" if given is None else "environment",
        }
    return settings


def _redact(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if not separator or "@" not in rest:
        return url
    return f"{scheme}://***@{rest.rpartition('@')[2]}"
