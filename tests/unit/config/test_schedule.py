"""When pages may be read: the week's windows, over midnight and over the clock's changes."""

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrd.config import load
from ocrd.errors import ConfigError
from ocrd.schedule import DAYS, parse

BERLIN = ZoneInfo("Europe/Berlin")
EVENINGS = ("Mon-Fri 20:00-06:00", "Sat-Sun")


def moment(text: str) -> float:
    """`2026-11-23 20:00` in Berlin, or with an offset of its own; the 23rd is a Monday."""
    read = datetime.fromisoformat(text)
    return (read if read.tzinfo else read.replace(tzinfo=BERLIN)).timestamp()


def opens(lines: tuple[str, ...], at: str) -> str | None:
    """When the schedule opens next, as the clock in Berlin shows it; None when it is open."""
    found = parse(lines).opens_at(moment(at), BERLIN)
    return None if found is None else f"{datetime.fromtimestamp(found, BERLIN):%Y-%m-%d %H:%M %z}"


def test_without_windows_it_is_always_open() -> None:
    assert opens((), "2026-11-23 12:00") is None


@pytest.mark.parametrize(
    ("at", "next_open"),
    [
        ("2026-11-23 05:59", "2026-11-23 20:00 +0100"),  # Monday: Sunday's window ended at midnight
        ("2026-11-23 19:59", "2026-11-23 20:00 +0100"),
        ("2026-11-23 20:00", None),
        ("2026-11-24 05:59", None),
        ("2026-11-24 06:00", "2026-11-24 20:00 +0100"),
        ("2026-11-28 03:00", None),  # Saturday: Friday's window and its own
        ("2026-11-28 12:00", None),
        ("2026-11-29 23:59", None),
        ("2026-11-30 00:00", "2026-11-30 20:00 +0100"),
    ],
)
def test_evenings_and_week_ends(at: str, next_open: str | None) -> None:
    assert opens(EVENINGS, at) == next_open


@pytest.mark.parametrize(
    ("line", "at", "next_open"),
    [
        ("22:00-05:30", "2026-11-25 05:29", None),  # without days: every day
        ("22:00-05:30", "2026-11-25 05:30", "2026-11-25 22:00 +0100"),
        ("Fri 22:00-02:00", "2026-11-28 01:59", None),  # it belongs to the day it begins on
        ("Sat 22:00-02:00", "2026-11-28 01:59", "2026-11-28 22:00 +0100"),
        ("Mon,Wed,Fri 12:00-13:00", "2026-11-24 12:30", "2026-11-25 12:00 +0100"),
        ("Sat-Mon", "2026-11-23 23:59", None),  # a range over the week's end
        ("Sat-Mon", "2026-11-24 00:00", "2026-11-28 00:00 +0100"),
        ("Mon 18:00-24:00", "2026-11-23 23:59", None),
        ("Mon 18:00-24:00", "2026-11-24 00:00", "2026-11-30 18:00 +0100"),
        ("mon-tue 00:00-24:00", "2026-11-24 12:00", None),
        ("Mon", "2026-11-24 00:00", "2026-11-30 00:00 +0100"),
    ],
)
def test_each_form_of_a_window(line: str, at: str, next_open: str | None) -> None:
    assert opens((line,), at) == next_open


@pytest.mark.parametrize(
    ("line", "at", "next_open"),
    [
        # In the night to 29 March 2026 the clock goes from 02:00 +01:00 to 03:00 +02:00.
        ("20:00-06:00", "2026-03-29T05:59+02:00", None),
        ("20:00-06:00", "2026-03-29T06:00+02:00", "2026-03-29 20:00 +0200"),
        ("02:30-04:00", "2026-03-29T01:59+01:00", "2026-03-29 03:30 +0200"),
        ("02:30-03:15", "2026-03-29T01:00+01:00", "2026-03-30 02:30 +0200"),  # swallowed
        ("Sun 02:30-03:15", "2026-03-22T12:00+01:00", "2026-04-05 02:30 +0200"),  # for a week
        ("Sun 02:30-03:15", "2026-03-28T12:00+01:00", "2026-04-05 02:30 +0200"),
        ("00:00-02:30", "2026-03-29T03:29+02:00", None),
        ("00:00-02:30", "2026-03-29T03:30+02:00", "2026-03-30 00:00 +0200"),
        # In the night to 25 October 2026 it goes from 03:00 +02:00 back to 02:00 +01:00.
        ("20:00-06:00", "2026-10-25T02:30+01:00", None),
        ("20:00-06:00", "2026-10-25T06:00+01:00", "2026-10-25 20:00 +0100"),
        ("02:30-04:00", "2026-10-25T02:30+02:00", None),  # the first half past two
        ("00:00-02:30", "2026-10-25T02:00+01:00", "2026-10-26 00:00 +0100"),
        ("02:30-04:00", "2026-10-25T02:10+01:00", None),
    ],
)
def test_the_clock_is_put_forward_and_back(line: str, at: str, next_open: str | None) -> None:
    assert opens((line,), at) == next_open


@given(st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)), st.sampled_from(EVENINGS))
def test_at_the_moment_it_names_it_is_open_and_just_before_it_is_not(
    now: datetime, line: str
) -> None:
    schedule = parse([line])
    at = schedule.opens_at(moment(now.isoformat()), BERLIN)
    if at is not None:
        assert schedule.opens_at(at, BERLIN) is None
        assert schedule.opens_at(at - 1, BERLIN) == at


def test_windows_that_adjoin_leave_no_gap_whatever_the_clock_does() -> None:
    day = parse(["00:00-02:30", "02:30-24:00"])
    for start in ("2026-03-28 20:00", "2026-10-24 20:00"):
        for minute in range(12 * 60):
            assert day.opens_at(moment(start) + 60 * minute, BERLIN) is None


@pytest.mark.parametrize(
    "line",
    ["", " ", "Mo-Fr 20:00-06:00", "Mon-Fri 8pm-6am", "25:00-26:00", "20:00", "Mon-Fri 20:00",
     "20:00-20:00", "Mon 24:00-06:00", "weekend", "Mon;Tue", "20:60-21:00"],
)  # fmt: skip
def test_a_line_that_is_no_window_is_refused_with_the_key_and_a_remedy(
    tmp_path: Path, line: str
) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f'root = "/x"\n[[folder]]\nname = "a"\nschedule = ["{line}"]\n')
    with pytest.raises(ConfigError, match="folder 'a': schedule: ") as raised:
        load(file)
    assert raised.value.hint


@pytest.mark.parametrize("name", DAYS)
def test_days_are_those_of_the_calendar(name: str) -> None:
    day = 23 + DAYS.index(name)
    assert opens((name,), f"2026-11-{day} 12:00") is None
    assert f"{datetime(2026, 11, day):%a}" == name
