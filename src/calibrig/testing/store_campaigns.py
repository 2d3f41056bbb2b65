"""The fault campaigns of the store, small for every test run and in full for ``calibrig prove store``."""

from __future__ import annotations

import logging
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from calibrig.errors import CalibrigError, MissingDependencyError, UnavailableError
from calibrig.store import Anchor, ModelStore
from calibrig.testing.power_cut import disk_states
from calibrig.testing.store import HAWKES, QUOTING, RISK, SteppedClock
from calibrig.testing.store_workload import check_store, make_updates
from calibrig.testing.syscalls import Call, build_shim, read_calls, run_with_shim

__all__ = ["CampaignRow", "StoreProof", "check_power_cuts", "prove_store", "record_updates", "work_folder"]


class CampaignRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one campaign did and found.

    Attributes
    ----------
    name, backend : str
        Which.
    runs : int
        States, kills, calls, bytes, outages tried.
    wanted : int
        How many a full campaign tries at least.
    violations : int
        Broken promises.
    problems : tuple of str
        The first of them.
    seconds : float
        Wall time.
    detail : dict
        Figures of the campaign's own.
    """

    name: str
    backend: str
    runs: int
    wanted: int
    violations: int
    problems: tuple[str, ...]
    seconds: float
    detail: dict[str, float]


class StoreProof(msgspec.Struct, frozen=True, kw_only=True):
    """All campaigns of one seed.

    Attributes
    ----------
    seed : int
        Which.
    rows : tuple of CampaignRow
        One per campaign and backend.
    skipped : tuple of str
        Campaigns this machine cannot run, and why.
    """

    seed: int
    rows: tuple[CampaignRow, ...]
    skipped: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether no promise was broken."""
        return all(row.violations == 0 for row in self.rows)


class _Scale(msgspec.Struct, frozen=True):
    """How large each campaign is."""

    power_cut_states: int
    kills: int
    fault_stride: int
    full_stride: dict[str, int]
    outage_rounds: int
    clock_runs: int
    tamper_stride: int


FULL = _Scale(50_000, 1_000, 1, {".json": 1, ".db": 17}, 10, 500, 1)
SMALL = _Scale(1_000, 30, 5, {".json": 131, ".db": 2_503}, 1, 20, 37)


@contextmanager
def work_folder() -> Iterator[Path]:
    """Work in memory where there is such a place: the shim, not the disk, is what is looked at."""
    memory = Path("/dev/shm")
    base = memory if memory.is_dir() and shutil.disk_usage(memory).free > 2**29 else None
    with tempfile.TemporaryDirectory(prefix="calibrig-prove-", dir=base) as folder:
        yield Path(folder)


def _row(name: str, backend: str, wanted: int, run: Callable[[], dict[str, Any]]) -> CampaignRow:
    start = time.monotonic()
    found = run()
    known = {"runs", "problems", "violations", "unnamed"}
    return CampaignRow(
        name=name,
        backend=backend,
        runs=found["runs"],
        wanted=wanted,
        violations=found["violations"],
        problems=tuple(found["problems"][:10]),
        seconds=time.monotonic() - start,
        detail={key: float(value) for key, value in found.items() if key not in known},
    )


def record_updates(shim: Path, folder: Path, suffix: str, count: int) -> list[Call]:
    """Run ``count`` updates in a process of its own and return its recorded calls."""
    place = folder / f"recorded{suffix}"
    place.mkdir()
    recording = folder / f"calls{suffix}"
    _run_shim(shim, "record", suffix, str(place), str(count), str(recording))
    return list(read_calls(recording))


def _run_shim(shim: Path, *words: str) -> dict[str, Any]:
    done = run_with_shim(shim, "calibrig.testing.store_workload", *words)
    if done.returncode:
        raise UnavailableError(f"a fault campaign ended by itself: {done.stderr.decode()[-2000:]}")
    found: dict[str, Any] = msgspec.json.decode(done.stdout)
    return found


