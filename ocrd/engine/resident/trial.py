"""Tests a started engine before its first page.

A small page shows that tokenizer, weights and shapes belong together.  Then full pages are sent,
more and more concurrently: vLLM's own start-up knows nothing of our encoders, and compiles kernels
for only some batch sizes.  The rest would be compiled while the first pages wait, or fail then for
lack of memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from ocrd.engine.base import PageRequest
from ocrd.engine.models import ModelProfile
from ocrd.engine.resident.client import EngineDiedError, VllmClient
from ocrd.engine.resident.settings import LETTER, VllmSettings, costs
from ocrd.errors import EngineSetupError, PageError, PageFaultError
from ocrd.modes import BUILT_IN_MODES, RESOLUTIONS, AnswerFormat, PromptMode, Resolution
from ocrd.page import PageImage

SAMPLE = "Grüße, 世界: <|ref|>title<|/ref|> 3 × 4 = 12"  # noqa: RUF001 - the times sign is meant
WRONG_TOKENIZER = (
    "The tokenizer does not belong to this model: download the whole model again into an "
    "empty folder."
)
FEW_TOKENS = 8
SMALL = (256, 192)  # pixels
LINE = 16  # pixels from one bar to the next


async def self_test(engine: VllmClient, profile: ModelProfile, config: dict[str, Any]) -> None:
    """Test the tokenizer, its special tokens and one small image.

    With random weights (`load_format` dummy) the image shows only that shapes fit.

    Raises:
        EngineSetupError: One of these tests failed; the hint has the remedy.
        EngineDiedError: The engine died of the image.
    """
    check_tokenizer(engine.tokenizer, profile, config)
    try:
        answer = await engine.try_out(trial_page("self-test", SMALL, RESOLUTIONS["tiny"], profile))
    except (PageError, PageFaultError) as error:
        raise _not_up(f"fails on a small image: {error.message}", error.hint) from error
    if not answer.output_tokens:
        hint = "Download the model again; its weights may be incomplete."
        raise _not_up("says nothing to a small image.", hint)


def check_tokenizer(tokenizer: Any, profile: ModelProfile, config: dict[str, Any]) -> None:
    """Check that a text survives encoding and decoding, and check the model's special tokens.

    Each must be a single token; if the vocabulary has the official size, with the official id.

    Raises:
        EngineSetupError: A check failed.
    """
    tokens = tokenizer.encode(SAMPLE, add_special_tokens=False)
    back = tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    wrong = "" if back == SAMPLE else f"{SAMPLE!r} into {back!r}"
    language = config.get("language_config") or config.get("text_config") or config
    known = language.get("vocab_size") == profile.vocab_size
    for token, official in profile.tokens.items():
        ids = tokenizer.encode(token, add_special_tokens=False)
        wanted = f" instead of [{official}]" if known and official is not None else ""
        if len(ids) != 1 or (wanted and ids != [official]):
            wrong = wrong or f"{token} into {ids}{wanted}"
    if wrong:
        raise EngineSetupError(
            f"The tokenizer turns {wrong}.", hint=WRONG_TOKENIZER, kind="self-test"
        )


async def warm_up(engine: VllmClient, profile: ModelProfile, settings: VllmSettings) -> None:
    """Read a page at each resolution, then more and more concurrently at the costliest.

    Each page has the usual time limit, so that this ends whatever the engine does.

    Raises:
        EngineSetupError: A page failed; the hint has the remedy.
        EngineDiedError: The engine died, perhaps because memory was short.
    """
    for number, wave in enumerate(waves(profile, settings)):
        pages = [
            trial_page(f"warm-up-{number}-{place}", LETTER, seen, profile)
            for place, seen in enumerate(wave)
        ]
        outcomes = await asyncio.gather(*map(engine.try_out, pages), return_exceptions=True)
        failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        # The engine's death says more than the page errors that it causes.
        failures.sort(key=lambda failure: not isinstance(failure, EngineDiedError))
        for first in failures[:1]:
            if not isinstance(first, PageError | PageFaultError):
                raise first
            raise EngineSetupError(
                f"The engine came up, but fails on {len(wave)} full pages at once: {first.message}",
                hint=f"{first.hint} Or lower engine.max_num_batched_tokens.",
                kind="warm-up",
            ) from first


def waves(profile: ModelProfile, settings: VllmSettings) -> Iterator[list[Resolution]]:
    """Wave after wave, the resolutions of the pages that are sent concurrently.

    The last wave fills one step of the model, or has as many pages as may generate concurrently.
    """
    tokens = costs(settings, profile)
    if not tokens:
        return
    yield from ([one] for one in tokens)
    costliest = max(tokens, key=lambda one: tokens[one] or 0)
    enough = -(-settings.max_num_batched_tokens // (tokens[costliest] or 1))
    count = 1
    while count < min(enough, settings.at_once):
        count = min(2 * count, settings.at_once)
        yield [costliest] * count


def bars(width: int, height: int) -> PageImage:
    """A white page with dark bars in place of lines; the size is in pixels."""
    white, edge = b"\xff" * (3 * width), b"\xff" * (3 * (width // 8))
    bar = edge + b"\x20" * (len(white) - 2 * len(edge)) + edge
    rgb = b"".join(bar if row // LINE % 2 else white for row in range(height))
    return PageImage(width, height, rgb)


def trial_page(
    name: str, size: tuple[int, int], resolution: Resolution, profile: ModelProfile
) -> PageRequest:
    """A request for a page of bars, answered in a few tokens with the default loop guard."""
    document = BUILT_IN_MODES["document"]
    words = next(iter((profile.prompts or {"": document.prompt}).values()))
    mode = PromptMode(name="trial", prompt=words, answers=AnswerFormat.PLAIN, max_tokens=FEW_TOKENS)
    return PageRequest(id=name, image=bars(*size), mode=mode, resolution=resolution)


def _not_up(how: str, hint: str) -> EngineSetupError:
    return EngineSetupError(f"The engine came up, but {how}", hint=hint, kind="self-test")
