"""ModelStore: the versioned, audited parameters of every symbol, read without a lock and pushed to every process."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from calibrig.errors import (
    CalibrigError,
    InvalidInputError,
    RefusedError,
    StoreUnavailableError,
    VersionConflictError,
)
from calibrig.parameters import (
    AvellanedaStoikovParameters,
    Evidence,
    HawkesParameters,
    Instrument,
    ParameterVersion,
    RiskParameters,
    SignalModel,
)
from calibrig.store.backend import EditableBackend, HandEdit, HistoryQuery
from calibrig.store.defaults import default_parameters
from calibrig.store.draft import Draft, build_content
from calibrig.store.hand_edits import draft_edit, is_done
from calibrig.store.portable import read_export
from calibrig.store.reader import StoreReader
from calibrig.store.record import (
    GENESIS,
    Parameters,
    Sealed,
    check_kind,
    check_symbol,
    decode_record,
    seal,
)
from calibrig.store.view import View

__all__ = ["ModelStore", "PostgreSQLModelStore", "RedisModelStore"]

WRITE_DEADLINE_S = 10.0  # for a write that others overtake again and again
_LOG = logging.getLogger("calibrig.store")


class ModelStore(StoreReader):
    """Versioned parameters behind one set of promises, whatever keeps them.

    Reading (``get_*``, ``snapshot``) takes no lock and does no I/O: it looks into an immutable view that a watcher
    thread replaces when any process has written. Writing makes the next version of a key: numbers have no gaps, every
    version names the hash of the one before, and nothing is ever changed or deleted.

    Parameters
    ----------
    url : str or Path
        ``./parameters.json``, ``sqlite:///calibrig.db``, ``redis://...``, ``postgresql://...``.
    backend : Backend, optional
        An open backend to be used instead of the one that ``url`` names; it is closed with the store.
    clock_ns : callable, optional
        Nanoseconds since 1970 UTC.
    monotonic_ns : callable, optional
        A clock that never steps; a step back of ``clock_ns`` makes nothing look fresh.
    create : bool, optional
        Make the store where there is none; otherwise MissingFileError.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> with ModelStore(f"sqlite:///{folder.name}/a.db") as store:
    ...     version = store.update_hawkes_parameters("BTCUSDT", HawkesParameters(alpha_self=0.3, alpha_cross=0.1,
    ...         beta=0.5, gamma=2.0, lambda_base=2.0), "anna", "first calibration")
    ...     store.get_hawkes_parameters("BTCUSDT").version.version_id
    1
    >>> folder.cleanup()
    """

    # -- hand edits ---------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Compare the heads with the backend's now, and make versions of what people edited by hand."""
        super().refresh()
        backend: object = self._backend
        if isinstance(backend, EditableBackend) and not self._taking_edits:
            with self._applying:
                self._taking_edits = True
                try:
                    self._take_edits(backend)
                finally:
                    self._taking_edits = False

    def _take_edits(self, backend: EditableBackend) -> None:
        """Write all edits of a file as one release, or put the file aside and say why."""
        edits: tuple[HandEdit, ...] = ()
        try:
            edits = backend.take_edits()
            if not edits:
                return
            super().refresh()
            drafts = [draft_edit(edit, self.head(edit.kind, edit.symbol)) for edit in edits]
            expected = {(edit.kind, edit.symbol): edit.base_version for edit in edits}
            written = self._write(drafts, expected)
        except VersionConflictError as error:
            if edits and all(is_done(edit, self.head(edit.kind, edit.symbol)) for edit in edits):
                return
            self._reject(backend, error)
        except (InvalidInputError, RefusedError) as error:
            self._reject(backend, error)
        else:
            backend.settle_edits()
            for version in written:
                _LOG.warning(
                    "%s/%s version %d was edited by hand", version.kind, version.symbol, version.version_id
                )

    def _reject(self, backend: EditableBackend, error: CalibrigError) -> None:
        aside = backend.refuse_edits(str(error))
        message = f"a hand edit was refused and put aside as {aside}: {error}"
        self._rejected = (*self._rejected, message)[-10:]
        _LOG.error("%s", message)

    # -- writing --------------------------------------------------------------------------------------------------

    def update(
        self,
        kind: str,
        symbol: str,
        parameters: Parameters | Mapping[str, Any],
        updated_by: str,
        comment: str,
        *,
        expected_version: int | None = None,
        evidence: Evidence | None = None,
        override: str = "",
        origin: str | None = None,
    ) -> ParameterVersion:
        """Write the next version of ``kind`` for ``symbol``; on the disk when this returns.

        Parameters
        ----------
        kind, symbol : str
            The key.
        parameters : record or dict
            The record, or some of its fields; missing ones are taken from the head.
        updated_by, comment : str
            Who, and why.
        expected_version : int, optional
            The version this change was made from; 0 for none. Another head is a VersionConflictError.
        evidence : Evidence, optional
            Verdict, gates and data; a verdict that is not deployable needs ``override``.
        override : str, optional
            Who decided to store it all the same, and why.
        origin : str, optional
            ``calibrated`` where there is evidence, else ``manual``.
        """
        draft = Draft(
            kind=check_kind(kind),
            symbol=check_symbol(symbol),
            parameters=parameters,
            updated_by=updated_by,
            comment=comment,
            evidence=evidence,
            override=override,
            origin=origin or ("calibrated" if evidence is not None else "manual"),
        )
        expected = {} if expected_version is None else {(kind, symbol): expected_version}
        return self._write([draft], expected)[0]

    def update_hawkes_parameters(
        self,
        symbol: str,
        params: HawkesParameters | Mapping[str, Any],
        updated_by: str,
        comment: str,
        *,
        expected_version: int | None = None,
        evidence: Evidence | None = None,
        override: str = "",
    ) -> ParameterVersion:
        """Write the next Hawkes version of ``symbol``; see :meth:`update`."""
        return self.update(
            "hawkes",
            symbol,
            params,
            updated_by,
            comment,
            expected_version=expected_version,
            evidence=evidence,
            override=override,
        )

    def update_as_parameters(
        self,
        symbol: str,
        params: AvellanedaStoikovParameters | Mapping[str, Any],
        updated_by: str,
        comment: str,
        *,
        expected_version: int | None = None,
        evidence: Evidence | None = None,
        override: str = "",
    ) -> ParameterVersion:
        """Write the next quoting version of ``symbol``; see :meth:`update`."""
        return self.update(
            "quoting",
            symbol,
            params,
            updated_by,
            comment,
            expected_version=expected_version,
            evidence=evidence,
            override=override,
        )

    def update_risk_parameters(
        self,
        symbol: str,
        params: RiskParameters | Mapping[str, Any],
        updated_by: str,
        comment: str,
        *,
        expected_version: int | None = None,
        evidence: Evidence | None = None,
        override: str = "",
    ) -> ParameterVersion:
        """Write the next risk version of ``symbol``; see :meth:`update`."""
        return self.update(
            "risk",
            symbol,
            params,
            updated_by,
            comment,
            expected_version=expected_version,
            evidence=evidence,
            override=override,
        )

    def update_signal_model(
        self,
        symbol: str,
        params: SignalModel | Mapping[str, Any],
        updated_by: str,
        comment: str,
        *,
        expected_version: int | None = None,
        evidence: Evidence | None = None,
        override: str = "",
    ) -> ParameterVersion:
        """Write the next signal model of ``symbol``; see :meth:`update`."""
        return self.update(
            "signal",
            symbol,
            params,
            updated_by,
            comment,
            expected_version=expected_version,
            evidence=evidence,
            override=override,
        )

    def publish(
        self,
        symbol: str,
        records: Mapping[str, Parameters | Mapping[str, Any]],
        updated_by: str,
        comment: str,
        *,
        evidence: Mapping[str, Evidence] | None = None,
        override: str = "",
        expected_versions: Mapping[str, int] | None = None,
    ) -> tuple[ParameterVersion, ...]:
        """Write new versions of several kinds as one release: every reader sees all of them or none.

        Parameters
        ----------
        symbol : str
            Whose.
        records : dict of kind to record or dict
            What is new.
        updated_by, comment : str
            Who, and why.
        evidence : dict of kind to Evidence, optional
            Judgement by kind.
        override : str, optional
            Needed where a verdict is not deployable.
        expected_versions : dict of kind to int, optional
            As ``expected_version`` of :meth:`update`.
        """
        evidence = evidence or {}
        drafts = [
            Draft(
                kind=check_kind(kind),
                symbol=check_symbol(symbol),
                parameters=parameters,
                updated_by=updated_by,
                comment=comment,
                evidence=evidence.get(kind),
                override=override,
                origin="calibrated" if kind in evidence else "manual",
            )
            for kind, parameters in records.items()
        ]
        if not drafts:
            raise InvalidInputError("there is nothing to publish; give at least one kind with its record")
        expected = {(kind, symbol): number for kind, number in (expected_versions or {}).items()}
        return self._write(drafts, expected)

    def rollback(
        self, kind: str, symbol: str, *, version_id: int, updated_by: str, comment: str, override: str = ""
    ) -> ParameterVersion:
        """Write a new version with the content, evidence and calibration time of an old one."""
        old = self.read_version(kind, symbol, version_id)
        draft = Draft(
            kind=kind,
            symbol=symbol,
            parameters=old.parameters,
            updated_by=updated_by,
            comment=comment,
            origin="rollback",
            evidence=old.evidence,
            override=override or old.override,
            calibrated_at=old.calibrated_at,
        )
        return self._write([draft], {})[0]

    def load_default_parameters(
        self,
        symbol: str,
        *,
        instrument: Instrument | None = None,
        reference_price: float = 100.0,
        updated_by: str = "calibrig",
    ) -> tuple[ParameterVersion, ...]:
        """Write default Hawkes, quoting and risk records where ``symbol`` has none.

        They have origin ``default`` and no quality figures, and live trading refuses them unless allowed by name.
        """
        instrument = instrument or Instrument(symbol=check_symbol(symbol), tick_size=0.01, lot_size=1.0)
        comment = "default parameters, never calibrated"
        drafts = [
            Draft(
                kind=kind,
                symbol=symbol,
                parameters=record,
                updated_by=updated_by,
                comment=comment,
                origin="default",
            )
            for kind, record in default_parameters(
                instrument=instrument, reference_price=reference_price
            ).items()
            if self.get(kind, symbol) is None
        ]
        expected = {(draft.kind, draft.symbol): 0 for draft in drafts}
        return self._write(drafts, expected) if drafts else ()

    def _write(
        self, drafts: list[Draft], expected: Mapping[tuple[str, str], int]
    ) -> tuple[ParameterVersion, ...]:
        """Seal the drafts on the present heads and append them; start over while others are faster."""
        deadline = time.monotonic() + WRITE_DEADLINE_S
        for attempt in range(1_000_000):
            backend, view = self._open()
            sealed = [self._seal(draft, view, expected.get((draft.kind, draft.symbol))) for draft in drafts]
            try:
                backend.append(sealed)
            except VersionConflictError:
                if attempt:
                    time.sleep(random.uniform(0, min(0.02, 0.0005 * attempt)))
                self.refresh()
                if time.monotonic() > deadline:
                    raise
                continue
            except StoreUnavailableError as error:
                if not self._was_written(sealed):
                    raise
                _LOG.warning("the connection broke after the write had been done: %s", error)
            break
        self.refresh()
        return tuple(decode_record(one.payload).version for one in sealed)

    def _seal(self, draft: Draft, view: View, expected: int | None) -> Sealed:
        head = view.heads.get((draft.kind, draft.symbol))
        present = head.version_id if head else 0
        if expected is not None and expected != present:
            raise VersionConflictError(
                f"{draft.kind}/{draft.symbol} is at version {present}, not {expected}; look at the difference and "
                f"make the change again from version {present}"
            )
        content = build_content(draft, head, self._clock_ns())
        for warning in content.warnings:
            _LOG.info("%s/%s version %d: %s", draft.kind, draft.symbol, content.version_id, warning)
        return seal(content)

    def _was_written(self, sealed: list[Sealed]) -> bool:
        """After a connection broke in the middle of an append: ask whether it had been done."""
        backend, _ = self._open()
        first = sealed[0]
        query = HistoryQuery(kind=first.kind, symbol=first.symbol, version_id=first.version_id)
        try:
            return any(one.hash == first.hash for one in backend.history(query))
        except StoreUnavailableError:
            raise StoreUnavailableError(
                f"the store went away while {first.kind}/{first.symbol} version {first.version_id} was written; "
                f"whether it was is unknown: read the head before you try again"
            ) from None

    def import_from(self, path: str | Path) -> int:
        """Append the versions of an export that this store does not have; return how many.

        Everything is checked before anything is written. A key that exists here must be a beginning of the export's.
        """
        backend, view = self._open()
        wanted: list[Sealed] = []
        ends: dict[tuple[str, str], str] = {}
        for record in read_export(path):
            head = view.heads.get((record.kind, record.symbol))
            if head is None or record.version_id > head.version_id:
                wanted.append(record)
            elif record.version_id == head.version_id:
                ends[record.kind, record.symbol] = record.hash
        for record in wanted:
            head = view.heads.get((record.kind, record.symbol))
            expected = head.hash if head else GENESIS
            if ends.get((record.kind, record.symbol), GENESIS) != expected:
                raise VersionConflictError(
                    f"{record.kind}/{record.symbol} has another history here than in {path}; import into an empty store"
                )
        for start in range(0, len(wanted), 500):
            backend.append(wanted[start : start + 500])
        self.refresh()
        return len(wanted)


class RedisModelStore(ModelStore):
    """A ModelStore that accepts only ``redis://``, ``rediss://``, ``valkey://`` and ``unix://`` URLs."""

    kinds: ClassVar[tuple[str, ...]] = ("redis",)


class PostgreSQLModelStore(ModelStore):
    """A ModelStore that accepts only ``postgresql://`` URLs."""

    kinds: ClassVar[tuple[str, ...]] = ("postgres",)
