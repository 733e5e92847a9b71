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


def made(root: Path, disk: Disk, name: str = "a scan.jpg") -> list[str]:
    """Run once over one scan; what lies in the outbox."""
    tree = Tree(root)
    with tree.config.open("a") as config:
        config.write('layout = "flat"\n')
    text = tree.config.read_text().replace('mode = "ocr"', 'mode = "document"')
    outputs = 'outputs = ["markdown", "images", "json"]'
    tree.config.write_text(re.sub(r"outputs = .*", outputs, text))
    tree.drop(name, scan(1))
    engine = FigureEngine(Diary(tree.diary), 0.0, 0.0)
    once = Daemon(load(tree.config), Events(), once=True, engine=engine, disk=disk)
    assert asyncio.run(once.run()) is ExitCode.OK
    assert list((root / ".ocrd" / "jobs").iterdir()) == []
    return tree.visible("outbox")


def linked(markdown: Path) -> Path:
    """The picture that a Markdown file shows."""
    found = re.search(r"!\[\]\((.*?)\)", markdown.read_text(encoding="utf-8"))
    assert found is not None
    assert " " not in found[1], "no reader of Markdown takes a link with a space for one"
    return markdown.parent / unquote(found[1])


def check_picture(path: Path) -> None:
    with Image.open(path) as picture:
        assert picture.format == "JPEG"


def test_files_lie_side_by_side_and_the_text_finds_its_figures(tmp_path: Path) -> None:
    seen = made(tmp_path / "srv", Disk())
    assert seen == ["a scan.images/1-1.jpg", "a scan.json", "a scan.md"]
    check_picture(linked(tmp_path / "srv" / "outbox" / "scans" / "a scan.md"))


def test_figures_whose_folder_somebody_takes_move_everything_to_the_next_name(
    tmp_path: Path,
) -> None:
    seen = made(tmp_path / "srv", QuickNeighbour("a scan.images"))
    assert seen == ["a scan (2).images/1-1.jpg", "a scan (2).json", "a scan (2).md"]
    check_picture(linked(tmp_path / "srv" / "outbox" / "scans" / "a scan (2).md"))


def test_a_file_whose_name_somebody_takes_leaves_the_figures_where_they_are(
    tmp_path: Path,
) -> None:
    seen = made(tmp_path / "srv", QuickNeighbour("a scan.json"))
    assert seen == ["a scan (2).json", "a scan (2).md", "a scan.images/1-1.jpg"]
    check_picture(linked(tmp_path / "srv" / "outbox" / "scans" / "a scan (2).md"))
