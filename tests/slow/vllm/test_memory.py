"""A daemon whose engine has too little memory, or which is told to stop while pages are read."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from ocrd.job import JobState
from tests.slow.vllm.daemons import HANG_S, TOKENS, Place, Run, running

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(4 * HANG_S)]

FAILED = 1
SCANS = 3
FOLDER = '[[folder]]\nname = "scans"\nmode = "ocr"\nresolution = "{}"\noutputs = ["json"]\n'


def told_to_stop(run: Run, place: Place) -> int:
    """Tell a daemon to stop when all its pages are in an engine that stands still; its process.

    The scans are dropped once it does, so that none of them can be read.
    """
    run.until(lambda facts: facts.get("engine", {}).get("state") == "ready")
    os.kill(engine := run.engine_pid(), signal.SIGSTOP)
    for number in range(SCANS):
        place.drop("scans", f"{number}.jpg", number)
    run.until(lambda _: len(run.events("job.queued")) == SCANS)
    run.until_all_in_flight()
    run.process.terminate()
    run.until(lambda _: run.events("daemon.stopping"))
    return engine


def test_jobs_that_cannot_be_finished_in_time_are_put_back(
    checkpoint: Path, tmp_path: Path
) -> None:
    place = Place(tmp_path / "srv", checkpoint, FOLDER.format("tiny") + "[jobs]\ndrain_s = 0.5\n")
    with running(place) as run:
        engine = told_to_stop(run, place)
        assert run.process.wait(HANG_S) == 0, run.said()[-4000:]
        assert not Path(f"/proc/{engine}").exists()
    assert [(job.state, job.attempts) for job in place.jobs()] == [(JobState.QUEUED, 0)] * SCANS


def test_after_a_step_down_the_engine_runs_is_drained_and_status_and_log_say_which(
    checkpoint: Path, tmp_path: Path
) -> None:
    step = "max_pages_in_flight 32 -> 16"
    place = Place(
        tmp_path / "srv",
        checkpoint,
        FOLDER.format("tiny") + f"[jobs]\ndrain_s = {HANG_S}\n",
        engine="max_pages_in_flight = 32\ngpu_memory_utilization = 0.6",
        options='logits_processors = ["tests.slow.vllm.faulty:Hungry"]',
    )
    with running(place) as run:
        run.until(lambda facts: facts.get("engine", {}).get("state") == "ready")
        told = json.loads(place.ocrd("status", "--json"))
        assert told["engine"]["steps"] == [step]
        assert f"lowered: {step}" in place.ocrd("status")
        os.kill(told_to_stop(run, place), signal.SIGCONT)
        assert run.process.wait(HANG_S) == 0, run.said()[-4000:]
        (lowered,) = run.events("engine.step")
    assert step in lowered
    assert [(job.state, job.attempts) for job in place.jobs()] == [(JobState.DONE, 1)] * SCANS
    sidecars = [bundle / f"{bundle.name}.json" for bundle in place.bundles("scans")]
    assert [json.loads(one.read_text())["pages"][0]["tokens"] for one in sidecars] == [TOKENS] * 3


def test_a_cache_too_small_for_one_page_ends_at_the_bottom_of_the_ladder(
    checkpoint: Path, tmp_path: Path
) -> None:
    """A token takes 4 KiB in this small model; a page of 1024 needs four times what there is."""
    place = Place(
        tmp_path / "srv",
        checkpoint,
        FOLDER.format("base"),
        engine="max_pages_in_flight = 16",
        options=f"kv_cache_memory_bytes = {1 << 20}",
    )
    place.drop("scans", "a.jpg", 1)
    with running(place, "--once", VLLM_CPU_KVCACHE_SPACE="") as run:
        run.until(lambda facts: facts.get("engine", {}).get("steps") == ["resolution -> small"])
        assert "lowered: resolution -> small" in place.ocrd("status")
        assert run.process.wait(HANG_S) == FAILED
        *_, what, hint = run.said().splitlines()
        assert len(run.events("engine.step")) == 1
    assert what.startswith("ocrd: ")
    assert "no room for the engine's cache, even with every setting lowered" in what
    assert "engine.gpu_memory_utilization" in hint
    (job,) = place.jobs()
    assert (job.state, job.attempts, job.error) == (JobState.QUEUED, 0, None)
    assert (place.root / "inbox" / "scans" / "a.jpg").exists()
