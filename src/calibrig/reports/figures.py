"""The figures of a report, drawn from its records."""

from __future__ import annotations

import numpy as np

from calibrig.reports.content import IntensityCurve, LatencyCurve, LoopCurve, ParameterRow, QuantileCurve
from calibrig.reports.markup import Markup, element
from calibrig.reports.scale import Axis, axis_of, format_number, log_axis, time_axis
from calibrig.reports.svg import Drawing, Panel

__all__ = ["draw_intensity", "draw_latency", "draw_loop", "draw_quantiles", "draw_quotes", "draw_z"]

REGIMES = ("NORMAL", "ELEVATED", "HIGH_STRESS", "HALTED")
_REGIME_STYLES = ("calm", "warm", "hot", "bad")


def draw_intensity(curves: tuple[IntensityCurve, ...]) -> Markup:
    """Draw the counted and the expected rate of events, one panel a side."""
    height = 170.0
    drawing = Drawing(
        "intensity",
        "Hawkes intensity against event counts",
        "For each side: events counted per second as bars, the rate that the fitted model expects as a line.",
        height=62 + len(curves) * (height + 54),
    )
    for index, curve in enumerate(curves):
        top = 52 + index * (height + 54)
        half = int(np.median(np.diff(curve.time_ns))) // 2 if len(curve.time_ns) > 1 else 500_000_000
        edges = np.append(curve.time_ns - half, curve.time_ns[-1:] + half)
        x = time_axis(int(edges[0]), int(edges[-1]))
        y = axis_of(curve.counted, curve.expected, label=f"{curve.side} orders per second", zero=True)
        panel = drawing.add(Panel(58, top, 850, height, x, y, x_label=index == len(curves) - 1))
        panel.bars(edges, curve.counted, "pale")
        panel.line(curve.time_ns, curve.expected, "s1" if index == 0 else "s2")
    drawing.key("pale", "counted", "area")
    drawing.key("s1", "expected by the model")
    return drawing.render()


def draw_quantiles(curves: tuple[QuantileCurve, ...]) -> Markup:
    """Draw one Q-Q panel a side with the 95 % band and the skill."""
    drawing = Drawing(
        "quantiles",
        "Q-Q plot of the time-rescaled residuals",
        "Held-out residuals of each side against the unit exponential; on the diagonal the model is right. "
        + "; ".join(f"{curve.side}: skill {format_number(curve.skill, 3)}" for curve in curves),
        height=430.0,
    )
    for index, curve in enumerate(curves):
        top_value = float(np.nanmax(curve.theoretical, initial=1.0))
        x = axis_of([0.0, top_value], label="unit exponential quantile", zero=True, pad=0.02)
        poisson = curve.poisson if curve.poisson is not None else np.empty(0)
        y = axis_of(
            curve.empirical, curve.band_high, poisson[: len(poisson)], label=f"residual quantile, {curve.side}",
            zero=True, pad=0.03,
        )  # fmt: skip
        panel = drawing.add(Panel(58 + index * 455, 58, 385, 310, x, y))
        panel.band(curve.theoretical, curve.band_low, curve.band_high, "band")
        panel.line([0.0, top_value], [0.0, top_value], "muted")
        if curve.poisson is not None:
            panel.line(curve.theoretical, curve.poisson, "muted dashed")
        panel.scatter(*_thin(curve.theoretical, curve.empirical, 220), "s1" if index == 0 else "s2")
        panel.note(0.04, 0.08, f"skill {format_number(curve.skill, 3)}")
    drawing.key("band", "95 % band of the order statistics", "area")
    if any(curve.poisson is not None for curve in curves):
        drawing.key("muted dashed", "Poisson with the same profile")
    return drawing.render()


