"""Real `vllm serve` processes, small: killed, poisoned, plain, behind a router."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from ocrd.engine.base import EngineState, PageRequest
from ocrd.engine.deepseek.tiling import prompt_tokens
from ocrd.engine.remote.engine import ServerEngine
from ocrd.engine.remote.settings import serve_command
from ocrd.engine.resident import VllmSettings
from ocrd.errors import PageError
from ocrd.events import Event, Events
from ocrd.modes import BUILT_IN_MODES, RESOLUTIONS
from tests.integration.test_servers import read_all, router
from tests.integration.tree import Tree
from tests.slow.vllm.engines import HANG_S, LITTLE, little, settings, until
from tests.slow.vllm.faulty import MARK
from tests.slow.vllm.served import Served
from tests.slow.vllm.test_models import CONTEXT, MODELS
from tests.support.ports import reserved_ports

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(2 * HANG_S)]

READY_S = 300
TOKENS = 6
PAGES = 24
FILES = 40
CHAT = """\
model = "{model}"
profile = "{profile}"
[engine.sampling]
ignore_eos = true
min_tokens = 6
max_tokens = 6
"""


def configured(checkpoint: Path, *ports: int) -> VllmSettings:
    made = settings(checkpoint)
    fixed = {"ignore_eos": True, "max_tokens": TOKENS, "min_tokens": TOKENS}
    options = {**made.options, "distributed_executor_backend": None}
    servers = [f"http://127.0.0.1:{port}" for port in ports]
    return made.changed(resolutions=(LITTLE,), sampling=fixed, options=options, servers=servers)


@pytest.fixture
def ports() -> Iterator[list[int]]:
    with reserved_ports(2) as held:
        yield held


@asynccontextmanager
async def up(*servers: Served) -> AsyncIterator[None]:
    try:
        await asyncio.gather(*(asyncio.to_thread(one.wait_up, READY_S) for one in servers))
        yield
    finally:
        for one in servers:
            one.kill()


async def test_two_servers_one_killed_one_poisoned(
    checkpoint: Path, tmp_path: Path, ports: list[int]
) -> None:
    given = configured(checkpoint, *ports)
    told: list[Event] = []
    words = serve_command(given)[2:]
    servers = [Served(words, port, tmp_path / f"{port}.log", os.environ) for port in ports]
    async with up(*servers):
        engine = ServerEngine(given, events=Events(told.append))
        await engine.start(lambda _: None)
        assert all(one.endswith(": ready, 0 pages there") for one in engine.report().devices)

        read = [
            asyncio.create_task(engine.recognise(little(f"p{n}", seed=n))) for n in range(PAGES)
        ]
        await until(lambda: not engine.report().devices[1].endswith(", 0 pages there"))
        servers[1].kill()
        results = await asyncio.wait_for(asyncio.gather(*read), HANG_S)
        text = len(f"\n{BUILT_IN_MODES['ocr'].prompt}") + 1  # a token a byte, and the first
        assert {one.prompt_tokens for one in results} == {prompt_tokens(LITTLE, 160, 120) + text}
        assert {one.output_tokens for one in results} == {TOKENS}
        assert {one.notes for one in results} == {()}, "the guard and the plugin are there"
        assert "down: does not answer" in engine.report().devices[1]

        poison = asyncio.create_task(engine.recognise(poisoned()))
        await asyncio.to_thread(servers[0].process.wait, READY_S)
        servers[0].start()
        with pytest.raises(PageError, match="ends the engine"):
            await asyncio.wait_for(poison, READY_S)
        assert [event.name for event in told].count("engine.server-died") == 3
        await engine.stop()


async def test_files_of_the_daemon_outlive_a_server_behind_a_router(
    tmp_path: Path, ports: list[int]
) -> None:
    """Over servers of a model that needs no plugin, and is quick to read on a CPU.

    By name, the daemon's servers are killed in tests/integration/test_servers.py.
    """
    (model,) = [one for one in MODELS if one.profile == "LightOnOCR-3-1B"]
    (folder := tmp_path / "model").mkdir()
    given = configured(model.make(folder), *ports)
    own = {"profile": model.profile, "options": {**given.options, "logits_processors": []}}
    room = {"max_model_len": CONTEXT, "max_num_batched_tokens": CONTEXT}
    words = serve_command(given.changed(**own, **room))[2:]
    servers = [Served(words, port, tmp_path / f"{port}.log", os.environ) for port in ports]
    urls = [one.url for one in servers]
    # Else it goes on choosing the dead server for a minute, which has the fewest pages.
    asked = ["--disable-retries", "--health-check-interval-secs", "1"]
    async with up(*servers):
        with router(urls, tmp_path / "router.log", *asked) as before:
            more = CHAT.format(model=folder, profile=model.profile)
            read = partial(read_all, files=FILES, more=more)
            await asyncio.to_thread(read, Tree(tmp_path / "srv"), [before], servers[1].kill)


def poisoned() -> PageRequest:
    mode = replace(BUILT_IN_MODES["locate"], max_tokens=TOKENS)
    return replace(little("poison", seed=99), mode=mode, target=MARK)


async def test_a_server_without_the_plugin_survives_the_handshake_and_reads(
    checkpoint: Path, tmp_path: Path, ports: list[int]
) -> None:
    port = ports[0]
    given = configured(checkpoint, port)
    words = [
        *(str(checkpoint), "--load-format", "dummy", "--dtype", "float32", "--enforce-eager"),
        *("--max-model-len", "2048", "--trust-request-mm-kwargs"),
    ]
    server = Served(words, port, tmp_path / "log", os.environ | {"VLLM_PLUGINS": ""})
    async with up(server):
        engine = ServerEngine(given)
        await engine.start(lambda _: None)
        result = await engine.recognise(replace(little("p"), resolution=RESOLUTIONS["tiny"]))
        assert any("no ocrd plugin there" in note for note in result.notes)
        assert result.prompt_tokens > prompt_tokens(RESOLUTIONS["base"], 160, 120)
        assert "no ocrd plugin there" in engine.report().devices[0]
        assert engine.report().state is EngineState.READY
        assert server.process.poll() is None
        await engine.stop()
