"""The contract of a store backend: inherit ``StoreContract``, say how to open it, and run pytest.

A backend is held to it through ``ModelStore`` and through ``raw_*`` functions that bypass the store, so that a backend
cannot pass by agreeing with itself. ``StoreContract.TESTS`` is how many tests a complete run has; compare it with
``contract_tests(YourSuite)``, because a suite that silently ran fewer proves nothing.
"""

from __future__ import annotations

from typing import ClassVar

from calibrig.testing.store_contract_backend import FunctionsContract
from calibrig.testing.store_contract_history import HistoryContract
from calibrig.testing.store_contract_sharing import SharingContract
from calibrig.testing.store_contract_writing import WritingContract
from calibrig.testing.store_samples import (
    DAY_NS,
    HAWKES,
    QUOTING,
    RECORDS,
    RISK,
    SIGNAL,
    SteppedClock,
    make_content,
    wait_until,
)
from calibrig.testing.store_suite import StoreSuite

__all__ = [
    "DAY_NS",
    "HAWKES",
    "QUOTING",
    "RECORDS",
    "RISK",
    "SIGNAL",
    "SteppedClock",
    "StoreContract",
    "StoreSuite",
    "contract_tests",
    "make_content",
    "wait_until",
]


def contract_tests(suite: type) -> list[str]:
    """Return the names of the contract's tests that ``suite`` has.

    Examples
    --------
    >>> len(contract_tests(StoreContract)) == StoreContract.TESTS
    True
    """
    return [name for name in dir(suite) if name.startswith("test_")]


class StoreContract(WritingContract, HistoryContract, FunctionsContract, SharingContract):
    """Promises every backend keeps. Subclass it, name the class ``Test...``, and define ``url``.

    Class attributes say what a backend can do: ``shares`` (two opens see the same versions), ``pushes`` (others learn of a
    write within ``push_timeout_s``), ``can_tamper`` (``raw_tamper`` is defined).
    """

    TESTS: ClassVar[int] = 34
