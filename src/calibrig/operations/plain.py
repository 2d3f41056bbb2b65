"""From results to plain JSON values."""

from __future__ import annotations

import math
import os
from typing import Any

__all__ = ["to_plain"]


def to_plain(value: Any) -> Any:
    """Return ``value`` as plain JSON types: records become objects, arrays lists, NaN and infinity null.

    Examples
    --------
    >>> to_plain({"a": float("nan"), "b": (1, 2.5)})
    {'a': None, 'b': [1, 2.5]}
    """
    if hasattr(value, "tolist"):  # numpy arrays and scalars, without importing numpy
        return to_plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, dict):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "to_dict"):
        return to_plain(value.to_dict())
    import msgspec

    return to_plain(msgspec.to_builtins(value))
