"""The faster encoder computes what vLLM's does, from the same weights."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import CLIPVisionConfig
from vllm.config import DeviceConfig, VllmConfig, set_current_vllm_config
from vllm.distributed import (
    cleanup_dist_env_and_memory,
    ensure_model_parallel_initialized,
    init_distributed_environment,
)
from vllm.model_executor.models.deepencoder import DeepCLIPVisionTransformer, ImageEncoderViT

from ocrd.engine.deepseek.attention import folded
from ocrd.engine.deepseek.clip import ClipEncoder
from ocrd.engine.deepseek.encoder import SamEncoder, normalise

pytestmark = pytest.mark.vllm


@pytest.fixture(scope="module")
def sam() -> ImageEncoderViT:
    """The encoder with fewer and narrower layers: two with windows, one without."""
    torch.manual_seed(7)
    with set_current_vllm_config(VllmConfig(device_config=DeviceConfig("cpu"))):
        encoder = ImageEncoderViT(
            depth=3,
            embed_dim=128,
            num_heads=2,
            out_chans=256,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            global_attn_indexes=(1,),
            window_size=14,
        )
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return encoder.eval()


@pytest.mark.parametrize("side", [512, 640, 1024, 1280])
@torch.inference_mode()
def test_features_are_those_of_vllm_at_every_size(sam: ImageEncoderViT, side: int) -> None:
    pixels = torch.randint(0, 256, (2, side, side, 3), dtype=torch.uint8)
    theirs = sam(normalise(pixels, torch.float32).permute(0, 3, 1, 2).contiguous())
    ours = SamEncoder(sam, folded)(pixels)
    assert ours.shape == theirs.shape
    assert ((ours - theirs).norm() / theirs.norm()).item() < 1e-5


@torch.inference_mode()
def test_a_view_s_features_do_not_depend_on_the_views_beside_it(sam: ImageEncoderViT) -> None:
    pixels = torch.randint(0, 256, (3, 512, 512, 3), dtype=torch.uint8)
    encoder = SamEncoder(sam, folded)
    alone = torch.cat([encoder(view[None]) for view in pixels])
    torch.testing.assert_close(encoder(pixels), alone, rtol=1e-4, atol=1e-4)


@pytest.fixture
def one_process(tmp_path: Path) -> Iterator[None]:
    """What vLLM's parallel layers ask for, also where there is nothing parallel."""
    with set_current_vllm_config(VllmConfig(device_config=DeviceConfig("cpu"))):
        init_distributed_environment(1, 0, f"file://{tmp_path}/meeting", 0, "gloo")
        ensure_model_parallel_initialized(1, 1)
        yield
        cleanup_dist_env_and_memory()


@pytest.mark.parametrize("across", [8, 10, 16])
@torch.inference_mode()
def test_clip_s_features_are_those_of_vllm(one_process: None, across: int) -> None:
    config = CLIPVisionConfig(
        hidden_size=128,
        intermediate_size=256,
        num_attention_heads=2,
        num_hidden_layers=2,
        image_size=224,
        patch_size=14,
    )
    torch.manual_seed(9)
    clip = DeepCLIPVisionTransformer(config, None, prefix="vision_model").eval()
    for parameter in clip.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    seen = torch.randn(3, 128, across, across)
    assert ClipEncoder.fits(clip)
    ours = ClipEncoder(clip)(seen)
    for module in clip.modules():
        if hasattr(module, "quant_method"):  # on a CPU vLLM puts the weights into another form
            module.quant_method.process_weights_after_loading(module)
    theirs = clip(seen, seen)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_clip_s_weights_in_another_form_are_left_to_vllm() -> None:
    projection = SimpleNamespace(weight=torch.empty(0))
    layer = SimpleNamespace(self_attn=SimpleNamespace(qkv_proj=projection))
    clip = SimpleNamespace(
        config=SimpleNamespace(hidden_size=128),
        pre_layrnorm=torch.nn.LayerNorm(128),
        transformer=SimpleNamespace(layers=[layer]),
    )
    assert not ClipEncoder.fits(clip)
    projection.weight = torch.empty(3 * 128, 128)
    assert ClipEncoder.fits(clip)


def test_bytes_become_the_numbers_that_torchvision_makes() -> None:
    from torchvision.transforms import Compose, Normalize, ToTensor

    pixels = torch.arange(256, dtype=torch.uint8).view(16, 16, 1).expand(16, 16, 3)
    theirs = Compose([ToTensor(), Normalize((0.5,) * 3, (0.5,) * 3)])(pixels.numpy())
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        assert torch.equal(normalise(pixels, dtype).permute(2, 0, 1), theirs.to(dtype))


COMPARE = """
import torch
from ocrd.engine.deepseek.attention import folded
from ocrd.engine.deepseek.attention_kernel import fused

torch.manual_seed(1)
for rows, columns in [(14, 14), (8, 8), (9, 20)]:
    qkv = torch.randn(2, rows, columns, 3, 2, 16)
    by_row, by_column = torch.randn(2 * rows - 1, 16), torch.randn(2 * columns - 1, 16)
    given = qkv, by_row, by_column, 0.25
    torch.testing.assert_close(fused(*given), folded(*given), rtol=1e-4, atol=1e-4)
"""


def test_the_kernel_computes_the_same_attention() -> None:
    root = Path(__file__).parents[3]
    interpreted = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": str(root)}
    subprocess.run([sys.executable, "-c", COMPARE], env=interpreted, check=True, timeout=800)
