"""The file of the web process: who is told of which documents, and how long it is in use."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ocrd.files import FileFacts
from ocrd.web.store import LISTED_FILES, Role, Store, Token

FACTS = FileFacts(size=1, mtime_ns=1, inode=1)
SENDER = Token(name="sender", role=Role.SUBMIT)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "web.db")) as made:
        yield made


def fill(path: Path, files: int) -> None:
    """So many files that were read, the newest of them alone in a folder of its own."""
    with closing(sqlite3.connect(path)) as db, db:
        row = "INSERT INTO handed (folder, source, size, mtime_ns, inode, token, at, name, job)"
        rows = (
            ("own" if number == files else "scans", f"{number}.png", float(number), number)
            for number in range(1, files + 1)
        )
        db.executemany(f"{row} VALUES (?1, ?2, 1, 1, 1, 'sender', ?3, ?2, ?4)", rows)


def steps(root: Path, files: int) -> dict[str, int]:
    """How many hundreds of instructions SQLite runs while all requests wait, by its own count."""
    root.mkdir()
    count, found = 0, {}

    def step() -> None:
        nonlocal count
        count += 1

    with closing(Store(root / "web.db")) as store:
        fill(root / "web.db", files)
        store._db.set_progress_handler(step, 100)
        limited = Token(name="sender", role=Role.SUBMIT, folders=frozenset({"own"}))
        calls: dict[str, Callable[[], object]] = {
            "first": lambda: store.files(SENDER, "", 100, 0),
            "last": lambda: store.files(SENDER, "", 100, files - 100),
            "sought": lambda: store.files(SENDER, "nothing", 100, 0),
            "limited": lambda: store.files(limited, "", 100, 0),
            "never read": lambda: store.held_before(1e12),
        }
        for name, call in calls.items():
            before = count
            call()
            found[name] = count - before
    return found


def test_many_files_of_a_token_keep_nobody_waiting_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ocrd.web.store.LISTED_FILES", 1000)
    few = steps(tmp_path / "few", 1000)
    many = steps(tmp_path / "many", 10_000)
    assert few["first"] > 0
    assert {name for name in many if many[name] > 1.2 * few[name] + 5} == set()


def test_of_many_files_the_newest_are_listed(tmp_path: Path, store: Store) -> None:
    fill(tmp_path / "web.db", LISTED_FILES + 2)
    found, total = store.files(SENDER, "", 2, 0)
    assert [each.job for each in found] == [LISTED_FILES + 2, LISTED_FILES + 1]
    assert total == LISTED_FILES
    assert [each.job for each in store.files(SENDER, "", 2, LISTED_FILES - 1)[0]] == [3]


@pytest.mark.parametrize(
    ("folders", "seen"),
    [(None, [3, 2, 1]), ({"a"}, [2, 1]), ({"b"}, [3]), ({"a", "b"}, [3, 2, 1]), (set(), [])],
)
def test_a_token_is_told_of_what_lies_in_its_folders(
    store: Store, folders: set[str] | None, seen: list[int]
) -> None:
    for number, folder in enumerate(("a", "a", "b"), 1):
        (handed,) = store.hand(folder, [(f"{number}.png", FACTS, f"{number}.png")], SENDER)
        store.became(handed.ticket, number)
    token = Token(
        name="sender", role=Role.SUBMIT, folders=None if folders is None else frozenset(folders)
    )
    found, total = store.files(token, "", 100, 0)
    assert ([each.ticket for each in found], total) == (seen, len(seen))
    assert store.jobs_of(token, -1, None, None) == seen
    assert store.jobs_of(token, 1, None, None) == seen[:1]


def test_a_signed_url_of_whom_a_proxy_logs_in_ends_with_its_file_alone(store: Store) -> None:
    """The proxy's users have no token here that could be removed."""
    (handed,) = store.hand(
        "a", [(".held", FACTS, "a.png")], Token(name="proxy:a", role=Role.SUBMIT)
    )
    signature = store.sign(store.link_text(handed, 99))
    store.add_token("a", Role.SUBMIT, None)
    store.remove_token("a")
    found = store.handed(handed.ticket)
    assert found is not None and store.signed(store.link_text(found, 99), signature)
    assert not store.signed(store.link_text(found, 100), signature)
    store.disown(found)
    gone = store.handed(handed.ticket)
    assert gone is not None and gone.name is None
