"""Prepares pages in vLLM's front end, each with its own resolution and number of tokens.

vLLM's processor has one resolution for all requests, sends pixels as floating point numbers and
cannot have tiles of different sizes in one batch.  This one replaces it with the same interface.

Versions of vLLM differ in how they call the processor.  0.26 gives it the prompt and assumes that
it inserts the image's tokens, unless `_hf_processor_applies_updates` returns False; 0.32 gives it a
text of image tokens only, and vLLM itself always inserts them.  With False, all versions behave
like the later ones.
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
    """Stands in for the model's Hugging Face processor in vLLM: prompt and pages in, tensors out.

    Args:
        encode: Maps a text to token ids, including the token that begins a text.
        resolution: The resolution of all pages.
        geometry: The model's geometry.
        room: The most tokens of a page for which the engine has reserved memory.
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
            `input_ids`, with one token per image, and the fields of `sent`, each a list with one
            item per image.

        Raises:
            ValueError: The prompt does not have one image token per image, or a page needs more
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
    """The tensors of a page, [height, width, 3] in bytes, that go to the model's process.

    Returns:
        `pixel_values`, in bytes: the global view [base, base, 3], or the whole page unchanged.
        `images_crop`, in bytes: the tiles [tiles, tile, tile, 3]; none if the page is sent whole.
        `images_layout`: 1 if the page is sent whole, otherwise 0; then the fields of its `Layout`.
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
    """A page as [height, width, 3]; ours already are, but vLLM's own test images are not."""
    return pixels(image.convert("RGB")) if isinstance(image, Image.Image) else image


class PageInfo(DeepseekOCRProcessingInfo):
    """Answers vLLM's questions about the model's images."""

    geometry = DEEPSEEK_OCR
    default = Resolution(name="gundam", base=1024, tile=640, max_crops=tiling.MAX_CROPS)

    def resolution(self, kwargs: Mapping[str, object]) -> Resolution:
        """The resolution of a request; by default the engine's, otherwise the model's own.

        Raises:
            ValueError: The model does not support it.
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
        """The most tokens that a page may take: those of the engine's resolution."""
        return tiling.most_tokens(self.resolution({}), self.geometry)

    @functools.cached_property
    def image_token_id(self) -> int:
        """The id of the image token; cached, since looking it up copies the vocabulary."""
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
        """Tokens of an image of this size, in pixels, at the engine's resolution."""
        resolution = self.resolution({})
        return tiling.prompt_tokens(resolution, image_width, image_height, self.geometry)

    def get_image_size_with_most_features(self) -> ImageSize:
        """The largest page of the costliest shape that is sent whole, to measure memory with."""
        resolution = self.resolution({})
        columns, rows = tiling.costliest_shape(resolution, self.geometry)
        side = resolution.tile or resolution.base
        width, height = columns * side, rows * side
        times = largest_whole(lay_out(width, height, resolution, self.geometry))
        return ImageSize(width=width * times, height=height * times)

    def get_mm_max_tokens_per_item(
        self, seq_len: int, mm_counts: Mapping[str, int]
    ) -> Mapping[str, int]:
        """The tokens of that page; the arguments do not matter."""
        return {"image": self.room}


class PageInfo2(PageInfo):
    """Answers vLLM's questions about the images of DeepSeek-OCR-2."""

    geometry = DEEPSEEK_OCR_2
    default = Resolution(name="gundam", base=1024, tile=768, max_crops=6)


class PageMultiModalProcessor(DeepseekOCRMultiModalProcessor):
    """vLLM's own processing, with our tensors and our token counts."""

    info: PageInfo

    def _hf_processor_applies_updates(self, *args: object, **kwargs: object) -> bool:
        return False  # see the module's docstring

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
