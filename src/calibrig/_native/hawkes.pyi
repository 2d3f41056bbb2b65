from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

def simulate(
    n_self: float,
    n_cross: float,
    beta: float,
    gamma: float,
    lambda_base: float,
    asymmetry: float,
    profile: Sequence[float],
    sessions_flat: NDArray[np.int64],
    seed: int,
    thinning: bool,
    max_events: int,
    threads: int,
) -> tuple[NDArray[np.int64], NDArray[np.int8]]: ...
def intensity(
    alpha_self: float,
    alpha_cross: float,
    beta: float,
    gamma: float,
    lambda_base: float,
    asymmetry: float,
    profile: Sequence[float],
    time_ns: NDArray[np.int64],
    side: NDArray[np.int8],
    sessions_flat: NDArray[np.int64],
    at_ns: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...

class Online:
    def __init__(
        self,
        alpha_self: float,
        alpha_cross: float,
        beta: float,
        gamma: float,
        lambda_base: float,
        asymmetry: float,
        profile: Sequence[float],
        horizon_s: float,
    ) -> None: ...
    def reset(self, start_ns: int, end_ns: int) -> None: ...
    def event(self, t_ns: int, side_index: int) -> None: ...
    def intensity(self, t_ns: int) -> tuple[float, float]: ...
    def now_ns(self) -> int: ...

class Halt:
    def __init__(self) -> None: ...
    def call(self) -> None: ...
    def heed(self) -> None: ...

class History:
    def __init__(
        self,
        time_ns: NDArray[np.int64],
        offset_ns: NDArray[np.float64] | None,
        side: NDArray[np.int8],
        sessions_flat: NDArray[np.int64],
        profile_sessions_flat: NDArray[np.int64],
        profile: NDArray[np.float64],
        lane_steps: int,
        threads: int,
        isa: str,
    ) -> None: ...
    def prepare(self, start: NDArray[np.float64], depth: int, threads: int) -> None: ...
    def tails(self) -> NDArray[np.float64]: ...
    def evaluate(
        self, order: int, rows: NDArray[np.float64], scalars: NDArray[np.float64], threads: int
    ) -> NDArray[np.float64]: ...
    def trace(
        self, rows: NDArray[np.float64], scalars: NDArray[np.float64], first: int, last: int, threads: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]: ...
    def share(self) -> History: ...
    def count(self) -> int: ...
    def sessions(self) -> int: ...
    def bytes(self) -> int: ...
