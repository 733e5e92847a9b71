"""A bundle holds what was asked for, says what went wrong, and never shifts a page."""

from __future__ import annotations

import errno
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ocrd.document.base import OUTPUTS, BundleSpec
from ocrd.document.bundle import build_bundle
from ocrd.modes import AnswerFormat
from ocrd.page import Finish, PageResult
from tests.support.grain import grain, saved
from tests.support.needs import slow
from tests.unit.document.scans import (
    bundle,
    by_poppler,
    pymupdf,
    record,
    scan_pdf,
    sidecar,
    typeset,
)
from tests.unit.spool.mounts import tmpfs

DEAD = {"kind": "page-fault", "message": "the engine died on it", "hint": "Try it alone."}
FACTS = {"source": "a.pdf", "sha256": "00ff", "engine": "vllm", "version": 99, "pages": None}
CUT = {"kind": "page", "message": "cut off at 8192 tokens", "hint": "Use a larger limit."}


def blank_pdf(path: Path, pages: int) -> Path:
    with pymupdf.open() as document:
        for _ in range(pages):
            document.new_page()
        path.write_bytes(document.tobytes())
    return path


def four_states() -> list[dict[str, Any]]:
    said = "<|ref|>title<|/ref|><|det|>[[100, 50, 500, 90]]<|/det|>\nFirst"
    cut = PageResult(text="Half of it", finish=Finish.LENGTH, notes=("retried: ngram 20/50",))
    return [
        record(1, PageResult(text=said, output_tokens=7, seconds=0.25, turned=180)),
        record(2, cut, state="partial", error=CUT),
        record(3, state="failed", error=DEAD),
        record(4, PageResult(text="Ünïcode 你好 😀"), state="done"),
    ]


MARKDOWN = """\
# First

<!-- page 2 -->

> **Page 2 is incomplete:** cut off at 8192 tokens

Half of it

<!-- page 3 -->

> **Page 3 could not be read:** the engine died on it

<!-- page 4 -->

Ünïcode 你好 😀
"""

