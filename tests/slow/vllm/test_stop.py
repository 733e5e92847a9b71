"""The daemon is told to stop while pages are in the real model: it drains, or puts them back."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ocrd.job import JobState
from tests.slow.vllm.daemons import HANG_S, Place, Run, running

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(4 * HANG_S)]

SCANS = 3
FOLDER = """\
[jobs]
drain_s = {drain_s}
[[folder]]
name = "slips"
mode = "ocr"
resolution = "tiny"
"""


@contextmanager
def told_to_stop(place: Place, first: int) -> Iterator[tuple[Run, int]]:
    """A daemon that has been told to, all its pages in an engine that stands still; who that is.

    The scans are dropped once it does, from number `first` on, so that none of them can be read.
    """
    with running(place) as run:
        run.until(lambda _: run.events("engine.ready"))
        os.kill(engine := run.engine_pid(), signal.SIGSTOP)
        for number in range(first, first + SCANS):
            place.drop("slips", f"{number}.jpg", number)
        run.until(lambda _: len(run.events("job.queued")) == SCANS)
        run.until_all_in_flight()
        run.process.terminate()
        run.until(lambda _: run.events("daemon.stopping"))
        yield run, engine


def test_a_daemon_told_to_stop_drains_or_puts_its_jobs_back(
    checkpoint: Path, tmp_path: Path
) -> None:
    place = Place(tmp_path / "srv", checkpoint, FOLDER.format(drain_s=0.5))
    with told_to_stop(place, 0) as (run, engine):
        assert run.process.wait(HANG_S) == 0, run.said()[-4000:]
        assert not Path(f"/proc/{engine}").exists()
    assert [(job.state, job.attempts) for job in place.jobs()] == [(JobState.QUEUED, 0)] * SCANS

    text = place.config.read_text(encoding="utf-8")
    place.config.write_text(text.replace("drain_s = 0.5", f"drain_s = {HANG_S}"), encoding="utf-8")
    with told_to_stop(place, SCANS) as (run, engine):
        os.kill(engine, signal.SIGCONT)
        assert run.process.wait(HANG_S) == 0, run.said()[-4000:]
    assert [(job.state, job.attempts) for job in place.jobs()] == [(JobState.DONE, 1)] * 2 * SCANS
    assert len(place.bundles("slips")) == 2 * SCANS
