"""The whole daemon with `layout = "flat"`: files side by side, figures found by the text."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from PIL import Image

from ocrd.config import load
from ocrd.daemon.daemon import Daemon
from ocrd.engine.base import PageRequest
from ocrd.engine.deepseek.grounding import parse
from ocrd.errors import ExitCode
from ocrd.events import Events
from ocrd.files import Disk
from ocrd.modes import AnswerFormat
from ocrd.page import PageResult
from tests.integration.driver import Diary, DiaryEngine
from tests.integration.tree import Tree, scan
from tests.support.forked_children import fork_children

FIGURE = "<|ref|>image<|/ref|><|det|>[[100, 100, 800, 800]]<|/det|>\n"


@pytest.fixture(autouse=True)
def _forked(monkeypatch: pytest.MonkeyPatch) -> None:
    fork_children(monkeypatch.setattr)


class FigureEngine(DiaryEngine):
    """Sees a figure on every page."""

    async def recognise(self, request: PageRequest) -> PageResult:
        blocks = tuple(parse(FIGURE, AnswerFormat.DOCUMENT))
        return PageResult(text=FIGURE, blocks=blocks, output_tokens=4)


class QuickNeighbour(Disk):
    """Somebody who takes a name of the outbox just before it would have been given."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def rename_exclusive(self, source: Path, target: Path) -> None:
        if target.name == self._name and "outbox" in target.parts and not target.exists():
            target.mkdir()
        super().rename_exclusive(source, target)


@pytest.mark.parametrize(
    ("taken", "seen", "text"),
    [
        ("", ["a scan.images/1-1.jpg", "a scan.json", "a scan.md"], "a scan.md"),
        (
            "a scan.images",
            ["a scan (2).images/1-1.jpg", "a scan (2).json", "a scan (2).md"],
            "a scan (2).md",
        ),
        (
            "a scan.json",
            ["a scan (2).json", "a scan (2).md", "a scan.images/1-1.jpg"],
            "a scan (2).md",
        ),
    ],
)
def test_files_lie_side_by_side_under_names_that_nobody_has_and_the_text_finds_its_figures(
    tree: Tree, taken: str, seen: list[str], text: str
) -> None:
    config = tree.config.read_text().replace('mode = "ocr"', 'mode = "document"')
    outputs = 'layout = "flat"\noutputs = ["markdown", "images", "json"]'
    tree.config.write_text(re.sub(r"outputs = .*", outputs, config))
    tree.drop("a scan.jpg", scan(1))
    engine = FigureEngine(Diary(tree.diary), 0.0, 0.0)
    disk = QuickNeighbour(taken)
    once = Daemon(load(tree.config), Events(), once=True, engine=engine, disk=disk)
    assert asyncio.run(once.run()) is ExitCode.OK
    assert tree.spooled() == []
    assert tree.visible("outbox") == seen
    markdown = tree.root / "outbox" / "scans" / text
    found = re.search(r"!\[\]\((.*?)\)", markdown.read_text(encoding="utf-8"))
    assert found is not None
    assert " " not in found[1], "no reader of Markdown takes a link with a space for one"
    with Image.open(markdown.parent / unquote(found[1])) as picture:
        assert picture.format == "JPEG"
