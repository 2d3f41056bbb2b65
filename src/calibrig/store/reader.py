"""The reading half of a store: heads without a lock, history, quality, and the watcher that keeps them fresh."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import msgspec

from calibrig.errors import CorruptRecordError, InvalidInputError, StoreError
from calibrig.parameters import (
    AvellanedaStoikovParameters,
    HawkesParameters,
    ParameterSet,
    ParameterVersion,
    RiskParameters,
    SignalModel,
)
from calibrig.store.backend import Backend, HistoryQuery, Stored
from calibrig.store.block import StoreBlock
from calibrig.store.difference import FieldChange, diff_parameters
from calibrig.store.draft import merge_fields
from calibrig.store.observations import KEEP_DAYS
from calibrig.store.portable import write_export
from calibrig.store.quality import CalibrationQuality, Now, calibration_age_s, calibration_quality
from calibrig.store.record import (
    RECORD_TYPES,
    Parameters,
    Sealed,
    VersionRecord,
    check_kind,
    check_symbol,
    decode_content,
    decode_record,
)
from calibrig.store.signing import Signer, TrustedKeys, signature_problems
from calibrig.store.status import StoreStatus
from calibrig.store.urls import backend_kind, open_backend, redact
from calibrig.store.verification import Anchor, VerifyReport, verify_history
from calibrig.store.view import Head, NoView, View, merge_heads, read_fetched
from calibrig.store.watcher import Watcher

__all__ = ["StoreReader", "Time", "to_ns"]

Time = int | datetime
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Callback = Callable[[ParameterVersion], object]
_LOG = logging.getLogger("calibrig.store")


def to_ns(name: str, value: Time | None) -> int | None:
    """Return nanoseconds since 1970 UTC for what a caller gave as a time."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise InvalidInputError(f"{name} is {value}, which names no time zone; give UTC")
        return (value - _EPOCH) // timedelta(microseconds=1) * 1000
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise InvalidInputError(f"{name} is {value!r}; give nanoseconds since 1970 UTC or a datetime")
    return value


