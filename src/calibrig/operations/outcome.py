"""How a run of the whole product ended: what a program reads, what a person reads, and the exit code."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calibrig.operations.fitting import Fitted
from calibrig.parameters import Verdict
from calibrig.reports import ReportContent

__all__ = ["GATE_NOT_MET", "Outcome", "judge_models"]

GATE_NOT_MET = 4
_WEIGHT = (
    Verdict.FAIL,
    Verdict.NO_SELF_EXCITATION,
    Verdict.TOO_FEW_EVENTS,
    Verdict.TOO_FEW_DAYS,
    Verdict.RESTRICTED,
    Verdict.PASS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One finished run.

    Attributes
    ----------
    verdict, reason : str
        The overall judgement.
    exit_code : int
        0, 1 (the truth was not recovered) or 4 (a gate not met).
    content : ReportContent
        What the report shows; the command line prints the same records.
    result : dict
        The machine-readable result; ``schema`` is its version.
    report_path, result_path : Path
        The files that were written.
    store_url : str
        Where the versions are.
    """

    verdict: str
    reason: str
    exit_code: int
    content: ReportContent
    result: dict[str, Any]
    report_path: Path
    result_path: Path
    store_url: str

    def to_dict(self) -> dict[str, Any]:
        """Return the machine-readable result."""
        return self.result


def judge_models(models: Iterable[Fitted]) -> tuple[Verdict, str]:
    """Return the heaviest verdict of the models, and the reason of each model that has it.

    Examples
    --------
    >>> judge_models([Fitted(kind="hawkes", verdict=Verdict.PASS, reason="ok"),
    ...     Fitted(kind="risk", verdict=Verdict.RESTRICTED, reason="paper only")])
    (<Verdict.RESTRICTED: 'RESTRICTED'>, 'risk: paper only')
    """
    models = list(models)
    verdict = min((model.verdict for model in models), key=_WEIGHT.index, default=Verdict.FAIL)
    if verdict == Verdict.PASS:
        return verdict, "every gate of every model holds"
    reasons = [f"{model.kind}: {model.reason}" for model in models if model.verdict == verdict]
    return verdict, "; ".join(reasons)
