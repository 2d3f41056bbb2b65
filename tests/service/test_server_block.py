"""The native block over a real server: pushed to, stale while the server is hung or gone, fresh when it is back."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from calibrig import ModelStore
from calibrig.errors import CalibrigError, StoreUnavailableError
from calibrig.store import read_block
from calibrig.testing.servers import PostgresServer, ValkeyServer
from calibrig.testing.store import RISK, wait_until


def risk_version(path: Path) -> int:
    (found,) = read_block(path).symbols
    return int(found["versions"]["risk"]["version_id"])


@pytest.mark.parametrize("server", [ValkeyServer, PostgresServer])
@pytest.mark.skipif(
    bool(os.environ.get("TEST_REDIS_URL") or os.environ.get("TEST_PG_DSN")),
    reason="stops only servers of its own",
)
def test_a_block_follows_its_server_and_fails_closed(
    server: type[ValkeyServer] | type[PostgresServer], tmp_path: Path
) -> None:
    path = tmp_path / "x.block"
    with server(syncs=False) as running, ModelStore(running.url) as store, store.share(path):
        with ModelStore(running.url) as writer:
            writer.update_risk_parameters("X", RISK, "anna", "first")
            assert wait_until(lambda: read_block(path).symbols != () and risk_version(path) == 1)
            assert wait_until(lambda: not read_block(path).stale)
        with running.paused():
            assert wait_until(lambda: read_block(path).stale)
            assert risk_version(path) == 1  # the last good one, marked
            begun = time.monotonic()
            with pytest.raises(StoreUnavailableError):
                store.observe()
            assert time.monotonic() - begun < 30.0  # a hung server does not hold the caller for ever
        assert wait_until(lambda: not read_block(path).stale, 30.0)
        running.kill()
        assert wait_until(lambda: read_block(path).stale)
        running.start()
        assert wait_until(lambda: not read_block(path).stale, 30.0)
        with ModelStore(running.url) as writer:
            assert writer.update_risk_parameters("X", {"max_position": 7}, "ben", "less").version_id == 2
        assert wait_until(lambda: risk_version(path) == 2)
        assert _recorded(store) > 0


def _recorded(store: ModelStore) -> int:
    """Record once the server is wholly back: the first connection after its death may still be refused."""
    for _ in range(20):
        try:
            return len(store.observe())
        except CalibrigError:
            time.sleep(0.1)
    return 0
