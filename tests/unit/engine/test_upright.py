"""Pages that lie are stood up for an engine that cannot do it; in doubt they are left alone."""

from __future__ import annotations

import io
import random
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image

from ocrd.children import ChildPool, Limits
from ocrd.engine.base import PageRequest
from ocrd.engine.deepseek.grounding import parse
from ocrd.engine.osd import AS_IT_IS, Upright, installed, stand_up
from ocrd.engine.policy import as_it_came, read_upright
from ocrd.engine.tesseract import packs
from ocrd.modes import BUILT_IN_MODES, RESOLUTIONS, AnswerFormat
from ocrd.page import Block, Box, Line, PageImage, PageResult, Word
from tests.support.needs import few, needs
from tests.support.samples import scan_of
from tests.unit.engine.fake import FakeEngine

LETTER = (
    "The harbour master wishes to remind all owners of small boats that ropes left lying on the "
    "quay will be removed on Monday.\n\nWhoever misses a rope may ask for it at the office, which "
    "is open from nine to twelve.\n\nBoats that are not used in winter have to be taken out of "
    "the water before the first of November. The crane is free of charge in October.\n\nThe "
    "harbour master thanks all who helped to clean the slipway after the storm."
)
needs_tesseract = needs("tesseract")
in_one_loop = pytest.mark.asyncio(loop_scope="module")  # as the children they share


def pixels(image: Image.Image) -> PageImage:
    plain = image.convert("RGB")
    return PageImage(plain.width, plain.height, plain.tobytes())


def letter(turned: int = 0) -> PageImage:
    data = scan_of(LETTER, width=420, height=594, turned=turned, seed=7).data
    return pixels(Image.open(io.BytesIO(data)))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[ChildPool]:
    made = ChildPool(
        name="page worker", processes=2, limits=Limits(memory_mib=2048, cpu_s=60, wall_s=60)
    )
    yield made
    made.stop()


@in_one_loop
@needs_tesseract
@pytest.mark.parametrize(("lies", "degrees"), few([(0, 0), (180, 180), (270, 90), (90, 270)]))
async def test_a_letter_is_stood_up_whichever_way_it_lies(
    pool: ChildPool, lies: int, degrees: int
) -> None:
    found = await stand_up(pool, letter(lies))
    assert found.degrees == degrees
    if degrees:
        assert found.image is not None
        upright = letter()
        assert (found.image.width, found.image.height) == (upright.width, upright.height)
    else:
        assert found == AS_IT_IS


def noise() -> Image.Image:
    return Image.frombytes("RGB", (300, 400), random.Random(1).randbytes(300 * 400 * 3))


def few_digits() -> Image.Image:
    return Image.open(io.BytesIO(scan_of("8080 6969", width=200, height=80, turned=180).data))


UNSURE: dict[str, Callable[[], Image.Image]] = {
    "an empty page": lambda: Image.new("RGB", (1200, 1700), "white"),
    "a single pixel": lambda: Image.new("RGB", (1, 1), "black"),
    "noise": noise,
    "digits that read both ways": few_digits,
}


@in_one_loop
@needs_tesseract
@pytest.mark.parametrize("page", UNSURE.values(), ids=UNSURE)
async def test_where_it_is_not_clear_the_page_is_left_as_it_is(
    pool: ChildPool, page: Callable[[], Image.Image]
) -> None:
    assert await stand_up(pool, pixels(page())) == AS_IT_IS


@needs_tesseract
async def test_a_look_that_takes_too_long_turns_nothing() -> None:
    hasty = ChildPool(
        name="page worker", processes=1, limits=Limits(memory_mib=2048, cpu_s=60, wall_s=0.01)
    )
    try:
        assert await stand_up(hasty, letter(90)) == AS_IT_IS
    finally:
        hasty.stop()


class RedSpotEngine(FakeEngine):
    """Sees one thing, the red spot on the page, and says where it is as DeepSeek-OCR would."""

    model = "red spot"

    async def recognise(self, request: PageRequest) -> PageResult:
        image = request.image
        seen = Image.frombytes("RGB", (image.width, image.height), image.rgb)
        red = [channel.point(lambda value: 255 * (value > 150)) for channel in seen.split()]
        spot = Image.composite(red[0], Image.new("L", seen.size), red[1].point(lambda v: 255 - v))
        left, top, right, bottom = spot.getbbox() or (0, 0, 0, 0)
        box = Box(left / seen.width, top / seen.height, right / seen.width, bottom / seen.height)
        place = [round(999 * value) for value in (box.x1, box.y1, box.x2, box.y2)]
        line = Line("spot", box, (Word("spot", box),))
        text = f"<|ref|>text<|/ref|><|det|>[{place}]<|/det|>\nspot [[1, 2, 3, 4]]"
        return PageResult(
            text=text,
            blocks=tuple(parse(text, AnswerFormat.DOCUMENT)),
            lines=(line,),
            prompt_tokens=1,
        )


@in_one_loop
@needs_tesseract
@pytest.mark.parametrize("lies", [90, 270])
async def test_places_are_told_on_the_page_as_it_came(pool: ChildPool, lies: int) -> None:
    page = letter(lies)
    image = Image.frombytes("RGB", (page.width, page.height), page.rgb)
    width, height = image.size
    true = Box(0.9, 0.02, 0.95, 0.05)
    corner = (round(true.x1 * width), round(true.y1 * height))
    image.paste((255, 0, 0), (*corner, round(true.x2 * width), round(true.y2 * height)))
    request = PageRequest(
        id="1", image=pixels(image), mode=BUILT_IN_MODES["document"],
        resolution=RESOLUTIONS["gundam"],
    )  # fmt: skip
    result = await read_upright(RedSpotEngine(), request, partial(stand_up, pool))
    assert result.turned == (360 - lies) % 360
    assert [note.split(" (")[0] for note in result.notes] == (
        [f"turned {360 - lies} degrees clockwise, as Tesseract found"] if lies else []
    )
    for found in (
        result.blocks[0].boxes[0].rounded(),
        result.lines[0].box.rounded(),
        result.lines[0].words[0].box.rounded(),
    ):
        assert found == pytest.approx(true.rounded(), abs=0.005)
    assert result.blocks[0].text == "spot [[1, 2, 3, 4]]"  # words are not places


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_there_and_back_is_the_same_place(degrees: int) -> None:
    place = Box(0.01, 0.02, 0.3, 0.04)
    seen = PageResult(text="A title", blocks=(Block("title", "A title", (place,)),))
    there = as_it_came(seen, degrees)
    assert there.blocks != seen.blocks
    back = as_it_came(there, 360 - degrees).blocks[0].boxes[0]
    assert back.rounded() == place.rounded()
    assert there.turned == degrees


async def test_a_page_that_is_upright_is_handed_on_untouched() -> None:
    async def nobody(_image: PageImage) -> Upright:
        return AS_IT_IS

    page = letter()
    request = PageRequest(
        id="1", image=page, mode=BUILT_IN_MODES["document"], resolution=RESOLUTIONS["gundam"]
    )
    result = await read_upright(RedSpotEngine(), request, nobody)
    assert (result.turned, result.notes) == (0, ())


def test_without_its_model_for_orientation_it_is_of_no_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "folder", lambda: tmp_path)
    assert not installed()
    (tmp_path / "osd.traineddata").touch()
    assert installed() == packs.installed()
