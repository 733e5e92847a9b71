"""Pages of full size before the first page: kernels are compiled and memory is tried.

What vLLM does at its start knows nothing of our encoders, and compiles kernels for some batches
only; the rest would be compiled while the first pages wait, or fail for want of memory then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Protocol

from ocrd.engine.base import PageRequest
from ocrd.engine.profiles import ModelProfile
from ocrd.engine.resident.core import Answer, CoreDiedError
from ocrd.engine.resident.settings import VllmSettings
from ocrd.errors import EngineSetupError, PageError, PageFaultError
from ocrd.modes import BUILT_IN_MODES, PromptMode, Reader, Resolution
from ocrd.page import PageImage

LETTER = (1224, 1584)  # pixels at the dpi of DeepSeek-OCR
LINE = 16  # pixels from one bar to the next
FEW_TOKENS = 8


class TriesOut(Protocol):
    """What a core is to the warm-up."""

    async def try_out(self, request: PageRequest) -> Answer:
        """Read one page without the operator's sampling settings."""


async def warm_up(core: TriesOut, profile: ModelProfile, settings: VllmSettings) -> None:
    """A page at each resolution, then ever more at once at the costliest.

    Each page has the time limit of any page, so that this ends, whatever the engine does.

    Raises:
        EngineSetupError: A page failed; the remedy is named.
        CoreDiedError: The engine died, of too little memory perhaps.
    """
    page, mode = full_page(), short_mode(profile)
    for number, wave in enumerate(waves(profile, settings)):
        requests = [
            PageRequest(id=f"warm-up-{number}-{place}", image=page, mode=mode, resolution=seen)
            for place, seen in enumerate(wave)
        ]
        await _all(core, requests)


def waves(profile: ModelProfile, settings: VllmSettings) -> Iterator[list[Resolution]]:
    """The resolutions of the pages that are sent at once, wave after wave.

    The last wave fills one step of the model, or takes all pages that may be in flight.
    """
    costs = {seen: tokens(profile, seen) for seen in offered(profile, settings)}
    if not costs:
        return
    yield from ([seen] for seen in costs)
    costliest = max(costs, key=costs.__getitem__)
    enough = -(-settings.max_num_batched_tokens // max(1, costs[costliest]))
    count = 1
    while count < min(enough, settings.at_once):
        count = min(2 * count, settings.at_once)
        yield [costliest] * count


def offered(profile: ModelProfile, settings: VllmSettings) -> list[Resolution]:
    """What pages may be seen at, each once and in order."""
    seen = (profile.seen(settings.seen(resolution)) for resolution in settings.resolutions)
    return [one for one in dict.fromkeys(seen) if profile.vision.problem(one) is None]


def tokens(profile: ModelProfile, resolution: Resolution) -> int:
    """Tokens of a full page; 0 if only the model's processor knows."""
    return profile.vision.image_tokens(resolution, *LETTER) or 0


def full_page() -> PageImage:
    """A letter page with bars for lines."""
    width, height = LETTER
    white, bar = b"\xff" * (3 * width), b"\xff" * 300 + b"\x20" * (3 * width - 600) + b"\xff" * 300
    rgb = b"".join(bar if row // LINE % 2 else white for row in range(height))
    return PageImage(width, height, rgb)


def short_mode(profile: ModelProfile) -> PromptMode:
    """A few tokens of an answer, under the loop guard."""
    document = BUILT_IN_MODES["document"]
    words = next(iter((profile.prompts or {"": document.prompt}).values()))
    return PromptMode(
        name="warm-up",
        prompt=words,
        reader=Reader.PLAIN,
        max_tokens=FEW_TOKENS,
        guard=document.guard,
    )


async def _all(core: TriesOut, requests: list[PageRequest]) -> None:
    outcomes = await asyncio.gather(
        *(core.try_out(request) for request in requests), return_exceptions=True
    )
    failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    if not failures:
        return
    # An engine's death says more than what its pages make of it.
    failures.sort(key=lambda failure: not isinstance(failure, CoreDiedError))
    first = failures[0]
    if not isinstance(first, PageError | PageFaultError):
        raise first
    raise EngineSetupError(
        f"The engine came up, but fails on {len(requests)} full pages at once: {first.message}",
        hint=f"{first.hint} Or lower engine.max_num_batched_tokens.",
        kind="warm-up",
    ) from first