class StoreReader:
    """Reads a store; :class:`ModelStore` adds the writing and describes the parameters.

    Reading (``get_*``, ``snapshot``) takes no lock and does no I/O: it looks into an immutable view that a watcher
    thread replaces when any process has written.
    """

    kinds: ClassVar[tuple[str, ...]] = ("sqlite", "json", "redis", "postgres")

    def __init__(
        self,
        url: str | Path = "sqlite:///calibrig.db",
        *,
        backend: Backend | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        create: bool = True,
        signer: Signer | None = None,
        trusted_keys: TrustedKeys | None = None,
        observation_days: float = KEEP_DAYS,
    ) -> None:
        if not 0 < observation_days <= 36_500:
            raise InvalidInputError(
                f"observation_days is {observation_days!r}; give a number above 0, at most 36,500"
            )
        self._observation_days = observation_days
        self._signer = signer
        self._trusted = trusted_keys
        self._url = str(url)
        if backend is None and backend_kind(self._url) not in self.kinds:
            raise InvalidInputError(
                f"{type(self).__name__} opens {' or '.join(self.kinds)} stores; the URL is {redact(self._url)!r}"
            )
        self._backend: Backend | None = backend
        self._create = create
        self._clock_ns = clock_ns
        self._monotonic_ns = monotonic_ns
        self._view: View | NoView = NoView("the store is not open; call initialize() first")
        self._applying = threading.RLock()
        self._callbacks: tuple[Callback, ...] = ()
        self._watcher: Watcher | None = None
        self._start_ns = (0, 0)
        self._pushes = 0
        self._blocks: tuple[StoreBlock, ...] = ()
        self._taking_edits = False
        self._rejected: tuple[str, ...] = ()

    # -- opening and closing -------------------------------------------------------------------------------------

    def initialize(self) -> None:
        """Open the backend, load all heads, start watching; does nothing on an open store."""
        if self._watcher is not None:
            return
        if self._backend is None:
            self._backend = open_backend(self._url, create=self._create)
        try:
            loaded = self._backend.load_heads(0)
            empty = View({}, 0, loaded.store_id)
            heads = merge_heads(empty, loaded.heads, self._monotonic_ns())
            self._check_signatures(heads)
            self._view = View(heads, loaded.change, loaded.store_id)
        except BaseException:
            self.close()
            raise
        self._start_ns = (self._clock_ns(), self._monotonic_ns())
        self._watcher = Watcher(self._backend.wait, self.refresh, self._monotonic_ns, self._beat_blocks)
        try:
            self.refresh()
        except BaseException:
            self.close()
            raise
        self._watcher.start()

    def close(self) -> None:
        """Stop watching and close the backend; safe twice."""
        watcher, backend = self._watcher, self._backend
        self._watcher, self._backend = None, None
        self._view = NoView("the store is closed; open it again")
        for block in self._blocks:
            block.close()
        self._blocks = ()
        if watcher is not None:
            watcher.stop()  # may be one that was never started
        if backend is not None:
            backend.close()
        if watcher is not None:
            watcher.join()

    def __enter__(self) -> Self:
        self.initialize()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({redact(self._url)!r})"

    def _open(self) -> tuple[Backend, View]:
        if self._backend is None or isinstance(self._view, NoView):
            raise StoreError("the store is not open; call initialize() first")
        return self._backend, self._view

    # -- reading: no lock, no I/O ----------------------------------------------------------------------------------

    def get_hawkes_parameters(self, symbol: str) -> HawkesParameters | None:
        """Return the newest Hawkes parameters of ``symbol``, or None."""
        return self._view.hawkes.get(symbol)

    def get_as_parameters(self, symbol: str) -> AvellanedaStoikovParameters | None:
        """Return the newest quoting parameters of ``symbol``, or None."""
        return self._view.quoting.get(symbol)

    def get_risk_parameters(self, symbol: str) -> RiskParameters | None:
        """Return the newest risk parameters of ``symbol``, or None."""
        return self._view.risk.get(symbol)

    def get_signal_model(self, symbol: str) -> SignalModel | None:
        """Return the newest signal model of ``symbol``, or None."""
        return self._view.signal.get(symbol)

    def get(self, kind: str, symbol: str) -> Parameters | None:
        """Return the newest record of ``kind`` for ``symbol``, or None."""
        found: Parameters | None = getattr(self._view, check_kind(kind)).get(symbol)
        return found

    def head(self, kind: str, symbol: str) -> VersionRecord | None:
        """Return the newest version of ``kind`` for ``symbol`` with its evidence, or None."""
        found = self._view.heads.get((check_kind(kind), symbol))
        return found.record if found else None

    def symbols(self) -> tuple[str, ...]:
        """Return the symbols that have any record, sorted."""
        return tuple(sorted({symbol for kind, symbol in self._view.heads if kind in RECORD_TYPES}))

    def snapshot(self, symbol: str) -> ParameterSet:
        """Return all records of ``symbol`` as one consistent set, with age and staleness."""
        _, view = self._open()
        stamps = [
            head.content.updated_at
            for kind in RECORD_TYPES
            if (head := view.heads.get((kind, symbol))) is not None
        ]
        now = self._now()
        return ParameterSet(
            symbol=symbol,
            hawkes=view.hawkes.get(symbol),
            quoting=view.quoting.get(symbol),
            risk=view.risk.get(symbol),
            signal=view.signal.get(symbol),
            age_s=max(0, max(now.clock_ns, now.latest_ns) - min(stamps)) / 1e9 if stamps else None,
            stale=self.stale,
        )

    @property
    def stale(self) -> bool:
        """Whether the backend has not answered for 0.8 s, or answers with damaged or older versions."""
        watcher = self._watcher
        return watcher is None or watcher.stale

    def status(self) -> StoreStatus:
        """Return how the store is doing: staleness, last contact, pushes seen, last problem."""
        _, view = self._open()
        watcher = self._watcher
        return StoreStatus(
            url=redact(self._url),
            stale=self.stale,
            contact_age_s=watcher.contact_age_s if watcher else 0.0,
            problem=watcher.problem if watcher else None,
            keys=sum(kind in RECORD_TYPES for kind, _ in view.heads),
            change=view.change,
            pushes=self._pushes,
            rejected_edits=self._rejected,
        )

    # -- reading the backend -----------------------------------------------------------------------------------

    def fetch(self, kind: str, symbol: str) -> Parameters | None:
        """Read the newest record from the backend now: the miss path.

        What is read has to have its hash, belong to the key, be no older than what is known here and, with trusted
        keys, be signed; otherwise CorruptRecordError.
        """
        backend, view = self._open()
        known = isinstance(kind, str) and isinstance(symbol, str) and (kind, symbol) in view.heads
        if not known or kind not in RECORD_TYPES:
            check_kind(kind)
            check_symbol(symbol)
        stored = backend.as_of(kind, symbol, None)
        if stored is None:
            return None
        fetched = read_fetched(view, kind, symbol, stored)
        if self._trusted is not None:
            self._refuse_unsigned(kind, symbol, stored.payload)
        return fetched

    def refresh(self) -> None:
        """Compare the heads with the backend's now; the watcher does this by itself."""
        with self._applying:  # so that what is applied was read after all that has been applied
            backend, view = self._open()
            loaded = backend.load_heads(view.change)
            if loaded.store_id != view.store_id or loaded.change < view.change:
                loaded = backend.load_heads(0)  # restored, emptied or another store: compare everything
            changed = merge_heads(view, loaded.heads, self._monotonic_ns())
            if loaded.store_id != view.store_id or loaded.change < view.change:
                raise CorruptRecordError(
                    f"the store at {redact(self._url)} is not the one that was opened: it is at change "
                    f"{loaded.change}, {view.change} had been seen; restore it or open it again"
                )
            self._apply(view, changed, loaded.change)

    def _apply(self, view: View, changed: Mapping[tuple[str, str], Head], change: int) -> None:
        self._check_signatures(changed)
        if changed:
            self._view = view.advance(changed, change)
            self._pushes += 1
            symbols = dict.fromkeys(symbol for (_, symbol), head in changed.items() if head.record)
            for block in self._blocks:  # before the subscribers: what they do may take long
                block.put(self._view, symbols)
            self._tell(changed)

    def _apply_own(self, sealed: Sequence[Sealed], change: int | None) -> bool:
        """Take over what this process has just appended, if nobody else has appended since the view was read."""
        with self._applying:
            view = self._view
            if change is None or isinstance(view, NoView) or view.change + len(sealed) != change:
                return False
            own = [Stored(one.payload, one.hash) for one in sealed]
            self._apply(view, merge_heads(view, own, self._monotonic_ns()), change)
            return True

    def _beat_blocks(self, damaged: bool) -> None:
        for block in self._blocks:
            block.beat(damaged)

    def _check_signatures(self, changed: Mapping[tuple[str, str], Head]) -> None:
        """With trusted keys, take over only what they have signed; the last good versions stay otherwise."""
        if self._trusted is None:
            return
        for (kind, symbol), head in changed.items():
            self._refuse_unsigned(kind, symbol, head.payload)

    def _refuse_unsigned(self, kind: str, symbol: str, payload: bytes) -> None:
        assert self._trusted is not None
        for problem in self._trusted.problems(payload):
            number = decode_content(payload)[0].version_id
            raise CorruptRecordError(f"{kind}/{symbol} version {number} is not taken over: {problem}")

    def _tell(self, changed: Mapping[tuple[str, str], Head]) -> None:
        for head in changed.values():
            if head.record is None:
                continue
            for callback in self._callbacks:
                try:
                    callback(head.record.version)
                except Exception:  # noqa: BLE001  a subscriber must not stop the watcher
                    _LOG.exception("a subscriber of the store failed")

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Call ``callback(version)`` for every new version, after the view holds it; returns what ends that.

        It runs on the thread that applied the version: the watcher's, or the writer's own.
        """
        self._callbacks = (*self._callbacks, callback)

        def unsubscribe() -> None:
            self._callbacks = tuple(one for one in self._callbacks if one is not callback)

        return unsubscribe

    def history(
        self,
        kind: str | None = None,
        symbol: str | None = None,
        *,
        since: Time | None = None,
        until: Time | None = None,
        updated_by: str | None = None,
    ) -> list[VersionRecord]:
        """Return versions, per key from the first to the last; times are inclusive (ns or aware datetime)."""
        backend, _ = self._open()
        query = HistoryQuery(
            kind=check_kind(kind) if kind is not None else None,
            symbol=symbol,
            since=to_ns("since", since),
            until=to_ns("until", until),
            updated_by=updated_by,
        )
        return [
            decode_record(one.payload)
            for one in backend.history(query)
            if kind is not None or _is_public(one.payload)
        ]

    def read_version(self, kind: str, symbol: str, version_id: int) -> VersionRecord:
        """Return one version; refuse a number that does not exist."""
        backend, _ = self._open()
        query = HistoryQuery(kind=check_kind(kind), symbol=symbol, version_id=version_id)
        for stored in backend.history(query):
            return decode_record(stored.payload)
        head = self.head(kind, symbol)
        last = head.version.version_id if head else 0
        raise InvalidInputError(
            f"{kind}/{symbol} has no version {version_id}; it has {'1 .. ' + str(last) if last else 'none'}"
        )

    def as_of(self, kind: str, symbol: str, time: Time) -> VersionRecord | None:
        """Return the newest version that was written at ``time`` or before, or None."""
        backend, _ = self._open()
        stored = backend.as_of(check_kind(kind), check_symbol(symbol), to_ns("time", time))
        return decode_record(stored.payload) if stored else None

    def diff(self, kind: str, symbol: str, before: int, after: int | None = None) -> tuple[FieldChange, ...]:
        """Return what changed from version ``before`` to ``after`` (None: the head), field by field."""
        last = self.get(kind, symbol) if after is None else self.read_version(kind, symbol, after).parameters
        return diff_parameters(self.read_version(kind, symbol, before).parameters, last)

    def preview(
        self, kind: str, symbol: str, parameters: Parameters | Mapping[str, Any]
    ) -> tuple[FieldChange, ...]:
        """Return what an update would change, without writing; refuses what the update would refuse."""
        head = self.get(kind, check_symbol(symbol))
        if isinstance(parameters, Mapping):
            parameters = merge_fields(kind, parameters, head)
        return diff_parameters(head, parameters)

    def verify(
        self, anchor: Anchor | None = None, *, trusted_keys: TrustedKeys | None = None
    ) -> VerifyReport:
        """Check every version: its bytes, its number, its link, and the heads against ``anchor``.

        Without an anchor kept outside the store, a cut tail (or a key removed whole) cannot be seen.
        """
        backend, _ = self._open()
        before = backend.load_heads(0)
        report = verify_history(
            backend.history(HistoryQuery()),
            before,
            lambda: backend.load_heads(0),
            taken_at=self._clock_ns(),
            anchor=anchor,
        )
        keys = trusted_keys or self._trusted
        if keys is None:
            return report
        payloads = (stored.payload for stored in backend.history(HistoryQuery()))
        found = signature_problems(keys, payloads)
        return msgspec.structs.replace(report, problems=(*report.problems, *found[:100]))

    def export_to(self, path: str | Path) -> int:
        """Write every version to one portable file; return how many."""
        backend, _ = self._open()
        return write_export(path, backend.history(HistoryQuery()))

    # -- quality and age ----------------------------------------------------------------------------------------

    def _now(self) -> Now:
        """Return what the clocks say."""
        monotonic_ns = self._monotonic_ns()
        start, started = self._start_ns
        return Now(self._clock_ns(), start + monotonic_ns - started, monotonic_ns)

    def get_calibration_quality(self) -> list[CalibrationQuality]:
        """Return quality figures, verdicts and age of every symbol, sorted by symbol."""
        _, view = self._open()
        now = self._now()
        return [calibration_quality(view, symbol, now) for symbol in self.symbols()]

    def needs_recalibration(self, symbol: str, max_age_seconds: float) -> bool:
        """Say whether any calibration of ``symbol`` is older than ``max_age_seconds``, default, or missing.

        Hawkes and quoting must be there; risk and signal count where they are. A rollback or a change of single
        fields makes no calibration younger, and neither does a clock that was set back.
        """
        if not max_age_seconds > 0:
            raise InvalidInputError(f"max_age_seconds is {max_age_seconds!r}; give a number above 0")
        _, view = self._open()
        now = self._now()
        heads = {kind: view.heads.get((kind, symbol)) for kind in RECORD_TYPES}
        if heads["hawkes"] is None or heads["quoting"] is None:
            return True
        return any(
            calibration_age_s(head, now) > max_age_seconds for head in heads.values() if head is not None
        )


def _is_public(payload: bytes) -> bool:
    return decode_content(payload)[0].kind in RECORD_TYPES
