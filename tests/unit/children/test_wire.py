"""A child taken over by a hostile file gets nothing from the daemon."""

import contextlib
import io
import os
import pickle
import pickletools
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrd.children.wire import BadAnswerError, Slate
from ocrd.errors import PageFaultError
from ocrd.page import Finish, PageImage, PageResult
from ocrd.pages.base import DocumentInfo
from tests.unit.children import calls
from tests.unit.children.support import children, make_pool


class Weather(Enum):
    """As every enumeration is pickled by Python 3.11.2, that of Debian 12."""

    RAIN = "rain"

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        return getattr, (Weather, "RAIN")


def test_an_enumeration_travels_by_value_whatever_python_makes_of_it() -> None:
    slate = Slate()
    slate.write([Weather.RAIN])
    words = [word for _, word, _ in pickletools.genops(os.pread(slate.fileno(), 1 << 16, 0))]
    assert "rain" in words
    assert "getattr" not in words
    slate.close()


async def test_an_answer_that_would_run_code_is_a_crash_and_runs_nothing(tmp_path: Path) -> None:
    pool = make_pool()
    folder = tmp_path / "made by the daemon"
    with pytest.raises(PageFaultError, match=r"posix\.mkdir is not data") as caught:
        await pool.run(calls.forge, os.fspath(folder))

    assert caught.value.kind == "crashed"
    assert not folder.exists()
    assert children() == set()
    pool.stop()


async def test_an_answer_that_announces_too_much_is_a_crash() -> None:
    pool = make_pool()
    with pytest.raises(PageFaultError) as caught:
        await pool.run(calls.forge_length)

    assert caught.value.kind == "crashed"
    pool.stop()


async def test_an_answer_of_a_foreign_class_is_refused() -> None:
    pool = make_pool()
    with pytest.raises(PageFaultError, match=r"pathlib\.\w+ is not data"):
        await pool.run(calls.a_path)
    pool.stop()


@pytest.mark.parametrize(
    "value",
    [
        None,
        (1, 2.5, "text", b"bytes", [True], {"key": {"of": "keys"}}, {1, 2}, frozenset({3})),
        PageImage(1, 1, b"\x00\x01\x02"),
        PageResult(text="said", finish=Finish.LENGTH),
        DocumentInfo(kind="pdf", media_type="application/pdf", pages=3),
    ],
    ids=lambda value: type(value).__name__,
)
def test_data_comes_through(value: object) -> None:
    slate = Slate()
    slate.write(value)

    assert slate.read_wary() == value
    slate.close()


@pytest.mark.parametrize(
    "pickled",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"cocrd.children.wire\nos.system\n(S'true'\ntR.",  # through a module of ours
        b"cocrd.children.process\nChild\n(tR.",  # a class of ours that is no data
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"garbage",
        b"",
    ],
)
def test_whatever_could_act_is_refused(pickled: bytes) -> None:
    slate = Slate()
    os.pwrite(slate.fileno(), pickled, 0)

    with pytest.raises(BadAnswerError):
        slate.read_wary()
    slate.close()


@given(st.binary(max_size=300), st.integers(0, 60), st.binary(max_size=20))
def test_no_answer_however_mangled_does_more_than_be_refused(
    noise: bytes, at: int, splice: bytes
) -> None:
    buffer = io.BytesIO()
    pickle.dump(PageImage(1, 1, noise), buffer)
    message = buffer.getvalue()
    slate = Slate()
    os.pwrite(slate.fileno(), message[:at] + splice + message[at + len(splice) :], 0)
    with contextlib.suppress(BadAnswerError):
        slate.read_wary()
    assert os.fstat(slate.fileno()).st_size == 0
    slate.close()