RAW = """\
<|ref|>title<|/ref|><|det|>[[100, 50, 500, 90]]<|/det|>
First
<--- Page Split --->
Half of it
<--- Page Split --->

<--- Page Split --->
Ünïcode 你好 😀"""


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of pages in all four states."""
    folder = tmp_path_factory.mktemp("four")
    bundle(folder, blank_pdf(folder / "a.pdf", 4), four_states(), facts=FACTS)
    return folder / "out"


def test_pages_of_every_state_stand_in_their_place(four: Path) -> None:
    out = four
    assert (out / "scan.md").read_text(encoding="utf-8") == MARKDOWN
    assert (out / "scan.raw.mmd").read_text(encoding="utf-8") == RAW
    assert by_poppler(out / "scan.pdf", 2) == []
    assert [word.text for word in by_poppler(out / "scan.pdf", 3)] == ["Ünïcode", "你好", "😀"]


def test_a_page_that_is_not_whole_says_so_in_both_pdfs(four: Path) -> None:
    out = four
    with pymupdf.open(str(out / "scan.pdf")) as document:
        notes = [[note.info["content"] for note in page.annots()] for page in document]
    dead = f"Page 3 could not be read: {DEAD['message']}"
    assert notes == [[], ["Page 2 is incomplete: cut off at 8192 tokens"], [dead], []]
    with pymupdf.open(str(out / "scan.boxes.pdf")) as document:
        words = [page.get_text().split() for page in document]
    assert words == [["title"], ["partial"], ["failed"], []]


def test_the_sidecar_says_what_was_done_on_each_page(four: Path) -> None:
    told = sidecar(four.parent)
    assert (told["version"], told["source"], told["sha256"]) == (1, "a.pdf", "00ff")
    assert told["pages"][0] == {
        "number": 1, "size_px": [1190, 1684], "size_in": [8.264, 11.694], "dpi": 144.0,
        "state": "done", "tries": 1, "tokens": 10, "seconds": 0.5, "reused": False,
        "turned": 180, "words_from": "engine", "confidence": None,
        "finish": "stop", "partial": None, "dropped": False, "notes": [],
        "error": None,
        "blocks": [
            {"label": "title", "text": "First", "boxes": [[0.1001, 0.0501, 0.5005, 0.0901]],
             "level": 1}
        ],
        "span": [0, 7],
    }  # fmt: skip
    second, third = told["pages"][1:3]
    assert (second["finish"], second["partial"]) == ("length", "cut off at 8192 tokens")
    assert second["notes"] == ["retried: ngram 20/50"]
    assert (third["state"], third["finish"], third["error"], third["blocks"]) == (
        "failed", None, DEAD, [],
    )  # fmt: skip
    assert told["summary"] == {
        "pages": 4, "done": 2, "partial": 1, "failed": 1, "dropped": 0,
        "characters": 27, "tokens": 100, "seconds": 2.0,
    }  # fmt: skip

    markdown = (four / "scan.md").read_text(encoding="utf-8")
    cut = [markdown[slice(*page["span"])] for page in told["pages"]]
    assert cut[0] == "# First"
    assert cut[2] == "> **Page 3 could not be read:** the engine died on it"
    assert cut[3] == "Ünïcode 你好 😀"


@pytest.mark.parametrize("output", sorted(OUTPUTS))
def test_only_what_was_asked_for_is_made(tmp_path: Path, output: str) -> None:
    said = "<|ref|>image<|/ref|><|det|>[[100, 50, 500, 90]]<|/det|>"
    source = blank_pdf(tmp_path / "a.pdf", 1)
    page = record(1, PageResult(text=said))
    made = bundle(tmp_path, source, [page], outputs=frozenset({output}))
    name = {
        "markdown": "scan.md",
        "text": "scan.txt",
        "raw": "scan.raw.mmd",
        "pdf": "scan.pdf",
        "pdfa": "scan.pdfa.pdf",
        "alto": "scan.alto.xml",
        "hocr": "scan.hocr",
        "boxes": "scan.boxes.pdf",
        "images": "images",
        "json": "scan.json",
    }[output]
    assert made == (name,)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]


def test_plain_text_mode_writes_the_text_itself(tmp_path: Path) -> None:
    source = blank_pdf(tmp_path / "a.pdf", 1)
    page = record(1, PageResult(text="Dear Sir,\n\n  no * marks_ here\n"))
    bundle(tmp_path, source, [page], answers=AnswerFormat.PLAIN)
    assert (tmp_path / "out" / "scan.md").read_text() == "Dear Sir,\n\n  no * marks_ here\n"


def test_blank_pages_are_left_out_when_asked_and_numbers_stay(tmp_path: Path) -> None:
    """Page 2 is paper, a little dirty; page 3 is a photo on which nothing was read."""
    paper = grain((425, 550), 12).point(lambda value: min(255, value + 100))
    paper.save(tmp_path / "paper.png")
    photo = Image.radial_gradient("L")
    photo.save(tmp_path / "photo.png")
    source = tmp_path / "a.pdf"
    with pymupdf.open() as document:
        for name in (None, "paper.png", "photo.png", None):
            page = document.new_page()
            if name:
                page.insert_image(page.rect, filename=str(tmp_path / name), keep_proportion=False)
        document.save(str(source))
    pages = [record(n, PageResult(text=t)) for n, t in enumerate(("one", "", "", "four"), start=1)]
    bundle(tmp_path, source, pages, drop_blank=True)
    out = tmp_path / "out"
    assert (out / "scan.md").read_text() == (
        "one\n\n<!-- page 3 -->\n\n\n\n<!-- page 4 -->\n\nfour\n"
    )
    with pymupdf.open(str(out / "scan.pdf")) as document:
        assert [page.get_text().split() for page in document] == [["one"], [], ["four"]]
    dropped = [page["dropped"] for page in sidecar(tmp_path)["pages"]]
    assert dropped == [False, True, False, False]


def test_a_document_of_blank_pages_keeps_its_pages(tmp_path: Path) -> None:
    source = blank_pdf(tmp_path / "a.pdf", 2)
    pages = [record(number, PageResult(text="")) for number in (1, 2)]
    bundle(tmp_path, source, pages, drop_blank=True)
    with pymupdf.open(str(tmp_path / "out" / "scan.pdf")) as document:
        assert document.page_count == 2


def test_names_may_be_any_bytes(tmp_path: Path) -> None:
    name = os.fsdecode(b"scan \n\xff\xfe 'x'")
    source = blank_pdf(tmp_path / os.fsdecode(b"\xe9.pdf"), 1)
    page = record(1, PageResult(text="<|ref|>text<|/ref|><|det|>[[1, 2, 300, 40]]<|/det|>\nHi"))
    bundle(tmp_path, source, [page], name=name, outputs=OUTPUTS, facts={"source": source.name})
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == {
        name + suffix
        for suffix in (
            *(".md", ".txt", ".raw.mmd", ".json", ".alto.xml", ".hocr"),
            *(".pdf", ".pdfa.pdf", ".boxes.pdf"),
        )
    }
    assert json.loads((out / f"{name}.json").read_text())["source"] == source.name
    (out / f"{name}.pdf").rename(tmp_path / "plain.pdf")
    assert [word.text for word in by_poppler(tmp_path / "plain.pdf")] == ["Hi"]


def test_a_name_may_be_as_long_as_a_filesystem_allows(tmp_path: Path) -> None:
    name = "x" * (255 - len(".boxes.pdf"))
    source = blank_pdf(tmp_path / "a.pdf", 1)
    bundle(tmp_path, source, [record(1, PageResult(text="Hi"))], name=name, outputs=OUTPUTS)
    assert (tmp_path / "out" / f"{name}.boxes.pdf").exists()


def test_halves_of_surrogate_pairs_become_replacement_characters(tmp_path: Path) -> None:
    result = json.loads(PageResult(text="x").to_json()) | {"text": "a\ud800b"}
    page = record(1) | {"result": result}
    bundle(tmp_path, blank_pdf(tmp_path / "a.pdf", 1), [page])
    assert (tmp_path / "out" / "scan.md").read_text(encoding="utf-8") == "a\ufffdb\n"


def test_a_page_beyond_the_document_is_noted_and_nothing_breaks(tmp_path: Path) -> None:
    said = "<|ref|>text<|/ref|><|det|>[[1, 2, 300, 40]]<|/det|>\nghost"
    pages = [record(1, PageResult(text="real")), record(2, PageResult(text=said))]
    bundle(tmp_path, blank_pdf(tmp_path / "a.pdf", 1), pages)
    assert sidecar(tmp_path)["pages"][1]["notes"] == [
        "no text layer: the document has no page 2",
        "no boxes drawn: the document has no page 2",
    ]


def test_pages_out_of_order_are_refused(tmp_path: Path) -> None:
    pages = [record(1, PageResult(text="one")), record(3, PageResult(text="three"))]
    with pytest.raises(ValueError, match="line 2 holds page 3"):
        bundle(tmp_path, blank_pdf(tmp_path / "a.pdf", 3), pages)


def test_the_original_is_only_read(tmp_path: Path) -> None:
    source = scan_pdf(tmp_path / "a.pdf", typeset(dpi=40), rotation=90)
    before = source.read_bytes()
    source.chmod(0o444)
    bundle(tmp_path, source, four_states()[:1])
    assert source.read_bytes() == before


@pytest.mark.parametrize("output", ["pdf", "images", "markdown"])
def test_a_full_disk_is_told_as_a_full_disk(tmp_path: Path, output: str) -> None:
    """So that the worker waits for room and does not take the page or the file for broken."""
    source = blank_pdf(tmp_path / "a.pdf", 1)
    said = (
        "<|ref|>text<|/ref|><|det|>[[1, 2, 999, 999]]<|/det|>\n"
        + random.Random(1).randbytes(50_000).hex()
    )
    if output == "images":
        grain((1200, 1200), 90).save(tmp_path / "a.png")
        with pymupdf.open() as document:
            page = document.new_page()
            page.insert_image(page.rect, filename=str(tmp_path / "a.png"))
            document.save(str(source))
        said = "<|ref|>image<|/ref|><|det|>[[0, 0, 999, 999]]<|/det|>"
    (tmp_path / "p.jsonl").write_text(json.dumps(record(1, PageResult(text=said))) + "\n")
    spec = BundleSpec(
        source=source, name="a", kind="pdf", pages=tmp_path / "p.jsonl", into=tmp_path / "disk",
        outputs=frozenset({output}), answers=AnswerFormat.DOCUMENT, dpi=144, facts={},
    )  # fmt: skip
    with tmpfs(spec.into, "48k"), pytest.raises(OSError, match="No space left") as caught:
        build_bundle(spec)
    assert caught.value.errno == errno.ENOSPC


PEAK = """
import json, re, sys
from pathlib import Path
from ocrd.document.base import BundleSpec, OUTPUTS
from ocrd.document.bundle import build_bundle
from ocrd.modes import AnswerFormat
folder = Path(sys.argv[1])
build_bundle(BundleSpec(source=folder / "a.pdf", name="a", kind="pdf", pages=folder / "p.jsonl",
    into=folder / "out", outputs=OUTPUTS, answers=AnswerFormat.DOCUMENT, dpi=100, facts={}))
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


