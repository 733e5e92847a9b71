"""Behind a reverse proxy: encrypted, below a prefix that it strips or passes on."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest

from tests.integration.test_web import WORDS, page
from tests.integration.test_web_page import browser, context_of
from tests.support.commands import ocrd
from tests.support.needs import needs
from tests.support.site import Site, site

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["browser"]  # a fixture

PREFIX = "/tools/ocr"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("proxy") / "srv"
    with site(root, more=f'prefix = "{PREFIX}"') as up:
        yield up


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """Of a server with a certificate that it has signed itself."""
    top = tmp_path_factory.mktemp("tls")
    words = ["-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    words += ["-keyout", str(top / "key"), "-out", str(top / "cert")]
    subprocess.run(["openssl", "req", "-x509", *words], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(top / "cert", top / "key")
    return context


@contextmanager
def proxy(running: Site, tls: ssl.SSLContext, strips: bool) -> Iterator[str]:
    """A proxy that passes one request on a connection; the address below it that clients use."""
    inner = int(running.url.rpartition(":")[2])

    async def piped(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                target.write(data)
                await target.drain()

    async def relayed(client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        head = (await client.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip().split("\r\n")
        if strips:
            first = first.replace(f" {PREFIX}", " ", 1).replace("  ", " / ").replace(" ?", " /?")
        lines = [line for line in lines if not line.lower().startswith("connection:")]
        lines = [first, *lines, "Connection: close", "X-Forwarded-Proto: https", "\r\n"]
        there, onward = await asyncio.open_connection("127.0.0.1", inner)
        onward.write("\r\n".join(lines).encode("latin-1"))
        sending = asyncio.create_task(piped(client, onward))
        await piped(there, back)
        sending.cancel()
        onward.close()
        back.close()

    async def listen() -> str:
        server = await asyncio.start_server(relayed, "127.0.0.1", 0, ssl=tls)
        return f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}{PREFIX}"

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # a browser breaks connections off
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield asyncio.run_coroutine_threadsafe(listen(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


@pytest.mark.parametrize("strips", [True, False])
def test_every_address_that_a_program_is_told_leads_back_through_the_proxy(
    running: Site, tls: ssl.SSLContext, strips: bool
) -> None:
    key = {"authorization": f"Bearer {running.tokens['submit']}"}
    with (
        proxy(running, tls, strips) as url,
        httpx.Client(headers=key, verify=False, timeout=240) as client,
    ):
        told = client.post(f"{url}/api/v1/ocr?name=a.png&wait=240", content=page()).json()
        assert WORDS in client.get(f"{url}/api/v1/jobs/{told['id']}/result").text
        azure = f"{url}/documentintelligence/documentModels/prebuilt-read"
        place = client.post(f"{azure}:analyze", content=page()).headers["operation-location"]
        assert place.startswith(f"{azure}/analyzeResults/")
        assert client.get(place).is_success
        files = {"file": ("b.png", page())}
        file = client.post(f"{url}/v1/files", files=files).json()["id"]
        signed = client.get(f"{url}/v1/files/{file}/url").json()["url"]
        assert signed.startswith(f"{url}/v1/files/")
        assert httpx.get(signed, verify=False).content == page()
        asked = {"document": {"document_url": signed}}
        assert client.post(f"{url}/v1/ocr", json=asked).is_success
        assert client.get(f"{url}/openapi.json").json()["servers"] == [{"url": PREFIX}]
        assert client.get(f"{url}/v1/nowhere").json().keys() == {"detail"}  # docling's own form
        assert client.head(f"{url}/static/ocrd.js").is_success
        led = [client.get(f"{url}{path}").headers["location"] for path in ("/jobs/", "/part/now/")]
        assert led == [f"{url}/jobs", f"{url}/part/now"]
        html = {"accept": "text/html", "authorization": ""}
        led = [client.get(url + path, headers=html).headers["location"] for path in ("", "/jobs")]
        path = urlsplit(url).path
        assert led == [f"{path}/login", f"{path}/login?back=%2Fjobs"]
        for lost in ("/nowhere", "/static/nowhere", "/jobs/1/nowhere"):  # the last: only POST
            told = client.get(url + lost, headers=html)
            assert told.status_code in (404, 405)
            assert f'href="{path}/static/ocrd.css"' in told.text


@needs("chromium")
@pytest.mark.parametrize("strips", [True, False])
def test_a_person_sees_no_difference(
    browser: Browser, running: Site, tls: ssl.SSLContext, tmp_path: Path, strips: bool
) -> None:
    name = f"sent {strips}.png"
    (tmp_path / name).write_bytes(page(f"Through the proxy {strips}"))
    with proxy(running, tls, strips) as url:
        context = context_of(browser, ignore_https_errors=True)
        opened = context.new_page()
        outside: list[str] = []
        opened.on("response", lambda told: outside.append(told.url) if told.status > 399 else None)
        opened.goto(f"{url}/jobs?state=done")
        opened.get_by_label("Token").fill(running.tokens["operate"])
        opened.get_by_role("button", name="Log in").click()
        opened.wait_for_url(f"{url}/jobs?state=done")
        (cookie,) = context.cookies()
        assert (cookie["path"], cookie["secure"]) == (PREFIX, True)
        opened.get_by_role("link", name="ocrd", exact=True).click()
        opened.get_by_label("Files").set_input_files(tmp_path / name)
        opened.get_by_role("button", name="Send").click()
        opened.locator("#jobs tr", has_text=name).filter(has_text="done").wait_for()
        opened.locator("#sent a").click()
        opened.get_by_text(f"Through the proxy {strips}").first.wait_for()
        picture = opened.locator(".sheet img")
        assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 1000
        link = opened.get_by_role("link", name="Markdown").get_attribute("href")
        text = opened.evaluate("url => fetch(url).then(answer => answer.text())", link)
        assert f"Through the proxy {strips}" in text
        opened.get_by_role("button", name="Log out").click()
        opened.wait_for_url(f"{url}/login")
        assert context.cookies() == []
        context.close()
    assert outside == []


@pytest.mark.parametrize("prefix", ["/api", "/v1", "/jobs", "/static", "/documentintelligence"])
def test_a_prefix_that_is_a_path_of_our_own_is_refused(tmp_path: Path, prefix: str) -> None:
    text = f'root = "{tmp_path}"\n[web]\nprefix = "{prefix}"\n[[folder]]\nname = "web"\n'
    (tmp_path / "config.toml").write_text(text)
    (tmp_path / ".ocrd").mkdir()
    ended = ocrd("web", "--config", str(tmp_path / "config.toml"))
    assert ended.returncode == 4 and "prefix" in ended.stderr
