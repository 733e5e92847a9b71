"""What a front end hears of an answer: all of it in the end, and nothing in between."""

from __future__ import annotations

from typing import Any

import pytest
from vllm import SamplingParams
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine import EngineCoreOutput, FinishReason
from vllm.v1.request import Request

from ocrd.engine.deepseek.scheduler import wanted_whole, worth_telling

pytestmark = pytest.mark.vllm

WHOLE = {"output_kind": RequestOutputKind.FINAL_ONLY}


def request(**params: Any) -> Request:
    return Request("1", [1, 2, 3], SamplingParams(max_tokens=50, **params), None)


def heard(one: Request, steps: list[list[int]]) -> list[list[int]]:
    """What reaches the front end of an answer in such pieces, the last of which ends it."""
    told = []
    for number, tokens in enumerate(steps, start=1):
        one.append_output_token_ids(list(tokens))
        last = FinishReason.STOP if number == len(steps) else None
        output = EngineCoreOutput("1", list(tokens), finish_reason=last)
        if worth_telling(one, output):
            told.append(output.new_token_ids)
    return told


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ([[7], [8], [9], [10]], [[7], [8, 9, 10]]),
        ([[7]], [[7]]),
        ([[7], [8]], [[7], [8]]),
        ([[7, 8], [9], [10, 11]], [[7, 8], [9, 10, 11]]),
        ([[7], []], [[7], []]),
        ([[7], [8], []], [[7], [8]]),
    ],
)
def test_an_answer_that_is_wanted_whole_comes_in_two_pieces(
    steps: list[list[int]], told: list[list[int]]
) -> None:
    assert heard(request(**WHOLE), steps) == told


@pytest.mark.parametrize(
    "params",
    [
        {"output_kind": RequestOutputKind.DELTA},
        {"output_kind": RequestOutputKind.CUMULATIVE},
        {**WHOLE, "stop": ["</s>"]},
        {**WHOLE, "logprobs": 1},
    ],
)
def test_one_that_is_looked_at_as_it_comes_is_let_alone(params: dict[str, Any]) -> None:
    assert not wanted_whole(SamplingParams(**params))
    steps = [[7], [8], [9]]
    assert heard(request(**params), steps) == steps


def test_what_is_said_of_no_request_passes() -> None:
    assert worth_telling(None, EngineCoreOutput("gone", [], finish_reason=FinishReason.ABORT))
