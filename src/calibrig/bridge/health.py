"""States of the bridge, the events that change them, and the table that says how."""

from __future__ import annotations

import enum
from types import MappingProxyType

import msgspec

__all__ = [
    "HEALTH_TABLE",
    "AcceleratorMode",
    "Fault",
    "HardwareStatus",
    "HealthEvent",
    "Source",
    "StatusChange",
]


class AcceleratorMode(enum.StrEnum):
    """Where predictions are made."""

    SOFTWARE_STUB = "SOFTWARE_STUB"
    """Software that takes as long as a card is meant to."""
    HARDWARE_FPGA = "HARDWARE_FPGA"
    """The card alone: what it cannot answer raises a typed error."""
    HYBRID_FALLBACK = "HYBRID_FALLBACK"
    """The card, and software in the same call where the card does not answer in time or not rightly."""


class HardwareStatus(enum.StrEnum):
    """Health of the bridge."""

    UNINITIALIZED = "UNINITIALIZED"
    READY = "READY"
    DEGRADED = "DEGRADED"
    FAILED = "FAILED"
    CLOSED = "CLOSED"


class HealthEvent(enum.StrEnum):
    """What may change the health; the order is the native core's."""

    INITIALIZED = "initialized"
    DEVICE_DEAD = "device_dead"
    WINDOW_BREACHED = "window_breached"
    WINDOW_CLEAN = "window_clean"
    FAILURE_LIMIT = "failure_limit"
    DEVICE_REMOVED = "device_removed"
    ANSWER_MISMATCHED = "answer_mismatched"
    PROBES_PASSED = "probes_passed"
    SWAPPED = "swapped"
    CLOSED = "closed"


class Fault(enum.StrEnum):
    """Why a call has no answer, or not the card's; the order is the native core's."""

    NONE = "none"
    UNINITIALIZED = "uninitialized"
    CLOSED = "closed"
    CONCURRENT = "concurrent"
    BAD_FEATURES = "bad_features"
    TIMEOUT = "timeout"
    REMOVED = "removed"
    CRC = "crc"
    SEQUENCE = "sequence"
    MODEL = "model"
    DEVICE_STATUS = "device_status"
    RANGE = "range"
    MISMATCH = "mismatch"
    LEFT = "left"


class Source(enum.StrEnum):
    """Who made an answer; the order is the native core's."""

    NONE = "none"
    SOFTWARE = "software"
    HARDWARE = "hardware"
    FALLBACK = "fallback"


MODES = tuple(AcceleratorMode)
STATUSES = tuple(HardwareStatus)
EVENTS = tuple(HealthEvent)
FAULTS = tuple(Fault)
SOURCES = tuple(Source)


def _make_table() -> MappingProxyType[tuple[HardwareStatus, HealthEvent], HardwareStatus]:
    """Changes only: a pair that is not in the table leaves the status as it is."""
    status, event = HardwareStatus, HealthEvent
    table: dict[tuple[HardwareStatus, HealthEvent], HardwareStatus] = {
        (status.UNINITIALIZED, event.INITIALIZED): status.READY,
        (status.UNINITIALIZED, event.DEVICE_DEAD): status.FAILED,
        (status.READY, event.WINDOW_BREACHED): status.DEGRADED,
        (status.DEGRADED, event.WINDOW_CLEAN): status.READY,
        (status.DEGRADED, event.SWAPPED): status.READY,
        (status.FAILED, event.PROBES_PASSED): status.READY,
        (status.FAILED, event.SWAPPED): status.READY,
    }
    for running in (status.READY, status.DEGRADED):
        for bad in (event.DEVICE_DEAD, event.FAILURE_LIMIT, event.DEVICE_REMOVED, event.ANSWER_MISMATCHED):
            table[running, bad] = status.FAILED
    for living in (status.UNINITIALIZED, status.READY, status.DEGRADED, status.FAILED):
        table[living, event.CLOSED] = status.CLOSED
    return MappingProxyType(table)


HEALTH_TABLE = _make_table()
"""(status, event) -> next status; the native core runs the same table, and a test compares the two."""


class StatusChange(msgspec.Struct, frozen=True, kw_only=True):
    """One change of status, kept in the bridge's ring of 256.

    Attributes
    ----------
    index : int
        1, 2, 3 .. per bridge.
    time_ns : int
        UTC.
    before, after : HardwareStatus
    event : HealthEvent
        What caused it.
    fault : Fault
        Of the call that brought the event; ``Fault.NONE`` where no call did.
    """

    index: int
    time_ns: int
    before: HardwareStatus
    after: HardwareStatus
    event: HealthEvent
    fault: Fault


def decode_changes(rows: list[tuple[int, int, int, int, int, int]]) -> list[StatusChange]:
    """Give the native core's rows their names."""
    return [
        StatusChange(
            index=index,
            time_ns=time_ns,
            before=STATUSES[before],
            after=STATUSES[now],
            event=EVENTS[event],
            fault=FAULTS[fault],
        )
        for index, time_ns, before, now, event, fault in rows
    ]
