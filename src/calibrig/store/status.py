"""How an open store is doing."""

from __future__ import annotations

import msgspec

__all__ = ["StoreStatus"]


class StoreStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How an open store is doing.

    Attributes
    ----------
    url : str
        Without secrets.
    stale : bool
        The backend has not answered for 0.8 s, or answers with damaged or older versions.
    contact_age_s : float
        Seconds since it last answered.
    problem : str or None
        What the last attempt ran into.
    keys : int
        Heads served.
    change : int
        Number of appends seen.
    pushes : int
        How often new heads were taken over.
    rejected_edits : tuple of str
        The last hand edits that were refused: where they are now, and why.
    """

    url: str
    stale: bool
    contact_age_s: float
    problem: str | None
    keys: int
    change: int
    pushes: int
    rejected_edits: tuple[str, ...] = ()
