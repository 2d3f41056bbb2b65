"""Drawing primitives: line, step, scatter, bars, band, rule, axes and legend as inline SVG."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibrig.reports.downsample import downsample
from calibrig.reports.markup import Markup, element, join
from calibrig.reports.scale import Axis

__all__ = ["Drawing", "Panel"]

Float64Array = NDArray[np.float64]


@dataclass(slots=True)
class Panel:
    """One rectangle with an x and a y axis; marks are added in the order in which they are painted.

    ``style`` is the name of a series of the page's style sheet: ``s1`` to ``s4``, ``muted``, ``good``, ``bad``.
    """

    left: float
    top: float
    width: float
    height: float
    x: Axis
    y: Axis
    x_ticks: bool = True
    x_label: bool = True
    marks: list[Markup] = field(default_factory=list)

    def line(self, x: ArrayLike, y: ArrayLike, style: str, *, points: int = 600) -> None:
        """Draw straight pieces through the points; NaN makes a gap."""
        x, y = downsample(np.asarray(x, np.float64), np.asarray(y, np.float64), points=points)
        self._path(_polyline(self._x(x), self._y(y)), f"line {style}")

    def step(self, x: ArrayLike, y: ArrayLike, style: str, *, points: int = 600) -> None:
        """Draw a value that holds until the next one; NaN makes a gap."""
        x, y = downsample(np.asarray(x, np.float64), np.asarray(y, np.float64), points=points)
        self._path(_staircase(self._x(x), self._y(y)), f"line {style}")

    def band(
        self,
        x: ArrayLike,
        low: ArrayLike,
        high: ArrayLike,
        style: str,
        *,
        points: int = 400,
        shape: str = "line",
    ) -> None:
        """Fill between two lines; ``shape`` is ``line``, or ``step`` for values that hold until the next one."""
        x = np.asarray(x, np.float64)
        edges = [downsample(x, np.asarray(y, np.float64), points=points) for y in (low, high)]
        if shape == "step":
            edges = [_hold(*edge) for edge in edges]
        (x_low, low), (x_high, high) = edges
        xs = np.concatenate((self._x(x_low), self._x(x_high)[::-1]))
        ys = np.concatenate((self._y(low), self._y(high)[::-1]))
        if len(xs):
            self._path(_polyline(xs, ys) + "Z", f"area {style}")

    def bars(self, edges: ArrayLike, heights: ArrayLike, style: str) -> None:
        """Draw a histogram: n + 1 edges, n heights from the lower end of the y axis."""
        xs, ys = self._x(np.asarray(edges, np.float64)), self._y(np.asarray(heights, np.float64))
        bottom = self.top + self.height
        pieces = [
            f"M{x0:.1f} {bottom:.1f}V{y:.1f}H{x1:.1f}V{bottom:.1f}Z"
            for x0, x1, y in zip(xs[:-1], xs[1:], ys, strict=True)
            if y < bottom - 0.05
        ]
        self._path("".join(pieces), f"area solid {style}")

    def scatter(
        self, x: ArrayLike, y: ArrayLike, style: str, *, shape: str = "dot", size: float = 2.2
    ) -> None:
        """Draw points: ``dot``, ``up`` or ``down`` (triangles)."""
        xs, ys = self._x(np.asarray(x, np.float64)), self._y(np.asarray(y, np.float64))
        pieces = [_marker(shape, a, b, size) for a, b in zip(xs, ys, strict=True) if np.isfinite(a + b)]
        self._path("".join(pieces), f"mark {style}")

    def spans(self, starts: ArrayLike, ends: ArrayLike, style: str, tip: str) -> None:
        """Fill whole stretches of the x axis from top to bottom."""
        xs, xe = self._x(np.asarray(starts, np.float64)), self._x(np.asarray(ends, np.float64))
        top, bottom = self.top, self.top + self.height
        pieces = [
            f"M{a:.1f} {top:.1f}H{max(b, a + 0.4):.1f}V{bottom:.1f}H{a:.1f}Z"
            for a, b in zip(xs, xe, strict=True)
        ]
        if pieces:
            title = element("title", tip)
            data = "".join(pieces)
            self.marks.append(Markup(f'<path class="area solid {style}" d="{data}">{title}</path>'))

    def vertical(
        self, x: float, label: str, style: str = "muted", *, row: int = 0, before: bool = False
    ) -> None:
        """Draw a rule at ``x`` with its label on top, ``row`` lines further down; ``before`` puts it to the left."""
        at = float(self._x(np.asarray([x]))[0])
        self._path(f"M{at:.1f} {self.top:.1f}V{self.top + self.height:.1f}", f"rule {style}")
        if label:
            after = at < self.left + self.width * 0.6 and not before
            anchor, shift = ("start", 4) if after else ("end", -4)
            self.marks.append(_text(at + shift, self.top + 11 + 15 * row, label, "note", anchor))

    def horizontal(self, y: float, style: str = "muted") -> None:
        """Draw a rule at ``y``."""
        at = float(self._y(np.asarray([y]))[0])
        self._path(f"M{self.left:.1f} {at:.1f}H{self.left + self.width:.1f}", f"rule {style}")

    def note(self, x_share: float, y_share: float, text: str, *, anchor: str = "start") -> None:
        """Write ``text`` at a share of the panel's width and height from its upper left corner."""
        x, y = self.left + x_share * self.width, self.top + y_share * self.height
        self.marks.append(_text(x, y, text, "note", anchor))

    def render(self) -> Markup:
        """Return grid, marks and axis labels."""
        return join((self._grid(), element("g", *self.marks), self._labels()))

    def _grid(self) -> Markup:
        right, bottom = self.left + self.width, self.top + self.height
        pieces = [
            f"M{self.left:.1f} {y:.1f}H{right:.1f}"
            for y in self._y(np.asarray([tick.value for tick in self.y.ticks]))
        ]
        base = element("path", class_="axis", d=f"M{self.left:.1f} {bottom:.1f}H{right:.1f}")
        return join((element("path", class_="grid", d="".join(pieces)), base))

    def _labels(self) -> Markup:
        parts: list[Markup] = []
        bottom = self.top + self.height
        for tick, y in zip(self.y.ticks, self._y(np.asarray([t.value for t in self.y.ticks])), strict=True):
            parts.append(_text(self.left - 7, float(y) + 3.8, tick.label, "tick", "end"))
        if self.x_ticks:
            for tick, x in zip(
                self.x.ticks, self._x(np.asarray([t.value for t in self.x.ticks])), strict=True
            ):
                parts.append(element("path", class_="axis", d=f"M{x:.1f} {bottom:.1f}v4"))
                parts.append(_text(float(x), bottom + 17, tick.label, "tick", "middle"))
            if self.x.label and self.x_label:
                parts.append(_text(self.left + self.width / 2, bottom + 34, self.x.label, "label", "middle"))
        if self.y.label:
            parts.append(_text(self.left, self.top - 8, self.y.label, "label", "start"))
        return join(parts)

    def _path(self, data: str, style: str) -> None:
        if data and data != "Z":
            self.marks.append(element("path", class_=style, d=data))

    def _x(self, values: Float64Array) -> Float64Array:
        return self.left + self.x.position(values) * self.width

    def _y(self, values: Float64Array) -> Float64Array:
        return self.top + (1.0 - self.y.position(values)) * self.height


