"""The Markdown of a page: what a person reads, and nothing a page could smuggle in."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from ocrd.document.markdown import incomplete, page, unread
from ocrd.modes import AnswerFormat
from ocrd.page import Block, Markup


def shown(*blocks: Block, figures: dict[int, str] | None = None) -> str:
    return page(blocks, AnswerFormat.DOCUMENT, figures or {})


def text(said: str) -> str:
    return shown(Block("text", said))


def test_titles_get_their_marks_unless_the_model_wrote_them() -> None:
    assert (
        shown(
            Block("title", "Annual report"),
            Block("sub_title", "Scope"),
            Block("title", "# Given"),
            Block("sub_title", "### 1.2.1 Deeper"),
            Block("text", "Body."),
        )
        == "# Annual report\n\n## Scope\n\n# Given\n\n### 1.2.1 Deeper\n\nBody."
    )


def test_a_title_of_two_lines_is_one_heading() -> None:
    assert shown(Block("title", "Annual\nreport 2024")) == "# Annual report 2024"


def test_a_figure_links_to_its_picture_and_its_caption_stays_visible() -> None:
    blocks = (Block("image", ""), Block("image_caption", "<center>Figure 1: [A] cat</center>"))
    assert shown(*blocks, figures={0: "images/3-1.jpg"}) == (
        "![Figure 1: A cat](images/3-1.jpg)\n\nFigure 1: [A] cat"
    )


def test_a_figure_without_a_picture_leaves_no_broken_link() -> None:
    assert shown(Block("image", ""), Block("text", "After")) == "After"


def test_headers_footers_and_page_numbers_are_small() -> None:
    assert shown(Block("header", "ACME Ltd."), Block("page_number", "12")) == (
        "<sub>ACME Ltd.</sub>\n\n<sub>12</sub>"
    )


def test_equations_are_displayed_mathematics() -> None:
    assert shown(Block("equation", r"\[ E = mc^2 \]")) == "$$\nE = mc^2\n$$"
    assert shown(Block("equation", "E = mc^2")) == "$$\nE = mc^2\n$$"
    assert shown(Block("equation", r"\[ a = b")) == "$$\na = b\n$$"  # cut off


def test_formulas_in_text_become_dollars() -> None:
    said = r"Let \( x \) be \[ y^2 \] and done"
    assert text(said) == "Let $x$ be $$y^2$$ and done"


def test_what_is_not_closed_is_left_alone() -> None:
    assert text(r"one \( two \[ three") == r"one \( two \[ three"


def test_signs_that_mathematics_in_markdown_lacks_are_spelt_out() -> None:
    assert shown(Block("equation", r"\[ a \coloneqq b \eqqcolon c \]")) == "$$\na := b =: c\n$$"
    assert text(r"\coloneqqx stays") == r"\coloneqqx stays"


def test_line_ends_are_those_of_unix_and_control_characters_vanish() -> None:
    assert text("a\r\nb\rc\x00\x1b[31md\x0c") == "a\nb\nc[31md"


@pytest.mark.parametrize(
    ("said", "safe"),
    [
        ("<script>alert(1)</script>", "&lt;script>alert(1)&lt;/script>"),
        ("<img src=x onerror=alert(1)>", "&lt;img src=x onerror=alert(1)>"),
        ("<!-- page 7 -->", "&lt;!-- page 7 -->"),
        ("<iframe\nsrc='file:///etc/passwd'>", "&lt;iframe\nsrc='file:///etc/passwd'>"),
        ("<b onclick='x()'>bold</b>", "&lt;b onclick='x()'>bold&lt;/b>"),
        ("<b>bold</b> H<sub>2</sub>O", "<b>bold</b> H<sub>2</sub>O"),
        ("<b>never closed", "&lt;b>never closed"),
        ("one<br/>two", "one<br>two"),
        ("<scr<center>ipt>", "&lt;script>"),
        ("1 < 2 and a <b and c> d", "1 < 2 and a &lt;b and c> d"),
        ("[x](javascript:alert(1))", r"[x]\(javascript:alert(1))"),
        ("[x](file:///etc/passwd)", r"[x]\(file:///etc/passwd)"),
        ("[x](../../secret.md)", r"[x]\(../../secret.md)"),
        ("[x](//evil.example)", r"[x]\(//evil.example)"),
        ("[site](https://example.org)", "[site](https://example.org)"),
        ("![x](http://tracker.example/p.gif)", r"!\[x](http://tracker.example/p.gif)"),
        ("[1]: file:///etc/passwd", r"[1]\: file:///etc/passwd"),
        (r"[x]\(\)(file:///etc/passwd)", r"[x]\(\)(file:///etc/passwd)"),
        (r"\( [x](javascript:1) \)", "$[x] (javascript:1)$"),
        (r"\( <script> \)", "$< script>$"),
        ("<https://example.org>", "&lt;https://example.org>"),
    ],
)
def test_nothing_a_page_says_can_act(said: str, safe: str) -> None:
    assert text(said) == safe


def test_a_picture_description_cannot_leave_its_brackets() -> None:
    blocks = (Block("image", ""), Block("image_caption", "x](http://e.example) ![y"))
    first = shown(*blocks, figures={0: "images/1-1.jpg"}).split("\n")[0]
    assert first == "![x(http://e.example) y](images/1-1.jpg)"


def test_plain_text_stays_as_it_is_but_for_markup_that_could_act() -> None:
    said = "A * B_c_ \\( x \\)\n  indented\n# 5\n<script>"
    assert page([Block("text", said)], AnswerFormat.PLAIN, {}) == (
        "A * B_c_ \\( x \\)\n  indented\n# 5\n&lt;script>"
    )


def test_spans_stand_one_by_one() -> None:
    blocks = [Block("text", "Total"), Block("text", "12.50")]
    assert page(blocks, AnswerFormat.SPANS, {}) == "Total\n\n12.50"


def test_chart_data_is_fenced_and_a_chart_table_is_a_table() -> None:
    data = [Block("figure", "{'line': ['a -- b']}\n```")]
    assert page(data, AnswerFormat.FIGURE, {}) == "````\n{'line': ['a -- b']}\n```\n````"
    table = [Block("figure", "<table><tr><td>x</td></tr><tr><td>1</td></tr></table>")]
    assert page(table, AnswerFormat.FIGURE, {}) == "| x |\n| --- |\n| 1 |"


def test_code_is_fenced_once() -> None:
    assert shown(Block("code", "```python\nx = [1](2)\n```")) == "```\nx = [1](2)\n```"


def test_a_caption_and_its_table_in_one_block_are_parted() -> None:
    said = "<center>Table 1: Prices</center><table><tr><td>a</td><td>b</td></tr></table>Note."
    assert shown(Block("table", said)) == "Table 1: Prices\n\n| a | b |\n| --- | --- |\n\nNote."


def test_unread_and_incomplete_pages_say_so_in_one_line() -> None:
    assert unread(3, "the engine died\non <it>") == (
        "> **Page 3 could not be read:** the engine died on &lt;it>"
    )
    assert incomplete(4, "cut off") == "> **Page 4 is incomplete:** cut off"


PRINTED = [
    "Write to <anna@example.org> or see <https://example.org>.",
    "5 * 3 * 2 = 30, a_b_c and _so_ on, `code` and ~~gone~~",
    "# 48213",
    "> quoted, + added",
    "---",
    "==== totals ====",
    "| Item | Price |",
    "|---|---|",
    "[1] see [here](http://evil.example) and ![picture](http://evil.example/x.png)",
    "&lt;b&gt; &copy; R&D, AT&T; \\ and \\* and C:\\temp\\new",
    "$5 and $6, 10 $",
    "<script>alert(1)</script> <b>bold</b> <!-- hidden -->",
    "**strong** __strong__ *it*",
]


@pytest.mark.parametrize("line", PRINTED)
@pytest.mark.parametrize("label", ["text", "title", "header", "list", "equation", "code"])
def test_print_is_shown_as_it_was_printed(line: str, label: str) -> None:
    block = Block(label, f"First\n{line}\nLast", (), Markup.PLAIN)
    html = MarkdownIt("commonmark").enable("table").enable("strikethrough").render(shown(block))
    assert "".join(_Text(html).said.split()) == "".join(f"First{line}Last".split())


@pytest.mark.parametrize("line", PRINTED)
def test_a_cell_of_print_is_shown_as_it_was_printed(line: str) -> None:
    block = Block("table", "", (), Markup.PLAIN, rows=(("Head", "x"), (line, "y")))
    html = MarkdownIt("commonmark").enable("table").render(shown(block))
    assert "".join(_Text(html).said.split()) == "".join(f"Headx{line}y".split())


@pytest.mark.parametrize("line", PRINTED)
def test_plain_text_is_not_touched(line: str) -> None:
    assert page([Block("text", line, (), Markup.PLAIN)], AnswerFormat.PLAIN, {}) == line


class _Text(HTMLParser):
    """What a browser shows of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.said = ""
        self.feed(html)
        self.close()

    def handle_data(self, data: str) -> None:
        self.said += data
