"""The n-gram guard as a logits processor for both of vLLM's model runners.

Put `ocrd.engine.deepseek.guard:NgramGuard` into the engine's `logits_processors`, and into the
`extra_args` of each request to be guarded the result of
`ocrd.engine.deepseek.ngram.request_args` (n-gram, window, and the ids of tokens that are never
banned).  Requests without these arguments are not guarded.

vLLM gets the class by name before it has chosen its model runner, so one class has both
interfaces.  The first runner keeps answers as lists on the host; with asynchronous scheduling it
adds the tokens of the previous step to them just before it calls logits processors, while the
device is busy with the next step (`InputBatch.update_async_output_token_ids`).  The second runner
keeps tokens on the device and never shows them to the host.
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
except ImportError:  # older versions, whose second runner has no logits processors

    class SecondInterface:  # type: ignore[no-redef] # stands in for vLLM's own
        """An empty base class for versions without the second interface."""


if TYPE_CHECKING:
    from vllm.config import VllmConfig


class NgramGuard(LogitsProcessor, SecondInterface):
    """Bans the tokens that would repeat an n-gram.

    Args:
        vllm_config: vLLM's configuration.
        place: From the first runner, the device and whether to pin memory; from the second, its
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
        """Refuse a request with invalid guard settings.

        Raises:
            ValueError: The message says which setting is wrong.
        """
        rule_of(sampling_params.extra_args)

    def is_argmax_invariant(self) -> bool:
        """False, because the guard exists to change which token is the likeliest."""
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """First runner: requests were added, removed or moved to other slots."""
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
        """Second runner: put a request into a slot; whether it is guarded."""
        rule = rule_of(sampling_params.extra_args)
        self._device_guard.set(req_idx, rule)
        return rule is not None

    def apply_staged_writes(self) -> None:
        """Second runner: copy changed rules to the device before a step."""
        self._device_guard.flush()

    def apply(self, logits: torch.Tensor, ctx: Any = None) -> torch.Tensor:
        """Ban tokens in place.

        Args:
            logits: [rows, vocabulary].
            ctx: The batch, from the second runner; None from the first.
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
            # Not `logits[rows, columns] = -inf`: torch would copy that number from the host, and
            # wait for the device, including the running step.
            logits.index_put_((rows, columns), self._never.to(logits.dtype))
