"""Clients that the page and the interfaces did not ask for: odd, hostile, gone in the middle."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.test_web import page
from tests.support.commands import ocrd
from tests.support.needs import everything, few
from tests.support.site import Site, site, until

MIB = 1 << 20
FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Where documents go to another folder than the first, and are small."""
    root = tmp_path_factory.mktemp("clients") / "srv"
    with site(root, more='folder = "private"\nmax_upload_mib = 4') as up:
        add = ("web", "--config", str(up.config), "token", "add", "limited", "--role", "operate")
        up.tokens["limited"] = ocrd(*add, "--folder", "web").stdout.strip()
        until(lambda: up.client().get("/api/v1/status").json()["engine"]["state"] == "ready")
        yield up


def csrf_of(shown: httpx.Response) -> str:
    found = re.search(r'name="csrf" content="(\w+)"', shown.text)
    assert found is not None
    return found[1]


# --- who is not known ---


@pytest.mark.parametrize("path", few(["/login", "/logout", "/jobs/1/retry"]))
@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (FORM, b"&".join(b"a=" + b"x" * 900_000 for _ in range(4))),
        (FORM, b"%61=%61&" * (MIB // 8)),  # a second's work for who decodes it
        (FORM, b"a=" + b"%61" * 6000),
        (FORM, b"a&" * 17),
        (FORM, b"a" + b"&" * 200),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
            + b"x" * 4 * MIB
            + b"\r\n--x--\r\n",
        ),
    ],
)
def test_a_stranger_has_nothing_large_kept_or_decoded(
    running: Site, path: str, kind: str, content: bytes
) -> None:
    """Neither in memory nor in a file: a form of the page's is small, and read before who sends it
    is known."""
    answer = httpx.post(running.url + path, content=content, headers={"content-type": kind})
    assert answer.status_code == 413


@pytest.mark.parametrize("origin", ["OURS", "null", "http://[", "http://evil.example", "://", "x"])
def test_an_origin_that_is_not_ours_is_refused(running: Site, origin: str) -> None:
    """Even with a secret of ours."""
    with httpx.Client(base_url=running.url) as client:
        data = {"secret": running.tokens["operate"], "csrf": csrf_of(client.get("/login"))}
        headers = {"origin": origin.replace("OURS", running.url)}
        answer = client.post("/login", data=data, headers=headers)
    assert answer.status_code == (303 if origin == "OURS" else 403)


# --- bodies ---


@pytest.mark.parametrize("depth", [200, 400, 480, 600, 900, 5000])
def test_json_of_any_depth_is_answered(running: Site, depth: int) -> None:
    body = f'{{"name": "deep", "more": {"[" * depth}{"]" * depth}}}'
    with running.client() as client:
        headers = {"content-type": "application/json"}
        answer = client.post("/api/v1/ocr", content=body, headers=headers)
    assert answer.status_code in (400, 422)


def test_a_forms_fields_are_small_together(running: Site) -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="field%06d"\r\n\r\n\r\n'
    form = b"".join(part % number for number in range(30_000)) + b"--x--\r\n"
    with running.client() as client:
        headers = {"content-type": "multipart/form-data; boundary=x"}
        assert client.post("/api/v1/ocr", content=form, headers=headers).status_code == 413