def check_power_cuts(
    calls: list[Call], folder: Path, suffix: str, *, updates: int, states: int, seed: int
) -> dict[str, Any]:
    """Open what a power cut may leave after each recorded call, with the real reader."""
    root = folder / f"recorded{suffix}"
    expected = make_updates(updates)
    runs, problems = 0, []
    per_call, rounds = 24, 0
    while runs < states and rounds < 200:
        for state in disk_states(calls, root, per_call=per_call, seed=seed * 1_000 + rounds):
            place = folder / "state"
            place.mkdir()
            state.write_to(place)
            if problem := check_store(place, suffix, expected, state.acknowledged):
                problems.append(f"after {state.acknowledged} acknowledged updates: {problem}")
            shutil.rmtree(place)
            runs += 1
            if runs >= states:
                break
        rounds += 1
    return {"runs": runs, "problems": problems[:20], "violations": len(problems)}


def _kill(folder: Path, suffix: str, kills: int, writers: int, seed: int) -> dict[str, Any]:
    url = str(folder / f"killed-{writers}{suffix}")
    words = [sys.executable, "-m", "calibrig.testing.store_killing", url, str(kills), str(writers), str(seed)]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode:
        raise UnavailableError(f"the kill campaign ended by itself: {done.stderr.decode()[-2000:]}")
    found: dict[str, Any] = msgspec.json.decode(done.stdout)
    return found


def _tamper(folder: Path, suffix: str, stride: int, seed: int) -> dict[str, Any]:
    """Change every byte of the history, one at a time, and see whether it is noticed (an anchor is kept outside)."""
    path = folder / f"tampered{suffix}"
    with ModelStore(path) as store:
        for index in range(4):
            store.update(
                "risk", "A", msgspec.structs.replace(RISK, max_position=index), "anna", f"limit {index}"
            )
        anchor = store.verify().anchor
    run = _tamper_json if suffix == ".json" else _tamper_sqlite
    return run(path, anchor, stride, random.Random(seed))


def _noticed(path: Path, anchor: Anchor) -> bool:
    try:
        with ModelStore(path) as store:
            return not store.verify(anchor).ok
    except CalibrigError:
        return True


def _tamper_json(path: Path, anchor: Anchor, stride: int, chance: random.Random) -> dict[str, Any]:
    log = path.with_name(path.name + ".log")
    good, readable = log.read_bytes(), path.read_bytes()
    missed, runs = [], 0
    for position in range(0, len(good), stride):
        changed = bytearray(good)
        changed[position] ^= chance.randrange(1, 256)
        log.write_bytes(changed)
        runs += 1
        if not _noticed(path, anchor):
            missed.append(f"byte {position} of the history was changed, and nobody noticed")
        for left in path.parent.glob(f"{path.name}*"):
            if left != log:
                left.unlink()
        log.write_bytes(good)
        path.write_bytes(readable)
    return {"runs": runs, "problems": missed[:20], "violations": len(missed)}


def _tamper_sqlite(path: Path, anchor: Anchor, stride: int, chance: random.Random) -> dict[str, Any]:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("DROP TRIGGER versions_are_never_changed")
    names = ("payload", "hash", "kind", "symbol", "updated_by", "comment", "origin")
    missed, runs = [], 0
    for change, *_ in connection.execute("SELECT change FROM versions").fetchall():
        for name in names:
            where = f"UPDATE versions SET {name} = CAST(? AS TEXT) WHERE change = ?"
            (good,) = connection.execute(
                f"SELECT CAST({name} AS BLOB) FROM versions WHERE change = ?", (change,)
            ).fetchone()
            for position in range(0, len(good), stride):
                changed = bytearray(good)
                changed[position] ^= chance.randrange(1, 256)
                connection.execute(where, (bytes(changed), change))
                runs += 1
                if not _noticed(path, anchor):
                    missed.append(f"byte {position} of {name} of change {change}: nobody noticed")
                connection.execute(where, (good, change))
    connection.close()
    return {"runs": runs, "problems": missed[:20], "violations": len(missed)}


