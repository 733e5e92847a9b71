"""vLLM's scheduler, with pages that begin in groups; see `groups`.

It runs in the engine's process and is named to vLLM by `resident.process`.  Both supported ways of
admitting requests, with one waiting queue or with two, look at the same flag.
"""

from __future__ import annotations

import time
from typing import Any

from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.interface import PauseState

from ocrd.engine.deepseek.groups import PageGroups


class GroupScheduler(AsyncScheduler):
    """Lets pages wait for a few steps where that makes the steps fewer that take pages in."""

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
