"""`ocrd demo`, as the README's first command runs it: real scans, the real engine, real files.

What is right is known from the text that the samples were drawn from, never from what was read.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import pymupdf
import pytest
from rapidfuzz.distance import Levenshtein

from ocrd.page import Box
from tests.support.commands import OCRD
from tests.support.needs import slow
from tests.support.samples import Sample, write_samples

pytestmark = slow  # tests/unit/engine/rapid/test_samples.py reads the same scans, in this process

DOCS = Path(__file__).parents[2] / "docs"

MOST_WRONG = {  # share of characters; three times what was seen, for other processors' rounding
    "letter": 0.02,
    "two-columns": 0.02,
    "table": 0.04,
    "photo": 0.04,
    "chinese": 0.06,
    "report": 0.02,
}


@dataclass(frozen=True)
class Demo:
    root: Path
    said: str
    samples: dict[str, Sample]

    def artefact(self, name: str, suffix: str) -> Path:
        return self.root / "outbox" / "scans" / name / f"{name}{suffix}"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    root = tmp_path_factory.mktemp("demo") / "tree"
    ran = subprocess.run([OCRD, "demo", str(root)], check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    truth = write_samples(tmp_path_factory.mktemp("truth"))
    yield Demo(root, ran.stdout, {sample.path.stem: sample for sample in truth})


def letters(text: str) -> str:
    """Text without what Markdown adds and how lines break."""
    bare = re.sub(r"<[^>]*>|[#*|`\\]|---+", " ", text)
    return re.sub(r"\s+", "", bare)


@pytest.mark.parametrize("name", MOST_WRONG)
def test_the_markdown_says_what_is_printed(demo: Demo, name: str) -> None:
    truth = letters("\n\n".join(page.text for page in demo.samples[name].pages))
    read = letters(demo.artefact(name, ".md").read_text(encoding="utf-8"))
    assert Levenshtein.normalized_distance(truth, read) <= MOST_WRONG[name]


@pytest.mark.parametrize("name", ["letter", "two-columns", "photo", "report"])
def test_searching_the_pdf_marks_the_place_where_the_word_stands(demo: Demo, name: str) -> None:
    """For nine words in ten, the words found overlap the true word's box by half."""
    hits = total = 0
    with pymupdf.open(demo.artefact(name, ".pdf")) as document:
        for page, truth in zip(document, demo.samples[name].pages, strict=True):
            found = [(_key(word[4]), _box(page, word)) for word in page.get_text("words")]
            for word in truth.words:
                if len(_key(word.text)) < 3:
                    continue
                total += 1
                hits += any(
                    key == _key(word.text) and _overlap(word.box, box) >= 0.5 for key, box in found
                )
    assert total > 20
    assert hits / total >= 0.9


def test_the_original_is_in_the_archive_byte_for_byte(demo: Demo) -> None:
    for sample in demo.samples.values():
        archived = demo.root / "archive" / "scans" / sample.path.name
        assert archived.read_bytes() == sample.path.read_bytes()


def test_the_sidecar_tells_where_each_page_stands_in_the_markdown(demo: Demo) -> None:
    sidecar = json.loads(demo.artefact("report", ".json").read_text(encoding="utf-8"))
    text = demo.artefact("report", ".md").read_text(encoding="utf-8")
    assert [page["number"] for page in sidecar["pages"]] == [1, 2, 3]
    for page, heading in zip(sidecar["pages"], ["1. Purpose", "3. Findings", "4. "], strict=True):
        start, end = page["span"]
        assert heading in text[start:end]


def test_the_boxes_and_the_raw_text_are_there(demo: Demo) -> None:
    assert demo.artefact("letter", ".boxes.jpg").stat().st_size > 10_000
    assert demo.artefact("report", ".boxes.pdf").read_bytes().startswith(b"%PDF")
    raw = demo.artefact("report", ".raw.mmd").read_text(encoding="utf-8")
    assert raw.count("<--- Page Split --->") == 2


def test_the_demo_shows_results_and_how_to_go_on(demo: Demo) -> None:
    assert "letter.md begins:" in demo.said
    assert "ocrd jobs --config" in demo.said


def test_the_ledger_answers_for_every_sample(demo: Demo) -> None:
    config = str(demo.root / "config.toml")
    asked = [OCRD, "jobs", "--json", "--config", config]
    told = json.loads(subprocess.run(asked, check=True, capture_output=True).stdout)
    assert told["version"] == 1
    assert {job["state"] for job in told["jobs"]} == {"done"}
    assert {job["source"] for job in told["jobs"]} == {
        sample.path.name for sample in demo.samples.values()
    }


def _key(text: str) -> str:
    return re.sub(r"\W", "", text).lower()


def _box(page: pymupdf.Page, word: tuple[float, ...]) -> Box:
    x1, y1, x2, y2 = pymupdf.Rect(word[:4]) * page.rotation_matrix
    width, height = page.rect.width, page.rect.height
    return Box(x1 / width, y1 / height, x2 / width, y2 / height)


def _overlap(true: Box, found: Box) -> float:
    """The share of the true box that the found one covers, if that is of a sensible size."""
    width = min(true.x2, found.x2) - max(true.x1, found.x1)
    height = min(true.y2, found.y2) - max(true.y1, found.y1)
    if width <= 0 or height <= 0:
        return 0.0
    if found.x2 - found.x1 > 2 * (true.x2 - true.x1):
        return 0.0
    return width * height / ((true.x2 - true.x1) * (true.y2 - true.y1))


@pytest.mark.parametrize("name", MOST_WRONG)
def test_the_sidecar_is_what_its_schema_says(demo: Demo, name: str) -> None:
    schema = json.loads((DOCS / "scan.schema.json").read_text(encoding="utf-8"))
    told = json.loads(demo.artefact(name, ".json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(told)
    assert all(page["confidence"] > 0.7 for page in told["pages"])
