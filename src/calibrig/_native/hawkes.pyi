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
) -> tuple[NDArray[np.int64], NDArray[np.int8]]: ...

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
