"""Pages of every resolution side by side in one engine: the real vLLM, on the CPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from vllm import LLM, SamplingParams

from ocrd.engine.deepseek.ngram import NgramRule, request_args
from ocrd.engine.deepseek.tiling import costliest, processor_kwargs
from ocrd.modes import RESOLUTIONS, Guard, Resolution
from tests.slow.vllm.inside import Inside
from tests.unit.deepseek.plain_rule import banned_tokens

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1800)]

PROMPT = "<image>\nFree OCR."
TEXT_TOKENS = 11  # the byte-level tokenizer's, with the token that begins a text

# The encoders have their full size and a CPU takes seconds a view: small ones where any will do.
LITTLE = Resolution(name="little", base=256, tile=256, max_crops=9)
RESOLUTIONS_HERE = [
    *RESOLUTIONS.values(),
    Resolution(name="nine", base=1024, tile=640, max_crops=9),
    LITTLE,
]


@dataclass(frozen=True)
class Page:
    """A page, how it is to be seen, and how many tokens the published formula gives it."""

    resolution: Resolution
    image: Image.Image
    tokens: int


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3))
    return Image.fromarray(pixels.astype(np.uint8)).resize((width, height))


def half_black(side: int) -> Image.Image:
    """Its pixels, scaled to -1 … 1, add up to zero."""
    image = Image.new("RGB", (side, side), "white")
    image.paste("black", (0, 0, side, side // 2))
    return image


def start(folder: Path, room: Resolution, **options: Any) -> LLM:
    return LLM(
        str(folder),
        load_format="random",  # registered by the worker's extension
        dtype="float32",
        max_model_len=4096,
        max_num_seqs=16,
        enforce_eager=True,
        enable_prefix_caching=False,
        mm_processor_cache_gb=0,
        mm_processor_kwargs=processor_kwargs(room),
        worker_extension_cls=f"{Inside.__module__}.{Inside.__name__}",
        **options,
    )


@pytest.fixture(scope="module")
def engine(checkpoint: Path) -> Iterator[LLM]:
    guard = "ocrd.engine.deepseek.guard:NgramGuard"
    llm = start(checkpoint, costliest(RESOLUTIONS_HERE), logits_processors=[guard])
    yield llm
    llm.llm_engine.engine_core.shutdown()


Answer = tuple[list[int], list[float]]


def read(
    engine: LLM,
    pages: Sequence[Page],
    tokens: int = 4,
    guard: Guard | None = None,
    only: list[int] | None = None,
) -> list[Answer]:
    """All pages at once: tokens and their log-probabilities.  Checks each prompt's length."""
    requests = [
        {
            "prompt": PROMPT,
            "multi_modal_data": {"image": page.image},
            "mm_processor_kwargs": processor_kwargs(page.resolution),
        }
        for page in pages
    ]
    params = SamplingParams(
        temperature=0,
        max_tokens=tokens,
        ignore_eos=True,
        logprobs=0,
        allowed_token_ids=only,
        extra_args=request_args(guard),
    )
    outputs = engine.generate(requests, params, use_tqdm=False)
    found = [len(output.prompt_token_ids) - TEXT_TOKENS for output in outputs]
    assert found == [page.tokens for page in pages]
    return [answer(output.outputs[0]) for output in outputs]


def answer(output: Any) -> Answer:
    tokens = list(output.token_ids)
    likelihoods = zip(tokens, output.logprobs, strict=True)
    return tokens, [step[token].logprob for token, step in likelihoods]


def all_differ(answers: Sequence[Answer]) -> bool:
    """Whether the image counted: no two pages gave the same numbers."""
    rounded = {tuple(round(number, 3) for number in likelihoods) for _, likelihoods in answers}
    return len(rounded) == len(answers)


def cut(resolution: Resolution, max_crops: int, size: tuple[int, int], tokens: int) -> Page:
    seen = replace(resolution, max_crops=max_crops)
    return Page(seen, noise(*size), tokens)


def test_embeddings_are_those_of_vllm_s_own_code(engine: LLM) -> None:
    (differences,) = engine.collective_rpc("differences_from_vllm", args=(2,))
    assert len(differences) == 2
    assert max(differences) < 1e-4


