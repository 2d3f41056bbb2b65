"""Other processes of bench_store: ``writer`` or ``appender URL SYMBOL HERTZ SECONDS``, ``listener URL COUNT`` (as JSON)."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable

from calibrig import ModelStore
from calibrig.store import open_backend
from calibrig.store.record import GENESIS, seal
from calibrig.testing.store import RISK, make_content


def write(url: str, symbol: str, hertz: float, seconds: float) -> None:
    """Update one key at a steady rate; print how many updates it made."""
    with ModelStore(url) as store:
        _repeat(lambda: store.update("risk", symbol, RISK, "writer", "tick"), hertz, seconds)


def append(url: str, symbol: str, hertz: float, seconds: float) -> None:
    """The same without a store: no watcher that follows what the other writers do."""
    backend = open_backend(url)
    number, last = 0, GENESIS

    def once() -> None:
        nonlocal number, last
        record = seal(make_content(number + 1, last, symbol=symbol, updated_at=time.time_ns()))
        backend.append([record])
        number, last = number + 1, record.hash

    _repeat(once, hertz, seconds)
    backend.close()


def _repeat(call: Callable[[], object], hertz: float, seconds: float) -> None:
    print("ready", flush=True)
    sys.stdin.readline()
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        call()
        count += 1
        time.sleep(max(0.0, start + count / hertz - time.perf_counter()))
    print(count, flush=True)


def listen(url: str, count: int) -> None:
    """Print, for each version pushed here, its number and when its callback ran, ns."""
    told: list[tuple[int, int]] = []
    done = threading.Event()

    def take(version: object) -> None:
        told.append((version.version_id, time.time_ns()))  # type: ignore[attr-defined]
        if len(told) >= count:
            done.set()

    with ModelStore(url) as store:
        store.subscribe(take)
        print("ready", flush=True)
        done.wait(120.0)
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    if sys.argv[1] in {"writer", "appender"}:
        run = write if sys.argv[1] == "writer" else append
        run(sys.argv[2], sys.argv[3], float(sys.argv[4]), float(sys.argv[5]))
    else:
        listen(sys.argv[2], int(sys.argv[3]))