def draw_quotes(loop: LoopCurve, *, start_ns: int, end_ns: int) -> Markup:
    """Draw the market's and the own quotes over a short stretch, with fills and the moment of the update."""
    inside = (loop.time_ns >= start_ns) & (loop.time_ns <= end_ns)
    time_ns = loop.time_ns[inside]
    drawing = Drawing(
        "quotes",
        "Own quotes around the market",
        "A short stretch: market best bid and ask as a shaded band, own bid and ask as lines, own fills as triangles.",
        height=340.0,
    )
    x = time_axis(start_ns, end_ns)
    columns = (loop.market_bid, loop.market_ask, loop.own_bid, loop.own_ask)
    y = axis_of(*(column[inside] for column in columns), label=f"price, {loop.price_unit}", pad=0.08)
    panel = drawing.add(Panel(70, 52, 838, 232, x, y))
    panel.band(time_ns, loop.market_bid[inside], loop.market_ask[inside], "band", shape="step")
    panel.step(time_ns, loop.own_bid[inside], "s1")
    panel.step(time_ns, loop.own_ask[inside], "s2")
    _mark_fills(panel, loop, start_ns, end_ns)
    _mark_update(panel, loop, start_ns, end_ns)
    drawing.key("band", "market bid to ask", "area")
    drawing.key("s1", "own bid")
    drawing.key("s2", "own ask")
    drawing.key("s1", "bought", "up")
    drawing.key("s2", "sold", "down")
    return drawing.render()


def draw_loop(loop: LoopCurve) -> Markup:
    """Draw the whole replay: mid with fills, inventory, profit and loss, and the regime band."""
    start_ns, end_ns = int(loop.time_ns[0]), int(loop.time_ns[-1])
    drawing = Drawing(
        "loop",
        "The trading loop over the whole replay",
        f"Mid price with own fills, inventory in lots, profit and loss in {loop.price_unit}, and the risk regime.",
        height=740.0,
    )
    x = time_axis(start_ns, end_ns)
    mid = (loop.market_bid + loop.market_ask) * 0.5
    panels = (
        (52.0, 190.0, axis_of(mid, label=f"mid, {loop.price_unit}")),
        (284.0, 140.0, axis_of(loop.inventory_lots, label="inventory, lots", zero=True)),
        (466.0, 150.0, axis_of(loop.profit, label=f"profit and loss, {loop.price_unit}", zero=True)),
        (652.0, 22.0, Axis(0.0, 1.0, "risk regime")),
    )
    mid_panel, inventory, profit, regime = (
        drawing.add(Panel(70, top, 838, height, x, y, x_ticks=top > 600)) for top, height, y in panels
    )
    mid_panel.line(loop.time_ns, mid, "ink")
    _mark_fills(mid_panel, loop, start_ns, end_ns, most=250, size=2.4)
    inventory.step(loop.time_ns, loop.inventory_lots, "s3")
    inventory.horizontal(0.0)
    profit.line(loop.time_ns, loop.profit, "s4")
    profit.horizontal(0.0)
    _fill_regimes(regime, loop)
    for panel in (mid_panel, inventory, profit):
        _mark_update(panel, loop, start_ns, end_ns, label=panel is mid_panel)
    drawing.key("s1", "bought", "up")
    drawing.key("s2", "sold", "down")
    for value in sorted({int(v) for v in np.unique(loop.regime)}):
        drawing.key(_REGIME_STYLES[value], REGIMES[value], "area")
    return drawing.render()


def draw_latency(curves: tuple[LatencyCurve, ...]) -> Markup:
    """Draw the latency histograms on a logarithmic axis with their percentiles."""
    height = 180.0
    drawing = Drawing(
        "latency",
        "Latency of the inference bridge",
        " ".join(
            f"{curve.path}: " + ", ".join(f"{name} {format_number(value, 3)} ns" for name, value in curve.percentiles)
            for curve in curves
        ),
        height=40 + len(curves) * (height + 70),
    )  # fmt: skip
    for index, curve in enumerate(curves):
        edges, counts = _trim(curve.edges_ns, curve.counts)
        shown = [(name, value) for name, value in curve.percentiles if name in {"p50", "p99", "p99.9"}]
        marks = [value for _, value in shown] + ([curve.sla_ns] if curve.sla_ns else [])
        x = log_axis(edges, [edges[0] / 1.5, edges[-1] * 1.5, *marks], label=f"{curve.path}, ns")
        share = counts / max(1.0, float(curve.counts.sum())) * 100.0
        y = axis_of(share, [1.3 * float(share.max())], label="share of calls, %", zero=True, pad=0.0)
        panel = drawing.add(Panel(58, 52 + index * (height + 66), 850, height, x, y))
        panel.bars(edges, share, "s1")
        for row, (name, value) in enumerate(shown):
            panel.vertical(value, f"{name}  {format_number(value, 3)}", "ink", row=row)
        if curve.sla_ns:
            panel.vertical(curve.sla_ns, f"SLA {format_number(curve.sla_ns)}", "bad", before=True)
    return drawing.render()


