"""vLLM's schedulers with a stopwatch: what planning costs, and how many pages begin in a step.

They run in the engines' processes, as vLLM's `scheduler_cls`.  Each writes a line per step to a
file in the folder that OCRD_BENCH_STEPS names: seconds since the epoch, milliseconds of planning,
pages that began, pages that are being read.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from vllm.v1.core.sched.async_scheduler import AsyncScheduler

from ocrd.engine.deepseek.scheduler import GroupScheduler

FLUSH = 64  # steps


class StopWatch:
    """A base class to put before a scheduler of vLLM's."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lines: list[str] = []
        self._file = Path(os.environ["OCRD_BENCH_STEPS"], str(os.getpid()))

    def schedule(self, *args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        planned = super().schedule(*args, **kwargs)  # type: ignore[misc] # defined by the other base class
        spent = (time.perf_counter() - began) * 1e3
        pages, running = len(planned.scheduled_new_reqs), len(planned.num_scheduled_tokens)
        self._lines.append(f"{time.time():.3f} {spent:.2f} {pages} {running}\n")
        if len(self._lines) >= FLUSH:
            with self._file.open("a") as file:
                file.writelines(self._lines)
            self._lines.clear()
        return planned


class Timed(StopWatch, AsyncScheduler):
    """Each page begins as soon as there is a place, as in vLLM."""


class TimedGroups(StopWatch, GroupScheduler):
    """Pages begin in groups, as in ocrd."""
