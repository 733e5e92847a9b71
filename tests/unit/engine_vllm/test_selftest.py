"""What an engine must show before it gets its first page."""

import re
from collections.abc import Mapping
from typing import Any

import pytest

from ocrd.engine.base import PageRequest
from ocrd.engine.models import DEEPSEEK_OCR
from ocrd.engine.resident.client import VllmClient
from ocrd.engine.resident.trial import check_tokenizer, self_test
from ocrd.errors import EngineSetupError, OcrdError, PageError
from ocrd.page import Finish, PageResult

SIZE = DEEPSEEK_OCR.vocab_size
OFFICIAL = {
    "<image>": 128815,
    "<|ref|>": 128816,
    "<|/ref|>": 128817,
    "<|det|>": 128818,
    "<|/det|>": 128819,
    "<|grounding|>": 128820,
    "<td>": 128821,
    "</td>": 128822,
}
CONFIG = {"language_config": {"vocab_size": SIZE}}
FEW = PageResult(text="Up", finish=Finish.LENGTH, prompt_tokens=90, output_tokens=4)


class ByteTokenizer:
    """A token for each byte and one for each special; `encoding` is what it writes text in."""

    def __init__(self, specials: Mapping[str, int], encoding: str = "utf-8") -> None:
        self._ids = specials
        self._words = {number: token for token, number in specials.items()}
        self._encoding = encoding

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        known = "|".join(map(re.escape, self._ids)) or "(?!)"
        pieces = re.split(f"({known})", text)
        return [
            number
            for piece in pieces
            for number in ([self._ids[piece]] if piece in self._ids else self._bytes(piece))
        ]

    def decode(self, tokens: list[int], **how: bool) -> str:
        parts = [
            self._words[t].encode(self._encoding) if t in self._words else bytes([t])
            for t in tokens
        ]
        return b"".join(parts).decode(self._encoding)

    def _bytes(self, text: str) -> bytes:
        return text.encode(self._encoding, "ignore")


class NewEngine(VllmClient):
    """Says what it was told to say."""

    def __init__(self, says: PageResult | OcrdError = FEW, tokenizer: Any = None) -> None:
        self.tokenizer = tokenizer or ByteTokenizer(OFFICIAL)
        self.asked: list[PageRequest] = []
        self._says = says

    async def try_out(self, request: PageRequest) -> PageResult:
        self.asked.append(request)
        if isinstance(self._says, OcrdError):
            raise self._says
        return self._says


async def refused(engine: NewEngine) -> EngineSetupError:
    with pytest.raises(EngineSetupError) as error:
        await self_test(engine, DEEPSEEK_OCR, CONFIG)
    assert error.value.kind == "self-test"
    assert error.value.hint
    return error.value


async def test_a_sound_engine_passes_and_is_asked_for_one_small_page() -> None:
    engine = NewEngine()
    await self_test(engine, DEEPSEEK_OCR, CONFIG)
    (asked,) = engine.asked
    assert (asked.image.width, asked.image.height) == (256, 192)
    assert len(asked.image.rgb) == 256 * 192 * 3
    assert asked.mode.max_tokens <= 10


BROKEN = {
    "loses letters": (ByteTokenizer(OFFICIAL, "ascii"), ["Grüße", "Gre"]),
    "other ids": (
        ByteTokenizer(OFFICIAL | {"<image>": 128000}),
        ["[128000] instead of [128815]"],
    ),
    # The image would be lost, or the grounding tags come out as words.
    **{
        f"{token} in pieces": (
            ByteTokenizer({name: n for name, n in OFFICIAL.items() if name != token}),
            [token],
        )
        for token in OFFICIAL
    },
}


@pytest.mark.parametrize(("tokenizer", "named"), BROKEN.values(), ids=BROKEN)
async def test_a_tokenizer_that_does_not_fit_is_found_out(
    tokenizer: ByteTokenizer, named: list[str]
) -> None:
    engine = NewEngine(tokenizer=tokenizer)
    error = await refused(engine)
    assert all(word in error.message for word in named)
    assert engine.asked == []


@pytest.mark.parametrize(
    ("config", "official"),
    [
        (CONFIG, True),
        ({"text_config": {"vocab_size": SIZE}}, True),
        ({"vocab_size": SIZE}, True),
        ({"text_config": {"vocab_size": 512}}, False),
        ({}, False),
    ],
)
def test_a_model_of_another_vocabulary_has_ids_of_its_own(
    config: dict[str, Any], official: bool
) -> None:
    moved = ByteTokenizer(OFFICIAL | {"<image>": 300})
    if official:
        with pytest.raises(EngineSetupError, match="300"):
            check_tokenizer(moved, DEEPSEEK_OCR, config)
    else:
        check_tokenizer(moved, DEEPSEEK_OCR, config)


@pytest.mark.parametrize(
    ("says", "told", "hint"),
    [
        (PageError("shapes differ", hint="Update vLLM."), "shapes differ", "Update vLLM."),
        (PageResult(text="", prompt_tokens=90), "says nothing", "Download the model again"),
    ],
)
async def test_an_engine_that_fails_or_says_nothing_does_not_get_a_large_image(
    says: PageResult | OcrdError, told: str, hint: str
) -> None:
    error = await refused(NewEngine(says))
    assert told in error.message
    assert error.hint.startswith(hint)
