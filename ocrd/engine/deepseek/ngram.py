"""The n-gram rule: which tokens may not come next, in one answer or a whole batch.  Pure.

The rule is the one published with DeepSeek-OCR.  Take the last `ngram - 1` tokens of the answer so
far.  Wherever the same `ngram - 1` tokens occur earlier within the last `window` tokens, the token
that followed them there is banned now, unless it is one of the `allowed`.

Counted from the end: a *lag* d is a distance back, and the *run* of d is the number of last tokens
that each equal the token d before them.  The token d - 1 before the last is banned if the run of d
has reached `ngram - 1`, for d up to `window - ngram + 1`.  Each new token lengthens a run by one or
ends it.

So an answer whose longest run is short is not examined again until a run could have become long
enough: every 29 tokens for most texts under the published rule, at each token only if the text
repeats itself.  This is plain Python on purpose: the engine competes for Python's lock, which numpy
releases in every call, and vLLM's other threads then hold it for a millisecond at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ocrd.modes import Guard

# Names in a request, the same as those of vLLM's own guard; `vllm_xargs` (HTTP) cannot be nested.
NGRAM, WINDOW, ALLOWED = "ngram_size", "window_size", "whitelist_token_ids"
LARGEST_WINDOW = 4096
NOT_YET = -1  # vLLM's placeholder for a token that is still on its way from the device


@dataclass(frozen=True, slots=True)
class NgramRule:
    """The rule for one request.

    Attributes:
        ngram: Tokens of the n-gram that may not occur twice; at least 2.
        window: How many of the last tokens are examined; at least `ngram`.
        allowed: Ids of tokens that are never banned.
    """

    ngram: int
    window: int
    allowed: frozenset[int] = frozenset()

    @property
    def run(self) -> int:
        """How long a run must be to ban a token."""
        return self.ngram - 1

    @property
    def lags(self) -> int:
        """The longest lag that is examined."""
        return self.window - self.ngram + 1


def request_args(guard: Guard | None, never_banned: Iterable[int] = ()) -> dict[str, Any]:
    """The arguments of a guarded request; empty for no guard.

    They go into `SamplingParams.extra_args`, or over HTTP into `vllm_xargs`.

    Args:
        guard: The n-gram settings; None for no guard.
        never_banned: Token ids (DeepSeek-OCR: 128821 and 128822, `<td>` and `</td>`).
    """
    if guard is None:
        return {}
    return {NGRAM: guard.ngram, WINDOW: guard.window, ALLOWED: sorted(set(never_banned))}


def rule_of(extra_args: Mapping[str, Any] | None) -> NgramRule | None:
    """The rule that a request asks for, or None.

    Raises:
        ValueError: The request's settings are invalid.
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
        rule: The rule of its request.
        answer: Its tokens; vLLM appends to them.
        read: How many tokens it had at the last check.
        due: How many it must have for the next check; nothing is banned before.
    """

    rule: NgramRule
    answer: Sequence[int]
    read: int = 0
    due: int = 0

    def banned(self) -> list[int]:
        """The tokens that may not come next; also sets when to check again."""
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
    """The number of equal tokens at the beginning of both."""
    if newest == earlier:
        return len(newest)
    pairs = enumerate(zip(newest, earlier, strict=False))
    return next((depth for depth, (one, other) in pairs if one != other), len(earlier))


class HostGuard:
    """The banned tokens of every request in a batch.

    Requests are in numbered slots.  A request's answer is a list to which vLLM appends tokens;
    `step` reads what was appended since the previous step.
    """

    def __init__(self) -> None:
        self._requests: dict[int, _Request] = {}

    def add(self, slot: int, rule: NgramRule | None, answer: Sequence[int]) -> None:
        """Put a request into a slot, replacing any other; without a rule nothing is banned."""
        self.remove(slot)
        if rule is not None:
            self._requests[slot] = _Request(rule, answer)

    def remove(self, slot: int) -> None:
        """Remove the request in a slot, if there is one."""
        self._requests.pop(slot, None)

    def move(self, source: int, target: int) -> None:
        """Move a request to another slot, replacing any request there."""
        if source != target:
            self.remove(target)
            self.swap(source, target)

    def swap(self, one: int, other: int) -> None:
        """Exchange the requests of two slots."""
        first, second = self._requests.pop(one, None), self._requests.pop(other, None)
        if first:
            self._requests[other] = first
        if second:
            self._requests[one] = second

    def step(self) -> tuple[list[int], list[int]]:
        """The bans for the next token: a list of slots and one of token ids, pair by pair."""
        slots: list[int] = []
        tokens: list[int] = []
        for slot, request in self._requests.items():
            # An answer can also have lost tokens since the last check.
            if not request.read <= len(request.answer) < request.due:
                banned = request.banned()
                slots += [slot] * len(banned)
                tokens += banned
        return slots, tokens
