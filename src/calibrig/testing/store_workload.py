"""What the file campaigns run in a process with the shim: updates of a store, spoiled in every way there is.

Called as ``python -m calibrig.testing.store_workload WORKLOAD SUFFIX FOLDER NUMBERS...``; prints one JSON document.
"""

from __future__ import annotations

import errno
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from calibrig.errors import CalibrigError, FileFormatError
from calibrig.store import Backend, HistoryQuery
from calibrig.store.record import GENESIS, Content, Sealed, encode_parameters, seal
from calibrig.store.urls import open_backend
from calibrig.store.verification import verify_history
from calibrig.testing.store import HAWKES
from calibrig.testing.syscalls import Shim

__all__ = ["check_store", "make_updates", "open_store_file"]


def make_updates(count: int) -> list[list[Sealed]]:
    """Return transactions of one or two versions that follow each other."""
    heads: dict[str, tuple[int, str]] = {}
    updates = []
    for index in range(count):
        batch = []
        for symbol in ("A", "B") if index % 3 == 2 else ("A",):
            number, before = heads.get(symbol, (0, GENESIS))
            record = msgspec.structs.replace(HAWKES, beta=0.1 + index / 1000)
            sealed = seal(
                Content(
                    kind="hawkes",
                    symbol=symbol,
                    version_id=number + 1,
                    updated_at=1_700_000_000 * 10**9 + index,
                    updated_by="campaign",
                    comment=f"update {index} " + "x" * (index * 37 % 700),
                    origin="manual",
                    parameters=msgspec.Raw(encode_parameters(record)),
                    previous_hash=before,
                )
            )
            heads[symbol] = (number + 1, sealed.hash)
            batch.append(sealed)
        updates.append(batch)
    return updates


def open_store_file(folder: Path, suffix: str) -> Backend:
    """Open the backend of a campaign: ``store.db`` or ``store.json``."""
    return open_backend(str(folder / f"store{suffix}"))


def check_store(folder: Path, suffix: str, updates: list[list[Sealed]], acknowledged: int) -> str:
    """Open what a fault left with the real reader; say what is wrong, or return nothing.

    Wanted: it opens; every acknowledged update is there, whole; what follows is a beginning of what was being written;
    the chain holds; nothing is taken for a hand edit; and the store goes on.
    """
    try:
        backend = open_store_file(folder, suffix)
    except CalibrigError as error:
        return f"does not open: {type(error).__name__}: {error}"
    try:
        return _check_open(backend, updates, acknowledged)
    except CalibrigError as error:
        return f"{type(error).__name__}: {error}"
    finally:
        backend.close()


def _check_open(backend: Backend, updates: list[list[Sealed]], acknowledged: int) -> str:
    heads = backend.load_heads(0)
    history = list(backend.history(HistoryQuery()))
    report = verify_history(history, heads, lambda: heads, taken_at=0)
    if not report.ok:
        return f"does not verify: {report.problems[0]}"
    found = sorted(one.payload for one in history)
    present = next(
        (
            count
            for count in range(len(updates) + 1)
            if found == sorted(record.payload for batch in updates[:count] for record in batch)
        ),
        None,
    )
    if present is None:
        return f"holds {len(found)} versions that are no beginning of what was written"
    if present < acknowledged:
        return f"lost an update: {acknowledged} were acknowledged, {present} are there"
    take = getattr(backend, "take_edits", None)
    if take is not None:
        try:
            if edits := take():
                return f"takes the leftovers for a hand edit of {edits[0].symbol}"
        except FileFormatError as error:
            backend.refuse_edits(str(error))  # type: ignore[attr-defined]
    if present < len(updates):
        backend.append(updates[present])
        if len(backend.load_heads(0).heads) != len({r.symbol for b in updates[: present + 1] for r in b}):
            return "does not go on"
    return ""


