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


async def test_a_tokenizer_that_loses_letters_is_found_out() -> None:
    engine = NewEngine(tokenizer=ByteTokenizer(OFFICIAL, "ascii"))
    error = await refused(engine)
    assert "Grüße" in error.message
    assert "Gre" in error.message
    assert engine.asked == []


@pytest.mark.parametrize("token", OFFICIAL)
async def test_a_special_token_in_pieces_is_found_out(token: str) -> None:
    """The image would be lost, or the grounding tags come out as words."""
    others = {name: number for name, number in OFFICIAL.items() if name != token}
    error = await refused(NewEngine(tokenizer=ByteTokenizer(others)))
    assert token in error.message


async def test_ids_that_are_not_those_the_weights_know_are_found_out() -> None:
    moved = OFFICIAL | {"<image>": 128000}
    error = await refused(NewEngine(tokenizer=ByteTokenizer(moved)))
    assert "[128000] instead of [128815]" in error.message


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


async def test_an_engine_that_fails_on_a_small_image_does_not_get_a_large_one() -> None:
    error = await refused(NewEngine(PageError("shapes differ", hint="Update vLLM.")))
    assert "shapes differ" in error.message
    assert error.hint == "Update vLLM."


async def test_an_engine_that_says_nothing_is_not_trusted() -> None:
    silent = PageResult(text="", finish=Finish.STOP, prompt_tokens=90, output_tokens=0)
    assert "says nothing" in (await refused(NewEngine(silent))).message
