"""The emulated card's own process: ``python -m calibrig.rtl.emulator``; verilated RTL, or the exact interpreter."""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import sys
import threading
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import msgspec
import numpy as np

from calibrig.errors import CalibrigError, MissingDependencyError, UnavailableError
from calibrig.parameters import SignalModel
from calibrig.rtl.build import ABI_VERSION, DEFAULT_CLOCK_HZ, build_card, card_cycles
from calibrig.rtl.card_memory import CardMemory
from calibrig.rtl.core import generate_core
from calibrig.rtl.interpreter import Interpreter
from calibrig.rtl.simulated_card import SimulatedCard

__all__ = ["InterpretedCard", "serve_card"]

_IDENTITY = 0x43414C42
_STATUS_CRC, _STATUS_MODEL, _STATUS_FEATURE = 1, 2, 3


def serve_card(
    model: SignalModel,
    path: str,
    *,
    cache: str | None = None,
    clock_hz: int = DEFAULT_CLOCK_HZ,
    backend: str = "auto",
    parent: int = 0,
) -> None:
    """Serve an emulated card at ``path`` until SIGTERM or SIGINT; prints one JSON line when it is ready.

    Parameters
    ----------
    model : SignalModel
        What the card is built from.
    path : str
        File to make in shared memory; removed at the end.
    cache : str, optional
        Of builds.
    clock_hz : int
        Clock the card says it has.
    backend : str
        ``"verilator"``, ``"interpreter"``, or ``"auto"``: the interpreter only where Verilator or a compiler is
        missing, and the ready line says why.
    parent : int
        Process to live with; 0 for none.
    """
    stop = ctypes.c_int(0)

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop.value = 1

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    reason = ""
    card: SimulatedCard | None = None
    if backend != "interpreter":
        try:
            card = SimulatedCard(build_card(model, cache=cache, clock_hz=clock_hz), model)
        except (MissingDependencyError, UnavailableError) as error:
            if backend == "verilator":
                raise
            reason = str(error)
    memory = CardMemory(path, create=True)
    try:
        if card is not None:
            _say_ready("verilator", card.manifest.card_cycles, clock_hz, reason)
            _serve_in_thread(card, memory, stop, parent)
        else:
            interpreted = InterpretedCard(model, memory, clock_hz=clock_hz)
            _say_ready("interpreter", interpreted.cycles, clock_hz, reason)
            interpreted.serve(stop, parent=parent)
    finally:
        memory.close()


def _serve_in_thread(card: SimulatedCard, memory: CardMemory, stop: ctypes.c_int, parent: int) -> None:
    """Keep this thread free: Python runs signal handlers in it, between two calls."""
    server = threading.Thread(target=card.serve, args=(memory.buffer, stop), kwargs={"parent": parent})
    server.start()
    while server.is_alive():
        server.join(0.1)
    card.close()


