"""Finished pages outlive a crash; what it tore, or another recipe made, does not count."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from ocrd.files import Disk
from ocrd.spool.pagelog import PageLog

PAGES = [{"number": number, "text": "Grüße\n" * number} for number in (1, 2, 3)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "pages.jsonl"
    log = PageLog(path, Disk())
    log.begin("recipe A")
    for page in PAGES:
        log.append(page)
    return path


def found(path: Path, recipe: str = "recipe A") -> list[dict[str, object]]:
    log = PageLog(path, Disk())
    log.begin(recipe)
    return list(log.records())


def test_a_line_is_its_length_its_checksum_and_its_json(path: Path) -> None:
    for line in path.read_bytes().splitlines():
        length, checksum, content = line.split(b" ", 2)
        assert int(length, 16) == len(content)
        assert int(checksum, 16) == zlib.crc32(content)
    assert found(path) == PAGES


def test_a_log_torn_at_any_byte_keeps_the_whole_lines_and_goes_on(path: Path) -> None:
    whole = path.read_bytes()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        lines = whole[:end].count(b"\n")
        log = PageLog(path, Disk())
        log.begin("recipe A")
        kept = PAGES[: max(lines - 1, 0)]
        assert list(log.records()) == kept, end
        log.append({"number": 9})
        assert found(path) == [*kept, {"number": 9}], end


def test_a_changed_byte_ends_what_is_believed(path: Path) -> None:
    content = path.read_bytes()
    at = content.index(b'"number":2') + 9
    path.write_bytes(content[:at] + b"7" + content[at + 1 :])
    assert found(path) == PAGES[:1]


def test_what_another_recipe_made_goes(path: Path) -> None:
    assert found(path, "recipe B") == []
    assert found(path, "recipe A") == []


def test_a_log_that_was_never_begun_is_empty(tmp_path: Path) -> None:
    assert list(PageLog(tmp_path / "pages.jsonl", Disk()).records()) == []


def test_a_log_written_by_the_version_before_is_begun_anew(path: Path) -> None:
    path.write_text('{"number": 1, "text": "no checksum"}\n')
    assert found(path) == []