def _clock_steps(folder: Path, suffix: str, runs: int, seed: int) -> dict[str, Any]:
    """Step the clock by up to 8 days either way between writes, restarts and looks.

    Wanted: numbers go up by one; a calibration that is older than a week in real time is never called fresh by a store
    that was running all the time; a stamp from the future is never fresh.
    """
    chance = random.Random(seed)
    problems: list[str] = []
    week_s = 7 * 86_400
    for index in range(runs):
        clock, elapsed = SteppedClock(), [0]
        path = folder / f"clock-{index}{suffix}"
        written_at, number = 0, 0
        with ModelStore(path, clock_ns=clock, monotonic_ns=lambda e=elapsed: e[0]) as store:  # type: ignore[misc]
            for _ in range(12):
                passed = chance.choice((0, 3_600, 86_400, 3 * 86_400)) * 10**9
                elapsed[0] += passed
                clock.now_ns += passed + round(chance.uniform(-8, 8) * 86_400) * 10**9 * chance.choice(
                    (0, 0, 1)
                )
                if number == 0 or chance.random() < 0.3:
                    versions = store.publish("A", {"hawkes": HAWKES, "quoting": QUOTING}, "anna", "x")
                    number += 1
                    written_at = elapsed[0]
                    if [one.version_id for one in versions] != [number, number]:
                        problems.append(f"run {index}: version {versions[0].version_id}, not {number}")
                real_age_s = (elapsed[0] - written_at) / 1e9
                if real_age_s > week_s and not store.needs_recalibration("A", week_s):
                    problems.append(f"run {index}: {real_age_s / 86_400:.1f} days old and called fresh")
        path.unlink(missing_ok=True)
    return {"runs": runs, "problems": problems[:20], "violations": len(problems)}


def _outages(rounds: int) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    from calibrig.testing.servers import PostgresServer, ValkeyServer
    from calibrig.testing.store_outages import run_outages

    yield "redis", lambda: run_outages(ValkeyServer(), rounds=rounds)
    yield "postgres", lambda: run_outages(PostgresServer(), rounds=rounds)


def _power(shim: Path, folder: Path, suffix: str, states: int, *, seed: int) -> dict[str, Any]:
    updates = 20
    calls = record_updates(shim, folder, suffix, updates)
    return check_power_cuts(calls, folder, suffix, updates=updates, states=states, seed=seed)


def _spoil(shim: Path, folder: Path, suffix: str, what: str, *, stride: int) -> dict[str, Any]:
    place = folder / f"{what}{suffix}"
    place.mkdir()
    return _run_shim(shim, what, suffix, str(place), "3", str(stride))


Campaign = tuple[str, str, int, Callable[[], dict[str, Any]]]


def _campaigns(scale: _Scale, seed: int, folder: Path) -> Iterator[Campaign]:
    """Yield name, backend, full size and function of every campaign."""
    shim = build_shim(folder)
    half = scale.kills // 2
    for suffix, backend in ((".json", "json"), (".db", "sqlite")):
        spoil = partial(_spoil, shim, folder, suffix)
        full = scale.full_stride[suffix]
        yield (
            "power cut",
            backend,
            50_000,
            partial(_power, shim, folder, suffix, scale.power_cut_states, seed=seed),
        )
        yield "failing system call", backend, 0, partial(spoil, "fail", stride=scale.fault_stride)
        yield "disk full", backend, 0, partial(spoil, "full", stride=full)
        yield "kill -9", backend, 500, partial(_kill, folder, suffix, half, 1, seed)
        yield "kill -9, 8 writers", backend, 500, partial(_kill, folder, suffix, half, 8, seed)
        yield "tampered byte", backend, 0, partial(_tamper, folder, suffix, scale.tamper_stride, seed)
        yield "clock steps", backend, 500, partial(_clock_steps, folder, suffix, scale.clock_runs, seed)
    for backend, run in _outages(scale.outage_rounds):
        yield "server outage", backend, 100, run


def prove_store(
    *,
    seed: int = 0,
    full: bool = True,
    only: str = "",
    tell: Callable[[CampaignRow], object] | None = None,
) -> StoreProof:
    """Run the fault campaigns of the store.

    Parameters
    ----------
    seed : int
        Of every draw.
    full : bool
        False: the small version that runs in every test run.
    only : str
        Run only campaigns whose name or backend holds this text.
    tell : callable
        Called with each row as it is done.

    Returns
    -------
    StoreProof
        One row per campaign and backend, with what was tried, broken, and how long it took.
    """
    rows, skipped = [], []
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # thousands of spoiled stores have much to say
    try:
        with work_folder() as folder:
            for name, backend, wanted, run in _campaigns(FULL if full else SMALL, seed, folder):
                if only and only not in f"{name} {backend}":
                    continue
                try:
                    rows.append(_row(name, backend, wanted, run))
                except (UnavailableError, MissingDependencyError) as error:
                    skipped.append(f"{name} ({backend}): {error}")
                    continue
                if tell is not None:
                    tell(rows[-1])
    finally:
        logging.disable(before)
    return StoreProof(seed=seed, rows=tuple(rows), skipped=tuple(skipped))
