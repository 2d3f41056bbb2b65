"""Which signal model a command works on: a JSON file, a random sample, or the head (or a version) of a store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from calibrig.cli.store_options import open_store

if TYPE_CHECKING:
    from calibrig.parameters import SignalModel

__all__ = ["read_signal_model"]


def read_signal_model(name: str, store: str = "") -> SignalModel:
    """Return the model that a command names.

    Parameters
    ----------
    name : str
        A JSON file; ``sample:trees``, ``sample:network``, ``sample:linear``; with ``store`` a symbol, ``BAC``, or a
        version of it, ``BAC@3``.
    store : str
        URL of the store to read from; "" reads files and samples.

    Raises
    ------
    InvalidInputError
        The store has no such model.
    MissingFileError, FileFormatError
        No such file, or no signal model in it, or one whose golden vectors do not fit its weights.
    """
    if store:
        return _read_stored(name, store)
    samples = _samples()
    return samples[name]() if name in samples else _read_file(Path(name))


def _samples() -> dict[str, Any]:
    from calibrig.models.signal import reference_model
    from calibrig.rtl import sample_network, sample_trees

    return {
        "sample:trees": lambda: sample_trees(seed=3),
        "sample:network": lambda: sample_network(seed=1),
        "sample:linear": reference_model,
    }


def _read_stored(name: str, store: str) -> SignalModel:
    from calibrig.errors import InvalidInputError

    symbol, _, version = name.partition("@")
    if version and not version.isdigit():
        raise InvalidInputError(f"{name!r} names no version; give SYMBOL or SYMBOL@NUMBER, such as BAC@3")
    with open_store(store) as opened:
        model: Any = opened.get_signal_model(symbol)
        if version:
            model = opened.read_version("signal", symbol, int(version)).parameters
    if model is None:
        raise InvalidInputError(
            f"the store has no signal model of {symbol!r}; train one with: calibrig fit signal DATA --store {store}"
        )
    return _check_golden(model, f"signal/{symbol}")


def _read_file(path: Path) -> SignalModel:
    import msgspec

    from calibrig.errors import FileFormatError, MissingFileError
    from calibrig.parameters import SignalModel

    try:
        model = msgspec.json.decode(path.read_bytes(), type=SignalModel)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise MissingFileError(
            f"there is no model file {path}; give a signal model as JSON (calibrig fit signal DATA --out {path}), "
            "sample:trees, or a symbol with --store"
        ) from error
    except msgspec.MsgspecError as error:
        raise FileFormatError(f"{path} is not a signal model: {error}") from error
    return _check_golden(model, str(path))


def _check_golden(model: SignalModel, where: str) -> SignalModel:
    from calibrig.errors import FileFormatError
    from calibrig.models.signal import add_golden_vectors, verify_golden_vectors

    if model.golden_values and not verify_golden_vectors(model):
        raise FileFormatError(
            f"{where}: the golden vectors do not fit the weights; the model was changed by hand"
        )
    return model if model.golden_values else add_golden_vectors(model)
