"""ModelStore: the versioned, audited parameters of every symbol, read without a lock and pushed to every process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from calibrig.errors import (
    InvalidInputError,
    RefusedError,
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
from calibrig.store.approval import (
    POLICY_KEY,
    ApprovalPolicy,
    Proposal,
    ProposalBody,
    check_tightening,
    read_policy,
    read_proposal,
)
from calibrig.store.backend import RoleBackend
from calibrig.store.defaults import default_parameters
from calibrig.store.draft import Draft, calibration_time, check_author, check_gates, resolve_parameters
from calibrig.store.observing import StoreObserving
from calibrig.store.record import (
    Parameters,
    check_kind,
    check_symbol,
    decode_parameters,
    encode_parameters,
)
from calibrig.store.sharing import StoreSharing
from calibrig.store.writer import StoreWriter

__all__ = ["ModelStore", "PostgreSQLModelStore", "RedisModelStore"]


class ModelStore(StoreSharing, StoreObserving, StoreWriter):
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
    signer : Signer, optional
        Signs every version that is written; its name must be the author's (or the approver's).
    trusted_keys : TrustedKeys, optional
        Only versions signed with one of these are taken over; ``verify`` checks the whole history against them.
    observation_days : float, optional
        Observations (not versions) older than this expire.

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
        draft = self._rollback_draft(
            kind, symbol, version_id, updated_by=updated_by, comment=comment, override=override
        )
        return self._write([draft], {})[0]

    def _rollback_draft(
        self, kind: str, symbol: str, version_id: int, *, updated_by: str, comment: str, override: str
    ) -> Draft:
        old = self.read_version(kind, symbol, version_id)
        return Draft(
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

    # -- the second person ---------------------------------------------------------------------------------------

    @property
    def policy(self) -> ApprovalPolicy:
        """What needs a second person, and whether versions must be signed."""
        return read_policy(self._open()[1])

    def set_policy(
        self, policy: ApprovalPolicy, updated_by: str, comment: str, *, approved_by: str = ""
    ) -> int:
        """Write a new policy; return its number. Once a second person is needed for anything, also for this."""
        check_author(updated_by, comment)
        if self.policy.second_person and approved_by.strip().casefold() in {
            "",
            updated_by.strip().casefold(),
        }:
            raise RefusedError(
                "this store needs a second person for its policy; name another one as approved_by"
            )
        values = msgspec.json.encode(policy)
        return self._write_internal(*POLICY_KEY, values, updated_by, comment, approved_by=approved_by)

    def propose(
        self,
        kind: str,
        symbol: str,
        parameters: Parameters | Mapping[str, Any],
        updated_by: str,
        comment: str,
        *,
        evidence: Evidence | None = None,
        override: str = "",
        rollback_to: int | None = None,
    ) -> Proposal:
        """Write down a change that a second person has to approve; nothing is live until then.

        ``rollback_to`` proposes the content of an old version; ``parameters`` is then ignored.
        """
        draft = Draft(
            kind=check_kind(kind),
            symbol=check_symbol(symbol),
            parameters=parameters,
            updated_by=updated_by,
            comment=comment,
            evidence=evidence,
            override=override,
            origin="calibrated" if evidence is not None else "manual",
        )
        if rollback_to is not None:
            draft = self._rollback_draft(
                kind, symbol, rollback_to, updated_by=updated_by, comment=comment, override=override
            )
        check_author(updated_by, comment)
        check_gates(draft)
        head = self._open()[1].heads.get((kind, symbol))
        record = resolve_parameters(draft, head)
        body = ProposalBody(
            base_version=head.version_id if head else 0,
            origin=draft.origin,
            calibrated_at=calibration_time(draft, head, self._clock_ns()),
            values=msgspec.Raw(encode_parameters(record)),
        )
        self._write_internal(
            f"{kind}.proposal",
            symbol,
            msgspec.json.encode(body),
            updated_by,
            comment,
            evidence=draft.evidence,
            override=draft.override,
        )
        found = self.pending(kind, symbol)
        return found[0]

    def pending(self, kind: str | None = None, symbol: str | None = None) -> list[Proposal]:
        """Return the proposals that can still be approved: the newest of each key, made from its present head."""
        _, view = self._open()
        found = []
        for (name, of), head in sorted(view.heads.items()):
            own = name.removesuffix(".proposal")
            if own == name or kind not in {None, own} or symbol not in {None, of}:
                continue
            body = msgspec.json.decode(head.content.parameters, type=ProposalBody)
            present = view.heads.get((own, of))
            if body.base_version == (present.version_id if present else 0):
                parameters = decode_parameters(own, bytes(body.values))
                found.append(read_proposal(head.content, head.hash, parameters))
        return found

    def approve(self, kind: str, symbol: str, approved_by: str) -> ParameterVersion:
        """Make the pending proposal of a key its next version; only somebody else than its author can."""
        check_author(approved_by, "approved")
        found = self.pending(check_kind(kind), check_symbol(symbol))
        if not found:
            raise InvalidInputError(
                f"{kind}/{symbol} has no proposal that can be approved; the newest may be made from an older version"
            )
        proposal = found[0]
        if proposal.updated_by.strip().casefold() == approved_by.strip().casefold():
            raise RefusedError(
                f"{kind}/{symbol} was proposed by {approved_by!r}, who cannot approve it; ask another person"
            )
        draft = Draft(
            kind=kind,
            symbol=symbol,
            parameters=proposal.parameters,
            updated_by=proposal.updated_by,
            comment=proposal.comment,
            origin=proposal.origin,
            evidence=proposal.evidence,
            override=proposal.override,
            approved_by=approved_by,
            proposal=proposal.hash,
            calibrated_at=proposal.calibrated_at,
        )
        return self._write([draft], {(kind, symbol): proposal.base_version})[0]

    def tighten_risk(
        self, symbol: str, changes: Mapping[str, Any], updated_by: str, comment: str
    ) -> ParameterVersion:
        """Lower limits, thresholds or multipliers at once, alone; anything looser is refused."""
        head = self._open()[1].heads.get(("risk", check_symbol(symbol)))
        check_tightening(dict(changes), head)
        draft = Draft(
            kind="risk",
            symbol=symbol,
            parameters=dict(changes),
            updated_by=updated_by,
            comment=comment,
            origin="emergency",
        )
        return self._write([draft], {("risk", symbol): head.version_id if head else 0})[0]

    def create_roles(self) -> tuple[str, ...]:
        """Make the database roles ``<schema>_writer`` (may append) and ``<schema>_reader`` (may look); PostgreSQL only."""
        backend: object = self._open()[0]
        if not isinstance(backend, RoleBackend):
            raise InvalidInputError(
                "roles exist in a PostgreSQL store only; use file permissions or Redis ACLs here"
            )
        return backend.create_roles()


class RedisModelStore(ModelStore):
    """A ModelStore that accepts only ``redis://``, ``rediss://``, ``valkey://`` and ``unix://`` URLs."""

    kinds: ClassVar[tuple[str, ...]] = ("redis",)


class PostgreSQLModelStore(ModelStore):
    """A ModelStore that accepts only ``postgresql://`` URLs."""

    kinds: ClassVar[tuple[str, ...]] = ("postgres",)