def peak_memory(folder: Path, pages: int) -> int:
    """Kilobytes at most, in a process that does nothing else.

    By VmHWM: `ru_maxrss` begins with what the parent had (getrusage(2) survives execve).
    """
    (folder / "out").mkdir(parents=True)
    truth = typeset()
    with pymupdf.open() as document:
        image = 0
        for number in range(pages):
            page = document.new_page(width=153, height=198)  # small: 2,000 are to be looked at
            # pages do not share their pictures, but each is small
            png = Image.linear_gradient("L").rotate(number % 360).resize((120, 150))
            image = page.insert_image(page.rect, stream=saved(png, "PNG"), keep_proportion=False)
        assert image
        document.save(str(folder / "a.pdf"))
    figure = "<|ref|>image<|/ref|><|det|>[[500, 600, 900, 900]]<|/det|>"
    with (folder / "p.jsonl").open("w") as file:
        for number in range(1, pages + 1):
            lines = truth.as_lines() if number % 10 else ()
            text = f"<|ref|>text<|/ref|><|det|>[[1, 1, 900, 500]]<|/det|>\n{'word ' * 300}\n"
            text += figure if number % 20 == 0 else ""
            file.write(json.dumps(record(number, PageResult(text=text, lines=lines))) + "\n")
    command = [sys.executable, "-c", PEAK, str(folder)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@slow
def test_two_thousand_pages_take_the_memory_of_twenty(tmp_path: Path) -> None:
    few = peak_memory(tmp_path / "few", 20)
    many = peak_memory(tmp_path / "many", 2000)
    assert many <= 1.3 * few, f"{many} KiB against {few} KiB"


def test_a_result_of_an_older_version_is_read_by_the_tags_in_its_text(tmp_path: Path) -> None:
    """It says how its text is to be read and what its coordinates run to."""
    source = blank_pdf(tmp_path / "a.pdf", 2)
    said = "<|ref|>title<|/ref|><|det|>[[120, 400, 600, 800]]<|/det|>\nUp"
    pages = [record(1, PageResult(text="no * marks_ here")), record(2, PageResult(text=said))]
    pages[0]["result"] |= {"reader": "plain", "scale": [999, 999]}
    pages[1]["result"] |= {"reader": None, "scale": [1200, 1600]}
    bundle(tmp_path, source, pages)
    assert (tmp_path / "out" / "scan.md").read_text().startswith("no * marks_ here\n")
    pages = sidecar(tmp_path)["pages"]
    assert pages[1]["blocks"][0]["boxes"] == [[0.1, 0.25, 0.5, 0.5]]
