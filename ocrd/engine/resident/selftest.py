"""Does the engine that came up do what it is for?  A second's work before the first page."""

from __future__ import annotations

from typing import Any, Protocol

from ocrd.engine.base import PageRequest
from ocrd.engine.profiles import ModelProfile
from ocrd.engine.resident.core import Answer
from ocrd.errors import EngineSetupError, PageError, PageFaultError
from ocrd.modes import RESOLUTIONS, PromptMode, Reader
from ocrd.page import PageImage

SAMPLE = "Grüße, 世界: <|ref|>title<|/ref|> 3 × 4 = 12"  # noqa: RUF001 - a sign of its own
FEW_TOKENS = 4
WRONG_TOKENIZER = (
    "The tokenizer does not belong to this model: download the whole model again into an "
    "empty folder."
)


class Newcomer(Protocol):
    """An engine that has just come up."""

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer."""

    async def try_out(self, request: PageRequest) -> Answer:
        """Read a page, as the model itself would."""


async def self_test(core: Newcomer, profile: ModelProfile, config: dict[str, Any]) -> None:
    """Try the tokenizer, its special tokens and one small image.

    With random weights (`load_format` dummy) the image shows only that shapes fit.

    Raises:
        EngineSetupError: One of them fails; the remedy is named.
        CoreDiedError: The engine died of the image.
    """
    check_round_trip(core.tokenizer)
    check_tokens(core.tokenizer, profile, vocabulary(config))
    try:
        answer = await core.try_out(small_page(profile))
    except (PageError, PageFaultError) as error:
        raise EngineSetupError(
            f"The engine came up, but fails on a small image: {error.message}",
            hint=error.hint,
            kind="self-test",
        ) from error
    if not answer.output_tokens:
        raise EngineSetupError(
            "The engine came up, but says nothing to a small image.",
            hint="Download the model again; its weights may be incomplete.",
            kind="self-test",
        )


def check_round_trip(tokenizer: Any) -> None:
    """See that text survives being turned into tokens and back.

    Raises:
        EngineSetupError: It does not.
    """
    tokens = tokenizer.encode(SAMPLE, add_special_tokens=False)
    back = tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    if back != SAMPLE:
        raise EngineSetupError(
            f"The tokenizer turns {SAMPLE!r} into {back!r}.",
            hint=WRONG_TOKENIZER,
            kind="self-test",
        )


def check_tokens(tokenizer: Any, profile: ModelProfile, size: int | None) -> None:
    """See that the model's special tokens are one token each, with the ids they were trained with.

    Raises:
        EngineSetupError: One is not.
    """
    for token, official in profile.tokens.items():
        ids = tokenizer.encode(token, add_special_tokens=False)
        known = official is None or size != profile.vocab_size
        if len(ids) != 1 or not (known or ids == [official]):
            raise EngineSetupError(
                f"The tokenizer turns {token} into {ids}"
                + ("." if known else f" instead of [{official}]."),
                hint=WRONG_TOKENIZER,
                kind="self-test",
            )


def vocabulary(config: dict[str, Any]) -> int | None:
    """Size of the vocabulary, by a model's `config.json`."""
    language = config.get("language_config") or config.get("text_config") or config
    size = language.get("vocab_size")
    return size if isinstance(size, int) else None


def small_page(profile: ModelProfile) -> PageRequest:
    """A dark bar on white, at the model's cheapest resolution."""
    width, height = 256, 192
    white, bar = b"\xff" * (3 * width), b"\xff" * 120 + b"\x20" * (3 * width - 240) + b"\xff" * 120
    rgb = b"".join(bar if 80 <= row < 112 else white for row in range(height))
    words = next(iter((profile.prompts or {"": "Free OCR."}).values()))
    mode = PromptMode(name="self-test", prompt=words, reader=Reader.PLAIN, max_tokens=FEW_TOKENS)
    return PageRequest(
        id="self-test",
        image=PageImage(width, height, rgb),
        mode=mode,
        resolution=RESOLUTIONS["tiny"],
    )
