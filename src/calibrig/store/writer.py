"""The writing half of a store: the next version of a key, sealed on its head, appended by whoever is first."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any

import msgspec

from calibrig.errors import (
    CalibrigError,
    InvalidInputError,
    RefusedError,
    StoreError,
    StoreUnavailableError,
    VersionConflictError,
)
from calibrig.parameters import (
    Evidence,
    ParameterVersion,
)
from calibrig.store.approval import check_second_person, read_policy
from calibrig.store.backend import Backend, EditableBackend, HandEdit, HistoryQuery, QueueingBackend
from calibrig.store.draft import Draft, build_content
from calibrig.store.hand_edits import draft_edit, is_done
from calibrig.store.portable import read_export
from calibrig.store.reader import StoreReader
from calibrig.store.record import (
    GENESIS,
    Content,
    Parameters,
    Sealed,
    Signature,
    check_kind,
    check_symbol,
    decode_record,
    seal,
)
from calibrig.store.view import View, merge_heads

__all__ = ["StoreWriter"]

WRITE_DEADLINE_S = 10.0  # for a write that others overtake again and again
_LOG = logging.getLogger("calibrig.store")


class StoreWriter(StoreReader):
    """Writes versions; :class:`ModelStore` adds the public names."""

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

    def _write(
        self, drafts: list[Draft], expected: Mapping[tuple[str, str], int]
    ) -> tuple[ParameterVersion, ...]:
        """Write the drafts when it is this caller's turn, and show them to readers."""
        try:
            with self._turn():
                sealed, change = self._append_next(drafts, expected)
        except (VersionConflictError, InvalidInputError, RefusedError):
            with suppress(StoreError):  # readers see what the refusal was judged by
                self.refresh()
            raise
        if not self._apply_own(sealed, change):
            self.refresh()
        return tuple(decode_record(one.payload).version for one in sealed)

    def _append_next(
        self, drafts: list[Draft], expected: Mapping[tuple[str, str], int]
    ) -> tuple[list[Sealed], int | None]:
        """Seal the drafts on the present heads and append them; start over while others are faster."""
        deadline = time.monotonic() + WRITE_DEADLINE_S
        backend, view = self._open()
        for attempt in range(1_000_000):
            sealed = [self._seal(draft, view, expected.get((draft.kind, draft.symbol))) for draft in drafts]
            try:
                return sealed, backend.append(sealed)
            except VersionConflictError:
                if attempt:
                    time.sleep(random.uniform(0, min(0.02, 0.0005 * attempt)))
                view = self._newest(backend, view)
                if time.monotonic() > deadline:
                    raise
            except StoreUnavailableError as error:
                if not self._was_written(sealed):
                    raise
                _LOG.warning("the connection broke after the write had been done: %s", error)
                return sealed, None
        raise AssertionError("not reached")

    def _turn(self) -> AbstractContextManager[None]:
        backend: object = self._open()[0]
        return backend.turn() if isinstance(backend, QueueingBackend) else nullcontext()

    def _newest(self, backend: Backend, view: View) -> View:
        """Return the heads as they are now, to write on; readers see them once they are applied.

        Nothing here waits for who applies versions: a subscriber may be writing, and wait for its turn.
        """
        loaded = backend.load_heads(view.change)
        if loaded.store_id != view.store_id or loaded.change < view.change:
            self.refresh()  # another store, or one that lost versions: says what is wrong
            return self._open()[1]
        changed = merge_heads(view, loaded.heads, self._monotonic_ns())
        self._check_signatures(changed)
        return view.advance(changed, loaded.change)

    def _seal(self, draft: Draft, view: View, expected: int | None) -> Sealed:
        head = view.heads.get((draft.kind, draft.symbol))
        present = head.version_id if head else 0
        if expected is not None and expected != present:
            raise VersionConflictError(
                f"{draft.kind}/{draft.symbol} is at version {present}, not {expected}; look at the difference and "
                f"make the change again from version {present}"
            )
        check_second_person(draft, read_policy(view))
        content = build_content(draft, head, self._clock_ns())
        for warning in content.warnings:
            _LOG.info("%s/%s version %d: %s", draft.kind, draft.symbol, content.version_id, warning)
        return seal(content, self._signatures(content))

    def _write_internal(
        self,
        kind: str,
        symbol: str,
        values: bytes,
        updated_by: str,
        comment: str,
        *,
        approved_by: str = "",
        evidence: Evidence | None = None,
        override: str = "",
    ) -> int:
        """Append a version of an internal key (policy, proposal): same chain, same audit, not a record."""
        for _ in range(100):
            backend, view = self._open()
            head = view.heads.get((kind, symbol))
            content = Content(
                kind=kind,
                symbol=symbol,
                version_id=head.version_id + 1 if head else 1,
                updated_at=self._clock_ns(),
                updated_by=updated_by,
                comment=comment,
                origin="internal",
                parameters=msgspec.Raw(values),
                evidence=evidence,
                override=override,
                approved_by=approved_by,
                previous_hash=head.hash if head else GENESIS,
            )
            try:
                with self._turn():
                    backend.append([seal(content, self._signatures(content))])
            except VersionConflictError:
                self.refresh()
                continue
            self.refresh()
            return content.version_id
        raise StoreUnavailableError(f"{kind}/{symbol} was overtaken by others 100 times; try again")

    def _signatures(self, content: Content) -> Callable[[bytes], tuple[Signature, ...]] | None:
        """Return what signs a version: as approver where it was approved, else as author."""
        signer = self._signer
        if signer is None:
            return None
        role = "approver" if content.approved_by else "author"
        name = content.approved_by or content.updated_by
        if name != signer.name:
            raise RefusedError(
                f"{content.kind}/{content.symbol} is written by {name!r}, the key is {signer.name!r}'s; write in the "
                f"name of the key's owner"
            )
        return lambda payload: (signer.sign(payload, role),)

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

    def import_from(self, path: str | Path, *, dry_run: bool = False) -> int:
        """Append the versions of an export that this store does not have; return how many.

        Everything is checked before anything is written; with ``dry_run`` nothing is. A key that exists here must be a beginning of the export's.
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
        if dry_run:
            return len(wanted)
        for start in range(0, len(wanted), 500):
            with self._turn():
                backend.append(wanted[start : start + 500])
        self.refresh()
        return len(wanted)

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
                backend.settle_edits()
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
