"""When a folder's pages may be read: windows of the week in local time.  Pure: time is a parameter.

A window is `DAYS`, `HH:MM-HH:MM` or both: `Mon-Fri 20:00-06:00`, `Sat-Sun`, `Mon,Wed 12:00-13:00`,
`22:00-05:30`.  One that ends no later than it begins ends on the next day; it belongs to the day on
which it begins.

A time that is skipped when the clock goes forward counts as if the clock had not changed (02:30 is
then shown as 03:30); of a time that occurs twice when it goes back, the first counts.  So windows
that adjoin on paper adjoin in fact, with no gap when the clock changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo

from ocrd.errors import ConfigError

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
REMEDY = 'Write days, times or both: "Mon-Fri 20:00-06:00", "Sat-Sun", "22:00-05:30".'

_DAY = "|".join(DAYS)
_RANGE = rf"(?:{_DAY})(?:-(?:{_DAY}))?"
_TIME = r"(?:[01]\d|2[0-3]):[0-5]\d"
_WINDOW = re.compile(
    rf"(?P<days>{_RANGE}(?:,{_RANGE})*)?\s*(?:(?P<begin>{_TIME})-(?P<end>{_TIME}|24:00))?",
    re.IGNORECASE,
)
_MIDNIGHT = 24 * 60
_WHOLE_DAY = (0, _MIDNIGHT)
_WEEK = 7


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time that recurs every week.

    Attributes:
        days: Days on which it begins; 0 is Monday.
        begin: Minutes after midnight.
        end: Likewise, at most a day after `begin`.
    """

    days: frozenset[int]
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """All windows of a folder, and the lines that define them; without any it is always open."""

    windows: tuple[Window, ...] = ()
    lines: tuple[str, ...] = ()

    def opens_at(self, now: float, zone: tzinfo | None = None) -> float | None:
        """When it opens next.

        Args:
            now: Seconds since the epoch.
            zone: The time zone that the windows are written for; the system's if None.

        Returns:
            Seconds since the epoch; None while it is open.
        """
        if not self.windows:
            return None
        today = datetime.fromtimestamp(now, zone).date()
        coming = []
        for begin, end in self._around(today, zone):
            if begin <= now < end:
                return None
            if now < begin < end:
                coming.append(begin)
        return min(coming)

    def _around(self, today: date, zone: tzinfo | None) -> Iterator[tuple[float, float]]:
        """The windows that may be open today or come next: from yesterday to two weeks ahead.

        One week is not enough, because a clock that goes forward may swallow the next window.
        """
        for days in range(-1, 2 * _WEEK + 1):
            day = today + timedelta(days)
            for window in self.windows:
                if day.weekday() in window.days:
                    yield _instant(day, window.begin, zone), _instant(day, window.end, zone)


ALWAYS = Schedule()


def parse(lines: Sequence[str]) -> Schedule:
    """The schedule that a folder's lines in the configuration define.

    Raises:
        ConfigError: A line is not a window.
    """
    return Schedule(tuple(map(_window, lines)), tuple(lines))


def _window(line: str) -> Window:
    found = _WINDOW.fullmatch(line.strip())
    if found is None or not found.group().strip():
        raise ConfigError(f"{line!r} is no window of time", hint=REMEDY)
    days = frozenset(_days(found["days"])) if found["days"] else frozenset(range(_WEEK))
    if found["begin"] is None:
        return Window(days, *_WHOLE_DAY)
    begin, end = _minutes(found["begin"]), _minutes(found["end"])
    if begin == end:
        raise ConfigError(
            f"{line!r} begins and ends at the same time",
            hint="Leave the times out for whole days.",
        )
    return Window(days, begin, end if end > begin else end + _MIDNIGHT)


def _days(text: str) -> Iterator[int]:
    """`Mon-Wed,Sat`: 0, 1, 2, 5.  A range may pass over Sunday."""
    for part in text.split(","):
        first, _, last = part.title().partition("-")
        begin = DAYS.index(first)
        span = (DAYS.index(last or first) - begin) % _WEEK
        yield from ((begin + more) % _WEEK for more in range(span + 1))


def _minutes(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def _instant(day: date, minutes: int, zone: tzinfo | None) -> float:
    more, minute = divmod(minutes, _MIDNIGHT)
    clock = time(minute // 60, minute % 60)
    return datetime.combine(day + timedelta(more), clock, zone).timestamp()
