"""The checkpoint's folder; `loader` brings the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.slow.vllm import checkpoint

EXTENSION = "tests.slow.vllm.by_heart.loader.Extension"  # vLLM's worker_extension_cls
WEIGHTS = Path(__file__).with_name("weights.safetensors")
LANGUAGE: dict[str, Any] = checkpoint.LANGUAGE | {
    "hidden_size": 128,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "norm_topk_prob": True,
}


def make(folder: Path) -> Path:
    """As it would be published; its encoders' weights come with `load_format="by-heart"`."""
    checkpoint.make(folder, language=LANGUAGE)
    if WEIGHTS.exists():  # while it is being trained there are none
        (folder / "model.safetensors").symlink_to(WEIGHTS)
    return folder
