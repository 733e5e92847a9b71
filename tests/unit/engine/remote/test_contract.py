"""Servers keep the contract of all engines, with the plugin there and without."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from ocrd.engine.base import Engine
from ocrd.engine.remote.engine import ServerEngine
from ocrd.page import PageResult
from tests.support.samples import Scan
from tests.support.stub_server import Stub
from tests.unit.engine.contract import ReadingContract, pixels
from tests.unit.engine.fake import words_of
from tests.unit.engine.remote.support import settings


class TestServers(ReadingContract):
    stub = Stub(delay_s=0.01)

    def make(self) -> Engine:
        return ServerEngine(settings(self.stub.url or "http://127.0.0.1:9", max_pages_in_flight=3))

    def says(self, result: PageResult, scan: Scan) -> bool:
        return words_of(pixels(scan)) in result.text

    @pytest_asyncio.fixture(scope="class", loop_scope="class")
    @classmethod
    async def engine(cls) -> AsyncIterator[Engine]:
        await cls.stub.start()
        engine = cls().make()
        await engine.start(lambda _stage: None)
        yield engine
        await engine.stop()
        await cls.stub.stop()


class TestServersWithoutThePlugin(TestServers):
    stub = Stub(plugin="none", guard=False)
