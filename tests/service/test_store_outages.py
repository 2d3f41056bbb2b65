"""Servers that stop, hang, are cut off, restart or talk nonsense; and stores on servers that must be refused."""

from __future__ import annotations

import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import psycopg
import pytest
import redis

from calibrig import ModelStore, PostgreSQLModelStore, RedisModelStore
from calibrig.errors import (
    CorruptRecordError,
    InvalidInputError,
    MissingFileError,
    RefusedError,
    StoreUnavailableError,
)
from calibrig.store import Backend, open_backend
from calibrig.store.record import seal
from calibrig.testing import RecordingBackend, ReplayedBackend
from calibrig.testing.servers import PostgresServer, ValkeyServer, free_port
from calibrig.testing.store import RISK, SteppedClock, make_content, wait_until
from calibrig.testing.store_outages import OUTAGES, run_outages


def test_an_outage_costs_nothing_but_freshness(own_server: ValkeyServer | PostgresServer) -> None:
    found = run_outages(own_server, rounds=1, hold_s=0.9, tries=3)
    assert found["runs"] == len(OUTAGES)
    assert found["violations"] == 0, found["problems"]
    assert found["reads"] > 1_000


def test_a_server_that_keeps_nothing_is_refused_unless_allowed_by_name() -> None:
    with ValkeyServer(appendonly=False, syncs=False) as server:
        with pytest.raises(RefusedError, match="appendonly yes"):
            RedisModelStore(server.url).initialize()
        with RedisModelStore(f"{server.url}?allow=no-persistence") as store:
            store.update("risk", "A", RISK, "anna", "x")
        with pytest.raises(InvalidInputError, match="no-persistence"):
            RedisModelStore(f"{server.url}?allow=everything").initialize()


def test_unix_sockets_are_reached() -> None:
    with ValkeyServer(syncs=False) as valkey, PostgresServer(syncs=False) as postgres:
        for url in (valkey.socket_url, postgres.socket_url):
            with ModelStore(url) as store:
                store.update("risk", "A", RISK, "anna", "x")
                assert store.fetch("risk", "A") is not None
                with ModelStore(url) as other:
                    other.update("risk", "A", RISK, "anna", "x")
                assert wait_until(lambda s=store: s.snapshot("A").versions == {"risk": 2})  # type: ignore[misc]


def test_kill_9_of_the_server_loses_nothing(own_server: ValkeyServer | PostgresServer) -> None:
    with own_server as server:
        with ModelStore(server.url) as store:
            for _ in range(20):
                store.update("risk", "A", RISK, "anna", "x")
        server.kill()
        server.start()
        with ModelStore(server.url) as store:
            assert store.snapshot("A").versions == {"risk": 20}
            assert store.verify().ok


def test_the_servers_are_the_ones_that_are_meant(
    own_server: ValkeyServer | PostgresServer, request: pytest.FixtureRequest
) -> None:
    """Versions as the packages say: Valkey 9 and PostgreSQL 18 from wheels, Redis 7 and PostgreSQL 15 from Debian."""
    debian = "debian" in request.node.callspec.id
    with own_server as server:
        if isinstance(server, PostgresServer):
            with psycopg.connect(server.url) as connection:
                assert connection.info.server_version // 10_000 == (15 if debian else 18)
        else:
            with redis.Redis.from_url(server.url) as client:
                about = client.info("server")
            assert about["redis_version"].startswith("7.")  # Valkey says which Redis it is like
            assert str(about.get("valkey_version", "none")).startswith("none" if debian else "9.")


def test_a_store_that_was_emptied_is_said_so_and_the_last_good_is_served(redis_url: str) -> None:
    prefix = secrets.token_hex(6)
    with RedisModelStore(f"{redis_url}?prefix={prefix}") as store:
        store.update("risk", "A", RISK, "anna", "x")
        with redis.Redis.from_url(redis_url) as client:
            client.delete(*client.keys(f"{{{prefix}}}*"))
        assert wait_until(lambda: store.stale)
        assert "not the one that was opened" in str(store.status().problem)
        assert store.get_risk_parameters("A") is not None


