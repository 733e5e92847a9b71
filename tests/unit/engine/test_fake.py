"""The fake engine keeps the contract, so that what is tested with it holds for the real ones."""

from __future__ import annotations

import asyncio

import pytest

from ocrd.engine.base import Engine, PageRequest
from ocrd.errors import OcrdError, PageFaultError
from ocrd.page import PageImage, PageResult
from tests.support.printed import lines_on, printed
from tests.support.samples import Scan
from tests.unit.engine.contract import ReadingContract, pixels, request, ticket
from tests.unit.engine.fake import FakeEngine, words_of


class TestFakeEngine(ReadingContract):
    def make(self) -> Engine:
        return FakeEngine(workers=3, delay_s=0.01)

    def says(self, result: PageResult, scan: Scan) -> bool:
        return words_of(pixels(scan)) in result.text


async def test_a_fault_strikes_as_often_as_it_was_told_to() -> None:
    def twice(_request: PageRequest, seen: int) -> OcrdError | None:
        return PageFaultError("struck", hint="again") if seen < 2 else None

    engine = FakeEngine(fault=twice)
    await engine.start(lambda _stage: None)
    page = request(pixels(ticket(1)))
    for _ in range(2):
        with pytest.raises(PageFaultError):
            await engine.recognise(page)
    assert (await engine.recognise(page)).text == words_of(page.image)
    assert len(engine.requests) == 3


async def test_no_more_pages_are_in_work_than_it_has_workers() -> None:
    engine = FakeEngine(workers=2, delay_s=0.001)
    await engine.start(lambda _stage: None)
    await asyncio.gather(*(engine.recognise(request(pixels(ticket(n)))) for n in range(8)))
    assert engine.most_at_once == 2


async def test_a_mode_it_was_told_to_refuse_is_refused() -> None:
    engine = FakeEngine(refuses=frozenset({"locate"}))
    assert engine.unsupported(request(pixels(ticket(1)), "locate").mode)
    assert engine.unsupported(request(pixels(ticket(1)), "ocr").mode) is None


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
