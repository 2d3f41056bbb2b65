"""A Hawkes fit drawn as one self-contained SVG: intensity, Q-Q, residual autocorrelation, kernel."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from calibrig.calibration.gates_hawkes import QuantilePlot
    from calibrig.calibration.hawkes_nonparametric import KernelEstimate
    from calibrig.calibration.hawkes_result import FlowCurve

__all__ = ["Drawing", "HawkesPlot", "draw_fit"]

Float64Array = NDArray[np.float64]

_COLOURS = {1: "#1b6ca8", -1: "#c2571a"}
_NAMES = {1: "buy", -1: "sell"}


@dataclass(frozen=True, slots=True)
class HawkesPlot:
    """Four panels as SVG text; notebooks show it by themselves."""

    svg: str

    def to_svg(self) -> str:
        """Return the SVG document."""
        return self.svg

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, path: str | Path) -> None:
        """Write the SVG document to a file."""
        Path(path).write_text(self.svg, encoding="utf-8")


@dataclass(frozen=True, slots=True)
class _Panel:
    """A rectangle with linear or logarithmic axes."""

    left: float
    top: float
    x: tuple[float, float]
    y: tuple[float, float]
    title: str
    log: bool = False
    width: float = 380.0
    height: float = 220.0

    def place(self, x: Float64Array, y: Float64Array) -> Float64Array:
        """Pixel positions, shape (n, 2)."""
        turn = np.log10 if self.log else np.asarray
        (x0, x1), (y0, y1) = (turn(np.array(r)) for r in (self.x, self.y))
        px = self.left + (turn(x) - x0) / (x1 - x0) * self.width
        py = self.top + self.height - (turn(y) - y0) / (y1 - y0) * self.height
        return np.stack([px, np.clip(py, self.top, self.top + self.height)], axis=1)

    def frame(self) -> list[str]:
        low, high = (f"{v:.3g}" for v in self.x), (f"{v:.3g}" for v in self.y)
        (x0, x1), (y0, y1) = tuple(low), tuple(high)
        bottom, right = self.top + self.height, self.left + self.width
        return [
            f'<rect x="{self.left}" y="{self.top}" width="{self.width}" height="{self.height}" fill="none" stroke="#999"/>',
            f'<text x="{self.left}" y="{self.top - 8}" font-weight="bold">{self.title}</text>',
            f'<text x="{self.left}" y="{bottom + 15}">{x0}</text>',
            f'<text x="{right}" y="{bottom + 15}" text-anchor="end">{x1}</text>',
            f'<text x="{self.left - 4}" y="{bottom}" text-anchor="end">{y0}</text>',
            f'<text x="{self.left - 4}" y="{self.top + 10}" text-anchor="end">{y1}</text>',
        ]

    def line(
        self, x: Float64Array, y: Float64Array, colour: str, *, dashed: bool = False, width: float = 1.2
    ) -> str:
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in self.place(x, y))
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}"{dash}/>'

    def band(self, x: Float64Array, low: Float64Array, high: Float64Array) -> str:
        points = np.concatenate([self.place(x, low), self.place(x, high)[::-1]])
        text = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        return f'<polygon points="{text}" fill="#ddd" stroke="none"/>'

    def dots(self, x: Float64Array, y: Float64Array, colour: str) -> str:
        return "".join(
            f'<circle cx="{a:.1f}" cy="{b:.1f}" r="1.8" fill="{colour}"/>' for a, b in self.place(x, y)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """What the panels show of a fit, whichever its kernel.

    Attributes
    ----------
    title : str
        Beside the names of the sides.
    curve : FlowCurve or None
        Counted and expected rate; None where nothing was held out, as are the next two.
    quantiles : dict of QuantilePlot or None
        By side (+1, -1).
    autocorrelation : dict of ndarray or None
        Of the residuals by side.
    residuals : dict of int
        How many, by side.
    delay_s, own, other : ndarray, shape (k,)
        Kernel of the own and the other side, 1/s, over delays.
    estimate : KernelEstimate or None
        The same without a formula.
    """

    title: str
    curve: FlowCurve | None
    quantiles: dict[int, QuantilePlot] | None
    autocorrelation: dict[int, Float64Array] | None
    residuals: dict[int, int]
    delay_s: Float64Array
    own: Float64Array
    other: Float64Array
    estimate: KernelEstimate | None


def draw_fit(drawing: Drawing) -> HawkesPlot:
    """Draw the four panels; those without data say so."""
    parts = [
        *_intensity(drawing.curve),
        *_quantiles(drawing.quantiles),
        *_autocorrelation(drawing.autocorrelation, drawing.residuals),
        *_kernel(drawing),
    ]
    key = "".join(
        f'<text x="{60 + 60 * k}" y="18" fill="{_COLOURS[side]}">{_NAMES[side]}</text>'
        for k, side in enumerate((1, -1))
    )
    body = "\n".join([key, f'<text x="200" y="18">{drawing.title}</text>', *parts])
    return HawkesPlot(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 920 600" width="920" height="600" role="img" '
        f'aria-label="Hawkes fit" font-family="sans-serif" font-size="11">\n<title>Hawkes fit</title>\n{body}\n</svg>\n'
    )


def _empty(panel: _Panel, why: str) -> list[str]:
    return [*panel.frame(), f'<text x="{panel.left + 20}" y="{panel.top + 40}">{why}</text>']


def _intensity(curve: FlowCurve | None) -> list[str]:
    if curve is None:
        return _empty(_Panel(60, 50, (0, 1), (0, 1), "Held-out intensity"), "too few events to hold any out")
    hours = (curve.time_ns - curve.time_ns[0]) / 3.6e12
    top = float(max(curve.counted.max(), curve.expected.max(), 1e-9))
    panel = _Panel(
        60,
        50,
        (0.0, float(hours[-1])),
        (0.0, top),
        "Held-out events per second over hours: counted (grey), expected",
    )
    return [
        *panel.frame(),
        panel.line(hours, curve.counted, "#aaa"),
        panel.line(hours, curve.expected, "#1b6ca8"),
    ]


def _quantiles(plots: dict[int, QuantilePlot] | None) -> list[str]:
    if plots is None:
        return _empty(_Panel(520, 50, (0, 1), (0, 1), "Q-Q of residuals"), "too few events to hold any out")
    top = float(max(plots[1].theory[-1], *(p.model.max() for p in plots.values())))
    panel = _Panel(
        520, 50, (0.0, top), (0.0, top), "Q-Q of residuals against Exp(1), 95 % band; dashed: Poisson"
    )
    parts = [*panel.frame(), panel.band(plots[1].theory, plots[1].low, plots[1].high)]
    parts.append(panel.line(np.array([0.0, top]), np.array([0.0, top]), "#999"))
    for side, plot in plots.items():
        thin = _thin(len(plot.theory))
        parts.append(
            panel.line(plot.theory[thin], plot.poisson[thin], _COLOURS[side], dashed=True, width=0.8)
        )
        parts.append(panel.dots(plot.theory[thin], plot.model[thin], _COLOURS[side]))
    return parts


def _thin(count: int, most: int = 150) -> NDArray[np.intp]:
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.intp))


def _autocorrelation(values: dict[int, Float64Array] | None, residuals: dict[int, int]) -> list[str]:
    title = "Residual autocorrelation, lags 1 to 20"
    if values is None:
        return _empty(_Panel(60, 340, (0, 1), (0, 1), title), "too few events to hold any out")
    reach = 1.1 * max(0.03, *(float(np.abs(v).max()) for v in values.values()))
    panel = _Panel(60, 340, (0.0, 21.0), (-reach, reach), title)
    parts = [*panel.frame(), panel.line(np.array([0.0, 21.0]), np.zeros(2), "#999")]
    for side, correlations in values.items():
        lags = np.arange(1, len(correlations) + 1, dtype=np.float64)
        bound = 1.96 / math.sqrt(max(residuals[side], 1))
        for level in (-bound, bound):
            parts.append(
                panel.line(np.array([0.0, 21.0]), np.full(2, level), _COLOURS[side], dashed=True, width=0.6)
            )
        parts.append(panel.dots(lags + 0.15 * side, correlations, _COLOURS[side]))
    return parts


def _kernel(drawing: Drawing) -> list[str]:
    tau = drawing.delay_s
    title = "Kernel over delay in s: self, cross (dashed); dots: no formula"
    curves = [
        (curve, colour, dashed)
        for curve, colour, dashed in ((drawing.own, _COLOURS[1], False), (drawing.other, _COLOURS[-1], True))
        if curve.max() > 0.0
    ]
    if not curves:
        return _empty(_Panel(520, 340, (0, 1), (0, 1), title), "no excitation")
    values = np.concatenate([curve for curve, _, _ in curves])
    high = float(values.max()) * 2.0
    low = max(float(values.min()), high * 1e-12)
    panel = _Panel(520, 340, (float(tau[0]), float(tau[-1])), (low, high), title, log=True)
    parts = panel.frame()
    for curve, colour, dashed in curves:
        parts.append(panel.line(tau, np.maximum(curve, low), colour, dashed=dashed))
    estimate = drawing.estimate
    if estimate is not None:
        for heights, colour in ((estimate.self_, _COLOURS[1]), (estimate.cross, _COLOURS[-1])):
            seen = (
                (heights > low)
                & (heights < high)
                & (estimate.delay_s > tau[0])
                & (estimate.delay_s < tau[-1])
            )
            parts.append(panel.dots(estimate.delay_s[seen], heights[seen], colour))
    return parts
