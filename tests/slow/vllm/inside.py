"""What tests do inside vLLM's worker process: import it there by `worker_extension_cls`."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

import torch
from PIL import Image
from vllm.model_executor.models.deepseek_ocr import DeepseekOCRForCausalLM

from ocrd.engine.deepseek.encoder import SamEncoder, normalise
from ocrd.engine.deepseek.tiling import lay_out
from ocrd.engine.deepseek.views import prepare
from ocrd.modes import Resolution
from tests.slow.vllm.by_heart.loader import Extension
from tests.slow.vllm.plain_sam import plain, plain_join


class Inside(Extension):
    """Methods for `collective_rpc`; vLLM adds them to its worker."""

    model_runner: Any

    @torch.inference_mode()
    def differences_from_vllm(self, seed: int) -> list[float]:
        """How far a tiled page's embeddings are from those of vLLM's own code, relatively.

        Returns:
            With our first encoder, and with vLLM's, which computes it where there is no GPU.
        """
        torch.manual_seed(seed)
        model = self.model_runner.model
        global_view = torch.randint(0, 256, (1, 256, 256, 3), dtype=torch.uint8)
        tiles = torch.randint(0, 256, (1, 2, 320, 320, 3), dtype=torch.uint8)
        grid = torch.tensor([[1, 2]])
        (theirs,) = DeepseekOCRForCausalLM.embed_multimodal(
            model,
            pixel_values=normalise(global_view, torch.float32).permute(0, 3, 1, 2).contiguous(),
            images_crop=normalise(tiles[0], torch.float32).permute(0, 3, 1, 2).contiguous(),
            images_spatial_crop=grid,
        )
        layout = torch.tensor([[0, 256, 256, 256, 320, 1, 2]])
        found = []
        for sam in (SamEncoder(model.sam_model, plain, plain_join), model._own_sam):
            model.sam = sam
            (ours,) = model.embed_multimodal(
                pixel_values=global_view, images_crop=tiles, images_layout=layout
            )
            assert ours.shape == theirs.shape
            found.append(float((ours - theirs).norm() / theirs.norm()))
        model.sam = None  # as before the first page
        return found

    @torch.inference_mode()
    def both_ways_agree(self, seed: int) -> bool:
        """Whether a page that is sent whole has the embeddings of one that is sent in views."""
        torch.manual_seed(seed)
        page = torch.randint(0, 256, (500, 420, 3), dtype=torch.uint8)
        seen = Resolution(name="little", base=256, tile=256, max_crops=4)
        layout = lay_out(420, 500, seen)
        assert layout.cut
        global_view, tiles = prepare(Image.fromarray(page.numpy()), layout)
        ways = [
            (page, page.new_empty((0, 256, 256, 3)), 1),
            (torch.from_numpy(global_view), torch.from_numpy(tiles), 0),
        ]
        whole, ready = self.model_runner.model.embed_multimodal(
            pixel_values=[pixels for pixels, _, _ in ways],
            images_crop=[tiles for _, tiles, _ in ways],
            images_layout=[torch.tensor([way, *astuple(layout)]) for _, _, way in ways],
        )
        return torch.allclose(whole, ready, atol=1e-5) and len(whole) == 21 + 8 * 9
