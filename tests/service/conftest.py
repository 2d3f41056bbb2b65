"""Real servers, started once per session from wheels; TEST_REDIS_URL and TEST_PG_DSN point at any other."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from calibrig.testing.servers import PostgresServer, ValkeyServer


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    if given := os.environ.get("TEST_REDIS_URL"):
        yield given
        return
    with ValkeyServer() as server:
        yield server.url


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    if given := os.environ.get("TEST_PG_DSN"):
        yield given
        return
    with PostgresServer() as server:
        yield server.url