def test_versions_that_went_back_are_not_taken_over(postgres_url: str) -> None:
    schema = f"s{secrets.token_hex(6)}"
    url = f"{postgres_url}?schema={schema}"
    with PostgreSQLModelStore(url) as store:
        for _ in range(3):
            store.update("risk", "A", RISK, "anna", "x")
        with psycopg.connect(postgres_url) as connection:  # as if a backup had been restored
            connection.execute(f"ALTER TABLE {schema}.versions DISABLE TRIGGER ALL")
            connection.execute(f"DELETE FROM {schema}.versions WHERE version_id = 3")
            connection.execute(
                f"UPDATE {schema}.heads SET version_id = 2, change = 2, hash = "
                f"(SELECT hash FROM {schema}.versions WHERE version_id = 2)"
            )
            connection.execute(f"UPDATE {schema}.store SET change = 2")
        assert wait_until(lambda: store.stale)
        assert "went back from version 3 to 2" in str(store.status().problem)
        assert store.snapshot("A").versions == {"risk": 3}


def test_history_cannot_be_changed_by_sql(postgres_url: str) -> None:
    schema = f"s{secrets.token_hex(6)}"
    with PostgreSQLModelStore(f"{postgres_url}?schema={schema}") as store:
        store.update("risk", "A", RISK, "anna", "x")
    for statement in (
        "UPDATE {}.versions SET comment = 'y'",
        "DELETE FROM {}.versions",
        "TRUNCATE {}.versions",
    ):
        with (
            psycopg.connect(postgres_url) as connection,
            pytest.raises(psycopg.errors.RaiseException, match="immutable"),
        ):
            connection.execute(statement.format(schema))


def test_the_questions_of_the_source_document_in_sql(postgres_url: str) -> None:
    schema = f"s{secrets.token_hex(6)}"
    with PostgreSQLModelStore(f"{postgres_url}?schema={schema}") as store:
        store.update("risk", "A", RISK, "anna", "first")
        store.update("risk", "A", {"max_position": 5}, "ben", "less")
    with psycopg.connect(postgres_url) as connection:
        rows = connection.execute(
            f"SELECT version_id, updated_by, comment, (parameters ->> 'max_position')::int FROM {schema}.history "
            "WHERE kind = 'risk' AND updated_time > now() - interval '1 month' ORDER BY version_id"
        ).fetchall()
    assert rows == [(1, "anna", "first", 100), (2, "ben", "less", 5)]


def test_roles_may_do_what_they_are_for_and_no_more(
    postgres_url: str, as_user: Callable[[str, str, str], str]
) -> None:
    schema = f"s{secrets.token_hex(6)}"
    with PostgreSQLModelStore(f"{postgres_url}?schema={schema}") as store:
        assert store.create_roles() == store.create_roles() == (f"{schema}_writer", f"{schema}_reader")
        store.update("risk", "A", RISK, "anna", "x")
    users = {"w": f"{schema}_w", "r": f"{schema}_r"}
    with psycopg.connect(postgres_url) as connection:
        for short, role in (("w", "writer"), ("r", "reader")):
            connection.execute(f"CREATE ROLE {users[short]} LOGIN PASSWORD 'geheim' IN ROLE {schema}_{role}")

    def store_of(short: str) -> str:
        return f"{as_user(postgres_url, users[short], 'geheim')}?schema={schema}"

    try:
        with PostgreSQLModelStore(store_of("w")) as writer, PostgreSQLModelStore(store_of("r")) as reader:
            writer.update("risk", "A", {"max_position": 5}, "anna", "as writer")
            assert wait_until(lambda: reader.snapshot("A").versions == {"risk": 2})
            assert reader.verify().ok
            with pytest.raises(RefusedError, match="does not let this user") as caught:
                reader.update("risk", "A", {"max_position": 6}, "anna", "as reader")
            assert "geheim" not in str(caught.value)
        with psycopg.connect(store_of("w").split("?")[0]) as connection:
            for statement in (
                f"INSERT INTO {schema}.heads VALUES ('a', 'b', 1, 'c', 9)",
                f"UPDATE {schema}.store SET change = 0",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement)
                connection.rollback()
    finally:
        with psycopg.connect(postgres_url) as connection:
            for user in users.values():
                connection.execute(f"DROP ROLE {user}")


def test_a_forged_hash_is_refused_by_the_server(postgres_url: str) -> None:
    backend = open_backend(f"{postgres_url}?schema=s{secrets.token_hex(6)}")
    try:
        forged = msgspec.structs.replace(seal(make_content(1, "0" * 64)), hash="f" * 64)
        with pytest.raises(RefusedError, match="hash"):
            backend.append([forged])
        assert backend.load_heads(0).heads == ()
    finally:
        backend.close()


