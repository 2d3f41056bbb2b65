"""Train the signal model alone: with the Hawkes model that will trade, placed on a card where that is asked."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from calibrig.calibration import SignalFit, fit_hawkes, fit_signal, import_signal
from calibrig.calibration.signal_import import read_lightgbm_file
from calibrig.calibration.signal_judging import add_timing
from calibrig.errors import InvalidInputError
from calibrig.market import MarketData
from calibrig.operations.fitting import select_signed
from calibrig.parameters import HawkesParameters, ParameterVersion
from calibrig.rtl import measure_timing
from calibrig.store import ModelStore

__all__ = ["find_hawkes", "place_signal", "store_signal", "train_signal"]


def find_hawkes(
    market: MarketData, store: ModelStore | None, *, seed: int = 0
) -> tuple[HawkesParameters | None, str]:
    """Return the Hawkes model behind the intensity features, and in words where it is from.

    The store's head, because that is what trades; else one fitted to the same ticks, whatever its verdict: the
    intensities are features here, not the model that is judged. None where the ticks give none.
    """
    symbol = market.instrument.symbol
    head = None if store is None else store.get_hawkes_parameters(symbol)
    if head is not None:
        version = head.version.version_id if head.version is not None else 0
        return head, f"intensities by the stored Hawkes model, version {version}"
    try:
        fit = fit_hawkes(select_signed(market), seed=seed)
    except InvalidInputError as error:
        return None, f"no intensities: {error}"
    return fit.parameters, f"intensities by a Hawkes model fitted to the same ticks ({fit.verdict})"


def train_signal(
    market: MarketData,
    *,
    hawkes: HawkesParameters | None,
    kinds: Sequence[str] = ("linear", "trees", "network"),
    foreign: str | os.PathLike[str] | None = None,
    horizon_s: float = 1.0,
    holdout: float = 0.2,
    seed: int = 0,
) -> SignalFit:
    """Fit one of ``kinds``, or take over the LightGBM model in the file ``foreign``, and judge it."""
    options: dict[str, Any] = {"hawkes": hawkes, "horizon_s": horizon_s, "holdout": holdout, "seed": seed}
    if foreign is not None:
        return import_signal(read_lightgbm_file(foreign), market, **options)
    return fit_signal(market, kinds=kinds, **options)


def place_signal(
    fit: SignalFit, *, seeds: Sequence[int] = (1, 2, 3), cache: str | os.PathLike[str] | None = None
) -> SignalFit:
    """Place the model's card (minutes for a network) and judge ``device_ns < 400``: the gate travels with the model."""
    return add_timing(fit, measure_timing(fit.parameters, seeds=seeds, cache=cache))


def store_signal(
    store: ModelStore, symbol: str, fit: SignalFit, *, updated_by: str, comment: str, override: str = ""
) -> ParameterVersion:
    """Write the model as the next version of the symbol, with its evidence.

    Raises
    ------
    RefusedError
        Its gates failed and nobody took the responsibility (``override``).
    """
    return store.update_signal_model(
        symbol, fit.parameters, updated_by, comment, evidence=fit.evidence, override=override
    )
