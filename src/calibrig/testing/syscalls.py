"""A shim between a process and its file system: records calls, fails the n-th, or fills the disk after n bytes."""

from __future__ import annotations

import ctypes
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from calibrig.errors import UnavailableError

__all__ = ["Call", "Shim", "build_shim", "read_calls", "run_with_shim"]

_HEADER = struct.Struct("<cIIIq")


class Call(msgspec.Struct, frozen=True):
    """One recorded call.

    ``what`` is C (a name was created), W (write), T (truncate to ``offset``), S (sync), R (rename to ``other``),
    X (exchange with ``other``), U (unlink), A (the workload's mark: ``offset`` updates were acknowledged).
    """

    what: str
    path: str
    other: str
    offset: int
    data: bytes


def build_shim(folder: Path) -> Path:
    """Compile the shim into ``folder``; needs a C compiler."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise UnavailableError("the fault campaigns need a C compiler; install gcc, or set CC")
    target = folder / "syscalls.so"
    source = Path(__file__).with_name("syscalls.c")
    command = [compiler, "-O1", "-shared", "-fPIC", "-o", str(target), str(source), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnavailableError(f"the shim of the fault campaigns does not compile: {done.stderr[-1000:]}")
    return target


def run_with_shim(shim: Path, module: str, *words: str) -> subprocess.CompletedProcess[bytes]:
    """Run ``python -m module words`` with the shim loaded."""
    environment = {**os.environ, "LD_PRELOAD": str(shim), "CALIBRIG_SHIM": str(shim)}
    return subprocess.run(
        [sys.executable, "-m", module, *words],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )


class Shim:
    """The shim of this process; it must have been started by :func:`run_with_shim`."""

    def __init__(self) -> None:
        path = os.environ.get("CALIBRIG_SHIM")
        if not path:
            raise UnavailableError("this process was started without the shim; use run_with_shim")
        self._library = ctypes.CDLL(path)
        self._library.syscalls_begin.argtypes = [
            ctypes.c_char_p,
            ctypes.c_char_p,
            ctypes.c_long,
            ctypes.c_int,
            ctypes.c_longlong,
        ]
        self._library.syscalls_end.restype = ctypes.c_long
        self._library.syscalls_mark.argtypes = [ctypes.c_longlong]

    def begin(
        self,
        folder: Path,
        *,
        record_to: Path | None = None,
        fail_at: int = 0,
        error: int = 0,
        budget: int = -1,
    ) -> None:
        """Act on what happens below ``folder`` from now on."""
        record = os.fsencode(record_to) if record_to else b""
        self._library.syscalls_begin(os.fsencode(folder), record, fail_at, error, budget)

    def mark(self, number: int) -> None:
        """Record that ``number`` updates have been acknowledged."""
        self._library.syscalls_mark(number)

    def end(self) -> int:
        """Act no longer; return how many calls were seen."""
        return int(self._library.syscalls_end())


def read_calls(path: Path) -> Iterator[Call]:
    """Yield the calls of a recording."""
    data = path.read_bytes()
    position = 0
    while position < len(data):
        what, first, second, length, offset = _HEADER.unpack_from(data, position)
        position += _HEADER.size
        parts = []
        for size in (first, second, length):
            parts.append(data[position : position + size])
            position += size
        yield Call(what.decode(), os.fsdecode(parts[0]), os.fsdecode(parts[1]), offset, parts[2])
