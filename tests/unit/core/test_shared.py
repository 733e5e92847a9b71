"""Threads that ask for the same at the same time share one call that began after all had asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeAlias

import pytest

from ocrd.files import Shared

Caller: TypeAlias = Callable[[Path], None]
HERE, THERE = Path("/here"), Path("/there")


class Slow:
    """A call that lasts until it is let go, and keeps count."""

    def __init__(self) -> None:
        self.begun: list[Path] = []
        self.began = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)
        self.fails = False

    def __call__(self, path: Path) -> None:
        self.begun.append(path)
        self.began.release()
        self.go_on.acquire()
        if self.fails:
            raise OSError(5, "the disk is gone", str(path))


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def shared(slow: Slow) -> Caller:
    share = Shared()
    return lambda path: share(path, partial(slow, path))


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as made:
        yield made


def ask(pool: ThreadPoolExecutor, shared: Caller, callers: int) -> list[Future[None]]:
    """So many threads that have asked for the same folder and wait."""
    asked = threading.Barrier(callers + 1)

    def caller() -> None:
        asked.wait()
        shared(HERE)

    waiting = [pool.submit(caller) for _ in range(callers)]
    asked.wait()
    return waiting


def test_one_by_one_each_has_a_call_of_its_own(slow: Slow, shared: Caller) -> None:
    for _ in range(3):
        slow.go_on.release()
        shared(HERE)
    assert slow.begun == [HERE] * 3


def test_a_call_under_way_does_not_count_for_who_asks_meanwhile(
    slow: Slow, shared: Caller, pool: ThreadPoolExecutor
) -> None:
    first = pool.submit(shared, HERE)
    slow.began.acquire()
    second = pool.submit(shared, HERE)
    slow.go_on.release()
    first.result()
    slow.began.acquire()
    assert not second.done()
    slow.go_on.release()
    second.result()
    assert slow.begun == [HERE, HERE]


def test_all_who_ask_meanwhile_share_the_next(
    slow: Slow, shared: Caller, pool: ThreadPoolExecutor
) -> None:
    first = pool.submit(shared, HERE)
    slow.began.acquire()
    others = ask(pool, shared, 6)
    time.sleep(0.2)  # one that is late may need a third call
    slow.go_on.release(7)
    for each in (first, *others):
        each.result()
    assert 2 <= len(slow.begun) < 7


def test_different_folders_do_not_wait_for_each_other(
    slow: Slow, shared: Caller, pool: ThreadPoolExecutor
) -> None:
    calls = [pool.submit(shared, HERE), pool.submit(shared, THERE)]
    slow.began.acquire()
    slow.began.acquire()
    slow.go_on.release(2)
    for each in calls:
        each.result()
    assert sorted(slow.begun) == [HERE, THERE]


def test_a_failure_is_told_to_all_who_shared_it_and_to_nobody_after(
    slow: Slow, shared: Caller, pool: ThreadPoolExecutor
) -> None:
    slow.fails = True
    slow.go_on.release(8)
    for each in ask(pool, shared, 4):
        with pytest.raises(OSError, match="the disk is gone"):
            each.result()
    slow.fails = False
    slow.go_on.release()
    shared(HERE)
