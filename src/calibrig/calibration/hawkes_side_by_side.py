"""Pieces of work that do not need each other, done side by side where there are threads for them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

from calibrig.models.hawkes_passes import Halt, usable_threads

__all__ = ["SideBySide"]

P = ParamSpec("P")
T = TypeVar("T")

_MOST_AT_ONCE = 4  # more pieces than that are never ready at the same time


class SideBySide:
    """Runs pieces on a few threads, or one after the other where there is one thread; their results are the same.

    A piece must not wait for a piece started after it. The block ends when every piece has; where it ends by an error
    or by Ctrl-C, pieces that run stop between two blocks of events, and those that wait are dropped.

    Parameters
    ----------
    threads : int, optional
        For all pieces together; default as many as the process may use.

    Examples
    --------
    >>> with SideBySide(2) as pieces:
    ...     one = pieces.start(pow, 2, 5)
    ...     other = pieces.start(pow, 3, 2)
    ...     one.result() + other.result()
    41
    """

    def __init__(self, threads: int | None) -> None:
        threads = usable_threads(threads)
        workers = min(threads, _MOST_AT_ONCE)
        self.threads_each = -(-threads // workers)
        self._halt = Halt()
        self._pool = None if workers == 1 else ThreadPoolExecutor(workers, "hawkes", self._halt.heed)

    def start(self, work: Callable[P, T], *args: P.args, **more: P.kwargs) -> Future[T]:
        """Start a piece, or do it at once where there is one thread."""
        if self._pool is not None:
            return self._pool.submit(work, *args, **more)
        done: Future[T] = Future()
        done.set_result(work(*args, **more))
        return done

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._pool is None:
            return
        if error is not None:
            self._halt.call()
        try:
            self._pool.shutdown(wait=True, cancel_futures=error is not None)
        except BaseException:  # Ctrl-C while the last pieces run
            self._halt.call()
            raise
