"""The report a person reads: nothing is computed here."""

from calibrig.reports.content import (
    Figure,
    FillMarks,
    IntensityCurve,
    LatencyCurve,
    LoopCurve,
    ModelSection,
    ParameterRow,
    QuantileCurve,
    ReportContent,
    VersionRow,
)
from calibrig.reports.page import render_report
from calibrig.reports.write import write_report, write_whole

__all__ = [
    "Figure",
    "FillMarks",
    "IntensityCurve",
    "LatencyCurve",
    "LoopCurve",
    "ModelSection",
    "ParameterRow",
    "QuantileCurve",
    "ReportContent",
    "VersionRow",
    "render_report",
    "write_report",
    "write_whole",
]
