"""Clients that send a request slowly, or never to its end, and strangers who ask much."""

from __future__ import annotations

import http.client
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from watchdog.events import FileOpenedEvent, FileSystemEventHandler
from watchdog.observers import Observer

from ocrd.web import patience
from tests.support.forked import Forked, run_ocrd
from tests.support.site import Site, site, until

HEAD_S, STALLED_S = 2.0, 4.0


def impatient(words: Sequence[str]) -> None:
    """`ocrd web`, with shorter limits."""
    patience.HEAD_S, patience.STALLED_S = HEAD_S, STALLED_S
    run_ocrd(words)


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("hasty") / "srv", daemon=False) as up:
        up.kill_web()
        up.web = Forked(impatient, "web", "--config", str(up.config))
        until(lambda: httpx.get(f"{up.url}/healthz").is_success)
        yield up


HOST = "Host: localhost\r\n"
LONG = f"{HOST}Content-Length: 9000000\r\n"
FORM = "Content-Type: multipart/form-data; boundary=x\r\n"
PART = '--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
SENT = {  # what comes at once, with how the answer to it begins
    "nothing": ("", ""),
    "half a line": ("GET /heal", ""),
    "half a head": (f"GET /healthz HTTP/1.1\r\n{HOST}X-More: ", ""),
    "half a second request": (f"GET /healthz HTTP/1.1\r\n{HOST}\r\nGET /healthz HT", "200"),
    "a body nobody reads": (f"POST /api/v1/ocr HTTP/1.1\r\n{LONG}\r\n", "401"),
    "much of it": (f"POST /api/v1/ocr HTTP/1.1\r\n{LONG}\r\n" + "x" * 3_000_000, "401"),
    "a login": (f"POST /login HTTP/1.1\r\n{LONG}\r\na=", "408"),
    "a document": (f"POST /api/v1/ocr?name=a HTTP/1.1\r\n{LONG}TOKEN\r\n" + "x" * 3_000_000, "408"),
    "a form": (f"POST /v1/files HTTP/1.1\r\n{LONG}{FORM}TOKEN\r\n{PART}" + "x" * 2_000_000, "408"),
    "JSON": (
        f"POST /documentintelligence/documentModels/prebuilt-read:analyze HTTP/1.1\r\n{LONG}"
        'Content-Type: application/json\r\nTOKEN\r\n{"base64Source": "' + "A" * 1_500_000,
        "408",
    ),
}


def test_who_sends_next_to_nothing_holds_no_connection_and_no_disk(hasty: Site) -> None:
    """Each sends a byte now and then, for ever; some keep silent."""
    port = int(hasty.url.rpartition(":")[2])
    token = f"X-Api-Key: {hasty.tokens['submit']}\r\n"
    said: dict[tuple[str, bool], bytes] = {}
    with_ends: list[tuple[tuple[str, bool], socket.socket]] = []
    for name, (sent, _) in SENT.items():
        for dribbles in (False, True):
            client = socket.create_connection(("127.0.0.1", port), timeout=60)
            client.sendall(sent.replace("TOKEN", token).encode())
            client.settimeout(0.01)
            with_ends.append(((name, dribbles), client))
            said[name, dribbles] = b""

    def all_over() -> bool:
        for each in [*with_ends]:
            (name, dribbles), client = each
            try:
                if dribbles:
                    client.send(b"a")
                told = client.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                told = b""
            said[name, dribbles] += told
            if not told:
                client.close()
                with_ends.remove(each)
        return not with_ends

    until(all_over)
    answers = {key: told[9:12].decode() for key, told in said.items()}
    assert answers == {key: SENT[key[0]][1] for key in answers}
    until(lambda: _drafts(hasty) == 0)
    assert os.listdir(hasty.root / "inbox/web") == []


def _drafts(running: Site) -> int:
    """How many nameless files of the inbox the web process holds open."""
    assert running.web is not None
    fds = Path(f"/proc/{running.web.pid}/fd")
    return sum("/inbox/" in str(each.readlink()) for each in fds.iterdir())


def test_a_slow_but_steady_upload_is_taken_whole(hasty: Site) -> None:
    """It takes longer than a stalled one may."""

    def slowly() -> Iterator[bytes]:
        for _ in range(9):
            yield bytes(patience.LEAST)
            time.sleep(STALLED_S / 8)

    with hasty.client("submit") as client:
        answer = client.post("/api/v1/ocr?name=slow.png", content=slowly())
    assert answer.status_code == 202
    assert (hasty.root / "inbox/web/slow.png").stat().st_size == 9 * patience.LEAST


def test_a_client_that_sends_all_before_it_looks_is_told_why_it_was_refused(hasty: Site) -> None:
    def slowly() -> Iterator[bytes]:
        for _ in range(25):
            yield bytes(patience.LEAST)
            time.sleep(HEAD_S / 10)

    with closing(http.client.HTTPConnection(hasty.url.rpartition("/")[2], timeout=60)) as client:
        size = {"content-length": str(25 * patience.LEAST)}
        client.request("POST", "/api/v1/ocr?name=a.png", slowly(), size)
        answer = client.getresponse()
        assert (answer.status, b"no valid token" in answer.read()) == (401, True)
        client.request("GET", "/healthz")  # on the same connection
        assert client.getresponse().status == 200


def test_strangers_who_ask_whether_all_is_well_have_the_ledger_read_once_a_second(
    running: Site,
) -> None:
    opened: list[float] = []

    class Counter(FileSystemEventHandler):
        def on_opened(self, event: FileOpenedEvent) -> None:
            if str(event.src_path).endswith("ledger.db"):
                opened.append(time.monotonic())

    with httpx.Client(base_url=running.url) as client:
        client.get("/readyz")
        watching = Observer()
        watching.schedule(Counter(), str(running.root / ".ocrd"))
        watching.start()
        began = time.monotonic()
        codes = {client.get("/readyz").status_code for _ in range(150)}
        over = time.monotonic()
        watching.stop()
        watching.join()
    assert codes == {200}
    assert len(opened) <= 4 * (over - began + 2)


def test_a_configuration_that_is_gone_is_no_defect(hasty: Site) -> None:
    kept = hasty.config.rename(hasty.root / "kept.toml")
    try:
        with hasty.client() as client:
            answers = [client.get(path) for path in ("/api/v1/status", "/", "/readyz")]
    finally:
        kept.rename(hasty.config)
    assert [answer.status_code for answer in answers] == [503] * 3
    assert {answer.json()["error"]["kind"] for answer in answers} == {"config"}
