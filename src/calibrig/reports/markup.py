"""How markup is made: every text is escaped, only :class:`Markup` passes as it is."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

__all__ = ["Markup", "element", "join"]

_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9:-]*")
_VOID = frozenset({"meta", "br", "hr", "path", "rect", "line", "circle", "polygon", "col"})
# control characters that neither HTML nor XML may hold, and what reorders text on a screen
_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


class Markup(str):
    """Text that is already safe markup."""

    __slots__ = ()


def escape(value: object) -> Markup:
    """Return ``value`` as safe text; :class:`Markup` is returned as it is.

    Examples
    --------
    >>> escape("<b> & co")
    '&lt;b&gt; &amp; co'
    """
    if isinstance(value, Markup):
        return value
    return Markup(html.escape(_FORBIDDEN.sub("\ufffd", str(value)), quote=True))


def join(parts: Iterable[object], separator: str = "") -> Markup:
    """Escape and join ``parts``."""
    return Markup(escape(separator).join(escape(part) for part in parts))


def element(tag: str, *children: object, **attributes: object) -> Markup:
    """Return one element; children and attribute values are escaped, attributes that are None are left out.

    A trailing underscore of an attribute name is dropped (``class_``), other underscores become hyphens.

    Examples
    --------
    >>> element("td", "a < b", class_="number")
    '<td class="number">a &lt; b</td>'
    """
    if not _NAME.fullmatch(tag):
        raise ValueError(f"{tag!r} is no element name")
    written = [tag]
    for name, value in attributes.items():
        key = name.rstrip("_").replace("_", "-")
        if not _NAME.fullmatch(key):
            raise ValueError(f"{key!r} is no attribute name")
        if value is not None:
            written.append(f'{key}="{escape(value)}"')
    opening = " ".join(written)
    if tag in _VOID:
        return Markup(f"<{opening}/>")
    return Markup(f"<{opening}>{join(children)}</{tag}>")
