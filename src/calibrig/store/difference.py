"""What changed between two records, field by field."""

from __future__ import annotations

from typing import Any

import msgspec

from calibrig.store.record import Parameters

__all__ = ["FieldChange", "diff_parameters"]


class FieldChange(msgspec.Struct, frozen=True, kw_only=True):
    """One field that differs.

    Attributes
    ----------
    field : str
        Name; items of a list are ``profile[3]``.
    before, after : object
        The values; None where there is none.
    relative : float or None
        ``(after - before) / |before|`` for numbers; None where that has no meaning.
    """

    field: str
    before: Any
    after: Any
    relative: float | None


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _change(field: str, before: Any, after: Any) -> FieldChange:
    relative = None
    if _number(before) and _number(after) and before != 0:
        relative = (after - before) / abs(before)
    return FieldChange(field=field, before=before, after=after, relative=relative)


def diff_parameters(before: Parameters | None, after: Parameters | None) -> tuple[FieldChange, ...]:
    """Return the fields in which two records differ, in the order of the record.

    Examples
    --------
    >>> from calibrig import HawkesParameters
    >>> a = HawkesParameters(alpha_self=0.3, alpha_cross=0.1, beta=0.5, gamma=2.0, lambda_base=2.0)
    >>> b = msgspec.structs.replace(a, beta=0.55)
    >>> [(c.field, c.before, c.after, round(c.relative, 3)) for c in diff_parameters(a, b)]
    [('beta', 0.5, 0.55, 0.1)]
    """
    sample = after if after is not None else before
    if sample is None:
        return ()
    changes: list[FieldChange] = []
    for field in sample.__struct_fields__:
        if field == "version":
            continue
        old = getattr(before, field, None)
        new = getattr(after, field, None)
        if isinstance(old, tuple) and isinstance(new, tuple) and len(old) == len(new):
            pairs = enumerate(zip(old, new, strict=True))
            changes += [_change(f"{field}[{i}]", a, b) for i, (a, b) in pairs if a != b]
        elif old != new:
            changes.append(_change(field, old, new))
    return tuple(changes)
