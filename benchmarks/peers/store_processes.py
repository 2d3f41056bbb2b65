"""Other processes of bench_store: ``writer URL SYMBOL HERTZ SECONDS`` and ``listener URL COUNT`` (as JSON)."""

from __future__ import annotations

import json
import sys
import threading
import time

from calibrig import ModelStore
from calibrig.testing.store import RISK


def write(url: str, symbol: str, hertz: float, seconds: float) -> None:
    """Update one key at a steady rate; print how many updates it made."""
    with ModelStore(url) as store:
        print("ready", flush=True)
        sys.stdin.readline()
        start, count = time.perf_counter(), 0
        while (now := time.perf_counter() - start) < seconds:
            store.update("risk", symbol, RISK, "writer", "tick")
            count += 1
            time.sleep(max(0.0, count / hertz - now))
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
    if sys.argv[1] == "writer":
        write(sys.argv[2], sys.argv[3], float(sys.argv[4]), float(sys.argv[5]))
    else:
        listen(sys.argv[2], int(sys.argv[3]))
