"""Writers have their turn in the order in which they came; the dead hold nobody up, and the stopped not for long."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from calibrig.errors import VersionConflictError
from calibrig.store import ModelStore
from calibrig.store.backends.sqlite import SQLiteBackend
from calibrig.store.backends.turns import turn
from calibrig.store.record import Sealed
from calibrig.testing.store import RISK, wait_until

FLOCK = struct.Struct("@hhqqi0q")
HOLD_S = 0.3


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "file"
    made.touch()
    return made


def tickets(path: Path) -> int:
    """Count the bytes that are locked, by asking the kernel for any before and after each that it names."""
    file = os.open(path, os.O_RDONLY)

    def count(begin: int, end: int) -> int:
        if begin == end:
            return 0
        asked = FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, begin, end - begin, 0)
        kind, _, found, _, _ = FLOCK.unpack(fcntl.fcntl(file, fcntl.F_OFD_GETLK, asked))
        return 0 if kind == fcntl.F_UNLCK else 1 + count(begin, found) + count(found + 1, end)

    try:
        return count(0, 2**62)
    finally:
        os.close(file)


def test_the_queue_is_served_in_order(path: Path) -> None:
    served: list[int] = []

    def come(number: int) -> None:
        with turn(path, 60.0):
            served.append(number)

    threads = []
    with turn(path):
        for number in range(6):
            threads.append(threading.Thread(target=come, args=(number,)))
            threads[-1].start()
            assert wait_until(lambda: tickets(path) == number + 2, 60.0)  # noqa: B023
        assert served == []
    for thread in threads:
        thread.join(60.0)
    assert served == list(range(6))
    assert tickets(path) == 0


def test_one_that_is_stopped_is_passed(path: Path) -> None:
    with turn(path), turn(path, 0.05):
        assert tickets(path) == 2


def test_one_that_is_killed_leaves_no_ticket(path: Path) -> None:
    code = (
        "import pathlib, sys, time\n"
        "from calibrig.store.backends.turns import turn\n"
        "with turn(pathlib.Path(sys.argv[1])):\n"
        "    print('mine', flush=True)\n"
        "    time.sleep(600)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "mine\n"
    assert tickets(path) == 1
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    with turn(path, 600.0):
        assert tickets(path) == 1


def test_a_child_forked_meanwhile_holds_nobody_up(path: Path) -> None:
    """It inherits the open file, and with it the lock, until that is given back by name."""
    with turn(path):
        (held,) = [int(link.name) for link in Path("/proc/self/fd").iterdir() if _leads_to(link, path)]
        inherited = os.dup(held)
    assert tickets(path) == 0
    os.close(inherited)


def _leads_to(link: Path, path: Path) -> bool:
    try:
        return link.readlink() == path
    except OSError:
        return False


def test_without_the_file_nobody_queues(tmp_path: Path) -> None:
    with turn(tmp_path / "none"), turn(tmp_path / "none", 600.0):
        assert list(tmp_path.iterdir()) == []


class SlowCommits(SQLiteBackend):
    """Holds the file for a while on each write, as a slow disk does."""

    def _append_one(self, record: Sealed) -> int:
        time.sleep(HOLD_S)
        return super()._append_one(record)


@contextmanager
def writing_without_pause(path: Path) -> Iterator[None]:
    """Let another opener write again and again while the block runs."""
    done, begun = threading.Event(), threading.Event()

    def write() -> None:
        with ModelStore(backend=SlowCommits(str(path))) as store:
            while not done.is_set():
                store.update("risk", "A", RISK, "anna", "again")
                begun.set()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert begun.wait(60.0)
        yield
    finally:
        done.set()
        thread.join(60.0)


def test_nobody_starves_beside_one_that_writes_without_pause(tmp_path: Path) -> None:
    """SQLite's own wait looks every 0.1 s for the millisecond between two commits, and gives up after 5 s."""
    path = tmp_path / "store.db"
    with ModelStore(path) as store, writing_without_pause(path):
        mine = [store.update("risk", "A", RISK, "ben", str(index)).version_id for index in range(4)]
        assert mine == sorted(set(mine))
        assert {one.version.version_id for one in store.history(updated_by="ben")} == set(mine)


def test_a_refused_write_shows_readers_what_it_was_judged_by(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with ModelStore(path) as store, ModelStore(path) as other:
        other.update("risk", "A", RISK, "anna", "x")
        with pytest.raises(VersionConflictError, match="at version 1, not 0"):
            store.update("risk", "A", RISK, "ben", "x", expected_version=0)
        assert store.snapshot("A").versions == {"risk": 1}


def test_reads_do_not_wait_for_a_commit(tmp_path: Path) -> None:
    """Heads, single versions and the watcher read while the same opener's write holds the file."""
    entered, release = threading.Event(), threading.Event()

    class Held(SQLiteBackend):
        def _append_one(self, record: Sealed) -> int:
            entered.set()
            assert release.wait(60.0)
            return super()._append_one(record)

    with ModelStore(backend=Held(f"{tmp_path}/store.db")) as store:
        thread = threading.Thread(target=store.update, args=("risk", "A", RISK, "anna", "x"))
        thread.start()
        assert entered.wait(60.0)
        store.refresh()
        assert store.fetch("risk", "A") is None
        release.set()
        thread.join(60.0)
        assert store.snapshot("A").versions == {"risk": 1}
