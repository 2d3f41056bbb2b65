"""The verilated card in this process: registers, lines and clocks, for verification and for the emulator."""

from __future__ import annotations

import ctypes
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibrig.errors import BridgeStateError, DeviceTimeoutError
from calibrig.parameters import SignalModel
from calibrig.rtl.build import LIBRARY
from calibrig.rtl.lines import LINE_BYTES, REPLY, make_requests
from calibrig.rtl.manifest import verify_manifest

__all__ = ["SimulatedCard"]

_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "card_open": (ctypes.c_void_p, ()),
    "card_close": (None, (ctypes.c_void_p,)),
    "card_reset": (None, (ctypes.c_void_p,)),
    "card_clock": (None, (ctypes.c_void_p, ctypes.c_uint32)),
    "card_clocks": (ctypes.c_uint64, (ctypes.c_void_p,)),
    "card_read": (ctypes.c_uint32, (ctypes.c_void_p, ctypes.c_uint32)),
    "card_write": (None, (ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32)),
    "card_give": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_char_p)),
    "card_take": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)),
    "card_serve": (None, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)),
    "card_run": (ctypes.c_int64, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)),
}


class SimulatedCard:
    """One instance of the verilated card.

    Parameters
    ----------
    folder : Path
        From `build_card`; checked against its manifest before it is loaded.
    model : SignalModel, optional
        That the build must be of.
    """

    def __init__(self, folder: Path, model: SignalModel | None = None) -> None:
        self.manifest = verify_manifest(folder, model)
        self._library = ctypes.CDLL(str(folder / LIBRARY))
        for name, (answer, arguments) in _SIGNATURES.items():
            function = getattr(self._library, name)
            function.restype, function.argtypes = answer, arguments
        self._handle: int | None = self._library.card_open()

    def __enter__(self) -> SimulatedCard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the model; safe twice."""
        if self._handle is not None:
            self._library.card_close(self._handle)
            self._handle = None

    @property
    def handle(self) -> int:
        """The native card."""
        if self._handle is None:
            raise BridgeStateError("the simulated card is closed; open a new one")
        return self._handle

    @property
    def clocks(self) -> int:
        """Clocks since it was made."""
        return int(self._library.card_clocks(self.handle))

    def reset(self) -> None:
        """Pull the reset line for two clocks."""
        self._library.card_reset(self.handle)

    def clock(self, n: int = 1) -> None:
        """Let ``n`` clocks pass."""
        self._library.card_clock(self.handle, n)

    def read32(self, offset: int) -> int:
        """Read a register over AXI4-Lite."""
        return int(self._library.card_read(self.handle, offset))

    def write32(self, offset: int, value: int) -> None:
        """Write a register over AXI4-Lite."""
        self._library.card_write(self.handle, offset, value & 0xFFFFFFFF)

    def enable_descriptor_path(self, reply_address: int = 0) -> None:
        """Tell the card where replies go and switch request lines on."""
        self.write32(0x080, reply_address & 0xFFFFFFFF)
        self.write32(0x084, reply_address >> 32)
        self.write32(0x088, 1)

    def ask(self, request: bytes, *, patience_clocks: int = 10_000) -> bytes | None:
        """Give one request line and return the reply line, or None where none was posted in time."""
        if not self._library.card_give(self.handle, request):
            return None
        return self.take(patience_clocks=patience_clocks)

    def take(self, *, patience_clocks: int = 10_000) -> bytes | None:
        """Return the next reply line, or None where none is posted in time."""
        reply, address = ctypes.create_string_buffer(LINE_BYTES), ctypes.c_uint64()
        found = self._library.card_take(self.handle, reply, ctypes.byref(address), patience_clocks)
        return reply.raw if found else None

    def run(self, requests: NDArray[np.void]) -> NDArray[np.void]:
        """Run many request lines, one after the other.

        Parameters
        ----------
        requests : structured array of `REQUEST`, shape (n,)

        Returns
        -------
        structured array of `REPLY`, shape (n,)

        Raises
        ------
        DeviceTimeoutError
            A request got no answer.
        """
        given = np.ascontiguousarray(requests)
        replies = np.zeros(len(given), dtype=REPLY)
        done = self._library.card_run(self.handle, given.ctypes.data, replies.ctypes.data, len(given))
        if done != len(given):
            raise DeviceTimeoutError(f"request {done} of {len(given)} got no answer; reset the card")
        return replies

    def serve(self, memory: ctypes.Array[ctypes.c_char], stop: ctypes.c_int, *, parent: int = 0) -> None:
        """Serve this card through shared memory until ``stop`` is set or the parent process changes.

        Parameters
        ----------
        memory : ctypes array
            The mapped file, 4096 bytes or more.
        stop : c_int
            Set it to 1, in a signal handler or another thread, to end.
        parent : int
            Process to live with; 0 for none.
        """
        self._library.card_serve(self.handle, ctypes.addressof(memory), ctypes.byref(stop), parent)

    def evaluate(self, quantised: NDArray[np.int16]) -> NDArray[np.int32]:
        """Compute the model's integers on the card, over the descriptor path.

        Parameters
        ----------
        quantised : ndarray of int16, shape (n, 16)

        Returns
        -------
        ndarray of int32, shape (n,)
        """
        self.enable_descriptor_path()
        replies = self.run(make_requests(quantised, self.manifest.model_id))
        values: NDArray[np.int32] = replies["value"].copy()
        return values
