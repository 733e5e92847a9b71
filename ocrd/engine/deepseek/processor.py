"""A request's page, inside vLLM's front end: its own resolution, its own number of tokens.

vLLM's processor has one resolution for all, sends pixels as floating point numbers and cannot
hold tiles of different sizes in one batch.  This one replaces it behind the same interface.

What differs between the versions of vLLM is how the processor is called.  In 0.26 it gets the
prompt and is thought to have put the image's tokens into it, unless `_hf_processor_applies_updates`
denies it; in 0.32 it gets a text of nothing but image tokens, and vLLM itself always places them.
Denying it makes all versions take the later way.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import BatchFeature
from vllm.model_executor.models.deepseek_ocr import (
    DeepseekOCRMultiModalProcessor,
    DeepseekOCRProcessingInfo,
)
from vllm.multimodal.inputs import MultiModalFieldConfig
from vllm.multimodal.parse import ImageSize, MultiModalDataItems
from vllm.multimodal.processing import PromptReplacement, PromptUpdate

from ocrd.engine.deepseek import tiling
from ocrd.engine.deepseek.tiling import (
    DEEPSEEK_OCR,
    DEEPSEEK_OCR_2,
    Geometry,
    goes_whole,
    largest_whole,
    lay_out,
)
from ocrd.engine.deepseek.views import Pixels, pixels, prepare
from ocrd.modes import Resolution

IMAGE_TOKEN = "<image>"  # noqa: S105 - a token of a vocabulary, not a secret
FIELDS = ("pixel_values", "images_crop", "images_layout")


class PageProcessor:
    """What vLLM takes for the model's Hugging Face processor: prompt and pages in, tensors out.

    Args:
        encode: Text to token ids, the token that begins a text included.
        resolution: Of all pages of this call.
        geometry: Of the model.
        room: The most tokens of a page that the engine has made room for.
    """

    image_token = IMAGE_TOKEN

    def __init__(
        self,
        encode: Callable[[str], list[int]],
        resolution: Resolution,
        geometry: Geometry,
        room: int,
    ) -> None:
        self._encode = encode
        self._resolution = resolution
        self._geometry = geometry
        self._room = room

    def __call__(
        self, *, prompt: str, images: Sequence[Image.Image | Pixels], **_: Any
    ) -> BatchFeature:
        """Prepare the pages of one request.

        Returns:
            `input_ids` with one token an image, and, an item for each image, what `sent` says.

        Raises:
            ValueError: More or fewer images than the prompt has places, or a page that needs more
                tokens than the engine has room for.
        """
        if prompt.count(IMAGE_TOKEN) != len(images):
            raise ValueError(f"the prompt has not as many {IMAGE_TOKEN} as there are images")
        pages = [in_bytes(image) for image in images]
        for height, width, _ in (page.shape for page in pages):
            tokens = tiling.prompt_tokens(self._resolution, width, height, self._geometry)
            if tokens > self._room:
                raise ValueError(
                    f"the page needs {tokens} tokens at this resolution, and the engine was "
                    f"started with room for {self._room}: name the resolution in the engine's "
                    f"`mm_processor_kwargs`"
                )
        items = [sent(page, self._resolution, self._geometry) for page in pages]
        fields = {name: [item[name] for item in items] for name in FIELDS}
        return BatchFeature({"input_ids": [self._encode(prompt)], **fields})


def sent(page: Pixels, resolution: Resolution, geometry: Geometry) -> dict[str, torch.Tensor]:
    """What of a page, [height, width, 3] in bytes, goes to the model's process.

    Returns:
        `pixel_values`, in bytes: the global view [base, base, 3], or the page as it is.
        `images_crop`, in bytes: the tiles [tiles, tile, tile, 3]; none if the page goes whole.
        `images_layout`: 1 if the page goes whole, else 0; then the numbers of its `Layout`.
    """
    height, width, _ = page.shape
    layout = lay_out(width, height, resolution, geometry)
    whole = goes_whole(width, height, layout)
    global_view, tiles = (
        (page, np.empty((0, layout.tile, layout.tile, 3), np.uint8))
        if whole
        else prepare(Image.fromarray(page), layout)
    )
    return {
        "pixel_values": torch.from_numpy(global_view),
        "images_crop": torch.from_numpy(tiles),
        "images_layout": torch.tensor([whole, *astuple(layout)]),
    }


def in_bytes(image: Image.Image | Pixels) -> Pixels:
    """A page as [height, width, 3]; ours come so already, and vLLM's own test images do not."""
    return pixels(image.convert("RGB")) if isinstance(image, Image.Image) else image


