"""Numbers and times in words."""

from __future__ import annotations

from datetime import datetime


def counted(number: int, word: str) -> str:
    """`1 file`, `2,061 files`."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """`42 s`, `3 min`, `5 h`, `2 d`: short enough to read at a glance."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def about(seconds: float) -> str:
    """`about 1 h 20 min`, `less than a minute`: no more precise than an estimate can be."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    whole, rest = divmod(minutes, 60)
    parts = ([f"{whole} h"] if whole else []) + ([f"{rest} min"] if rest else [])
    return " ".join(["about", *parts])


def iso(seconds: float | None) -> str | None:
    """A time as in all JSON output: ISO 8601, to the second, with the zone."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")


def clock(seconds: float) -> str:
    """Local date and time, to the second."""
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")


def when(seconds: float, now: float) -> str:
    """A short local time: `14:03` today, `Nov 28 14:03` this year, otherwise the date."""
    then, today = datetime.fromtimestamp(seconds), datetime.fromtimestamp(now)
    if then.date() == today.date():
        return then.strftime("%H:%M")
    return then.strftime("%b %d %H:%M" if then.year == today.year else "%Y-%m-%d")
