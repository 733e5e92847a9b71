"""Engines over stub servers, and pages for them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from ocrd.engine.base import PageRequest
from ocrd.engine.remote.engine import ServerEngine
from ocrd.engine.resident import VllmSettings
from ocrd.events import Event, Events
from ocrd.modes import BUILT_IN_MODES, RESOLUTIONS
from ocrd.page import PageImage
from tests.support.stub_server import Stub

MODEL = "deepseek-ai/DeepSeek-OCR"


def settings(*servers: str, key_file: Any = None, model: str = MODEL, **more: Any) -> VllmSettings:
    return VllmSettings(
        servers=list(servers), api_key_file=key_file, model=model, renderer_workers=2, **more
    )


def page(
    name: str, shade: int = 0, *, resolution: str = "gundam", mode: str = "ocr"
) -> PageRequest:
    """A small page of its own; those of one shade are equal."""
    rgb = b"\xff" * 1536 + shade.to_bytes(3, "big") * 512
    return PageRequest(
        id=name,
        image=PageImage(32, 32, rgb),
        mode=BUILT_IN_MODES[mode],
        resolution=RESOLUTIONS[resolution],
    )


class Told(list[Event]):
    """What an engine told."""

    def names(self) -> list[str]:
        return [event.name for event in self]


@contextlib.asynccontextmanager
async def serving(*stubs: Stub, **more: Any) -> AsyncIterator[ServerEngine]:
    """An engine over stubs, all of them up; what it told is in `engine.told`."""
    for stub in stubs:
        if not stub.url:
            await stub.start()
    told = Told()
    engine = ServerEngine(settings(*(s.url for s in stubs), **more), events=Events(told.append))
    engine.told = told  # type: ignore[attr-defined]  # for the tests to look at
    await engine.start(lambda _stage: None)
    try:
        yield engine
    finally:
        await engine.stop()
        for stub in stubs:
            await stub.stop()
