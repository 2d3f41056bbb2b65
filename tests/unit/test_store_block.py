"""The store's native block: what is in it, when it is stale, who may write it; and an engine that follows a store."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from engine_markets import HAWKES, QUOTING, RISK, X, random_market

from calibrig import HardwareInTheLoopBridge, ModelStore
from calibrig.engine import Engine, replay
from calibrig.errors import (
    FileFormatError,
    InvalidInputError,
    MissingFileError,
    StoreUnavailableError,
)
from calibrig.models.signal import reference_model
from calibrig.parameters import Evidence, Verdict
from calibrig.store import read_applied, read_block
from calibrig.testing.store import SIGNAL, wait_until


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with ModelStore(tmp_path / "a.db") as opened:
        opened.publish("X", {"hawkes": HAWKES, "quoting": QUOTING, "risk": RISK}, "anna", "first")
        yield opened


def versions(block: Any, symbol: str = "X") -> dict[str, int]:
    (found,) = [one for one in block.symbols if one["symbol"] == symbol]
    return {kind: about["version_id"] for kind, about in found["versions"].items()}


def test_an_update_of_another_process_reaches_the_block_whole(store: ModelStore, tmp_path: Path) -> None:
    """A release of two kinds is one publication, and it is there before this process's subscribers hear of it."""
    path = tmp_path / "x.block"
    with store.share(path) as block, ModelStore(tmp_path / "a.db") as writer:
        assert versions(read_block(path)) == {"hawkes": 1, "quoting": 1, "risk": 1}
        seen: list[dict[str, int]] = []
        store.subscribe(lambda version: seen.append(versions(block.status())))
        before = block.status().publications
        writer.publish("X", {"risk": {"max_position": 7}, "signal": SIGNAL}, "ben", "second")
        assert wait_until(lambda: len(seen) == 2)
        assert seen == [{"hawkes": 1, "quoting": 1, "risk": 2, "signal": 1}] * 2
        assert block.status().publications == before + 1
        writer.update("risk", "NEW", RISK, "ben", "another symbol")
        assert wait_until(lambda: len(read_block(path).symbols) == 2)
        assert path.stat().st_mode & 0o777 == 0o600
    assert not path.exists()


def test_what_travels_with_a_version(store: ModelStore) -> None:
    """Author, reason, verdict and age; text is cut between characters; no calibration has no age."""
    store.update("hawkes", "X", HAWKES, "ä" * 60, "é" * 300, evidence=Evidence(verdict=Verdict.PASS))
    (found,) = store.share().status().symbols
    about = found["versions"]["hawkes"]
    assert about["updated_by"] == "ä" * 31  # 62 of 63 bytes
    assert about["comment"] == "é" * 127
    assert (about["verdict"], about["origin"]) == ("PASS", "calibrated")
    assert 0 <= about["calibration_age_s"] < 60
    store.load_default_parameters("D")
    (default,) = [one for one in store.share().status().symbols if one["symbol"] == "D"]
    assert math.isinf(default["age_s"])


def test_what_cannot_be_shared_is_refused(store: ModelStore, tmp_path: Path) -> None:
    path = tmp_path / "x.block"
    store.share(path)
    with pytest.raises(StoreUnavailableError, match="another process"):
        store.share(path)
    for capacity in (0, 5000, True, 1.5):
        with pytest.raises(InvalidInputError, match="capacity"):
            store.share(capacity=capacity)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="sequence"):
        store.share(symbols="X")
    store.update("risk", "Y", RISK, "anna", "x")
    with pytest.raises(InvalidInputError, match="2 symbols"):
        store.share(capacity=1)
    with pytest.raises(MissingFileError, match="store share"):
        read_block(tmp_path / "none.block")
    for content in (b"", b"x" * 10_000, b"\0" * 8192):
        (tmp_path / "bad").write_bytes(content)
        with pytest.raises(FileFormatError):
            read_block(tmp_path / "bad")
        with pytest.raises(FileFormatError):
            read_applied(tmp_path / "bad")
    long = msgspec.structs.replace(HAWKES, profile=(1.0,) * 1441)
    store.update("hawkes", "X", long, "anna", "too fine")
    assert versions(read_block(path)) == {}  # fails closed: a loop sees no parameters


def test_a_symbol_without_room_stays_out(store: ModelStore, caplog: pytest.LogCaptureFixture) -> None:
    with store.share(capacity=1) as block:
        store.update("risk", "Y", RISK, "anna", "x")
        assert [one["symbol"] for one in block.status().symbols] == ["X"]
    assert "no room for Y" in caplog.text


