"""Whether four computations of one model agree bit for bit: NumPy, compiled kernel, generated logic, verilated card."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibrig._native import signal as native_signal  # noqa: TID251  # compared here with its twins
from calibrig.models.signal import N_FEATURES, evaluate_quantised
from calibrig.parameters import SignalModel
from calibrig.rtl.build import build_card
from calibrig.rtl.core import generate_core
from calibrig.rtl.lines import make_requests
from calibrig.rtl.simulated_card import SimulatedCard

__all__ = ["ExactnessReport", "make_vectors", "verify_exactness"]

_TYPICAL = 16  # features are mostly a few standard deviations, a small part of the format's range


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactnessReport:
    """Differences found between the computations of one model.

    Attributes
    ----------
    n_vectors : int
        Inputs compared.
    kernel, interpreter, card : int
        How many answers differ from the NumPy twin's.
    distinct_answers : int
        How many different integers the model gave: one that answers a constant proves little.
    cycles : tuple of int
        Smallest and largest number of device cycles the card reported.
    """

    n_vectors: int
    kernel: int
    interpreter: int
    card: int
    distinct_answers: int
    cycles: tuple[int, int]

    @property
    def exact(self) -> bool:
        """No difference anywhere."""
        return self.n_vectors > 0 and self.kernel == self.interpreter == self.card == 0


def make_vectors(model: SignalModel, n_vectors: int, *, seed: int) -> NDArray[np.int16]:
    """Return integer inputs: corners of the format, each feature alone at its ends, the model's own edges, random.

    Parameters
    ----------
    model : SignalModel
        Its format, and its thresholds where it has trees.
    n_vectors : int
        At least 200.
    seed : int
        Of the random part.

    Returns
    -------
    ndarray of int16, shape (n_vectors, 16)

    Examples
    --------
    >>> from calibrig.models.signal import reference_model
    >>> make_vectors(reference_model(), 1000, seed=1).shape
    (1000, 16)
    """
    reach = 1 << (model.feature_bits - 1)
    ends = (-reach, -1, 0, 1, reach - 1)
    rows = [np.full(N_FEATURES, end) for end in ends]
    for feature in range(N_FEATURES):
        for end in ends:
            row = np.zeros(N_FEATURES, dtype=np.int64)
            row[feature] = end
            rows.append(row)
    rng = np.random.default_rng(seed)
    if model.trees is not None:
        rows.extend(_beside_thresholds(model, rng, reach))
    corners = np.array(rows)[: n_vectors // 2]
    inside = rng.integers(-reach, reach, size=(n_vectors - len(corners), N_FEATURES))
    inside[::2] //= _TYPICAL
    ends_mixed = rng.choice(ends, size=(len(inside[::5]), N_FEATURES))
    inside[::5] = ends_mixed
    return np.vstack([corners, inside]).astype(np.int16)


def _beside_thresholds(model: SignalModel, rng: np.random.Generator, reach: int) -> list[NDArray[np.int64]]:
    assert model.trees is not None
    rows = []
    for feature, threshold in zip(model.trees.features, model.trees.thresholds, strict=True):
        for value in (threshold, threshold + 1):
            row = rng.integers(-reach, reach, size=N_FEATURES)
            row[feature] = min(max(value, -reach), reach - 1)
            rows.append(row)
    return rows


def verify_exactness(
    model: SignalModel,
    *,
    n_vectors: int = 100_000,
    seed: int = 1,
    cache: str | os.PathLike[str] | None = None,
    stage_delay: float | None = None,
) -> ExactnessReport:
    """Run the same inputs through all four computations and count differences.

    Parameters
    ----------
    model : SignalModel
        Any kind.
    n_vectors : int
        Inputs.
    seed : int
        Of the random ones.
    cache : path, optional
        Of builds.
    stage_delay : float, optional
        See `generate_core`.

    Returns
    -------
    ExactnessReport
    """
    vectors = make_vectors(model, n_vectors, seed=seed)
    expected = evaluate_quantised(model, vectors)
    core = generate_core(model, stage_delay=stage_delay)
    with SimulatedCard(build_card(model, cache=cache, stage_delay=stage_delay), model) as card:
        card.enable_descriptor_path()
        replies = card.run(make_requests(vectors, model.model_id))
    kernel = native_signal.Model(model).evaluate(vectors)
    return ExactnessReport(
        n_vectors=n_vectors,
        kernel=int(np.sum(kernel != expected)),
        interpreter=int(np.sum(core.evaluate(vectors) != expected)),
        card=int(np.sum((replies["value"] != expected) | (replies["status"] != 0))),
        distinct_answers=len(np.unique(expected)),
        cycles=(int(replies["cycles"].min()), int(replies["cycles"].max())),
    )
