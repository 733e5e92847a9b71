"""What `ocrd web` keeps to: who sees what, limits, faults of disk and connection, latency."""

from __future__ import annotations

import base64
import http.client
import os
import socket
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from ocrd.config import load
from ocrd.web.access import Rate
from ocrd.web.changes import Changes
from ocrd.web.desk import Desk
from ocrd.web.errors import RefusedError
from ocrd.web.expiry import DAY_S, expire_all
from ocrd.web.store import Store, store_path
from tests.integration.test_web import page
from tests.support.commands import ocrd
from tests.support.needs import few, slow
from tests.support.site import FOLDERS, Site, site, until
from tests.unit.spool.mounts import tmpfs


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """With an engine that takes no time and sees no words."""
    more = "requests_per_minute = 240\nkeep_days = 30"
    folders = FOLDERS.replace("\n[[", "\nsettle_s = 30\nclosed_s = 30\n[[", 1)
    root = tmp_path_factory.mktemp("rules") / "srv"
    with site(root, more=more, folders=folders) as up:
        yield up


def sent(running: Site, name: str) -> dict[str, object]:
    with running.client() as client:
        url = f"/api/v1/ocr?name={quote(name)}&wait=240"
        told: dict[str, object] = client.post(url, content=page(name)).json()
    return told


def desk(running: Site) -> Desk:
    config = load(running.config)
    changes = Changes(config.ledger, config.spool)
    return Desk(config, Store(store_path(config.ledger)), changes)


def test_nothing_but_reading_it_takes_time(running: Site) -> None:
    """Settling would take half a minute here, and a waiter that nobody wakes four."""
    queued, told_after = [], []
    for number in range(3):
        began = time.time()
        told = sent(running, f"quick {number}.png")
        over = time.time()
        queued.append(datetime.fromisoformat(str(told["created_at"])).timestamp() - began)
        told_after.append(over - datetime.fromisoformat(str(told["finished_at"])).timestamp())
    assert min(queued) < 20
    assert min(told_after) < 20


def test_json_names_the_folder_after_its_document(running: Site) -> None:
    data = base64.b64encode(page("to the other folder")).decode()
    body = {"name": "late.png", "data": data, "folder": "private", "wait": 240}
    with running.client() as client:
        told = client.post("/api/v1/ocr", json=body).json()
    assert (told["folder"], told["state"]) == ("private", "done")


def test_a_file_that_was_read_is_one_job_however_often_it_is_asked_for(running: Site) -> None:
    with running.client("submit") as client:
        files = {"file": ("once.png", page("read once"))}
        number = client.post("/v1/files", files=files, data={"purpose": "ocr"}).json()["id"]
        body = {"model": "m", "document": {"type": "file", "file_id": number}}
        pages = [client.post("/v1/ocr", json=body).json()["pages"] for _ in range(2)]
    assert pages[0] == pages[1]
    size = pages[0][0]["dimensions"]
    assert round(size["width"] / size["height"], 2) == 2.5  # as the picture's own 1000 to 400
    assert len(list((running.root / "archive/web").glob("once*.png"))) == 1


def test_a_form_without_its_end_is_refused(running: Site) -> None:
    form = b'--x\r\ncontent-disposition: form-data; name="f"; filename="cut.png"\r\n\r\nhalf of'
    with running.client() as client:
        headers = {"content-type": "multipart/form-data; boundary=x"}
        answer = client.post("/api/v1/ocr", content=form, headers=headers)
    assert answer.status_code == 400
    assert not list((running.root / "inbox/web").glob("cut*"))


def test_a_minutes_requests_may_come_at_once_and_no_more() -> None:
    now = 0.0
    rate = Rate(60, clock=lambda: now)
    for _ in range(60):
        rate.spend("a")
    with pytest.raises(RefusedError) as refused:
        rate.spend("a")
    assert (refused.value.status, refused.value.retry_after) == (429, 2)
    rate.spend("b")
    now = 2.0
    rate.spend("a")
    rate.spend("a")
    with pytest.raises(RefusedError):
        rate.spend("a")


