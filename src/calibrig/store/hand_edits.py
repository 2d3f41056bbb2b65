"""From what a person changed in a file to the next version of its key."""

from __future__ import annotations

from calibrig.store.backend import HandEdit
from calibrig.store.draft import Draft
from calibrig.store.record import RECORD_TYPES, VersionRecord, check_kind, check_symbol, plain

__all__ = ["draft_edit", "is_done"]


def draft_edit(edit: HandEdit, head: VersionRecord | None) -> Draft:
    """Return the draft of an edit: only what differs from the head was edited.

    The rest keeps its calibration time, as with any change of single fields.
    """
    known = set(RECORD_TYPES[check_kind(edit.kind)].__struct_fields__) - {"version"}
    present = head.parameters if head else None
    changed = {
        name: value
        for name, value in edit.values.items()
        if name not in known or present is None or plain(getattr(present, name)) != value
    }
    return Draft(
        kind=edit.kind,
        symbol=check_symbol(edit.symbol),
        parameters=changed,
        updated_by=edit.updated_by,
        comment=edit.comment,
        origin="hand_edit",
    )


def is_done(edit: HandEdit, head: VersionRecord | None) -> bool:
    """Whether the head is already what the edit asks for: another process was faster."""
    if head is None or head.version.origin != "hand_edit":
        return False
    return all(plain(getattr(head.parameters, name, None)) == value for name, value in edit.values.items())
