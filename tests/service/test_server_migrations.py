"""A PostgreSQL store of an older schema is upgraded in place, also after an upgrade that was killed."""

from __future__ import annotations

import secrets
import subprocess
import sys

import psycopg
import pytest

from calibrig import ModelStore
from calibrig.errors import RefusedError
from calibrig.store.backends import postgres, postgres_schema
from calibrig.testing.store import HAWKES, RISK


def _with(url: str, name: str, value: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{name}={value}"


def make_first_schema(server: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, list[str]]:
    """Write three versions with the tables of schema 1, as the first release made them; return its name and hashes."""
    schema = f"s{secrets.token_hex(6)}"
    with psycopg.connect(server) as connection:
        connection.execute(postgres_schema.MIGRATIONS[0].replace("{schema}", schema))
        connection.execute(f"UPDATE {schema}.store SET schema_number = 1")  # type: ignore[arg-type]
    with monkeypatch.context() as old:
        old.setattr(postgres, "SCHEMA", 1)
        with ModelStore(_with(server, "schema", schema)) as store:
            store.update_hawkes_parameters("X", HAWKES, "anna", "first")
            store.update_risk_parameters("X", RISK, "ben", "limits")
            store.update_risk_parameters("X", {"max_position": 50}, "ben", "half")
            return schema, [one.hash for one in store.history()]


def schema_of(server: str, schema: str) -> int:
    with psycopg.connect(server) as connection:
        row = connection.execute(f"SELECT schema_number FROM {schema}.store").fetchone()  # type: ignore[arg-type]
    assert row is not None
    return int(row[0])


def check_upgraded(server: str, schema: str, hashes: list[str]) -> None:
    with ModelStore(_with(server, "schema", schema)) as store:
        assert [one.hash for one in store.history()] == hashes
        assert store.verify().ok
        assert store.observe()
    assert schema_of(server, schema) == postgres.SCHEMA


def test_an_older_store_is_upgraded_with_all_it_holds(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Roles of the first release may record afterwards, without `store init --roles` again."""
    schema, hashes = make_first_schema(postgres_url, monkeypatch)
    with psycopg.connect(postgres_url) as connection:
        for role in ("writer", "reader"):
            connection.execute(f"CREATE ROLE {schema}_{role} NOLOGIN")  # type: ignore[arg-type]
            connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO {schema}_{role}")  # type: ignore[arg-type]
            connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {schema}_{role}")  # type: ignore[arg-type]
    check_upgraded(postgres_url, schema, hashes)
    with psycopg.connect(postgres_url) as connection:
        connection.execute(f"SET ROLE {schema}_writer")  # type: ignore[arg-type]
        connection.execute(f"SELECT {schema}.expire_observations(1)")  # type: ignore[arg-type]
        numbers = connection.execute(f"SELECT number FROM {schema}.migrations").fetchall()  # type: ignore[arg-type]
        assert numbers == [(2,)]
        connection.execute(f"SET ROLE {schema}_reader")  # type: ignore[arg-type]
        assert connection.execute(f"SELECT count(*) > 0 FROM {schema}.observed").fetchone() == (True,)  # type: ignore[arg-type]


def test_who_may_not_change_the_schema_is_told_who_has_to(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema, hashes = make_first_schema(postgres_url, monkeypatch)
    name, password = f"u{secrets.token_hex(4)}", secrets.token_hex(8)
    with psycopg.connect(postgres_url) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")  # type: ignore[arg-type]
        connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO {name}")  # type: ignore[arg-type]
        connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {name}")  # type: ignore[arg-type]
        info = connection.info
        url = f"postgresql://{name}:{password}@{info.host}:{info.port}/{info.dbname}?schema={schema}"
    with pytest.raises(
        RefusedError, match=r"needs 2, but this user may not change it.*calibrig store init"
    ) as caught:
        ModelStore(url).initialize()
    assert password not in str(caught.value)
    assert schema_of(postgres_url, schema) == 1
    check_upgraded(postgres_url, schema, hashes)
    with psycopg.connect(postgres_url) as connection:
        connection.execute(f"DROP OWNED BY {name}")  # type: ignore[arg-type]
        connection.execute(f"DROP ROLE {name}")  # type: ignore[arg-type]


def test_a_newer_schema_is_refused_and_left_alone(postgres_url: str) -> None:
    schema = f"s{secrets.token_hex(6)}"
    with ModelStore(_with(postgres_url, "schema", schema)) as store:
        store.update_risk_parameters("X", RISK, "ben", "limits")
    newer = postgres.SCHEMA + 1
    with psycopg.connect(postgres_url) as connection:
        connection.execute(f"UPDATE {schema}.store SET schema_number = {newer}")  # type: ignore[arg-type]
    with pytest.raises(
        RefusedError, match=f"schema {newer}, this calibrig knows {postgres.SCHEMA}; upgrade calibrig"
    ):
        ModelStore(_with(postgres_url, "schema", schema)).initialize()
    assert schema_of(postgres_url, schema) == newer


KILLED = """
import os, signal, sys
import psycopg
from calibrig.store.backends.postgres import PostgresBackend
execute = psycopg.Connection.execute

def die_at(n):
    seen = 0
    def counted(self, *arguments, **options):
        nonlocal seen
        answer = execute(self, *arguments, **options)
        seen += 1
        if seen == n:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer
    return counted

for n in range(1, 100):
    child = os.fork()
    if child == 0:
        psycopg.Connection.execute = die_at(n)
        PostgresBackend(sys.argv[1]).close()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    with psycopg.connect(sys.argv[1].partition("?schema=")[0]) as connection:
        schema = sys.argv[1].partition("?schema=")[2]
        print(connection.execute(f"SELECT schema_number FROM {schema}.store").fetchone()[0], flush=True)
    if os.WIFEXITED(status):
        break
"""


def test_an_upgrade_killed_after_any_statement_leaves_a_store_that_opens(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema, hashes = make_first_schema(postgres_url, monkeypatch)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, _with(postgres_url, "schema", schema)],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    seen = [int(line) for line in done.stdout.split()]
    assert len(seen) > 6
    assert seen == [1] * (len(seen) - 1) + [2]  # nothing of a broken-off upgrade stays
    check_upgraded(postgres_url, schema, hashes)
