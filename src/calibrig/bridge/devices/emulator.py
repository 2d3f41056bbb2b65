"""An emulated card: the model's own RTL, verilated, in a process of its own, behind shared memory."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import msgspec

from calibrig.bridge.devices.shared_memory import SharedMemoryDevice
from calibrig.errors import (
    DeviceRemovedError,
    DeviceTimeoutError,
    DeviceUnavailableError,
    InvalidInputError,
    MissingFileError,
)
from calibrig.models.signal import reference_model
from calibrig.parameters import SignalModel
from calibrig.rtl.card_memory import CardMemory
from calibrig.rtl.timing import known_clock_hz

__all__ = ["INJECTIONS", "EmulatorDevice"]

INJECTIONS = MappingProxyType(
    {
        "none": 0,
        "hang": 1,
        "slow": 2,
        "sequence": 3,
        "stale": 4,
        "ones": 5,
        "zeros": 6,
        "bit_flip": 7,
        "torn": 8,
        "duplicate": 9,
        "model": 10,
        "range": 11,
        "arithmetic": 12,
    }
)
"""What register 0x1F0 of the emulator build can make the card do."""

_FAULT_REGISTER = 0x1F0
_READ, _WRITE, _RESET = 1, 2, 3
_BUILD_PATIENCE_S = 300.0
_START_PATIENCE_S = 30.0
_MAILBOX_PATIENCE_S = 5.0


class EmulatorDevice(SharedMemoryDevice):
    """A `Device` whose card is the model's RTL, run by Verilator in another process.

    Device cycles are counted by the RTL itself; ``device_ns`` follows from them and the clock. What the host waits is
    the simulator's speed and says nothing about a card's: every report of it carries the word "emulated".

    Parameters
    ----------
    model : SignalModel, optional
        What the card is built from; the packaged reference model by default.
    cache : path, optional
        Of builds; ``calibrig/rtl`` below the XDG cache by default.
    clock_hz : int, optional
        Clock the card says it has; that of the model's timing report where the cache holds one, else 50 MHz.
    backend : str
        ``"auto"``, ``"verilator"`` or ``"interpreter"``. Without Verilator or a C++ compiler, ``"auto"`` takes the
        bit-exact interpreter, and `reason` says why.
    path : str, optional
        File to serve; a fresh one below ``/dev/shm`` by default.

    Examples
    --------
    >>> device = EmulatorDevice.from_url("emulator:?backend=interpreter")
    >>> device.backend
    'interpreter'
    """

    emulated = True

    def __init__(
        self,
        model: SignalModel | None = None,
        *,
        cache: str | os.PathLike[str] | None = None,
        clock_hz: int | None = None,
        backend: str = "auto",
        path: str | None = None,
    ) -> None:
        super().__init__(path or f"/dev/shm/calibrig-emulator-{os.getpid()}-{uuid.uuid4().hex[:8]}")
        if backend not in {"auto", "verilator", "interpreter"}:
            raise InvalidInputError(f"backend is {backend!r}; give 'auto', 'verilator' or 'interpreter'")
        self.model = model or reference_model()
        self.backend = backend
        self.reason = ""
        self.cycles = 0
        self.clock_hz = clock_hz or known_clock_hz(self.model, cache=cache)
        self._cache = cache
        self._process: subprocess.Popen[bytes] | None = None
        self._memory: CardMemory | None = None

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Make one from ``emulator:``, with ``?model=FILE&cache=FOLDER&clock_hz=N&backend=NAME`` as wanted."""
        parts = urlsplit(url)
        options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        unknown = sorted(set(options) - {"model", "cache", "clock_hz", "backend"})
        if parts.scheme != "emulator" or parts.netloc or parts.path or unknown:
            raise InvalidInputError(
                f"device URL {url!r} is not emulator: or emulator:?model=FILE&cache=FOLDER&clock_hz=N&backend=NAME"
            )
        try:
            clock_hz = int(options["clock_hz"]) if "clock_hz" in options else None
        except ValueError:
            raise InvalidInputError(
                f"clock_hz is {options['clock_hz']!r}; give a whole number of Hz"
            ) from None
        return cls(
            read_model(Path(options["model"])) if "model" in options else None,
            cache=options.get("cache"),
            clock_hz=clock_hz,
            backend=options.get("backend", "auto"),
        )

    def open(self) -> None:
        """Build the card unless the cache has it, start its process and map its memory."""
        if self._process is not None:
            return
        arguments = ["--path", self.path, "--clock-hz", str(self.clock_hz), "--backend", self.backend]
        arguments += ["--parent", str(os.getpid())]
        if self._cache is not None:
            arguments += ["--cache", os.fspath(self._cache)]
        with tempfile.TemporaryDirectory() as folder:
            model, log = Path(folder) / "model.json", Path(folder) / "log"
            model.write_bytes(msgspec.json.encode(self.model))
            with log.open("wb") as errors:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "calibrig.rtl.emulator", "--model", str(model), *arguments],
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    stdin=subprocess.DEVNULL,
                )
            ready = self._wait_until_ready(log)
        self.backend, self.reason, self.cycles = ready["backend"], ready["reason"], ready["cycles"]
        self._memory = CardMemory(self.path)
        super().open()
        self._wait_for_identity(self._memory)

    def _wait_until_ready(self, log: Path) -> dict[str, Any]:
        process = self._process
        assert process is not None
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], _BUILD_PATIENCE_S)
        line = process.stdout.readline() if readable else b""
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        self._stop()
        said = log.read_text(errors="replace").strip().splitlines()
        raise DeviceUnavailableError(
            f"the emulated card did not start: {said[-1] if said else f'no word within {_BUILD_PATIENCE_S:g} s'}"
        )

    def _wait_for_identity(self, memory: CardMemory) -> None:
        deadline = time.monotonic() + _START_PATIENCE_S
        while memory.load32(CardMemory.IDENTITY) == 0:
            if not self.pid or time.monotonic() > deadline:
                late = f"showed no identity within {_START_PATIENCE_S:g} s" if self.pid else "ended at once"
                self.close()
                raise DeviceUnavailableError(f"the emulated card {late}; open it again")
            time.sleep(1e-3)

    def close(self) -> None:
        """End the card's process and remove its memory; safe twice."""
        super().close()
        if self._memory is not None:
            self._memory.close()
            self._memory = None
        self._stop()

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(5.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
        Path(self.path).unlink(missing_ok=True)

    @property
    def pid(self) -> int:
        """Of the card's process; 0 where there is none."""
        return self._process.pid if self._process is not None and self._process.poll() is None else 0

    @property
    def device_ns(self) -> float:
        """Nanoseconds in the card for one prediction: its cycles over its clock."""
        return 1e9 * self.cycles / self.clock_hz

    def kill(self) -> None:
        """Kill the card's process at once: a card that dies under its driver."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def read32(self, offset: int) -> int:
        """Read a register of the RTL over AXI4-Lite."""
        return self._ask_mailbox(_READ, offset, 0)

    def write32(self, offset: int, value: int) -> None:
        """Write a register of the RTL over AXI4-Lite."""
        self._ask_mailbox(_WRITE, offset, value)

    def reset(self) -> None:
        """Pull the card's reset line."""
        self._ask_mailbox(_RESET, 0, 0)

    def inject(self, fault: str, *, count: int = 1, argument: int = 0) -> None:
        """Make the card misbehave.

        Parameters
        ----------
        fault : str
            A name of `INJECTIONS`; ``"none"`` ends it.
        count : int
            Answers it strikes, 0 .. 255; 0 = until the next call.
        argument : int
            ``"slow"``: clocks the answer takes; ``"bit_flip"``: bit of the reply, 0 .. 223.
        """
        if fault not in INJECTIONS or not 0 <= count <= 255 or not 0 <= argument <= 0xFFFF:
            raise InvalidInputError(
                f"inject({fault!r}, count={count}, argument={argument}); give one of {', '.join(INJECTIONS)}, "
                "a count of 0 .. 255 and an argument of 0 .. 65535"
            )
        self.write32(_FAULT_REGISTER, argument << 16 | count << 8 | INJECTIONS[fault])

    def _ask_mailbox(self, operation: int, offset: int, value: int) -> int:
        if not 0 <= offset < 0x200 or offset % 4:
            raise InvalidInputError(f"register offset is {offset:#x}; give a multiple of 4 below 0x200")
        memory = self._memory
        if memory is None:
            raise DeviceRemovedError("the emulated card is closed; open it again")
        for index, word in enumerate((operation, offset, value)):
            memory.store32(CardMemory.MAILBOX + 4 * index, word)
        ticket = memory.load64(CardMemory.TICKET) + 1
        memory.store64(CardMemory.TICKET, ticket)
        deadline = time.monotonic() + _MAILBOX_PATIENCE_S
        while memory.load64(CardMemory.DONE) != ticket:
            if not self.pid:
                raise DeviceRemovedError("the emulated card's process is gone; close and open the device")
            if time.monotonic() > deadline:
                raise DeviceTimeoutError(
                    f"the emulated card did not answer a register access in {_MAILBOX_PATIENCE_S:g} s"
                )
            time.sleep(0)
        return memory.load32(CardMemory.MAILBOX + 8)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()


def read_model(path: Path) -> SignalModel:
    """Read a signal model from JSON."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=SignalModel)
    except FileNotFoundError:
        raise MissingFileError(f"{path} is not there; give a signal model as JSON") from None
    except msgspec.DecodeError as error:
        raise InvalidInputError(f"{path} is no signal model: {error}") from None
