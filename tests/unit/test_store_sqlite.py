"""Openers of one new SQLite file wait for each other, and not for ever."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from calibrig.errors import StoreUnavailableError
from calibrig.store import ModelStore
from calibrig.store.backends import sqlite


def test_an_opener_waits_while_another_holds_a_new_file(tmp_path: Path) -> None:
    """SQLite itself answers busy at once here, whatever its timeout; the store asks until the file is free."""
    path = tmp_path / "store.db"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    probe = sqlite3.connect(path, timeout=60.0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        probe.execute("PRAGMA journal_mode = WAL")
    probe.close()
    release = threading.Timer(0.2, other.execute, ("ROLLBACK",))
    release.start()
    with ModelStore(f"sqlite:///{path}") as store:
        assert store.snapshot("A").versions == {}
    release.join()
    other.close()


def test_a_file_that_stays_locked_is_a_typed_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_S", 0.1)
    other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with (
        pytest.raises(StoreUnavailableError, match=r"locked by another writer for 0\.1 s; try again"),
        ModelStore(f"sqlite:///{tmp_path}/store.db"),
    ):
        pass
    other.close()


def test_eight_threads_open_one_new_file(tmp_path: Path) -> None:
    for round_number in range(10):
        url = f"sqlite:///{tmp_path}/{round_number}.db"
        failures: list[Exception] = []

        def open_and_close(url: str = url, failures: list[Exception] = failures) -> None:
            try:
                with ModelStore(url):
                    pass
            except Exception as error:  # noqa: BLE001 - any failure is the finding
                failures.append(error)

        threads = [threading.Thread(target=open_and_close) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60.0)
        assert failures == []
