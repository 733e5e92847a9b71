"""Pages known by heart: the real daemon and the real vLLM, whose engine is killed on the way."""

from __future__ import annotations

import html
import json
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ocrd.job import JobState
from tests.slow.vllm.by_heart import checkpoint as by_heart
from tests.slow.vllm.by_heart.pages import NAMES, PAGES, TARGET, Known
from tests.slow.vllm.daemons import HANG_S, Place, running, systemd

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(4 * HANG_S)]

PROMPTS = {
    "ocr": "Free OCR.",
    "document": "<|grounding|>Convert the document to markdown.",
    "layout": "<|grounding|>OCR this image.",
    "describe": "Describe this image in detail.",
    "figure": "Parse the figure.",
    "locate": f"Locate <|ref|>{TARGET}<|/ref|> in the image.",
}
UNGUARDED = [page for page in PAGES if (page.mode, page.resolution) == ("ocr", "tiny")]
UNGUARDED_FOLDER = """\
[[mode]]
name = "unguarded"
prompt = "Free OCR."
reader = "plain"
window = 0
[[folder]]
name = "unguarded"
mode = "unguarded"
resolution = "tiny"
"""


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


def folder_of(page: Known) -> str:
    """One for each prompt mode and resolution."""
    return f"{page.mode}-{page.resolution}"


def folders() -> str:
    kinds = {folder_of(page): page for page in PAGES}
    return "".join(
        f'[[folder]]\nname = "{name}"\nmode = "{page.mode}"\nresolution = "{page.resolution}"\n'
        + (f'target = "{TARGET}"\n' if page.mode == "locate" else "")
        for name, page in kinds.items()
    )


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    """All pages at once; EngineCore is killed while they are in flight."""
    top = tmp_path_factory.mktemp("day")
    place = Place(
        top / "srv",
        by_heart.make(top / "model"),
        folders() + UNGUARDED_FOLDER,
        engine=f"max_pages_in_flight = {len(PAGES) + len(UNGUARDED)}",
        options=f'worker_extension_cls = "{by_heart.EXTENSION}"',
        load_format="by-heart",
        sampling="",
    )
    day = Day(place)
    places = [(folder_of(page), page) for page in PAGES]
    places += [("unguarded", page) for page in UNGUARDED]
    for folder, page in places:
        name = f"{page.name}.jpg"
        day.dropped[folder, name] = place.put(folder, name, page.scan())
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
        run.until_all_in_flight()
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


@pytest.fixture(params=PAGES, ids=NAMES)
def page(request: pytest.FixtureRequest) -> Known:
    known = request.param
    assert isinstance(known, Known)
    return known


def artefact(day: Day, page: Known, suffix: str, folder: str = "") -> str:
    bundle = day.place.root / "outbox" / (folder or folder_of(page)) / page.name
    return (bundle / f"{page.name}{suffix}").read_text(encoding="utf-8")


def test_each_page_has_its_own_answer_to_the_end_and_none_of_another(day: Day, page: Known) -> None:
    assert artefact(day, page, ".raw.mmd").strip() == page.answer


@pytest.mark.parametrize("page", UNGUARDED, ids=lambda page: page.name)
def test_without_the_loop_guard_the_answers_are_the_same(day: Day, page: Known) -> None:
    assert artefact(day, page, ".raw.mmd", "unguarded").strip() == page.answer


def test_the_sidecar_tells_mode_prompt_and_the_end_of_the_answer(day: Day, page: Known) -> None:
    told = json.loads(artefact(day, page, ".json"))
    assert (told["mode"], told["resolution"]) == (page.mode, page.resolution)
    assert (told["prompt"], told["engine"], told["attempts"]) == (PROMPTS[page.mode], "vllm", 1)
    (facts,) = told["pages"]
    assert (facts["state"], facts["finish"], facts["notes"]) == ("done", "stop", [])


def test_the_markdown_has_the_words_and_no_tags(day: Day, page: Known) -> None:
    text = html.unescape(artefact(day, page, ".md"))
    assert "<|" not in text
    words = page.answer if page.mode in ("describe", "figure") else page.printed
    if page.mode != "locate":  # whose answer is a place, and no words of the page
        assert re.findall(r"[\w<@>&]+", text.replace("\\", "")) == re.findall(r"[\w<@>&]+", words)


def test_boxes_lie_where_the_model_said(day: Day, page: Known) -> None:
    """In thousandths, from 0 to 999: so does the published code read them."""
    said = re.findall(r"\[\[(\d+), (\d+), (\d+), (\d+)\]\]", page.answer)
    (facts,) = json.loads(artefact(day, page, ".json"))["pages"]
    boxes = [box for block in facts["blocks"] for box in block["boxes"]]
    assert boxes == [[round(int(edge) / 999, 4) for edge in box] for box in said]


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