def test_the_block_is_stale_while_the_backend_is_silent(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = store.share()
    assert wait_until(lambda: not block.status().stale)
    backend: Any = store._backend
    works = backend.load_heads

    def silent(after: int) -> Any:
        raise StoreUnavailableError("silent")

    monkeypatch.setattr(backend, "load_heads", silent)
    assert wait_until(lambda: block.status().stale)
    assert versions(block.status()) == {"hawkes": 1, "quoting": 1, "risk": 1}  # the last good set, marked
    monkeypatch.setattr(backend, "load_heads", works)
    assert wait_until(lambda: not block.status().stale)
    store.close()
    assert block.status().stale


PUBLISHER = """
import sys, time
from calibrig import HardwareInTheLoopBridge, ModelStore
with ModelStore(sys.argv[1]) as store:
    store.share(sys.argv[2])
    print("ready", flush=True)
    while True:
        limit = store.get_risk_parameters("X").max_position % 100 + 1
        store.update_risk_parameters("X", {"max_position": limit}, "bot", "again")
"""


def test_a_killed_writer_leaves_a_whole_set_that_is_stale(store: ModelStore, tmp_path: Path) -> None:
    """kill -9 in the middle of publications: the set is whole, called stale within 2 s, and the next writer takes over."""
    path = tmp_path / "x.block"
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", PUBLISHER, str(tmp_path / "a.db"), str(path)], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            time.sleep(0.05)
            process.send_signal(signal.SIGKILL)
        found = read_block(path)
        assert set(versions(found)) == {"hawkes", "quoting", "risk"}
        assert wait_until(lambda: read_block(path).stale, 2.0)
    store.refresh()
    with store.share(path):
        assert versions(read_block(path)) == store.snapshot("X").versions
        assert wait_until(lambda: not read_block(path).stale)


# -- an engine that follows -----------------------------------------------------------------------------------------


def test_an_engine_follows_the_store_and_records_what_was_in_force(store: ModelStore, tmp_path: Path) -> None:
    """Every order names the risk version in force at its tick; the same sets at the same ticks give the same run."""
    market = random_market(5, ticks=200_000)
    applied = tmp_path / "applied"
    engine = Engine(market, store.snapshot("X"), applied_path=applied)
    sets = {1: store.snapshot("X")}
    with ModelStore(tmp_path / "a.db") as writer:
        end = engine.follow(store)
        begun = threading.Event()

        def write() -> None:
            for limit in range(11, 60):
                if limit == 15:
                    begun.wait(60.0)
                version = writer.update_risk_parameters("X", {"max_position": limit}, "ben", "more")
                sets[version.version_id] = msgspec.structs.replace(writer.snapshot("X"), stale=False)

        thread = threading.Thread(target=write)
        thread.start()
        while engine.versions["risk"] < 3:  # the loop begins with sets under way
            time.sleep(0.001)

        def let_others_write(ticks: int) -> None:
            begun.set()
            assert wait_until(lambda: engine.versions["risk"] > 5, 60.0), ticks

        result = engine.run(on_progress=let_others_write, progress_ticks=10_000)
        thread.join()
        figures = engine.time_to_apply
        assert read_applied(applied) == figures
        end()
    rows = result.updates
    used = {1, *rows.risk_version.tolist()}
    assert rows.rows > 1
    in_force = rows.risk_version[np.searchsorted(rows.event, result.orders.event, side="right") - 1]
    assert np.array_equal(in_force, result.orders.risk_version)
    assert figures.versions == {"hawkes": 1, "quoting": 1, "risk": int(rows.risk_version[-1])}
    live = result.apply_ns[result.apply_ns >= 0]
    assert figures.from_stamp["count"] == len(live) == figures.applied
    assert figures.from_stamp["max"] == live.max() > 0
    # from the hand-over is the shorter part of the same way
    assert figures.from_handover["max"] <= figures.from_stamp["max"]
    again = replay(
        market,
        sets[int(rows.risk_version[0])],
        updates=[(int(e), sets[int(v)]) for e, v in zip(rows.event[1:], rows.risk_version[1:], strict=True)],
    )
    assert used <= set(sets)
    for name in ("orders", "fills", "sessions", "reasons"):
        one, other = getattr(result, name), getattr(again, name)
        assert all(np.array_equal(one[column], other[column]) for column in one), name
    assert (again.apply_ns == -1).all()  # nothing of it was live


def test_an_engine_sends_nothing_while_its_store_is_stale(store: ModelStore) -> None:
    market = random_market(6, ticks=20_000)
    engine = Engine(market, store.snapshot("X"), accept=("unversioned", "stale"))
    engine.follow(store)
    store.close()
    result = engine.run()
    assert result.orders.rows == 0
    assert result.counts["stale_parameters"] == 1


def test_an_engine_that_follows_no_more_keeps_the_last_set(store: ModelStore) -> None:
    engine = Engine(random_market(6, ticks=20_000), store.snapshot("X"))
    engine.follow(store)()
    store.update_risk_parameters("X", {"max_position": 3}, "ben", "unseen")
    store.close()
    result = engine.run()
    assert set(result.orders.risk_version.tolist()) == {1}


def test_a_set_that_cannot_be_traded_stops_the_engine_until_a_good_one_comes(
    store: ModelStore, caplog: pytest.LogCaptureFixture
) -> None:
    """Going on with the old numbers would ignore what the desk decided."""
    market = random_market(7, ticks=20_000)
    engine = Engine(market, store.snapshot("X"))
    engine.follow(store)
    store.update_as_parameters("X", {"tick_size": 0.05}, "ben", "another market's tick")
    assert "cannot be traded with" in caplog.text
    stopped = Engine(market, store.snapshot("X").__class__(symbol="X")).run()
    assert engine.run().orders.rows == stopped.orders.rows == 0

    engine = Engine(market, store.snapshot("X").__class__(symbol="X"))
    engine.follow(store)  # the store's set is bad now
    store.update_as_parameters("X", {"tick_size": X.tick_size}, "ben", "as it was")
    assert engine.run().orders.rows > 0


def test_a_default_pushed_by_the_store_is_refused(tmp_path: Path) -> None:
    market = random_market(8, ticks=5_000)
    with ModelStore(tmp_path / "a.db") as store:
        engine = Engine(market, store.snapshot("X"))
        engine.follow(store)
        store.load_default_parameters("X", instrument=X)
        result = engine.run()
    assert result.orders.rows == 0
    assert result.counts["default_parameters"] == 1


def test_a_signal_model_that_is_pushed_reaches_bridge_and_orders(store: ModelStore) -> None:
    """The bridge is given the new model; every order names the signal version that made it; none is mismatched."""
    first = msgspec.structs.replace(reference_model(), horizon_s=1.0)
    second = msgspec.structs.replace(first, weights=tuple(-weight for weight in first.weights))
    store.update_signal_model("X", first, "anna", "first")
    with HardwareInTheLoopBridge(model=store.get_signal_model("X")) as bridge:
        bridge.initialize()
        engine = Engine(random_market(9, ticks=20_000), store.snapshot("X"), bridge)
        engine.follow(store)
        with ModelStore(store_path(store)) as writer:
            writer.update_signal_model("X", second, "ben", "turned round")
        assert wait_until(lambda: engine.versions.get("signal") == 2)
        assert wait_until(lambda: bridge.model.model_id == second.model_id)
        result = engine.run()
    assert result.orders.rows > 0
    assert set(result.orders.signal_version.tolist()) == {2}
    assert result.counts["model_mismatch"] == result.counts["bridge_fault"] == 0


def store_path(store: ModelStore) -> str:
    return store.status().url


READ_DAMAGED = """
import random, sys
from pathlib import Path
from calibrig.errors import CalibrigError
from calibrig.store import read_applied, read_block

for name, read in (("x.block", read_block), ("x.applied", read_applied)):
    whole = (Path(sys.argv[1]) / name).read_bytes()
    damaged, outcomes = Path(sys.argv[1]) / "damaged", set()
    rng = random.Random(7)
    used = [at for at in range(0, len(whole), 8) if any(whole[at : at + 8])] + list(range(0, 256, 8))
    for _ in range(400):
        content = bytearray(whole)
        for _ in range(rng.choice((1, 1, 3, 40))):
            at = rng.choice(used)
            content[at : at + 8] = rng.choice((b"\\xff" * 8, b"\\0" * 8, rng.randbytes(8), b"\\0" * 7 + b"\\x80"))
        if rng.random() < 0.1:
            del content[rng.randrange(len(content)) :]
        damaged.write_bytes(content)
        try:
            read(damaged)
            outcomes.add("read")
        except CalibrigError as error:
            outcomes.add(type(error).__name__)
    print(sorted(outcomes))
"""


def test_damaged_blocks_end_in_a_typed_error_or_a_reading_never_in_a_crash(
    store: ModelStore, tmp_path: Path
) -> None:
    """Any words of the files exchanged, cut anywhere; the reader runs in a process of its own."""
    store.update_signal_model("X", SIGNAL, "anna", "first")
    with store.share(tmp_path / "live.block", capacity=1):
        engine = Engine(
            random_market(9, ticks=500), store.snapshot("X"), applied_path=tmp_path / "live.applied"
        )
        engine.run()
        for name in ("block", "applied"):
            (tmp_path / f"x.{name}").write_bytes((tmp_path / f"live.{name}").read_bytes())
    done = subprocess.run(
        [sys.executable, "-c", READ_DAMAGED, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("FileFormatError") == done.stdout.count("'read'") == 2
