"""The resident engine keeps the contract of all engines: the real vLLM, with random weights.

Random weights read nothing, yet each page has an answer of its own: that is what is looked for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from ocrd.engine.base import Engine
from ocrd.engine.resident import VllmEngine
from ocrd.page import PageResult
from tests.slow.vllm.checkpoint import make
from tests.slow.vllm.engines import HANG_S, LITTLE, settings
from tests.slow.vllm.inside import Inside
from tests.support.samples import Scan
from tests.unit.engine.contract import WORDS, EngineContract, pixels, ticket

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(2 * HANG_S)]

TOKENS = 6


class TestVllmEngine(EngineContract):
    resolution = LITTLE
    long_s = float(HANG_S)
    model: Path
    alone: dict[bytes, str]  # the answer to each page when it has the engine to itself

    def make(self) -> Engine:
        return VllmEngine(
            settings(self.model).changed(
                devices=[0],
                load_format="random",  # registered by the worker's extension
                max_pages_in_flight=3,
                resolutions=(LITTLE,),
                sampling={"ignore_eos": True, "max_tokens": TOKENS, "min_tokens": TOKENS},
                options={
                    "enforce_eager": True,
                    "distributed_executor_backend": "uni",
                    "worker_extension_cls": f"{Inside.__module__}.{Inside.__name__}",
                },
            )
        )

    def says(self, result: PageResult, scan: Scan) -> bool:
        return result.text == self.alone[scan.data]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def small_model(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        cls.model = make(tmp_path_factory.mktemp("contract"))
        (cls.model / "model.safetensors").touch()  # the loader makes them up

    @pytest_asyncio.fixture(scope="class", loop_scope="class")
    @classmethod
    async def engine(cls) -> AsyncIterator[Engine]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")  # a CPU build allows that only so
            suite = cls()
            engine = suite.make()
            await engine.start(lambda _stage: None)
            cls.alone = {}
            for scan in map(ticket, range(len(WORDS))):
                result = await engine.recognise(suite.ask(pixels(scan)))
                cls.alone[scan.data] = result.text
            assert len(set(cls.alone.values())) == len(WORDS), "the image counts"
            yield engine
            await engine.stop()
