"""The report: one well-formed, self-contained, small document in which every text is text."""

from __future__ import annotations

import base64
import errno
import hashlib
import html.parser
import os
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_sample import START_NS, sample_content

from calibrig.reports import Figure, ReportContent, render_report, write_report, write_whole
from calibrig.reports.downsample import downsample
from calibrig.reports.markup import element
from calibrig.reports.scale import axis_of, format_number, log_axis, time_axis

HOSTILE = (
    "\"'><script>alert(1)</script><img src=http://evil.example/x onerror=alert(1)>&\x00\u202e ]]> --> {{7*7}}"
)
VOID = {"meta", "br", "hr", "col"}


class Outline(html.parser.HTMLParser):
    """Collects elements and checks that they nest."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def outline(page: str) -> Outline:
    parsed = Outline()
    parsed.feed(page)
    parsed.close()
    assert parsed.open == []
    return parsed


@pytest.fixture(scope="module")
def page() -> str:
    return render_report(sample_content())


def test_the_document_is_well_formed_as_html_and_as_xml(page: str) -> None:
    outline(page)
    body = page.removeprefix("<!DOCTYPE html>\n")
    assert ET.fromstring(body).tag == "html"


def test_nothing_outside_is_asked_for(page: str) -> None:
    parsed = outline(page)
    tags = {tag for tag, _ in parsed.elements}
    assert not tags & {
        "script",
        "img",
        "link",
        "iframe",
        "object",
        "embed",
        "form",
        "base",
        "image",
        "use",
        "video",
    }
    for _, attributes in parsed.elements:
        assert not {"src", "srcset", "action", "data", "style", "background"} & set(attributes)
        assert not [name for name in attributes if name.startswith("on")]
        target = attributes.get("href")
        assert target is None or target.startswith("#")
    assert not re.search(r"url\(|@import|https?://", page)


def test_the_policy_allows_the_own_style_sheet_and_nothing_else(page: str) -> None:
    policy = next(
        a["content"] for t, a in outline(page).elements if a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style.group(1).encode()).digest()).decode()
    assert policy.split("; ") == [
        "default-src 'none'",
        f"style-src 'sha256-{digest}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]


def test_links_lead_somewhere_and_ids_are_unique(page: str) -> None:
    elements = outline(page).elements
    ids = [a["id"] for _, a in elements if "id" in a]
    assert len(ids) == len(set(ids))
    for _, attributes in elements:
        if "href" in attributes:
            assert str(attributes["href"])[1:] in ids
        for name in ("aria-labelledby",):
            for target in str(attributes.get(name, "")).split():
                assert target in ids


def test_pictures_and_tables_can_be_read_aloud(page: str) -> None:
    root = ET.fromstring(page.removeprefix("<!DOCTYPE html>\n"))
    drawings = list(root.iter("svg"))
    assert len(drawings) >= 5
    for drawing in drawings:
        title = drawing.find("title")
        assert drawing.get("role") == "img"
        assert title is not None
        assert title.text
    for table in root.iter("table"):
        assert table.find("caption") is not None
        assert all(cell.get("scope") == "col" for cell in table.iterfind("thead/tr/th"))
        for row in table.iterfind("tbody/tr"):
            assert row[0].tag == "th"
            assert row[0].get("scope") == "row"
    assert root.get("lang") == "en"


def test_hostile_text_stays_text() -> None:
    page = render_report(sample_content(HOSTILE))
    parsed = outline(page)
    assert not {"script", "img"} & {tag for tag, _ in parsed.elements}
    assert "\x00" not in page
    assert "\u202e" not in page
    shown = HOSTILE.replace("\x00", "\ufffd").replace("\u202e", "\ufffd")
    assert shown in "".join(parsed.text)


@settings(max_examples=30, deadline=None)
@given(text=st.text(max_size=60))
def test_any_text_gives_a_well_formed_page(text: str) -> None:
    content = ReportContent(
        title=text,
        subtitle=text,
        verdict=text,
        verdict_reason=text,
        figures=(Figure(label=text, value=text, note=text),),
        notices=(text,),
        quality=((text, text),),
        facts=((text, text),),
        made_by=text,
    )
    ET.fromstring(render_report(content).removeprefix("<!DOCTYPE html>\n"))


def test_figures_stay_small_however_long_the_run() -> None:
    small = sample_content()
    assert small.loop is not None
    rng = np.random.default_rng(1)
    n = 2_000_000
    long = {
        name: np.repeat(getattr(small.loop, name), -(-n // len(small.loop.time_ns)))[:n]
        for name in ("market_bid", "market_ask", "own_bid", "own_ask", "inventory_lots", "profit", "regime")
    }
    time_ns = START_NS + np.sort(rng.integers(0, 86_400 * 10**9, n))
    page = render_report(replace(small, loop=replace(small.loop, time_ns=time_ns, **long)))
    assert len(page) < 400_000


def test_an_empty_report_is_a_report() -> None:
    page = render_report(ReportContent(title="t", subtitle="", verdict="FAIL", verdict_reason="no data"))
    assert "<svg" not in page
    outline(page)


def test_preliminary_figures_are_labelled(page: str) -> None:
    text = " ".join(outline(page).text)
    assert text.count("PRELIMINARY") == 3  # the notice, the parameter, the model
    assert "SSE" in text


@settings(max_examples=60, deadline=None)
@given(
    low=st.floats(-1e9, 1e9, allow_nan=False), span=st.floats(1e-6, 1e9, allow_nan=False), zero=st.booleans()
)
def test_linear_axes_hold_the_data_with_a_handful_of_round_ticks(low: float, span: float, zero: bool) -> None:
    axis = axis_of([low, low + span], zero=zero)
    assert axis.low <= low
    assert axis.high >= low + span
    assert 2 <= len(axis.ticks) <= 13
    slack = 1e-6 * span + 1e-15 * abs(low)  # float64 resolves 1e-16 of the value
    assert all(axis.low - slack <= tick.value <= axis.high + slack for tick in axis.ticks)
    assert axis.position([axis.low])[0] == pytest.approx(0.0)
    assert axis.position([axis.high])[0] == pytest.approx(1.0)


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("pad", [0.0, 0.05])
@pytest.mark.parametrize("value", [0.0, 3.0, -3.0, 1e12, 5e-324])
def test_a_linear_axis_of_one_value_has_a_span(value: float, pad: float, zero: bool) -> None:
    """A replay that never traded has nothing but zeros to draw."""
    axis = axis_of([value, value], zero=zero, pad=pad)
    assert axis.low < axis.high
    assert axis.low <= value <= axis.high
    assert 1 <= len(axis.ticks) <= 12
    assert np.isfinite(axis.position([value])).all()


def test_log_axis_places_decades_evenly() -> None:
    axis = log_axis([1.0, 1e6])
    places = axis.position([tick.value for tick in axis.ticks])
    assert np.allclose(np.diff(places), 1 / 6)


@pytest.mark.parametrize(
    ("seconds", "first", "second"),
    [(6.5 * 3600, "15:00", "16:00"), (600, "14:30", "14:32"), (8, "14:30:00", "14:30:02"), (0.2, "14:30:00.000", "14:30:00.050")],
)  # fmt: skip
def test_time_ticks_are_round_and_in_utc(seconds: float, first: str, second: str) -> None:
    start = 1_381_156_200_000_000_000  # 2013-10-07 14:30:00 UTC
    labels = [tick.label for tick in time_axis(start, start + int(seconds * 1e9)).ticks]
    assert labels[:2] == [first, second]
    assert time_axis(start, start + 1).label == "time, UTC, 2013-10-07"


@settings(max_examples=100, deadline=None)
@given(value=st.floats(-1e300, 1e300), digits=st.integers(2, 6))
def test_written_numbers_read_back_to_their_digits(value: float, digits: int) -> None:
    text = format_number(value, digits).replace("\u202f", "").replace("−", "-")
    assert float(text) == pytest.approx(value, rel=0.6 * 10 ** (1 - digits), abs=1e-300)


@settings(max_examples=60, deadline=None)
@given(
    data=st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), min_size=1, max_size=5_000),
    points=st.integers(8, 400),
)
def test_downsampling_keeps_ends_and_extremes(data: list[float], points: int) -> None:
    y = np.asarray(data)
    x = np.arange(len(y), dtype=np.float64)
    x2, y2 = downsample(x, y, points=points)
    assert len(x2) <= max(points, 8)
    assert (x2[0], x2[-1]) == (0.0, len(y) - 1.0)
    assert np.all(np.diff(x2) > 0)
    if np.isfinite(y).any():
        assert np.nanmax(y2) == np.nanmax(y)
        assert np.nanmin(y2) == np.nanmin(y)


def test_element_refuses_names_that_are_no_names() -> None:
    with pytest.raises(ValueError, match="no element name"):
        element("a b")
    with pytest.raises(ValueError, match="no attribute name"):
        element("a", **{"x=1 y": 1})


def test_writing_replaces_a_report_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "report.html"
    write_report(ReportContent(title="one", subtitle="", verdict="PASS", verdict_reason=""), target)
    write_report(ReportContent(title="two", subtitle="", verdict="PASS", verdict_reason=""), target)
    assert "two" in target.read_text("utf-8")
    assert [p.name for p in target.parent.iterdir()] == ["report.html"]


@pytest.mark.parametrize("failing", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    target = tmp_path / "report.html"
    target.write_text("old")

    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if failing == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    elif failing == "replace":
        monkeypatch.setattr(Path, "replace", full)
    else:
        monkeypatch.setattr(os, "fdopen", lambda handle, mode: _Full(handle))
    with pytest.raises(OSError, match="No space left") as caught:
        write_whole(target, b"new")
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(target)
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


class _Full:
    def __init__(self, handle: int) -> None:
        self._handle = handle

    def __enter__(self) -> _Full:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)

    def write(self, content: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
