"""A child taken over by a hostile file gets nothing from the daemon."""

import contextlib
import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from ocrd.children import ChildPool, process
from ocrd.children.child import Failure
from ocrd.children.confine import Scope
from ocrd.children.wire import BadAnswerError, Slate, answer
from ocrd.errors import BadFileError, OcrdError, PageFaultError, PlaceError
from ocrd.page import Box, Finish, Line, PageImage, PageResult
from ocrd.pages.base import DocumentInfo
from tests.unit.children import calls
from tests.unit.children.support import children, make_pool


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[ChildPool]:
    """One child, for calls that do not break it."""
    pool = make_pool()
    yield pool
    pool.stop()


def packed(value: object) -> bytes:
    """A message as a child would lay it on the slate, made by the library alone."""
    body: bytes = msgpack.packb(value)
    return len(body).to_bytes(4, "big") + body


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (packed([{"text": 7}]), "text: Input should be a valid string"),
        (packed([{"text": "said", "finish": "exploded"}]), "finish"),
        (packed([{"text": "said", "lines": [{"text": "x"}]}]), r"lines\.0\.box"),
        (packed([{"text": "said", "lines": {"__class__": "Path"}}]), "lines"),
        (packed(["os.system"]), "value"),
        (packed({"unlink": "/etc/passwd"}), "neither a value nor a failure"),
        (packed([None, {"error": "BadFileError"}]), "message"),
        (packed([msgpack.ExtType(1, (1 << 40).to_bytes(8, "big"))]), "more than there is"),
        (packed([msgpack.ExtType(5, b"x")]), "more than there is"),
        (b"\xff\xff\xff\xff", "too large"),
        (b"\x00\x00\x00\x05\xdd\xff\xff\xff\xff", "ValueError"),
        (b"\x00\x00\x00\x01\xc1", "FormatError"),
        (b"cos\nsystem\n(S'true'\ntR.", "too large"),
        (b"", "incomplete input"),
    ],
)
async def test_a_forged_answer_is_none(
    message: bytes, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_spawn", lambda *_: None)  # what it would say is laid down here
    child = process.Child()

    async def taken_over(_turn: bytes) -> None:
        child._slate.read()
        os.pwrite(child._slate.fileno(), message, 0)

    monkeypatch.setattr(child, "_take_turns", taken_over)
    with pytest.raises(BadAnswerError, match=words):
        await child.call(calls.forge_with, [b""], cpu_s=1, scope=Scope())
    child.close()


async def test_a_child_that_gives_a_forged_answer_is_a_crash_and_ends() -> None:
    pool = make_pool(resident=True)
    with pytest.raises(PageFaultError, match="text: Input should be a valid string") as caught:
        await pool.run(calls.forge_with, packed([{"text": 7}]))

    assert caught.value.kind == "crashed"
    assert children() == set()
    pool.stop()


async def test_what_a_forged_answer_adds_is_not_even_looked_at(tmp_path: Path) -> None:
    """A forged attribute once made the daemon remove the file it named."""
    victim = tmp_path / "file"
    victim.touch()
    forged = {"text": "said", "_path": os.fspath(victim), "__dict__": {"path": os.fspath(victim)}}
    pool = make_pool(resident=True)
    result = await pool.run(calls.forge_with, packed([forged]))
    pool.stop()

    assert result == PageResult(text="said")
    assert victim.exists()


@pytest.mark.parametrize("name", ["EngineDownError", "FencedError", "ConfigError", "SystemExit"])
def test_an_error_that_is_the_daemons_own_cannot_be_claimed(name: str) -> None:
    told = Failure(name, "It is\x1b[2J over.\n", "Wait.", "k" * 99, "").rebuilt(Scope())

    assert type(told) is PageFaultError
    assert (told.message, told.kind) == ("It is [2J over. ", "k" * 40)


def test_the_place_in_an_error_is_the_one_that_the_child_was_given() -> None:
    told = Failure("PlaceError", "/etc: no space is left", "Free some.", "disk-full", "")
    error = told.rebuilt(Scope(writable=(Path("/spool/7"),)))

    assert isinstance(error, PlaceError)
    assert error.path == Path("/spool/7")


def kept(value: object) -> Any:
    """What comes of a value that is laid on a slate and read again."""
    slate = Slate()
    slate.write(value)
    try:
        return slate.read()
    finally:
        slate.close()


def a_result() -> PageResult: ...  # type: ignore[empty-body] # only its type is looked at
def an_image() -> PageImage: ...  # type: ignore[empty-body] # likewise
def an_outline() -> DocumentInfo: ...  # type: ignore[empty-body] # likewise


@pytest.mark.parametrize(
    ("function", "value"),
    [
        (
            a_result,
            PageResult(text="said", finish=Finish.LENGTH, lines=(Line("x", Box(0, 0, 1, 1)),)),
        ),
        (an_image, PageImage(100, 100, bytes(range(250)) * 120, codes=("a", "b"))),
        (an_image, PageImage(1, 1, b"\x00\x01\x02")),
        (an_outline, DocumentInfo(kind="pdf", pages=3)),
        (calls.listing, ["caf\udce9.pdf"]),
        (calls.environment, {"of": "words"}),
    ],
)
def test_data_comes_through(function: Any, value: object) -> None:
    assert answer(function, kept(value)) == value


@given(st.binary(max_size=300), st.integers(0, 60), st.binary(max_size=20))
def test_no_answer_however_mangled_does_more_than_be_refused(
    noise: bytes, at: int, splice: bytes
) -> None:
    message = packed({"width": 1, "height": 1, "rgb": noise})
    slate = Slate()
    os.pwrite(slate.fileno(), message[:at] + splice + message[at + len(splice) :], 0)
    with contextlib.suppress(BadAnswerError):
        assert isinstance(answer(an_image, slate.read()), PageImage)
    assert os.fstat(slate.fileno()).st_blocks == 0
    slate.close()


@pytest.mark.parametrize(
    ("code", "error", "kind"),
    [
        (errno.ENOSPC, PlaceError, "disk-full"),
        (errno.EDQUOT, PlaceError, "quota"),
        (errno.EROFS, PlaceError, "read-only"),
        (errno.EIO, PlaceError, "io-error"),
        (errno.ESTALE, PlaceError, "share-gone"),
        (errno.ENOMEM, PageFaultError, "out-of-memory"),
        (errno.EINVAL, PageFaultError, "unexpected"),
    ],
)
@pytest.mark.parametrize("named", [True, False])
@pytest.mark.asyncio(loop_scope="module")
async def test_a_condition_of_the_disk_is_told_as_what_it_is(
    code: int, error: type[OcrdError], kind: str, named: bool, pool: ChildPool, tmp_path: Path
) -> None:
    name = os.fspath(tmp_path / "file") if named else None
    with pytest.raises(error) as caught:
        await pool.run(calls.os_error, code, name, writable=[tmp_path])

    assert caught.value.kind == kind or (kind, caught.value.kind) == ("quota", "disk-full")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_damaged_file_is_damaged_only_if_it_can_be_read(
    pool: ChildPool, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"content")
    with pytest.raises(BadFileError):
        await pool.run(calls.damaged, readable=[tmp_path / "file"])
    with pytest.raises(PlaceError) as caught:
        await pool.run(calls.damaged, readable=[Path("/proc/self/mem")])  # EIO at its first byte

    assert caught.value.kind == "io-error"
