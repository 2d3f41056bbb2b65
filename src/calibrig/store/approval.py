"""Who may change what alone: the second person, and the emergency tightening that needs only one."""

from __future__ import annotations

from typing import Any

import msgspec

from calibrig.errors import CorruptRecordError, InvalidInputError, RefusedError
from calibrig.parameters import KINDS, Evidence, RiskParameters
from calibrig.store.draft import Draft, merge_fields
from calibrig.store.record import Content, Parameters
from calibrig.store.view import Head, View

__all__ = [
    "POLICY_KEY",
    "ApprovalPolicy",
    "Proposal",
    "check_second_person",
    "check_tightening",
    "read_policy",
]

POLICY_KEY = ("store.policy", "*")
GUARDABLE = (*KINDS, "rollback")


class ApprovalPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What needs a second person; kept in the store as a version of its own.

    Attributes
    ----------
    second_person : tuple of str
        Kinds, and ``rollback`` for a rollback of any kind.
    signatures : bool
        Whether every version must be signed with a trusted key.

    Examples
    --------
    >>> ApprovalPolicy(second_person=("risk", "rollback")).needs_second_person("hawkes", "rollback")
    True
    """

    second_person: tuple[str, ...] = ()
    signatures: bool = False

    def __post_init__(self) -> None:
        unknown = [name for name in self.second_person if name not in GUARDABLE]
        if unknown:
            raise InvalidInputError(
                f"second_person names {', '.join(map(repr, unknown))}; give some of {', '.join(GUARDABLE)}"
            )

    def needs_second_person(self, kind: str, origin: str) -> bool:
        """Whether a version of ``kind`` with ``origin`` may not be written by one person alone."""
        return kind in self.second_person or (origin == "rollback" and "rollback" in self.second_person)


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """What one person wants to change and another has to approve.

    Attributes
    ----------
    kind, symbol : str
        The key.
    proposal_id : int
        Number of the proposal of this key.
    base_version : int
        The head it was made from; once there is another head it can no longer be approved.
    updated_by, comment : str
        Who proposes it, and why.
    origin : str
        ``manual``, ``calibrated`` or ``rollback``.
    parameters : record
        All of what would be written.
    hash : str
        Of the proposal, as the approved version names it.
    """

    kind: str
    symbol: str
    proposal_id: int
    base_version: int
    updated_by: str
    comment: str
    origin: str
    override: str
    calibrated_at: int | None
    evidence: Evidence | None
    parameters: Parameters
    hash: str


class ProposalBody(msgspec.Struct, frozen=True, kw_only=True):
    """What a proposal keeps in the place of parameters."""

    base_version: int
    origin: str
    calibrated_at: int | None
    values: msgspec.Raw


def read_policy(view: View) -> ApprovalPolicy:
    """Return the policy of the store; without one nothing needs a second person."""
    head = view.heads.get(POLICY_KEY)
    if head is None:
        return ApprovalPolicy()
    try:
        return msgspec.json.decode(head.content.parameters, type=ApprovalPolicy)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CorruptRecordError(f"the policy of the store cannot be read: {error}") from None


def check_second_person(draft: Draft, policy: ApprovalPolicy) -> None:
    """Refuse what one person alone may not write."""
    if draft.origin == "emergency" or not policy.needs_second_person(draft.kind, draft.origin):
        return
    if not draft.approved_by.strip():
        raise RefusedError(
            f"{draft.kind}/{draft.symbol}: {draft.origin} versions of it need a second person here; use propose(), and "
            f"somebody else approve() (tighten_risk() works alone)"
        )
    if draft.approved_by.strip().casefold() == draft.updated_by.strip().casefold():
        raise RefusedError(
            f"{draft.kind}/{draft.symbol} was proposed by {draft.updated_by!r}, who cannot approve it; ask another person"
        )


_TIGHTER_WHEN_LOWER = (
    "max_position",
    "normal_volatility_threshold",
    "elevated_volatility_threshold",
    "high_stress_volatility_threshold",
    "normal_multiplier",
    "elevated_multiplier",
    "high_stress_multiplier",
    "halted_multiplier",
)


def check_tightening(changes: dict[str, Any], head: Head | None) -> RiskParameters:
    """Return the merged record if every change makes the limits tighter; refuse it otherwise.

    Raises
    ------
    RefusedError
        Naming the fields that would become looser.
    """
    if head is None or head.record is None:
        raise InvalidInputError("there are no risk parameters to tighten; write the first version")
    before = head.record.parameters
    after = merge_fields("risk", changes, before)
    looser = [
        name
        for name in after.__struct_fields__
        if name != "version"
        and getattr(after, name) != getattr(before, name)
        and not (name in _TIGHTER_WHEN_LOWER and getattr(after, name) < getattr(before, name))
    ]
    if looser:
        raise RefusedError(
            f"an emergency change may only lower limits, thresholds and multipliers; {', '.join(looser)} would not be "
            f"tighter: use propose() and approve()"
        )
    assert isinstance(after, RiskParameters)
    return after


def read_proposal(content: Content, digest: str, parameters: Parameters) -> Proposal:
    """Return the proposal that a stored version of kind ``<kind>.proposal`` is."""
    body = msgspec.json.decode(content.parameters, type=ProposalBody)
    return Proposal(
        kind=content.kind.removesuffix(".proposal"),
        symbol=content.symbol,
        proposal_id=content.version_id,
        base_version=body.base_version,
        updated_by=content.updated_by,
        comment=content.comment,
        origin=body.origin,
        override=content.override,
        calibrated_at=body.calibrated_at,
        evidence=content.evidence,
        parameters=parameters,
        hash=digest,
    )