def _record(folder: Path, suffix: str, count: int, record_to: Path) -> dict[str, Any]:
    shim, updates = Shim(), make_updates(count)
    shim.begin(folder, record_to=record_to)
    backend = open_store_file(folder, suffix)
    for number, batch in enumerate(updates, start=1):
        backend.append(batch)
        shim.mark(number)
    backend.close()
    return {"calls": shim.end()}


def _one_spoiled(
    folder: Path, suffix: str, updates: list[list[Sealed]], shim: Shim, **fault: Any
) -> tuple[str, int, str]:
    """Run all updates with one fault; return what is wrong afterwards, calls seen, and the first error's words."""
    acknowledged, words = 0, ""
    backend: Backend | None = None
    shim.begin(folder, **fault)
    try:
        backend = open_store_file(folder, suffix)
        for batch in updates:
            backend.append(batch)
            acknowledged += 1
    except CalibrigError as error:
        words = str(error)
    calls = shim.end()
    problem = ""
    if backend is not None:
        problem = _goes_on(backend, updates)
        backend.close()
    return problem or check_store(folder, suffix, updates, acknowledged), calls, words


def _goes_on(backend: Backend, updates: list[list[Sealed]]) -> str:
    """The same backend must be able to go on once the fault is over."""
    try:
        present = len(list(backend.history(HistoryQuery(symbol="A"))))
        if present < len(updates):
            backend.append(updates[present])
    except CalibrigError as error:
        return f"does not go on after the fault: {type(error).__name__}: {error}"
    return ""


def _fail_sweep(folder: Path, suffix: str, count: int, stride: int) -> dict[str, Any]:
    """Fail the n-th call, for n = 1, 1 + stride, ..., until none is hit any more; with two kinds of errors."""
    shim, updates = Shim(), make_updates(count)
    problems, runs, unnamed = [], 0, []
    for error in (errno.EIO, errno.ENOSPC):
        number = 1
        while True:
            problem, calls, words = _in_new_folder(folder, suffix, updates, shim, fail_at=number, error=error)
            if calls < number:
                break
            runs += 1
            if problem:
                problems.append(f"call {number} failed with {errno.errorcode[error]}: {problem}")
            if words and str(folder) not in words:
                unnamed.append(words)
            number += stride
    return {"runs": runs, "problems": problems[:20], "violations": len(problems), "unnamed": unnamed[:5]}


def _full_sweep(folder: Path, suffix: str, count: int, stride: int) -> dict[str, Any]:
    """Let the disk be full after n bytes, for n = 0, stride, ..., until all fits."""
    shim, updates = Shim(), make_updates(count)
    problems: list[str] = []
    runs, budget, silent = 0, 0, 0
    while True:
        problem, _, words = _in_new_folder(folder, suffix, updates, shim, budget=budget)
        runs += 1
        if problem:
            problems.append(f"disk full after {budget} bytes: {problem}")
        if not words:
            silent += 1  # all updates fitted; the rest of the room is only for the readable file
            if silent > 40:
                break
        elif "full" not in words:
            problems.append(f"disk full after {budget} bytes: the error does not name it: {words}")
        budget += stride
    return {"runs": runs, "problems": problems[:20], "violations": len(problems), "unnamed": []}


def _in_new_folder(
    folder: Path, suffix: str, updates: list[list[Sealed]], shim: Shim, **fault: Any
) -> tuple[str, int, str]:
    place = Path(tempfile.mkdtemp(dir=folder))
    try:
        return _one_spoiled(place, suffix, updates, shim, **fault)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def main() -> None:
    """Run one workload and print what it found."""
    workload, suffix, folder, *rest = sys.argv[1:]
    place = Path(folder)
    if workload == "record":
        found = _record(place, suffix, int(rest[0]), Path(rest[1]))
    else:
        sweep = _fail_sweep if workload == "fail" else _full_sweep
        found = sweep(place, suffix, int(rest[0]), int(rest[1]))
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")


if __name__ == "__main__":
    main()
