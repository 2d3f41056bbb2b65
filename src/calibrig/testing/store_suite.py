"""How the contract of a store backend opens it, bypasses it and asks for refusals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from calibrig.errors import (
    StoreError,
)
from calibrig.store import Backend, ModelStore

__all__ = ["StoreSuite", "quietly", "raises"]


class StoreSuite:
    """What each part of the contract has: how a store is opened, and what a backend can do.

    Class attributes say what a backend can do: ``shares`` (two opens see the same versions), ``pushes``
    (others learn of a write within ``push_timeout_s``), ``can_tamper`` (``raw_tamper`` is defined).
    """

    shares: ClassVar[bool] = True
    pushes: ClassVar[bool] = True
    can_tamper: ClassVar[bool] = True
    push_timeout_s: ClassVar[float] = 10.0

    # -- what a backend's suite defines -----------------------------------------------------------------------------

    def url(self, folder: Path) -> str:
        """Return the URL of an empty store."""
        raise NotImplementedError("define url(folder) in the subclass")

    def open_raw(self, url: str) -> Backend:
        """Open the backend itself, bypassing ModelStore."""
        from calibrig.store.urls import open_backend

        return open_backend(url)

    def raw_tamper(
        self, url: str, kind: str, symbol: str, version_id: int, change: Callable[[bytes], bytes]
    ) -> None:
        """Change the stored payload of one version behind the store's back."""
        raise NotImplementedError("define raw_tamper or set can_tamper = False")

    # -- how the tests open it ---------------------------------------------------------------------------------------

    @contextmanager
    def opened(self, url: str, **options: Any) -> Iterator[ModelStore]:
        """Open a store and close it."""
        with ModelStore(url, **options) as store:
            yield store


@contextmanager
def raises(kinds: type[Exception] | tuple[type[Exception], ...], words: str) -> Iterator[None]:
    """Assert that the block raises one of ``kinds`` with ``words`` in its message."""
    try:
        yield
    except kinds as error:
        if words not in str(error):
            raise AssertionError(f"{words!r} is not in {str(error)[:500]!r}") from error
        return
    raise AssertionError(f"{kinds} was not raised")


def quietly(call: Callable[[], object]) -> None:
    """Call; a StoreError is no matter."""
    try:
        call()
    except StoreError:
        return
