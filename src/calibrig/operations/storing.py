"""What of a calibration goes into the store, and the set the loop trades with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from calibrig.operations.fitting import Fitted
from calibrig.operations.inference import trades_signal
from calibrig.parameters import ParameterSet, ParameterVersion
from calibrig.store import ModelStore

__all__ = ["Stored", "store_models"]

SCRATCH = "scratch set of this run only: not deployable, so not stored"
UNUSED = "nowhere: not deployable, so neither stored nor used by the loop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What was written, why the rest was not, and the set that the loop uses.

    Attributes
    ----------
    versions : dict of kind to ParameterVersion
        What was written.
    places : dict of kind to str
        Where each model is now, in words.
    parameters : ParameterSet
        Stored heads, and for kinds that were not stored the fitted record without a version.
    """

    versions: Mapping[str, ParameterVersion]
    places: Mapping[str, str]
    parameters: ParameterSet


def store_models(
    store: ModelStore,
    symbol: str,
    fitted: Mapping[str, Fitted],
    *,
    updated_by: str,
    comment: str,
    override: str = "",
) -> Stored:
    """Write every deployable model as one release; what is not deployable is written only with ``override``.

    ``override`` names who decided to store a model whose gates failed, and why.
    """
    records: dict[str, Any] = {}
    places: dict[str, str] = {}
    for kind, model in fitted.items():
        if model.parameters is None:
            places[kind] = "nowhere: there is no fit"
        elif model.verdict.deployable or override:
            records[kind] = model.parameters
            places[kind] = "store" if model.verdict.deployable else f"store, overridden: {override}"
        else:
            places[kind] = UNUSED if kind == "signal" else SCRATCH
    versions: dict[str, ParameterVersion] = {}
    if records:
        evidence = {kind: fitted[kind].evidence for kind in records}
        written = store.publish(
            symbol,
            records,
            updated_by,
            comment,
            evidence={kind: item for kind, item in evidence.items() if item is not None},
            override=override,
        )
        versions = {version.kind: version for version in written}
    return Stored(versions=versions, places=places, parameters=build_set(store, symbol, fitted, override))


def build_set(
    store: ModelStore, symbol: str, fitted: Mapping[str, Fitted], override: str = ""
) -> ParameterSet:
    """Return the store's snapshot with the models that this run may not store put in as scratch records.

    A signal that showed no skill on these ticks is not used at all, nor is one that the store holds from before.
    """
    snapshot = store.snapshot(symbol)
    scratch = {
        kind: model.parameters
        for kind, model in fitted.items()
        if model.parameters is not None and not _is_stored(getattr(snapshot, kind), model.parameters)
    }
    if not trades_signal(fitted.get("signal"), override):
        scratch["signal"] = None
    return msgspec.structs.replace(snapshot, **scratch)


def _is_stored(head: Any, parameters: Any) -> bool:
    """Say whether the head holds these very numbers."""
    return head is not None and msgspec.structs.replace(head, version=None) == msgspec.structs.replace(
        parameters, version=None
    )
