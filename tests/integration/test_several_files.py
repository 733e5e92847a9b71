"""Documents of several files, and duplex piles: one job each, in order, whatever happens."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pymupdf
import pytest

from ocrd.job import Member, joined
from ocrd.ledger.ledger import Ledger
from tests.integration.tree import Tree, ask, killed_on_the_way, order, scan
from tests.support.needs import slow

POSITIONS = 16  # places between a document's first and last system call at which it is killed
DAMAGED = b"\xff\xd8\xff\xe0 the scanner was switched off"


def book(*said: str) -> bytes:
    document = pymupdf.open()
    for text in said:
        document.new_page(width=200, height=80).insert_text((10, 40), text)
    return bytes(document.tobytes())


def drop_joined(tree: Tree, document: str, files: dict[str, bytes]) -> str:
    """Drop files that one job stands for, as if they had been found to belong together."""
    for name, data in files.items():
        tree.drop(name, data)
    members = [member(tree.inbox, name) for name in files]
    found = joined("scans", document, members)
    (tree.root / ".ocrd").mkdir(exist_ok=True)
    with Ledger.open(tree.root / ".ocrd" / "ledger.db") as ledger:
        assert ledger.record([found]) != [None]
    return found.sha256


def member(inbox: Path, name: str) -> Member:
    facts = (inbox / name).stat()
    return Member(
        source=name,
        size=facts.st_size,
        mtime_ns=facts.st_mtime_ns,
        inode=facts.st_ino,
        sha256=hashlib.sha256((inbox / name).read_bytes()).hexdigest(),
    )


def configure(tree: Tree, *lines: str) -> None:
    text = tree.config.read_text(encoding="utf-8")
    tree.config.write_text(text + "".join(f"{line}\n" for line in lines), encoding="utf-8")


def sidecar(tree: Tree, document: str) -> dict[str, Any]:
    name = document.rpartition("/")[2]
    path = tree.root / "outbox" / "scans" / document / f"{name}.json"
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return told


def printed(tree: Tree, document: str) -> list[str]:
    """What each page of the searchable PDF shows of itself."""
    name = document.rpartition("/")[2]
    with pymupdf.open(tree.root / "outbox" / "scans" / document / f"{name}.pdf") as pdf:
        return [page.get_text().strip() for page in pdf]


def came_from(told: dict[str, Any]) -> list[tuple[str, int]]:
    return [(page["came_from"]["file"], page["came_from"]["page"]) for page in told["pages"]]


def test_pictures_and_a_pdf_become_one_document(tree: Tree) -> None:
    files = {"sub/s_1.jpg": scan(1), "sub/s_2.pdf": book("A", "B"), "sub/s_3.jpg": scan(3)}
    digest = drop_joined(tree, "sub/s", files)
    tree.work_off()
    told = sidecar(tree, "sub/s")
    assert (told["sha256"], told["duplex"]) == (digest, "none")
    assert came_from(told) == [("s_1.jpg", 1), ("s_2.pdf", 1), ("s_2.pdf", 2), ("s_3.jpg", 1)]
    assert [(each["source"], each["pages"]) for each in told["members"]] == [
        ("sub/s_1.jpg", [1]),
        ("sub/s_2.pdf", [2, 3]),
        ("sub/s_3.jpg", [4]),
    ]
    digests = [hashlib.sha256(data).hexdigest() for data in files.values()]
    assert [each["sha256"] for each in told["members"]] == digests
    assert [text for text in printed(tree, "sub/s") if text in "AB"] == ["A", "B"]
    archived = tree.root / "archive" / "scans" / "sub" / "s"
    assert {path.name: path.read_bytes() for path in archived.iterdir()} == {
        name.removeprefix("sub/"): data for name, data in files.items()
    }


@slow
def test_a_document_of_which_one_page_was_scanned_is_a_document_like_any_other(tree: Tree) -> None:
    drop_joined(tree, "sub/s", {"sub/s_1.pdf": book("A")})
    tree.work_off()
    told = sidecar(tree, "sub/s")
    assert came_from(told) == [("s_1.pdf", 1)]
    assert [(each["source"], each["pages"]) for each in told["members"]] == [("sub/s_1.pdf", [1])]
    assert printed(tree, "sub/s") == ["A"]
    assert tree.visible("archive") == ["sub/s/s_1.pdf"]


def test_a_damaged_file_costs_its_own_page_and_shifts_none(tree: Tree) -> None:
    drop_joined(tree, "s", {"s_1.jpg": scan(1), "s_2.jpg": DAMAGED, "s_3.pdf": book("Third")})
    tree.work_off()
    pages = sidecar(tree, "s")["pages"]
    assert [page["state"] for page in pages] == ["done", "failed", "done"]
    assert pages[1]["error"]["message"].startswith("s_2.jpg: ")
    assert printed(tree, "s")[1:] == ["This page of the original cannot be shown.", "Third"]
    markdown = (tree.root / "outbox" / "scans" / "s" / "s.md").read_text(encoding="utf-8")
    assert "**Page 2 could not be read:**" in markdown


@slow
def test_a_document_of_nothing_but_damaged_files_fails_as_one(tree: Tree) -> None:
    drop_joined(tree, "s", {"s_1.jpg": DAMAGED, "s_2.jpg": b""})
    assert tree.run()[0] == 5
    assert tree.visible("failed") == ["s.error.json", "s/s_1.jpg", "s/s_2.jpg"]
    report = json.loads((tree.root / "failed" / "scans" / "s.error.json").read_text())
    assert "s_1.jpg" in report["message"]


def test_a_document_that_is_cancelled_goes_to_failed_as_one_and_comes_back(tree: Tree) -> None:
    files = {"s_1.jpg": scan(1), "s_2.jpg": scan(2)}
    drop_joined(tree, "s", files)
    order(tree, "cancel", "1")
    assert tree.visible("inbox") == []
    assert tree.visible("failed") == ["s.error.json", "s/s_1.jpg", "s/s_2.jpg"]
    order(tree, "retry", "1")
    tree.work_off()
    assert (tree.visible("failed"), tree.visible("archive")) == ([], ["s/s_1.jpg", "s/s_2.jpg"])


def test_a_file_that_was_mended_in_failed_is_read_on_a_retry(tree: Tree) -> None:
    tree.drop("letter.jpg", DAMAGED)
    assert tree.run()[0] == 5
    (tree.root / "failed" / "scans" / "letter.jpg").write_bytes(scan(1))
    order(tree, "retry", "--failed")
    tree.work_off()
    archived = tree.root / "archive" / "scans" / "letter.jpg"
    assert archived.read_bytes() == scan(1)
    assert sidecar(tree, "letter")["sha256"] == hashlib.sha256(scan(1)).hexdigest()
    assert tree.visible("failed") == []


def test_a_link_that_was_put_in_its_place_fails_at_once_and_is_not_followed(tree: Tree) -> None:
    tree.drop("letter.jpg", DAMAGED)
    assert tree.run()[0] == 5
    failed = tree.root / "failed" / "scans" / "letter.jpg"
    mended = tree.root / "mended.jpg"
    mended.write_bytes(scan(1))
    failed.unlink()
    failed.symlink_to(mended)
    order(tree, "retry", "--failed")
    code, said = tree.run()
    assert (code, said.count("kind=not-a-file")) == (5, 1), said
    assert (tree.visible("outbox"), tree.visible("archive")) == ([], [])
    assert failed.is_symlink()


@slow
def test_a_link_in_an_inbox_that_is_tried_again_is_refused_again(tree: Tree) -> None:
    kept = tree.root / "kept.jpg"
    kept.write_bytes(scan(1))
    (tree.inbox / "letter.jpg").symlink_to(kept)
    assert "kind=not-regular" in tree.run()[1]
    order(tree, "retry", "--failed")
    assert "kind=not-regular" in tree.run()[1]
    (tree.inbox / "letter.jpg").unlink()
    kept.rename(tree.inbox / "letter.jpg")
    tree.work_off()
    assert tree.visible("archive") == ["letter.jpg"]


@slow
def test_a_pile_that_was_mended_in_failed_is_read_on_a_retry(tree: Tree) -> None:
    """The front that was fed twice is taken out, the damaged back scanned again."""
    configure(tree, 'duplex = "same"')
    files = {"1.pdf": book("1"), "2.pdf": book("1"), "3.pdf": DAMAGED}
    drop_joined(tree, "pile", files)
    assert tree.run()[0] == 5
    folder = tree.root / "failed" / "scans" / "pile"
    (folder / "2.pdf").unlink()
    (folder / "3.pdf").write_bytes(book("2"))
    order(tree, "retry", "--failed")
    tree.work_off()
    assert printed(tree, "pile") == ["1", "2"]
    assert [each["source"] for each in sidecar(tree, "pile")["members"]] == ["1.pdf", "3.pdf"]
    assert tree.visible("failed") == []
    assert tree.visible("archive") == ["pile/1.pdf", "pile/3.pdf"]


@pytest.mark.parametrize(  # tests/unit/worker/test_collation.py has every order of every pile
    ("duplex", "scanned", "in_a_file"),
    [
        ("reversed", "1 3 5 6 4 2", 6),
        ("same", "1 3 5 2 4 6", 3),
    ],
)
def test_a_duplex_pile_comes_out_in_the_order_of_its_pages(
    tree: Tree, duplex: str, scanned: str, in_a_file: int
) -> None:
    configure(tree, f'duplex = "{duplex}"')
    pages = scanned.split()
    if in_a_file == len(pages):
        tree.drop("pile.pdf", book(*pages))
    else:
        drop_joined(tree, "pile", {"a.pdf": book(*pages[:3]), "b.pdf": book(*pages[3:])})
    tree.work_off()
    assert printed(tree, "pile") == ["1", "2", "3", "4", "5", "6"]
    told = sidecar(tree, "pile")
    assert [page["number"] for page in told["pages"]] == [1, 2, 3, 4, 5, 6]
    assert told["duplex"] == duplex
    assert len(set(came_from(told))) == 6


def test_an_uneven_pile_is_refused_and_kept(tree: Tree) -> None:
    configure(tree, 'duplex = "reversed"')
    files = {"a.pdf": book("1", "3", "5"), "b.pdf": book("6", "4", "2", "0", "-2")}
    drop_joined(tree, "pile", files)
    assert tree.run()[0] == 5
    assert tree.visible("failed") == ["pile.error.json", "pile/a.pdf", "pile/b.pdf"]
    report = json.loads((tree.root / "failed" / "scans" / "pile.error.json").read_text())
    assert report["kind"] == "uneven-pile"
    assert "scan it again" in report["hint"]


@slow
def test_the_order_of_a_pile_is_no_reason_to_take_another_orders_results(tree: Tree) -> None:
    data = book("1", "3", "4", "2")
    tree.drop("plain.pdf", data)
    tree.work_off()
    configure(tree, 'duplex = "reversed"')
    tree.drop("pile.pdf", data)
    tree.work_off()
    plain, pile = (
        (tree.root / "outbox" / "scans" / name / f"{name}.md").read_text(encoding="utf-8")
        for name in ("plain", "pile")
    )
    texts = [
        [line for line in text.splitlines() if line.startswith("page ")] for text in (plain, pile)
    ]
    first, second = texts
    assert second == [first[0], first[3], first[1], first[2]]


@slow
def test_killed_between_any_two_steps_a_joined_document_still_arrives_once(tmp_path: Path) -> None:
    files = {"s_1.jpg": scan(1), "s_2.pdf": book("A", "B"), "s_3.jpg": scan(3)}

    def dropped(root: Path) -> Tree:
        tree = Tree(root)
        drop_joined(tree, "s", files)
        return tree

    for tree in killed_on_the_way(tmp_path, dropped, POSITIONS):
        assert set(tree.visible("archive")) <= {f"s/{file}" for file in files}
        tree.work_off()
        archived = tree.root / "archive" / "scans" / "s"
        assert {path.name: path.read_bytes() for path in archived.iterdir()} == files
        assert tree.visible("outbox") == ["s/s.json", "s/s.md", "s/s.pdf"]
        assert [page["state"] for page in sidecar(tree, "s")["pages"]] == ["done"] * 4
        assert (tree.visible("inbox"), tree.spooled()) == ([], [])
        assert [(job["source"], job["state"]) for job in ask(tree, "jobs")["jobs"]] == [
            ("s", "done")
        ]
        tree.check_nothing_twice()
