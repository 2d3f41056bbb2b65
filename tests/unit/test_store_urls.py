"""URLs: which backend, which path, and never a secret in a message."""

from __future__ import annotations

from pathlib import Path

import pytest

from calibrig import ModelStore, PostgreSQLModelStore, RedisModelStore
from calibrig.errors import (
    CalibrigError,
    CorruptRecordError,
    InvalidInputError,
    MissingFileError,
    RefusedError,
    StoreError,
)
from calibrig.store import redact
from calibrig.store.urls import backend_kind, take_options


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("./config/parameters.json", "json"),
        ("json:///a.json", "json"),
        ("a.db", "sqlite"),
        ("sqlite:////srv/a", "sqlite"),
        ("redis://prod-cache:6379", "redis"),
        ("rediss://h/0", "redis"),
        ("postgresql://prod-db:5432/params", "postgres"),
    ],
)
def test_the_url_names_the_backend(url: str, kind: str) -> None:
    assert backend_kind(url) == kind


@pytest.mark.parametrize(
    "url",
    [
        "",
        " ",
        "mongodb://x",
        "parameters",
        "a.yaml",
        "sqlite://",
        "json://a.json",
        "a\0.json",
        "http://h/a.json",
    ],
)
def test_other_urls_are_refused_with_what_to_give(url: str) -> None:
    with pytest.raises(InvalidInputError, match="give"):
        ModelStore(url).initialize()


def test_the_named_stores_accept_only_their_own_urls() -> None:
    with pytest.raises(InvalidInputError, match="RedisModelStore opens redis"):
        RedisModelStore("postgresql://u:secret@h/d")
    with pytest.raises(InvalidInputError, match="PostgreSQLModelStore") as caught:
        PostgreSQLModelStore("redis://u:secret@h/0")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://u:hunter2@h/0",
        "redis://:hunter2@h",
        "postgresql://u:hunter2@h,h2/db",
        "postgresql://u@h/db?password=hunter2&x=1",
        "could not connect to postgresql://u:hun:ter2@h/db today; password=hunter2",
    ],
)
def test_secrets_are_never_shown(url: str) -> None:
    assert "ter2" not in redact(url)


def test_what_is_no_store_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("this is no database, but it is long enough to be one" * 100)
    (tmp_path / "log.json.log").write_text("this is no log\n")
    for name in ("text.db", "log.json"):
        with pytest.raises(CorruptRecordError, match="is no calibrig"):
            ModelStore(tmp_path / name).initialize()
    with pytest.raises(MissingFileError, match="store init"):
        ModelStore(tmp_path / "none.db", create=False).initialize()
    with pytest.raises(MissingFileError, match="store init"):
        ModelStore(tmp_path / "none.json", create=False).initialize()
    with pytest.raises(CalibrigError):
        ModelStore(tmp_path / "text.db" / "below.db").initialize()


def test_a_newer_schema_and_another_program_are_refused(tmp_path: Path) -> None:
    import sqlite3

    with ModelStore(tmp_path / "a.db"):
        pass
    connection = sqlite3.connect(tmp_path / "a.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(RefusedError, match="upgrade"):
        ModelStore(tmp_path / "a.db").initialize()
    connection = sqlite3.connect(tmp_path / "b.db")
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(CorruptRecordError, match="another program"):
        ModelStore(tmp_path / "b.db").initialize()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://u:p@ss:w@h:1/0", "redis://u:***@h:1/0"),
        ("redis://:p@ss@h:1/0", "redis://:***@h:1/0"),
        ("postgresql://u:a/b?c#d@h/x", "postgresql://u:***@h/x"),
        (
            "postgresql://u@h/x?password=p%20q&sslmode=require",
            "postgresql://u@h/x?password=***&sslmode=require",
        ),
    ],
)
def test_no_part_of_a_password_is_shown(url: str, shown: str) -> None:
    assert redact(f"cannot open {url}") == f"cannot open {shown}"


CUT = ["geh/eim", "geh?eim", "geh#eim", "geh%eim", "12/34", "[geh/eim"]


@pytest.mark.parametrize(
    ("scheme", "password"),
    [("postgresql", "geh@eim"), *((scheme, one) for scheme in ("redis", "postgresql") for one in CUT)],
)
def test_a_password_that_a_client_would_cut_in_two_is_refused_unseen(scheme: str, password: str) -> None:
    """Else its first part is taken for a port or a host, which the client's own message then shows."""
    with pytest.raises(InvalidInputError, match="write / as %2F") as caught:
        ModelStore(f"{scheme}://u:{password}@127.0.0.1:1/0").initialize()
    assert not any(part in str(caught.value) for part in ("geh", "eim", "12/", "34"))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:geh%2Feim@h:5432/db?application_name=a@b",
        "postgresql://h1:5432,h2:5433,[::1]:5434,h4/db?application_name=a@b",
        "postgresql://[::1]/db",
        "postgresql://u@/db?host=/run/a",
        "redis://u:a@b@h:1/0",
        "unix://u:p@/run/a@b/s",
        "unix:///run/a@b/s",
    ],
)
def test_what_is_plain_is_not_refused(url: str) -> None:
    assert take_options(url, url.partition(":")[0], {"prefix"})[0].startswith(url.partition("?")[0])


def test_an_export_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    with ModelStore(tmp_path / "a.db") as store, pytest.raises(StoreError, match="none/x cannot be made"):
        store.export_to(tmp_path / "none" / "x")


@pytest.mark.parametrize("name", ["a.json", "a.db"])
def test_a_folder_is_no_store(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(InvalidInputError, match="is a folder; give a file in it"):
        ModelStore(tmp_path / name).initialize()
    assert list((tmp_path / name).iterdir()) == []
