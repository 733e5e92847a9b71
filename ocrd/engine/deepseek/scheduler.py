"""vLLM's scheduler, changed to start pages in groups (see `groups`) and to report whole answers.

It runs in the engine's process; `resident.process` gives its name to vLLM.  Both supported ways of
admitting requests, with one waiting queue or with two, check the same flag.

After each step vLLM normally sends every token of every request to its front end.  The daemon's
process would have to handle them one by one, for all its engines, though it needs only whole
answers.
"""

from __future__ import annotations

import time
from typing import Any

from vllm.sampling_params import RequestOutputKind, SamplingParams
from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.interface import PauseState

from ocrd.engine.deepseek.groups import PageGroups

TOLD = "ocrd_told"  # attribute of a request: how many of its tokens were sent to the front end


class GroupScheduler(AsyncScheduler):
    """Makes pages wait for a few steps, if fewer steps then have to start pages.

    Of an answer that is wanted whole, the front end gets only the first output and the end.
    """

    _pause_state: PauseState  # vLLM's

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._groups = PageGroups(self.max_num_running_reqs, time.monotonic)

    def schedule(self, *args: Any, **kwargs: Any) -> Any:
        """Plan a step; without new pages if they must wait."""
        usual = self._pause_state
        if usual is PauseState.UNPAUSED and not self._groups.admits(*self.get_request_counts()):
            # Not `set_pause_state`, which logs and is for pauses that others should notice.
            self._pause_state = PauseState.PAUSED_NEW
        try:
            return super().schedule(*args, **kwargs)
        finally:
            self._pause_state = usual

    def update_from_output(self, *args: Any, **kwargs: Any) -> Any:
        """The outputs of a step for each front end, without those that are held back."""
        requests = dict(self.requests)  # a copy, since requests that end are removed
        found = super().update_from_output(*args, **kwargs)
        for brought in found.values():
            brought.outputs = [
                one for one in brought.outputs if worth_telling(requests.get(one.request_id), one)
            ]
        return found


def worth_telling(request: Any, output: Any) -> bool:
    """Whether to send an output to the front end now; the last one gets all held-back tokens."""
    if request is None or not wanted_whole(request.sampling_params):
        return True
    told = getattr(request, TOLD, None)
    if told is None:  # the first output has more information than a token
        setattr(request, TOLD, len(output.new_token_ids))
        return True
    if output.finish_reason is not None:
        output.new_token_ids = list(request.output_token_ids[told:])
    return output.finish_reason is not None


def wanted_whole(params: SamplingParams | None) -> bool:
    """Whether an answer is needed only when complete, and no text to stop at is searched in it."""
    return (
        params is not None
        and params.output_kind == RequestOutputKind.FINAL_ONLY
        and not params.stop
        and params.logprobs is None
        and params.prompt_logprobs is None
    )
