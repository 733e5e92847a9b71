"""What becomes of a page whose text is cut off, goes in circles, or is empty.

It is read again: with a stronger loop guard, at another resolution, with the plain prompt; the
first try that comes out whole is taken.  If none does, the best of them is kept and labelled as
partial.  No page vanishes.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ocrd.engine.base import Engine, PageRequest
from ocrd.engine.blank import is_blank
from ocrd.engine.repetition import said_once
from ocrd.errors import PageError, PageFaultError
from ocrd.modes import BUILT_IN_MODES, RESOLUTIONS, Guard, Reader, Resolution
from ocrd.page import Finish, PageResult

STRONG_GUARD = Guard(ngram=20, window=50)  # the official setting for PDF pages that loop
PLAIN = BUILT_IN_MODES["ocr"]
OTHER_VIEWS = {  # in order of preference; the engine may have room for some only
    "gundam": ("base",),
    "large": ("gundam", "base"),
    "base": ("gundam", "small"),
}
OTHERWISE = ("base", "small", "tiny")


class Doubt(enum.Enum):
    """What is wrong with a result; the less, the earlier."""

    PICTURE = "the page came back as one picture"
    LENGTH = "cut off at the token limit"
    REPETITION = "went in circles"
    EMPTY = "came back empty"


SEVERITY = {doubt: place for place, doubt in enumerate(Doubt)}


@dataclass(frozen=True, slots=True)
class Try:
    """One way to read the page again, and the note that records it."""

    request: PageRequest
    note: str


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
    for number, attempt in enumerate(further_tries(request, doubt, other), start=2):
        again = replace(attempt.request, id=f"{request.id}.{number}")
        try:
            result = await engine.recognise(again)
        except (PageError, PageFaultError) as error:
            notes.append(f"{attempt.note}: {error.kind}")
            continue
        still = doubt_of(result)
        if still is None:
            return result.noted(*notes, attempt.note)
        notes.append(f"{attempt.note}: {still.value}")
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
    if only_pictures(result):
        return Doubt.PICTURE
    return None


def only_pictures(result: PageResult) -> bool:
    """Whether all that was found on the page is pictures, and no word."""
    found = result.blocks
    return bool(found) and all(block.label == "image" and not block.text for block in found)


def other_view(engine: Engine, resolution: Resolution) -> Resolution | None:
    """Another resolution that a page may come out better at, if the engine has room for one."""
    others = (RESOLUTIONS[name] for name in OTHER_VIEWS.get(resolution.name, OTHERWISE))
    seen = (
        one
        for one in others
        if one.name != resolution.name and engine.unsupported_resolution(one) is None
    )
    return next(seen, None)


def further_tries(request: PageRequest, doubt: Doubt, other: Resolution | None) -> Iterator[Try]:
    """What to try, in order; `other` is the resolution to change to.

    A stronger guard helps against circles (which are also why most texts are cut off), not
    against silence.  The plain prompt only stands in for modes that ask for the page's text.
    """
    mode = request.mode
    if doubt in {Doubt.LENGTH, Doubt.REPETITION} and weaker(mode.guard):
        mode = replace(mode, guard=STRONG_GUARD)
        note = f"retried: ngram {STRONG_GUARD.ngram}/{STRONG_GUARD.window}"
        yield Try(replace(request, mode=mode), note)
    if doubt is not Doubt.PICTURE and other is not None:
        note = f"retried: resolution {other.name}"
        yield Try(replace(request, mode=mode, resolution=other), note)
    if mode.reader in {Reader.DOCUMENT, Reader.SPANS} and not mode.needs_target:
        plain = replace(PLAIN, guard=STRONG_GUARD, max_tokens=mode.max_tokens)
        yield Try(replace(request, mode=plain), "retried: mode ocr")


def weaker(guard: Guard | None) -> bool:
    """Whether a guard lets through what the strong one stops."""
    return guard is None or guard.ngram > STRONG_GUARD.ngram


def settle(results: list[tuple[PageResult, Doubt]], notes: list[str]) -> PageResult:
    """The best of doubtful results: the least doubt, then the most text that is not repeated.

    A page that is only pictures is whole: nothing else was found on it by any try.
    """
    best, doubt = min(results, key=lambda one: (SEVERITY[one[1]], -len(said_once(one[0].text))))
    partial = None if doubt is Doubt.PICTURE else doubt.value
    return replace(best, partial=partial).noted(*notes)