@slow
def test_who_asks_too_often_is_told_to_wait(running: Site) -> None:
    with running.client("other") as client:
        answers = (client.get("/api/v1/jobs/1") for _ in range(2000))
        refused = next(answer for answer in answers if answer.status_code == 429)
    assert int(refused.headers["retry-after"]) >= 1
    assert running.client("read").get("/api/v1/status").status_code == 200


def test_guesses_at_tokens_are_told_to_wait(running: Site) -> None:
    with httpx.Client(base_url=running.url, headers={"x-api-key": "guess"}) as client:
        codes = [client.get("/api/v1/status").status_code for _ in range(100)]
    assert codes[0] == 401 and codes[-1] == 429


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost", 200), ("LOCALHOST:80", 200), ("[::1]:8484", 200), ("127.0.0.1", 200),
     ("evil.example", 400), ("localhost.evil.example", 400), ("", 400)],
)  # fmt: skip
def test_only_our_own_names_are_answered(running: Site, host: str, status: int) -> None:
    connection = http.client.HTTPConnection(running.url.removeprefix("http://"))
    connection.putrequest("GET", "/healthz", skip_host=True)
    connection.putheader("Host", host)
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == status
    assert answer.getheader("x-content-type-options") == "nosniff"


def test_what_came_over_http_goes_after_a_while_and_nothing_else(running: Site) -> None:
    root = running.root
    (root / "dropped.png").write_bytes(page("dropped by hand"))
    (root / "dropped.png").rename(root / "inbox/web/dropped.png")
    until(lambda: (root / "archive/web/dropped.png").exists())
    kept, edited = sent(running, "old.png"), sent(running, "edited.png")
    assert (kept["state"], edited["state"]) == ("done", "done")
    failed = running.client().post("/api/v1/ocr?name=bad.pdf&wait=240", content=b"%PDF-1.7 no")
    assert failed.json()["state"] == "failed"
    expire_all(desk(running), time.time() + 29 * DAY_S)
    assert (root / "outbox/web/old/old.md").exists()
    later = time.time() + 60
    os.utime(root / "outbox/web/edited/edited.md", (later, later))
    expire_all(desk(running), time.time() + 31 * DAY_S)
    assert not (root / "outbox/web/old").exists()
    assert not (root / "archive/web/old.png").exists()
    assert not list((root / "failed/web").glob("bad*"))
    assert (root / "outbox/web/edited/edited.md").exists()
    assert (root / "archive/web/dropped.png").exists() and (root / "outbox/web/dropped").exists()


def test_a_file_that_nobody_reads_goes_after_a_day(running: Site) -> None:
    with running.client("submit") as client:
        client.post("/v1/files", files={"file": ("never.png", page())}, data={"purpose": "ocr"})
    held = (running.root / "inbox/web").glob(".ocrd-*.held")
    assert len(list(held)) == 1
    expire_all(desk(running), time.time() + 2 * DAY_S)
    assert not list((running.root / "inbox/web").glob(".ocrd-*.held"))


def test_a_document_that_no_daemon_has_seen_is_found_by_its_ticket(tmp_path: Path) -> None:
    with site(tmp_path / "srv", daemon=False) as up, up.client("submit") as client:
        told = client.post("/api/v1/ocr?name=early.png", content=page()).json()
        assert told["state"] == "inbox"
        body = {"base64Source": base64.b64encode(page("for Azure")).decode()}
        model = "/documentintelligence/documentModels/prebuilt-read"
        place = client.post(f"{model}:analyze", json=body).headers["operation-location"]
        assert client.get(place).json()["status"] == "notStarted"
        up.kill_web()
        up.start_daemon()
        up.start_web()
        until(lambda: client.get(place).json()["status"] == "succeeded")
        job = client.get(f"/api/v1/jobs/{told['id']}?wait=240").json()
        assert (job["state"], job["source"]) == ("done", "early.png")


