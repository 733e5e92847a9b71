"""How vLLM gets the weights: seeded encoders made on the spot, and behind them what was trained."""

from __future__ import annotations

import zlib
from typing import Any

import torch
from safetensors.torch import load_file
from vllm.model_executor.model_loader import register_model_loader
from vllm.model_executor.model_loader.dummy_loader import DummyModelLoader

from tests.slow.vllm.by_heart.checkpoint import WEIGHTS


@torch.no_grad()
def seed_encoders(model: torch.nn.Module) -> None:
    """The same weights everywhere: each tensor's own name is its seed."""
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            parameter.fill_(1.0 if name.endswith("weight") else 0.0)
        else:
            generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
            numbers = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(numbers * parameter[0].numel() ** -0.5)


@register_model_loader("by-heart")
class ByHeartLoader(DummyModelLoader):
    """Seeded encoders, and behind them what was trained."""

    def load_weights(self, model: Any, model_config: Any) -> None:
        """As published checkpoints are loaded, by vLLM's own names for them."""
        seed_encoders(model)
        if WEIGHTS.exists():  # while it is being trained there are none
            trained = load_file(WEIGHTS)
            missing = {"model.projector.layers.weight", "lm_head.weight"} - trained.keys()
            assert not missing
            model.load_weights((name, tensor.float()) for name, tensor in trained.items())


class Extension:
    """Named as vLLM's `worker_extension_cls`, so that its processes import this module."""
