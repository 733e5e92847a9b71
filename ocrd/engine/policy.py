"""What becomes of a page that lies, or whose text is cut off, goes in circles, or is empty.

One that lies is shown to the model turned upright; what the model says of places is turned back, so
that boxes are on the page as it came.  A doubtful one is read again: with a stronger loop guard, at
another resolution, with the plain prompt; the first try that comes out whole is taken.  If none
does, the best of them is kept and labelled as partial.  No page vanishes.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace

from ocrd.engine.base import Engine, PageRequest
from ocrd.engine.osd import Upright
from ocrd.engine.repetition import said_once
from ocrd.errors import PageError, PageFaultError
from ocrd.modes import BUILT_IN_MODES, RESOLUTIONS, AnswerFormat, Guard, Resolution
from ocrd.page import Finish, PageImage, PageResult
from ocrd.tone import pillow

STRONG_GUARD = Guard(ngram=20, window=50)  # the official setting for PDF pages that loop
PLAIN = BUILT_IN_MODES["ocr"]
OTHER_VIEWS = {  # in order of preference; the engine may have room for some only
    "gundam": ("base",),
    "large": ("gundam", "base"),
    "base": ("gundam", "small"),
}
OTHERWISE = ("base", "small", "tiny")
CELL = 4  # pixels; an average over 4 x 4 drowns single specks and keeps the stroke of a letter
# So many cells may stand out against the paper by more than so much of 255: dust, of which a speck
# lies in up to four.  The grain of paper does not come to the second; print 35 darker than it does.
SPECKS = {40: 2, 20: 16}

Orientation = Callable[[PageImage], Awaitable[Upright]]
"""Sees which way up a page is."""


class Doubt(enum.Enum):
    """What is wrong with a result; the worst comes last."""

    PICTURE = "the page came back as one picture"
    LENGTH = "cut off at the token limit"
    REPETITION = "went in circles"
    EMPTY = "came back empty"


async def read_upright(
    engine: Engine, request: PageRequest, orientation: Orientation
) -> PageResult:
    """As `read_page`, with the page turned upright first where it is clear that it lies.

    Raises:
        PageError, PageFaultError, EngineDownError: As `read_page`.
    """
    found = await orientation(request.image)
    if found.image is None:
        return await read_page(engine, request)
    result = await read_page(engine, replace(request, image=found.image))
    note = f"turned {found.degrees} degrees clockwise, as Tesseract found"
    return as_it_came(result, found.degrees).noted(f"{note} (confidence {found.confidence:.1f})")


def as_it_came(result: PageResult, degrees: int) -> PageResult:
    """The result of a page that was turned by so many degrees clockwise, on the page before."""
    return replace(
        result,
        blocks=tuple(block.turned(-degrees) for block in result.blocks),
        lines=tuple(line.turned(-degrees) for line in result.lines),
        turned=(result.turned + degrees) % 360,
    )


def is_blank(image: PageImage) -> bool:
    """Whether the page is one even shade but for a speck or two; a page number is something.

    About 10 ms for a letter page at 144 dpi.
    """
    cells = pillow(image).convert("L").reduce(CELL).histogram()
    paper = max(range(256), key=cells.__getitem__)
    return all(
        sum(n for shade, n in enumerate(cells) if abs(shade - paper) > contrast) <= specks
        for contrast, specks in SPECKS.items()
    )


async def read_page(engine: Engine, request: PageRequest) -> PageResult:
    """Read a page as well as the engine can; works with every engine.

    The result carries a note for each further try, and says in `partial` what is wrong if no try
    came out whole.

    Raises:
        PageError, PageFaultError, EngineDownError: The first try failed so; the last may come
            from any try, and the page is then read anew by whoever asked.
    """
    first = await engine.recognise(request)
    doubt = doubt_of(first)
    if doubt is None:
        return first
    if is_blank(request.image):
        return replace(first, text="", blocks=()).noted("blank")
    if not first.prompt_tokens:  # no language model: it would only say the same again
        return first
    return await read_again(engine, request, first, doubt)


async def read_again(
    engine: Engine, request: PageRequest, first: PageResult, doubt: Doubt
) -> PageResult:
    """Further tries until one comes out whole; else the best of all."""
    results, notes = [(first, doubt)], list[str]()
    other = other_view(engine, request.resolution)
    for number, (note, again) in enumerate(further_tries(request, doubt, other), start=2):
        try:
            result = await engine.recognise(replace(again, id=f"{request.id}.{number}"))
        except (PageError, PageFaultError) as error:
            notes.append(f"{note}: {error.kind}")
            continue
        still = doubt_of(result)
        if still is None:
            return result.noted(*notes, note)
        notes.append(f"{note}: {still.value}")
        results.append((result, still))
    return settle(results, notes)


def doubt_of(result: PageResult) -> Doubt | None:
    """What is wrong with a result, or None."""
    if not result.text.strip():
        return Doubt.EMPTY
    if result.finish is Finish.REPETITION:
        return Doubt.REPETITION
    if result.finish is Finish.LENGTH:
        return Doubt.LENGTH
    found = result.blocks
    only_pictures = all(block.label == "image" and not block.text for block in found)
    return Doubt.PICTURE if found and only_pictures else None


def other_view(engine: Engine, resolution: Resolution) -> Resolution | None:
    """Another resolution that a page may come out better at, if the engine has room for one."""
    for name in OTHER_VIEWS.get(resolution.name, OTHERWISE):
        if name != resolution.name and engine.unsupported_resolution(RESOLUTIONS[name]) is None:
            return RESOLUTIONS[name]
    return None


def further_tries(
    request: PageRequest, doubt: Doubt, other: Resolution | None
) -> Iterator[tuple[str, PageRequest]]:
    """What to try, in order, each with its note; `other` is the resolution to change to.

    A stronger guard helps against circles (which are also why most texts are cut off), not
    against silence.  The plain prompt only stands in for modes that ask for the page's text.
    """
    mode = request.mode
    weaker = mode.guard is None or mode.guard.ngram > STRONG_GUARD.ngram
    if doubt in {Doubt.LENGTH, Doubt.REPETITION} and weaker:
        mode = replace(mode, guard=STRONG_GUARD)
        note = f"retried: ngram {STRONG_GUARD.ngram}/{STRONG_GUARD.window}"
        yield note, replace(request, mode=mode)
    if doubt is not Doubt.PICTURE and other is not None:
        note = f"retried: resolution {other.name}"
        yield note, replace(request, mode=mode, resolution=other)
    if mode.answers in {AnswerFormat.DOCUMENT, AnswerFormat.SPANS} and not mode.needs_target:
        plain = replace(PLAIN, guard=STRONG_GUARD, max_tokens=mode.max_tokens)
        yield "retried: mode ocr", replace(request, mode=plain)


def settle(results: list[tuple[PageResult, Doubt]], notes: list[str]) -> PageResult:
    """The best of doubtful results: the least doubt, then the most text that is not repeated.

    A page that is only pictures is whole: nothing else was found on it by any try.
    """
    bad = [*Doubt].index
    best, doubt = min(results, key=lambda one: (bad(one[1]), -len(said_once(one[0].text))))
    partial = None if doubt is Doubt.PICTURE else doubt.value
    return replace(best, partial=partial).noted(*notes)
