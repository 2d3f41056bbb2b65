"""Real servers, started once per session: from wheels, and Debian's own (mark ``system``).

They leave it to the kernel when writes reach the disk: these tests end processes, not the power, and must not depend on
how long a disk takes to sync. TEST_REDIS_URL and TEST_PG_DSN (a superuser's) point at any other in the wheels' place.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from calibrig.testing.servers import PostgresServer, ValkeyServer

AsUser = Callable[[str, str, str], str]
DEBIAN_POSTGRES = Path("/usr/lib/postgresql/15/bin")
DEBIAN_REDIS = (Path("/usr/bin/redis-server"), Path("/usr/bin/redis-check-rdb"))
WHEEL_AND_DEBIAN = ["wheel", pytest.param("debian", marks=pytest.mark.system)]


def debian_redis() -> ValkeyServer:
    """Return Debian's Redis; its program goes by two names, of which the second is there without a service."""
    for program in DEBIAN_REDIS:
        if program.exists():
            return ValkeyServer(program=str(program), syncs=False)
    pytest.skip("Debian's redis-tools is not installed")


def debian_postgres() -> PostgresServer:
    if not (DEBIAN_POSTGRES / "postgres").exists():
        pytest.skip("Debian's postgresql-15 is not installed")
    return PostgresServer(programs=DEBIAN_POSTGRES, syncs=False)


def wheel_redis() -> ValkeyServer:
    return ValkeyServer(syncs=False)


def wheel_postgres() -> PostgresServer:
    return PostgresServer(syncs=False)


SERVERS = [
    pytest.param(wheel_redis, id="valkey-wheel"),
    pytest.param(wheel_postgres, id="postgres-wheel"),
    pytest.param(debian_redis, id="redis-debian", marks=pytest.mark.system),
    pytest.param(debian_postgres, id="postgres-debian", marks=pytest.mark.system),
]


@pytest.fixture(params=SERVERS)
def own_server(request: pytest.FixtureRequest) -> ValkeyServer | PostgresServer:
    """A server that the test may stop; not started yet."""
    make: Callable[[], ValkeyServer | PostgresServer] = request.param
    return make()


@pytest.fixture(scope="session", params=WHEEL_AND_DEBIAN)
def redis_url(request: pytest.FixtureRequest) -> Iterator[str]:
    given = os.environ.get("TEST_REDIS_URL")
    if given and request.param == "wheel":
        yield given
        return
    with wheel_redis() if request.param == "wheel" else debian_redis() as server:
        yield server.url


@pytest.fixture(scope="session", params=WHEEL_AND_DEBIAN)
def postgres_url(request: pytest.FixtureRequest) -> Iterator[str]:
    given = os.environ.get("TEST_PG_DSN")
    if given and request.param == "wheel":
        yield given
        return
    with wheel_postgres() if request.param == "wheel" else debian_postgres() as server:
        yield server.url


@pytest.fixture(scope="session")
def as_user() -> AsUser:
    """Return what puts another user and password into a URL."""

    def replace(url: str, user: str, password: str) -> str:
        parts = urlsplit(url)
        return url.replace(f"//{parts.netloc}/", f"//{user}:{password}@{parts.netloc.rpartition('@')[2]}/", 1)

    return replace
