"""Alerts that leave the process by their own path: kept on disk until the target has taken them."""

from __future__ import annotations

import fcntl
import heapq
import itertools
import os
import platform
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import msgspec

from calibrig.bridge.alert_targets import AlertTarget, Attempt, Outcome, open_alert_target
from calibrig.bridge.health import HardwareStatus, StatusChange
from calibrig.errors import BridgeStateError, InvalidInputError

__all__ = ["Alert", "AlertCounts", "AlertOutbox"]

Severity = Literal["info", "warning", "critical"]
_SEVERITIES: dict[HardwareStatus, Severity] = {
    HardwareStatus.FAILED: "critical",
    HardwareStatus.DEGRADED: "warning",
}
_N_WORKERS = 4  # half of them never retry, so that a new alert does not wait behind old ones


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """What the target gets, as JSON.

    Attributes
    ----------
    alert_id : str
        The same on each attempt: a target that gets it twice may drop the second.
    time_ns : int
        UTC, of the event.
    severity : str
        ``info``, ``warning`` or ``critical``.
    source : str
        Which part speaks, as ``bridge``.
    subject : str
        One sentence.
    detail : mapping of str to str
    host : str
    pid : int
    """

    alert_id: str
    time_ns: int
    severity: Severity
    source: str
    subject: str
    detail: Mapping[str, str] = {}
    host: str = ""
    pid: int = 0


class AlertCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What an outbox has done since it was opened.

    Attributes
    ----------
    posted, delivered, refused : int
    failed_attempts : int
        Attempts after which the alert waits for the next.
    pending : int
        Alerts not delivered yet, those of an earlier process among them.
    unsaved : int
        Alerts that could not be written to disk (full, read-only); they are sent all the same.
    last_failure : str
        Why the last failed attempt failed; empty where none has.
    """

    posted: int
    delivered: int
    refused: int
    failed_attempts: int
    pending: int
    unsaved: int
    last_failure: str


class _Entry:
    """One alert on its way."""

    __slots__ = ("alert_id", "attempts", "body", "outcome", "path")

    def __init__(self, alert_id: str, body: bytes, path: Path | None) -> None:
        self.alert_id, self.body, self.path = alert_id, body, path
        self.attempts, self.outcome = 0, Outcome.RETRY


class AlertOutbox:
    """Sends alerts from threads of its own, again and again until they are taken; survives a crash of the process.

    An alert is a file in ``folder`` until the target has it, so one that was posted is sent by the next process if
    this one dies: at least once, with the same ``alert_id``. What a target refuses for good goes to
    ``folder/refused``.

    Parameters
    ----------
    folder : str or Path
        Made if absent; one process at a time.
    target : str or AlertTarget
        ``https://host/path``, ``exec:program arguments``, or an object with ``send``.
    headers : mapping of str to str, optional
        Of a webhook, as a token in ``Authorization``.
    first_retry_s, last_retry_s : float
        Wait after the first failed attempt; it doubles up to the last.

    Examples
    --------
    >>> import tempfile
    >>> from calibrig import HardwareInTheLoopBridge
    >>> bridge = HardwareInTheLoopBridge()
    >>> with tempfile.TemporaryDirectory() as folder, AlertOutbox(folder, "exec:true") as outbox:
    ...     with bridge.watch(outbox.report_status):
    ...         bridge.initialize()
    ...         bridge.close()
    ...     outbox.close()
    ...     outbox.get_counts().delivered
    2
    """

    def __init__(
        self,
        folder: str | Path,
        target: str | AlertTarget,
        *,
        headers: Mapping[str, str] | None = None,
        first_retry_s: float = 0.25,
        last_retry_s: float = 30.0,
    ) -> None:
        if not 0.0 < first_retry_s <= last_retry_s:
            raise InvalidInputError(
                f"retries after {first_retry_s} to {last_retry_s} s; give 0 < first <= last"
            )
        self._target = open_alert_target(target, headers=headers) if isinstance(target, str) else target
        self._folder = Path(folder)
        self._first_retry_s, self._last_retry_s = first_retry_s, last_retry_s
        self._lock = _lock_folder(self._folder)
        self._changed = threading.Condition()
        self._fresh: deque[_Entry] = deque()
        self._waiting: list[tuple[float, int, _Entry]] = []  # by the time of the next attempt
        self._order = itertools.count()
        self._busy = 0
        self._posted = self._delivered = self._refused = self._failed = self._unsaved = 0
        self._last_failure = ""
        self._stopping = False
        for path in sorted(self._folder.glob("*.json")):
            entry = _Entry(path.stem.partition("-")[2], path.read_bytes(), path)
            heapq.heappush(self._waiting, (0.0, next(self._order), entry))
        self._threads = [
            threading.Thread(target=self._run, args=(n % 2 == 1,), name=f"calibrig-alerts-{n}", daemon=True)
            for n in range(_N_WORKERS)
        ]
        for thread in self._threads:
            thread.start()

    def post(
        self,
        subject: str,
        *,
        severity: Severity = "warning",
        source: str = "calibrig",
        detail: Mapping[str, str] | None = None,
        time_ns: int | None = None,
    ) -> Alert:
        """Take an alert: it is on its way at once, and on disk when this returns.

        Never call it from a predicting thread: it writes a file.

        Raises
        ------
        BridgeStateError
            After `close`.
        """
        now_ns = time.time_ns() if time_ns is None else time_ns
        alert = Alert(
            alert_id=f"{now_ns:x}.{os.urandom(6).hex()}",
            time_ns=now_ns,
            severity=severity,
            source=source,
            subject=subject,
            detail=dict(detail or {}),
            host=platform.node(),
            pid=os.getpid(),
        )
        entry = _Entry(alert.alert_id, msgspec.json.encode(alert), None)
        with self._changed:
            if self._stopping:
                raise BridgeStateError(f"the outbox at {self._folder} is closed; open a new one")
            self._posted += 1
            self._fresh.append(entry)  # first: a disk that hangs or is full must hold up no alert
            self._changed.notify_all()
        self._save(entry, now_ns)
        return alert

    def report_status(self, change: StatusChange) -> None:
        """Post a change of a bridge's status; give it to `HardwareInTheLoopBridge.watch`."""
        self.post(
            f"bridge {change.before} -> {change.after}: {change.event}",
            severity=_SEVERITIES.get(change.after, "info"),
            source="bridge",
            detail={
                "before": str(change.before),
                "after": str(change.after),
                "event": str(change.event),
                "fault": str(change.fault),
                "index": str(change.index),
            },
            time_ns=change.time_ns,
        )

    def get_counts(self) -> AlertCounts:
        """Return what has been sent and what waits."""
        with self._changed:
            return AlertCounts(
                posted=self._posted,
                delivered=self._delivered,
                refused=self._refused,
                failed_attempts=self._failed,
                pending=len(self._fresh) + len(self._waiting) + self._busy,
                unsaved=self._unsaved,
                last_failure=self._last_failure,
            )

    def close(self, *, timeout_s: float = 5.0) -> None:
        """Try what is new once more, stop, and leave the rest on disk for the next process; safe twice."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        ends = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(ends - time.monotonic(), 0.0))
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _save(self, entry: _Entry, time_ns: int) -> None:
        """Put the alert on disk, whole or not at all; it may have been delivered meanwhile."""
        path = self._folder / f"{time_ns:020d}-{entry.alert_id}.json"
        temporary = path.with_suffix(".part")
        try:
            with temporary.open("wb") as file:
                file.write(entry.body)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            _sync_folder(self._folder)
        except OSError as error:
            with self._changed:
                self._unsaved += 1
                self._last_failure = f"{self._folder}: {error.strerror}"
            return
        with self._changed:
            entry.path = path
            _dispose(entry)

    def _run(self, retries: bool) -> None:
        while (entry := self._take(retries)) is not None:
            attempt = self._target.send(entry.alert_id, entry.body)
            with self._changed:
                self._busy -= 1
                self._note(entry, attempt)

    def _take(self, retries: bool) -> _Entry | None:
        """Wait for an alert to send; None when the outbox is closed and nothing new is left."""
        with self._changed:
            while True:
                due_s = self._waiting[0][0] - time.monotonic() if self._waiting and retries else None
                if self._fresh:
                    self._busy += 1
                    return self._fresh.popleft()
                if self._stopping:
                    return None
                if due_s is not None and due_s <= 0.0:
                    self._busy += 1
                    return heapq.heappop(self._waiting)[2]
                self._changed.wait(due_s)

    def _note(self, entry: _Entry, attempt: Attempt) -> None:
        if attempt.outcome is Outcome.RETRY:
            self._failed += 1
            self._last_failure = attempt.reason
            wait_s = min(self._first_retry_s * 2.0 ** min(entry.attempts, 60), self._last_retry_s)
            entry.attempts += 1
            heapq.heappush(self._waiting, (time.monotonic() + wait_s, next(self._order), entry))
            self._changed.notify_all()
            return
        if attempt.outcome is Outcome.DELIVERED:
            self._delivered += 1
        else:
            self._refused += 1
            self._last_failure = attempt.reason
        entry.outcome = attempt.outcome
        _dispose(entry)


def _lock_folder(folder: Path) -> int:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise InvalidInputError(
            f"the outbox's folder {folder} cannot be used: {error.strerror}; give one that this user may write"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise BridgeStateError(
            f"another process sends alerts from {folder}; give each process a folder of its own"
        ) from error
    return lock


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    except OSError:
        pass  # some file systems cannot; the file itself is synced
    finally:
        os.close(file)


def _dispose(entry: _Entry) -> None:
    """Take an alert that is done with off the disk; one that cannot be removed is sent again by the next process."""
    path = entry.path
    if path is None or entry.outcome is Outcome.RETRY:
        return
    try:
        if entry.outcome is Outcome.REFUSED:
            path.parent.joinpath("refused").mkdir(exist_ok=True)
            path.replace(path.parent / "refused" / path.name)
        else:
            path.unlink()
    except OSError:
        pass
