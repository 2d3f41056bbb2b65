"""Doubles for cards: one that misbehaves by script or from a seed, and one written in Python as an example."""

from __future__ import annotations

import enum
import struct
import zlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from calibrig._native import bridge as _core  # noqa: TID251
from calibrig.bridge import DeviceIdentity
from calibrig.errors import DeviceRemovedError
from calibrig.models.signal import evaluate_quantised
from calibrig.parameters import SignalModel

__all__ = ["Misbehaviour", "ScriptedDevice", "TwinDevice", "encode_reply"]


class Misbehaviour(enum.StrEnum):
    """What a scripted card may do with a request; the order is the native core's."""

    NONE = "none"
    HANG = "hang"
    SLOW = "slow"
    LATE_CYCLES = "late_cycles"
    WRONG_SEQUENCE = "wrong_sequence"
    STALE = "stale"
    ALL_ONES = "all_ones"
    ALL_ZEROS = "all_zeros"
    BIT_FLIP = "bit_flip"
    TORN = "torn"
    OUT_OF_ORDER = "out_of_order"
    DUPLICATE = "duplicate"
    WRONG_MODEL = "wrong_model"
    DEVICE_STATUS = "device_status"
    OUT_OF_RANGE = "out_of_range"
    WRONG_ARITHMETIC = "wrong_arithmetic"
    REMOVED = "removed"


_CODES = {kind: code for code, kind in enumerate(Misbehaviour)}


class ScriptedDevice:
    """A card that answers rightly, except where the script or the dice say otherwise; a `Device`.

    Parameters
    ----------
    model : SignalModel
        What it answers with.
    seed : int
        Of the dice.
    rate : float
        Share of calls that misbehave once the script is used up; probes never do.
    kinds : sequence of Misbehaviour
        Drawn from evenly.
    slow_ns : int
        Delay of a SLOW answer.
    removed_for : int
        Requests for which a REMOVED card stays away.

    Examples
    --------
    >>> from calibrig import AcceleratorMode, HardwareInTheLoopBridge, MicrostructureFeatures
    >>> from calibrig.models.signal import reference_model
    >>> device = ScriptedDevice(reference_model(), script=[Misbehaviour.BIT_FLIP])
    >>> with HardwareInTheLoopBridge(AcceleratorMode.HYBRID_FALLBACK, device=device, deadline_ns=50_000) as bridge:
    ...     bridge.initialize()
    ...     bridge.answer(MicrostructureFeatures()).source
    <Source.FALLBACK: 'fallback'>
    """

    def __init__(
        self,
        model: SignalModel,
        *,
        script: Iterable[Misbehaviour] = (),
        seed: int = 0,
        rate: float = 0.0,
        kinds: Sequence[Misbehaviour] = (),
        slow_ns: int = 10_000,
        removed_for: int = 5,
    ) -> None:
        self.native = _core.ScriptedDevice(
            model, seed, rate, [_CODES[kind] for kind in kinds], slow_ns, removed_for
        )
        self.add_to_script(script)

    def add_to_script(self, kinds: Iterable[Misbehaviour]) -> None:
        """Say what happens to the next requests, one each."""
        self.native.add_to_script([_CODES[Misbehaviour(kind)] for kind in kinds])

    @property
    def injected(self) -> dict[Misbehaviour, int]:
        """How often each kind has happened."""
        return dict(zip(Misbehaviour, self.native.injected, strict=True))

    def set_dead(self, dead: bool) -> None:
        """Let the card answer nothing at all, or live again."""
        self.native.dead = dead

    def set_probes_fail(self, fail: bool) -> None:
        """Let the card answer calls but no probes, so that it stays FAILED once it is left."""
        self.native.probes_fail = fail

    def open(self) -> None:
        """Do nothing: it is always there."""

    def close(self) -> None:
        """Do nothing; safe twice."""

    def identity(self) -> DeviceIdentity:
        """Return who it is; zeros while it is dead."""
        word, abi_version, model_id, build_id, clock_hz = self.native.identity()
        return DeviceIdentity(
            word=word, abi_version=abi_version, model_id=model_id, build_id=build_id, clock_hz=clock_hz
        )

    def submit(self, sequence: int, features: NDArray[np.int16], model_id: int) -> None:
        """Take one request."""
        if not self.native.submit(sequence, np.ascontiguousarray(features, dtype=np.int16), model_id):
            raise DeviceRemovedError("the scripted card has been removed; it comes back after some requests")

    def poll(self, sequence: int, deadline_ns: int) -> bytes | None:
        """Return the reply line once it carries ``sequence``, or None after ``deadline_ns``."""
        return self.native.poll(sequence, deadline_ns)

    def read32(self, offset: int) -> int:
        """Return 0: it has no registers."""
        return 0 * offset

    def write32(self, offset: int, value: int) -> None:
        """Do nothing: it has no registers."""

    def sensors(self) -> dict[str, float]:
        """Return nothing: it has no sensors."""
        return {}

    def errors(self) -> dict[str, int]:
        """Return what it did wrong, by kind."""
        return {str(kind): count for kind, count in self.injected.items() if kind is not Misbehaviour.NONE}


def encode_reply(sequence: int, value: int, *, cycles: int = 1, model_id: int = 0, status: int = 0) -> bytes:
    r"""Return the 64-byte reply line of card ABI version 1.

    Examples
    --------
    >>> len(encode_reply(1, -5)), encode_reply(1, -5)[:8]
    (64, b'\x01\x00\x00\x00\x00\x00\x00\x00')
    """
    head = struct.pack("<QiIIHH", sequence, value, cycles, model_id, status, 0)
    return head + struct.pack("<I", zlib.crc32(head)) + bytes(36)


class TwinDevice:
    """A card in Python that answers with the NumPy twin: what a transport of your own may look like.

    Examples
    --------
    >>> from calibrig.models.signal import reference_model
    >>> device = TwinDevice(reference_model())
    >>> device.submit(1, np.zeros(16, np.int16), reference_model().model_id)
    >>> len(device.poll(1, 1_000) or b"")
    64
    """

    def __init__(self, model: SignalModel) -> None:
        self._model = model
        self._line: bytes | None = None

    def open(self) -> None:
        """Do nothing: it is always there."""

    def close(self) -> None:
        """Do nothing; safe twice."""

    def identity(self) -> DeviceIdentity:
        """Return who it is."""
        return DeviceIdentity(model_id=self._model.model_id, build_id=1, clock_hz=250_000_000)

    def submit(self, sequence: int, features: NDArray[np.int16], model_id: int) -> None:
        """Answer at once."""
        value = int(evaluate_quantised(self._model, features[None, :])[0])
        status = 0 if model_id == self._model.model_id else 1
        self._line = encode_reply(sequence, value, model_id=self._model.model_id, status=status)

    def poll(self, sequence: int, deadline_ns: int) -> bytes | None:  # noqa: ARG002
        """Return the reply line."""
        return self._line

    def read32(self, offset: int) -> int:
        """Return 0: it has no registers."""
        return 0 * offset

    def write32(self, offset: int, value: int) -> None:
        """Do nothing: it has no registers."""

    def sensors(self) -> dict[str, float]:
        """Return nothing: it has no sensors."""
        return {}

    def errors(self) -> dict[str, int]:
        """Return nothing: it makes none."""
        return {}
