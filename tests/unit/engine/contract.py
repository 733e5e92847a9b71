"""What every engine must do: one suite, run over each implementation of the Protocol.

`EngineContract` holds for every engine, whatever its model has learnt: an answer belongs to its
page, and faults stay where they are.  `ReadingContract` holds for those that read what stands on
a page, too.

A subclass gives `make` (an engine not yet started) and `says` (whether a result is that of a
page), and is named `Test…`.  One engine serves all tests of a class, because a start may cost
seconds; a test that stops it starts it again.
"""

from __future__ import annotations

import asyncio
import io
import math
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import cache

import pytest
import pytest_asyncio
from PIL import Image

from ocrd.engine.base import Engine, EngineState, PageRequest
from ocrd.errors import EngineDownError, PageError
from ocrd.modes import BUILT_IN_MODES, RESOLUTIONS, AnswerFormat, PromptMode
from ocrd.page import Finish, PageImage, PageResult
from tests.support.samples import Scan, scan_of
from tests.support.waiting import HANG_S

WORDS = ("Adder", "Bittern", "Curlew", "Dunlin", "Egret", "Falcon", "Godwit", "Heron")


def pixels(scan: Scan) -> PageImage:
    """A scan as the daemon hands it to an engine."""
    image = Image.open(io.BytesIO(scan.data)).convert("RGB")
    return PageImage(image.width, image.height, image.tobytes())


def plain_page(width: int, height: int, shade: int = 255) -> PageImage:
    """A page of one shade of grey."""
    return PageImage(width, height, bytes([shade]) * (width * height * 3))


@cache
def ticket(number: int) -> Scan:
    """A small scan, different for each number."""
    word = WORDS[number % len(WORDS)]
    return scan_of(f"{word} number {1000 + number}", width=200, height=60, dpi=120, seed=number)


def request(image: PageImage, mode: str | PromptMode = "ocr", name: str = "page") -> PageRequest:
    """A request for a page."""
    asked = BUILT_IN_MODES[mode] if isinstance(mode, str) else mode
    return PageRequest(id=name, image=image, mode=asked, resolution=RESOLUTIONS["gundam"])


