"""What servers answer to a page, and what becomes of it."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from aiohttp import web
from PIL import Image

from ocrd.engine.base import EngineState
from ocrd.engine.remote.http import encoded
from ocrd.engine.remote.settings import Address
from ocrd.errors import EngineDownError, PageError, PageFaultError
from ocrd.page import PageImage
from ocrd.tone import pillow
from tests.support.stub_server import ENGINE_DEAD, SMALL_TRIAL, Asked, Script, Stub, refusal
from tests.support.waiting import HANG_S
from tests.unit.engine.fake import words_of
from tests.unit.engine.remote.support import page, serving


@pytest.fixture(autouse=True)
def _small_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole page takes longer than all that a test does then."""
    monkeypatch.setattr("ocrd.engine.remote.client.LETTER", SMALL_TRIAL)


Answer = Callable[[Stub], Awaitable[web.StreamResponse | None]]


def saying(status: int, text: str = "no") -> Answer:
    async def answer(_: Stub) -> web.StreamResponse:
        return refusal(status, text)

    return answer


def body(text: str, status: int = 200) -> Answer:
    async def answer(_: Stub) -> web.StreamResponse:
        return web.Response(text=text, status=status, content_type="application/json")

    return answer


async def cut(stub: Stub) -> None:
    stub.cut(stub.request)
    await asyncio.sleep(1)


async def half(stub: Stub) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Length": "4000"})
    await answer.prepare(stub.request)
    await answer.write(b'{"choices": [{"message": {"content": "Ha')
    stub.cut(stub.request)
    return answer


async def dead(stub: Stub) -> None:
    await stub.die()
    await asyncio.sleep(30)


def once(stub: Stub, answer: Answer) -> Script:
    """The first page is answered so, later ones as usual."""

    async def script(_: Asked) -> web.StreamResponse | None:
        return await answer(stub) if len(stub.pages) == 1 else None

    return script


def on(shade: int, stub: Stub, answer: Answer) -> Script:
    """The page of that shade is answered so, however often it comes."""

    async def script(asked: Asked) -> web.StreamResponse | None:
        return await answer(stub) if asked.image == page("", shade).image else None

    return script


ELSEWHERE: dict[str, tuple[Answer, str]] = {
    "wrong key": (saying(401), "refuses the key (401)"),
    "forbidden": (saying(403), "refuses the key (403)"),
    "model gone": (saying(404, "The model `m` does not exist."), "does not serve the model"),
    "slow": (saying(408), "is slow (408)"),
    "full": (saying(429), "is full (429)"),
    "bad gateway": (saying(502), "(502)"),
    "not ready": (saying(503), "is not ready (503)"),
    "gateway waited": (saying(504), "(504)"),
    "engine died": (saying(500, ENGINE_DEAD), "its engine died"),
    # As vllm-router answers where it cannot reach the server that it has chosen.
    "router meets nobody": (
        body("Request failed: error sending request for url (http://gpu1:8000/v1/chat)", 500),
        "its gateway cannot reach it (500)",
    ),
    "router hears half": (
        body("Failed to get response body: error decoding response body", 500),
        "its gateway cannot reach it (500)",
    ),
    "redirected": (saying(302), "answers 302"),
    "connection cut": (cut, ""),
    "half an answer": (half, ""),
    "no JSON": (body("<html>"), ""),
    "no choices": (body('{"choices": [], "usage": {}}'), ""),
    "no usage": (body('{"choices": [{"message": {"content": "x"}, "finish_reason": null}]}'), ""),
    "a list": (body("[1]"), ""),
    "given up": (
        body(
            '{"choices": [{"message": {"content": "x"}, "finish_reason": "abort"}],'
            ' "usage": {"prompt_tokens": 900, "completion_tokens": 1}}'
        ),
        "",
    ),
}


