"""`ocrd web` under load: uploads with kills, idle connections, one large document, LiteLLM."""

from __future__ import annotations

import asyncio
import base64
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.integration.test_web import WORDS, page
from tests.slow.web_load import load
from tests.support.site import memory_kib, resident_kib, site

IDLE = 2000


def test_of_many_uploads_with_kills_none_is_lost_or_doubled(tmp_path: Path) -> None:
    done, wrong = load(tmp_path, uploads=100, at_once=32, kills=6, seed=1)
    assert wrong == []
    assert len(done.names) == 101 and done.kills > 0


async def test_two_thousand_idle_listeners_cost_little(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 2 * IDLE), hard))
    with site(tmp_path / "srv") as up:
        assert up.web is not None
        before, port = resident_kib(up.web), int(up.url.rpartition(":")[2])
        request = "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: "
        request += f"{up.tokens['read']}\r\n\r\n"
        listening = []
        for _ in range(IDLE):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request.encode())
            listening.append((reader, writer))
        for reader, _ in listening:
            assert b"200" in await reader.readline()
            await reader.readuntil(b"retry: 2000")
        assert resident_kib(up.web) - before < IDLE * 100
        with up.client() as client:
            assert client.get("/healthz").status_code == 200
        for _, writer in listening:
            writer.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_gigabyte_takes_no_more_memory_than_a_letter(tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'{"name": "large.bin", "data": "'
        piece = base64.b64encode(bytes(3 << 20))
        for _ in range(340):
            yield piece
        yield b'"}'

    more = "max_upload_mib = 2048"
    with site(tmp_path / "srv", daemon=False, more=more) as up, up.client() as client:
        assert up.web is not None
        client.post("/api/v1/ocr?name=letter.png", content=page())
        before = memory_kib(up.web)
        raw = (bytes(1 << 20) for _ in range(1024))
        assert client.post("/api/v1/ocr?name=raw.bin", content=raw).status_code == 202
        json = {"content-type": "application/json"}
        answer = client.post("/api/v1/ocr", content=chunks(), headers=json)
        assert answer.status_code == 202
        assert (up.root / "inbox/web/large.bin").stat().st_size == 340 * 3 << 20
        assert memory_kib(up.web) - before < 24 * 1024


LITELLM = """
import sys, litellm
told = litellm.ocr(model="mistral/mistral-ocr-latest", api_base=sys.argv[1], api_key=sys.argv[2],
                   document={"type": "image_url", "image_url": sys.argv[3]})
print(told.pages[0].markdown)
"""


def test_litellm_reads_through_its_mistral_provider(tmp_path: Path) -> None:
    with site(tmp_path / "srv") as up:
        uri = "data:image/png;base64," + base64.b64encode(page()).decode()
        command = [sys.executable, "-c", LITELLM, f"{up.url}/v1", up.tokens["submit"], uri]
        alone = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        told = subprocess.run(command, env=alone, capture_output=True, text=True, check=True)
        assert told.stdout.strip() == WORDS