class PageInfo(DeepseekOCRProcessingInfo):
    """What vLLM asks about the model's images."""

    geometry = DEEPSEEK_OCR
    default = Resolution(name="gundam", base=1024, tile=640, max_crops=tiling.MAX_CROPS)

    def resolution(self, kwargs: Mapping[str, object]) -> Resolution:
        """Of a request; where it says nothing, of the engine; else the model's own.

        Raises:
            ValueError: The model cannot see pages so.
        """
        given = self.ctx.get_merged_mm_kwargs(kwargs)
        if not given.keys() & {"base_size", "image_size", "max_crops"}:
            return self.default
        resolution = tiling.from_processor_kwargs(given)
        if (problem := tiling.problem(resolution, self.geometry)) is not None:
            raise ValueError(problem)
        return resolution

    @property
    def room(self) -> int:
        """The most tokens that a page may take."""
        return tiling.most_tokens(self.resolution({}), self.geometry)

    @functools.cached_property
    def image_token_id(self) -> int:
        """Of the token that stands for the image; looking it up copies the vocabulary."""
        return int(self.get_tokenizer().get_vocab()[IMAGE_TOKEN])

    def get_hf_processor(self, **kwargs: object) -> PageProcessor:
        """A processor for one request's resolution."""
        resolution = self.resolution(kwargs)
        return PageProcessor(self._encode, resolution, self.geometry, self.room)

    def _encode(self, text: str) -> list[int]:
        tokenizer = self.get_tokenizer()
        return [tokenizer.bos_token_id, *tokenizer.encode(text, add_special_tokens=False)]

    def get_num_image_tokens(
        self, *, image_width: int, image_height: int, cropping: bool = True
    ) -> int:
        """At the engine's resolution."""
        resolution = self.resolution({})
        return tiling.prompt_tokens(resolution, image_width, image_height, self.geometry)

    def get_image_size_with_most_features(self) -> ImageSize:
        """A page of the costliest shape, as large as it goes whole: to measure memory with."""
        resolution = self.resolution({})
        columns, rows = tiling.costliest_shape(resolution, self.geometry)
        side = resolution.tile or resolution.base
        width, height = columns * side, rows * side
        times = largest_whole(lay_out(width, height, resolution, self.geometry))
        return ImageSize(width=width * times, height=height * times)

    def get_mm_max_tokens_per_item(
        self, seq_len: int, mm_counts: Mapping[str, int]
    ) -> Mapping[str, int]:
        """The tokens of that page."""
        return {"image": self.room}


class PageInfo2(PageInfo):
    """The same for DeepSeek-OCR-2."""

    geometry = DEEPSEEK_OCR_2
    default = Resolution(name="gundam", base=1024, tile=768, max_crops=6)


class PageMultiModalProcessor(DeepseekOCRMultiModalProcessor):
    """vLLM's own processing, with our tensors and our count of tokens."""

    info: PageInfo

    def _hf_processor_applies_updates(self, *args: object, **kwargs: object) -> bool:
        return False  # see the head of this module

    def _get_mm_fields_config(
        self, hf_inputs: BatchFeature, hf_processor_mm_kwargs: Mapping[str, object]
    ) -> Mapping[str, MultiModalFieldConfig]:
        return {
            "pixel_values": MultiModalFieldConfig.batched("image"),
            "images_crop": MultiModalFieldConfig.batched("image"),
            "images_layout": MultiModalFieldConfig.batched("image", keep_on_cpu=True),
        }

    def _get_prompt_updates(
        self,
        mm_items: MultiModalDataItems,
        hf_processor_mm_kwargs: Mapping[str, object],
        out_mm_kwargs: object,
    ) -> Sequence[PromptUpdate]:
        token = self.info.image_token_id
        resolution = self.info.resolution(hf_processor_mm_kwargs)
        images = mm_items["image"]

        def replacement(number: int) -> list[int]:
            size = images.get_image_size(number)
            return [token] * tiling.prompt_tokens(
                resolution, size.width, size.height, self.info.geometry
            )

        return [PromptReplacement(modality="image", target=[token], replacement=replacement)]
