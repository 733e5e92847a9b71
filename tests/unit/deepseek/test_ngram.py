"""What a request says about its guard, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from ocrd.engine.deepseek.ngram import NgramRule, request_args, rule_of
from ocrd.modes import Guard


def test_a_mode_s_guard_travels_with_the_request() -> None:
    """In the names of vLLM's own guard, for HTTP lets nothing nested pass."""
    args = request_args(Guard(ngram=20, window=50), never_banned=[128822, 128821, 128821])
    assert args == {"ngram_size": 20, "window_size": 50, "whitelist_token_ids": [128821, 128822]}
    assert rule_of(args) == NgramRule(20, 50, frozenset({128821, 128822}))


def test_a_mode_without_a_guard_says_nothing() -> None:
    assert request_args(None, never_banned=[1]) == {}
    assert rule_of(None) is None
    assert rule_of({"something": "else"}) is None


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"ngram_size": 0, "window_size": 90}, "ngram_size"),  # how a server is asked for its guard
        ({"ngram_size": 1, "window_size": 90}, "ngram_size"),
        ({"ngram_size": True, "window_size": 90}, "ngram_size"),
        ({"ngram_size": 2.5, "window_size": 90}, "ngram_size"),
        ({"ngram_size": None, "window_size": 90}, "ngram_size"),
        ({"ngram_size": 30}, "window_size"),
        ({"ngram_size": 30, "window_size": 29}, "window_size"),
        ({"ngram_size": 30, "window_size": 10**9}, "window_size"),
        ({"ngram_size": 30, "window_size": 90, "whitelist_token_ids": ["<td>"]}, "whitelist"),
        ({"ngram_size": 30, "window_size": 90, "whitelist_token_ids": "128821"}, "whitelist"),
    ],
)
def test_a_guard_that_cannot_be_is_refused_by_the_name_of_its_setting(
    given: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        rule_of(given)
