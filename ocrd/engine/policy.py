"""Handles pages that are not upright, or whose text is cut off, repeats itself, or is empty.

A page that is not upright is turned before the model sees it; the coordinates in the result are
turned back, so that boxes fit the original page.  A page with a doubtful result is read again: with
a stronger loop guard, at another resolution, with the plain prompt; the first complete result is
taken.  If there is none, the best result is kept and labelled as partial.  No page is lost.
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
OTHER_VIEWS = {  # in order of preference; the engine may have room for only some of them
    "gundam": ("base",),
    "large": ("gundam", "base"),
    "base": ("gundam", "small"),
}
OTHERWISE = ("base", "small", "tiny")
CELL = 4  # pixels; an average over 4 x 4 drowns single specks and keeps the stroke of a letter
# Contrast to the paper (of 255) -> how many cells may exceed it on a blank page.  Such cells are
# dust; one speck touches up to four.  Paper grain stays below the second limit; print that is 35
# darker than the paper exceeds it.
SPECKS = {40: 2, 20: 16}

Orientation = Callable[[PageImage], Awaitable[Upright]]
"""Detects which way up a page is."""


class Doubt(enum.Enum):
    """What is wrong with a result, from least to most serious."""

    PICTURE = "the page came back as one picture"
    LENGTH = "cut off at the token limit"
    REPETITION = "went in circles"
    EMPTY = "came back empty"


async def read_upright(
    engine: Engine, request: PageRequest, orientation: Orientation
) -> PageResult:
    """Like `read_page`, but the page is first turned upright if it is clearly not.

    Raises:
        PageError, PageFaultError, EngineDownError: As for `read_page`.
    """
    found = await orientation(request.image)
    if found.image is None:
        return await read_page(engine, request)
    result = await read_page(engine, replace(request, image=found.image))
    note = f"turned {found.degrees} degrees clockwise, as Tesseract found"
    return as_it_came(result, found.degrees).noted(f"{note} (confidence {found.confidence:.1f})")


def as_it_came(result: PageResult, degrees: int) -> PageResult:
    """The result for a page turned by `degrees` clockwise, mapped back to the original page."""
    return replace(
        result,
        blocks=tuple(block.turned(-degrees) for block in result.blocks),
        lines=tuple(line.turned(-degrees) for line in result.lines),
        turned=(result.turned + degrees) % 360,
    )


def is_blank(image: PageImage) -> bool:
    """Whether the page is one even shade except for a speck or two; a page number is not blank.

    Takes about 10 ms for a letter page at 144 dpi.
    """
    cells = pillow(image).convert("L").reduce(CELL).histogram()
    paper = max(range(256), key=cells.__getitem__)
    return all(
        sum(n for shade, n in enumerate(cells) if abs(shade - paper) > contrast) <= specks
        for contrast, specks in SPECKS.items()
    )


async def read_page(engine: Engine, request: PageRequest) -> PageResult:
    """Read a page as well as the engine can; works with every engine.

    The result has a note for each further try; if no try gave a complete result, `partial` says
    what is wrong with it.

    Raises:
        PageError, PageFaultError: The first try failed.
        EngineDownError: The engine went down during any of the tries; the caller reads the page
            again.
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
    """The first complete result of further tries; otherwise the best of all results."""
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
    """Another resolution that may give a better result, if the engine has room for one."""
    for name in OTHER_VIEWS.get(resolution.name, OTHERWISE):
        if name != resolution.name and engine.unsupported_resolution(RESOLUTIONS[name]) is None:
            return RESOLUTIONS[name]
    return None


def further_tries(
    request: PageRequest, doubt: Doubt, other: Resolution | None
) -> Iterator[tuple[str, PageRequest]]:
    """The further tries in order, each with its note; `other` is the resolution to change to.

    A stronger guard helps against repetition (also the reason why most texts are cut off), but not
    against an empty result.  The plain prompt replaces only modes that ask for the page's text.
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
    """The best of doubtful results: the least serious doubt, then the most unrepeated text.

    A page with only pictures counts as complete: no try found anything else on it.
    """
    bad = [*Doubt].index
    best, doubt = min(results, key=lambda one: (bad(one[1]), -len(said_once(one[0].text))))
    partial = None if doubt is Doubt.PICTURE else doubt.value
    return replace(best, partial=partial).noted(*notes)
