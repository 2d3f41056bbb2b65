"""The page of a report: header, tables and figures as one self-contained HTML document."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from importlib.resources import files

from calibrig.parameters import GateResult
from calibrig.reports import figures
from calibrig.reports.content import LoopCurve, ModelSection, ParameterRow, ReportContent
from calibrig.reports.markup import Markup, element, join
from calibrig.reports.scale import format_number

__all__ = ["render_report"]

_GOOD = frozenset({"PASS", "RECOVERED", "pass"})
_WARM = frozenset({"RESTRICTED", "TOO_FEW_DAYS", "TOO_FEW_EVENTS", "NO_SELF_EXCITATION"})
_SIGNS = {"good": "✓", "warm": "◐", "bad": "✕", "none": "–"}


def render_report(content: ReportContent) -> str:
    """Return the whole report as one HTML document that needs no other file and no network.

    Every text is escaped; a content security policy forbids scripts, images and any outside resource.

    Examples
    --------
    >>> page = render_report(ReportContent(title="Demo <1>", subtitle="", verdict="PASS", verdict_reason="all gates"))
    >>> "Demo &lt;1&gt;" in page, "<script" in page
    (True, False)
    """
    style = Markup(files("calibrig.reports").joinpath("report.css").read_text("utf-8"))
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"{content.title} · calibrig"),
        element("style", style),
    )
    sections = [section for section in _sections(content) if section is not None]
    body = element(
        "body",
        _header(content),
        _navigation(sections),
        element("main", *(markup for _, _, markup in sections)),
        _footer(content),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


Section = tuple[str, str, Markup]


def _sections(content: ReportContent) -> list[Section | None]:
    return [
        _section("quality", "Data quality", _quality(content)),
        _section("parameters", "Parameters", _parameters(content)),
        _section("hawkes", "Order flow", _order_flow(content)),
        _section("gates", "Gates and verdicts", [_model(model) for model in content.models]),
        _section("loop", "Trading loop", _loop(content)),
        _section("latency", "Latency", _latency(content)),
        _section("versions", "Versions", _versions(content)),
        _section("facts", "How this was made", _facts(content)),
    ]


def _section(name: str, title: str, parts: Sequence[Markup]) -> Section | None:
    if not parts:
        return None
    heading = element("h2", title, id=f"{name}-heading")
    return name, title, element("section", heading, *parts, id=name, aria_labelledby=f"{name}-heading")


def _header(content: ReportContent) -> Markup:
    tone = _tone(content.verdict)
    verdict = element(
        "div", _badge(content.verdict), element("p", content.verdict_reason), class_=f"verdict {tone}"
    )
    parts = [
        element("p", "calibrig report", class_="eyebrow"),
        element("h1", content.title),
        element("p", content.subtitle, class_="lead"),
        verdict,
    ]
    if content.figures:
        cards = [
            element("li", element("span", f.label), element("b", f.value), element("span", f.note))
            for f in content.figures
        ]
        parts.append(element("ul", *cards, class_="cards"))
    if content.notices:
        parts.append(element("ul", *(element("li", text) for text in content.notices), class_="notices"))
    return element("header", *parts)


def _navigation(sections: Iterable[Section]) -> Markup:
    links = [element("li", element("a", title, href=f"#{name}")) for name, title, _ in sections]
    return element("nav", element("ul", *links), aria_label="Sections") if links else Markup("")


def _footer(content: ReportContent) -> Markup:
    return element("footer", content.made_by or "calibrig")


def _quality(content: ReportContent) -> list[Markup]:
    parts = []
    if content.quality:
        parts.append(
            _table("What was read, and what was wrong with it.", ("check", "finding"), content.quality)
        )
    if content.quality_notes:
        parts.append(
            element("ul", *(element("li", note) for note in content.quality_notes), class_="notices")
        )
    return parts


def _parameters(content: ReportContent) -> list[Markup]:
    if not content.parameters:
        return []
    known = any(row.truth is not None for row in content.parameters)
    header = ["model", "parameter", "estimate", "standard error", "unit"]
    if known:
        header[2:2] = ["truth"]
        header += ["z", "z in its 95 % band"]
    rows = [_parameter_cells(row, known) for row in content.parameters]
    caption = (
        "Truth is known because the market was simulated; z is (estimate − truth) / standard error."
        if known
        else "Estimates with their standard errors; a dash means that none can be given."
    )
    return [_table(caption, header, rows, numeric={"truth", "estimate", "standard error", "z"})]


def _parameter_cells(row: ParameterRow, known: bool) -> list[object]:
    name: object = row.name
    if row.preliminary or row.note:
        tag = element("span", "PRELIMINARY", class_="tag") if row.preliminary else Markup("")
        note = element("div", row.note, class_="note") if row.note else Markup("")
        name = join((row.name, Markup(" "), tag, note))
    cells = [row.model, name, format_number(row.estimate), format_number(row.standard_error, 2), row.unit]
    if known:
        cells[2:2] = [format_number(row.truth)]
        z = "–" if row.z is None else f"{row.z:+.2f}".replace("-", "−")
        cells += [z, figures.draw_z(row)]
    return cells


def _order_flow(content: ReportContent) -> list[Markup]:
    parts = []
    if content.intensity:
        caption = "Market orders counted per second against the rate that the frozen model expects one event ahead, over the held-out events of the last fitted session."
        parts.append(_figure(figures.draw_intensity(content.intensity), caption))
    if content.quantiles:
        caption = (
            "Held-out residuals against the unit exponential: on the diagonal the model is right. The skill is "
            "1 − SSE(model) / SSE(Poisson with the same profile); the worse side counts, above 0.8 passes."
        )
        parts.append(_figure(figures.draw_quantiles(content.quantiles), caption))
    return parts


def _model(model: ModelSection) -> Markup:
    title = join((model.title, Markup(" "), _badge(model.verdict)))
    parts = [element("h3", title), element("p", model.reason)]
    if model.restrictions:
        parts.append(element("p", "Restrictions: ", join(map(_code, model.restrictions), ", ")))
    if model.preliminary:
        parts.append(element("p", element("span", "PRELIMINARY", class_="tag"), " ", model.preliminary))
    if model.fitted_on:
        parts.append(element("p", model.fitted_on, class_="note"))
    if model.gates:
        rows = [_gate_cells(gate) for gate in model.gates]
        header = ("gate", "figure", "limit", "result", "detail")
        parts.append(_table(f"{model.title}: gates.", header, rows, numeric={"figure"}, style="gates"))
    return join(parts)


def _gate_cells(gate: GateResult) -> list[object]:
    result = "not applicable" if gate.passed is None else "pass" if gate.passed else "fail"
    return [_code(gate.name), format_number(gate.value), gate.limit, _badge(result), gate.detail]


def _loop(content: ReportContent) -> list[Markup]:
    loop = content.loop
    if loop is None or len(loop.time_ns) < 2:
        return []
    start_ns, end_ns = _window(loop)
    zoom = figures.draw_quotes(loop, start_ns=start_ns, end_ns=end_ns)
    model = f" Fills by the model “{loop.fill_model}”." if loop.fill_model else ""
    return [
        _figure(zoom, "Own quotes around the market over a short stretch." + model),
        _figure(figures.draw_loop(loop), "The whole replay; profit and loss marked at mid, fees included."),
    ]


def _window(loop: LoopCurve) -> tuple[int, int]:
    """Choose a stretch of a 60th of the replay around the update, or around the middle fill."""
    low, high = int(loop.time_ns[0]), int(loop.time_ns[-1])
    fills = loop.fills.time_ns
    centre = loop.update_time_ns if loop.update_time_ns is not None else None
    if centre is None:
        centre = int(fills[len(fills) // 2]) if len(fills) else (low + high) // 2
    half = max((high - low) // 120, 1)
    start = max(low, min(centre - half, high - 2 * half))
    return start, start + 2 * half


def _latency(content: ReportContent) -> list[Markup]:
    if not content.latencies:
        return []
    header = ["path", *(name for name, _ in content.latencies[0].percentiles), "SLA"]
    rows = [
        [c.path, *(format_number(value, 3) for _, value in c.percentiles), format_number(c.sla_ns, 3)]
        for c in content.latencies
    ]
    return [
        _figure(figures.draw_latency(content.latencies), "Share of calls by latency, logarithmic axis."),
        _table("Percentiles, ns.", header, rows, numeric=set(header[1:])),
    ]


def _versions(content: ReportContent) -> list[Markup]:
    if not content.versions:
        return []
    rows = []
    for row in content.versions:
        version = row.version
        number = "–" if version is None else f"v{version.version_id}"
        who = "–" if version is None else version.updated_by
        why = "–" if version is None else version.comment
        rows.append([row.kind, number, _badge(row.verdict), who, why, row.stored])
    header = ("kind", "version", "verdict", "by", "comment", "where")
    return [_table("What was written, and what was not.", header, rows)]


def _facts(content: ReportContent) -> list[Markup]:
    return (
        [_table("Settings and figures of this run.", ("what", "value"), content.facts)]
        if content.facts
        else []
    )


def _figure(drawing: Markup, caption: str) -> Markup:
    box = element("div", drawing, class_="scroll", tabindex=0, role="region", aria_label=caption)
    return element("figure", box, element("figcaption", caption))


def _table(
    caption: str,
    header: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    numeric: set[str] | frozenset[str] = frozenset(),
    style: str | None = None,
) -> Markup:
    styles = ["number" if name in numeric else None for name in header]
    titles = [element("th", name, scope="col", class_=s) for name, s in zip(header, styles, strict=True)]
    lines = [_row(row, styles) for row in rows]
    body = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", *titles)),
        element("tbody", *lines),
        class_=style,
    )
    return element("div", body, class_="scroll")


def _row(row: Sequence[object], styles: Sequence[str | None]) -> Markup:
    cells = [element("td", cell, class_=style) for cell, style in zip(row, styles, strict=True)]
    cells[0] = element("th", row[0], scope="row", class_=styles[0])
    return element("tr", *cells)


def _tone(verdict: str) -> str:
    if verdict in _GOOD:
        return "good"
    if verdict in _WARM:
        return "warm"
    return "none" if verdict in {"", "–", "not applicable", "not judged"} else "bad"


def _badge(verdict: str) -> Markup:
    tone = _tone(verdict)
    sign = element("span", _SIGNS[tone], aria_hidden="true")
    return element("span", sign, " ", verdict, class_=f"badge {tone}")


def _code(text: str) -> Markup:
    return element("code", text)
