"""What holds for every test: what the machine lacks is said, not stumbled over."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.needs import examples, find_system_programs, need

find_system_programs()
gc.disable()  # until all is imported and collected, of which none is ever garbage

# Hypothesis' own profile for CI: the same examples everywhere, none judged by how long it took.
settings.register_profile("ocrd", settings.get_profile("ci"), max_examples=examples(100))


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What commands keep for their user is none of the home's; vLLM's compiled code is."""
    usual = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    os.environ.setdefault("VLLM_CACHE_ROOT", str(usual / "vllm"))
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


def pytest_collection_finish() -> None:
    """What is there by now is looked through no more."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests marked with `needs(...)` begin only where the machine has all of it."""
    for mark in item.iter_markers("needs"):
        need(*mark.args)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """More than cores, as tests wait half of their time.

    Not many more: each takes memory, and 10 s of CPU to collect the tests and to prepare forks.
    """
    return len(os.sched_getaffinity(0)) + 5
