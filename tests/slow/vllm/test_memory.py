"""Too little memory, in a real engine: settings are lowered step by step, and everybody is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ocrd.job import JobState
from tests.slow.vllm.daemons import HANG_S, TOKENS, Place, running

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(4 * HANG_S)]

FAILED = 1
FOLDER = '[[folder]]\nname = "scans"\nmode = "ocr"\nresolution = "{}"\noutputs = ["json"]\n'


def test_after_a_step_down_the_engine_runs_and_status_and_log_say_which(
    checkpoint: Path, tmp_path: Path
) -> None:
    step = "max_pages_in_flight 32 -> 16"
    place = Place(
        tmp_path / "srv",
        checkpoint,
        FOLDER.format("tiny"),
        engine="max_pages_in_flight = 32\ngpu_memory_utilization = 0.6",
        options='logits_processors = ["tests.slow.vllm.hungry:Hungry"]',
    )
    place.drop("scans", "a.jpg", 1)
    with running(place) as run:
        run.until(lambda facts: facts.get("engine", {}).get("state") == "ready")
        told = json.loads(place.ocrd("status", "--json"))
        assert told["engine"]["steps"] == [step]
        assert f"lowered: {step}" in place.ocrd("status")
        run.until(lambda _: run.events("job.done"))
        run.process.terminate()
        assert run.process.wait(HANG_S) == 0
        (lowered,) = run.events("engine.step")
    assert step in lowered
    (job,) = place.jobs()
    assert (job.state, job.attempts) == (JobState.DONE, 1)
    sidecar = place.root / "outbox" / "scans" / "a" / "a.json"
    assert json.loads(sidecar.read_text())["pages"][0]["tokens"] == TOKENS


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
