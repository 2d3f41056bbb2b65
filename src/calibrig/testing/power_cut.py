"""A model of a disk that loses power: what may be left of recorded calls at every moment.

A write that was not synced may be lost, kept or torn at 512 bytes, each independently of the others; changes of names
that were not synced with their folder are cut to a prefix of their order; a synced file keeps its bytes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from calibrig.testing.syscalls import Call

__all__ = ["DiskState", "disk_states"]

SECTOR = 512


class DiskState(msgspec.Struct, frozen=True):
    """What a cut may leave: files by name, and how many updates had been acknowledged before it."""

    files: dict[str, bytes]
    acknowledged: int

    def write_to(self, folder: Path) -> None:
        """Write the files into an empty folder."""
        for name, data in self.files.items():
            (folder / name).write_bytes(data)


class _File:
    """One file: what is surely on the disk, and the writes that are not."""

    def __init__(self) -> None:
        self.durable = b""
        self.pending: list[tuple[int, bytes] | int] = []  # (offset, data), or a length to truncate to

    def sync(self) -> None:
        self.durable = _apply(self.durable, self.pending)
        self.pending = []


def _apply(data: bytes, changes: Sequence[tuple[int, bytes] | int]) -> bytes:
    buffer = bytearray(data)
    for change in changes:
        if isinstance(change, int):
            del buffer[change:]
            buffer.extend(bytes(change - len(buffer)))
            continue
        offset, piece = change
        buffer.extend(bytes(max(0, offset + len(piece) - len(buffer))))
        buffer[offset : offset + len(piece)] = piece
    return bytes(buffer)


def _torn(change: tuple[int, bytes], chance: random.Random) -> list[tuple[int, bytes]]:
    """Split a write at the sectors of the disk and keep each with probability one half."""
    offset, data = change
    pieces = []
    position = 0
    while position < len(data):
        end = min(len(data), position + SECTOR - (offset + position) % SECTOR)
        if chance.random() < 0.5:
            pieces.append((offset + position, data[position:end]))
        position = end
    return pieces


class _Disk:
    """Files, names, and what of both is not synced yet."""

    def __init__(self) -> None:
        self.names: dict[str, _File] = {}
        self.durable_names: dict[str, _File] = {}
        self.name_changes: list[dict[str, _File]] = []  # the names after each change since the last sync
        self.acknowledged = 0

    def play(self, call: Call, root: str) -> None:
        """Take over one recorded call."""
        name = Path(call.path).name
        if call.what == "A":
            self.acknowledged = call.offset
        elif call.what == "S" and call.path.rstrip("/") == root.rstrip("/"):
            self.durable_names = dict(self.names)
            self.name_changes = []
        elif call.what in {"C", "R", "X", "U"}:
            self._rename(call, name, Path(call.other).name)
            self.name_changes.append(dict(self.names))
        elif (file := self.names.get(name)) is not None:
            if call.what == "S":
                file.sync()
            else:
                file.pending.append(call.offset if call.what == "T" else (call.offset, call.data))

    def _rename(self, call: Call, name: str, other: str) -> None:
        names = dict(self.names)
        if call.what == "C":
            names[name] = _File()
        elif call.what == "U":
            names.pop(name, None)
        elif call.what == "X":
            names[name], names[other] = names[other], names[name]
        else:
            names[other] = names.pop(name)
        self.names = names

    def state(self, chance: random.Random, keep: float | None) -> DiskState:
        """Return one state a cut may leave now; ``keep`` 0 or 1 keeps nothing or all, None draws."""
        choices = [self.durable_names, *self.name_changes]
        names = choices[0] if keep == 0 else choices[-1] if keep == 1 else chance.choice(choices)
        files = {}
        for name, file in names.items():
            kept: list[tuple[int, bytes] | int] = []
            for change in file.pending:
                fate = keep if keep is not None else chance.choice((0, 1, 0.5))
                if fate == 1 or (isinstance(change, int) and fate):
                    kept.append(change)
                elif fate and not isinstance(change, int):
                    kept += _torn(change, chance)
            files[name] = _apply(file.durable, kept)
        return DiskState(files, self.acknowledged)


def disk_states(calls: Sequence[Call], root: Path, *, per_call: int, seed: int) -> Iterator[DiskState]:
    """Yield what a cut after each call may leave: nothing unsynced, all of it, and ``per_call - 2`` draws.

    States that cannot differ (nothing is unsynced) are not repeated.
    """
    chance = random.Random(seed)
    disk = _Disk()
    for call in calls:
        disk.play(call, str(root))
        seen: set[int] = set()
        for draw in range(per_call):
            state = disk.state(chance, 0 if draw == 0 else 1 if draw == 1 else None)
            key = hash(tuple(sorted(state.files.items())))
            if key in seen:
                continue
            seen.add(key)
            yield state