def test_newer_schemas_are_refused(redis_url: str, postgres_url: str) -> None:
    prefix, schema = secrets.token_hex(6), f"s{secrets.token_hex(6)}"
    with (
        RedisModelStore(f"{redis_url}?prefix={prefix}"),
        PostgreSQLModelStore(f"{postgres_url}?schema={schema}"),
    ):
        pass
    with redis.Redis.from_url(redis_url) as client, psycopg.connect(postgres_url) as connection:
        client.hset(f"{{{prefix}}}:store", "schema", 99)
        connection.execute(f"UPDATE {schema}.store SET schema_number = 99")
    for url in (f"{redis_url}?prefix={prefix}", f"{postgres_url}?schema={schema}"):
        with pytest.raises(RefusedError, match="upgrade"):
            ModelStore(url).initialize()


def test_what_cannot_be_reached_or_entered_is_said_without_secrets(
    redis_url: str, postgres_url: str, as_user: Callable[[str, str, str], str]
) -> None:
    port = free_port()
    wrong = {
        f"redis://u:hunter2@127.0.0.1:{port}/0": StoreUnavailableError,
        f"postgresql://u:hunter2@127.0.0.1:{port}/db": StoreUnavailableError,
        as_user(redis_url, "u", "hunter2"): RefusedError,
        f"{postgres_url.rpartition('/')[0]}/nosuchdb?application_name=x": InvalidInputError,
        "redis://u:hunter2@127.0.0.1:notaport/0": InvalidInputError,
        "postgresql://u:hunter2@127.0.0.1/db?nosuchoption=1": InvalidInputError,
        f"{postgres_url}?schema=Bad-Name": InvalidInputError,
        f"{redis_url}?prefix={{x}}": InvalidInputError,
    }
    for url, kind in wrong.items():
        start = time.monotonic()
        with pytest.raises(kind) as caught:
            ModelStore(url).initialize()
        assert time.monotonic() - start < 10.0
        assert "hunter2" not in str(caught.value)
    for url in (f"{redis_url}?prefix=none", f"{postgres_url}?schema=none"):
        with pytest.raises(MissingFileError, match="store init"):
            ModelStore(url, create=False).initialize()


def test_a_key_of_another_type_is_corruption(redis_url: str) -> None:
    prefix = secrets.token_hex(6)
    with redis.Redis.from_url(redis_url) as client:
        client.set(f"{{{prefix}}}:versions:risk/A", "not a list")
    with (
        RedisModelStore(f"{redis_url}?prefix={prefix}") as store,
        pytest.raises(CorruptRecordError, match="another type"),
    ):
        store.update("risk", "A", RISK, "anna", "x")


def test_no_server_outlives_a_killed_test(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from calibrig.testing.servers import PostgresServer, ValkeyServer\n"
        "servers = [ValkeyServer(syncs=False).start(), PostgresServer(syncs=False).start()]\n"
        "print(*[s.process.pid for s in servers], *[s.folder for s in servers], flush=True)\n"
        "time.sleep(600)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    words = child.stdout.readline().split()
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    pids, folders = words[:2], words[2:]
    assert wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 20.0)
    with ValkeyServer():  # the next start removes what the killed one left
        pass
    assert not any(Path(folder).exists() for folder in folders)


def test_ones_own_writes_are_no_news_and_others_are(redis_url: str, postgres_url: str) -> None:
    """A writer's notification does not wake its own watcher; one of another opener does, whatever was seen before."""
    name = secrets.token_hex(6)
    for url in (f"{redis_url}?prefix={name}", f"{postgres_url}?schema=s{name}"):
        mine, theirs = open_backend(url), open_backend(url)
        try:
            assert mine.wait(5.0)  # the first call listens, and says that something may have been missed
            first = seal(make_content(1, "0" * 64))
            mine.append([first])
            assert not mine.wait(0.3)
            theirs.append([seal(make_content(2, first.hash))])
            assert mine.wait(5.0)
            assert [one.hash for one in mine.load_heads(1).heads] == [theirs.load_heads(0).heads[0].hash]
        finally:
            mine.close()
            theirs.close()


def test_a_servers_conversation_is_replayed_without_it(
    tmp_path: Path, redis_url: str, postgres_url: str
) -> None:
    """Recorded from the real server, replayed with none: the same versions, hashes and audit."""
    name = secrets.token_hex(6)
    for url in (f"{redis_url}?prefix={name}", f"{postgres_url}?schema=s{name}"):
        recording = RecordingBackend(open_backend(url))

        def talk(backend: Backend) -> list[object]:
            with ModelStore(backend=backend, clock_ns=SteppedClock()) as store:
                version = store.update("risk", "A", RISK, "anna", "x")
                return [version, store.fetch("risk", "A"), store.history(), store.verify()]

        expected = talk(recording)
        recording.save(tmp_path / "conversation")
        assert talk(ReplayedBackend.load(tmp_path / "conversation")) == expected
