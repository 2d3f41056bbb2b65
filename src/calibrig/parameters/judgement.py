"""How a calibration is judged: verdicts, gate results and the evidence that travels with a version."""

from __future__ import annotations

import enum

import msgspec

from calibrig.parameters._checks import check_text

__all__ = ["Evidence", "GateResult", "Verdict"]


class Verdict(enum.StrEnum):
    """What a calibration may be used for."""

    PASS = "PASS"
    RESTRICTED = "RESTRICTED"  # storable and usable within named limits
    FAIL = "FAIL"  # not deployable; stored only with a named override
    NO_SELF_EXCITATION = "NO_SELF_EXCITATION"
    TOO_FEW_EVENTS = "TOO_FEW_EVENTS"
    TOO_FEW_DAYS = "TOO_FEW_DAYS"

    @property
    def deployable(self) -> bool:
        """Whether a version with this verdict may be stored without an override."""
        return self in {Verdict.PASS, Verdict.RESTRICTED}


class GateResult(msgspec.Struct, frozen=True, kw_only=True):
    """One gate: the figure, its limit and whether it holds.

    Attributes
    ----------
    name : str
        Name of the gate, unique within a fit.
    value : float or None
        The figure; None where the gate does not apply.
    limit : str
        The limit in words, with units: ``"<= 0.02"``, ``"95 % lower bound > 0"``.
    passed : bool or None
        None where the gate does not apply; ``detail`` then says why.
    detail : str
        What a reader needs to judge the figure: interval, counts, which side.

    Examples
    --------
    >>> GateResult(name="ks_distance_buy", value=0.011, limit="<= 0.02", passed=True).passed
    True
    """

    name: str
    value: float | None
    limit: str
    passed: bool | None
    detail: str = ""

    def __post_init__(self) -> None:
        check_text("GateResult", "name", self.name, max_length=200, empty=False)
        check_text("GateResult", "limit", self.limit)
        check_text("GateResult", "detail", self.detail)


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Why a version may be trusted: what it was fitted on and how it was judged.

    Attributes
    ----------
    verdict : Verdict
        The overall judgement.
    reason : str
        Why, in one sentence; for RESTRICTED also what it forbids.
    gates : tuple of GateResult
        Every gate that was judged.
    data_fingerprint : str
        SHA-256 over the columns used (hex), empty if unknown.
    data_description : str
        Symbols, days and counts in words.
    code_version : str
        ``calibrig.__version__`` that made the fit.
    restrictions : tuple of str
        Names of what a RESTRICTED version forbids, for example ``"touch_quoting_only"``.

    Examples
    --------
    >>> Evidence(verdict=Verdict.PASS).verdict.deployable
    True
    """

    verdict: Verdict
    reason: str = ""
    gates: tuple[GateResult, ...] = ()
    data_fingerprint: str = ""
    data_description: str = ""
    code_version: str = ""
    restrictions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_text("Evidence", "reason", self.reason)
        check_text("Evidence", "data_fingerprint", self.data_fingerprint, max_length=200)
        check_text("Evidence", "data_description", self.data_description)
