"""A page on its way through vLLM's front end: tokens and tensors, without an engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from vllm.config import ModelConfig
from vllm.multimodal import MULTIMODAL_REGISTRY

from ocrd.engine.deepseek.plugin import register
from ocrd.engine.deepseek.tiling import processor_kwargs
from ocrd.modes import RESOLUTIONS, Resolution

pytestmark = pytest.mark.vllm

IMAGE_TOKEN = 259
PROMPTS: list[Any] = ["<image>\nFree OCR.", [256, IMAGE_TOKEN, 10, 70]]  # text or tokens
GUNDAM = RESOLUTIONS["gundam"]
NINE = Resolution(name="nine", base=1024, tile=640, max_crops=9)


def processor(folder: Path, room: Resolution | None, **options: Any) -> Any:
    register()
    options |= {"mm_processor_kwargs": processor_kwargs(room)} if room else {}
    config = ModelConfig(
        str(folder), dtype="bfloat16", max_model_len=8192, mm_processor_cache_gb=0, **options
    )
    return MULTIMODAL_REGISTRY.create_processor(config)


def prepare(
    process: Any, prompt: Any, size: tuple[int, int], resolution: Resolution | None
) -> tuple[list[int], int, dict[str, torch.Tensor]]:
    """The prompt's tokens, the length of the image's place, and its tensors."""
    items = process.info.parse_mm_data({"image": Image.new("RGB", size, "white")})
    told = processor_kwargs(resolution) if resolution else {}
    made = process(prompt, items, hf_processor_mm_kwargs=told)
    (place,) = made["mm_placeholders"]["image"]
    (item,) = made["mm_kwargs"]["image"]
    tensors = {name: element.data for name, element in item.items()}
    return list(made["prompt_token_ids"]), place.length, tensors


@pytest.fixture(scope="module")
def nine(checkpoint: Path) -> Any:
    """With room for the costliest page that there is."""
    return processor(checkpoint, NINE)


@pytest.mark.parametrize(
    ("resolution", "size", "tokens", "seen", "tiles"),
    [
        (RESOLUTIONS["tiny"], (300, 4000), 73, (512, 512), (0, 512)),
        (RESOLUTIONS["small"], (300, 200), 111, (200, 300), (0, 640)),
        (RESOLUTIONS["base"], (1224, 1584), 273, (1584, 1224), (0, 1024)),
        (RESOLUTIONS["base"], (4000, 3000), 273, (1024, 1024), (0, 1024)),
        (RESOLUTIONS["large"], (1224, 1584), 421, (1584, 1224), (0, 1280)),
        (GUNDAM, (640, 640), 273, (640, 640), (0, 640)),
        (GUNDAM, (1224, 1584), 903, (1584, 1224), (0, 640)),
        (GUNDAM, (3300, 4600), 903, (1024, 1024), (6, 640)),
        (NINE, (100, 4000), 1263, (1024, 1024), (9, 640)),
    ],
)
def test_a_page_has_its_tokens_and_goes_as_it_is_or_in_views(
    nine: Any,
    resolution: Resolution,
    size: tuple[int, int],
    tokens: int,
    seen: tuple[int, int],
    tiles: tuple[int, int],
) -> None:
    count, side = tiles
    for prompt in PROMPTS:
        ids, length, tensors = prepare(nine, prompt, size, resolution)
        assert ids[:2] == [256, IMAGE_TOKEN]
        assert (ids.count(IMAGE_TOKEN), length) == (tokens, tokens)
        assert tensors["pixel_values"].shape == (*seen, 3)
        assert tensors["images_crop"].shape == (count, side, side, 3)
        assert tensors["pixel_values"].dtype == tensors["images_crop"].dtype == torch.uint8


def test_a_letter_page_is_six_megabytes_where_it_was_forty(nine: Any) -> None:
    _, _, tensors = prepare(nine, PROMPTS[0], (1224, 1584), GUNDAM)
    assert tensors["images_layout"].tolist() == [1, 1024, 791, 1024, 640, 2, 3]
    sent = sum(tensor.nbytes for tensor in tensors.values())
    assert sent == 3 * 1224 * 1584 + 7 * 8  # a byte a colour; seven numbers for the views


@pytest.mark.parametrize(("room", "tokens"), [(None, 1263), (GUNDAM, 933), (NINE, 1263)])
def test_memory_is_measured_with_the_costliest_page(
    checkpoint: Path, room: Resolution | None, tokens: int
) -> None:
    process = processor(checkpoint, room)
    assert process.info.get_mm_max_tokens_per_item(8192, {"image": 1}) == {"image": tokens}
    size = process.info.get_image_size_with_most_features()
    worst = prepare(process, PROMPTS[0], (size.width, size.height), room or NINE)
    assert worst[1] == tokens
    assert worst[2]["pixel_values"].shape == (size.height, size.width, 3)  # it goes whole


def test_deepseek_ocr_2_counts_in_its_own_way(checkpoint_2: Path) -> None:
    room = Resolution(name="gundam", base=1024, tile=768, max_crops=6)
    process = processor(checkpoint_2, room)
    assert process.info.get_mm_max_tokens_per_item(8192, {"image": 1}) == {"image": 1121}
    for size, tokens in [((700, 700), 257), ((1224, 1584), 1121), ((800, 700), 833)]:
        assert prepare(process, PROMPTS[0], size, room)[1] == tokens
    with pytest.raises(ValueError, match="768 or 1024"):
        prepare(process, PROMPTS[0], (700, 700), GUNDAM)


def test_a_page_that_the_engine_has_no_room_for_is_refused(checkpoint: Path) -> None:
    with pytest.raises(ValueError) as caught:
        prepare(processor(checkpoint, GUNDAM), PROMPTS[0], (100, 4000), NINE)
    assert "needs 1263 tokens" in f"{caught.value} {caught.value.__cause__}"
    assert "room for 933" in f"{caught.value} {caught.value.__cause__}"
