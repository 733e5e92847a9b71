"""How vLLM gets weights: seeded ones made on the spot, and behind the encoders what was trained."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import torch
from safetensors.torch import load_file
from vllm.model_executor.model_loader import register_model_loader
from vllm.model_executor.model_loader.dummy_loader import DummyModelLoader

from tests.slow.vllm.by_heart.checkpoint import WEIGHTS


def usual(_name: str, parameter: torch.Tensor) -> float:
    """Of a layer's numbers, so that what goes through it stays as large as it was."""
    return float(parameter[0].numel() ** -0.5)


def lively(name: str, parameter: torch.Tensor) -> float:
    """With which the image counts in the answer; next to vLLM's own random ones it is nothing."""
    inputs = parameter.shape[-1] if "experts" in name else parameter[0].numel()
    return float((3 if "self_attn" in name else 1) * inputs**-0.5)


def by_name(name: str) -> torch.Generator:
    """A tensor's own name is its seed."""
    return torch.Generator().manual_seed(zlib.crc32(name.encode()))


@torch.no_grad()
def seed(
    model: torch.nn.Module,
    strength: Callable[[str, torch.Tensor], float],
    chance: Callable[[str], torch.Generator],
) -> None:
    """The same weights everywhere, from what `chance` gives for each tensor's name."""
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            parameter.fill_(1.0 if name.endswith("weight") else 0.0)
        else:
            numbers = torch.randn(parameter.shape, generator=chance(name))
            parameter.copy_(numbers * strength(name, parameter))


@register_model_loader("random")
class RandomLoader(DummyModelLoader):
    """Weights that read nothing, and yet answer each page in its own way."""

    def load_weights(self, model: torch.nn.Module, model_config: Any) -> None:
        """The same every time."""
        one = torch.Generator().manual_seed(1)
        seed(model, lively, lambda _name: one)


@register_model_loader("by-heart")
class ByHeartLoader(DummyModelLoader):
    """Seeded encoders, and behind them what was trained."""

    def load_weights(self, model: Any, model_config: Any) -> None:
        """As published checkpoints are loaded, by vLLM's own names for them."""
        seed(model, usual, by_name)
        if WEIGHTS.exists():  # while it is being trained there are none
            trained = load_file(WEIGHTS)
            missing = {"model.projector.layers.weight", "lm_head.weight"} - trained.keys()
            assert not missing
            model.load_weights((name, tensor.float()) for name, tensor in trained.items())


class Extension:
    """Named as vLLM's `worker_extension_cls`, so that its processes know these loaders."""
