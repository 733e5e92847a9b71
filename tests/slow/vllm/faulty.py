"""Engines with a fault: one ends of a page, one has too little memory for many pages at once."""

from __future__ import annotations

import os

import torch
from vllm.config import VllmConfig
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor

from tests.slow.vllm.checkpoint import SPECIALS

MARK = "<|User|>"
FIRST_SPECIAL = 256
ENOUGH_FOR = 16  # pages
TOO_MUCH = 1 << 60  # bytes, which no machine has


class Faulty(LogitsProcessor):
    """Part of the engine, and without a say in the answers."""

    def __init__(self, vllm_config: VllmConfig, device: torch.device, is_pin_memory: bool) -> None:
        pass

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        pass

    def is_argmax_invariant(self) -> bool:
        return True

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        return logits


class Deadly(Faulty):
    """Ends its process when a prompt with the mark comes into the batch."""

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        mark = FIRST_SPECIAL + SPECIALS.index(MARK)
        for _, _, prompt, _ in batch_update.added if batch_update else ():
            if mark in (prompt or ()):
                os._exit(9)


class Hungry(Faulty):
    """Asks for more memory than there is, as long as many sequences may run at once."""

    def __init__(self, vllm_config: VllmConfig, device: torch.device, is_pin_memory: bool) -> None:
        if vllm_config.scheduler_config.max_num_seqs > ENOUGH_FOR:
            torch.empty(TOO_MUCH, dtype=torch.uint8, device=device)
