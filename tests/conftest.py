"""What holds for every test: what the machine lacks is said, not stumbled over."""

from __future__ import annotations

import os

import pytest

from tests.support.needs import find_system_programs, need

find_system_programs()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests marked with `needs(...)` begin only where the machine has all of it."""
    for mark in item.iter_markers("needs"):
        need(*mark.args)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than cores: a test that waits leaves its core to another."""
    return len(os.sched_getaffinity(0)) + 1
