"""The store's commands against real servers: the same words and exit codes as with files, and no secret in any."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from calibrig.cli.frame import run_command_line

LIMITS = (
    "max_position=100",
    "normal_volatility_threshold=2",
    "elevated_volatility_threshold=3",
    "high_stress_volatility_threshold=5",
)


class _Shell:
    def __init__(self, url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self._monkeypatch = monkeypatch
        self.use(url)

    def use(self, url: str) -> None:
        """URLs with passwords belong into the environment."""
        self._monkeypatch.setenv("CALIBRIG_STORE", url)

    def __call__(self, *words: str, code: int = 0) -> str:
        self._capsys.readouterr()
        found = run_command_line(["store", *words])
        out, self.err = self._capsys.readouterr()
        assert found == code, (found, out, self.err)
        assert "geheim" not in out + self.err
        return out

    def json(self, *words: str, code: int = 0) -> Any:
        return json.loads(self(*words, "--json", code=code))


@pytest.fixture(params=["redis", "postgres"])
def shell(
    request: pytest.FixtureRequest,
    redis_url: str,
    postgres_url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> _Shell:
    name = secrets.token_hex(6)
    url = f"{redis_url}?prefix={name}" if request.param == "redis" else f"{postgres_url}?schema=s{name}"
    return _Shell(url, capsys, monkeypatch)


def test_a_day_at_the_desk(shell: _Shell, tmp_path: Path) -> None:
    shell("get", "risk", "BTC", code=2)
    assert "calibrig store init" in shell.err
    shell("init")
    shell("set", "risk", "BTC", *LIMITS, "--dry-run")
    assert shell.json("history") == []
    made = shell.json("set", "risk", "BTC", *LIMITS, "--by", "anna", "-m", "first", "--yes")
    assert made["version"]["version_id"] == 1
    shell("set", "risk", "BTC", "max_position=60", "--by", "ben", "-m", "less", "--yes")
    assert [one["version"]["updated_by"] for one in shell.json("history", "risk")] == ["anna", "ben"]
    assert len(shell.json("history", "--since", "30d", "--by", "ben")) == 1
    assert "-40.00%" in shell("diff", "risk", "BTC", "1", "2")
    assert "+66.67%" in shell("rollback", "risk", "BTC", "1", "--dry-run")
    assert (
        shell.json("rollback", "risk", "BTC", "1", "--by", "ben", "-m", "x", "--yes")["version"]["version_id"]
        == 3
    )
    shell("init", "--second-person", "risk", "--by", "anna")
    shell("set", "risk", "BTC", "max_position=70", "--by", "ben", "-m", "more", "--yes")
    assert "proposed by ben" in shell("pending")
    shell("approve", "risk", "BTC", "--by", "ben", "--yes", code=5)
    shell("approve", "risk", "BTC", "--by", "anna", "--yes")
    shell("tighten", "BTC", "max_position=50", "--by", "ben", "-m", "storm", "--yes")
    shell("tighten", "BTC", "max_position=500", "--by", "ben", "-m", "storm", "--yes", code=5)
    assert shell.json("verify", "--write-anchor", str(tmp_path / "anchor.json"))["ok"]
    shell("verify", "--anchor", str(tmp_path / "anchor.json"))
    shell("export", str(tmp_path / "all.calibrig"))
    shell.use(f"sqlite:///{tmp_path}/copy.db")
    assert shell.json("import", str(tmp_path / "all.calibrig"), "--yes")["versions"] == 7
    assert shell.json("get", "risk", "BTC")["parameters"]["max_position"] == 50


def test_a_redis_reader_needs_few_rights_and_may_not_write(
    redis_url: str,
    as_user: Callable[[str, str, str], str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The rights that docs/store.md names are enough to read, and say what is missing to write."""
    prefix, user = secrets.token_hex(6), f"reader{secrets.token_hex(4)}"
    shell = _Shell(f"{redis_url}?prefix={prefix}", capsys, monkeypatch)
    shell("init")
    shell("set", "risk", "BTC", *LIMITS, "--by", "anna", "-m", "first", "--yes")
    rights = ("+@read", "+info", "+eval", "+evalsha", "+subscribe", "+select")
    with redis.Redis.from_url(redis_url) as client:
        client.execute_command(
            "ACL", "SETUSER", user, "on", ">geheim", f"~{{{prefix}}}*", f"&{{{prefix}}}*", *rights
        )
        try:
            shell.use(f"{as_user(redis_url, user, 'geheim')}?prefix={prefix}")
            assert shell.json("get", "risk", "BTC")["version"]["version_id"] == 1
            shell("verify")
            shell("set", "risk", "BTC", "max_position=1", "--by", "ben", "-m", "x", "--yes", code=5)
            assert "does not let this user do that" in shell.err
            assert len(shell.json("history")) == 1
        finally:
            client.execute_command("ACL", "DELUSER", user)


def test_urls_that_cannot_be_say_what_to_mend(
    redis_url: str,
    postgres_url: str,
    as_user: Callable[[str, str, str], str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shell = _Shell("sqlite:///none.db", capsys, monkeypatch)
    for url, code, words in (
        ("redis://127.0.0.1:99999/0", 2, "give redis://"),
        (redis_url.rpartition("/")[0] + "/99999", 2, "give a database that the server has"),
        ("redis://u:geheim@nosuchhost.invalid/0", 75, "check the host's name"),
        ("postgresql://u:geheim@nosuchhost.invalid/x", 75, "check the host's name"),
        ("postgresql://u:geheim@127.0.0.1/x?sslmode=bogus", 2, "mend that option"),
        (redis_url.replace("redis://", "rediss://"), 75, ""),
        (as_user(redis_url, "u", "geheim"), 5, "check both"),
    ):
        shell.use(url)
        shell("history", code=code)
        assert words in shell.err, shell.err
    with psycopg.connect(postgres_url) as connection:
        user = f"user{secrets.token_hex(4)}"
        connection.execute(f"CREATE ROLE {user} LOGIN PASSWORD 'geheim'")  # type: ignore[arg-type]
        connection.commit()
        try:
            shell.use(f"{as_user(postgres_url, user, 'geheim')}?schema=snone")
            shell("init", code=5)
            assert "check user, password and role" in shell.err
        finally:
            connection.execute(f"DROP ROLE {user}")  # type: ignore[arg-type]
