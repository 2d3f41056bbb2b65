"""What identifies one stored version of a record: number, time, author, reason, origin."""

from __future__ import annotations

import msgspec

from calibrig.parameters._checks import check_integer, check_text

__all__ = ["KINDS", "ParameterVersion"]

KINDS = ("hawkes", "quoting", "risk", "signal")


class ParameterVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of one record.

    Attributes
    ----------
    version_id : int
        Gapless and monotonic per (kind, symbol), from 1.
    updated_at : int
        Time of the write, ns since 1970 UTC.
    updated_by, comment : str
        Who wrote it, and why.
    kind, symbol : str
        The key; ``kind`` is one of ``hawkes``, ``quoting``, ``risk``, ``signal``.
    origin : str
        ``calibrated``, ``manual``, ``rollback``, ``hand_edit``, ``import`` or ``default``.

    Examples
    --------
    >>> ParameterVersion(version_id=1, updated_at=0, updated_by="anna", comment="first").version_id
    1
    """

    version_id: int
    updated_at: int
    updated_by: str
    comment: str
    kind: str = ""
    symbol: str = ""
    origin: str = "manual"

    def __post_init__(self) -> None:
        check_integer("ParameterVersion", "version_id", self.version_id, at_least=1)
        check_integer("ParameterVersion", "updated_at", self.updated_at, at_least=0)
        check_text("ParameterVersion", "updated_by", self.updated_by, max_length=200, empty=False)
        check_text("ParameterVersion", "comment", self.comment)
