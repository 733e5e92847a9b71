"""Finished pages outlive a crash; what it tore, or was made of something else, does not count."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import pytest

from ocrd.files import Disk
from ocrd.job import JobError, Page, PageState
from ocrd.pagelog import Entry, PageLog
from tests.support.needs import everything

DOUBT = JobError(kind="partial", message="cut off", hint="Look at the page.")
ENTRIES = [
    Entry(page=Page(number=1, state=PageState.DONE, tries=1, tokens=9), result='{"text":"Grüße"}'),
    Entry(
        page=Page(number=2, state=PageState.FAILED, tries=3, error=DOUBT),
        result=None,
        came_from={"file": "b.png", "page": 1},
    ),
    Entry(page=Page(number=3, state=PageState.DONE, reused=True), result="{}", pile_page=8),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "pages.jsonl"
    log = PageLog(path, Disk())
    log.begin("recipe A", "content")
    for entry in ENTRIES:
        log.append(entry)
    return path


def found(path: Path, recipe: str = "recipe A", content: str = "content") -> list[Entry]:
    log = PageLog(path, Disk())
    log.begin(recipe, content)
    return list(log.entries())


def test_a_line_is_its_length_its_checksum_and_its_json(path: Path) -> None:
    for line in path.read_bytes().splitlines():
        length, checksum, content = line.split(b" ", 2)
        assert int(length, 16) == len(content)
        assert int(checksum, 16) == zlib.crc32(content)
    assert found(path) == ENTRIES
    assert PageLog(path, Disk()).count() == 3


def test_a_log_torn_at_any_byte_keeps_the_whole_lines_and_goes_on(path: Path) -> None:
    whole = path.read_bytes()
    for end in range(len(whole)):
        if end % 11 and b"\n" not in whole[end - 1 : end + 1] and not everything():
            continue
        path.write_bytes(whole[:end])
        lines = whole[:end].count(b"\n")
        log = PageLog(path, Disk())
        log.begin("recipe A", "content")
        kept = ENTRIES[: max(lines - 1, 0)]
        assert list(log.entries()) == kept, end
        log.append(ENTRIES[2])
        assert found(path) == [*kept, ENTRIES[2]][:3], end


def test_a_changed_byte_ends_what_is_believed(path: Path) -> None:
    content = path.read_bytes()
    at = content.index(b'"number":2') + 9
    path.write_bytes(content[:at] + b"7" + content[at + 1 :])
    assert found(path) == ENTRIES[:1]


@pytest.mark.parametrize("other", [("recipe B", "content"), ("recipe A", "another content")])
def test_what_was_made_of_something_else_goes(path: Path, other: tuple[str, str]) -> None:
    assert PageLog(path, Disk()).recipe_of("content") == "recipe A"
    assert PageLog(path, Disk()).recipe_of("another content") is None
    assert found(path, *other) == []
    log = PageLog(path, Disk())
    log.begin(*other)
    log.append(ENTRIES[1])
    assert found(path, *other) == [ENTRIES[1]]
    assert found(path) == []


def test_pages_come_by_their_numbers_and_the_last_word_on_one_counts(path: Path) -> None:
    log = PageLog(path, Disk())
    late = Entry(page=Page(number=1, state=PageState.DONE), result='{"text":"again"}')
    log.append(late)
    assert list(log.entries()) == [late, *ENTRIES[1:]]


def test_halves_of_surrogate_pairs_are_replaced(path: Path) -> None:
    log = PageLog(path, Disk())
    log.append(Entry(page=ENTRIES[0].page, result='{"text":"\ud800"}'))
    assert next(log.entries()).result == '{"text":"\ufffd"}'


def test_a_log_that_was_never_begun_is_empty(tmp_path: Path) -> None:
    log = PageLog(tmp_path / "pages.jsonl", Disk())
    assert (list(log.entries()), log.recipe_of("content"), log.count()) == ([], None, 0)


OLD = {"state": "done", "tries": 1, "tokens": 9, "seconds": 0.5, "reused": False, "error": None}


def test_pages_of_the_version_before_can_be_read_and_are_begun_anew(path: Path) -> None:
    lines = [json.dumps({"number": n, **OLD, "result": {"text": "old"}}) for n in (1, 2)]
    path.write_text("\n".join(lines))  # the last one is torn
    page = Page(number=1, state=PageState.DONE, tries=1, tokens=9, seconds=0.5)
    assert list(PageLog(path, Disk()).entries()) == [Entry(page=page, result='{"text": "old"}')]
    assert found(path) == []
