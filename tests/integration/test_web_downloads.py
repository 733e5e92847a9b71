"""Results as browsers and PDF viewers fetch them: whole, in ranges, or their head alone."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import httpx
import pytest

from tests.integration.test_web import page
from tests.support.needs import few
from tests.support.site import Site, until

FORMATS = [
    ("pdf", "scan.pdf"),
    ("json", "scan.json"),
    ("md", "scan.md"),
    ("boxes", "scan.boxes.jpg"),
]


class Done(NamedTuple):
    """A job that is done: where its bundle lies, and the address of its results."""

    bundle: Path
    url: str


@pytest.fixture(scope="module")
def done(running: Site) -> Done:
    with running.client() as client:
        told = client.post("/api/v1/ocr?name=scan.png&wait=240", content=page()).json()
    assert told["state"] == "done"
    return Done(Path(told["outputs"]), f"/api/v1/jobs/{told['id']}/result?format=")


@pytest.fixture
def client(running: Site) -> Iterator[httpx.Client]:
    with running.client() as program:
        yield program


@pytest.mark.parametrize(("kind", "name"), FORMATS)
def test_a_file_says_its_length_and_that_it_may_be_had_in_ranges(
    client: httpx.Client, done: Done, kind: str, name: str
) -> None:
    whole = (done.bundle / name).read_bytes()
    answer = client.get(done.url + kind)
    assert (answer.status_code, answer.content) == (200, whole)
    assert answer.headers["content-length"] == str(len(whole))
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["cache-control"] == "no-store"
    assert name in answer.headers["content-disposition"]


@pytest.mark.parametrize(
    ("asked", "begin", "end"),
    [("0-99", 0, 100), ("-7", -7, None)],  # the rest is Starlette's
)
def test_a_range_is_that_part_alone(
    client: httpx.Client, done: Done, asked: str, begin: int, end: int | None
) -> None:
    whole = (done.bundle / "scan.pdf").read_bytes()
    answer = client.get(done.url + "pdf", headers={"range": f"bytes={asked}"})
    assert (answer.status_code, answer.content) == (206, whole[begin:end])
    first, last, _ = slice(begin, end).indices(len(whole))
    assert answer.headers["content-range"] == f"bytes {first}-{last - 1}/{len(whole)}"
    assert answer.headers["content-length"] == str(last - first)


def test_a_download_goes_on_where_it_stopped_only_in_the_same_file(
    client: httpx.Client, done: Done
) -> None:
    head = client.head(done.url + "md").headers
    for known in (head["etag"], head["last-modified"]):
        answer = client.get(done.url + "md", headers={"range": "bytes=3-", "if-range": known})
        assert answer.status_code == 206
    with (done.bundle / "scan.md").open("a") as file:
        file.write("and a line that somebody has added\n")
    answer = client.get(done.url + "md", headers={"range": "bytes=3-", "if-range": head["etag"]})
    assert (answer.status_code, answer.content) == (200, (done.bundle / "scan.md").read_bytes())


@pytest.mark.parametrize("kind", ["pdf", "json", "zip", "txt"])
def test_a_head_says_what_the_get_would_and_sends_nothing(
    client: httpx.Client, done: Done, kind: str
) -> None:
    get, head = client.get(done.url + kind), client.head(done.url + kind)
    assert (head.status_code, head.content) == (200, b"")
    apart = {"date"}
    assert {k: v for k, v in head.headers.items() if k not in apart} == {
        k: v for k, v in get.headers.items() if k not in apart
    }
    partly = client.head(done.url + kind, headers={"range": "bytes=0-1"})
    assert partly.status_code == 200  # a range is of a GET alone


def test_what_is_made_as_it_is_sent_is_sent_whole(client: httpx.Client, done: Done) -> None:
    answer = client.get(done.url + "zip", headers={"range": "bytes=0-9"})
    assert answer.status_code == 200
    assert "scan.md" in zipfile.ZipFile(io.BytesIO(answer.content)).namelist()


def test_a_link_in_a_files_place_is_not_followed(
    running: Site, client: httpx.Client, tmp_path: Path
) -> None:
    told = client.post("/api/v1/ocr?name=planted.png&wait=240", content=page()).json()
    (tmp_path / "secret").write_text("what only the daemon may read")
    text = Path(told["outputs"], "planted.pdf")
    text.unlink()
    text.symlink_to(tmp_path / "secret")
    for method in ("GET", "HEAD"):
        answer = client.request(method, f"/api/v1/jobs/{told['id']}/result?format=pdf")
        assert answer.status_code == 404


@pytest.mark.parametrize("mark", few(["\r\nx-own: 1", "\n", "\x1b", "\x7f", '"', "\\", "ü"]))
def test_whatever_a_file_is_called_its_results_come_whole(
    running: Site, client: httpx.Client, mark: str
) -> None:
    """A client's names are made safe; those in the inbox are anybody's."""
    name = f"a{mark}b"
    whole = running.root / "whole.png"
    whole.write_bytes(page())
    whole.rename(running.root / "inbox/web" / f"{name}.png")
    archived = running.root / "archive/web" / f"{name}.png"

    def done() -> list[int]:  # which it is a moment after its original is in the archive
        jobs = client.get("/api/v1/jobs?state=done&limit=1").json()["jobs"]
        return [each["id"] for each in jobs if each["archived_to"] == str(archived)]

    until(done)
    [number] = done()
    bundle = running.root / "outbox/web" / name
    for kind in ("pdf", "md", "zip"):
        answer = client.get(f"/api/v1/jobs/{number}/result?format={kind}")
        assert (answer.status_code, "x-own" in answer.headers) == (200, False)
        exact = quote(f"{name}.{kind}")
        assert f"filename*=UTF-8''{exact}" in answer.headers["content-disposition"]
        assert kind == "zip" or answer.content == (bundle / f"{name}.{kind}").read_bytes()


def test_a_head_of_the_event_stream_ends(client: httpx.Client) -> None:
    answer = client.head("/api/v1/events", timeout=20)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert client.get("/healthz", timeout=20).status_code == 200  # over the same connection


def test_a_name_that_is_no_text_hides_no_other_job(running: Site, client: httpx.Client) -> None:
    """As it comes over a share from a program with letters of its own."""
    inbox = running.root / "inbox" / "web"
    (inbox / os.fsdecode(b"stra\xdfe.png")).write_bytes(page())

    def there() -> bool:
        jobs = client.get("/api/v1/jobs", params={"name": "stra"}).json()["jobs"]
        return [job["state"] for job in jobs] == ["done"]

    until(there)
    (told,) = client.get("/api/v1/jobs", params={"name": "stra"}).json()["jobs"]
    assert Path(told["archived_to"]).read_bytes() == page()
    answer = client.get(f"/api/v1/jobs/{told['id']}/result?format=pdf")
    assert answer.status_code == 200 and answer.content.startswith(b"%PDF")
