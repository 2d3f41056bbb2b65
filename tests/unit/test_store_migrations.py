"""A SQLite store of an older schema is brought up to date in place; a killed upgrade leaves the old one, whole."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from calibrig import ModelStore
from calibrig.errors import RefusedError
from calibrig.store.backends import sqlite
from calibrig.testing.store import HAWKES, RISK
from calibrig.testing.store_observations import make_observations


def make_first_schema(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, str]]:
    """Write three versions with the tables of schema 1, as the first release made them; return their identities."""
    connection = sqlite3.connect(path)
    for statement in sqlite.MIGRATIONS[0]:
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {sqlite.APPLICATION_ID}")
    connection.execute("INSERT INTO store VALUES ('store_id', ?)", ("ab" * 16,))
    connection.execute("PRAGMA user_version = 1")
    connection.commit()
    connection.close()
    with monkeypatch.context() as old:
        old.setattr(sqlite, "SCHEMA", 1)
        with ModelStore(path) as store:
            store.update_hawkes_parameters("X", HAWKES, "anna", "first")
            store.update_risk_parameters("X", RISK, "ben", "limits")
            store.update_risk_parameters("X", {"max_position": 50}, "ben", "half")
            assert schema_of(path) == 1
            return [(one.version.kind, one.version.version_id, one.hash) for one in store.history()]


def schema_of(path: Path) -> int:
    connection = sqlite3.connect(path)
    number = int(connection.execute("PRAGMA user_version").fetchone()[0])
    connection.close()
    return number


def check_upgraded(path: Path, identities: list[tuple[str, int, str]]) -> None:
    with ModelStore(path) as store:
        assert [(one.version.kind, one.version.version_id, one.hash) for one in store.history()] == identities
        assert store.verify().ok
        assert store.observe()
        assert store.update_risk_parameters("X", {"max_position": 40}, "ben", "on").version_id == 3
    assert schema_of(path) == sqlite.SCHEMA
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT number FROM migrations").fetchall() == [
        (n,) for n in range(2, sqlite.SCHEMA + 1)
    ]
    connection.close()


def test_an_older_store_is_upgraded_with_all_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identities = make_first_schema(tmp_path / "a.db", monkeypatch)
    check_upgraded(tmp_path / "a.db", identities)


def test_a_new_store_has_the_newest_schema_and_says_since_when(tmp_path: Path) -> None:
    with ModelStore(tmp_path / "a.db"):
        pass
    connection = sqlite3.connect(tmp_path / "a.db")
    assert connection.execute("SELECT number FROM migrations").fetchall() == [
        (n,) for n in range(1, sqlite.SCHEMA + 1)
    ]
    connection.close()


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    with ModelStore(tmp_path / "a.db") as store:
        store.update_risk_parameters("X", RISK, "ben", "limits")
    connection = sqlite3.connect(tmp_path / "a.db")
    connection.execute(f"PRAGMA user_version = {sqlite.SCHEMA + 1}")
    connection.commit()
    connection.close()
    with pytest.raises(
        RefusedError, match=f"schema {sqlite.SCHEMA + 1}, this calibrig knows {sqlite.SCHEMA}; upgrade"
    ):
        ModelStore(tmp_path / "a.db").initialize()
    assert schema_of(tmp_path / "a.db") == sqlite.SCHEMA + 1


KILLED = """
import os, shutil, signal, sqlite3, sys
from calibrig.store.backends.sqlite import SQLiteBackend
connect, folder = sqlite3.connect, sys.argv[1]

def die_at(n):
    seen = 0
    def count(statement):
        nonlocal seen
        seen += 1
        if seen == n:
            os.kill(os.getpid(), signal.SIGKILL)
    def opened(*arguments, **options):
        connection = connect(*arguments, **options)
        connection.set_trace_callback(count)
        return connection
    return opened

for n in range(1, 1000):
    path = f"{folder}/{n}.db"
    shutil.copy(f"{folder}/old.db", path)
    child = os.fork()
    if child == 0:
        sqlite3.connect = die_at(n)
        SQLiteBackend(path).close()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        print(n)
        break
"""


def test_an_upgrade_killed_at_any_statement_leaves_a_store_that_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identities = make_first_schema(tmp_path / "old.db", monkeypatch)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True, timeout=300, check=True
    )
    last = int(done.stdout)
    assert last > len(sqlite.MIGRATIONS[1]) + 5  # each of the statements was the last one once
    schemas = [schema_of(tmp_path / f"{n}.db") for n in range(1, last)]
    assert set(schemas) == {1, sqlite.SCHEMA}
    assert schemas == sorted(schemas)
    for n in range(1, last):
        check_upgraded(tmp_path / f"{n}.db", identities)


def test_openers_that_upgrade_at_once_all_succeed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    identities = make_first_schema(tmp_path / "a.db", monkeypatch)
    script = "import sys; from calibrig import ModelStore\nwith ModelStore(sys.argv[1]) as store: print(len(store.history()))"
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "a.db")], stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    assert [opener.communicate(timeout=60)[0] for opener in openers] == ["3\n"] * 4
    check_upgraded(tmp_path / "a.db", identities)


def test_observations_do_not_travel_with_an_export(tmp_path: Path) -> None:
    """They are measurements of one place; a portable file holds versions."""
    clock = make_observations(1)[0].time_ns
    with ModelStore(tmp_path / "a.db", clock_ns=lambda: clock) as store:
        store.update_risk_parameters("X", RISK, "ben", "limits")
        store.record_observations(make_observations(1))
        assert store.export_to(tmp_path / "out") == 1