@pytest.mark.parametrize("role", few(["operate", "submit", "web-only"]))
def test_before_the_first_daemon_there_is_no_job_and_no_fault(tmp_path: Path, role: str) -> None:
    with site(tmp_path / "srv", daemon=False) as up, up.client(role) as client:
        shown = [client.get(path).status_code for path in ("/", "/jobs", "/part/jobs")]
        missing = [
            client.get(path).status_code
            for path in (
                "/api/v1/jobs/1",
                "/jobs/1",
                "/documentintelligence/documentModels/prebuilt-read/analyzeResults/1",
            )
        ]
        if role != "submit":
            assert client.get("/api/v1/jobs").json()["jobs"] == []
    assert (shown, missing) == ([200] * 3, [404] * 3)


def test_a_full_disk_is_told_and_leaves_nothing_behind(tmp_path: Path) -> None:
    root = tmp_path / "srv"
    with (
        tmpfs(root / "inbox/web", "4m") as inbox,
        site(root, daemon=False) as up,
        up.client() as client,
    ):
        answer = client.post("/api/v1/ocr?name=large.png", content=bytes(6 << 20))
        assert (answer.status_code, answer.json()["error"]["kind"]) == (507, "disk-full")
        assert os.listdir(inbox) == []
        assert client.post("/api/v1/ocr?name=s.png", content=page()).status_code == 202
        free = os.statvfs(inbox)
        assert free.f_bavail * free.f_bsize > 3 << 20


def test_a_disk_without_room_for_all_of_a_request_takes_none_of_it(tmp_path: Path) -> None:
    """Each of them is smaller than what is written at once."""
    root = tmp_path / "srv"
    with (
        tmpfs(root / "inbox/web", "4m") as inbox,
        site(root, daemon=False) as up,
        up.client() as client,
    ):
        for count, status in ((6, 507), (3, 202)):
            files = [("files", (f"{n}.png", bytes(900_000))) for n in range(count)]
            assert client.post("/api/v1/ocr", files=files).status_code == status
            assert len(os.listdir(inbox)) == (0 if status == 507 else count)


def test_a_killed_upload_leaves_nothing_behind(tmp_path: Path) -> None:
    with site(tmp_path / "srv", daemon=False) as up:
        with socket.create_connection(("127.0.0.1", int(up.url.rpartition(":")[2]))) as client:
            head = "POST /api/v1/ocr?name=k.png HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: "
            head += f"{up.tokens['operate']}\r\nContent-Length: 9000000\r\n\r\n"
            client.sendall(head.encode() + bytes(3 << 20))
            time.sleep(0.5)
            up.kill_web()
        assert os.listdir(up.root / "inbox/web") == []


def test_a_proxys_word_counts_over_the_unix_socket_alone(tmp_path: Path) -> None:
    root = tmp_path / "srv"
    place = tmp_path / "http"
    more = f'user_header = "X-User"\nuser_role = "read"\nsocket = "{place}"'
    place.write_text("left by a process before")
    with site(root, daemon=False, more=more) as up:
        transport = httpx.HTTPTransport(uds=str(place))
        with httpx.Client(transport=transport, base_url="http://localhost") as client:
            assert client.get("/api/v1/status").status_code == 401
            client.headers["x-user"] = "somebody"
            assert client.get("/api/v1/status").status_code == 200
            assert client.post("/api/v1/ocr?name=x.png", content=page()).status_code == 403
        assert place.stat().st_mode & 0o777 == 0o660
    with site(tmp_path / "other", daemon=False, more='user_header = "X-User"') as up:
        answer = httpx.get(f"{up.url}/api/v1/status", headers={"x-user": "somebody"})
        assert answer.status_code == 401


@pytest.mark.parametrize(
    ("more", "words"),
    [("", ""), ('host = "0.0.0.0"', "beyond this machine"), ('host = "::1"', "")],
)
def test_the_doctor_says_what_listens_beyond_loopback(
    tmp_path: Path, more: str, words: str
) -> None:
    (tmp_path / "inbox/web").mkdir(parents=True)
    text = f'root = "{tmp_path}"\n[engine]\nkind = "rapidocr"\n[web]\n{more}\n'
    text += '[[folder]]\nname = "web"\n'
    (tmp_path / "config.toml").write_text(text)
    told = ocrd("doctor", "--config", str(tmp_path / "config.toml")).stdout
    assert ("beyond this machine" in told) == bool(words)