def test_a_document_that_is_too_large_is_refused_before_it_is_sent(running: Site) -> None:
    """A client that asks first, such as curl, need send none of it."""
    host, _, port = running.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as client:
        client.sendall(
            f"POST /api/v1/ocr?name=large HTTP/1.1\r\nHost: {host}\r\n"
            f"Authorization: Bearer {running.tokens['operate']}\r\n"
            f"Content-Length: {4 * MIB + 1}\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        assert client.recv(4096).startswith(b"HTTP/1.1 413 ")


DISPOSITIONS = [
    ("filename=\"plain.png\"", "plain.png"),
    ("filename=\"=?utf-8?B?TcOkcnoucG5n?=\"; filename*=utf-8''M%C3%A4rz.png", "März.png"),
    ("filename*=UTF-8''%E7%99%BA%E7%A5%A8.png", "発票.png"),
    ("filename=\"b.png\"; filename*=UTF-8''..%2F..%2Fetc%2Fa%0D%0Ab.png", "a__b.png"),
]  # fmt: skip


@pytest.mark.parametrize(("told", "name"), few(DISPOSITIONS))
@pytest.mark.parametrize("raw", [False, True])
def test_a_files_exact_name_is_heeded(running: Site, told: str, name: str, raw: bool) -> None:
    """.NET's forms tell both; RFC 6266 lets the exact one go first."""
    content, headers = page(), {"content-disposition": f"attachment; {told}"}
    if not raw:
        head = f'--x\r\nContent-Disposition: form-data; name="files"; {told}\r\n\r\n'
        content = head.encode() + content + b"\r\n--x--\r\n"
        headers = {"content-type": "multipart/form-data; boundary=x"}
    with running.client() as client:
        answer = client.post("/api/v1/ocr?wait=240", content=content, headers=headers).json()
    stem, _, ending = name.rpartition(".")
    assert re.fullmatch(rf"{stem}( \(\d+\))?\.{ending}", answer["source"])
    assert Path(answer["archived_to"]).read_bytes() == page()


# --- connections ---


def test_a_client_that_is_gone_without_a_word_is_noticed(running: Site) -> None:
    """The kernel asks whether the other end is still there (timer 2): no disk is held for ever."""
    port = int(running.url.rpartition(":")[2])
    with running.client() as client:
        client.get("/healthz")
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ours = [row for row in rows if int(row[1].split(":")[1], 16) == port and row[3] == "01"]
    assert ours and all(row[5].startswith("02:") for row in ours)


def test_what_a_path_takes_is_told_with_its_refusal(running: Site) -> None:
    """RFC 9110, 15.5.6."""
    answer = httpx.put(f"{running.url}/api/v1/jobs")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


# --- folders ---


def test_who_does_not_see_the_usual_folder_has_their_first(running: Site) -> None:
    """Most interfaces cannot name a folder, so the token's own is meant."""
    uri = "data:image/png;base64,iVBORw0KGgo="
    azure = "/documentintelligence/documentModels/prebuilt-read:analyze"
    for role, folder in (("limited", "web"), ("operate", "private")):
        with running.client(role) as client:
            sent = [
                client.post("/api/v1/ocr?name=own", content=b"no picture"),
                client.post(azure, json={"base64Source": "iVBORw0KGgo="}),
                client.post("/v1/ocr", json={"document": {"image_url": uri}}),
                client.post("/v1/convert/file/async", files={"files": ("doc", b"no picture")}),
            ]
            assert [each.status_code for each in sent] == [202, 202, 422, 200]
            newest = client.get("/api/v1/jobs?limit=4").json()["jobs"]
        assert [each["folder"] for each in newest] == [folder] * 4, json.dumps(newest)


def test_without_a_script_the_usual_folder_is_chosen_and_ones_own_can_be(running: Site) -> None:
    for role, chosen in (("limited", None), ("operate", "private")):
        with httpx.Client(base_url=running.url, follow_redirects=True, timeout=240) as client:
            secret = {"secret": running.tokens[role]}
            shown = client.post("/login", data=secret | {"csrf": csrf_of(client.get("/login"))})
            found = re.search(r'<option value="(\w+)" selected', shown.text)
            assert (found and found[1]) == chosen
            form = {"csrf": csrf_of(shown), "folder": "web"}
            sent = client.post("/", data=form, files={"files": ("form.png", page())})
            assert sent.status_code == 200 and "in web" in sent.text


# --- uploaded files, and URLs that hand them to anybody ---

LAYOUT = "/documentintelligence/documentModels/prebuilt-layout/analyzeResults"


def token(running: Site, verb: str, name: str, *more: str) -> str:
    done = ocrd("web", "--config", str(running.config), "token", verb, name, *more)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def uploaded(running: Site, name: str, *, read: bool = False) -> tuple[str, str]:
    """The id of a new token's file in `private`, and its URL, signed for a year."""
    running.tokens[name] = token(running, "add", name, "--role", "submit")
    with running.client(name) as client:
        file = client.post("/v1/files", files={"file": ("secret.png", page(name))}).json()["id"]
        url = client.get(f"/v1/files/{file}/url?expiry=8760").json()["url"]
        if read:
            assert client.post("/v1/ocr", json={"document": {"file_id": file}}).is_success
    assert httpx.get(url).content == page(name)
    return file, url


@pytest.mark.parametrize("read", [False, True])
@pytest.mark.parametrize("end", few(["azure", "mistral", "removed", "renewed"]))
def test_a_signed_url_ends_with_its_file_and_with_its_token(
    running: Site, end: str, read: bool
) -> None:
    name = f"{end}-{read}"
    file, url = uploaded(running, name, read=read)
    with running.client(name) as client:
        if end == "azure":
            assert client.delete(f"{LAYOUT}/{file}").status_code == 204
        elif end == "mistral":
            assert client.delete(f"/v1/files/{file}").status_code == 200
        else:
            token(running, "remove", name)
        if end == "renewed":  # the bearer of the old one may be why
            token(running, "add", name, "--role", "submit")
        assert client.get(f"/v1/files/{file}/content").status_code in (401, 404)
    assert httpx.get(url).status_code == 422
    with running.client() as other:
        asked = {"document": {"document_url": url}}
        assert other.post("/v1/ocr", json=asked).status_code == 422


def test_a_signed_url_of_a_file_that_never_was_is_refused_as_any_other(running: Site) -> None:
    """Whoever guesses is not told which files there are."""
    file, url = uploaded(running, "guessed")
    wrong = url[:-1] + ("0" if url[-1] != "0" else "1")
    numbers = [file, "t999999", "t" + "9" * 40, "t٣"]
    answers = [httpx.get(wrong.replace(f"/{file}/", f"/{each}/")) for each in numbers]
    assert {each.status_code for each in answers} == {422}
    assert len({each.text for each in answers}) == 1


@pytest.mark.parametrize("read", [False, True])
def test_what_lies_in_a_folder_that_a_token_does_not_see_does_not_exist_for_it(
    running: Site, read: bool
) -> None:
    """It was sent while the token was not limited yet."""
    name = f"narrowed-{read}"
    file, _ = uploaded(running, name, read=read)
    token(running, "remove", name)
    running.tokens[name] = token(running, "add", name, "--role", "submit", "--folder", "web")
    with running.client(name) as client:
        own = client.post("/v1/files", files={"file": ("own.png", page())}).json()["id"]
        listed = client.get("/v1/files").json()
        assert ([each["id"] for each in listed["data"]], listed["total"]) == ([own], 1)
        paths = [f"/v1/files/{file}{end}" for end in ("", "/url", "/content")]
        paths.append(f"/api/v1/jobs/{file}")
        assert {client.get(path).status_code for path in paths} == {404}
        assert client.delete(f"/v1/files/{file}").status_code == 404
        asked = {"document": {"file_id": file}}
        assert client.post("/v1/ocr", json=asked).status_code == 404
        for path in ("/jobs", "/part/jobs"):
            shown = client.get(path)
            assert shown.is_success and "secret" not in shown.text
        assert client.delete(f"/v1/files/{own}").status_code == 200


# --- results that somebody has changed ---

HALF, LARGE = "\udcff", 10**30
NUMBERS = [-LARGE, -5, -1, 0, 2, 99, 2**31 - 1, 2**31, 2**63, LARGE]
BLOCKS: list[dict[str, object]] = [
    {"label": HALF},
    {"text": HALF},
    {"image": HALF},
    {"label": "image", "image": HALF},
    {"boxes": [[1e308, 1e308, -1e308, 1e308]]},
]
CHANGED: list[dict[str, object]] = [
    {"partial": HALF},
    {"number": LARGE},
    {"pile_page": LARGE},
    {"span": [0, LARGE]},
    {"size_in": [1e308, 1e308]},
    {"size_in": [1e-300, 1e-300]},
    {"came_from": {"file": HALF, "page": 1}},
]
CHANGED += [{"blocks": [{"label": "text", "text": "", **each}]} for each in BLOCKS]
CHANGED += [{"came_from": {"file": "x", "page": each}} for each in NUMBERS]


@pytest.mark.parametrize("kind", ["PNG", "PDF"])
def test_a_changed_sidecar_is_no_defect_of_ocrd(running: Site, kind: str) -> None:
    with running.client() as client:
        url = f"/api/v1/ocr?name=changed.{kind.lower()}&wait=240"
        job = client.post(url, content=page(kind=kind)).json()
        (kept,) = Path(job["outputs"]).glob("*.json")
        good = json.loads(kept.read_text())
        paths = [
            f"/jobs/{job['id']}",
            f"/jobs/{job['id']}/page/1.jpg",
            f"/api/v1/jobs/{job['id']}/result?format=txt",
            f"{LAYOUT}/{job['id']}?outputContentFormat=markdown",
        ]
        found = {}
        for change in CHANGED if kind == "PDF" or everything() else CHANGED[::3]:
            told = good | {"pages": [good["pages"][0] | change]}
            kept.write_text(json.dumps(told))
            for path in paths:
                answer = client.get(path)
                if answer.status_code >= 500:
                    found[str(change), path] = answer.text
        assert found == {}
        kept.write_text(json.dumps(good))
        assert client.get(paths[1]).headers["content-type"] == "image/jpeg"