@pytest.mark.asyncio(loop_scope="class")
class EngineContract:
    """The tests; `engine` is started.

    Attributes:
        resolution: What pages ask for.
        long_s: To tell a hang from work on a loaded machine.
    """

    resolution = RESOLUTIONS["gundam"]
    long_s = HANG_S

    def make(self) -> Engine:
        """A new engine, not started."""
        raise NotImplementedError

    def says(self, result: PageResult, scan: Scan) -> bool:
        """Whether the result is that of the scan."""
        raise NotImplementedError

    def ask(
        self, image: PageImage, mode: str | PromptMode = "ocr", name: str = "page"
    ) -> PageRequest:
        """A request for a page at the resolution of the suite."""
        return replace(request(image, mode, name), resolution=self.resolution)

    @pytest_asyncio.fixture(scope="class", loop_scope="class")
    @classmethod
    async def engine(cls) -> AsyncIterator[Engine]:
        engine = cls().make()
        await engine.start(lambda _stage: None)
        yield engine
        await engine.stop()

    async def test_an_engine_that_was_not_started_sends_pages_away(self) -> None:
        engine = self.make()
        assert engine.report().state is EngineState.STOPPED
        with pytest.raises(EngineDownError):
            await engine.recognise(self.ask(plain_page(32, 32)))

    async def test_a_started_engine_is_ready_and_tells_what_it_is(self, engine: Engine) -> None:
        assert engine.report().state is EngineState.READY
        assert engine.kind
        assert engine.model
        assert engine.capacity >= 1
        assert 50 <= engine.dpi <= 600

    async def test_more_pages_than_it_has_room_for_wait_their_turn(self, engine: Engine) -> None:
        scans = [ticket(number) for number in range(engine.capacity + 3)]
        asked = [engine.recognise(self.ask(pixels(s), name=str(n))) for n, s in enumerate(scans)]
        results = await asyncio.wait_for(asyncio.gather(*asked), self.long_s)
        said = [self.says(result, scan) for result, scan in zip(results, scans, strict=True)]
        assert said == [True] * len(scans)

    async def test_a_result_can_be_kept_and_found_again(self, engine: Engine) -> None:
        result = await engine.recognise(self.ask(pixels(ticket(1))))
        assert result.finish is Finish.STOP
        assert result.partial is None
        assert result.seconds > 0
        again = PageResult.from_json(result.to_json())
        assert again.text == result.text
        assert [block.text for block in again.blocks] == [block.text for block in result.blocks]
        assert again.turned == result.turned
        assert [line.text for line in again.lines] == [line.text for line in result.lines]

    async def test_lines_and_words_lie_on_the_page(self, engine: Engine) -> None:
        result = await engine.recognise(self.ask(pixels(ticket(2))))
        boxes = [line.box for line in result.lines]
        boxes += [word.box for line in result.lines for word in line.words]
        for box in boxes:
            assert 0 <= box.x1 < box.x2 <= 1
            assert 0 <= box.y1 < box.y2 <= 1

    async def test_the_same_page_reads_the_same_twice(self, engine: Engine) -> None:
        first = await engine.recognise(self.ask(pixels(ticket(3))))
        second = await engine.recognise(self.ask(pixels(ticket(3))))
        assert first.text == second.text
        assert first.lines == second.lines

    async def test_a_page_given_up_does_not_hold_up_the_next(self, engine: Engine) -> None:
        doomed = [
            asyncio.create_task(engine.recognise(self.ask(pixels(ticket(n)), name=f"doomed {n}")))
            for n in range(engine.capacity)
        ]
        await asyncio.sleep(0.05)
        for task in doomed:
            task.cancel()
        ended = await asyncio.gather(*doomed, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError | PageResult) for end in ended)
        scan = ticket(5)
        result = await asyncio.wait_for(engine.recognise(self.ask(pixels(scan))), self.long_s)
        assert self.says(result, scan)
        assert engine.report().state is EngineState.READY

    @pytest.mark.parametrize("mode", BUILT_IN_MODES.values(), ids=lambda mode: mode.name)
    async def test_a_mode_is_served_or_refused_with_a_sentence(
        self, engine: Engine, mode: PromptMode
    ) -> None:
        why = engine.unsupported(mode)
        asked = self.ask(pixels(ticket(4)), mode)
        if why is None:
            assert (await engine.recognise(asked)).text
        else:
            assert mode.name in why
            with pytest.raises(PageError) as refused:
                await engine.recognise(asked)
            assert refused.value.hint

    @pytest.mark.parametrize("shade", [255, 128, 0])
    async def test_a_blank_page_is_no_error(self, engine: Engine, shade: int) -> None:
        result = await engine.recognise(self.ask(plain_page(400, 300, shade)))
        assert result.lines == ()
        assert result.finish is Finish.STOP

    @pytest.mark.parametrize("size", [(1, 1), (1, 400), (60, 1200), (1200, 60)])
    async def test_a_page_of_odd_shape_does_no_harm(
        self, engine: Engine, size: tuple[int, int]
    ) -> None:
        result = await engine.recognise(self.ask(plain_page(*size)))
        assert math.isfinite(result.seconds)
        scan = ticket(6)
        assert self.says(await engine.recognise(self.ask(pixels(scan))), scan)

    async def test_stopping_sends_pages_in_flight_away_and_it_can_start_again(
        self, engine: Engine
    ) -> None:
        flying = [
            asyncio.create_task(engine.recognise(self.ask(pixels(ticket(n)), name=f"flying {n}")))
            for n in range(engine.capacity)
        ]
        await asyncio.sleep(0.02)
        await engine.stop()
        ended = await asyncio.wait_for(asyncio.gather(*flying, return_exceptions=True), self.long_s)
        assert all(isinstance(end, EngineDownError | PageResult) for end in ended)
        assert engine.report().state is EngineState.STOPPED
        with pytest.raises(EngineDownError):
            await engine.recognise(self.ask(plain_page(32, 32)))
        stages: list[str] = []
        await engine.start(stages.append)
        assert stages
        scan = ticket(0)
        assert self.says(await engine.recognise(self.ask(pixels(scan))), scan)


class ReadingContract(EngineContract):
    """What holds besides for an engine that reads what stands on a page."""

    @pytest.mark.parametrize("shade", [255, 128, 0])
    async def test_nothing_is_read_on_a_blank_page(self, engine: Engine, shade: int) -> None:
        result = await engine.recognise(self.ask(plain_page(400, 300, shade)))
        assert result.text.strip() == ""

    @pytest.mark.parametrize(
        "mode",
        [mode for mode in BUILT_IN_MODES.values() if mode.answers is not AnswerFormat.FIGURE],
    )
    async def test_answers_are_blocks_with_places_where_these_are_asked_for(
        self, engine: Engine, mode: PromptMode
    ) -> None:
        if engine.unsupported(mode):
            return
        blocks = (await engine.recognise(self.ask(pixels(ticket(7)), mode))).blocks
        assert blocks
        assert all(block.text and "<|" not in block.text for block in blocks)
        assert mode.answers is AnswerFormat.PLAIN or all(block.boxes for block in blocks)
