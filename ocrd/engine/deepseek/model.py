"""DeepSeek-OCR and DeepSeek-OCR-2 in vLLM, with a resolution for each request.

vLLM's models encode image by image, with a wait for the device each, and take an image for untiled
when its pixels happen to add up to zero.  These take pages of any resolution in one batch and run
all views of one size together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from vllm.config import VllmConfig
from vllm.model_executor.models.deepseek_ocr import (
    DeepseekOCRDummyInputsBuilder,
    DeepseekOCRForCausalLM,
)
from vllm.model_executor.models.deepseek_ocr2 import DeepseekOCR2ForCausalLM
from vllm.multimodal import MULTIMODAL_REGISTRY

from ocrd.engine.deepseek.encoder import SamEncoder, chosen, normalise
from ocrd.engine.deepseek.processor import PageInfo, PageInfo2, PageMultiModalProcessor

# Patches of all views that go through the encoders at once: enough to fill the largest device,
# few enough that what they need of its memory stays below 1 GiB.
PATCHES_AT_ONCE = 32768


def batches(views: torch.Tensor) -> Iterator[torch.Tensor]:
    """Views of one size, [views, side, side, 3], in parts that fit the memory."""
    patches = (views.shape[1] // 16) ** 2
    return iter(views.split(max(1, PATCHES_AT_ONCE // patches)))


def encode_by_size(
    views: Sequence[torch.Tensor], encode: Callable[[torch.Tensor], torch.Tensor]
) -> list[torch.Tensor]:
    """Run `encode` over stacks of views, all of one size together.

    Args:
        views: Stacks [n, side, side, 3] of any side; n may be 0.
        encode: One stack to its features [n, tokens, width].

    Returns:
        The features of each stack, in order.
    """
    features: list[torch.Tensor] = [torch.empty(0)] * len(views)
    sizes: dict[int, list[int]] = {}
    for number, stack in enumerate(views):
        if len(stack):
            sizes.setdefault(stack.shape[1], []).append(number)
    for numbers in sizes.values():
        joined = torch.cat([views[number] for number in numbers])
        encoded = torch.cat([encode(part) for part in batches(joined)])
        for number, part in zip(
            numbers, encoded.split([len(views[number]) for number in numbers]), strict=True
        ):
            features[number] = part
    return features


class PerRequestViews:
    """What both models do alike: pages in, one tensor of embeddings for each page out."""

    sam_model: Any
    view_seperator: torch.Tensor  # the weights' own spelling
    sam: Callable[[torch.Tensor], torch.Tensor] | None = None

    def _encode(self, views: torch.Tensor) -> torch.Tensor:
        """Views [n, side, side, 3] in bytes to embeddings [n, tokens, width]."""
        raise NotImplementedError

    def _lay_out(self, features: torch.Tensor, columns: int, rows: int) -> torch.Tensor:
        """Embeddings of a grid of views, [columns * rows, tokens, width], to [all, width]."""
        raise NotImplementedError

    def _sam(self, views: torch.Tensor) -> torch.Tensor:
        """The first encoder; set up with the first page, when the weights are there."""
        if self.sam is None:
            self.sam = SamEncoder(self.sam_model) if chosen() else self._own_sam
        return self.sam(views)

    def _own_sam(self, views: torch.Tensor) -> torch.Tensor:
        dtype = next(self.sam_model.parameters()).dtype
        return self.sam_model(normalise(views, dtype).permute(0, 3, 1, 2).contiguous())

    def embed_multimodal(self, **kwargs: Any) -> list[torch.Tensor] | None:
        """Embeddings of each page: tiles, overview, and the token that ends them."""
        overviews = kwargs.get("pixel_values")
        if overviews is None:
            return None
        tiles = list(kwargs["images_crop"])
        grids = [tuple(int(side) for side in grid) for grid in kwargs["images_spatial_crop"]]
        stacks = [overview[None] for overview in overviews]
        features = encode_by_size([*stacks, *tiles], self._encode)
        pages = []
        for number, (columns, rows) in enumerate(grids):
            parts = [self._lay_out(features[number], 1, 1), self.view_seperator[None]]
            if len(tiles[number]):
                cut = features[len(stacks) + number]
                parts.insert(0, self._lay_out(cut, columns, rows))
            pages.append(torch.cat(parts))
        return pages


@MULTIMODAL_REGISTRY.register_processor(
    PageMultiModalProcessor, info=PageInfo, dummy_inputs=DeepseekOCRDummyInputsBuilder
)
class DeepseekOcr(PerRequestViews, DeepseekOCRForCausalLM):
    """DeepSeek-OCR: SAM and CLIP side by side, and a newline after each row of tokens."""

    supports_encoder_cudagraph = False  # vLLM's graphs know one resolution only

    def _encode(self, views: torch.Tensor) -> torch.Tensor:
        seen = self._sam(views)
        # CLIP takes SAM's features for its patches and asks the views only how many they are.
        known = self.vision_model(views, seen)
        return self.projector(torch.cat((known[:, 1:], seen.flatten(2).transpose(1, 2)), dim=-1))

    def _lay_out(self, features: torch.Tensor, columns: int, rows: int) -> torch.Tensor:
        side = round(features.shape[1] ** 0.5)
        width = features.shape[2]
        grid = features.view(rows, columns, side, side, width).transpose(1, 2)
        lines = grid.reshape(rows * side, columns * side, width)
        ends = self.image_newline.expand(rows * side, 1, width)
        return torch.cat([lines, ends], dim=1).view(-1, width)


@MULTIMODAL_REGISTRY.register_processor(
    PageMultiModalProcessor, info=PageInfo2, dummy_inputs=DeepseekOCRDummyInputsBuilder
)
class DeepseekOcr2(PerRequestViews, DeepseekOCR2ForCausalLM):
    """DeepSeek-OCR-2: SAM, then Qwen2 that reads its features in an order of its own."""

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        # vLLM up to 0.31 builds the mask row by row for every view; it depends on its size alone.
        inner = self.qwen2_model.model.model
        inner._create_custom_4d_mask = mask_of_halves

    def _encode(self, views: torch.Tensor) -> torch.Tensor:
        return self.projector(self.qwen2_model(self._sam(views)))

    def _lay_out(self, features: torch.Tensor, columns: int, rows: int) -> torch.Tensor:
        return features.reshape(-1, features.shape[2])


def mask_of_halves(
    sequence_length: int,
    dtype: torch.dtype,
    device: torch.device,
    batch_size: int,
    token_type_ids: torch.Tensor | None = None,
) -> torch.Tensor:
    """Who may look at whom: the first half at all of itself, the second also at what precedes.

    Returns:
        [batch, 1, length, length], 0 or the least number of the dtype.
    """
    half = sequence_length // 2
    place = torch.arange(sequence_length, device=device)
    may = (place < half) | ((place[:, None] >= half) & (place <= place[:, None]))
    closed = torch.finfo(dtype).min
    mask = torch.zeros(may.shape, dtype=dtype, device=device).masked_fill(~may, closed)
    return mask.expand(batch_size, 1, -1, -1)
