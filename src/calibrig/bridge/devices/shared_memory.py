"""A card behind shared memory: one request line, one reply line, and the register window."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from calibrig._native import bridge as _core  # noqa: TID251
from calibrig.bridge.device import DeviceIdentity
from calibrig.errors import DeviceRemovedError, DeviceUnavailableError, InvalidInputError
from calibrig.parameters import SignalModel

__all__ = ["SharedMemoryDevice", "SoftwareCard", "shared_memory_path"]

_ANSWERS, _ERRORS = 0x11C, 0x120


def shared_memory_path(url: str) -> str:
    """Return the file that a ``shm:`` URL names.

    Examples
    --------
    >>> shared_memory_path("shm:///card"), shared_memory_path("shm:///dev/hugepages/card")
    ('/dev/shm/card', '/dev/hugepages/card')
    """
    scheme, _, rest = url.partition("://")
    path = rest.partition("?")[0].partition("#")[0]
    if scheme != "shm" or not path.startswith("/") or path.endswith("/"):
        raise InvalidInputError(
            f"device URL {url!r} is not shm:///name or shm:///absolute/path; give one of them"
        )
    return path if path.count("/") > 1 else f"/dev/shm{path}"


class SharedMemoryDevice:
    """The host's side of a card in shared memory; a `Device`.

    Parameters
    ----------
    path : str
        The file that the card's process serves.

    Examples
    --------
    >>> SharedMemoryDevice.from_url("shm:///card").path
    '/dev/shm/card'
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._native: _core.SharedMemoryDevice | None = None

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Make one from ``shm:///name``; not open yet."""
        return cls(shared_memory_path(url))

    @property
    def native(self) -> _core.SharedMemoryDevice:
        """The native transport, for the bridge."""
        if self._native is None:
            self.open()
        assert self._native is not None
        return self._native

    def open(self) -> None:
        """Map the file; does nothing when it is open."""
        if self._native is not None:
            return
        try:
            self._native = _core.SharedMemoryDevice(self.path)
        except FileNotFoundError as error:
            raise DeviceUnavailableError(
                f"there is no card at {self.path}; start one with `calibrig bridge emulate` or check the name"
            ) from error
        except PermissionError as error:
            raise DeviceUnavailableError(
                f"no permission to open {self.path}; run as the user that serves the card or widen its mode"
            ) from error
        except OSError as error:
            raise DeviceUnavailableError(f"{self.path} is not a card's memory: {error.strerror}") from error

    def close(self) -> None:
        """Let go of the mapping; safe twice."""
        self._native = None

    def identity(self) -> DeviceIdentity:
        """Read who the card says it is."""
        word, abi_version, model_id, build_id, clock_hz = self.native.identity()
        return DeviceIdentity(
            word=word, abi_version=abi_version, model_id=model_id, build_id=build_id, clock_hz=clock_hz
        )

    def submit(self, sequence: int, features: NDArray[np.int16], model_id: int) -> None:
        """Write the request line."""
        if not self.native.submit(sequence, np.ascontiguousarray(features, dtype=np.int16), model_id):
            raise DeviceRemovedError(f"the card at {self.path} is gone; start it again")

    def poll(self, sequence: int, deadline_ns: int) -> bytes | None:
        """Return the reply line once it carries ``sequence``, or None after ``deadline_ns``."""
        return self.native.poll(sequence, deadline_ns)

    def read32(self, offset: int) -> int:
        """Read a register."""
        _check_offset(offset)
        return self.native.read32(offset)

    def write32(self, offset: int, value: int) -> None:
        """Write a register."""
        _check_offset(offset)
        self.native.write32(offset, value)

    def sensors(self) -> dict[str, float]:
        """Return nothing: shared memory has no sensors."""
        return {}

    def errors(self) -> dict[str, int]:
        """Requests the card refused because their CRC-32 failed, and requests it answered."""
        return {"answers": self.read32(_ANSWERS), "request_errors": self.read32(_ERRORS)}


def _check_offset(offset: int) -> None:
    if not 0 <= offset < 0x200 or offset % 4:
        raise InvalidInputError(f"register offset is {offset:#x}; give a multiple of 4 below 0x200")


class SoftwareCard:
    """The card's side in software, in a process of its own: the same arithmetic, no silicon.

    Parameters
    ----------
    path : str
        File to create, best under ``/dev/shm`` or a hugetlbfs; removed on `close`.
    model : SignalModel
        What it answers with.
    clock_hz : int
        The clock in which it reports device cycles.
    echo : bool
        Answer 0 at once, without the model: measures the line alone.

    Examples
    --------
    >>> import os, tempfile
    >>> from calibrig.models.signal import reference_model
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with SoftwareCard(os.path.join(folder, "card"), reference_model()) as card:
    ...         device = SharedMemoryDevice(card.path)
    ...         device.identity().model_id == reference_model().model_id
    True
    """

    def __init__(
        self, path: str, model: SignalModel, *, clock_hz: int = 250_000_000, echo: bool = False
    ) -> None:
        self.path = path
        try:
            self._card: _core.SoftwareCard | None = _core.SoftwareCard(path, model, clock_hz)
        except FileExistsError as error:
            raise DeviceUnavailableError(
                f"{path} exists already; another card serves it, or one was killed: remove the file or take another name"
            ) from error
        except OSError as error:
            raise DeviceUnavailableError(f"cannot create {path}: {error.strerror}") from error
        self._echo = echo
        self.pid = self._card.fork(echo)

    def restart(self) -> None:
        """Kill the serving process and start another on the same memory."""
        self.kill()
        assert self._card is not None
        self.pid = self._card.fork(self._echo)

    def kill(self) -> None:
        """Kill the serving process at once, whatever it does; the memory stays as it left it."""
        import os
        import signal

        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0

    def close(self) -> None:
        """Stop serving and remove the file; safe twice."""
        self.kill()
        self._card = None
        Path(self.path).unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
