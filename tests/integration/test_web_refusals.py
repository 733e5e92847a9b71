"""What is refused over HTTP is refused before anything is read, and whole."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_web import page
from tests.support.commands import ocrd
from tests.support.site import Site, until

EMPTY = ("empty.png", b"", "image/png")


def recorded(running: Site) -> list[str]:
    with running.client() as client:
        return [job["source"] for job in client.get("/api/v1/jobs").json()["jobs"]]


def files_of(inbox: Path) -> list[str]:
    return sorted(each.name for each in inbox.iterdir() if each.name != ".ocrd-tree")


@pytest.mark.parametrize("path", ["/api/v1/ocr", "/v1/convert/file", "/v1/convert/file/async"])
@pytest.mark.parametrize("place", [0, 2])
def test_of_several_documents_none_is_taken_where_one_is_empty(
    running: Site, path: str, place: int
) -> None:
    whole = [(f"whole {number}.png", page(), "image/png") for number in (1, 2)]
    whole.insert(place, EMPTY)
    with running.client("submit") as client:
        answer = client.post(path, files=[("files", each) for each in whole])
    assert answer.status_code == 422 and "empty.png is empty" in answer.text
    assert files_of(running.root / "inbox/web") == []
    assert not any(name.startswith("whole") for name in recorded(running))


def test_an_empty_file_is_not_kept_for_somebody_to_wait_for(running: Site) -> None:
    with running.client("submit") as client:
        answer = client.post("/v1/files", files={"file": EMPTY}, data={"purpose": "ocr"})
    assert answer.status_code == 422 and answer.json()["object"] == "error"
    assert files_of(running.root / "inbox/web") == []


@pytest.mark.parametrize(
    "options",
    [
        {"to_formats": 5},
        {"to_formats": {"md": 1}},
        {"to_formats": ["html"]},
        {"to_formats": ["json", "doctags"]},
        {"page_range": [float("inf"), 3]},
        {"page_range": [0, 3]},
        {"page_range": [3, 1]},
        {"page_range": [1]},
        {"page_range": "a"},
        {"target_type": "presigned_url"},
        {"target_type": ["zip"]},
    ],
)
def test_docling_options_that_cannot_be_had_are_refused_before_anything_is_read(
    running: Site, options: dict[str, Any]
) -> None:
    data = base64.b64encode(page()).decode()
    source = {"kind": "file", "base64_string": data, "filename": "options.png"}
    body = json.dumps({"options": options, "sources": [source]})  # Infinity as Python writes it
    with running.client("submit") as client:
        answer = client.post(
            "/v1/convert/source", content=body, headers={"content-type": "application/json"}
        )
    assert answer.status_code == 422, answer.text
    assert not any(name.startswith("options") for name in recorded(running))


@pytest.mark.parametrize("path", ["/v1/status/poll", "/v1/result"])
@pytest.mark.parametrize("task", ["oe30", "1.oNQ", "1.oW10", "1", "x"])  # {}, 5, []
def test_a_task_that_nobody_was_given_is_not_there(running: Site, path: str, task: str) -> None:
    with running.client() as client:
        assert client.get(f"{path}/{task}").status_code == 404


@pytest.mark.parametrize("pages", ["[1e999]", "[Infinity]", "[NaN]", '["x"]', '"2-1"', '"-3"'])
def test_mistrals_pages_that_name_none_are_refused(running: Site, pages: str) -> None:
    body = f'{{"document": {{"type": "file", "file_id": "t1"}}, "pages": {pages}}}'
    with running.client("submit") as client:
        answer = client.post("/v1/ocr", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422 and "pages" in answer.json()["message"]


@pytest.mark.parametrize(("pages", "count"), [("1", 1), ("1-9", 1), ("2", 0), ("", 1)])
def test_azure_answers_the_pages_that_were_asked_for(running: Site, pages: str, count: int) -> None:
    body = {"urlSource": None, "base64Source": base64.b64encode(page()).decode()}
    url = f"/documentintelligence/documentModels/prebuilt-read:analyze?pages={pages}"
    with running.client("submit") as client:
        place = client.post(url, json=body).headers["operation-location"]
        until(lambda: client.get(place).json()["status"] == "succeeded")
        result = client.get(place).json()["analyzeResult"]
        assert len(result["pages"]) == count
        assert bool(result["content"]) == bool(count)


def test_azures_pages_that_are_no_list_are_refused(running: Site) -> None:
    url = "/documentintelligence/documentModels/prebuilt-read:analyze?pages=one"
    with running.client("submit") as client:
        answer = client.post(url, content=page())
    assert answer.status_code == 400 and answer.json()["error"]["code"] == "InvalidRequest"


@pytest.mark.parametrize("path", ["/healthz", "/health", "/api/v1/jobs", "/login"])
def test_a_head_is_that_of_the_get(running: Site, path: str) -> None:
    with running.client() as client:
        head, get = client.head(path), client.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == get.headers["content-type"]


def test_nobody_keeps_an_answer_but_of_the_pages_own_files(running: Site) -> None:
    with running.client() as client:
        for path in ("/api/v1/jobs", "/api/v1/nothing", "/docs"):
            assert client.get(path).headers["cache-control"] == "no-store"
        assert "cache-control" not in client.get("/static/ocrd.js").headers


def test_who_sees_own_jobs_alone_sees_a_failure_behind_many_that_went_well(
    running: Site,
) -> None:
    with running.client("other") as client:
        url = "/api/v1/ocr?wait=240&name"
        client.post(f"{url}=broken early.pdf", content=b"%PDF-1.7 and nothing else")
        for number in range(6):
            client.post(f"{url}=fine {number}.png", content=page())
        shown = client.get("/part/jobs").text
    assert "Last failures" in shown


def test_tokens_are_those_of_the_configuration_that_is_named(running: Site) -> None:
    config = ["--config", str(running.config)]
    assert ocrd("web", "token", "add", "late", *config).returncode == 0
    for words in (["web", "token", "list", *config], ["web", *config, "token", "list"]):
        ended = ocrd(*words)
        assert ended.returncode == 0 and "late  submit" in ended.stdout
    assert ocrd("web", "token", "remove", "late", *config).returncode == 0
    assert "late" not in ocrd("web", "token", "list", *config).stdout
