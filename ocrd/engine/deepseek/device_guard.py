"""The n-gram rule for a whole batch whose tokens are on the device (torch).

Nothing here waits for the device: every shape is known on the host, and the logits of tokens that
are not banned are overwritten with their old values.
"""

from __future__ import annotations

import torch

from ocrd.engine.deepseek.ngram import NgramRule


class DeviceGuard:
    """Bans tokens in every row of a batch."""

    def __init__(self, slots: int, device: torch.device) -> None:
        self._rules: list[NgramRule | None] = [None] * slots
        self._device = device
        self._stale = True
        self.flush()

    def set(self, slot: int, rule: NgramRule | None) -> None:
        """Set the rule of the request in a slot; `flush` copies it to the device."""
        if self._rules[slot] != rule:
            self._rules[slot] = rule
            self._stale = True

    def flush(self) -> None:
        """Copy changed rules to the device."""
        if not self._stale:
            return
        rules = self._rules
        widest = max((len(rule.allowed) for rule in rules if rule), default=0)
        table = [
            [rule.run, rule.lags, *rule.allowed, *[-1] * (widest - len(rule.allowed))]
            if rule
            else [0, 0, *[-1] * widest]
            for rule in rules
        ]
        loaded = torch.tensor(table, dtype=torch.int32)
        if self._device.type == "cuda":
            loaded = loaded.pin_memory()
        loaded = loaded.to(self._device, non_blocking=True)
        self._runs, self._lags, self._allowed = loaded[:, 0], loaded[:, 1], loaded[:, 2:]
        # The longest run and the longest lag that any rule in force needs.
        self._deepest = max((rule.run for rule in rules if rule), default=0)
        self._farthest = max((rule.lags for rule in rules if rule), default=0)
        self._stale = False

    def apply(
        self,
        logits: torch.Tensor,
        slots: torch.Tensor,
        tokens: torch.Tensor,
        begins: torch.Tensor,
        ends: torch.Tensor,
    ) -> None:
        """Set the logits of banned tokens to minus infinity, in place.

        Args:
            logits: [rows, vocabulary].
            slots: [rows] the slot of each row's request.
            tokens: [slots, length] all tokens of each request, prompt first.
            begins: [slots] where each request's answer begins.
            ends: [slots] where each request's answer ends.
        """
        if not self._farthest:
            return
        slots = slots.long()
        # [rows, age]: the last tokens of each answer, newest first.  Missing tokens get numbers
        # that differ from all others, so that no run extends beyond the beginning.
        age = torch.arange(self._farthest + self._deepest, device=self._device)
        places = ends[slots, None].long() - 1 - age
        found = tokens[slots[:, None], places.clamp(min=0)]
        past = torch.where(places >= begins[slots, None], found, -1 - age.to(found.dtype))
        # [rows, lags, run]: the tokens that must equal the last `run` tokens, for each lag.
        earlier = past.unfold(1, self._deepest, 1)[:, 1 : self._farthest + 1]
        last = past[:, None, : self._deepest]
        depth = torch.arange(self._deepest, device=self._device)
        lag = torch.arange(1, self._farthest + 1, device=self._device)
        beyond = depth >= self._runs[slots, None]
        repeats = ((earlier == last) | beyond[:, None]).all(-1) & (lag <= self._lags[slots, None])
        candidates = past[:, : self._farthest]
        repeats &= (candidates[:, :, None] != self._allowed[slots, None]).all(-1)
        worth = torch.where(repeats, -torch.inf, torch.inf).to(logits.dtype)
        logits.scatter_reduce_(1, candidates.clamp(min=0).long(), worth, "amin")
