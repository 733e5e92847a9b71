"""Tables as models write them become tables that render."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrd.document.markdown import page
from ocrd.document.tables import Table, split
from ocrd.modes import AnswerFormat
from ocrd.page import Block
from tests.support.needs import few


def markdown(html: str) -> str:
    return page([Block("table", html)], AnswerFormat.DOCUMENT, {})


def test_a_table_without_spans_becomes_pipes() -> None:
    html = "<table><tr><td>Item</td><td>Price</td></tr><tr><td>Paper</td><td>3.50</td></tr></table>"
    assert markdown(html) == "| Item | Price |\n| --- | --- |\n| Paper | 3.50 |"


def test_a_table_with_spans_stays_html_with_nothing_but_its_spans() -> None:
    html = (
        '<table border="1"><tr onclick="x()"><td colspan="2" style="x">Both</td></tr>'
        "<tr><td rowspan=2>a</td><td>b</td></tr><tr><th>c</th></tr></table>"
    )
    assert markdown(html) == (
        '<table>\n<tr><td colspan="2">Both</td></tr>\n<tr><td rowspan="2">a</td><td>b</td></tr>\n'
        "<tr><th>c</th></tr>\n</table>"
    )


@pytest.mark.parametrize(
    "html",
    [
        "<table><tr><td>a</td><td>b</td><tr><td>c</td><td>d</td></tr></table>",
        "<table><tr><td>a</td><td>b</td></tr></tr><tr><td>c</td><td>d</td></tr></tr></table>",
        "<table><tr><td>a<td>b<tr><td>c<td>d</table>",
        "<table><tr><td>a</td><td>b</td></tr><td>c</td><td>d",
        "<table><tbody><tr><td>a</td>b</tr></tbody><tr></tr><tr><td>c</td><td>d</td></t",
        "<TABLE><TR><TD>a</TD><TD>b</TD></TR><tr><td>c</td><td>d</td></tr>",
    ],
)
def test_broken_rows_and_cells_are_mended(html: str) -> None:
    (table,) = (part for part in split(html) if isinstance(part, Table))
    assert [[cell.text for cell in row] for row in table.rows] == [["a", "b"], ["c", "d"]]


def test_short_rows_are_filled_up() -> None:
    html = "<table><tr><td>a</td><td>b</td><td>c</td></tr><tr><td>d</td></tr></table>"
    assert markdown(html) == "| a | b | c |\n| --- | --- | --- |\n| d |  |  |"


def test_a_cell_keeps_to_its_line_and_its_column() -> None:
    html = "<table><tr><td>a | b\nc</td><td>d<br/>e</td></tr></table>"
    assert markdown(html) == "| a \\| b c | d<br>e |\n| --- | --- |"


def test_a_rowspan_ends_with_the_table() -> None:
    html = "<table><tr><td rowspan='9'>a</td><td colspan='5000'>b</td></tr></table>"
    assert markdown(html) == '<table>\n<tr><td>a</td><td colspan="100">b</td></tr>\n</table>'


def test_a_caption_inside_the_table_stands_before_it() -> None:
    html = "<table><caption>Table 2</caption><tr><td>a</td></tr></table>"
    assert markdown(html) == "Table 2\n\n| a |\n| --- |"


def test_a_table_without_cells_is_nothing() -> None:
    assert markdown("<table><tr></tr></table>") == ""


@pytest.mark.parametrize(
    ("cell", "safe"),
    [
        ("<script>x</script>", "&lt;script>x&lt;/script>"),
        ("a & b &amp; c", "a &amp; b &amp; c"),
        ("![x](http://t.example)", "!&#91;x]&#40;http://t.example)"),
        ("x<sup>2</sup>", "x<sup>2</sup>"),
    ],
)
def test_cells_of_html_tables_cannot_act(cell: str, safe: str) -> None:
    html = f"<table><tr><td colspan=2>{cell}</td></tr></table>"
    assert markdown(html) == f'<table>\n<tr><td colspan="2">{safe}</td></tr>\n</table>'


def test_text_around_tables_stays_in_its_order() -> None:
    text = "one <table><tr><td>a</td></tr></table> two <table><td>b"
    assert markdown(text) == "one\n\n| a |\n| --- |\n\ntwo\n\n| b |\n| --- |"


tags = st.sampled_from(
    [
        "<table>",
        "</table>",
        "<tr>",
        "</tr>",
        "<td>",
        "</td>",
        "<th>",
        "<tbody>",
        "<col>",
        "<t",
        "</",
    ]
)
words = st.text("abcdefg", min_size=1, max_size=4)


@settings(deadline=None)
@given(st.lists(st.one_of(tags, words), max_size=30))
def test_no_word_is_lost_in_a_mangled_table(parts: list[str]) -> None:
    html = " ".join(parts) + " ."  # the end is not a torn tag, which would be dropped
    said = ""
    for part in split(html):
        rows = [] if isinstance(part, str) else part.rows
        said += part if isinstance(part, str) else ""
        said += "".join(cell.text for row in rows for cell in row)
    remaining = iter(said)
    wanted = "".join(part for part in parts if "<" not in part)
    assert all(char in remaining for char in wanted)


@pytest.mark.timeout(100)
@pytest.mark.parametrize(
    "unit", few(["<table>", "<td>", "<td ", "<tr><td>x", "</table>", "<t", "<caption>"])
)
def test_half_a_megabyte_of_tags_is_read_in_linear_time(unit: str) -> None:
    markdown("<table>" + unit * (500_000 // len(unit)))
