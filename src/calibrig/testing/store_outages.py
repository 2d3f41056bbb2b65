"""A server that is stopped, hung, cut off, restarted or replaced by noise, and what a store must do meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from typing import Any

import msgspec

from calibrig.errors import CalibrigError, StoreError
from calibrig.store import ModelStore
from calibrig.testing.proxy import FaultProxy, Mode
from calibrig.testing.servers import PostgresServer, ValkeyServer
from calibrig.testing.store import RISK, wait_until

__all__ = ["OUTAGES", "run_outages"]

Server = ValkeyServer | PostgresServer
STALE_WITHIN_S = 1.0
BACK_WITHIN_S = 1.0
OUTAGES: tuple[str, ...] = (
    "half_open",
    "stall",
    "cut",
    "refuse",
    "garbage",
    "delay",
    "split",
    "hang",
    "kill",
    "stop",
    "listener killed",
)
LATE = ("still called fresh", "not back after")
SPOILING: tuple[str, ...] = ("half_open", "stall", "cut", "refuse", "garbage", "hang", "kill", "stop")


class _Reader(threading.Thread):
    """Reads all the time; keeps the slowest read and whether a version ever went back."""

    def __init__(self, store: ModelStore) -> None:
        super().__init__(daemon=True)
        self._store = store
        self._stop_asked = threading.Event()
        self.slowest_s = 0.0
        self.reads = 0
        self.backwards = 0

    def run(self) -> None:
        """Read until asked to stop."""
        last = 0
        while not self._stop_asked.is_set():
            before = time.thread_time()
            found = self._store.get_risk_parameters("A")
            self.slowest_s = max(self.slowest_s, time.thread_time() - before)
            number = found.version.version_id if found and found.version else 0
            self.backwards += number < last
            last = number
            self.reads += 1
            time.sleep(0.0002)

    def stop(self) -> None:
        """Ask to stop and wait."""
        self._stop_asked.set()
        self.join(10.0)


def _through(server: Server, proxy: FaultProxy) -> str:
    return server.url.replace(f":{server.port}/", f":{proxy.port}/")


@contextmanager
def _spoiled(kind: str, server: Server, proxy: FaultProxy, reader: ModelStore) -> Any:
    """Spoil the server in one way for as long as the block runs."""
    modes: tuple[Mode, ...] = ("half_open", "stall", "cut", "refuse", "garbage", "delay", "split")
    for mode in modes:
        if kind == mode:
            proxy.set_mode(mode)
            try:
                yield
            finally:
                proxy.set_mode("pass")
            return
    if kind == "hang":
        with server.paused():
            yield
    elif kind in {"kill", "stop"}:
        server.kill() if kind == "kill" else server.stop()
        try:
            yield
        finally:
            server.start()
    else:
        _kill_listener(server)
        yield
    del reader


def _kill_listener(server: Server) -> None:
    """End the connections on which notifications come."""
    if isinstance(server, ValkeyServer):
        import socket

        with socket.create_connection(("127.0.0.1", server.port), timeout=2.0) as link:
            link.sendall(b"CLIENT KILL TYPE pubsub\r\n")
            link.recv(64)
        return
    from calibrig.store.backends.postgres import PostgresBackend

    backend = PostgresBackend(server.url)
    try:
        backend.end_listeners()
    finally:
        backend.close()


def run_outages(server: Server, *, rounds: int, hold_s: float = 1.3, tries: int = 1) -> dict[str, Any]:
    """Put a running store through every outage ``rounds`` times; return what was seen.

    Wanted, each time: reads go on unchanged; the set is called stale within 1 s of the fault; a write either is
    acknowledged and there afterwards, or raises a StoreError; the set is fresh within 1 s of the server's return, and
    every version that was acknowledged meanwhile by whom the fault did not touch is there.

    Where only a time was missed, the outage is tried up to ``tries`` times: on a busy machine a process may have to wait
    for its turn, while a limit that is really too long is missed each time.
    """
    problems: list[str] = []
    runs, slowest_stale, slowest_back = 0, 0.0, 0.0
    with ExitStack() as stack:
        stack.enter_context(server)
        proxy = stack.enter_context(FaultProxy(server.port))
        with ModelStore(server.url) as direct:
            direct.update("risk", "A", RISK, "campaign", "first")
        store = stack.enter_context(ModelStore(_through(server, proxy)))
        reader = _Reader(store)
        reader.start()
        for index in range(rounds):
            for kind in OUTAGES:
                runs += 1
                for _ in range(tries):
                    stale_s, back_s, wrong = _one_outage(kind, server, proxy, store, hold_s)
                    if not wrong or not all(text.startswith(LATE) for text in wrong):
                        break
                problems += [f"round {index}, {kind}: {text}" for text in wrong]
                slowest_stale, slowest_back = max(slowest_stale, stale_s), max(slowest_back, back_s)
        reader.stop()
        if reader.backwards:
            problems.append(f"{reader.backwards} reads went back to an older version")
    return {
        "runs": runs,
        "problems": problems[:20],
        "violations": len(problems),
        "stale_after_s": slowest_stale,
        "back_after_s": slowest_back,
        "reads": reader.reads,
        "slowest_read_us": reader.slowest_s * 1e6,
    }


def _one_outage(
    kind: str, server: Server, proxy: FaultProxy, store: ModelStore, hold_s: float
) -> tuple[float, float, list[str]]:
    wrong: list[str] = []
    acknowledged = _wait_fresh(store, wrong)
    stale_s = 0.0
    with _spoiled(kind, server, proxy, store):
        start = time.monotonic()
        if kind in SPOILING:
            stale_s, fresh_until_s = _watch(lambda: store.stale, STALE_WITHIN_S + 4.0)
            if fresh_until_s > STALE_WITHIN_S:
                wrong.append(f"still called fresh after {fresh_until_s:.2f} s")
            if store.get_risk_parameters("A") is None:
                wrong.append("the last good version is no longer served")
        acknowledged = max(acknowledged, _try_write(store, wrong))
        if kind in {"half_open", "stall", "cut", "refuse", "garbage"}:
            acknowledged = max(acknowledged, _write_directly(server))
        time.sleep(max(0.0, hold_s - (time.monotonic() - start)) if kind in SPOILING else 0.0)
    back_s, gone_until_s = _watch(lambda: not store.stale and _version(store) >= acknowledged, 10.0)
    if gone_until_s > (BACK_WITHIN_S if kind in SPOILING else 10.0):
        wrong.append(
            f"not back after {gone_until_s:.2f} s: {store.status().problem}, {_version(store)} of {acknowledged}"
        )
    try:
        if not store.verify().ok:
            wrong.append("does not verify")
    except CalibrigError as error:
        wrong.append(f"verify: {error}")
    return stale_s, back_s, wrong


def _watch(condition: Callable[[], bool], timeout_s: float) -> tuple[float, float]:
    """Look until ``condition`` holds; return when it was first seen true, and when it was last seen false.

    Only the second is evidence against a limit: a busy machine may keep the one who looks waiting.
    """
    start = time.monotonic()
    last_false_s = 0.0
    while True:
        look_s = time.monotonic() - start
        if condition():
            return time.monotonic() - start, last_false_s
        last_false_s = look_s
        if look_s > timeout_s:
            return look_s, look_s
        time.sleep(0.001)


def _wait_fresh(store: ModelStore, wrong: list[str]) -> int:
    if not wait_until(lambda: not store.stale, 10.0):
        wrong.append("stale before the fault")
    return _version(store)


def _version(store: ModelStore) -> int:
    found = store.get_risk_parameters("A")
    return found.version.version_id if found and found.version else 0


def _try_write(store: ModelStore, wrong: list[str]) -> int:
    """Write through the fault: a number, or a typed error within a bounded time; never anything else."""
    start = time.monotonic()
    try:
        version = store.update(
            "risk", "A", msgspec.structs.replace(RISK, max_position=7), "campaign", "in the fault"
        )
    except StoreError:
        version = None
    if time.monotonic() - start > 15.0:
        wrong.append(f"a write took {time.monotonic() - start:.1f} s")
    return version.version_id if version else 0


def _write_directly(server: Server) -> int:
    with ModelStore(server.url) as direct:
        return direct.update("risk", "A", RISK, "campaign", "by whom the fault does not touch").version_id


def timed(run: Callable[[], dict[str, Any]]) -> tuple[dict[str, Any], float]:
    """Return what ``run`` found and how long it took."""
    start = time.monotonic()
    found = run()
    return found, time.monotonic() - start