def test_a_page_that_is_sent_whole_is_seen_as_one_that_is_sent_in_views(engine: LLM) -> None:
    assert engine.collective_rpc("both_ways_agree", args=(3,)) == [True]


def test_all_resolutions_at_once_and_upstream_s_deadly_page(engine: LLM) -> None:
    pages = [
        Page(RESOLUTIONS["tiny"], noise(300, 200), 73),
        Page(RESOLUTIONS["small"], noise(200, 300), 111),
        Page(RESOLUTIONS["base"], noise(400, 300), 273),
        Page(RESOLUTIONS["large"], half_black(1280), 421),
        cut(RESOLUTIONS["gundam"], 2, (700, 1300), 273 + 20 * 11),
        cut(LITTLE, 4, (500, 500), 21 + 8 * 9),
        cut(LITTLE, 9, (600, 600), 21 + 12 * 13),
        cut(LITTLE, 9, (100, 900), 21 + 36 * 5),
    ]
    answers = read(engine, pages)
    assert [len(tokens) for tokens, _ in answers] == [4] * len(pages)
    assert all_differ(answers)


def test_an_answer_does_not_depend_on_the_pages_beside_it(engine: LLM) -> None:
    pages = [
        Page(RESOLUTIONS["tiny"], noise(300, 200, seed=5), 73),
        Page(RESOLUTIONS["tiny"], noise(300, 200, seed=6), 73),
        cut(LITTLE, 4, (500, 500), 21 + 8 * 9),
        cut(LITTLE, 2, (300, 200), 21 + 4 * 9),
        Page(Resolution(name="own", base=320), noise(90, 90), 31),
    ]
    alone = [read(engine, [page])[0] for page in pages]
    assert all_differ(alone)
    for (tokens, likelihoods), (alone_tokens, alone_likelihoods) in zip(
        read(engine, pages), alone, strict=True
    ):
        assert tokens == alone_tokens
        assert likelihoods == pytest.approx(alone_likelihoods, abs=1e-4)


def test_the_guard_acts_on_the_requests_that_ask_for_it(engine: LLM) -> None:
    page = Page(RESOLUTIONS["tiny"], noise(64, 64), 73)
    guard = Guard(ngram=3, window=24)
    few = [65, 66, 67, 68]  # with four tokens to choose from any answer repeats itself
    (free, _), (guarded, _) = (
        read(engine, [page], 60, asked, only=few)[0] for asked in (None, guard)
    )
    assert repeats(free, guard) > 10
    assert repeats(guarded, guard) == 0


def repeats(tokens: list[int], guard: Guard) -> int:
    """How many of the tokens the rule would have banned where they stand."""
    rule = NgramRule(guard.ngram, guard.window)
    return sum(token in banned_tokens(tokens[:n], rule) for n, token in enumerate(tokens))


def test_a_page_that_cannot_be_seen_so_is_refused_and_the_engine_lives(engine: LLM) -> None:
    """Which ones: tests/unit/deepseek/test_tiling.py."""
    image = noise(400, 4000)
    request = {
        "prompt": PROMPT,
        "multi_modal_data": {"image": image},
        "mm_processor_kwargs": {"base_size": 1280, "image_size": 1024, "max_crops": 9},
    }
    with pytest.raises(ValueError) as caught:
        engine.generate([request], SamplingParams(max_tokens=1), use_tqdm=False)
    assert "the page needs 2" in f"{caught.value} {caught.value.__cause__}"
    read(engine, [Page(RESOLUTIONS["tiny"], image, 73)], tokens=1)


def test_deepseek_ocr_2_has_its_own_count(checkpoint_2: Path) -> None:
    room = Resolution(name="gundam", base=1024, tile=768, max_crops=6)
    engine = start(checkpoint_2, room)
    cut_in_two = replace(room, base=768, max_crops=2)
    ((tokens, _),) = read(engine, [Page(cut_in_two, half_black(800), 145 + 288)])
    assert len(tokens) == 4
    engine.llm_engine.engine_core.shutdown()
