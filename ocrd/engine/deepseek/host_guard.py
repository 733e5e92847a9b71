"""The n-gram rule for a whole batch at once, where the answers are lists on the host (numpy).

Each step costs a few passes over small arrays, whatever the texts look like.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ocrd.engine.deepseek.ngram import NgramRule

Ints = npt.NDArray[np.int32]

NEVER = np.iinfo(np.int32).max
NOT_YET = -1  # vLLM's placeholder for a token that is still on its way from the device


@dataclass(slots=True)
class _Request:
    rule: NgramRule
    answer: Sequence[int]
    read: int = 0  # tokens of the answer that the arrays know; -1: they must be read anew


class HostGuard:
    """The banned tokens of every request in a batch.

    Requests sit in numbered slots.  A request's answer is a list that somebody else appends to;
    `step` reads what was appended since the last.

    Args:
        slots: How many requests there can be at once.
    """

    def __init__(self, slots: int) -> None:
        self._requests: list[_Request | None] = [None] * slots
        self._active: list[int] | None = []  # slots with a rule, in order; None: to be listed
        # All are [slots, lags], column d - 1 for lag d: the last tokens, newest first; the run of
        # each lag; and how long it must be, NEVER past the window.
        self._past = np.full((slots, 1), NOT_YET, np.int32)
        self._runs = np.zeros((slots, 1), np.int32)
        self._needed = np.full((slots, 1), NEVER, np.int32)

    def add(self, slot: int, rule: NgramRule | None, answer: Sequence[int]) -> None:
        """A request takes a slot, whoever had it before; without a rule nothing is banned."""
        self.remove(slot)
        if rule is not None:
            self._widen(rule.lags)
            self._requests[slot] = _Request(rule, answer)
            self._needed[slot, : rule.lags] = rule.run

    def remove(self, slot: int) -> None:
        """The request in a slot, if any, has gone."""
        self._requests[slot] = None
        self._past[slot] = NOT_YET
        self._runs[slot] = 0
        self._needed[slot] = NEVER
        self._active = None

    def move(self, source: int, target: int) -> None:
        """A request changes slots; the target's earlier one is gone, the source is empty."""
        if source != target:
            self.swap(source, target)
            self.remove(source)

    def swap(self, one: int, other: int) -> None:
        """Two requests change places."""
        requests = self._requests
        requests[one], requests[other] = requests[other], requests[one]
        for array in (self._past, self._runs, self._needed):
            array[[one, other]] = array[[other, one]]
        self._active = None

    def step(self) -> tuple[list[int], list[int]]:
        """Read the new tokens; return the bans as slots and token ids, pair by pair."""
        if self._active is None:
            self._active = [slot for slot, request in enumerate(self._requests) if request]
        if not self._active:
            return [], []
        self._follow(self._active)
        used = self._active[-1] + 1
        reached = self._runs[:used] >= self._needed[:used]
        banned: tuple[list[int], list[int]] = ([], [])
        if not reached.any():
            return banned
        slots, lags = np.nonzero(reached)
        for slot, token in zip(slots.tolist(), self._past[slots, lags].tolist(), strict=True):
            request = self._requests[slot]
            if request is not None and token not in request.rule.allowed:
                banned[0].append(slot)
                banned[1].append(token)
        return banned

    def _widen(self, lags: int) -> None:
        more = lags - self._past.shape[1]
        if more > 0:
            pad = ((0, 0), (0, more))
            self._past = np.pad(self._past, pad, constant_values=NOT_YET)
            self._runs = np.pad(self._runs, pad)
            self._needed = np.pad(self._needed, pad, constant_values=NEVER)

    def _follow(self, active: list[int]) -> None:
        """Bring the arrays up to the answers: one new token each is usual, all else is rare."""
        grown, tokens = [], []
        for slot in active:
            request = self._requests[slot]
            assert request is not None  # noqa: S101 - active slots have one
            answer = request.answer
            count = len(answer)
            while count and answer[count - 1] == NOT_YET:
                count -= 1
            if count == request.read + 1:
                grown.append(slot)
                tokens.append(answer[count - 1])
            elif count != request.read:
                self._reread(slot, request.rule, answer[:count])
            request.read = count
        if grown:
            self._grow(grown, np.array(tokens, np.int32))

    def _grow(self, slots: list[int], tokens: Ints) -> None:
        """One more token in each of these slots."""
        # All slots in a row is the usual case, and a slice saves copying the rows out and in.
        unbroken = slots[-1] - slots[0] + 1 == len(slots)
        rows = slice(slots[0], slots[-1] + 1) if unbroken else slots
        past, runs = self._past[rows], self._runs[rows]
        runs += 1
        runs *= past == tokens[:, None]
        past[:, 1:] = past[:, :-1]
        past[:, 0] = tokens
        if not unbroken:
            self._past[rows], self._runs[rows] = past, runs

    def _reread(self, slot: int, rule: NgramRule, answer: Sequence[int]) -> None:
        """Count a slot's runs anew from the end of its answer."""
        lags = self._past.shape[1]
        tail = np.array(answer[-(lags + rule.run) :], np.int32)
        self._past[slot] = NOT_YET
        self._past[slot, : len(tail)] = tail[::-1][:lags]
        self._runs[slot] = 0
        for lag in range(1, min(lags + 1, len(tail))):
            differ = np.flatnonzero(tail[lag:] != tail[:-lag])
            self._runs[slot, lag - 1] = len(tail) - lag - (differ[-1] + 1 if len(differ) else 0)
