"""What becomes of a job that met an error, and when it is tried again.

A *pause* concerns a place that many jobs need: a full disk, a share that is gone.  The folder
starts no job; now and then one of its waiting jobs tries the place.  If it gets through, the others
follow, and the pause ends when all that waited got through: a disk with room for one job at a time
causes one pause and not many.  A *hold* concerns one job: a sub-folder without rights, a name that
the target refuses, a file that needs more memory than there is.  The other jobs continue.  Neither
costs an attempt; only a *retry* does.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from ocrd.config.schema import JobsSettings
from ocrd.errors import Disposition, MemoryShortError, OcrdError, PlaceError, SourceChangedError
from ocrd.job import Job, JobState

FIRST_DELAY_S = 2.0
LONGEST_PAUSE_S = 60.0
LONGEST_HOLD_S = 300.0
NO_MEMORY = "no-memory"  # the kind of error when the kernel killed a child for lack of memory
LOOK_AGAIN_S = 1.0  # a file that changed is left alone at least so long


class Outcome(enum.Enum):
    """What becomes of a job that met an error."""

    PAUSE = "its folder waits for a place, and the job with it"
    HOLD = "the job alone waits"
    CHANGED = "its original is not what was recorded"
    FAIL = "it has failed"
    RETRY = "it is tried again later; that costs an attempt"


def delay_s(settings: JobsSettings, attempts: int) -> float:
    """The wait after the `attempts`th failed attempt, in seconds: it doubles, up to a maximum."""
    return min(settings.retry_max_s, settings.retry_delay_s * 2.0 ** (max(attempts, 1) - 1))


def outcome(settings: JobsSettings, job: Job, trees: Iterable[Path], error: OcrdError) -> Outcome:
    """What becomes of a job that met `error`; its folder moves files between `trees`."""
    if error.disposition is Disposition.CONDITION:
        short = isinstance(error, MemoryShortError) or error.kind == NO_MEMORY
        its_own = short or (isinstance(error, PlaceError) and error.is_below(trees))
        return Outcome.HOLD if its_own else Outcome.PAUSE
    if is_ending(job):  # it cannot go back into the queue
        return Outcome.HOLD
    if isinstance(error, SourceChangedError):
        return Outcome.CHANGED
    if error.disposition is Disposition.PERMANENT or job.attempts >= settings.max_attempts:
        return Outcome.FAIL
    return Outcome.RETRY


def is_ending(job: Job) -> bool:
    """Whether only the job's last steps are left, which need no engine."""
    return job.state is JobState.DELIVERING or job.ending is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Wait:
    """Why a folder or a job waits, since when, and when it is tried again (seconds of one clock).

    `through` says that the last try got through, so that all others may follow.
    """

    error: OcrdError
    since: float
    until: float
    delay: float
    through: bool = False

    def over(self, now: float) -> bool:
        """Whether it is time for a try; a clock that was put back does not delay it for years."""
        return self.through or now >= self.until or now < self.until - self.delay


class Waits:
    """What waits now, at most `longest_s` between two tries: folders by name, jobs by number."""

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self.now: dict[str | int, Wait] = {}

    def met(self, who: str | int, error: OcrdError, now: float) -> bool:
        """Record that `who` met an error; True if it did not wait before."""
        before = self.now.get(who)
        if before is None:
            self.now[who] = Wait(
                error=error, since=now, until=now + FIRST_DELAY_S, delay=FIRST_DELAY_S
            )
            return True
        if before.over(now):  # the try failed; several that fail at once are one failure
            delay = min(before.delay * 2, self._longest_s)
            self.now[who] = replace(
                before, error=error, until=now + delay, delay=delay, through=False
            )
        return False

    def passes(self, who: str | int) -> None:
        """Record that a try of `who` got through."""
        if who in self.now:
            self.now[who] = replace(self.now[who], through=True)

    def over(self, who: str | int, now: float) -> bool:
        """Whether `who` may be tried now."""
        wait = self.now.get(who)
        return wait is None or wait.over(now)

    def ended(self, who: str | int) -> None:
        """Forget `who`: all that waited got through, or nothing waits any more."""
        self.now.pop(who, None)
