"""The fake engine keeps the contract, so that what is tested with it holds for the real ones."""

from __future__ import annotations

import pytest

from ocrd.engine.base import Engine
from ocrd.page import PageImage, PageResult
from tests.support.printed import lines_on, printed
from tests.support.samples import Scan
from tests.unit.engine.contract import ReadingContract, pixels, ticket
from tests.unit.engine.fake import FakeEngine, words_of


class TestFakeEngine(ReadingContract):
    def make(self) -> Engine:
        return FakeEngine(workers=3, delay_s=0.01)

    def says(self, result: PageResult, scan: Scan) -> bool:
        return words_of(pixels(scan)) in result.text


def test_what_is_printed_in_code_is_read_where_it_stands_and_nothing_else_is() -> None:
    page = printed("The upper line of it", "and <b>the lower</b>", height=1200).convert("RGB")
    lines = lines_on(PageImage(page.width, page.height, page.tobytes()))
    assert [line.text for line in lines] == ["The upper line of it", "and <b>the lower</b>"]
    for line, top in zip(lines, (120, 420), strict=True):
        assert line.box.x1 == pytest.approx(0.08, abs=0.005)
        assert line.box.y1 == pytest.approx(top / 1200, abs=0.005)
        assert [word.text for word in line.words] == line.text.split()
        assert line.words[-1].box.x2 == line.box.x2 < 0.2
    assert lines_on(pixels(ticket(1))) == []
