"""From what a caller wants to write to the next version of a key: merged, checked, linked to its head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from calibrig.errors import InvalidInputError, InvalidParametersError, RefusedError
from calibrig.parameters import Evidence
from calibrig.store.ranges import check_typical_ranges
from calibrig.store.record import (
    GENESIS,
    RECORD_TYPES,
    Content,
    Parameters,
    check_kind,
    check_symbol,
    decode_parameters,
    encode_fields,
    encode_parameters,
)
from calibrig.store.view import Head

__all__ = [
    "QUALITY_FIELDS",
    "Draft",
    "build_content",
    "calibration_time",
    "check_author",
    "check_gates",
    "merge_fields",
    "resolve_parameters",
]

QUALITY_FIELDS: dict[str, tuple[str, ...]] = {
    "hawkes": ("calibration_r_squared", "calibration_samples"),
    "quoting": ("backtest_sharpe", "backtest_pnl"),
    "risk": (),
    "signal": ("skill_r_squared", "skill_standard_error", "calibration_samples"),
}


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller wants to write, before it has a number."""

    kind: str
    symbol: str
    parameters: Any  # the record, or a mapping of some of its fields
    updated_by: str
    comment: str
    origin: str = "manual"
    evidence: Evidence | None = None
    override: str = ""
    approved_by: str = ""
    proposal: str = ""
    calibrated_at: int | None = None  # None: decided by what is written


def check_author(updated_by: str, comment: str) -> None:
    """Refuse a write that does not say who and why."""
    for name, value, limit in (("updated_by", updated_by, 200), ("comment", comment, 10_000)):
        if not isinstance(value, str) or not value.strip():
            raise InvalidInputError(f"{name} is {value!r}; say who changes the parameters, and why")
        if len(value) > limit:
            raise InvalidInputError(f"{name} has {len(value)} characters; give at most {limit}")
        if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
            raise InvalidInputError(f"{name} holds a NUL or half a character; give text that can be written")


def merge_fields(kind: str, changes: Mapping[str, Any], head: Parameters | None) -> Parameters:
    """Return the head's record with some fields changed.

    Quality figures belong to the numbers they were measured with: where other fields change and they are not given,
    they become None.

    Examples
    --------
    >>> from calibrig import HawkesParameters
    >>> head = HawkesParameters(alpha_self=0.3, alpha_cross=0.1, beta=0.5, gamma=2.0, lambda_base=2.0,
    ...     calibration_r_squared=0.9)
    >>> merged = merge_fields("hawkes", {"beta": 0.6}, head)
    >>> merged.beta, merged.calibration_r_squared
    (0.6, None)
    """
    record = RECORD_TYPES[kind]
    known = [name for name in record.__struct_fields__ if name != "version"]
    unknown = [name for name in changes if name not in known]
    if unknown:
        raise InvalidParametersError(
            f"{record.__name__} has no field {', '.join(map(repr, unknown)):.200}; it has {', '.join(known)}"
        )
    fields: dict[str, Any] = {}
    if head is not None:
        fields = {name: getattr(head, name) for name in known}
        if any(name not in QUALITY_FIELDS[kind] and fields[name] != changes[name] for name in changes):
            fields.update(dict.fromkeys(QUALITY_FIELDS[kind]))
    fields.update(changes)
    missing = [
        field.name for field in msgspec.structs.fields(record) if field.required and field.name not in fields
    ]
    if missing:
        raise InvalidParametersError(
            f"{record.__name__} lacks {', '.join(missing)}, and there is no version to take them from; "
            f"give every field the first time"
        )
    return decode_parameters(kind, encode_fields(record.__name__, fields))


def resolve_parameters(draft: Draft, head: Head | None) -> Parameters:
    """Return the record that a draft means: checked, merged with the head where it names only some fields."""
    record = RECORD_TYPES[check_kind(draft.kind)]
    if isinstance(draft.parameters, Mapping):
        present = head.record.parameters if head and head.record else None
        return merge_fields(draft.kind, draft.parameters, present)
    if not isinstance(draft.parameters, record):
        raise InvalidInputError(
            f"parameters are a {type(draft.parameters).__name__}; give a {record.__name__} or a dict of its fields"
        )
    return decode_parameters(draft.kind, encode_parameters(draft.parameters))


def calibration_time(draft: Draft, head: Head | None, now_ns: int) -> int | None:
    """Return when the figures were calibrated: a change of single model fields is no calibration."""
    if draft.calibrated_at is not None or draft.origin in {"default", "rollback"}:
        return draft.calibrated_at
    partial = isinstance(draft.parameters, Mapping) and draft.evidence is None
    if partial and head is not None and not set(draft.parameters) & set(QUALITY_FIELDS[draft.kind]):
        return head.content.calibrated_at
    return now_ns


def check_gates(draft: Draft) -> None:
    """Refuse a version that its gates did not pass, unless the caller names an override."""
    if not isinstance(draft.override, str) or len(draft.override) > 10_000:
        raise InvalidInputError("override must be text of at most 10000 characters: who decided, and why")
    evidence = draft.evidence
    if evidence is None:
        return
    if not isinstance(evidence, Evidence):
        raise InvalidInputError(f"evidence is a {type(evidence).__name__}; give an Evidence or None")
    if not evidence.verdict.deployable and not draft.override.strip():
        raise RefusedError(
            f"{draft.kind}/{draft.symbol} was judged {evidence.verdict} ({evidence.reason or 'no reason given'}) and is "
            f"not stored; calibrate again, or name who decides otherwise and why with override="
        )


def build_content(draft: Draft, head: Head | None, now_ns: int) -> Content:
    """Return the next version of the draft's key: merged with the head, checked, linked to it."""
    check_kind(draft.kind)
    check_symbol(draft.symbol)
    check_author(draft.updated_by, draft.comment)
    check_gates(draft)
    parameters = resolve_parameters(draft, head)
    warnings = check_typical_ranges(parameters)
    if head is not None and now_ns < head.content.updated_at:
        back_s = (head.content.updated_at - now_ns) / 1e9
        warnings = (*warnings, f"the clock is {back_s:.3f} s before the version before; order is by number")
    return Content(
        kind=draft.kind,
        symbol=draft.symbol,
        version_id=head.version_id + 1 if head else 1,
        updated_at=now_ns,
        updated_by=draft.updated_by,
        comment=draft.comment,
        origin=draft.origin,
        parameters=msgspec.Raw(encode_parameters(parameters)),
        calibrated_at=calibration_time(draft, head, now_ns),
        evidence=draft.evidence,
        override=draft.override,
        approved_by=draft.approved_by,
        proposal=draft.proposal,
        warnings=warnings,
        previous_hash=head.hash if head else GENESIS,
    )
