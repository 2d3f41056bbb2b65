"""What the bridge asks of a card, whatever the transport."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import msgspec
import numpy as np
from numpy.typing import NDArray

__all__ = ["CARD_ABI_VERSION", "CARD_IDENTITY_WORD", "Device", "DeviceIdentity"]

CARD_IDENTITY_WORD = 0x43414C42
CARD_ABI_VERSION = 1


class DeviceIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Who a card says it is.

    Attributes
    ----------
    word : int
        0x43414C42, "CALB".
    abi_version : int
        1.
    model_id : int
        First four bytes of the model's content hash.
    build_id : int
        Of the bitstream.
    clock_hz : int
        Device cycles are counted in this clock.
    """

    word: int = CARD_IDENTITY_WORD
    abi_version: int = CARD_ABI_VERSION
    model_id: int = 0
    build_id: int = 0
    clock_hz: int = 0


@runtime_checkable
class Device(Protocol):
    """A transport to one card. One caller at a time; the bridge sees to that.

    The bridge checks every reply itself (sequence, CRC-32, model, status, range), so a transport hands replies
    over as they are. A device that has gone raises `DeviceRemovedError` from any method.
    """

    def open(self) -> None:
        """Find and map the card; raises `DeviceUnavailableError` naming what is missing."""

    def close(self) -> None:
        """Release it; safe twice."""

    def identity(self) -> DeviceIdentity:
        """Read identity word, ABI version, model id, build id and clock."""

    def submit(self, sequence: int, features: NDArray[np.int16], model_id: int) -> None:
        """Hand one request of 16 integer features over; does not wait."""

    def poll(self, sequence: int, deadline_ns: int) -> bytes | None:
        """Return the 64-byte reply line as it stands, or None; never later than ``deadline_ns`` from now."""

    def read32(self, offset: int) -> int:
        """Read a register (slow; never on the hot path)."""

    def write32(self, offset: int, value: int) -> None:
        """Write a register."""

    def sensors(self) -> dict[str, float]:
        """Temperatures, powers and voltages by name with unit; empty where there are none."""

    def errors(self) -> dict[str, int]:
        """Error counters by name."""