@pytest.mark.parametrize(("answer", "words"), ELSEWHERE.values(), ids=ELSEWHERE)
async def test_a_page_goes_elsewhere_and_loses_nothing(answer: Answer, words: str) -> None:
    first, second = Stub(), Stub()
    first.script = once(first, answer)
    async with serving(first, second) as engine:
        result = await engine.recognise(page("a"))
        assert result.text == words_of(page("a").image)
        told = engine.told  # type: ignore[attr-defined]
        said = [*engine.report().devices, *(str(event.fields) for event in told)]
        assert words in " ".join(said)


async def test_a_router_goes_on_serving_when_one_of_its_servers_is_ill() -> None:
    """Its `/health` then says 503, and names the server; vLLM's own says 503 and nothing."""
    stub = Stub(healthy=503, health='Unhealthy servers: ["http://gpu1:8000"]')
    async with serving(stub) as engine:
        assert engine.report().devices[0].endswith(": ready, 0 pages there")
        assert (await engine.recognise(page("a"))).text == words_of(page("a").image)


async def test_a_server_that_was_in_trouble_serves_again() -> None:
    stub = Stub()
    stub.script = once(stub, saying(503))
    async with serving(stub) as engine:
        with pytest.raises(EngineDownError):
            await engine.recognise(page("a"))
        async with asyncio.timeout(HANG_S):
            while engine.report().state is not EngineState.READY:  # noqa: ASYNC110 - as a worker
                await asyncio.sleep(0.01)
        assert (await engine.recognise(page("a"))).text


@pytest.mark.parametrize(
    ("status", "said", "kind", "hint"),
    [
        (400, "Failed to load image", "prepare", "Try another mode"),
        (400, "maximum context length is 8192", "too-large", "max_model_len"),
        (400, "Failed to apply PageProcessor on data", "prepare", "serve-command"),
        (413, "", "page", "client_max_body_size"),
        (422, "", "prepare", "log"),
    ],
)
async def test_a_page_that_is_refused_goes_nowhere_else(
    status: int, said: str, kind: str, hint: str
) -> None:
    stubs = [Stub(), Stub()]
    for stub in stubs:
        stub.script = on(7, stub, saying(status, said))
    async with serving(*stubs) as engine:
        with pytest.raises(PageError) as refused:
            await engine.recognise(page("a", 7))
        assert (refused.value.kind, len(stubs[0].pages) + len(stubs[1].pages)) == (kind, 1)
        assert hint in refused.value.hint
        assert engine.report().state is EngineState.READY


@pytest.mark.parametrize(
    "answer", [saying(500, "out of luck"), body("?"), cut], ids=["500", "?", "cut"]
)
async def test_a_page_that_no_server_makes_sense_of_costs_a_try(answer: Answer) -> None:
    stubs = [Stub(), Stub(), Stub()]
    for stub in stubs:
        stub.script = on(7, stub, answer)
    async with serving(*stubs) as engine:
        with pytest.raises(PageFaultError) as fault:
            await engine.recognise(page("a", 7))
        assert fault.value.kind == "engine-error"
        assert sum(len(stub.pages) for stub in stubs) <= 2


async def test_a_page_out_of_time_is_a_fault_and_the_server_is_called_slow() -> None:
    async with serving(Stub(delay_s=30), page_timeout_s=2.0) as engine:
        with pytest.raises(PageFaultError) as fault:
            await engine.recognise(page("a"))
        assert fault.value.kind == "timed-out"
        assert "slow: 1 pages" in engine.report().devices[0]


@pytest.mark.parametrize("end", [dead, saying(500, ENGINE_DEAD)], ids=["cut", "said"])
async def test_a_page_that_ends_servers_is_found_after_two(end: Answer) -> None:
    stubs = [Stub(delay_s=0.02) for _ in range(4)]
    for stub in stubs:
        stub.script = on(13, stub, end)
    async with serving(*stubs, max_pages_in_flight=8) as engine:
        asked = [engine.recognise(page(f"p{n}", n)) for n in range(40)]
        results = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), HANG_S)
        killer = results.pop(13)
        assert isinstance(killer, PageError)
        assert killer.kind == "kills-engine"
        assert not [one for one in results if isinstance(one, BaseException)]
        told = engine.told.names()  # type: ignore[attr-defined]
        assert told.count("engine.server-died") == 2
        seen = sum(asked.image == page("", 13).image for stub in stubs for asked in stub.pages)
        assert seen == 2
        with pytest.raises(PageError, match="ends the engine"):
            await engine.recognise(page("again", 13))


