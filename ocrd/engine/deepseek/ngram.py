"""The n-gram rule: which tokens may not come next, and those of a whole batch.  Pure.

The rule is the one published with DeepSeek-OCR.  Let the answer so far end with some `ngram - 1`
tokens; wherever the same `ngram - 1` tokens stand earlier in a row, within the last `window`
tokens of the answer, the token that followed them there is banned now, unless it is one of the
`allowed`.

Seen from the end: with *lag* d the distance back, and the *run* of d the number of last tokens
that each equal the token d before them, the token d - 1 before the last is banned when the run of
d has reached `ngram - 1`, for d up to `window - ngram + 1`.  A run grows by one or falls to zero
with each token, so that one comparison a lag and token is all the work.

An answer whose longest run is short is not looked at again until it could have become long enough:
every 29 tokens for most texts under the published rule, at each token only where the text goes in
circles.  All of it is plain Python on purpose: the engine is short of Python's lock, which numpy
gives away in every call, and vLLM's other threads then keep it for a millisecond at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ocrd.modes import Guard

# In a request, the names of vLLM's own guard: over HTTP (`vllm_xargs`) nothing nested passes.
NGRAM, WINDOW, ALLOWED = "ngram_size", "window_size", "whitelist_token_ids"
LARGEST_WINDOW = 4096
NOT_YET = -1  # vLLM's placeholder for a token that is still on its way from the device


@dataclass(frozen=True, slots=True)
class NgramRule:
    """The rule for one request.

    Attributes:
        ngram: Tokens of the n-gram that may not come twice; at least 2.
        window: How many of the last tokens are looked at; at least `ngram`.
        allowed: Tokens never banned.
    """

    ngram: int
    window: int
    allowed: frozenset[int] = frozenset()

    @property
    def run(self) -> int:
        """How long a run must be."""
        return self.ngram - 1

    @property
    def lags(self) -> int:
        """The longest lag looked at."""
        return self.window - self.ngram + 1


def request_args(guard: Guard | None, never_banned: Iterable[int] = ()) -> dict[str, Any]:
    """What a request must say for the guard to act on it; nothing for none.

    It goes into `SamplingParams.extra_args`, and over HTTP into `vllm_xargs`.

    Args:
        guard: The n-gram settings.
        never_banned: Token ids (DeepSeek-OCR: 128821 and 128822, `<td>` and `</td>`).
    """
    if guard is None:
        return {}
    return {NGRAM: guard.ngram, WINDOW: guard.window, ALLOWED: sorted(set(never_banned))}


def rule_of(extra_args: Mapping[str, Any] | None) -> NgramRule | None:
    """The rule that a request asks for, or None.

    Raises:
        ValueError: It asks for one that cannot be.
    """
    asked = extra_args or {}
    if NGRAM not in asked:
        return None
    ngram = _whole(asked, NGRAM, 2)
    window = _whole(asked, WINDOW, ngram)
    allowed = asked.get(ALLOWED, ())
    if isinstance(allowed, str | bytes) or not all(_is_whole(token) for token in allowed):
        raise ValueError(f"`{ALLOWED}` must be a list of token ids, got {allowed!r}")
    return NgramRule(ngram, window, frozenset(allowed))


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _whole(asked: Mapping[str, Any], name: str, least: int) -> int:
    value: Any = asked.get(name)
    if not _is_whole(value) or not least <= value <= LARGEST_WINDOW:
        raise ValueError(
            f"`{name}` must be a whole number from {least} to {LARGEST_WINDOW}, got {value!r}"
        )
    return int(value)


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
