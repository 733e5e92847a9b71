"""The n-gram rule for a whole batch at once, where the answers are lists on the host.

A ban needs a run of `ngram - 1` tokens, and a run grows by one with each token.  So an answer whose
longest run is short is not looked at again until it could have become long enough: every 29 tokens
for most texts under the published rule, at each token only where the text goes in circles.

All of it is plain Python on purpose.  The engine's process is short of Python's lock: numpy gives
it away in every call, and vLLM's other threads then keep it for a millisecond at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ocrd.engine.deepseek.ngram import NgramRule

NOT_YET = -1  # vLLM's placeholder for a token that is still on its way from the device


@dataclass(slots=True)
class _Request:
    """One guarded answer.

    Attributes:
        rule: Its rule.
        answer: Its tokens; somebody else appends to them.
        read: How many there were at the last look.
        due: How many there must be for the next; nothing is banned before.
    """

    rule: NgramRule
    answer: Sequence[int]
    read: int = 0
    due: int = 0

    def banned(self) -> list[int]:
        """The tokens that may not come next; notes when to look again."""
        past = self._past()
        newest = past[: self.rule.run]
        longest, found = 0, []
        for lag, token in enumerate(past[1 : self.rule.lags + 1], start=1):
            if token == past[0]:
                run = _run(newest, past[lag : lag + self.rule.run])
                longest = max(longest, run)
                if run == self.rule.run:
                    found.append(past[lag - 1])
        self.due = self.read + self.rule.run - longest
        return [token for token in found if token not in self.rule.allowed]

    def _past(self) -> Sequence[int]:
        """The tokens that matter, newest first."""
        answer = self.answer
        self.read = len(answer)
        while self.read and answer[self.read - 1] == NOT_YET:
            self.read -= 1
        return answer[max(0, self.read - self.rule.lags - self.rule.run) : self.read][::-1]


def _run(newest: Sequence[int], earlier: Sequence[int]) -> int:
    """With how many equal tokens both begin."""
    if newest == earlier:
        return len(newest)
    pairs = enumerate(zip(newest, earlier, strict=False))
    return next((depth for depth, (one, other) in pairs if one != other), len(earlier))


class HostGuard:
    """The banned tokens of every request in a batch.

    Requests sit in numbered slots.  A request's answer is a list that somebody else appends to;
    `step` sees what was appended since the last.
    """

    def __init__(self) -> None:
        self._requests: dict[int, _Request] = {}

    def add(self, slot: int, rule: NgramRule | None, answer: Sequence[int]) -> None:
        """A request takes a slot, whoever had it before; without a rule nothing is banned."""
        self.remove(slot)
        if rule is not None:
            self._requests[slot] = _Request(rule, answer)

    def remove(self, slot: int) -> None:
        """The request in a slot, if any, has gone."""
        self._requests.pop(slot, None)

    def move(self, source: int, target: int) -> None:
        """A request changes slots; the target's earlier one is gone, the source is empty."""
        if source != target:
            self.remove(target)
            self.swap(source, target)

    def swap(self, one: int, other: int) -> None:
        """Two requests change places."""
        first, second = self._requests.pop(one, None), self._requests.pop(other, None)
        if first:
            self._requests[other] = first
        if second:
            self._requests[one] = second

    def step(self) -> tuple[list[int], list[int]]:
        """The bans after all that was appended, as slots and token ids, pair by pair."""
        slots: list[int] = []
        tokens: list[int] = []
        for slot, request in self._requests.items():
            # An answer can also lose tokens that the last look has seen.
            if not request.read <= len(request.answer) < request.due:
                banned = request.banned()
                slots += [slot] * len(banned)
                tokens += banned
        return slots, tokens
