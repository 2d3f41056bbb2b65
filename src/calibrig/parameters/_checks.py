"""Checks shared by the records: one refusal per wrong field, with path, value, limit and remedy."""

from __future__ import annotations

import math
from typing import Any

from calibrig.errors import InvalidParametersError


def check_number(
    owner: str,
    field: str,
    value: Any,
    *,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
) -> None:
    """Refuse what is not a finite int or float inside the bounds (booleans and strings included)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidParametersError(f"{owner}.{field} is {value!r}; give a number (int or float)")
    if not math.isfinite(value):
        raise InvalidParametersError(f"{owner}.{field} is {value!r}; give a finite number")
    if above is not None and not value > above:
        raise InvalidParametersError(f"{owner}.{field} is {value!r}; it must be above {above:g}")
    if at_least is not None and not value >= at_least:
        raise InvalidParametersError(f"{owner}.{field} is {value!r}; it must be at least {at_least:g}")
    if below is not None and not value < below:
        raise InvalidParametersError(f"{owner}.{field} is {value!r}; it must be below {below:g}")
    if at_most is not None and not value <= at_most:
        raise InvalidParametersError(f"{owner}.{field} is {value!r}; it must be at most {at_most:g}")


def check_integer(
    owner: str, field: str, value: Any, *, at_least: int | None = None, at_most: int | None = None
) -> None:
    """Refuse what is not an int inside the bounds and inside 64 bits."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidParametersError(f"{owner}.{field} is {value!r}; give an integer")
    low = -(2**63) if at_least is None else at_least
    high = 2**63 - 1 if at_most is None else at_most
    if not low <= value <= high:
        raise InvalidParametersError(f"{owner}.{field} is {value!r}; it must lie in {low} .. {high}")


def check_text(owner: str, field: str, value: Any, *, max_length: int = 10_000, empty: bool = True) -> None:
    """Refuse what is not text, or longer than ``max_length`` characters, or empty where it must not be."""
    if not isinstance(value, str):
        raise InvalidParametersError(f"{owner}.{field} is a {type(value).__name__}; give text")
    if len(value) > max_length:
        raise InvalidParametersError(
            f"{owner}.{field} has {len(value)} characters; give at most {max_length}"
        )
    if not empty and not value.strip():
        raise InvalidParametersError(f"{owner}.{field} is empty; say something a reader can use")


def check_profile(owner: str, profile: tuple[float, ...]) -> None:
    """Refuse a time-of-day profile that is empty, negative somewhere, or whose mean is not 1."""
    if not profile:
        check_number(owner, "profile", "empty")
    for index, value in enumerate(profile):
        check_number(owner, f"profile[{index}]", value, at_least=0.0)
    mean = sum(profile) / len(profile)
    check_number(owner, "mean(profile)", mean, above=1.0 - 1e-6, below=1.0 + 1e-6)
