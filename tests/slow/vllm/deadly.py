"""A page that ends every engine it meets: for tests of what becomes of its neighbours."""

from __future__ import annotations

import os

import torch
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor

from tests.slow.vllm.checkpoint import SPECIALS

MARK = "<|User|>"
FIRST_SPECIAL = 256


class Deadly(LogitsProcessor):
    """Ends its process when a prompt with the mark comes into the batch."""

    def __init__(self, vllm_config: object, device: torch.device, is_pin_memory: bool) -> None:
        self._mark = FIRST_SPECIAL + SPECIALS.index(MARK)

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        for _, _, prompt, _ in batch_update.added if batch_update else ():
            if self._mark in (prompt or ()):
                os._exit(9)

    def is_argmax_invariant(self) -> bool:
        return True

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        return logits
