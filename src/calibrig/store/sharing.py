"""Sharing a store's sets with trading loops: makes blocks, and keeps them current."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from calibrig.errors import InvalidInputError
from calibrig.store.block import MAX_SYMBOLS, StoreBlock, check_symbols
from calibrig.store.reader import StoreReader

__all__ = ["StoreSharing"]


class StoreSharing(StoreReader):
    """The part of :class:`ModelStore` that shares what it reads."""

    def share(
        self,
        path: str | Path = "",
        *,
        symbols: Iterable[str] | None = None,
        capacity: int | None = None,
        mode: int = 0o600,
    ) -> StoreBlock:
        """Share the parameter sets as a read-only native block, kept current until it or the store is closed.

        A C++ loop reads it with ``calibrig/model_store.hpp`` (docs/store.md), :func:`read_block` from Python. An
        update is in the block before this process's subscribers are called.

        Parameters
        ----------
        path : str or Path, optional
            Where other processes find it: a file on this machine, best under ``/dev/shm``. Empty keeps it inside
            this process. One writer at a time; what a killed one left is replaced.
        symbols : iterable of str, optional
            Which symbols; all that the store has or will have otherwise.
        capacity : int, optional
            Room for that many symbols, 270 kB each when used; twice the present number, at least 64, otherwise.
        mode : int
            Of the file.

        Examples
        --------
        >>> import tempfile
        >>> from calibrig import ModelStore, RiskParameters
        >>> folder = tempfile.TemporaryDirectory()
        >>> with ModelStore(f"sqlite:///{folder.name}/a.db") as store:
        ...     with store.share(f"{folder.name}/a.db.block") as block:
        ...         version = store.update_risk_parameters("X", RiskParameters(max_position=5,
        ...             normal_volatility_threshold=2.0, elevated_volatility_threshold=3.0,
        ...             high_stress_volatility_threshold=5.0), "anna", "first")
        ...         block.status().symbols[0]["versions"]["risk"]["version_id"], block.status().stale
        (1, False)
        >>> folder.cleanup()
        """
        only = check_symbols(symbols)
        with self._applying:  # no change comes between the first sets and the list of blocks
            _, view = self._open()
            wanted = only if only is not None else self.symbols()
            room = capacity if capacity is not None else max(len(only or ()), 2 * len(wanted), 64)
            if isinstance(room, bool) or not isinstance(room, int) or not 1 <= room <= MAX_SYMBOLS:
                raise InvalidInputError(f"capacity is {room!r}; give an integer in 1 .. {MAX_SYMBOLS}")
            if len(wanted) > room:
                raise InvalidInputError(
                    f"capacity is {room}, but {len(wanted)} symbols are to be shared; give a larger one"
                )
            block = StoreBlock(str(path), view.store_id, symbols=only, capacity=room, mode=mode)
            block.put(view, wanted)
            if not self.stale:
                block.beat(damaged=False)
            if path:
                block.show()
            self._blocks = (*(one for one in self._blocks if not one.closed), block)
        return block
