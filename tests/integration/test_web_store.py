"""What a client was refused is not read all the same, whenever the disk or web.db refuses."""

from __future__ import annotations

import base64
import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_web import page
from tests.support.needs import few
from tests.support.site import Site, site, until
from tests.unit.spool.mounts import tmpfs

SIZE = 1 << 20  # what is written of a body at once: nothing of such a document waits in memory
AZURE = "/documentintelligence/documentModels/prebuilt-read:analyze"
FORM = [("files", ("one.png", page())), ("files", ("one.png", page()))]
BODY = {"base64Source": base64.b64encode(page()).decode()}


def form_of(documents: int) -> Iterator[bytes]:
    """A form of so many documents, and then its end."""
    head = b'--x\r\ncontent-disposition: form-data; name="f"; filename="%d.png"\r\n\r\n'
    yield b"".join(head % number + bytes(SIZE) + b"\r\n" for number in range(documents))
    yield b"--x--\r\n"


def raw() -> Iterator[bytes]:
    yield bytes(SIZE)
    yield b""


def used(disk: Path) -> int:
    facts = os.statvfs(disk)
    return (facts.f_blocks - facts.f_bfree) * facts.f_bsize


@contextlib.contextmanager
def without_room(disk: Path) -> Iterator[None]:
    """Not one block is left."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    try:
        yield
    finally:
        filler.unlink()


@pytest.mark.parametrize("documents", [1, 3])
def test_a_disk_that_is_full_once_all_was_written_takes_nothing(
    tmp_path: Path, documents: int
) -> None:
    root = tmp_path / "srv"
    kind = {"content-type": "multipart/form-data; boundary=x"} if documents > 1 else {}
    with tmpfs(root, "8m"), site(root, daemon=False) as up, up.client() as client:
        before = used(root)
        with contextlib.ExitStack() as full:

            def body() -> Iterator[bytes]:
                first, last = form_of(documents) if documents > 1 else raw()
                yield first
                until(lambda: used(root) >= before + documents * SIZE)
                full.enter_context(without_room(root))
                yield last

            answer = client.post("/api/v1/ocr?name=0.png", content=body(), headers=kind)
        assert answer.status_code >= 500
        assert os.listdir(root / "inbox/web") == []
        again = b"".join(form_of(documents) if documents > 1 else raw())
        assert client.post("/api/v1/ocr?name=0.png", content=again, headers=kind).is_success
        found = sorted(os.listdir(root / "inbox/web"))
        assert found == [f"{number}.png" for number in range(documents)]


@contextlib.contextmanager
def refusing(running: Site, change: str) -> Iterator[None]:
    """web.db takes no such change meanwhile."""
    with contextlib.closing(sqlite3.connect(running.root / ".ocrd/web.db", timeout=20)) as db:
        why = "SELECT RAISE(FAIL, 'database or disk is full')"
        db.execute(f"CREATE TRIGGER full BEFORE {change} ON handed BEGIN {why}; END")
        try:
            yield
        finally:
            db.execute("DROP TRIGGER full")


def lying(running: Site) -> list[str]:
    """What is in the inbox, but for the daemon's own marker."""
    return sorted({*os.listdir(running.root / "inbox/web")} - {".ocrd-tree"})


WAYS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("/api/v1/ocr?name=one.png", {"content": page()}, ["one (2).png"]),
    ("/api/v1/ocr", {"files": FORM}, ["one (2).png", "one (3).png"]),
    ("/v1/convert/file/async", {"files": FORM}, ["one (2).png", "one (3).png"]),
    (AZURE, {"json": BODY}, ["document"]),
]


@pytest.mark.parametrize(("path", "sent", "names"), few(WAYS))
def test_what_cannot_be_noted_does_not_appear_and_what_was_noted_needs_no_second_note(
    tmp_path: Path, path: str, sent: dict[str, Any], names: list[str]
) -> None:
    """A file of that name lies there already, and two of one request have the same name."""
    with site(tmp_path / "srv", daemon=False) as up, up.client("submit") as client:
        (up.root / "inbox/web/one.png").write_bytes(page("of somebody else"))
        with refusing(up, "INSERT"):
            assert client.post(path, **sent).status_code >= 500
        assert lying(up) == ["one.png"]
        with refusing(up, "UPDATE"):
            assert client.post(path, **sent).is_success
        assert lying(up) == sorted(["one.png", *names])


def test_an_uploaded_file_that_cannot_be_noted_as_read_can_be_read_later(tmp_path: Path) -> None:
    with site(tmp_path / "srv") as up, up.client("submit") as client:
        files = {"file": ("held.png", page())}
        with refusing(up, "INSERT"):
            assert client.post("/v1/files", files=files).status_code >= 500
        assert lying(up) == []
        number = client.post("/v1/files", files=files).json()["id"]
        body = {"model": "m", "document": {"type": "file", "file_id": number}}
        with refusing(up, "UPDATE OF source"):
            assert client.post("/v1/ocr", json=body).status_code >= 500
        assert client.post("/v1/ocr", json=body).status_code == 200
        assert lying(up) == []
        assert len(list((up.root / "archive/web").glob("held*.png"))) == 1


@pytest.mark.parametrize("wait", [0, 60])
def test_a_document_of_which_the_job_cannot_be_noted_is_told_by_its_ticket(
    tmp_path: Path, wait: int
) -> None:
    with site(tmp_path / "srv") as up, up.client("submit") as client:
        with refusing(up, "UPDATE OF job"):
            answer = client.post(f"/api/v1/ocr?name=a.png&wait={wait}", content=page())
        assert answer.status_code == 202
        found = client.get(f"/api/v1/jobs/{answer.json()['id']}?wait=240").json()
    assert (found["state"], found["source"]) == ("done", "a.png")
