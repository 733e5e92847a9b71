"""The n-gram rule: which tokens may not come next.  Pure.

The rule is the one published with DeepSeek-OCR.  Let the answer so far end with some `ngram - 1`
tokens; wherever the same `ngram - 1` tokens stand earlier in a row, within the last `window`
tokens of the answer, the token that followed them there is banned now, unless it is one of the
`allowed`.

Seen from the end: with *lag* d the distance back, and the *run* of d the number of last tokens
that each equal the token d before them, the token d - 1 before the last is banned when the run of
d has reached `ngram - 1`, for d up to `window - ngram + 1`.  A run grows by one or falls to zero
with each token, so that one comparison a lag and token is all the work.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ocrd.modes import Guard

KEY = "ocrd_guard"
FLAT = {"ngram": "ngram_size", "window": "window_size", "allowed": "whitelist_token_ids"}
LARGEST_WINDOW = 4096


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


def request_args(guard: Guard | None, never_banned: Iterable[int] = ()) -> dict[str, Any] | None:
    """What `SamplingParams.extra_args` must say for the guard to act on a request; None for none.

    Args:
        guard: The n-gram settings.
        never_banned: Token ids (DeepSeek-OCR: 128821 and 128822, `<td>` and `</td>`).
    """
    if guard is None:
        return None
    return {
        KEY: {"ngram": guard.ngram, "window": guard.window, "allowed": sorted(set(never_banned))}
    }


def flat_args(guard: Guard | None, never_banned: Iterable[int] = ()) -> dict[str, Any] | None:
    """The same as a request over HTTP may say it (`vllm_xargs`), in the names of vLLM's own guard.

    Nothing nested passes there.
    """
    given = (request_args(guard, never_banned) or {}).get(KEY)
    return given and {FLAT[name]: value for name, value in given.items()}


def rule_of(extra_args: Mapping[str, Any] | None) -> NgramRule | None:
    """The rule that a request asks for, or None.

    Raises:
        ValueError: It asks for one that cannot be.
    """
    asked = extra_args or {}
    given = asked.get(KEY)
    if given is None:
        if FLAT["ngram"] not in asked:
            return None
        given = {name: asked[flat] for name, flat in FLAT.items() if flat in asked}
    if not isinstance(given, Mapping):
        message = f"`{KEY}` must be a mapping with `ngram` and `window`, got {given!r}"
        raise ValueError(message)  # noqa: TRY004 - vLLM refuses the request on a ValueError
    ngram = _whole(given, "ngram", 2)
    window = _whole(given, "window", ngram)
    allowed = given.get("allowed", ())
    if isinstance(allowed, str | bytes) or not all(_is_whole(token) for token in allowed):
        raise ValueError(f"`{KEY}.allowed` must be a list of token ids, got {allowed!r}")
    return NgramRule(ngram, window, frozenset(allowed))


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _whole(given: Mapping[str, Any], name: str, least: int) -> int:
    value: Any = given.get(name)
    if not _is_whole(value) or not least <= value <= LARGEST_WINDOW:
        raise ValueError(
            f"`{KEY}.{name}` must be a whole number from {least} to {LARGEST_WINDOW}, got {value!r}"
        )
    return int(value)
