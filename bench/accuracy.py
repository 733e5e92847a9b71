"""How accurate is the output?  Pages with known text, read by ocrd and its peers.

    python -m bench.accuracy [--pages N] [--kinds K ...] [--systems S ...] [--seed N] [--keep DIR]

Everything runs on one thread.  A peer that is not installed is skipped with a message.

- cer: character error rate, %, regardless of order: each word is compared with its best match, and
  words without a match count in full.
- cer in order: edit distance of the whole text, without spaces, in % of the true characters.
- blocks: consecutive pairs of the true blocks found that are in the true order, %.
- teds: tables as trees of rows and cells, 1 - edits / nodes, rows and cells aligned in order; a
  table not found counts 0.  Peers that find no tables have no figure.
- false: pages of prose on which a table is found, %.
- headings: precision / recall, %; a heading counts if four fifths of its characters agree.
- placed: true words that the searchable PDF has with IoU >= 0.5 to their ink, %.
- size: size of the searchable PDF relative to its input, median.
- said: of the pages with over a tenth of the characters wrong, those labelled as doubtful.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, starmap
from operator import lt
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import pymupdf
from rapidfuzz import fuzz, process
from rapidfuzz.distance import Levenshtein

from bench.accuracy_pages import KINDS, Cells, TruePage, every
from bench.common import machine, root_with
from ocrd.page import Box

TESSERACT = {"en": "eng", "de": "deu", "fr": "fra", "es": "spa", "ru": "rus", "el": "ell",
             "ko": "kor", "ja": "jpn", "zh": "chi_sim"}  # fmt: skip
PROSE = ("book", "letter", "two-columns", "three-columns", "report", "notice", "sparse", "script",
         "born")  # fmt: skip
ALIKE = 80  # of 100: the least similarity of a match
HEAD, LEAST_HEAD = 40, 12  # characters: a block is found by its first 40; 12 match anywhere
NONE = "-"
SCRIPT = """
import sys
from pathlib import Path
{}
for path in map(Path, sys.argv[2:]):
    (Path(sys.argv[1]) / f"{{path.name}}.txt").write_text(said(path), encoding="utf-8")
"""
BARE = """
import cv2
from rapidocr import RapidOCR
threads = "EngineConfig.onnxruntime.intra_op_num_threads"
engine = RapidOCR(params={"Global.log_level": "error", threads: 1})
def said(path):
    return "\\n".join(engine(cv2.imread(str(path))).txts or ())
"""
MARKDOWN = """
import pymupdf4llm
def said(path):
    return pymupdf4llm.to_markdown(str(path))
