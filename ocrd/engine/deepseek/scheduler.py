"""vLLM's scheduler, with pages that begin in groups (see `groups`) and are told of when they end.

It runs in the engine's process and is named to vLLM by `resident.process`.  Both supported ways of
admitting requests, with one waiting queue or with two, look at the same flag.

After each step vLLM tells its front end of every token of every request, which the daemon's process
takes in one by one, for all its engines, though it waits for whole answers.
"""

from __future__ import annotations

import time
from typing import Any

from vllm.sampling_params import RequestOutputKind, SamplingParams
from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.interface import PauseState

from ocrd.engine.deepseek.groups import PageGroups

TOLD = "ocrd_told"  # attribute of a request: how many of its tokens the front end has


class GroupScheduler(AsyncScheduler):
    """Lets pages wait for a few steps where that makes the steps fewer that take pages in.

    Of an answer that is wanted whole, the front end hears its first token and its end.
    """

    _pause_state: PauseState  # vLLM's

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._groups = PageGroups(self.max_num_running_reqs, time.monotonic)

    def schedule(self, *args: Any, **kwargs: Any) -> Any:
        """Plan a step, without new pages where they are to wait."""
        usual = self._pause_state
        if usual is PauseState.UNPAUSED and not self._groups.admits(*self.get_request_counts()):
            # Not `set_pause_state`, which logs, and is for pauses that others are to see.
            self._pause_state = PauseState.PAUSED_NEW
        try:
            return super().schedule(*args, **kwargs)
        finally:
            self._pause_state = usual

    def update_from_output(self, *args: Any, **kwargs: Any) -> Any:
        """What a step brought, for each front end."""
        requests = dict(self.requests)  # one that ends is gone from there
        found = super().update_from_output(*args, **kwargs)
        for brought in found.values():
            brought.outputs = [
                one for one in brought.outputs if worth_telling(requests.get(one.request_id), one)
            ]
        return found


def worth_telling(request: Any, output: Any) -> bool:
    """Whether the front end has to hear of an output now; its end brings all that was held back."""
    if request is None or not wanted_whole(request.sampling_params):
        return True
    told = getattr(request, TOLD, None)
    if told is None:  # the first has more to tell than a token
        setattr(request, TOLD, len(output.new_token_ids))
        return True
    if output.finish_reason is not None:
        output.new_token_ids = list(request.output_token_ids[told:])
    return output.finish_reason is not None


def wanted_whole(params: SamplingParams | None) -> bool:
    """Whether nobody looks at an answer before it is whole: not for a text to stop at either."""
    return (
        params is not None
        and params.output_kind == RequestOutputKind.FINAL_ONLY
        and not params.stop
        and params.logprobs is None
        and params.prompt_logprobs is None
    )
