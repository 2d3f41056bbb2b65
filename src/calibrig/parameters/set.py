"""The records of one symbol that a trading loop uses together."""

from __future__ import annotations

import msgspec

from calibrig.parameters.hawkes import HawkesParameters
from calibrig.parameters.quoting import AvellanedaStoikovParameters
from calibrig.parameters.risk import RiskParameters
from calibrig.parameters.signal import SignalModel

__all__ = ["ParameterSet"]


class ParameterSet(msgspec.Struct, frozen=True, kw_only=True):
    """One consistent set: never Hawkes of one release with risk of another.

    Attributes
    ----------
    symbol : str
        Whose parameters these are.
    hawkes, quoting, risk, signal
        The heads, each with its ``version``; None where the store has none.
    age_s : float or None
        Seconds since the oldest of them was written; None for an unversioned set.
    stale : bool
        True while the backend cannot be reached: the last known good set is served.

    Examples
    --------
    >>> ParameterSet(symbol="BTCUSDT").versions
    {}
    """

    symbol: str
    hawkes: HawkesParameters | None = None
    quoting: AvellanedaStoikovParameters | None = None
    risk: RiskParameters | None = None
    signal: SignalModel | None = None
    age_s: float | None = None
    stale: bool = False

    @property
    def versions(self) -> dict[str, int]:
        """Version number by kind, for the records that carry one."""
        records = {"hawkes": self.hawkes, "quoting": self.quoting, "risk": self.risk, "signal": self.signal}
        return {
            kind: record.version.version_id
            for kind, record in records.items()
            if record is not None and record.version is not None
        }
