"""DeepSeek-OCR and DeepSeek-OCR-2 in vLLM, with a resolution for each request.

vLLM's models encode image by image, wait for the device each time, and treat an image as untiled
if its pixels happen to add up to zero.  These accept pages of any resolution in one batch and
encode all views of one size together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from vllm.config import VllmConfig
from vllm.model_executor.models.deepseek_ocr import (
    DeepseekOCRDummyInputsBuilder,
    DeepseekOCRForCausalLM,
)
from vllm.model_executor.models.deepseek_ocr2 import DeepseekOCR2ForCausalLM
from vllm.multimodal import MULTIMODAL_REGISTRY

from ocrd.engine.deepseek.device_views import cut_on_device
from ocrd.engine.deepseek.encoder import PATCH, SamEncoder, normalise
from ocrd.engine.deepseek.processor import FIELDS, PageInfo, PageInfo2, PageMultiModalProcessor
from ocrd.engine.deepseek.recorded import Recorded, has_room
from ocrd.engine.deepseek.tiling import Layout

# Patches or tokens that go through an encoder in one batch: enough to fill the largest device, few
# enough to need less than 1 GiB of its memory.
AT_ONCE = 32768

Encode = Callable[[torch.Tensor], torch.Tensor]


def in_parts(encode: Encode, batch: torch.Tensor, each: int) -> torch.Tensor:
    """Run `encode` over a batch in parts; an item has `each` patches or tokens."""
    parts = batch.split(max(1, AT_ONCE // each))
    return torch.cat([encode(part) for part in parts]) if len(parts) > 1 else encode(batch)


def encode_by_size(views: Sequence[torch.Tensor], encode: Encode) -> list[torch.Tensor]:
    """Run `encode` over stacks of views, all of one size together.

    Args:
        views: Stacks [n, side, side, 3] of any side; n may be 0.
        encode: Maps one stack to its features [n, tokens, width].

    Returns:
        The features of each stack, in order.
    """
    features: list[torch.Tensor] = [torch.empty(0)] * len(views)
    sizes: dict[int, list[int]] = {}
    for number, stack in enumerate(views):
        if len(stack):
            sizes.setdefault(stack.shape[1], []).append(number)
    for numbers in sizes.values():
        encoded = encode(torch.cat([views[number] for number in numbers]))
        counts = [len(views[number]) for number in numbers]
        for number, part in zip(numbers, encoded.split(counts), strict=True):
            features[number] = part
    return features


def views_of(
    pixels: torch.Tensor, tiles: torch.Tensor, numbers: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, Layout]:
    """The global view, tiles and layout of a page; `processor.sent` describes the arguments."""
    whole, *sides = (int(number) for number in numbers)
    layout = Layout(*sides)
    return (*(cut_on_device(pixels, layout) if whole else (pixels, tiles)), layout)


class PerRequestViews:
    """What both models have in common: pages in, one tensor of embeddings for each page out."""

    sam_model: Any
    view_seperator: torch.Tensor  # spelt as in the weights
    sam: Encode | None = None
    encoder: Encode | None = None
    recordable = False  # whether its encoders may be recorded as CUDA graphs

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)  # type: ignore[call-arg] # vLLM's
        self.recordable &= not vllm_config.model_config.enforce_eager

    def _encode(self, views: torch.Tensor) -> torch.Tensor:
        """Embeddings [n, tokens, width] of views [n, side, side, 3] in bytes."""
        if self.encoder is None:
            device = views.device
            records = device.type == "cuda" and self.recordable and has_room(device)
            self.encoder = Recorded(self._features) if records else self._features
        return in_parts(self.encoder, views, (views.shape[1] // PATCH) ** 2)

    def _features(self, views: torch.Tensor) -> torch.Tensor:
        """Like `_encode`, for a stack that is small enough for one batch."""
        raise NotImplementedError

    def _lay_out(self, features: torch.Tensor, columns: int, rows: int) -> torch.Tensor:
        """The embeddings of a grid of views, [columns * rows, tokens, width], as [all, width]."""
        raise NotImplementedError

    def _sam(self, views: torch.Tensor) -> torch.Tensor:
        """Run the first encoder; it is set up with the first page, when the weights are loaded."""
        if self.sam is None:
            self.sam = self._own_sam
            if views.device.type == "cuda":
                from ocrd.engine.deepseek.kernels import fused, joined  # Triton needs a GPU

                self.sam = SamEncoder(self.sam_model, fused, joined)
        return self.sam(views)

    def _own_sam(self, views: torch.Tensor) -> torch.Tensor:
        dtype = next(self.sam_model.parameters()).dtype
        return self.sam_model(normalise(views, dtype).permute(0, 3, 1, 2).contiguous())

    def embed_multimodal(self, **kwargs: Any) -> list[torch.Tensor] | None:
        """The embeddings of each page: tiles, global view, separator.  None without pages."""
        if kwargs.get("pixel_values") is None:
            return None
        sent = zip(*(kwargs[name] for name in FIELDS), strict=True)
        pages = [views_of(*page) for page in sent]
        stacks = [global_view[None] for global_view, _, _ in pages]
        features = encode_by_size([*stacks, *(tiles for _, tiles, _ in pages)], self._encode)
        return [
            self._joined(global_view, tiles, layout)
            for global_view, tiles, (_, _, layout) in zip(
                features[: len(pages)], features[len(pages) :], pages, strict=True
            )
        ]

    def _joined(
        self, global_view: torch.Tensor, tiles: torch.Tensor, layout: Layout
    ) -> torch.Tensor:
        """One page's embeddings, in the order in which the model reads them."""
        parts = [self._lay_out(global_view, 1, 1), self.view_seperator[None]]
        if layout.cut:
            parts.insert(0, self._lay_out(tiles, layout.columns, layout.rows))
        return torch.cat(parts)


@MULTIMODAL_REGISTRY.register_processor(
    PageMultiModalProcessor, info=PageInfo, dummy_inputs=DeepseekOCRDummyInputsBuilder
)
class DeepseekOcr(PerRequestViews, DeepseekOCRForCausalLM):
    """DeepSeek-OCR: SAM and CLIP side by side, and a newline after each row of tokens."""

    supports_encoder_cudagraph = False  # vLLM's graphs support only one resolution
    recordable = True

    def _features(self, views: torch.Tensor) -> torch.Tensor:
        seen = self._sam(views)
        known = self.vision_model(seen, seen)
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
    """DeepSeek-OCR-2: SAM, then Qwen2, which reads SAM's features in its own order."""

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        # vLLM 0.26 builds the mask row by row for every view, although it depends only on the size.
        inner = self.qwen2_model.model.model
        inner._create_custom_4d_mask = mask_of_halves

    def _features(self, views: torch.Tensor) -> torch.Tensor:
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
    """The attention mask of Qwen2: image features, then as many queries.

    A token of the first half attends to all of that half; one of the second half also to itself
    and to the tokens of its half before it.

    Returns:
        [batch, 1, length, length], 0 where allowed, otherwise the dtype's lowest number.
    """
    half = sequence_length // 2
    place = torch.arange(sequence_length, device=device)
    may = (place < half) | ((place[:, None] >= half) & (place <= place[:, None]))
    closed = torch.finfo(dtype).min
    mask = torch.zeros(may.shape, dtype=dtype, device=device).masked_fill(~may, closed)
    return mask.expand(batch_size, 1, -1, -1)
