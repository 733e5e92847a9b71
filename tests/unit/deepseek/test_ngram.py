"""What a request says about its guard, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from ocrd.engine.deepseek.ngram import NgramRule, flat_args, request_args, rule_of
from ocrd.modes import Guard


def test_a_mode_s_guard_travels_with_the_request() -> None:
    args = request_args(Guard(ngram=20, window=50), never_banned=[128822, 128821, 128821])
    assert args == {"ocrd_guard": {"ngram": 20, "window": 50, "allowed": [128821, 128822]}}
    assert rule_of(args) == NgramRule(20, 50, frozenset({128821, 128822}))


def test_a_mode_without_a_guard_says_nothing() -> None:
    assert request_args(None, never_banned=[1]) is None
    assert rule_of(None) is None
    assert rule_of({"something": "else"}) is None


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("30/90", "ocrd_guard"),
        ({}, "ngram"),
        ({"ngram": 1, "window": 90}, "ngram"),
        ({"ngram": True, "window": 90}, "ngram"),
        ({"ngram": 2.5, "window": 90}, "ngram"),
        ({"ngram": 30}, "window"),
        ({"ngram": 30, "window": 29}, "window"),
        ({"ngram": 30, "window": 10**9}, "window"),
        ({"ngram": 30, "window": 90, "allowed": ["<td>"]}, "allowed"),
        ({"ngram": 30, "window": 90, "allowed": "128821"}, "allowed"),
    ],
)
def test_a_guard_that_cannot_be_is_refused_by_the_name_of_its_setting(
    given: Any, named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        rule_of({"ocrd_guard": given})


def test_the_rule_can_be_said_without_nesting_as_http_asks() -> None:
    flat = flat_args(Guard(ngram=30, window=90), [7, 5])
    assert flat == {"ngram_size": 30, "window_size": 90, "whitelist_token_ids": [5, 7]}
    assert rule_of(flat) == rule_of(request_args(Guard(ngram=30, window=90), [7, 5]))
    assert flat_args(None) is None
    with pytest.raises(ValueError, match="whole number"):
        rule_of({"ngram_size": 0, "window_size": 90})
