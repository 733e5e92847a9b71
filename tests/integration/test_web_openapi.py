"""What /openapi.json promises to programs, against what is answered to sense and nonsense."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.integration.test_web import page
from tests.support.needs import examples, few
from tests.support.site import Site, site, until

ENDLESS = "/api/v1/events"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("openapi") / "srv", more="requests_per_minute = 0") as up:
        until(lambda: up.client().get("/api/v1/status").json()["engine"]["state"] == "ready")
        with up.client() as client:
            client.post("/api/v1/ocr?name=done.png&wait=240", content=page())
            client.post("/api/v1/ocr?name=failed.pdf&wait=240", content=b"%PDF-1.7 and nothing")
        yield up


@pytest.fixture(scope="module")
def promised(running: Site) -> dict[str, Any]:
    told: dict[str, Any] = httpx.get(f"{running.url}/openapi.json").json()
    return told


def calls(promised: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    paths = promised["paths"].items()
    return [(verb, path, call) for path, verbs in paths for verb, call in verbs.items()]


def values(schema: dict[str, Any]) -> st.SearchStrategy[object]:
    """Such as the schema wants, and others."""
    some: list[st.SearchStrategy[object]] = [
        st.text(max_size=20), st.integers(), st.integers(0, 5), st.floats(), st.just(""),
    ]  # fmt: skip
    for each in (schema, *schema.get("anyOf", ())):
        if "enum" in each:
            some += [st.sampled_from(each["enum"])] * 3
    return st.one_of(some)


@st.composite
def requests(draw: st.DrawFn, path: str, call: dict[str, Any]) -> dict[str, Any]:
    """A path and a query, as `httpx` takes them."""
    query = {}
    for each in call.get("parameters", ()):
        drawn = draw(values(each["schema"]))
        if each["name"] == "wait":
            drawn = min(drawn, 0.1) if isinstance(drawn, int | float) else drawn
        if each["in"] == "path":
            known = draw(st.sampled_from(["1", "2", "t1", "0", "t0", str(drawn) or "x"]))
            path = path.replace(f"{{{each['name']}}}", quote(known, safe=""))
        elif draw(st.booleans()):
            query[each["name"]] = drawn
    return {"url": path, "params": query}


def require_promised(promised: dict[str, Any], call: dict[str, Any], sent: httpx.Response) -> None:
    assert sent.status_code < 500, sent.text
    known = call["responses"]
    told = known.get(str(sent.status_code), known["default"])
    kind = sent.headers["content-type"].partition(";")[0]
    kinds = {each.partition(";")[0]: content for each, content in told["content"].items()}
    assert kind in kinds, (sent.request.url, sent.status_code, kind)
    if kind == "application/json" and kinds[kind]["schema"].get("format") != "binary":
        schema = kinds[kind]["schema"] | {"components": promised["components"]}
        Draft202012Validator(schema).validate(sent.json())


@settings(max_examples=examples(150), deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_answer_is_one_that_was_promised(
    running: Site, promised: dict[str, Any], data: st.DataObject
) -> None:
    every = [(verb, path, call) for verb, path, call in calls(promised) if path != ENDLESS]
    verb, path, call = data.draw(st.sampled_from(every))
    drawn = data.draw(requests(path, call))
    if "requestBody" in call:
        junk = st.recursive(st.none() | st.integers() | st.text(max_size=9), st.lists, max_leaves=5)
        keys = st.sampled_from(
            ["name", "data", "base64", "file", "files", "folder", "mode", "wait", "x"]
        )
        kind = data.draw(st.sampled_from([*call["requestBody"]["content"], "text/plain", "x"]))
        body = json.dumps(data.draw(st.dictionaries(keys, junk) | junk)).encode()
        drawn |= {"headers": {"content-type": kind}, "content": body}
    role = data.draw(st.sampled_from(["operate", "read", "submit", "web-only", None]))
    client = running.client(role) if role else httpx.Client(base_url=running.url)
    with client:
        require_promised(promised, call, client.request(verb.upper(), **drawn))


def test_what_a_program_needs_is_told(promised: dict[str, Any]) -> None:
    """How to say who one is, how a document is sent, what a refusal looks like."""
    assert promised["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    for _, path, call in calls(promised):
        assert call["security"] == [{"HTTPBearer": []}, {"APIKeyCookie": []}], path
        refused = call["responses"]["default"]["content"]["application/json"]["schema"]["$ref"]
        assert refused == "#/components/schemas/Refusal"
    sent = promised["paths"]["/api/v1/ocr"]["post"]["requestBody"]["content"]
    assert set(sent) == {"application/octet-stream", "multipart/form-data", "application/json"}
    assert (
        "x-csrf-token" in promised["components"]["securitySchemes"]["APIKeyCookie"]["description"]
    )


@pytest.mark.parametrize("key", few(["data", "base64", "file"]))
@pytest.mark.parametrize(("wait", "status"), [(0, "202"), (240, "200")])
@pytest.mark.parametrize("documents", [1, 2])
def test_what_becomes_of_documents_in_json_is_promised(
    running: Site, promised: dict[str, Any], key: str, wait: int, status: str, documents: int
) -> None:
    """By a schema that anything else does not meet."""
    call = promised["paths"]["/api/v1/ocr"]["post"]
    body: dict[str, Any] = {"name": "a.png", key: base64.b64encode(page(f"{key} {wait}")).decode()}
    known = call["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert key in known and key in known["files"]["items"]["properties"]
    body = body if documents == 1 else {"files": [body] * documents}
    with running.client() as client:
        answer = client.post("/api/v1/ocr", json=body | {"wait": wait})
    told = call["responses"][status]["content"]["application/json"]["schema"]
    assert str(answer.status_code) == status
    Draft202012Validator(told).validate(answer.json())
    others: list[object] = [{}, "text", None, [{}], {"id": 1}, {"id": None, "state": "done"}]
    for junk in others:
        assert not Draft202012Validator(told).is_valid(junk)


@pytest.mark.parametrize("role", ["operate", "submit"])
def test_the_events_are_of_the_kind_that_was_promised(
    running: Site, promised: dict[str, Any], role: str
) -> None:
    with running.client(role) as client, client.stream("GET", ENDLESS) as answer:
        kind = answer.headers["content-type"].partition(";")[0]
        assert kind in promised["paths"][ENDLESS]["get"]["responses"]["200"]["content"]
        assert next(answer.iter_bytes()).startswith(b"retry: ")