def _say_ready(backend: str, cycles: int, clock_hz: int, reason: str) -> None:
    line = {"backend": backend, "cycles": cycles, "clock_hz": clock_hz, "reason": reason, "pid": os.getpid()}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class InterpretedCard:
    """What answers where the RTL cannot be compiled: the same logic, one operation at a time, and the same registers.

    Cycles are those the RTL would take; faults cannot be injected.

    Parameters
    ----------
    model : SignalModel
        What it computes.
    memory : CardMemory
        Where it serves.
    clock_hz : int
        Clock the card says it has.
    """

    def __init__(self, model: SignalModel, memory: CardMemory, *, clock_hz: int) -> None:
        core = generate_core(model)
        self._run = Interpreter(core.logic)
        self._model, self._memory = model, memory
        self._reach = 1 << (model.feature_bits - 1)
        self._answers = self._errors = 0
        self.cycles = card_cycles(core.stages)
        for offset, value in ((0x104, ABI_VERSION), (0x108, model.model_id), (0x118, clock_hz), (0x124, 1)):
            memory.store32(offset, value)
        memory.store32(0x000, 4)
        memory.store64(CardMemory.SERVER_PID, os.getpid())
        memory.store32(CardMemory.IDENTITY, _IDENTITY)

    def serve(self, stop: ctypes.c_int, *, parent: int = 0) -> None:
        """Answer until ``stop`` is set or the parent process changes."""
        memory, idle = self._memory, 0
        last = memory.load64(CardMemory.REPLY)
        while not stop.value:
            sequence = memory.load64(CardMemory.REQUEST)
            idle += 1
            if sequence != last:
                last, idle = sequence, 0
                memory.store_line(CardMemory.REPLY, self.answer(memory.load_line(CardMemory.REQUEST)))
            if memory.load64(CardMemory.TICKET) != memory.load64(CardMemory.DONE):
                self._open_mailbox()
                idle = 0
            elif memory.load32(0x000) & 1:
                self._run_registers()
                idle = 0
            memory.store64(0x110, time.monotonic_ns())
            if idle > 2000:
                time.sleep(2e-4)
                if parent and os.getppid() != parent:
                    break
        memory.store32(CardMemory.IDENTITY, 0)

    def answer(self, line: bytes) -> bytes:
        """Return the reply line to a request line."""
        features = np.frombuffer(line, dtype="<i2", count=16, offset=16)
        status = 0
        if zlib.crc32(line[:60]) != int.from_bytes(line[60:], "little"):
            status = _STATUS_CRC
        elif int.from_bytes(line[8:12], "little") != self._model.model_id:
            status = _STATUS_MODEL
        elif features.min() < -self._reach or features.max() >= self._reach:
            status = _STATUS_FEATURE
        value = int(self._run.evaluate(features[None, :])[0]) if status == 0 else 0
        self._answers += 1
        self._errors += status != 0
        self._memory.store32(0x11C, self._answers)
        self._memory.store32(0x120, self._errors)
        body = line[:8] + b"".join(
            number.to_bytes(4, "little")
            for number in (value & 0xFFFFFFFF, self.cycles, self._model.model_id, status)
        )
        return body + zlib.crc32(body).to_bytes(4, "little") + bytes(36)

    def _run_registers(self) -> None:
        """One ap_ctrl_hs start, with the registers' values in the window."""
        memory = self._memory
        start = memory.load_line(0x010)
        body = start[:8] + self._model.model_id.to_bytes(4, "little") + bytes(4) + start[8:40] + bytes(12)
        reply = self.answer(body + zlib.crc32(body).to_bytes(4, "little"))
        words = (reply[8:12], reply[12:16], reply[:4], reply[4:8], reply[20:24], reply[24:28])
        for index, word in enumerate(words):
            memory.store32(0x040 + 4 * index, int.from_bytes(word, "little"))
        memory.store32(0x000, 0xE)

    def _open_mailbox(self) -> None:
        memory = self._memory
        ticket = memory.load64(CardMemory.TICKET)
        operation, offset, value = (memory.load32(CardMemory.MAILBOX + 4 * i) for i in range(3))
        if operation == 1:
            memory.store32(CardMemory.MAILBOX + 8, memory.load32(offset))
            if offset == 0:  # done and ready clear on read
                memory.store32(0x000, memory.load32(0x000) & 0x5)
        elif operation == 2 and (offset < 0x040 or 0x080 <= offset < 0x090):
            memory.store32(offset, value)
            if offset == 0 and value & 1:
                self._run_registers()
        memory.store64(CardMemory.DONE, ticket)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one emulated card; the exit code of a known error is its own."""
    parser = argparse.ArgumentParser(prog="python -m calibrig.rtl.emulator", description=main.__doc__)
    parser.add_argument("--model", type=Path, required=True, help="the signal model as JSON")
    parser.add_argument("--path", required=True, help="file to serve, for example /dev/shm/card")
    parser.add_argument("--cache", default=None)
    parser.add_argument("--clock-hz", type=int, default=DEFAULT_CLOCK_HZ)
    parser.add_argument("--backend", choices=("auto", "verilator", "interpreter"), default="auto")
    parser.add_argument("--parent", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        serve_card(
            msgspec.json.decode(options.model.read_bytes(), type=SignalModel),
            options.path,
            cache=options.cache,
            clock_hz=options.clock_hz,
            backend=options.backend,
            parent=options.parent,
        )
    except CalibrigError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
