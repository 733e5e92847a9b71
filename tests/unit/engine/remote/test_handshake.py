"""What servers can do is asked before the first page, and said."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from ocrd.engine.base import EngineState
from ocrd.engine.remote.engine import ServerEngine, survey
from ocrd.engine.remote.settings import compose_service, serve_command, shell_line
from ocrd.errors import EngineDownError, EngineSetupError, PageError
from ocrd.modes import BUILT_IN_MODES, RESOLUTIONS
from tests.support.stub_server import Stub
from tests.support.waiting import HANG_S
from tests.unit.engine.remote.support import page, serving, settings


async def test_with_the_plugin_each_page_is_seen_as_its_folder_says() -> None:
    async with serving(stub := Stub()) as engine:
        for name in RESOLUTIONS:
            result = await engine.recognise(page(name, resolution=name))
            assert result.notes == ()
        told = [asked.body["mm_processor_kwargs"]["base_size"] for asked in stub.pages]
        assert told == [512, 640, 1024, 1280, 1024]
        asked = stub.pages[0].body
        assert asked["vllm_xargs"] == {
            "ngram_size": 30, "window_size": 90, "whitelist_token_ids": [11, 12],
        }  # fmt: skip
        assert asked["skip_special_tokens"] is False
        assert engine.report().devices[0].endswith(": ready, 0 pages there")


@pytest.mark.parametrize(
    ("plugin", "words"),
    [
        ("none", "no ocrd plugin there: it sees every page at 1024 with up to 6 tiles of 640"),
        ("untrusted", "--trust-request-mm-kwargs: it sees every page as it was started"),
    ],
)
async def test_without_it_no_page_says_how_it_is_seen(plugin: str, words: str) -> None:
    async with serving(stub := Stub(plugin=plugin, guard=False)) as engine:
        result = await engine.recognise(page("a", resolution="base"))
        assert "mm_processor_kwargs" not in stub.pages[0].body
        assert "vllm_xargs" not in stub.pages[0].body
        assert not stub.killed_by_kwargs
        assert words in result.notes[0]
        assert result.notes[1] == "no n-gram guard on the server"
        assert words in engine.report().devices[0]
        assert "no n-gram guard" in engine.report().devices[0]


async def test_pages_go_to_the_server_that_sees_them_as_asked() -> None:
    plain, able = Stub(plugin="none"), Stub()
    async with serving(plain, able) as engine:
        pages = [page(f"p{n}", n, resolution="base") for n in range(6)]
        results = await asyncio.gather(*map(engine.recognise, pages))
        assert [one.notes for one in results] == [()] * 6
        assert (len(plain.pages), len(able.pages)) == (0, 6)


UNFIT = {
    "another model": ({"model": "meta-llama/Llama-3"}, "serves meta-llama/Llama-3, not"),
    "another key": ({"key": "another"}, "refuses the key (401)"),
    "images lost": ({"loses_images": True}, "loses images"),
    "not well": ({"healthy": 503}, "is not well (503"),
}


@pytest.mark.parametrize(("how", "words"), UNFIT.values(), ids=UNFIT)
async def test_a_server_that_does_not_fit_says_why_and_the_others_go_on(
    how: dict[str, object], words: str
) -> None:
    unfit = await replace(Stub(), **how).start()  # type: ignore[arg-type]  # fields of a Stub
    async with serving(unfit, Stub()) as engine:
        assert (await engine.recognise(page("a"))).text
        assert words in engine.report().devices[0]
        assert engine.report().detail == "1 of 2 servers serve"
        assert unfit.pages == []
        first, second = await survey(engine._settings)
        assert words in first.told()
        assert first.hint
        assert (second.state, second.hint) == (EngineState.READY, "")


async def test_none_that_fits_is_an_error_of_the_configuration() -> None:
    stub = await Stub(model="other").start()
    engine = ServerEngine(settings(stub.url))
    with pytest.raises(EngineSetupError, match="serves other, not deepseek") as error:
        await engine.start(lambda _: None)
    assert "engine.model" in error.value.hint
    assert engine.report().state is EngineState.FAILED
    await stub.stop()


async def test_none_that_is_up_is_waited_for() -> None:
    engine = ServerEngine(settings("http://127.0.0.1:9"))
    with pytest.raises(EngineDownError, match=r":9: down: does not answer"):
        await engine.start(lambda _: None)
    assert engine.report().state is EngineState.LOADING
    assert "down: does not answer" in engine.report().devices[0]


async def test_the_key_is_read_at_each_connection(tmp_path: Path) -> None:
    file = tmp_path / "key"
    stub = await Stub(key="secret").start()
    engine = ServerEngine(settings(stub.url, key_file=file))
    for text, words in ((None, "cannot be read"), ("\n", "holds no key"), ("old", "refuses the")):
        if text is not None:
            file.write_text(text)
        with pytest.raises(EngineSetupError, match=words):
            await engine.start(lambda _: None)
    file.write_text("secret\n")
    await engine.start(lambda _: None)
    assert (await engine.recognise(page("a"))).text
    await engine.stop()
    await stub.stop()


async def test_a_server_can_listen_on_a_unix_socket(tmp_path: Path) -> None:
    stub = await Stub().start(socket=str(tmp_path / "s"))
    async with serving(stub) as engine:
        assert (await engine.recognise(page("a"))).text
        assert stub.pages[0].kind == "bmp"


@pytest.mark.parametrize("name", ["/models/DeepSeek-OCR", "DeepSeek_OCR", "x/deepseek-ocr/"])
async def test_one_model_has_many_names(name: str) -> None:
    async with serving(Stub(model=name)) as engine:
        assert (await engine.recognise(page("a"))).text


async def test_any_other_server_is_asked_in_plain_openai() -> None:
    stub = Stub(model="qwen3-vl:8b", vllm=False, plugin="none", guard=False)
    async with serving(stub, model="qwen3-vl:8b") as engine:
        result = await engine.recognise(page("a", mode="document"))
        assert set(stub.pages[0].body) == {"messages", "model", "temperature", "max_tokens"}
        assert "Markdown" in stub.pages[0].words
        assert result.blocks[0].boxes == ()
        assert "plain Markdown, no boxes" in engine.report().detail
        assert "locate" in (engine.unsupported(BUILT_IN_MODES["locate"]) or "")
        with pytest.raises(PageError):
            await engine.recognise(page("b", mode="locate"))


def test_the_command_says_what_the_configuration_needs(tmp_path: Path) -> None:
    given = settings(
        "http://gpu1:9000", key_file=tmp_path / "key", resolutions=(RESOLUTIONS["base"],)
    )
    words = serve_command(given)
    assert words[:3] == ["vllm", "serve", "deepseek-ai/DeepSeek-OCR"]
    for flag, value in {
        "--mm-processor-kwargs": '{"base_size":1024,"image_size":1024,"max_crops":0}',
        "--logits-processors": "ocrd.engine.deepseek.guard:NgramGuard",
        "--limit-mm-per-prompt": '{"image":1}',
        "--scheduling-policy": "priority",
        "--mm-processor-cache-gb": "0",
    }.items():
        assert words[words.index(flag) + 1] == value
    assert {"--trust-request-mm-kwargs", "--no-enable-prefix-caching"} <= set(words)
    line = shell_line(given)
    key = f'VLLM_API_KEY="$(cat {tmp_path}/key)"'
    assert line.startswith(f"VLLM_USE_V2_MODEL_RUNNER=0 {key} vllm serve")
    assert line.endswith("--host 0.0.0.0 --port 9000")
    assert shell_line(settings("unix:/run/v.sock")).endswith("--uds /run/v.sock")
    service = compose_service(given).splitlines()
    assert '      - "--trust-request-mm-kwargs"' in service
    at = service.index("    environment:")
    assert service[at + 1] == '      VLLM_USE_V2_MODEL_RUNNER: "0"'
    assert service[at + 2].startswith("      VLLM_API_KEY: ")
    assert "trust" not in shell_line(settings("http://a", model="allenai/olmOCR-2-7B"))


async def test_a_server_that_every_page_would_kill_is_tried_twice_and_gets_none() -> None:
    stub = Stub(plugin="none", dies_of_trials=True)
    await stub.start()
    engine = ServerEngine(settings(stub.url))
    for _ in range(2):
        with pytest.raises(EngineSetupError, match="died of a trial page") as error:
            await engine.start(lambda _: None)
        assert "VLLM_PLUGINS" in error.value.hint
    async with serving(Stub(), stub) as other:
        async with asyncio.timeout(HANG_S):
            while "not tried again" not in other.report().devices[1]:  # noqa: ASYNC110 - a state
                await asyncio.sleep(0.05)
        assert (await other.recognise(page("a"))).text
        assert stub.pages == []
        assert stub.trials == 2 + 2
