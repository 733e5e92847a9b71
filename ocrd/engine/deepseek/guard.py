"""The n-gram guard as vLLM's logits processor, for both of its model runners.

Give `ocrd.engine.deepseek.guard:NgramGuard` to the engine's `logits_processors`, and to each
request that is to be guarded the `extra_args` made by `ocrd.engine.deepseek.ngram.request_args`
(n-gram, window, and the ids of the tokens that may always come).  Requests without are let alone.

vLLM takes the class by name before it has chosen its model runner, so that one class has both
faces.  The first runner keeps answers as lists on the host; with asynchronous scheduling it writes
the tokens of the step before into them just before it asks logits processors, while the device is
busy with the next step (`InputBatch.update_async_output_token_ids`).  The second runner keeps
tokens on the device and never shows them to the host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from vllm import SamplingParams
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor, MoveDirectionality

from ocrd.engine.deepseek.device_guard import DeviceGuard
from ocrd.engine.deepseek.ngram import HostGuard, rule_of

try:
    from vllm.v1.worker.gpu.sample.logits_processor import LogitsProcessor as SecondInterface
except ImportError:  # before the second runner took processors

    class SecondInterface:  # type: ignore[no-redef] # stands in for vLLM's own
        """No second interface in this version."""


if TYPE_CHECKING:
    from vllm.config import VllmConfig


class NgramGuard(LogitsProcessor, SecondInterface):
    """Bans the tokens that would repeat an n-gram.

    Args:
        vllm_config: vLLM's configuration.
        place: From the first runner the device and whether to pin memory, from the second its
            request states.
    """

    def __init__(self, vllm_config: VllmConfig, *place: Any) -> None:
        self._host: HostGuard | None = None
        if len(place) == 1:
            (self._states,) = place
            self._device_guard = DeviceGuard(self._states.max_num_reqs, self._states.device)
        else:
            self._device, self._pin = place
            self._host = HostGuard()
            self._never = torch.full((), -torch.inf, device=self._device)

    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        """Refuse a request whose guard cannot be.

        Raises:
            ValueError: Says which setting is wrong.
        """
        rule_of(sampling_params.extra_args)

    def is_argmax_invariant(self) -> bool:
        """It exists to change which token is the likeliest."""
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """First runner: requests came, went or changed places."""
        if batch_update is None or self._host is None:
            return
        for slot in batch_update.removed:
            self._host.remove(slot)
        for slot, params, _, answer in batch_update.added:
            self._host.add(slot, rule_of(params.extra_args), answer)
        for source, target, direction in batch_update.moved:
            if direction == MoveDirectionality.SWAP:
                self._host.swap(source, target)
            else:
                self._host.move(source, target)

    def add_request(self, req_idx: int, sampling_params: SamplingParams) -> bool:
        """Second runner: a request takes a slot; returns whether it is guarded."""
        rule = rule_of(sampling_params.extra_args)
        self._device_guard.set(req_idx, rule)
        return rule is not None

    def apply_staged_writes(self) -> None:
        """Second runner: a step begins."""
        self._device_guard.flush()

    def apply(self, logits: torch.Tensor, ctx: Any = None) -> torch.Tensor:
        """Ban tokens in place.

        Args:
            logits: [rows, vocabulary].
            ctx: From the second runner, the batch.
        """
        if ctx is None:
            self._ban(logits)
        else:
            states = self._states
            self._device_guard.apply(
                logits,
                ctx.expanded_idx_mapping,
                states.all_token_ids.gpu,
                states.prompt_len.gpu,
                states.total_len.gpu,
            )
        return logits

    def _ban(self, logits: torch.Tensor) -> None:
        assert self._host is not None  # noqa: S101 - the first runner made one
        slots, tokens = self._host.step()
        if slots:
            pairs = torch.tensor([slots, tokens], dtype=torch.int64, pin_memory=self._pin)
            rows, columns = pairs.to(self._device, non_blocking=True)
            # Not `logits[rows, columns] = -inf`: torch makes a number on the host of that and waits
            # for the device, the step under way included, to take it there.
            logits.index_put_((rows, columns), self._never.to(logits.dtype))
