"""A seeded campaign of faults against the bridge: no wrong signal, no unanswered call, bounded gaps."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from calibrig.bridge import AcceleratorMode, HardwareInTheLoopBridge, HardwareStatus
from calibrig.bridge.devices.shared_memory import SharedMemoryDevice, SoftwareCard
from calibrig.bridge.soak import SoakInputs, SoakReport, make_soak_inputs, measure_stall_ns, soak
from calibrig.models.signal import reference_model
from calibrig.testing.alert_campaign import tell_through_faults
from calibrig.testing.devices import Misbehaviour, ScriptedDevice

__all__ = ["BridgeProof", "FaultRow", "prove_bridge"]

DEADLINE_NS = 2_000
_SLACK_NS = 8_000  # software answer, checks and the clock, on a machine that does other things too
_RATE = 0.04  # just under the 5 % at which the bridge leaves a device
_VERIFY = 16
_ALERT_LIMIT_NS = 1_000_000_000

TRANSPORT_FAULTS = tuple(
    kind
    for kind in Misbehaviour
    if kind
    not in {Misbehaviour.NONE, Misbehaviour.LATE_CYCLES, Misbehaviour.WRONG_ARITHMETIC, Misbehaviour.REMOVED}
)


class FaultRow(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of fault and what came of it.

    Attributes
    ----------
    kind : str
    injected : int
        Faults that happened.
    calls, wrong, unanswered, sequence_errors : int
        Calls made meanwhile, and those of them that went wrong.
    longest_ns : int
        Longest call.
    late_share : float
        Share of calls longer than deadline + software answer + 8 us.
    limit : str
        What must hold.
    passed : bool
    """

    kind: str
    injected: int
    calls: int
    wrong: int
    unanswered: int
    sequence_errors: int
    longest_ns: int
    late_share: float
    limit: str
    passed: bool


class BridgeProof(msgspec.Struct, frozen=True, kw_only=True):
    """The campaign's table.

    Attributes
    ----------
    seed : int
    rows : tuple of FaultRow
    faults : int
        In all.
    stall_ns : int
        Longest stall that the machine puts into an idle loop: no gap can be promised below it.
    deadline_ns : int
    passed : bool
    """

    seed: int
    rows: tuple[FaultRow, ...]
    faults: int
    stall_ns: int
    deadline_ns: int
    passed: bool


class _Tally:
    """Adds the reports of many episodes."""

    def __init__(self) -> None:
        self.calls = self.wrong = self.unanswered = self.sequence_errors = self.longest_ns = self.late = 0

    def add(self, report: SoakReport) -> None:
        self.calls += report.calls
        self.wrong += report.wrong
        self.unanswered += report.unanswered
        self.sequence_errors += report.sequence_errors
        self.late += report.over_limit
        self.longest_ns = max(self.longest_ns, report.longest_ns)

    def to_row(self, kind: str, injected: int, limit: str = "", *, more: bool = True) -> FaultRow:
        late_share = self.late / max(self.calls, 1)
        clean = self.wrong == self.unanswered == self.sequence_errors == 0
        return FaultRow(
            kind=kind,
            injected=injected,
            calls=self.calls,
            wrong=self.wrong,
            unanswered=self.unanswered,
            sequence_errors=self.sequence_errors,
            longest_ns=self.longest_ns,
            late_share=late_share,
            limit=limit or "wrong 0, unanswered 0, lost or doubled 0; late calls < 0.5 %",
            passed=clean and more and late_share < 0.005,
        )