def draw_z(row: ParameterRow) -> Markup:
    """Draw one z-score as a dot in a band of +-1.96: the small picture in the parameter table."""
    if row.z is None or not np.isfinite(row.z):
        return Markup("")
    at = 60 + float(np.clip(row.z, -3.9, 3.9)) * 14
    style = "good" if abs(row.z) <= 1.96 else "warm" if abs(row.z) <= 3.29 else "bad"
    return element(
        "svg",
        element("title", f"z {row.z:+.2f}; the band is plus or minus 1.96"),
        element(
            "rect", class_="area solid pale", x=60 - 1.96 * 14, y=3, width=2 * 1.96 * 14, height=12, rx=3
        ),
        element("path", class_="axis", d="M4 9H116M60 2V16"),
        element("circle", class_=f"mark {style}", cx=f"{at:.1f}", cy=9, r=4),
        viewBox="0 0 120 18",
        class_="z",
        role="img",
    )


def _thin(x: np.ndarray, y: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Keep ``count`` points of a rising curve, evenly in rank, and the whole upper tail."""
    if len(x) <= count:
        return x, y
    body = np.linspace(0, len(x) - 1 - count // 4, count - count // 4).astype(np.int64)
    index = np.unique(np.concatenate((body, np.arange(len(x) - count // 4, len(x)))))
    return x[index], y[index]


def _mark_fills(
    panel: Panel, loop: LoopCurve, start_ns: int, end_ns: int, *, most: int = 2_000, size: float = 3.2
) -> None:
    fills = loop.fills
    inside = (fills.time_ns >= start_ns) & (fills.time_ns <= end_ns)
    for side, style, shape in ((1, "s1", "up"), (-1, "s2", "down")):
        chosen = np.flatnonzero(inside & (fills.side == side))
        chosen = chosen[:: max(1, -(-len(chosen) // most))]
        panel.scatter(fills.time_ns[chosen], fills.price[chosen], style, shape=shape, size=size)


def _mark_update(panel: Panel, loop: LoopCurve, start_ns: int, end_ns: int, *, label: bool = True) -> None:
    if loop.update_time_ns is not None and start_ns <= loop.update_time_ns <= end_ns:
        panel.vertical(loop.update_time_ns, loop.update_label if label else "", "ink")


def _fill_regimes(panel: Panel, loop: LoopCurve) -> None:
    changes = np.flatnonzero(np.diff(loop.regime.astype(np.int64))) + 1
    starts = np.concatenate(([0], changes))
    ends = np.concatenate((changes, [len(loop.regime) - 1]))
    for value, style in enumerate(_REGIME_STYLES):
        here = loop.regime[starts] == value
        panel.spans(loop.time_ns[starts[here]], loop.time_ns[ends[here]], style, REGIMES[value])


def _trim(edges: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keep the bars up to twice the 99.9 % quantile: a lone maximum stands in the table, not in the picture."""
    used = np.flatnonzero(counts)
    if not len(used):
        return np.asarray([100.0, 1000.0]), np.asarray([0.0])
    reached = int(np.searchsorted(np.cumsum(counts), 0.999 * counts.sum()))
    low = int(used[0])
    high = max(min(int(np.searchsorted(edges, 2.0 * edges[reached + 1])), int(used[-1]) + 1), low + 1)
    return np.maximum(edges[low : high + 1], 1.0), counts[low:high]
