from typing import Any

import numpy as np
from numpy.typing import NDArray

def parse_table(
    text: bytes, kinds: list[int], decimals: list[int], delimiter: str = ",", skip_bad: bool = False
) -> tuple[list[NDArray[np.int64]], dict[str, Any]]: ...
def parse_capture(text: bytes, skip_bad: bool = False) -> dict[str, Any]: ...
def carry_quotes(
    time: NDArray[np.int64],
    bid: NDArray[np.int64],
    bid_size: NDArray[np.int64],
    ask: NDArray[np.int64],
    ask_size: NDArray[np.int64],
    suspicious: NDArray[np.int64],
) -> dict[str, int]: ...
