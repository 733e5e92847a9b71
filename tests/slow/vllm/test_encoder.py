"""The faster encoder computes what vLLM's does, from the same weights."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from vllm.model_executor.models.deepencoder import ImageEncoderViT

from ocrd.engine.deepseek.encoder import SamEncoder, normalise
from tests.slow.vllm.plain_sam import plain, plain_join, random_sam

pytestmark = pytest.mark.vllm


@pytest.fixture(scope="module")
def sam() -> ImageEncoderViT:
    """The encoder with fewer and narrower layers: two with windows, one without."""
    return random_sam("cpu", depth=3, width=128, heads=2, unwindowed=(1,), spread=0.2)


@pytest.mark.parametrize("side", [512, 640, 1024, 1280])
@torch.inference_mode()
def test_features_are_those_of_vllm_at_every_size(sam: ImageEncoderViT, side: int) -> None:
    pixels = torch.randint(0, 256, (1, side, side, 3), dtype=torch.uint8)
    theirs = sam(normalise(pixels, torch.float32).permute(0, 3, 1, 2).contiguous())
    ours = SamEncoder(sam, plain, plain_join)(pixels)
    assert ours.shape == theirs.shape
    assert ((ours - theirs).norm() / theirs.norm()).item() < 1e-5


@torch.inference_mode()
def test_a_view_s_features_do_not_depend_on_the_views_beside_it(sam: ImageEncoderViT) -> None:
    pixels = torch.randint(0, 256, (2, 512, 512, 3), dtype=torch.uint8)
    encoder = SamEncoder(sam, plain, plain_join)
    alone = torch.cat([encoder(view[None]) for view in pixels])
    torch.testing.assert_close(encoder(pixels), alone, rtol=1e-4, atol=1e-4)


def test_bytes_become_the_numbers_that_torchvision_makes() -> None:
    from torchvision.transforms import Compose, Normalize, ToTensor

    pixels = torch.arange(256, dtype=torch.uint8).view(16, 16, 1).expand(16, 16, 3)
    theirs = Compose([ToTensor(), Normalize((0.5,) * 3, (0.5,) * 3)])(pixels.numpy())
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        assert torch.equal(normalise(pixels, dtype).permute(2, 0, 1), theirs.to(dtype))


COMPARE = """
import torch
from ocrd.engine.deepseek.kernels import fused, joined
from tests.slow.vllm.plain_sam import plain, plain_join

torch.manual_seed(1)
for rows, columns in [(14, 14), (8, 8), (9, 20)]:
    qkv = torch.randn(2, rows, columns, 3, 2, 16)
    by_row, by_column = torch.randn(2 * rows - 1, 16), torch.randn(2 * columns - 1, 16)
    given = qkv, by_row, by_column, 0.25
    torch.testing.assert_close(fused(*given), plain(*given), rtol=1e-4, atol=1e-4)
for rows, columns, before, after in [(6, 6, 0, 0), (8, 5, 0, 4), (8, 5, 4, 0), (7, 9, 4, 3)]:
    norm = torch.nn.LayerNorm(24, eps=1e-6)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x = torch.randn(2, rows, columns, 24)
    windows = (2 * -(-rows // before) * -(-columns // before), before, before) if before else ()
    more = torch.randn(*(windows or (2, rows, columns)), 24)
    for ours, theirs in zip(joined(x, more, before, norm, after),
                            plain_join(x, more, before, norm, after), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
"""


def test_the_kernels_compute_the_same() -> None:
    root = Path(__file__).parents[3]
    interpreted = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": str(root)}
    subprocess.run([sys.executable, "-c", COMPARE], env=interpreted, check=True, timeout=800)
