"""Redis/Valkey and PostgreSQL keep the same contract as the file backends, against real servers."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import redis

from calibrig.testing.store import StoreContract, contract_tests


def _with(url: str, name: str, value: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{name}={value}"


class TestRedis(StoreContract):
    @pytest.fixture(autouse=True)
    def _server(self, redis_url: str) -> None:
        self.server_url = redis_url

    def url(self, folder: Path) -> str:
        return _with(self.server_url, "prefix", secrets.token_hex(6))

    def raw_tamper(
        self, url: str, kind: str, symbol: str, version_id: int, change: Callable[[bytes], bytes]
    ) -> None:
        server, _, prefix = url.partition("?prefix=")
        with redis.Redis.from_url(server) as client:
            name = f"{{{prefix}}}:versions:{kind}/{symbol}"
            element = client.lindex(name, version_id - 1)
            client.lset(name, version_id - 1, change(element))


class TestPostgres(StoreContract):
    @pytest.fixture(autouse=True)
    def _server(self, postgres_url: str) -> None:
        self.server_url = postgres_url

    def url(self, folder: Path) -> str:
        return _with(self.server_url, "schema", f"s{secrets.token_hex(6)}")

    def raw_tamper(
        self, url: str, kind: str, symbol: str, version_id: int, change: Callable[[bytes], bytes]
    ) -> None:
        server, _, schema = url.partition("?schema=")
        where = "kind = %s AND symbol = %s AND version_id = %s"
        with psycopg.connect(server) as connection:
            connection.execute(
                f"ALTER TABLE {schema}.versions DISABLE TRIGGER versions_are_never_changed"  # type: ignore[arg-type]
            )
            row = connection.execute(
                f"SELECT payload FROM {schema}.versions WHERE {where}",  # type: ignore[arg-type]
                (kind, symbol, version_id),
            ).fetchone()
            assert row is not None
            connection.execute(
                f"UPDATE {schema}.versions SET payload = %s WHERE {where}",  # type: ignore[arg-type]
                (change(row[0].encode()).decode(), kind, symbol, version_id),
            )


@pytest.mark.parametrize("suite", [TestRedis, TestPostgres])
def test_the_whole_contract_is_inherited(suite: type[StoreContract]) -> None:
    assert len(contract_tests(suite)) == StoreContract.TESTS
