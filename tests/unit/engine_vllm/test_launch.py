"""Engines that are started side by side: real processes, made as vLLM makes them."""

import asyncio
import json
import logging
import logging.config
import multiprocessing
import os
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ocrd.engine.resident.preflight import LOG_CONFIG, Vllm
from ocrd.engine.resident.process import (
    SCHEDULER,
    Launcher,
    compile_caches,
    engine_processes,
    set_aside,
    write_log_config,
)

CARD = "OCRD_TEST_CARD"  # environment
CONFIG_S = 0.1  # vLLM takes seconds for it, before there is a child
IMPORTS_S = 0.7  # what a child takes before it says a word; vLLM's takes half a minute


def child(name: str) -> None:
    time.sleep(IMPORTS_S)
    logging.config.dictConfig(json.loads(Path(os.environ[LOG_CONFIG]).read_text()))
    logging.getLogger("vllm").warning("I am %s and see %s", name, os.environ.get(CARD))


class Config:
    """Of an engine, as far as it is looked at."""

    def __init__(self, **arguments: Any) -> None:
        self.arguments = arguments
        given = {"scheduler_cls": None, "async_scheduling": True} | arguments
        self.scheduler_config = SimpleNamespace(encoder_cache_size=8, **given)

    def create_engine_config(self) -> "Config":
        time.sleep(CONFIG_S)
        return self

    disable_log_stats = True


@dataclass
class Running:
    """An engine whose process has spoken."""

    config: Config
    begun: float
    spoken: float

    @classmethod
    def from_vllm_config(cls, config: Config, disable_log_stats: bool) -> "Running":
        spawn, begun = multiprocessing.get_context("spawn"), time.monotonic()
        process = spawn.Process(target=child, args=(config.arguments["model"],), name="EngineCore")
        process.start()
        process.join()
        codes.append(process.exitcode)
        return cls(config, begun, time.monotonic())

    def shutdown(self, timeout: float) -> None:
        ended.append(self.config.arguments["model"])


ended: list[str] = []
codes: list[int | None] = []


VLLM = Vllm(Running, Config, None, None, RuntimeError)


async def test_engines_are_started_side_by_side_and_each_is_heard_on_its_own(
    tmp_path: Path,
) -> None:
    launcher = Launcher(VLLM, tmp_path, write_log_config(tmp_path))
    names, before = ["one", "other"], dict(os.environ)
    launched = await asyncio.gather(
        *(launcher.launch({"model": name}, lambda stage: None, {CARD: name}) for name in names)
    )
    last_begun = max(one.engine.begun for one in launched)
    assert last_begun < min(one.engine.spoken for one in launched), "neither waited for the other"
    assert [one.log.words() for one in launched] == [
        ["I am one and see one"],
        ["I am other and see other"],
    ]
    assert dict(os.environ) == before, "it is theirs alone"
    for one in launched:
        await one.close()


@pytest.mark.parametrize("after_s", [0.0, IMPORTS_S / 2])
async def test_nothing_is_left_of_an_engine_that_is_given_up_while_it_starts(
    tmp_path: Path, after_s: float
) -> None:
    ended.clear()
    codes.clear()
    launcher = Launcher(VLLM, tmp_path, write_log_config(tmp_path))
    launching = asyncio.create_task(launcher.launch({"model": "m"}, lambda stage: None, {}))
    await asyncio.sleep(after_s)
    launching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await launching
    assert ended == ["m"]
    assert codes == [0], "it was where it looks for its log's configuration"
    assert not engine_processes()


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        ({}, SCHEDULER),
        ({"scheduler_cls": "their.own"}, "their.own"),
        ({"async_scheduling": False}, None),  # ours builds on the other
    ],
)
async def test_pages_begin_in_groups_unless_the_operator_names_a_scheduler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], chosen: str | None
) -> None:
    silent = classmethod(lambda cls, config, disable_log_stats: cls(config, 0.0, 0.0))
    monkeypatch.setattr(Running, "from_vllm_config", silent)
    launcher = Launcher(VLLM, tmp_path, write_log_config(tmp_path))
    one = await launcher.launch({"model": "m", **given}, lambda stage: None, {})
    await one.close()
    assert one.engine.config.scheduler_config.scheduler_cls == chosen


def test_what_was_compiled_is_put_aside_once_for_all_engines(tmp_path: Path) -> None:
    cache = tmp_path / "vllm" / "torch_compile_cache"
    (cache / "hash").mkdir(parents=True)
    (cache / "hash" / "model").write_bytes(b"cut o")
    assert set_aside([cache, tmp_path / "never-made"]) == [cache.with_name(f"{cache.name}.broken")]
    assert not cache.exists()
    assert set_aside([cache]) == [], "the engine beside it finds nothing left to do"


def test_the_caches_are_where_vllm_and_torch_keep_them(monkeypatch: Any) -> None:
    monkeypatch.setenv("VLLM_CACHE_ROOT", "/var/cache/ocrd/vllm")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/var/cache/ocrd/inductor")
    assert compile_caches() == [
        Path("/var/cache/ocrd/vllm/torch_compile_cache"),
        Path("/var/cache/ocrd/inductor"),
    ]
    monkeypatch.delenv("VLLM_CACHE_ROOT")
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", "/srv/cache")
    assert compile_caches() == [Path("/srv/cache/vllm/torch_compile_cache")]
