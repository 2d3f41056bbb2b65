"""Redis/Valkey and PostgreSQL keep the contract of observations, against real servers; roles, bounds, partitions."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from calibrig import ModelStore
from calibrig.store.backends import redis_observations
from calibrig.store.observations import DAY_NS
from calibrig.testing.store import RISK, SteppedClock, contract_tests
from calibrig.testing.store_observations import NOW_NS, ObservationContract, make_observations


def _with(url: str, name: str, value: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{name}={value}"


class TestRedisObservations(ObservationContract):
    @pytest.fixture(autouse=True)
    def _server(self, redis_url: str) -> None:
        self.server_url = redis_url

    def url(self, folder: Path) -> str:
        return _with(self.server_url, "prefix", secrets.token_hex(6))


class TestPostgresObservations(ObservationContract):
    @pytest.fixture(autouse=True)
    def _server(self, postgres_url: str) -> None:
        self.server_url = postgres_url

    def url(self, folder: Path) -> str:
        return _with(self.server_url, "schema", f"s{secrets.token_hex(6)}")


@pytest.mark.parametrize("suite", [TestRedisObservations, TestPostgresObservations])
def test_the_whole_contract_is_inherited(suite: type[ObservationContract]) -> None:
    assert len(contract_tests(suite)) == ObservationContract.TESTS


def test_a_series_in_redis_is_bounded(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_observations, "MAX_SERIES_LENGTH", 100)
    prefix = secrets.token_hex(6)
    with ModelStore(_with(redis_url, "prefix", prefix), clock_ns=SteppedClock(NOW_NS + 10**9)) as store:
        for start in range(0, 300, 50):
            store.record_observations(make_observations(50, start_ns=NOW_NS + 1_000 * start))
        assert len(store.observations()) == 100
        assert store.observations()[-1].time_ns == NOW_NS + 250_049
    with redis.Redis.from_url(redis_url) as client:
        found = {name.decode() for name in client.keys(f"{{{prefix}}}:observations:*")}
    assert found == {
        f"{{{prefix}}}:observations:",
        f'{{{prefix}}}:observations:["latency","BTCUSDT","device.p99_ns"]',
    }


def test_weeks_in_postgres_are_partitions_that_go_whole(postgres_url: str) -> None:
    """Where TimescaleDB is absent, as in the servers of these tests: made when needed, dropped when old."""
    schema = f"s{secrets.token_hex(6)}"
    clock = SteppedClock(NOW_NS + 10**9)

    def partitions() -> list[str]:
        with psycopg.connect(postgres_url) as connection:
            assert (
                connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'").fetchone()
                is None
            )
            rows = connection.execute(
                "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
                "WHERE i.inhparent = %s::regclass AND c.relkind = 'r' ORDER BY 1",
                [f"{schema}.observations"],
            ).fetchall()
        return [name for (name,) in rows]

    with ModelStore(_with(postgres_url, "schema", schema), clock_ns=clock, observation_days=30.0) as store:
        assert partitions() == []
        for days in (0, 7, 14):
            store.record_observations(make_observations(2, start_ns=NOW_NS - days * DAY_NS))
        week = NOW_NS // (7 * DAY_NS)
        assert partitions() == [f"observations_{number}" for number in (week - 2, week - 1, week)]
        clock.step(30 - 6)
        store.expire_observations()
        assert len(store.observations()) == 4 - 2  # those of 7 and 14 days ago are over 30 days old
        clock.step(100)
        store.expire_observations()
        assert partitions() == []


def test_roles_of_postgres_reach_observations(postgres_url: str) -> None:
    """A writer records and reads; a reader reads; neither touches the table, nor gets there by other ways."""
    schema = f"s{secrets.token_hex(6)}"
    owner_url = _with(postgres_url, "schema", schema)
    now = NOW_NS + 10**9
    with ModelStore(owner_url, clock_ns=lambda: now) as store:
        store.update_risk_parameters("X", RISK, "anna", "limits")
        writer, reader = store.create_roles()
        store.record_observations(make_observations(2))

    with psycopg.connect(postgres_url) as connection:
        for role in (writer, reader):
            connection.execute(f"SET ROLE {role}")  # type: ignore[arg-type]
            assert connection.execute(f"SELECT count(*) FROM {schema}.observed").fetchone() == (2,)  # type: ignore[arg-type]
            for statement in (
                f"DELETE FROM {schema}.observations",
                f"INSERT INTO {schema}.observations VALUES ('latency', 'X', 'm', 1, 1, 'me')",
                f"DROP TABLE {schema}.observations",
                f"CREATE TABLE {schema}.other (a int)",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                    connection.execute(statement)  # type: ignore[arg-type]
            call = f"SELECT {schema}.append_observations('{{latency}}', '{{X}}', '{{m}}', '{{1}}', '{{1}}', '{{me}}')"
            if role == writer:
                connection.execute(call)  # type: ignore[arg-type]
                connection.execute(f"SELECT {schema}.expire_observations(2)")  # type: ignore[arg-type]
            else:
                with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                    connection.execute(call)  # type: ignore[arg-type]
            connection.execute("RESET ROLE")
        connection.rollback()


def test_the_hypertable_is_asked_for_as_timescaledb_documents(postgres_url: str) -> None:
    """With stand-ins of the two documented functions, the branch for TimescaleDB runs as it would there."""
    schema, home = f"s{secrets.token_hex(6)}", f"h{secrets.token_hex(6)}"
    from calibrig.store.backends.postgres_schema import MIGRATIONS

    second = MIGRATIONS[1].replace("{schema}", schema)
    # pg_extension cannot be written to: the probe is pointed at a table with the same columns
    second = second.replace("FROM pg_extension e", f"FROM {home}.extensions e")
    statements: list[Any] = [
        f"CREATE SCHEMA {home}",
        f"CREATE TABLE {home}.extensions (extname text, extnamespace oid)",
        f"INSERT INTO {home}.extensions SELECT 'timescaledb', oid FROM pg_namespace WHERE nspname = '{home}'",
        f"CREATE TABLE {home}.calls (call text)",
        # create_hypertable(relation, time_column_name, chunk_time_interval => ...), drop_chunks(relation, older_than => ...)
        f"CREATE FUNCTION {home}.create_hypertable(relation regclass, time_column_name name, chunk_time_interval anyelement) "
        f"RETURNS void LANGUAGE sql AS $$ INSERT INTO {home}.calls VALUES (relation || ' ' || time_column_name || ' ' "
        "|| chunk_time_interval) $$",
        f"CREATE FUNCTION {home}.drop_chunks(relation regclass, older_than bigint) RETURNS SETOF text LANGUAGE sql AS "
        f"$$ INSERT INTO {home}.calls VALUES (relation || ' older than ' || older_than); SELECT 'chunk' $$",
        MIGRATIONS[0].replace("{schema}", schema),
        second,
    ]
    with psycopg.connect(postgres_url) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"SET search_path = {schema}")  # type: ignore[arg-type]
        connection.execute("SELECT append_observations('{latency}', '{X}', '{m}', '{5}', '{1}', '{me}')")
        connection.execute("SELECT expire_observations(4)")
        assert connection.execute("SELECT count(*) FROM observed").fetchone() == (1,)
        connection.execute("SELECT expire_observations(6)")
        assert connection.execute("SELECT count(*) FROM observed").fetchone() == (0,)
        calls = [call for (call,) in connection.execute(f"SELECT call FROM {home}.calls").fetchall()]  # type: ignore[arg-type]
        connection.rollback()
    table = "observations" if calls[0].startswith("obs") else f"{schema}.observations"
    assert calls[0] == f"{table} time_ns 604800000000000"
    assert [call.split(" ", 1)[1] for call in calls[1:]] == ["older than 4", "older than 6"]
