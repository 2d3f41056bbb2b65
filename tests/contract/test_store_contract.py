"""SQLite and the JSON file keep the contract of a store; the number of tests that ran is checked too."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from calibrig.store.backends.log_file import make_line, parse_line
from calibrig.testing.store import StoreContract, contract_tests


class TestSQLite(StoreContract):
    def url(self, folder: Path) -> str:
        return f"sqlite:///{folder}/store.db"

    def raw_tamper(
        self, url: str, kind: str, symbol: str, version_id: int, change: Callable[[bytes], bytes]
    ) -> None:
        connection = sqlite3.connect(url.removeprefix("sqlite:///"))
        connection.execute("DROP TRIGGER versions_are_never_changed")
        where = "kind = ? AND symbol = ? AND version_id = ?"
        (payload,) = connection.execute(
            f"SELECT CAST(payload AS BLOB) FROM versions WHERE {where}", (kind, symbol, version_id)
        ).fetchone()
        connection.execute(
            f"UPDATE versions SET payload = ? WHERE {where}",
            (change(payload).decode(), kind, symbol, version_id),
        )
        connection.commit()
        connection.close()


class TestJSONFile(StoreContract):
    def url(self, folder: Path) -> str:
        return f"{folder}/store.json"

    def raw_tamper(
        self, url: str, kind: str, symbol: str, version_id: int, change: Callable[[bytes], bytes]
    ) -> None:
        """Change one line and make its checksum fit again: the chain has to find it."""
        path = Path(url + ".log")
        header, *lines = path.read_bytes().splitlines()
        payloads = parse_line(lines[version_id - 1])
        assert payloads is not None
        lines[version_id - 1] = make_line([change(payload) for payload in payloads]).rstrip(b"\n")
        path.write_bytes(b"\n".join([header, *lines]) + b"\n")


@pytest.mark.parametrize("suite", [TestSQLite, TestJSONFile])
def test_the_whole_contract_is_inherited(suite: type[StoreContract]) -> None:
    assert len(contract_tests(suite)) == StoreContract.TESTS
    assert len(contract_tests(StoreContract)) == StoreContract.TESTS