"""


@dataclass(slots=True)
class Answer:
    """What a system read on a page."""

    text: str
    tables: list[Cells] = field(default_factory=list)
    headings: list[str] = field(default_factory=list)
    pdf: Path | None = None
    doubtful: bool = False


def from_markdown(said: str) -> Answer:
    """The text of Markdown without its marks, and its tables and headings."""
    answer, lines, above = Answer(""), list[str](), False
    for line in re.sub(r"</?\w+>|<br ?/?>|^> .*$", "", said, flags=re.MULTILINE).split("\n"):
        if re.fullmatch(r"\|[-:| ]+\|", line):
            continue
        cells = [_bare(cell) for cell in re.split(r"(?<!\\)\|", line.strip("| "))]
        if line.startswith("|"):
            if not above:
                answer.tables.append([])
            answer.tables[-1].append(cells)
        elif line.startswith("#"):
            answer.headings.append(_bare(line.lstrip("# ")))
        above = line.startswith("|")
        lines.append(" ".join(cells) if above else _bare(line.lstrip("# ")))
    answer.text = "\n".join(lines)
    return answer


def _bare(text: str) -> str:
    return re.sub(r"\\([^\w\s])", r"\1", text.replace("**", "")).strip()


def ocrd(pages: Sequence[TruePage], folder: Path, out: Path) -> dict[str, Answer]:
    """The daemon, run once over a folder."""
    engine = 'kind = "rapidocr"\nworkers = 1\nthreads = 1'
    with root_with(engine=engine, watch="settle_s = 0.2") as root:
        for page in pages:
            shutil.copy(folder / page.name, root / "inbox" / "scans")
        command = [sys.executable, "-m", "ocrd", "run", "--once"]
        command += ["--config", str(root / "config.toml")]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        shutil.copytree(root / "outbox" / "scans", out, dirs_exist_ok=True)
    return {page.name: _from_bundle(out / Path(page.name).stem) for page in pages}


def _from_bundle(bundle: Path) -> Answer:
    answer = from_markdown((bundle / f"{bundle.name}.md").read_text(encoding="utf-8"))
    sidecar = json.loads((bundle / f"{bundle.name}.json").read_text(encoding="utf-8"))
    answer.doubtful = any(page["state"] != "done" for page in sidecar["pages"])
    answer.pdf = bundle / f"{bundle.name}.pdf"
    return answer


def ocrmypdf(pages: Sequence[TruePage], folder: Path, out: Path) -> dict[str, Answer]:
    """OCRmyPDF with Tesseract, given the language of each page."""
    answers = {}
    for page in pages:
        pdf, text = out / f"{page.name}.pdf", out / f"{page.name}.txt"
        options = ["-q", "--jobs", "1", "--skip-text", "-l", TESSERACT[page.language]]
        options += ["--sidecar", str(text), str(folder / page.name), str(pdf)]
        subprocess.run(["ocrmypdf", *options], check=True)
        if page.born:  # the sidecar leaves out pages that have text
            with pymupdf.open(pdf) as document:
                text.write_text(document[0].get_text(), encoding="utf-8")
        answers[page.name] = Answer(text.read_text(encoding="utf-8"), pdf=pdf)
    return answers


def rapidocr(pages: Sequence[TruePage], folder: Path, out: Path) -> dict[str, Answer]:
    """RapidOCR with its defaults, but one thread, on the scans."""
    said = _said(BARE, [folder / page.name for page in pages if not page.born], out)
    return {name: Answer(text) for name, text in said.items()}


def pymupdf4llm(pages: Sequence[TruePage], folder: Path, out: Path) -> dict[str, Answer]:
    """PyMuPDF4LLM on the born-digital pages."""
    said = _said(MARKDOWN, [folder / page.name for page in pages if page.born], out)
    return {name: from_markdown(text) for name, text in said.items()}


def _said(how: str, files: Sequence[Path], out: Path) -> dict[str, str]:
    """What a script reads in each file; it is a child process, so that its CPU time counts."""
    command = [sys.executable, "-c", SCRIPT.format(how), str(out), *map(str, files)]
    subprocess.run(command, check=True)
    return {it.name: (out / f"{it.name}.txt").read_text(encoding="utf-8") for it in files}


System = Callable[[Sequence[TruePage], Path, Path], dict[str, Answer]]
SYSTEMS: dict[str, System] = {
    "ocrd": ocrd,
    "ocrmypdf": ocrmypdf,
    "rapidocr": rapidocr,
    "pymupdf4llm": pymupdf4llm,
}


def cer(truth: str, said: str, *, ordered: bool) -> float:
    """Character errors per character of the truth."""
    a, b = words(truth), words(said)
    length = max(1, sum(map(len, a)))
    if ordered:
        return Levenshtein.distance("".join(a), "".join(b)) / length
    missing, extra = Counter(a) - Counter(b), Counter(b) - Counter(a)
    return _unordered(list(missing.elements()), list(extra.elements())) / length


def in_order(truth: Sequence[str], said: str) -> tuple[int, int]:
    """How many consecutive pairs of the blocks found are in order, and the number of pairs."""
    text = "".join(words(said))
    begins = ["".join(words(block))[:HEAD] for block in truth]
    places = [
        found.dest_start
        for found in (
            fuzz.partial_ratio_alignment(head, text) for head in begins if len(head) > LEAST_HEAD
        )
        if found is not None and found.score > ALIKE
    ]
    return sum(starmap(lt, pairwise(places))), max(0, len(places) - 1)


def _unordered(missing: list[str], extra: list[str]) -> int:
    """Edits between two bags of words, the pair that saves most edits matched first."""
    if not missing or not extra:
        return sum(map(len, missing)) + sum(map(len, extra))
    edits = process.cdist(missing, extra, scorer=Levenshtein.distance, dtype=np.int32)
    spared = np.add.outer([len(word) for word in missing], [len(word) for word in extra]) - edits
    total = sum(map(len, missing)) + sum(map(len, extra))
    for _ in range(min(spared.shape)):
        row, column = np.unravel_index(spared.argmax(), spared.shape)
        total -= max(0, int(spared[row, column]))
        spared[row, :], spared[:, column] = 0, 0
    return total


def words(text: str) -> list[str]:
    """The words of a text; Chinese and Japanese characters are words of their own."""
    plain = unicodedata.normalize("NFC", text).translate({0x2018: "'", 0x2019: "'"})
    return re.findall(r"[\u2e80-\u9fff\uf900-\ufaff]|[^\s\u2e80-\u9fff\uf900-\ufaff]+", plain)


def teds(truth: Cells, said: Cells) -> float:
    """Similarity of two tables, 0 to 1."""
    nodes = [1 + sum(1 + len(row) for row in table) for table in (truth, said)]
    return 1 - _aligned(truth, said, _row_edits, lambda row: 1 + len(row)) / max(nodes)


def _row_edits(a: list[str], b: list[str]) -> float:
    return _aligned(a, b, Levenshtein.normalized_distance, lambda _cell: 1)


def _aligned(
    a: Sequence[Any],
    b: Sequence[Any],
    change: Callable[[Any, Any], float],
    cost: Callable[[Any], float],
) -> float:
    """The cost of the cheapest edits from one sequence to another."""
    above = [0.0]
    for other in b:
        above.append(above[-1] + cost(other))
    for one in a:
        here = [above[0] + cost(one)]
        for number, other in enumerate(b):
            least = min(above[number + 1] + cost(one), here[-1] + cost(other))
            here.append(min(above[number] + change(one, other), least))
        above = here
    return above[-1]


def tables(page: TruePage, answer: Answer) -> list[float]:
    """Similarity of each true table to the most similar one found, which is used only once."""
    left, scores = list(answer.tables), []
    for truth in (block.rows for block in page.blocks if block.rows):
        best = max(left, key=lambda table: teds(truth, table), default=None)
        scores.append(teds(truth, best) if best is not None else 0.0)
        if best is not None:
            left.remove(best)
    return scores


def headings(page: TruePage, answer: Answer) -> tuple[int, int, int]:
    """The numbers of headings found correctly, of headings found, and of true headings."""
    left = [block.text for block in page.blocks if block.heading]
    true, right = len(left), 0
    for said in answer.headings:
        best = max(left, key=lambda text: fuzz.ratio(text, said), default="")
        if best and fuzz.ratio(best, said) >= ALIKE:
            left.remove(best)
            right += 1
    return right, len(answer.headings), true


def placed(page: TruePage, pdf: Path) -> tuple[int, int]:
    """How many true words are in place in the PDF, and how many there are."""
    with pymupdf.open(pdf) as document:
        width, height = document[0].rect.width, document[0].rect.height
        found = [
            (word, Box(x1 / width, y1 / height, x2 / width, y2 / height))
            for x1, y1, x2, y2, word, *_ in document[0].get_text("words")
        ]
    there = [
        any(said == word.text and _iou(word.box, box) >= 0.5 for said, box in found)
        for word in page.words
    ]
    return sum(there), len(there)


def _iou(a: Box, b: Box) -> float:
    across, down = min(a.x2, b.x2) - max(a.x1, b.x1), min(a.y2, b.y2) - max(a.y1, b.y1)
    both = max(across, 0) * max(down, 0)
    return both / max(a.area + b.area - both, 1e-12)


def truth_of(page: TruePage) -> list[str]:
    """The text of each block, in order."""
    return [" ".join(" ".join(row) for row in block.rows) or block.text for block in page.blocks]


def scores(
    pages: Sequence[TruePage], answers: dict[str, Answer], folder: Path, *, structured: bool
) -> dict[str, str]:
    """One row of the table: figures over the pages that a system read."""
    pairs = [(page, answers[page.name]) for page in pages if page.name in answers]
    if not pairs:
        return {}
    true = [(truth_of(page), answer) for page, answer in pairs]
    errors = [cer("\n".join(truth), answer.text, ordered=False) for truth, answer in true]
    ordered = [cer("\n".join(truth), answer.text, ordered=True) for truth, answer in true]
    follow = [in_order(truth, answer.text) for truth, answer in true]
    found = [score for page, answer in pairs for score in tables(page, answer)]
    prose = [bool(answer.tables) for page, answer in pairs if page.kind in PROSE]
    right, said, headed = map(sum, zip(*(headings(*pair) for pair in pairs), strict=True))
    pdfs = [(page, answer.pdf) for page, answer in pairs if answer.pdf]
    put = [placed(page, pdf) for page, pdf in pdfs if page.language not in ("zh", "ja")]
    size = [pdf.stat().st_size / (folder / page.name).stat().st_size for page, pdf in pdfs]
    bad = [answer.doubtful for error, (_, answer) in zip(errors, pairs, strict=True) if error > 0.1]
    return {
        "pages": str(len(pairs)),
        "cer": f"{100 * fmean(errors):.2f}",
        "cer in order": f"{100 * fmean(ordered):.2f}",
        "blocks": _share(*map(sum, zip(*follow, strict=True))),
        "teds": f"{fmean(found):.2f}" if found and structured else NONE,
        "false": _share(sum(prose), len(prose)) if structured else NONE,
        "headings": f"{_share(right, said)} / {_share(right, headed)}" if structured else NONE,
        "placed": _share(*map(sum, zip(*put, strict=True))) if put else NONE,
        "size": f"{median(size):.2f}" if size else NONE,
        "said": f"{sum(bad)} of {len(bad)}",
    }


def _share(part: int, of: int) -> str:
    return f"{100 * part / of:.1f}" if of else NONE


def absent(name: str) -> bool:
    if name == "ocrmypdf":
        return shutil.which(name) is None
    return importlib.util.find_spec("rapidocr" if name == "ocrd" else name) is None


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.accuracy")
    parser.add_argument("--pages", type=int, default=11 * len(KINDS))
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=list(SYSTEMS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="for the pages and what was made of them")
    given = parser.parse_args()
    pages = every(given.pages, given.kinds, given.seed)
    print(machine(), f"{len(pages)} pages", sep="; ", flush=True)
    with tempfile.TemporaryDirectory() as made:
        folder = (given.keep or Path(made)).resolve()
        (folder / "pages").mkdir(parents=True, exist_ok=True)
        for page in pages:
            (folder / "pages" / page.name).write_bytes(page.data)
        for name in given.systems:
            if absent(name):
                print(f"{name} is not installed")
            else:
                _report(name, pages, folder)


def _report(name: str, pages: Sequence[TruePage], folder: Path) -> None:
    (out := folder / name).mkdir(exist_ok=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    answers = SYSTEMS[name](pages, folder / "pages", out)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    structured = any(answer.tables or answer.headings for answer in answers.values())
    for kind in ("all", *dict.fromkeys(page.kind for page in pages)):
        chosen = [page for page in pages if kind in ("all", page.kind)]
        row = scores(chosen, answers, folder / "pages", structured=structured)
        if row and kind == "all":
            print(f"| {name} | {' | '.join(row)} | cpu s |")
            row["cpu s"] = f"{spent / max(1, len(answers)):.1f}"
        if row:
            print(f"| {kind} | {' | '.join(row.values())} |", flush=True)


if __name__ == "__main__":
    main()
