"""Only a regular file is opened, and nothing is waited for."""

import os
import socket
from pathlib import Path

import pytest

from ocrd.errors import SourceChangedError
from ocrd.files import OpenDocuments, open_regular
from tests.unit.pages.conftest import refused


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.fspath(path))


def make_link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


@pytest.mark.parametrize("make", [make_fifo, make_socket, make_link, Path.mkdir])
def test_what_is_no_regular_file_is_refused_at_once(make: object, tmp_path: Path) -> None:
    path = tmp_path / "x"
    make(path)  # type: ignore[operator]  # one of the four above
    for each in (path, Path("/dev/zero")):
        with refused("not-a-file"):
            open_regular(each)


def test_a_file_that_is_gone_is_said_to_be_gone(tmp_path: Path) -> None:
    with pytest.raises(SourceChangedError):
        open_regular(tmp_path / "x")
    with pytest.raises(SourceChangedError):
        open_regular(tmp_path / "folder" / "x")


class Closable:
    """Tells when it is closed."""

    def __init__(self, name: str, closed: list[str]) -> None:
        self.name = name
        self._closed = closed

    def close(self) -> None:
        self._closed.append(self.name)


def test_documents_stay_open_until_others_take_their_place(tmp_path: Path) -> None:
    opened: list[str] = []
    closed: list[str] = []
    documents: OpenDocuments[Closable] = OpenDocuments(2)

    def open_(name: str) -> Closable:
        opened.append(name)
        return Closable(name, closed)

    def get(name: str) -> str:
        path = tmp_path / name
        with path.open("rb") as file:
            return documents.get(file, lambda _: open_(name)).name

    for name in "abc":
        (tmp_path / name).touch()
    for name in "abacab":
        assert get(name) == name
    assert opened == ["a", "b", "c", "b"]
    assert closed == ["b", "c"]
    documents.close()
    assert closed == ["b", "c", "b", "a"]
