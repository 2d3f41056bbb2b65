from typing import Any

import numpy as np
from numpy.typing import NDArray

def parse_table(
    text: bytes, kinds: list[int], decimals: list[int], delimiter: str = ",", skip_bad: bool = False
) -> tuple[list[NDArray[np.int64]], dict[str, Any]]: ...
def parse_capture(text: bytes, skip_bad: bool = False, build_book: bool = False) -> dict[str, Any]: ...
def carry_quotes(
    time: NDArray[np.int64],
    bid: NDArray[np.int64],
    bid_size: NDArray[np.int64],
    ask: NDArray[np.int64],
    ask_size: NDArray[np.int64],
    suspicious: NDArray[np.int64],
) -> dict[str, int]: ...
def best_of_updates(
    time: NDArray[np.int64],
    message: NDArray[np.int64],
    snapshot: NDArray[np.int64],
    is_bid: NDArray[np.int64],
    price: NDArray[np.int64],
    size: NDArray[np.int64],
) -> tuple[list[NDArray[np.int64]], int]: ...
