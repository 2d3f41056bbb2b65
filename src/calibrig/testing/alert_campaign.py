"""Changes of a bridge's status, told to a webhook that fails in every way: each one arrives, and leaves in time."""

from __future__ import annotations

import tempfile
import time

import msgspec
import numpy as np

from calibrig.bridge import (
    AcceleratorMode,
    AlertOutbox,
    HardwareInTheLoopBridge,
    HardwareStatus,
    StatusChange,
    WebhookTarget,
)
from calibrig.bridge.soak import make_soak_inputs, soak
from calibrig.models.signal import reference_model
from calibrig.testing.alerts import AlertSink, SinkAnswer
from calibrig.testing.devices import Misbehaviour, ScriptedDevice

__all__ = ["AlertTally", "tell_through_faults"]

_ANSWERS = (SinkAnswer.TAKE, SinkAnswer.UNAVAILABLE, SinkAnswer.HANG_UP, SinkAnswer.HANG)
_SHARES = (0.5, 0.2, 0.2, 0.1)
_TIMEOUT_S = 0.1


class AlertTally(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the alerts.

    Attributes
    ----------
    changes : int
        Changes of status, each of which must arrive.
    failed_answers : int
        Requests that the webhook did not take.
    missing, wrong : int
        Changes that never arrived; alerts that say something else than the change.
    leaving_ns : tuple of int
        For each change, the time until the webhook was first asked, ns.
    """

    changes: int
    failed_answers: int
    missing: int
    wrong: int
    leaving_ns: tuple[int, ...]


def tell_through_faults(*, seed: int, removals: int) -> AlertTally:
    """Remove a card again and again, and let a webhook that fails half the time hear of it.

    Examples
    --------
    >>> tally = tell_through_faults(seed=1, removals=3)
    >>> tally.changes, tally.missing, tally.wrong
    (12, 0, 0)
    """
    rng = np.random.default_rng(seed)
    script = [_ANSWERS[k] for k in rng.choice(len(_ANSWERS), size=40 * removals, p=_SHARES)]
    changes: dict[tuple[int, str], StatusChange] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        AlertSink(script, hang_s=2 * _TIMEOUT_S) as sink,
        AlertOutbox(
            folder, WebhookTarget(sink.url, timeout_s=_TIMEOUT_S), first_retry_s=0.005, last_retry_s=0.05
        ) as outbox,
    ):
        for _ in range(removals):
            for change in _remove_once(outbox):
                changes[change.time_ns, str(change.index)] = change
        ends = time.monotonic() + 60.0
        while outbox.get_counts().pending and time.monotonic() < ends:
            time.sleep(0.01)
        first: dict[str, int] = {}
        for at_ns, alert_id, _ in sink.arrivals:
            first.setdefault(alert_id, at_ns)
        told = {(alert.time_ns, alert.detail["index"]): alert for alert in sink.taken}
        failed = sum(answer is not SinkAnswer.TAKE for _, _, answer in sink.arrivals)
    wrong = sum(
        key not in changes or alert.detail["after"] != changes[key].after for key, alert in told.items()
    )
    return AlertTally(
        changes=len(changes),
        failed_answers=failed,
        missing=len(changes.keys() - told.keys()),
        wrong=wrong,
        leaving_ns=tuple(first[alert.alert_id] - alert.time_ns for alert in told.values()),
    )


def _remove_once(outbox: AlertOutbox) -> list[StatusChange]:
    """A card that goes at a call and comes back: READY, FAILED, READY, CLOSED."""
    model = reference_model()
    device = ScriptedDevice(model, removed_for=3)
    bridge = HardwareInTheLoopBridge(
        AcceleratorMode.HYBRID_FALLBACK, model=model, device=device, deadline_ns=100_000
    )
    with bridge.watch(outbox.report_status):
        bridge.initialize()
        device.add_to_script([Misbehaviour.REMOVED])
        soak(bridge, make_soak_inputs(model), 5)
        ends = time.monotonic() + 20.0
        while bridge.get_status() is not HardwareStatus.READY and time.monotonic() < ends:
            time.sleep(0.0005)
        bridge.close()
    return bridge.get_status_changes()
