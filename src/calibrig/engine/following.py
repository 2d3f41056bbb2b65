"""An engine that follows a store: from a version's push to the loop's next cycle, and fails closed with the store."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from calibrig.errors import CalibrigError, StoreError
from calibrig.parameters import KINDS, ParameterSet, ParameterVersion

if TYPE_CHECKING:
    from calibrig.engine.loop import Engine
    from calibrig.store import ModelStore

__all__ = ["follow_store", "newest_stamp"]

_LOG = logging.getLogger("calibrig.engine")


def newest_stamp(before: ParameterSet, after: ParameterSet) -> int:
    """Return the newest `updated_at` among the versions of ``after`` that ``before`` does not have; 0 if none.

    Examples
    --------
    >>> newest_stamp(ParameterSet(symbol="X"), ParameterSet(symbol="X"))
    0
    """
    stamps = [
        record.version.updated_at
        for kind in KINDS
        if (record := getattr(after, kind)) is not None
        and record.version is not None
        and record.version.version_id != before.versions.get(kind)
    ]
    return max(stamps, default=0)


def follow_store(engine: Engine, store: ModelStore) -> Callable[[], None]:
    """Give the engine every new set of its symbol, on the thread that learns of it; see :meth:`Engine.follow`."""
    symbol = engine.symbol
    block = store.share(symbols=(symbol,), capacity=1)  # inside this process: what the loop looks at
    given: dict[str, int] = dict(engine.versions)

    def take(version: ParameterVersion) -> None:
        if version.symbol != symbol:
            return
        found = store.snapshot(symbol)
        if found.versions == given:
            return  # a release of several kinds is told kind by kind, and taken whole at the first
        given.clear()
        given.update(found.versions)
        # whether the store is stale is looked at by the loop itself, at every cycle: not once, here
        found = msgspec.structs.replace(found, stale=False)
        try:
            engine.publish(found)
        except CalibrigError as error:
            _LOG.error("%s: the new parameters cannot be traded with, so nothing is sent: %s", symbol, error)
            engine.withhold()

    unsubscribe = store.subscribe(take)
    engine.attach(block)

    def end() -> None:
        unsubscribe()
        engine.detach()
        block.close()

    try:
        for kind in KINDS:  # what was written before the subscription
            head = store.head(kind, symbol)
            if head is not None:
                take(head.version)
    except StoreError:
        end()
        raise
    return end
