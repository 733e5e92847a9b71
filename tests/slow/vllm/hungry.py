"""An engine with too little memory for many pages at once: for tests of what is given up then."""

from __future__ import annotations

import torch
from vllm.config import VllmConfig
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor

ENOUGH_FOR = 16  # pages
TOO_MUCH = 1 << 60  # bytes, which no machine has


class Hungry(LogitsProcessor):
    """Asks for more memory than there is, as long as many sequences may run at once."""

    def __init__(self, vllm_config: VllmConfig, device: torch.device, is_pin_memory: bool) -> None:
        if vllm_config.scheduler_config.max_num_seqs > ENOUGH_FOR:
            torch.empty(TOO_MUCH, dtype=torch.uint8, device=device)

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        pass

    def is_argmax_invariant(self) -> bool:
        return True

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        return logits