@dataclass(slots=True)
class Drawing:
    """One SVG: panels, legend, and the title and description that a screen reader reads."""

    name: str
    title: str
    description: str
    width: float = 920.0
    height: float = 300.0
    panels: list[Panel] = field(default_factory=list)
    legend: list[tuple[str, str, str]] = field(default_factory=list)

    def add(self, panel: Panel) -> Panel:
        """Add one panel and return it."""
        self.panels.append(panel)
        return panel

    def key(self, style: str, text: str, shape: str = "line") -> None:
        """Add one entry to the legend; ``shape`` is ``line``, ``area``, ``dot``, ``up`` or ``down``."""
        self.legend.append((style, text, shape))

    def render(self) -> Markup:
        """Return the drawing as one ``svg`` element."""
        title = element("title", self.title, id=f"{self.name}-title")
        description = element("desc", self.description, id=f"{self.name}-desc")
        return element(
            "svg",
            title,
            description,
            *(panel.render() for panel in self.panels),
            self._render_legend(),
            viewBox=f"0 0 {self.width:g} {self.height:g}",
            role="img",
            aria_labelledby=f"{self.name}-title {self.name}-desc",
            preserveAspectRatio="xMidYMid meet",
        )

    def _render_legend(self) -> Markup:
        parts: list[Markup] = []
        x = self.panels[0].left if self.panels else 0.0
        for style, text, shape in self.legend:
            parts.append(_swatch(x, 10.0, style, shape))
            parts.append(_text(x + 26, 14, text, "key", "start"))
            x += 26 + 6.6 * len(text) + 22
        return join(parts)


def _swatch(x: float, y: float, style: str, shape: str) -> Markup:
    if shape == "area":
        return element("rect", class_=f"area solid {style}", x=x, y=y - 5, width=20, height=10)
    if shape == "line":
        return element("path", class_=f"line {style}", d=f"M{x:.1f} {y:.1f}h20")
    return element("path", class_=f"mark {style}", d=_marker(shape, x + 10, y, 4.0))


def _text(x: float, y: float, text: str, style: str, anchor: str) -> Markup:
    return element("text", text, x=f"{x:.1f}", y=f"{y:.1f}", class_=style, text_anchor=anchor)


def _marker(shape: str, x: float, y: float, size: float) -> str:
    if shape == "up":
        return f"M{x:.1f} {y - size:.1f}l{size:.1f} {1.8 * size:.1f}h{-2 * size:.1f}z"
    if shape == "down":
        return f"M{x:.1f} {y + size:.1f}l{size:.1f} {-1.8 * size:.1f}h{-2 * size:.1f}z"
    return f"M{x - size:.1f} {y:.1f}a{size:.1f} {size:.1f} 0 1 0 {2 * size:.1f} 0a{size:.1f} {size:.1f} 0 1 0 {-2 * size:.1f} 0z"


def _hold(x: Float64Array, y: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return the corners of a staircase through the points."""
    return np.repeat(x, 2)[1:], np.repeat(y, 2)[:-1]


def _polyline(xs: Float64Array, ys: Float64Array) -> str:
    pieces, pen_down = [], False
    for x, y in zip(xs, ys, strict=True):
        if not np.isfinite(x + y):
            pen_down = False
            continue
        pieces.append(f"{'L' if pen_down else 'M'}{x:.1f} {y:.1f}")
        pen_down = True
    return "".join(pieces)


def _staircase(xs: Float64Array, ys: Float64Array) -> str:
    pieces, pen_down = [], False
    for x, y in zip(xs, ys, strict=True):
        if not np.isfinite(x + y):
            if pen_down and np.isfinite(x):
                pieces.append(f"H{x:.1f}")
            pen_down = False
            continue
        pieces.append(f"H{x:.1f}V{y:.1f}" if pen_down else f"M{x:.1f} {y:.1f}")
        pen_down = True
    return "".join(pieces)
