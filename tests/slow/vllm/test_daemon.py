"""Files in, bundles out: the real daemon with the real vLLM, whose engine is killed on the way."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ocrd.job import JobState
from tests.slow.vllm.daemons import HANG_S, TOKENS, Place, running, systemd

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(4 * HANG_S)]

# Prompt mode and resolution of each folder.
FOLDERS = {
    "slips": ("ocr", "tiny"),
    "letters": ("document", "small"),
    "totals": ("locate", "tiny"),
    "photos": ("describe", "small"),
}
PROMPTS = {
    "slips": "Free OCR.",
    "letters": "<|grounding|>Convert the document to markdown.",
    "totals": "Locate <|ref|>the total<|/ref|> in the image.",
    "photos": "Describe this image in detail.",
}


@dataclass
class Day:
    """What went in, and what was seen of the daemon that worked it off."""

    place: Place
    dropped: dict[tuple[str, str], bytes] = field(default_factory=dict)
    systemd: list[str] = field(default_factory=list)
    loading: set[str] = field(default_factory=set)
    code: int = -1
    log: str = ""

    def events(self, name: str) -> list[str]:
        return [line for line in self.log.splitlines() if f" event={name} " in f"{line} "]


def folders() -> str:
    return "".join(
        f'[[folder]]\nname = "{name}"\nmode = "{mode}"\nresolution = "{resolution}"\n'
        + ('target = "the total"\n' if mode == "locate" else "")
        for name, (mode, resolution) in FOLDERS.items()
    )


def all_in_flight(facts: dict[str, Any]) -> bool:
    """Whether all that is left is being read; each file is a page."""
    left = sum(folder["waiting"] + folder["running"] for folder in facts["folders"])
    return bool(0 < facts["pages_in_flight"] == left)


@pytest.fixture(scope="module")
def day(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    """One run over four folders; EngineCore is killed while pages are in flight."""
    top = tmp_path_factory.mktemp("day")
    place = Place(top / "srv", checkpoint, folders(), engine="max_pages_in_flight = 8")
    day = Day(place)
    for number, folder in enumerate([*FOLDERS, *FOLDERS]):
        name = f"{number}.jpg"
        day.dropped[folder, name] = place.drop(folder, name, number)
    with (
        systemd(top / "notify") as day.systemd,
        running(place, "--once", NOTIFY_SOCKET=str(top / "notify")) as run,
    ):

        def loaded(facts: dict[str, Any]) -> bool:
            engine = facts.get("engine", {"state": ""})
            if engine["state"] == "loading":
                day.loading.add(engine["detail"])
            return bool(run.events("engine.ready"))

        run.until(loaded)
        engine = run.engine_at_work()
        os.kill(engine, signal.SIGSTOP)  # or a fast one is done before the others have come
        run.until(all_in_flight)
        os.kill(engine, signal.SIGKILL)
        day.code = run.process.wait(HANG_S)
        day.log = run.said()
    yield day


def test_every_job_is_done_at_its_first_attempt(day: Day) -> None:
    assert day.code == 0, day.log[-4000:]
    jobs = day.place.jobs()
    assert {(job.state, job.attempts) for job in jobs} == {(JobState.DONE, 1)}
    assert {(job.folder, job.source) for job in jobs} == set(day.dropped)


def test_the_engine_died_under_its_pages_and_another_finished_them(day: Day) -> None:
    (died,) = day.events("engine.died")
    assert "pages=0" not in died
    assert "killed from outside" in died
    assert len(day.events("engine.ready")) >= 2
    assert day.events("page.fault") == day.events("page.failed") == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_folder_gets_bundles_in_its_own_mode_and_resolution(day: Day, folder: str) -> None:
    bundles = day.place.bundles(folder)
    names = [name for dropped, name in day.dropped if dropped == folder]
    assert [bundle.name for bundle in bundles] == [Path(name).stem for name in names]
    for bundle in bundles:
        files = {path.name.removeprefix(bundle.name) for path in bundle.iterdir()}
        assert files >= {".md", ".raw.mmd", ".pdf", ".json"}
        told = json.loads((bundle / f"{bundle.name}.json").read_text(encoding="utf-8"))
        assert (told["mode"], told["resolution"]) == FOLDERS[folder]
        assert told["prompt"] == PROMPTS[folder]
        assert (told["engine"], told["attempts"]) == ("vllm", 1)
        (page,) = told["pages"]
        assert (page["state"], page["tokens"], page["notes"]) == ("done", TOKENS, [])
        assert (bundle / f"{bundle.name}.raw.mmd").read_text(encoding="utf-8").strip()


def test_originals_lie_in_the_archive_byte_for_byte(day: Day) -> None:
    root = day.place.root
    for (folder, name), data in day.dropped.items():
        assert (root / "archive" / folder / name).read_bytes() == data
        assert not (root / "inbox" / folder / name).exists()


def test_loading_is_told_by_log_status_and_systemd(day: Day) -> None:
    stages = ("loading the weights", "making room for pages", "trying it out")
    for stage in stages:
        assert any(stage in line for line in day.events("engine.progress"))
        assert f"STATUS=engine: {stage}" in day.systemd
    assert day.loading & set(stages), "what `ocrd status` reads"
    ready = day.systemd.index("READY=1")
    assert any(line.startswith("EXTEND_TIMEOUT_USEC=") for line in day.systemd[:ready])
    assert day.systemd.index("STATUS=engine: trying it out") < ready


def test_no_process_of_it_is_left(day: Day) -> None:
    root = str(day.place.config).encode()
    commands = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            commands.append(path.read_bytes())
        except OSError:
            continue
    assert not [command for command in commands if root in command]