def prove_bridge(
    *,
    seed: int = 0,
    n_faults: int = 1_000_000,
    n_deaths: int = 1_000,
    progress: Callable[[FaultRow], None] | None = None,
) -> BridgeProof:
    """Inject faults of every kind from a seed and check every answer, bit for bit.

    Parameters
    ----------
    seed : int
        The same seed injects the same faults in the same order (processes are killed at random times).
    n_faults : int
        Faults of the kinds that need no process to die, in all.
    n_deaths : int
        Removals, and killings of a serving process, each.
    progress : callable, optional
        Called with each row as it is done.

    Returns
    -------
    BridgeProof
        ``passed`` is True only when every row holds.

    Examples
    --------
    >>> proof = prove_bridge(seed=1, n_faults=700, n_deaths=3)
    >>> sum(row.wrong for row in proof.rows), sum(row.unanswered for row in proof.rows)
    (0, 0)
    """
    inputs = make_soak_inputs(reference_model(), seed=seed)
    share = max(n_faults // (len(TRANSPORT_FAULTS) + 2), 1)
    stall_ns = measure_stall_ns(0.3)
    plan: list[Callable[[], FaultRow]] = [
        *(
            lambda kind=kind, code=code: _transport_row([kind], str(kind), share, inputs, seed + code)
            for code, kind in enumerate(TRANSPORT_FAULTS, start=1)
        ),
        lambda: _transport_row(
            TRANSPORT_FAULTS, "all_kinds_mixed", n_faults - share * (len(TRANSPORT_FAULTS) + 1), inputs, seed
        ),
        lambda: _arithmetic_row(share // 20 + 1, inputs, seed),
        lambda: _sampled_row(max(min(n_deaths, 2_000), 20), inputs, seed),
        lambda: _removal_row(n_deaths, inputs, seed),
        lambda: _flapping_row(min(3.0, 0.002 * n_deaths + 0.3), inputs),
        lambda: _killing_row(n_deaths, inputs, seed),
        lambda: _swapping_row(share, inputs, seed),
        lambda: _alert_row(max(min(n_deaths // 4, 250), 1), seed),
    ]
    rows = []
    for make_row in plan:
        rows.append(make_row())
        if progress is not None:
            progress(rows[-1])
    return BridgeProof(
        seed=seed,
        rows=tuple(rows),
        faults=sum(row.injected for row in rows),
        stall_ns=max(stall_ns, measure_stall_ns(0.3)),
        deadline_ns=DEADLINE_NS,
        passed=all(row.passed for row in rows),
    )


def _hybrid(device: ScriptedDevice | SharedMemoryDevice, **options: int) -> HardwareInTheLoopBridge:
    options = {"deadline_ns": DEADLINE_NS, **options}
    bridge = HardwareInTheLoopBridge(AcceleratorMode.HYBRID_FALLBACK, device=device, **options)  # type: ignore[arg-type]
    bridge.initialize()
    return bridge


def _limit(deadline_ns: int = DEADLINE_NS) -> int:
    return deadline_ns + _SLACK_NS


def _misdeeds(device: ScriptedDevice) -> int:
    return sum(count for kind, count in device.injected.items() if kind is not Misbehaviour.NONE)


def _transport_row(
    kinds: list[Misbehaviour] | tuple[Misbehaviour, ...],
    name: str,
    target: int,
    inputs: SoakInputs,
    seed: int,
) -> FaultRow:
    """Faults at a rate the bridge bears; a bridge that has left its device is replaced by a new one."""
    tally, injected, episode = _Tally(), 0, 0
    model = reference_model()
    while injected < target:
        device = ScriptedDevice(
            model, seed=seed * 1_000_003 + episode, rate=_RATE, kinds=kinds, slow_ns=3 * DEADLINE_NS
        )
        with _hybrid(device) as bridge:
            while bridge.get_status() is not HardwareStatus.FAILED and injected + _misdeeds(device) < target:
                tally.add(soak(bridge, inputs, 1_024, limit_ns=_limit()))
        injected += _misdeeds(device)
        episode += 1
    return tally.to_row(name, injected)


def _arithmetic_row(target: int, inputs: SoakInputs, seed: int) -> FaultRow:
    """Silently wrong values, every call checked: none may leave, and the first one fails the device."""
    tally, injected, failed = _Tally(), 0, 0
    model = reference_model()
    for episode in range(target):
        device = ScriptedDevice(model, seed=seed + episode, rate=0.05, kinds=[Misbehaviour.WRONG_ARITHMETIC])
        with _hybrid(device, verify=1, deadline_ns=100_000) as bridge:
            device.set_probes_fail(True)
            tally.add(soak(bridge, inputs, 400, limit_ns=_limit(100_000)))
            failed += (bridge.get_status() is HardwareStatus.FAILED) == (_misdeeds(device) > 0)
        injected += _misdeeds(device)
    limit = "verify=1: wrong 0; one mismatch is FAILED"
    return tally.to_row("wrong_arithmetic_verify_1", injected, limit, more=failed == target)


def _sampled_row(episodes: int, inputs: SoakInputs, seed: int) -> FaultRow:
    """A card that is always wrong, one call in N checked: found within 5 N calls at 99.3 %."""
    tally, found, injected = _Tally(), 0, 0
    model = reference_model()
    for episode in range(episodes):
        device = ScriptedDevice(model, seed=seed, rate=1.0, kinds=[Misbehaviour.WRONG_ARITHMETIC])
        with _hybrid(device, verify=_VERIFY, seed=seed * 7919 + episode, deadline_ns=100_000) as bridge:
            device.set_probes_fail(True)
            soak(bridge, inputs, 5 * _VERIFY)
            found += bridge.get_status() is HardwareStatus.FAILED
        injected += _misdeeds(device)
    # 1 - (1 - 1/16)^80 = 0.9943; five binomial standard errors below it are allowed.
    expected = 1.0 - (1.0 - 1.0 / _VERIFY) ** (5 * _VERIFY)
    least = expected - 5.0 * float(np.sqrt(expected * (1.0 - expected) / episodes))
    limit = f"verify={_VERIFY}: found within {5 * _VERIFY} calls in >= {least:.4f} of episodes; {found}/{episodes}"
    return tally.to_row("wrong_arithmetic_sampled", injected, limit, more=found / episodes >= least)


def _removal_row(deaths: int, inputs: SoakInputs, seed: int) -> FaultRow:
    """The card vanishes and comes back: FAILED at the first call, READY after the probes."""
    tally, returned = _Tally(), 0
    model = reference_model()
    device = ScriptedDevice(model, seed=seed, removed_for=3)
    for _ in range(deaths):
        with _hybrid(device, deadline_ns=100_000) as bridge:
            device.add_to_script([Misbehaviour.REMOVED])
            tally.add(soak(bridge, inputs, 10, limit_ns=_limit(100_000)))
            left = bridge.get_counts()["fault_removed"] == 1
            returned += left and _wait_for(bridge, HardwareStatus.READY)
            tally.add(soak(bridge, inputs, 10, limit_ns=_limit(100_000)))
    limit = "left at the first call, back after 64 probes, each time"
    return tally.to_row(
        "removed_and_back", device.injected[Misbehaviour.REMOVED], limit, more=returned == deaths
    )


def _flapping_row(duration_s: float, inputs: SoakInputs) -> FaultRow:
    """Dead half of the time, in short turns: at most one change of status per back-off period."""
    tally, flips = _Tally(), 0
    device = ScriptedDevice(reference_model())
    with _hybrid(device, deadline_ns=100_000) as bridge:
        ends = time.monotonic() + duration_s
        while time.monotonic() < ends:
            device.set_dead(flips % 2 == 0)
            flips += 1
            tally.add(soak(bridge, inputs, 500, limit_ns=_limit(100_000)))
            time.sleep(0.0015)
        changes = bridge.get_status_changes()
    failed_at, relapses, too_soon = 0, 0, 0
    for change in changes:
        if change.after is HardwareStatus.FAILED:
            failed_at = change.time_ns
        elif change.before is HardwareStatus.FAILED and change.after is HardwareStatus.READY:
            too_soon += change.time_ns - failed_at < min(2**relapses * 1_000_000, 1_000_000_000) * 0.99
            relapses += 1
    limit = f"a return no sooner than the back-off (1 ms doubling to 1 s): {relapses} returns, {too_soon} too soon"
    return tally.to_row("flapping", flips // 2, limit, more=too_soon == 0)


def _killing_row(deaths: int, inputs: SoakInputs, seed: int) -> FaultRow:
    """The process that serves the card is killed at a random moment, in the middle of a call or between two."""
    tally, returned = _Tally(), 0
    rng = np.random.default_rng(seed)
    deadline_ns = 20_000_000  # two processes on a busy machine: the logic is proven here, not the latency
    with (
        tempfile.TemporaryDirectory(dir=_shared_folder()) as folder,
        SoftwareCard(str(Path(folder) / "card"), reference_model()) as card,
    ):
        device = SharedMemoryDevice(card.path)
        for _ in range(deaths):
            with _hybrid(device, deadline_ns=deadline_ns) as bridge:
                ready = _wait_for(bridge, HardwareStatus.READY)
                killer = threading.Timer(float(rng.uniform(0.0, 0.003)), card.kill)
                killer.start()
                while killer.is_alive():
                    tally.add(soak(bridge, inputs, 200, limit_ns=_limit(deadline_ns)))
                killer.join()
                tally.add(soak(bridge, inputs, 200, limit_ns=_limit(deadline_ns)))
                left = bridge.get_status() is HardwareStatus.FAILED
                card.restart()
                returned += ready and left and _wait_for(bridge, HardwareStatus.READY)
    limit = "left when killed, back when served again, each time"
    return tally.to_row("process_killed", deaths, limit, more=returned == deaths)


def _swapping_row(target: int, inputs: SoakInputs, seed: int) -> FaultRow:
    """Mode and device are swapped by another thread while faults go on."""
    tally, swaps = _Tally(), 0
    model = reference_model()
    kinds = TRANSPORT_FAULTS
    devices = [ScriptedDevice(model, seed=seed + n, rate=_RATE, kinds=kinds) for n in range(2)]
    ends = threading.Event()
    with _hybrid(devices[0], stub_latency_ns=0) as bridge:

        def swap() -> None:
            nonlocal swaps
            while not ends.is_set():
                bridge.set_device(devices[swaps % 2])
                bridge.set_mode(AcceleratorMode.SOFTWARE_STUB)
                bridge.set_mode(AcceleratorMode.HYBRID_FALLBACK)
                swaps += 3
                time.sleep(0.0005)

        thread = threading.Thread(target=swap)
        thread.start()
        while sum(_misdeeds(device) for device in devices) < target:
            tally.add(soak(bridge, inputs, 4_096, limit_ns=_limit()))
        ends.set()
        thread.join()
    limit = f"wrong, unanswered, lost and doubled 0 during {swaps} swaps"
    return tally.to_row(
        "swaps_under_faults", sum(_misdeeds(device) for device in devices), limit, more=swaps > 0
    )


def _alert_row(removals: int, seed: int) -> FaultRow:
    """Each change of status is told to a webhook that fails half the time."""
    tally = tell_through_faults(seed=seed, removals=removals)
    late = sum(leaving_ns > _ALERT_LIMIT_NS for leaving_ns in tally.leaving_ns)
    return FaultRow(
        kind="alerts_to_a_failing_webhook",
        injected=tally.failed_answers,
        calls=tally.changes,
        wrong=tally.wrong,
        unanswered=tally.missing,
        sequence_errors=0,
        longest_ns=max(tally.leaving_ns),
        late_share=late / tally.changes,
        limit="every change of status arrives (unanswered 0), and leaves the process within 1 s",
        passed=tally.wrong == tally.missing == late == 0,
    )


def _wait_for(bridge: HardwareInTheLoopBridge, status: HardwareStatus, *, timeout_s: float = 20.0) -> bool:
    ends = time.monotonic() + timeout_s
    while bridge.get_status() is not status:
        if time.monotonic() > ends:
            return False
        time.sleep(0.0002)
    return True


def _shared_folder() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
