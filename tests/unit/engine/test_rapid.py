"""The embedded engine for real: children, models, pixels."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rapidfuzz.distance import Levenshtein

from ocrd.engine.base import Engine
from ocrd.engine.rapid import RapidEngine
from ocrd.errors import PageFaultError
from ocrd.modes import AnswerFormat, PromptMode
from ocrd.page import Box, PageResult
from tests.support.needs import everything
from tests.support.samples import Scan, scan_of
from tests.unit.children.support import children
from tests.unit.engine.contract import ReadingContract, pixels, request, ticket

NOTE = (
    "The harbour master wishes to remind all owners of small boats that ropes left lying on the "
    "quay will be removed on Monday.\n\nWhoever misses a rope may ask for it at the office."
)


def wrong(read: str, truth: str) -> float:
    """Characters wrong, missing or too many, as a share of the true ones."""
    bare, true = re.sub(r"\s", "", read), re.sub(r"\s", "", truth)
    return Levenshtein.distance(bare, true) / len(true)


def covered(true: Box, found: Box) -> float:
    """The share of the true box that the found one covers."""
    width = min(true.x2, found.x2) - max(true.x1, found.x1)
    height = min(true.y2, found.y2) - max(true.y1, found.y1)
    return max(width, 0) * max(height, 0) / ((true.x2 - true.x1) * (true.y2 - true.y1))


def cpu_ticks(pid: int) -> int:
    """Clock ticks that a process has spent so far (proc(5), utime)."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11])


async def one_at_work(pids: set[int]) -> int:
    """Wait until one of these processes has begun to compute; which."""
    before = {pid: cpu_ticks(pid) for pid in pids}
    while True:
        await asyncio.sleep(0.01)
        for pid, ticks in before.items():
            if cpu_ticks(pid) >= ticks + 10:
                return pid


class TestRapidEngine(ReadingContract):
    def make(self) -> Engine:
        return RapidEngine(workers=2 if everything() else 1, threads=1)

    def says(self, result: PageResult, scan: Scan) -> bool:
        return wrong(result.text, scan.page.text) <= 0.1

    @pytest.mark.parametrize(("lies", "turned"), [(0, 0), (90, 270), (180, 180), (270, 90)])
    async def test_a_page_is_read_whichever_way_it_lies(
        self, engine: Engine, lies: int, turned: int
    ) -> None:
        scan = scan_of(NOTE, width=400, height=160, dpi=120, turned=lies)
        result = await engine.recognise(request(pixels(scan)))
        assert result.turned == turned
        assert wrong(result.text, scan.page.text) <= 0.02
        found = [word for line in result.lines for word in line.words]
        placed = [
            any(it.text == word.text and covered(word.box, it.box) >= 0.5 for it in found)
            for word in scan.page.words
        ]
        assert sum(placed) / len(placed) >= 0.9

    async def test_lines_lie_where_their_words_are_printed(self, engine: Engine) -> None:
        scan = scan_of(NOTE, width=400, height=160, dpi=120)
        result = await engine.recognise(request(pixels(scan), "layout"))
        for line in result.lines:
            inside = [word for word in scan.page.words if covered(word.box, line.box) >= 0.5]
            assert wrong(" ".join(word.text for word in inside), line.text) <= 0.1

    async def test_an_operators_mode_with_a_known_prompt_is_served(self, engine: Engine) -> None:
        mode = PromptMode(name="slips", prompt="Free OCR.", answers=AnswerFormat.PLAIN)
        scan = ticket(1)
        assert engine.unsupported(mode) is None
        assert self.says(await engine.recognise(request(pixels(scan), mode)), scan)

    async def test_an_operators_mode_with_words_of_its_own_is_not(self, engine: Engine) -> None:
        mode = PromptMode(name="totals", prompt="What is the total?", answers=AnswerFormat.PLAIN)
        why = engine.unsupported(mode)
        assert why is not None
        assert "totals" in why
        assert "vllm" in why

    async def test_a_worker_that_is_killed_takes_only_its_page_along(self, engine: Engine) -> None:
        scan = scan_of(NOTE * 6, width=500, height=800, dpi=150)  # work for a second and more
        before = children()
        image = request(pixels(scan))
        page = asyncio.create_task(engine.recognise(image))
        os.kill(await one_at_work(before), signal.SIGKILL)
        with pytest.raises(PageFaultError) as fault:
            await page
        assert fault.value.kind == "killed"
        small = ticket(2)
        assert self.says(await engine.recognise(request(pixels(small))), small)
        assert engine.report().state == "ready"

    async def test_stopping_sends_pages_in_flight_away_and_it_can_start_again(
        self, engine: Engine
    ) -> None:
        """And leaves no process behind."""
        while_it_ran = children()
        await super().test_stopping_sends_pages_in_flight_away_and_it_can_start_again(engine)
        assert while_it_ran - children()  # what is left are other fixtures' processes


async def test_a_worker_that_is_killed_while_it_is_tried_out_does_not_end_the_start() -> None:
    engine = RapidEngine(workers=1, threads=1)
    before = children()
    starting = asyncio.create_task(engine.start(lambda _stage: None))
    while not (new := children() - before):  # noqa: ASYNC110 - a process tells nobody that it is there
        await asyncio.sleep(0.01)
    os.kill(new.pop(), signal.SIGKILL)
    await starting
    assert engine.report().state == "ready"
    await engine.stop()


def test_the_daemons_side_imports_none_of_the_libraries() -> None:
    """Numpy, OpenCV and onnxruntime take seconds and memory: only children load them."""
    code = "import sys; import ocrd.engine.rapid; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert not {"numpy", "cv2", "rapidocr", "onnxruntime"} & set(loaded.stdout.split())
