"""The wall clock as far as ages may be judged by it: not just after it has leapt.

A wrong RTC or time server may put the clock a year ahead, and whatever is deleted for its age would
be deleted a year early.  So a leap must stand for a day before ages are judged by it: time enough
for the right time to come back, or for a person to see it in `ocrd status`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ocrd.errors import OcrdError
from ocrd.files import Disk, write_durably

LEAP_S = 6 * 3600.0  # while we look on, the clock may be off by no more
AWAY_S = 4 * 86400.0  # a machine may be off over a long weekend without any doubt
STANDS_S = 86400.0  # how long a leap must stand
MOST_BYTES = 4096
MOST_S = 1e11  # no clock shows as much: the year 5138

uptime = partial(time.clock_gettime, time.CLOCK_BOOTTIME)  # s; goes on while the machine sleeps


class _Seen(NamedTuple):
    """The wall clock as it was seen last, seconds since the epoch, and its leap if one is recent.

    `leapt_at` is what the clock showed after the leap, `leapt_by` by how many seconds it leapt.
    """

    at: float
    leapt_at: float = 0.0
    leapt_by: float = 0.0


class AgeClock:
    """Gives the time for judging ages, and compares it with `elapsed` from one call to the next.

    `file` keeps what it has seen for the next process: the clock may leap while none runs.

    Attributes:
        doubt: Why nothing may be deleted for its age now, or None.
    """

    doubt: OcrdError | None = None

    def __init__(
        self,
        file: Path,
        *,
        disk: Disk | None = None,
        wall: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = uptime,
    ) -> None:
        self._file, self._disk = file, disk or Disk()
        self._wall, self._elapsed = wall, elapsed
        self._seen: _Seen | None = None
        self._looked = 0.0  # when it was seen, by `elapsed`

    def now(self, newest: Callable[[], float | None]) -> float | None:
        """Seconds since the epoch; None while `doubt` says why the clock cannot be trusted.

        `newest` gives the newest time on record, with which the clock is compared where `file` is
        missing; None if there is none.
        """
        now, elapsed = self._wall(), self._elapsed()
        # What is off or paused each night, or runs once a week, is about as far ahead each time:
        # the leap before stands.
        if (seen := self._seen) is not None:
            by = now - seen.at - (elapsed - self._looked)
            most = min(LEAP_S + max(seen.leapt_by, 0.0), AWAY_S)
        else:
            recorded = newest() if (kept := self._kept()) is None else None
            seen = kept or _Seen(now if recorded is None else recorded)
            by, most = now - seen.at, max(LEAP_S + seen.leapt_by, AWAY_S)
        if not -LEAP_S <= by <= most:
            seen = _Seen(now, now, by)
        elif now >= seen.leapt_at + STANDS_S:
            seen = _Seen(now)
        else:
            seen = seen._replace(at=now)
        if self._seen is None or seen.leapt_at != self._seen.leapt_at:
            self.doubt = _leapt(seen.leapt_by) if seen.leapt_at else None
        self._seen, self._looked = seen, elapsed
        with suppress(OSError):  # a full disk must not prevent that it is emptied
            write_durably(self._file, json.dumps(seen).encode(), self._disk)
        return now if self.doubt is None else None

    def _kept(self) -> _Seen | None:
        """What the file tells, None if it is missing or tells nothing that a clock can show."""
        with suppress(OSError, ValueError, TypeError, OverflowError, RecursionError):
            told = json.loads(self._disk.read(self._file, MOST_BYTES) or b"")
            at, leapt_at, leapt_by = map(float, told)
            if all(abs(each) < MOST_S for each in (at, leapt_at, leapt_by)):
                return _Seen(at, min(leapt_at, at), leapt_by)  # a leap to come would never stand
        return None


def _leapt(by: float) -> OcrdError:
    step = timedelta(seconds=round(abs(by)))
    leap = f"leapt ahead by {step}, or the machine was off" if by > 0 else f"was put back by {step}"
    return OcrdError(
        f"the clock {leap}: nothing is deleted for its age until it has stood for a day",
        hint="Look at the time (`timedatectl`): if it is wrong, set it; if it is right, wait.",
        kind="clock-leapt",
    )
