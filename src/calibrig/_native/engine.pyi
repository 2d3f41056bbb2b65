import numpy as np
from numpy.typing import NDArray

from calibrig._native import bridge, store  # noqa: TID251

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

_Limits = tuple[int, int, int, int, int, int, int, int, int, int, float]
_Options = tuple[int, int, int, int, int, int, int]

reason_names: tuple[str, ...]

class Parameters:
    def __init__(
        self,
        versions: list[int],
        refusal: str,
        model_id: int | None,
        previous_model_id: int | None,
        previous_signal_version: int,
        max_position: int,
        order_lots: int,
        horizon_s: float,
        quoting: _Quoting | None,
        risk: _Risk | None,
        hawkes: _Hawkes | None,
    ) -> None: ...

class Replay:
    def __init__(
        self,
        market: Market,
        options: _Options,
        limits: _Limits,
        bridge: bridge.Bridge | None,
        symbol: str = "",
        applied_path: str = "",
    ) -> None: ...
    def publish(self, block: Parameters, stamp_ns: int) -> None: ...
    def follow(self, block: store.BlockWriter, /) -> None: ...
    def unfollow(self) -> None: ...
    def applied(self) -> store.Applied: ...
    def kill(self) -> None: ...
    def run(self, ticks: int, /) -> bool: ...
    @property
    def event(self) -> int: ...
    def orders(self) -> dict[str, NDArray[np.int64]]: ...
    def fills(self) -> dict[str, NDArray[np.int64]]: ...
    def samples(self) -> dict[str, NDArray[np.float64]]: ...
    def sessions(self) -> dict[str, NDArray[np.float64]]: ...
    def reasons(self) -> dict[str, NDArray[np.int64]]: ...
    def updates(self) -> dict[str, NDArray[np.int64]]: ...
    def counts(self) -> dict[str, int]: ...
    def compute_ns(self) -> NDArray[np.int32]: ...

_I = NDArray[np.int64]
_Minutes = tuple[_I, _I, _I, _I, _I, _I, _I, _I, int, int, int]

def run_days(
    *,
    minutes: _Minutes,
    rows: NDArray[np.int64],
    options: _Options,
    limits: _Limits,
    blocks: list[Parameters],
    threads: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]: ...
