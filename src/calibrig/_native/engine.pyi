import numpy as np
from numpy.typing import NDArray

_Hawkes = tuple[float, float, float, float, float, float, list[float]]
_Quoting = tuple[float, float, float, float, float, float, float, float, float, float, int, bool]
_Risk = tuple[list[float], list[float], float, float, float, float, float, list[float], float]

class Market:
    def __init__(
        self,
        trade_time: NDArray[np.int64],
        trade_price: NDArray[np.int64],
        trade_lots: NDArray[np.int64],
        trade_side: NDArray[np.int8],
        sub_tick: NDArray[np.float32] | None,
        new_order: NDArray[np.uint8] | None,
        quote_time: NDArray[np.int64],
        bid: NDArray[np.int64],
        bid_lots: NDArray[np.int64],
        ask: NDArray[np.int64],
        ask_lots: NDArray[np.int64],
        sessions: NDArray[np.int64],
    ) -> None: ...

class QuotingModel:
    def __init__(self, parameters: _Quoting, limit_lots: int) -> None: ...
    @property
    def stiffness(self) -> float: ...
    @property
    def exact(self) -> bool: ...
    def prices(
        self, bid: int, ask: int, position: int, signal: float, time_left_s: float
    ) -> tuple[int, int, float]: ...

def extract_features(
    market: Market, hawkes: _Hawkes | None
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.uint8], NDArray[np.uint8]]: ...
def regime_path(
    time: NDArray[np.int64], mid: NDArray[np.float64], sessions: NDArray[np.int64], risk: _Risk
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int8]]: ...