async def test_the_only_server_comes_back_and_its_killer_is_found() -> None:
    stub = Stub(delay_s=0.01)
    stub.script = on(3, stub, saying(500, ENGINE_DEAD))
    async with serving(stub) as engine:

        async def waiting(number: int) -> str:
            """As the worker does it: wait until an engine is there, then ask again."""
            while True:
                try:
                    return (await engine.recognise(page(f"{number}", number))).text
                except EngineDownError:
                    await asyncio.sleep(0.01)

        asked = asyncio.gather(*map(waiting, range(10)), return_exceptions=True)
        results = await asyncio.wait_for(asked, HANG_S)
        assert [isinstance(one, PageError) for one in results] == [n == 3 for n in range(10)]


async def test_pages_of_a_server_that_died_for_no_page_are_all_read() -> None:
    stubs = [Stub(delay_s=0.3), Stub(delay_s=0.005)]
    async with serving(*stubs, max_pages_in_flight=60) as engine:
        asked = asyncio.gather(*(engine.recognise(page(f"p{n}", n)) for n in range(100)))
        await asyncio.sleep(0.2)
        await stubs[0].die()
        results = await asyncio.wait_for(asked, HANG_S)
        assert [one.text for one in results] == [words_of(page("", n).image) for n in range(100)]


async def test_hundreds_of_pages_are_spread_evenly() -> None:
    stubs = [Stub(delay_s=0.02) for _ in range(4)]
    async with serving(*stubs, max_pages_in_flight=40) as engine:
        asked = [engine.recognise(page(f"p{number}", number)) for number in range(300)]
        texts = [one.text for one in await asyncio.gather(*asked)]
        assert texts == [words_of(page("", n).image) for n in range(300)]
        counts = [len(stub.pages) for stub in stubs]
        assert sum(counts) == 300
        assert all(65 <= count <= 85 for count in counts), counts


async def test_a_body_of_8_megabytes_arrives_pixel_by_pixel() -> None:
    noise = hashlib.shake_128(b"noise").digest(1600 * 1300 * 3)
    image = PageImage(1600, 1300, noise)
    async with serving(stub := Stub()) as engine:
        result = await engine.recognise(replace(page("a"), image=image))
        assert result.text == words_of(image)
        assert stub.pages[0].kind == "bmp"


def test_over_a_network_pages_travel_compressed_and_whole() -> None:
    image = pillow(PageImage(64, 48, hashlib.shake_128(b"n").digest(64 * 48 * 3)))
    for size, kind in (((64, 48), "webp"), ((17000, 2), "png")):
        data, named = encoded(image.resize(size), size, near=False)
        again = Image.open(io.BytesIO(data))
        assert (named, again.format) == (kind, kind.upper())
        assert again.convert("RGB").tobytes() == image.resize(size).tobytes()


def test_nearness_decides_by_the_address() -> None:
    near = {text: Address(text).near for text in (
        "http://127.0.0.1:8000", "http://localhost:8000/v1", "http://[::1]:8000",
        "unix:/run/vllm.sock", "http://gpu1:8000", "https://10.0.0.7",
    )}  # fmt: skip
    assert list(near.values()) == [True, True, True, True, False, False]


async def test_an_engine_that_stops_gives_its_pages_up() -> None:
    async with serving(Stub(delay_s=1)) as engine:
        flying = asyncio.create_task(engine.recognise(page("a")))
        await asyncio.sleep(0.1)
        await engine.stop()
        with pytest.raises(EngineDownError):
            await flying
