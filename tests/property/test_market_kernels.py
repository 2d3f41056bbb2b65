"""The native parsers agree with slow twins made of the standard library: csv, Decimal, json."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibrig._native import market as native

DIGITS = st.decimals(min_value=-(10**9), max_value=10**9, allow_nan=False, allow_infinity=False, places=6)


@given(
    st.lists(
        st.tuples(st.integers(-(2**62), 2**62), DIGITS, st.text("abcxyz", max_size=8)),
        min_size=1,
        max_size=20,
    )
)
@settings(max_examples=150, deadline=None)
def test_table_parser_equals_csv_and_decimal(rows: list[tuple[int, Decimal, str]]) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([(i, format(d, "f"), w) for i, d, w in rows])
    columns, report = native.parse_table(text.getvalue().encode(), [1, 2, 4], [0, 8, 0])
    assert report["rows"] == len(rows)
    assert report["bad"] == 0
    assert columns[0].tolist() == [i for i, _, _ in rows]
    assert columns[1].tolist() == [int(d * 10**8) for _, d, _ in rows]
    assert columns[2].tobytes() == b"".join(w.encode().ljust(8, b"\0") for _, _, w in rows)


@given(st.floats(-1e9, 1e9, allow_nan=False))
def test_scientific_notation_is_rounded_to_the_nearest_unit(value: float) -> None:
    (column,), _ = native.parse_table(f"{value:e}".encode(), [2], [4])
    assert column[0] == pytest.approx(float(f"{value:e}") * 1e4, abs=0.5 + 1e-6 * abs(value))


@given(DIGITS, st.integers(0, 6))
def test_further_digits_are_rounded_half_up_where_asked_and_refused_elsewhere(
    value: Decimal, decimals: int
) -> None:
    text = format(value, "f").encode()
    (column,), _ = native.parse_table(text, [6], [decimals])
    scaled = abs(value) * 10**decimals
    assert abs(column[0]) == int(scaled + Decimal("0.5"))
    _, report = native.parse_table(text, [2], [decimals])
    assert (report["fault"] == 6) == (scaled != int(scaled))


@pytest.mark.parametrize(
    ("text", "kinds", "line", "column", "fault"),
    [
        (b"1,2\n3\n", [1, 1], 2, 0, 1),
        (b"1,2\n3,4,5\n", [1, 1], 2, 2, 2),
        (b"1,2\n\n3,\n", [1, 1], 3, 1, 3),
        (b"1,2\r\n3,4x\r\n", [1, 1], 2, 1, 4),
        (b"1,99999999999999999999\n", [1, 1], 1, 1, 5),
        (b"9223372036854775807,9223372036854775808\n", [1, 1], 1, 1, 5),
        (b"1,92233720369.5\n", [1, 2], 1, 1, 5),
        (b"1,-\n", [1, 1], 1, 1, 4),
        (b"1,.\n", [1, 2], 1, 1, 4),
        (b"1,0.123456789\n", [1, 2], 1, 1, 6),
    ],
)
def test_faults_are_located(text: bytes, kinds: list[int], line: int, column: int, fault: int) -> None:
    _, report = native.parse_table(text, kinds, [8] * len(kinds))
    assert (report["line"], report["column"], report["fault"], report["bad"]) == (line, column, fault, 1)


@pytest.mark.parametrize("arguments", [([], []), ([1], [0, 0]), ([9], [0]), ([2], [13])])
def test_impossible_layouts_are_refused(arguments: tuple[list[int], list[int]]) -> None:
    with pytest.raises(ValueError, match="parse_table"):
        native.parse_table(b"1\n", *arguments)


PRICES = st.sampled_from([0, 0, 100, 101, 102, 103])
ONE_SIDED = st.lists(st.tuples(st.integers(0, 2), PRICES, PRICES, st.booleans()), min_size=1, max_size=40)


@given(ONE_SIDED)
@settings(max_examples=200, deadline=None)
def test_carrying_equals_its_definition(rows: list[tuple[int, int, int, bool]]) -> None:
    time = np.cumsum([dt for dt, _, _, _ in rows]).astype(np.int64)
    bid = np.array([b for _, b, _, _ in rows], np.int64)
    ask = np.array([a for _, _, a, _ in rows], np.int64)
    marks = np.array([m for _, _, _, m in rows], np.int64)
    sizes = np.arange(1, len(rows) + 1)
    expected: list[tuple[int, int, int, int, int]] = []
    state = [0, 0, 0, 0]
    for i in range(len(rows)):
        if not marks[i]:
            if bid[i]:
                state[:2] = bid[i], sizes[i]
            if ask[i]:
                state[2:] = ask[i], sizes[i] + 100
        stands = i + 1 == len(rows) or time[i + 1] != time[i]
        if (
            state[0]
            and state[2]
            and (state[0] < state[2] or stands)
            and (not expected or list(expected[-1][1:]) != state)
        ):
            expected.append((int(time[i]), *(int(x) for x in state)))
    columns = [time.copy(), bid.copy(), sizes.copy(), ask.copy(), sizes + 100]
    report = native.carry_quotes(*columns, marks)
    found = list(zip(*(column[: report["kept"]].tolist() for column in columns), strict=True))
    assert found == expected
    assert sum(report[k] for k in ("kept", "one_sided", "unchanged", "transient")) == len(rows)


def test_carrying_refuses_columns_of_unequal_length() -> None:
    one, two = np.ones(1, np.int64), np.ones(2, np.int64)
    with pytest.raises(ValueError, match="equal length"):
        native.carry_quotes(one, one, one, one, one, two)


NUMBER = st.decimals(min_value="0.00000001", max_value="99999", places=8).map(lambda d: format(d, "f"))
MESSAGES = st.one_of(
    st.fixed_dictionaries(
        {"e": st.just("trade"), "E": st.integers(1, 2**45), "T": st.integers(1, 2**45), "s": st.sampled_from(["AUSDT", "BUSDT"]),
         "t": st.integers(0, 2**40), "p": NUMBER, "q": NUMBER, "X": st.just("MARKET"), "m": st.booleans()}
    ),
    st.fixed_dictionaries(
        {"u": st.integers(0, 2**40), "s": st.sampled_from(["AUSDT", "BUSDT"]), "b": NUMBER, "B": NUMBER, "a": NUMBER, "A": NUMBER}
    ),
    st.fixed_dictionaries(
        {"e": st.just("depthUpdate"), "E": st.integers(1, 2**45), "s": st.just("AUSDT"), "U": st.integers(0, 2**40),
         "u": st.integers(0, 2**40), "b": st.lists(st.tuples(NUMBER, NUMBER), max_size=3), "a": st.lists(st.tuples(NUMBER, NUMBER), max_size=3)}
    ),
    st.fixed_dictionaries({"e": st.just("somethingElse"), "s": st.text(max_size=5), "x": st.dictionaries(st.text(max_size=3), st.integers())}),
)  # fmt: skip


@given(st.lists(st.tuples(st.integers(1, 2**62), MESSAGES, st.booleans(), st.booleans()), max_size=15))
@settings(max_examples=150, deadline=None)
def test_capture_parser_equals_json(lines: list[tuple[int, dict[str, object], bool, bool]]) -> None:
    text = "".join(
        f"{t} {json.dumps({'stream': 'x', 'data': m} if wrapped else m, separators=(',', ':') if tight else None)}\n"
        for t, m, wrapped, tight in lines
    )
    found = native.parse_capture(text.encode())
    assert (found["bad"], found["lines"]) == (0, len(lines))
    names = [name.decode() for name in found["symbols"]]

    def scaled(value: object) -> int:
        return int(Decimal(str(value)) * 10**8)

    trades = [(t, m) for t, m, _, _ in lines if m.get("e") == "trade"]
    for key, field in (("event", "E"), ("time", "T"), ("id", "t")):
        assert found["trades"][key].tolist() == [m[field] for _, m in trades]
    assert found["trades"]["local"].tolist() == [t for t, _ in trades]
    assert found["trades"]["price"].tolist() == [scaled(m["p"]) for _, m in trades]
    assert found["trades"]["maker"].tolist() == [int(bool(m["m"])) for _, m in trades]
    assert [names[i] for i in found["trades"]["symbol"]] == [m["s"] for _, m in trades]
    quotes = [(t, m) for t, m, _, _ in lines if "B" in m]
    for key, field in (("bid", "b"), ("bid_size", "B"), ("ask", "a"), ("ask_size", "A")):
        assert found["quotes"][key].tolist() == [scaled(m[field]) for _, m in quotes]
    depth = [m for _, m, _, _ in lines if m.get("e") == "depthUpdate"]
    assert found["depth"]["last"].tolist() == [m["u"] for m in depth]
    assert found["levels"] == sum(len(m["b"]) + len(m["a"]) for m in depth)  # type: ignore[arg-type]
    assert found["others"] == sum(m.get("e") == "somethingElse" for _, m, _, _ in lines)
