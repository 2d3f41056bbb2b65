"""The alert outbox: what is posted arrives, at least once, whatever the target, the disk or the process does."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from calibrig import AcceleratorMode, HardwareInTheLoopBridge
from calibrig.bridge import Alert, AlertOutbox, ExecTarget, WebhookTarget, open_alert_target
from calibrig.bridge.alert_targets import Attempt, Outcome
from calibrig.bridge.soak import make_soak_inputs, soak
from calibrig.errors import BridgeStateError, InvalidInputError
from calibrig.models.signal import reference_model
from calibrig.testing import AlertSink, ScriptedDevice, SinkAnswer

QUICK = {"first_retry_s": 0.01, "last_retry_s": 0.05}


def wait_until(holds: Callable[[], bool], what: str) -> None:
    ends = time.monotonic() + 30.0
    while not holds():
        assert time.monotonic() < ends, f"never happened: {what}"
        time.sleep(0.005)


def waiting_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix in {".json", ".part"})


def test_a_dead_card_reaches_the_webhook_with_its_reason(tmp_path: Path) -> None:
    device = ScriptedDevice(reference_model())
    with (
        AlertSink() as sink,
        AlertOutbox(tmp_path, sink.url) as outbox,
        HardwareInTheLoopBridge(
            AcceleratorMode.HYBRID_FALLBACK, device=device, deadline_ns=50_000_000
        ) as bridge,
        bridge.watch(outbox.report_status),
    ):
        bridge.initialize()
        device.set_dead(True)
        soak(bridge, make_soak_inputs(reference_model()), 3)  # the third failure in a row
        wait_until(lambda: any(alert.severity == "critical" for alert in sink.taken), "the alert of FAILED")
        changes = {change.index: change for change in bridge.get_status_changes()}
        alert = next(alert for alert in sink.taken if alert.severity == "critical")
        change = changes[int(alert.detail["index"])]
        assert (alert.source, alert.pid, alert.time_ns) == ("bridge", os.getpid(), change.time_ns)
        assert alert.subject == f"bridge {change.before} -> FAILED: failure_limit"
        assert alert.detail["fault"] == "timeout"
    assert waiting_files(tmp_path) == []


def test_errors_hang_ups_and_hangs_are_tried_again(tmp_path: Path) -> None:
    script = [SinkAnswer.UNAVAILABLE, SinkAnswer.HANG_UP, SinkAnswer.HANG, SinkAnswer.UNAVAILABLE]
    with AlertSink(script) as sink:
        target = WebhookTarget(sink.url, timeout_s=0.2)
        with AlertOutbox(tmp_path, target, **QUICK) as outbox:
            alert = outbox.post("one", severity="critical", detail={"why": "test"})
            wait_until(lambda: outbox.get_counts().delivered == 1, "delivery after four failures")
            assert [answer for _, _, answer in sink.arrivals] == [*script, SinkAnswer.TAKE]
            assert {alert_id for _, alert_id, _ in sink.arrivals} == {alert.alert_id}
            assert sink.taken == [alert]
            counts = outbox.get_counts()
            assert (counts.posted, counts.failed_attempts, counts.pending, counts.unsaved) == (1, 4, 0, 0)
            assert "503" in counts.last_failure
    assert waiting_files(tmp_path) == []


def test_a_hanging_attempt_does_not_hold_up_the_next_alert(tmp_path: Path) -> None:
    with (
        AlertSink([SinkAnswer.HANG]) as sink,
        AlertOutbox(tmp_path, WebhookTarget(sink.url, timeout_s=20.0)) as outbox,
    ):
        outbox.post("hangs")
        wait_until(lambda: len(sink.arrivals) == 1, "the first attempt")
        second = outbox.post("next")
        wait_until(lambda: sink.taken == [second], "the second alert, while the first attempt hangs")
        wait_until(lambda: outbox.get_counts().pending == 1, "the second alert is booked as delivered")
        sink.close()


def test_a_refused_alert_is_kept_aside_and_not_tried_again(tmp_path: Path) -> None:
    with AlertSink([SinkAnswer.REFUSE]) as sink, AlertOutbox(tmp_path, sink.url, **QUICK) as outbox:
        refused = outbox.post("nobody wants this")
        wait_until(lambda: outbox.get_counts().refused == 1, "the refusal")
        taken = outbox.post("next")
        wait_until(lambda: sink.taken == [taken], "the next alert")
    kept = list((tmp_path / "refused").iterdir())
    assert [msgspec.json.decode(path.read_bytes(), type=Alert) for path in kept] == [refused]
    assert waiting_files(tmp_path) == []


def test_what_is_not_delivered_is_sent_by_the_next_process(tmp_path: Path) -> None:
    """A process posts to a target that is down and is killed; each post that returned is delivered later."""
    program = (
        "import sys\n"
        "from calibrig.bridge import AlertOutbox\n"
        "outbox = AlertOutbox(sys.argv[1], 'http://127.0.0.1:9/')\n"
        "while True:\n"
        "    print(outbox.post('killed').alert_id, flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        posted = {process.stdout.readline().decode().strip() for _ in range(20)}
        process.kill()
        posted |= {line.decode().strip() for line in process.stdout if line.endswith(b"\n")}
    with AlertSink() as sink, AlertOutbox(tmp_path, sink.url) as outbox:
        wait_until(lambda: outbox.get_counts().pending == 0, "all alerts of the killed process")
        assert posted <= {alert.alert_id for alert in sink.taken}
        assert {alert.pid for alert in sink.taken} == {process.pid}
    assert [name for name in waiting_files(tmp_path) if name.endswith(".json")] == []


def test_a_disk_that_fails_stops_no_alert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    with AlertSink() as sink, AlertOutbox(tmp_path, sink.url) as outbox:
        monkeypatch.setattr(os, "fsync", fail)
        alert = outbox.post("disk is full")
        wait_until(lambda: sink.taken == [alert], "the alert that could not be saved")
        wait_until(lambda: outbox.get_counts().unsaved == 1, "the count of what was not saved")


class SlowDiskTarget:
    """Takes an alert at once and says so, before the outbox has written it."""

    def __init__(self) -> None:
        self.sent = threading.Event()

    def send(self, alert_id: str, body: bytes) -> Attempt:
        assert alert_id.encode() in body
        self.sent.set()
        return Attempt(Outcome.DELIVERED)


def test_an_alert_delivered_before_it_is_saved_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, real = SlowDiskTarget(), os.fsync

    def wait_then_sync(file: int) -> None:
        assert target.sent.wait(20.0)
        time.sleep(0.02)
        real(file)

    monkeypatch.setattr(os, "fsync", wait_then_sync)
    with AlertOutbox(tmp_path, target) as outbox:
        outbox.post("overtakes its own file")
        wait_until(lambda: outbox.get_counts().delivered == 1, "delivery")
    assert waiting_files(tmp_path) == []


def test_a_program_gets_the_alert_on_its_input_and_is_tried_again(tmp_path: Path) -> None:
    program = tmp_path / "page"
    program.write_text(
        f'#!/bin/sh\ncat > "{tmp_path}/got-$CALIBRIG_ALERT_ID"\n'
        f'if [ ! -e "{tmp_path}/once" ]; then touch "{tmp_path}/once"; exit 3; fi\n'
    )
    program.chmod(0o700)
    with AlertOutbox(tmp_path / "outbox", f"exec:{program} --now", **QUICK) as outbox:
        alert = outbox.post("page someone")
        wait_until(lambda: outbox.get_counts().delivered == 1, "the second run")
        assert outbox.get_counts().failed_attempts == 1
        assert outbox.get_counts().last_failure == f"{program} ends with 3"
    got = (tmp_path / f"got-{alert.alert_id}").read_bytes()
    assert msgspec.json.decode(got, type=Alert) == alert


def test_a_program_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    child = tmp_path / "child"
    target = ExecTarget(["sh", "-c", f"sleep 1000 & echo $! > {child}; wait"], timeout_s=1.0)
    attempt = target.send("1", b"{}")
    assert attempt == Attempt(Outcome.RETRY, "sh took longer than 1 s")
    pid = int(child.read_text())
    wait_until(lambda: not alive(pid), "the end of the program's child")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_slow_answer_is_not_waited_for_longer_than_the_timeout() -> None:
    with AlertSink([SinkAnswer.HANG]) as sink:
        attempt = WebhookTarget(sink.url, timeout_s=0.1).send("1", b"{}")
        assert attempt.outcome is Outcome.RETRY
        assert "timed out" in attempt.reason
        sink.close()


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("ftp://host/", "webhook of scheme 'ftp'"),
        ("https://", "give https://host/path"),
        ("https://user:secret@host/", "credentials as headers"),
        ("exec:", "program '' is not there"),
        ("exec:/no/such/program", "'/no/such/program' is not there or may not be run"),
    ],
)
def test_targets_that_cannot_be_used(target: str, sentence: str) -> None:
    with pytest.raises(InvalidInputError, match=sentence) as caught:
        open_alert_target(target)
    assert "secret" not in str(caught.value)


def test_an_outbox_names_what_is_wrong_with_its_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInputError, match=r"folder .*file cannot be used: .*give one"):
        AlertOutbox(tmp_path / "file", "exec:true")
    with AlertOutbox(tmp_path / "box", "exec:true") as outbox:
        with pytest.raises(BridgeStateError, match="another process sends alerts from"):
            AlertOutbox(tmp_path / "box", "exec:true")
        outbox.close()
        outbox.close()
        with pytest.raises(BridgeStateError, match="is closed"):
            outbox.post("too late")
    with pytest.raises(InvalidInputError, match="give 0 < first <= last"):
        AlertOutbox(tmp_path / "box", "exec:true", first_retry_s=2.0, last_retry_s=1.0)
    AlertOutbox(tmp_path / "box", "exec:true").close()


def test_the_token_in_a_webhook_stays_hidden() -> None:
    target = WebhookTarget("https://host/secret-path?key=secret", headers={"Authorization": "secret"})
    assert "secret" not in repr(target)
    attempt = WebhookTarget("http://127.0.0.1:1/secret-path").send("1", b"{}")
    assert attempt.outcome is Outcome.RETRY
    assert "secret" not in attempt.reason


@pytest.mark.parametrize("url", ["http://h:99999/x", "http://[x/y", "ftp://h/x", "http://u:p@h/x"])
def test_a_webhook_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(InvalidInputError, match="give https://host/path"):
        WebhookTarget(url)
