"""Programs that speak HTTP: our own interface and those that exist, with their own clients."""

from __future__ import annotations

import base64
import concurrent.futures
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from PIL import Image, ImageDraw, ImageFont

from tests.support.needs import slow
from tests.support.printed import printed
from tests.support.site import Site, memory_kib, site, until
from tests.support.waiting import HANG_S

if TYPE_CHECKING:
    from azure.ai.documentintelligence import DocumentIntelligenceClient

JSON = {"content-type": "application/json"}
WORDS = "Lighthouse keepers wrote every evening"


def page(words: str = WORDS, kind: str = "PNG") -> bytes:
    """A page with a line on it."""
    held = io.BytesIO()
    printed(words).save(held, kind)
    return held.getvalue()


# --- our own interface ---


def test_a_raw_body_becomes_a_job_like_any_other(running: Site) -> None:
    with running.client() as client:
        told = client.post("/api/v1/ocr?name=raw.png&wait=240", content=page()).json()
        assert (told["state"], told["folder"], told["source"]) == ("done", "web", "raw.png")
        assert (running.root / "archive/web/raw.png").read_bytes() == page()
        text = client.get(f"/api/v1/jobs/{told['id']}/result?format=txt").text
        assert WORDS in text
        listed = client.get("/api/v1/jobs?folder=web").json()["jobs"]
        assert told["id"] in [job["id"] for job in listed]


def test_several_parts_of_a_form_become_several_jobs(running: Site) -> None:
    files = [("files", (f"part {n}.png", page(f"Part number {n} of three"))) for n in (1, 2, 3)]
    with running.client() as client:
        answer = client.post("/api/v1/ocr", files=files, data={"folder": "private", "wait": "240"})
    assert answer.status_code == 200
    assert [(each["state"], each["folder"]) for each in answer.json()] == [("done", "private")] * 3


@pytest.mark.parametrize("uri", ["", "data:image/png;base64,"])
def test_base64_in_json_is_decoded_as_it_comes(running: Site, uri: str) -> None:
    data = uri + base64.b64encode(page("Encoded for the journey")).decode()
    with running.client() as client:
        told = client.post(
            "/api/v1/ocr", json={"name": "b64.png", "data": data, "wait": 240}
        ).json()
        result = client.get(f"/api/v1/jobs/{told['id']}/result")
    assert "Encoded for the journey" in result.text


@pytest.mark.parametrize("escape", ["\\u002B", "\\u002b", "\\u002F", "\\/"])
def test_base64_that_a_json_library_escapes_is_the_same_document(
    running: Site, escape: str
) -> None:
    """Such as .NET's, which writes no plus as it is."""
    plain = "/" if escape in ("\\/", "\\u002F") else "+"
    content = bytes(range(256)) * 1000
    text = base64.b64encode(content).decode()
    assert plain in text
    body = f'{{"name": "escaped{ord(escape[-1])}.bin", "data": "{text.replace(plain, escape)}"}}'
    pieces = (body.encode()[at : at + 997] for at in range(0, len(body), 997))
    with running.client() as client:
        json = {"content-type": "application/json"}
        told = client.post("/api/v1/ocr?wait=240", content=pieces, headers=json).json()
    assert Path(told["failed_to"]).read_bytes() == content


def test_every_file_of_a_bundle_can_be_had_and_all_as_a_zip(running: Site) -> None:
    with running.client() as client:
        number = client.post("/api/v1/ocr?name=all.png&wait=240", content=page()).json()["id"]
        results = f"/api/v1/jobs/{number}/result"
        assert client.get(results, params={"format": "pdf"}).content.startswith(b"%PDF")
        sidecar = client.get(results, params={"format": "json"}).json()
        archive = zipfile.ZipFile(io.BytesIO(client.get(results, params={"format": "zip"}).content))
        refused = client.get(results, params={"format": "alto"})
    assert sidecar["source"].startswith("all")
    bundle = Path(running.root, "outbox/web/all")
    assert sorted(archive.namelist()) == sorted(
        str(path.relative_to(bundle)) for path in bundle.rglob("*") if path.is_file()
    )
    assert refused.status_code == 404 and "outputs" in refused.json()["error"]["hint"]


def test_two_documents_of_one_name_are_two_jobs(running: Site) -> None:
    with running.client() as client:
        first = client.post("/api/v1/ocr?name=twin.png&wait=240", content=page("First twin")).json()
        second = client.post("/api/v1/ocr?name=twin.png&wait=240", content=page("Second")).json()
    assert first["id"] != second["id"] and second["state"] == "done"


@slow
def test_a_piles_documents_are_shown_as_the_pages_of_one(tmp_path: Path) -> None:
    held = io.BytesIO()
    sheets = [Image.new("L", (1000, 400), 255) for _ in range(3)]
    for number, words in ((0, "First letter"), (2, "Second letter")):
        font = ImageFont.load_default(40)
        ImageDraw.Draw(sheets[number]).text((60, 160), words, fill=0, font=font)
    sheets[0].save(held, "TIFF", save_all=True, append_images=sheets[1:])
    pile = '[[folder]]\nname = "web"\nseparator = "blank"\n'
    with site(tmp_path / "srv", real=True, folders=pile) as up, up.client() as client:
        told = client.post("/api/v1/ocr?name=pile.tif&wait=240", content=held.getvalue()).json()
        results = f"/api/v1/jobs/{told['id']}/result"
        for form in ("md", "txt"):
            text = client.get(results, params={"format": form}).text
            assert "First letter" in text and "Second letter" in text
        shown = client.get(f"/jobs/{told['id']}").text
        assert 'id="page-1"' in shown and 'id="page-3"' in shown
        assert client.get(f"/jobs/{told['id']}/page/3.jpg").content.startswith(b"\xff\xd8")


# --- what is refused ---


def test_without_a_token_nothing_is_told(running: Site) -> None:
    for path in ("/api/v1/status", "/api/v1/jobs", "/api/v1/jobs/1", "/api/v1/search?q=x"):
        assert httpx.get(running.url + path).status_code == 401
    assert httpx.post(running.url + "/api/v1/ocr", content=page()).status_code == 401


def test_a_role_may_do_what_it_says_and_no_more(running: Site) -> None:
    with running.client("submit") as client, running.client("other") as other:
        number = client.post("/api/v1/ocr?name=mine.png&wait=240", content=page()).json()["id"]
        assert client.get(f"/api/v1/jobs/{number}").status_code == 200
        assert other.get(f"/api/v1/jobs/{number}").status_code == 404
        assert client.get("/api/v1/jobs").status_code == 403
        assert client.post(f"/api/v1/jobs/{number}/retry").status_code == 403
    with running.client("read") as reader:
        assert reader.get(f"/api/v1/jobs/{number}/result").status_code == 200
        assert reader.post("/api/v1/ocr?name=x.png", content=page()).status_code == 403
        assert reader.delete(f"/api/v1/jobs/{number}").status_code == 403


def test_nobody_sees_a_folder_that_their_token_does_not(running: Site) -> None:
    with running.client() as client:
        url = "/api/v1/ocr?name=secret.png&folder=private&wait=240"
        number = client.post(url, content=page("Very secret words")).json()["id"]
        url = "/api/v1/ocr?name=secret.pdf&folder=private&wait=240"
        assert client.post(url, content=b"%PDF-1.7 and nothing").json()["state"] == "failed"
    with running.client("web-only") as client:
        assert client.get(f"/api/v1/jobs/{number}").status_code == 404
        assert client.get(f"/api/v1/jobs/{number}/result").status_code == 404
        assert client.get("/api/v1/jobs?folder=private").status_code == 422
        assert {job["folder"] for job in client.get("/api/v1/jobs").json()["jobs"]} <= {"web"}
        status = client.get("/api/v1/status")
        assert [each["name"] for each in status.json()["folders"]] == ["web"]
        assert "secret" not in status.text and "private" not in status.text


@pytest.mark.parametrize(
    ("call", "status"),
    [
        (lambda c: c.post("/api/v1/ocr?name=e.png", content=b""), 400),
        (lambda c: c.post("/api/v1/ocr?folder=nowhere", content=b"x"), 422),
        (lambda c: c.post("/api/v1/ocr?mode=describe", content=b"x"), 422),
        (lambda c: c.post("/api/v1/ocr", json={"name": "a.png", "data": "&&&&"}), 400),
        (lambda c: c.post("/api/v1/ocr", json=["no object"]), 400),
        (lambda c: c.post("/api/v1/ocr", json={"files": "no list"}), 422),
        (lambda c: c.post("/api/v1/ocr", json={}), 422),
        (lambda c: c.post("/api/v1/ocr?wait=soon", content=b"x"), 422),
        (lambda c: c.post("/api/v1/ocr?wait=nan", content=b"x"), 422),
        (lambda c: c.post("/api/v1/ocr", content='{"data": "\\ud800"}', headers=JSON), 400),
        (lambda c: c.post("/api/v1/ocr", content="[" * 100_000, headers=JSON), 400),
        (lambda c: c.get(f"/api/v1/jobs?before_id={2**63}"), 422),
        (lambda c: c.get("/api/v1/jobs?before_id=-1"), 422),
        (lambda c: c.get("/jobs/1/page/0.jpg"), 404),
        (lambda c: c.get("/jobs/1/page/-1.jpg"), 404),
        (lambda c: c.get(f"/jobs/1/page/{10**30}.jpg"), 404),
        (lambda c: c.get("/api/v1/jobs/999999"), 404),
        (lambda c: c.get("/api/v1/jobs/t999999"), 404),
        (lambda c: c.get("/api/v1/jobs/nonsense"), 404),
        (lambda c: c.get("/api/v1/nowhere"), 404),
    ],
)
def test_a_bad_request_is_told_what_is_wrong(running: Site, call: object, status: int) -> None:
    with running.client() as client:
        answer = call(client)  # type: ignore[operator]  # a lambda of the list above
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


def test_nothing_is_left_of_what_was_refused_or_broken_off(running: Site) -> None:
    def broken() -> Iterator[bytes]:
        yield b"x" * 100_000
        raise ConnectionError

    with running.client() as client:
        too_large = client.post("/api/v1/ocr?name=l.png", content=bytes(65 * 2**20))
        assert too_large.status_code == 413 and "max_upload_mib" in too_large.text
        with pytest.raises(ConnectionError):
            client.post("/api/v1/ocr?name=b.png", content=broken())
    until(lambda: not list((running.root / "inbox/web").glob(".ocrd-*.part")))


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..", ".hidden", "a\nb.png"])
def test_a_clients_name_never_shapes_a_path(running: Site, name: str) -> None:
    with running.client() as client:
        told = client.post("/api/v1/ocr", params={"name": name, "wait": 240}, content=page()).json()
    source = told["source"]
    assert "/" not in source and not source.startswith(".") and "\n" not in source
    assert (running.root / "archive/web" / source).exists()


# --- Azure Document Intelligence ---


def azure(running: Site, token: str) -> DocumentIntelligenceClient:
    """Its package takes long to import: who collects tests need not wait for it."""
    from azure.ai.documentintelligence import DocumentIntelligenceClient
    from azure.core.credentials import AzureKeyCredential

    return DocumentIntelligenceClient(running.url, AzureKeyCredential(token))


def test_the_azure_sdk_gets_text_and_a_searchable_pdf(running: Site) -> None:
    from azure.ai.documentintelligence.models import (
        AnalyzeDocumentRequest,
        AnalyzeOutputOption,
        DocumentContentFormat,
    )

    client = azure(running, running.tokens["submit"])
    poller = client.begin_analyze_document(
        model_id="prebuilt-read",
        body=AnalyzeDocumentRequest(bytes_source=page()),
        output_content_format=DocumentContentFormat.TEXT,
        output=[AnalyzeOutputOption.PDF],
        content_type="application/json",
    )
    poller.wait()
    number = poller.details["operation_id"]
    result = poller.result()
    assert WORDS in result.content and len(result.pages) == 1
    known = sidecar(running, number)["pages"][0]["confidence"]
    assert 0.5 < known <= 1
    assert {word.confidence for word in result.pages[0].words or []} == {known}
    line = (result.pages[0].lines or [])[0]
    span = line.spans[0]
    assert result.content[span.offset :][: span.length] == line.content
    pdf = b"".join(client.get_analyze_result_pdf(model_id="prebuilt-read", result_id=number))
    assert pdf.startswith(b"%PDF")


def sidecar(running: Site, number: str) -> dict[str, Any]:
    with running.client() as client:
        told: dict[str, Any] = client.get(f"/api/v1/jobs/{number}/result?format=json").json()
    return told


def test_the_azure_sdk_is_told_of_failures_in_its_own_words(running: Site) -> None:
    from azure.ai.documentintelligence.models import AnalyzeDocumentRequest
    from azure.core.exceptions import ClientAuthenticationError, HttpResponseError

    wrong = azure(running, "wrong")
    with pytest.raises(ClientAuthenticationError):
        wrong.begin_analyze_document("prebuilt-read", AnalyzeDocumentRequest(bytes_source=b"x"))
    client = azure(running, running.tokens["submit"])
    with pytest.raises(HttpResponseError, match="urlSource"):
        url = AnalyzeDocumentRequest(url_source="http://example.org/a.pdf")
        client.begin_analyze_document("prebuilt-read", url)
    poller = client.begin_analyze_document(
        "prebuilt-read", AnalyzeDocumentRequest(bytes_source=b"no document at all, just prose")
    )
    with pytest.raises(HttpResponseError):
        poller.result()


def test_a_result_that_the_azure_sdk_deletes_is_gone_for_it_and_kept_by_ocrd(running: Site) -> None:
    from azure.ai.documentintelligence.models import AnalyzeDocumentRequest
    from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

    client = azure(running, running.tokens["submit"])
    poller = client.begin_analyze_document(
        "prebuilt-read", AnalyzeDocumentRequest(bytes_source=page("To be deleted"))
    )
    poller.result()
    number = poller.details["operation_id"]
    with pytest.raises(HttpResponseError) as refused:
        azure(running, running.tokens["operate"]).delete_analyze_result("prebuilt-read", number)
    assert refused.value.status_code == 403  # it is another's
    client.delete_analyze_result("prebuilt-read", number)
    for again in (client.delete_analyze_result, client.get_analyze_result_pdf):
        with pytest.raises(ResourceNotFoundError):
            again("prebuilt-read", number)
    url = f"/documentintelligence/documentModels/prebuilt-read/analyzeResults/{number}"
    with running.client("submit") as own, running.client() as operator:
        assert own.get(url).status_code == operator.get(url).status_code == 404
        assert own.get(f"/api/v1/jobs/{number}").status_code == 404
        assert f"/jobs/{number}" not in own.get("/jobs").text
        kept = operator.get(f"/api/v1/jobs/{number}").json()
    assert kept["state"] == "done" and Path(kept["archived_to"]).exists()
    assert Path(kept["outputs"]).exists()


def test_a_result_is_deleted_before_it_is_there(tmp_path: Path) -> None:
    model = "/documentintelligence/documentModels/prebuilt-read"
    with site(tmp_path / "srv", daemon=False) as up, up.client("submit") as client:
        place = client.post(f"{model}:analyze", content=page()).headers["operation-location"]
        assert client.delete(place).status_code == 204
        assert client.get(place).status_code == client.delete(place).status_code == 404
        up.start_daemon()
        until(lambda: list((up.root / "archive/web").glob("document*")))
        assert client.get(place).status_code == 404
        assert client.delete(f"{model}/analyzeResults/999999").status_code == 404


# --- Mistral ---


def test_the_mistral_sdk_reads_a_data_uri_and_an_uploaded_file(running: Site) -> None:
    from mistralai.client import Mistral

    client = Mistral(api_key=running.tokens["submit"], server_url=running.url)
    uri = "data:image/png;base64," + base64.b64encode(page()).decode()
    document = {"type": "image_url", "image_url": uri}
    read = client.ocr.process(model="mistral-ocr-latest", document=document)  # type: ignore[arg-type]  # the SDK takes plain dicts
    assert WORDS in read.pages[0].markdown
    assert read.usage_info.pages_processed == 1
    held = {"file_name": "kept.png", "content": page("Kept for later")}
    file = client.files.upload(file=held, purpose="ocr")  # type: ignore[arg-type]  # likewise
    known = client.files.retrieve(file_id=file.id)
    assert (known.filename, known.deleted) == ("kept.png", False)
    url = client.files.get_signed_url(file_id=file.id).url
    for document in (
        {"type": "document_url", "document_url": url},
        {"type": "file", "file_id": file.id},
    ):
        read = client.ocr.process(model="x", document=document)  # type: ignore[arg-type]  # likewise
        assert "Kept for later" in read.pages[0].markdown
    assert client.files.delete(file_id=file.id).deleted
    assert not list((running.root / "inbox/web").glob(".ocrd-*.[ph]*"))


def test_the_mistral_sdk_lists_its_files_and_fetches_them_before_and_after_they_are_read(
    running: Site,
) -> None:
    from mistralai.client import Mistral

    client = Mistral(api_key=running.tokens["other"], server_url=running.url)
    content = {f"listed {n}.png": page(f"Listed number {n}") for n in range(3)}
    for name, data in content.items():
        file = client.files.upload(file={"file_name": name, "content": data}, purpose="ocr")
    listed = client.files.list(page_size=2)
    assert [each.filename for each in listed.data] == ["listed 2.png", "listed 1.png"]
    assert listed.total == 3
    assert [each.filename for each in client.files.list(page=1, page_size=2).data] == [
        "listed 0.png"
    ]
    assert [each.filename for each in client.files.list(search="ED 1").data] == ["listed 1.png"]
    assert client.files.list(purpose="batch").data == []  # whoever deletes those deletes none
    stranger = Mistral(api_key=running.tokens["submit"], server_url=running.url)
    assert {each.filename for each in stranger.files.list().data}.isdisjoint(content)
    url = client.files.get_signed_url(file_id=file.id).url
    for read in (False, True):
        if read:
            client.ocr.process(model="x", document={"type": "file", "file_id": file.id})
        assert client.files.download(file_id=file.id).read() == content["listed 2.png"]
        assert httpx.get(url).content == content["listed 2.png"]
    for wrong in (url[:-1] + "g", url.replace("expires=", "expires=9"), url.split("?")[0]):
        assert httpx.get(wrong).status_code in (401, 422)
    with running.client("submit") as other:
        assert other.get(f"/v1/files/{file.id}/content").status_code == 404
    for each in listed.data + client.files.list().data[2:]:
        assert client.files.delete(file_id=each.id).deleted
    assert client.files.list().total == 0


def test_an_uploaded_files_place_shows_no_other_file(running: Site) -> None:
    """It was taken away before it was read, and another of that name lies there now."""
    with running.client("other") as client:
        number = client.post("/v1/files", files={"file": ("mine.png", page())}).json()["id"]
        (held,) = (running.root / "inbox/web").glob(".ocrd-*.held")
        held.rename(running.root / "mine")
        held.write_bytes(b"somebody else's")
        assert client.get(f"/v1/files/{number}/content").status_code == 404
        assert client.delete(f"/v1/files/{number}").status_code == 200


def test_open_webuis_mistral_loader_gets_its_pages(running: Site) -> None:
    """Request by request as its `load` sends them."""
    with running.client("submit") as client:
        files = {"file": ("letter.pdf", page(kind="PDF"), "application/pdf")}
        number = client.post("/v1/files", files=files, data={"purpose": "ocr"}).json()["id"]
        url = client.get(f"/v1/files/{number}/url", params={"expiry": 1}).json()["url"]
        document = {"type": "document_url", "document_url": url}
        body = {"model": "mistral-ocr-latest", "document": document, "include_image_base64": False}
        (read,) = client.post("/v1/ocr", json=body).json()["pages"]
        assert client.delete(f"/v1/files/{number}").json()["deleted"]
    assert (read["index"], WORDS in read["markdown"]) == (0, True)
    assert not list((running.root / "inbox/web").glob(".ocrd-*.held"))


@pytest.mark.parametrize(
    ("name", "kind"), [("Brief an Müller.pdf", "document_url"), ("scan.png", "image_url")]
)
def test_librechats_requests_get_the_text(running: Site, name: str, kind: str) -> None:
    """Its form is streamed with `purpose` first and no length; it wants no pictures."""
    content = page(kind=name[-3:].upper())
    form = (
        b'--xx\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nocr\r\n--xx\r\n'
        b'Content-Disposition: form-data; name="file"; filename="' + name.encode() + b'"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n" + content + b"\r\n--xx--\r\n"
    )
    with running.client("submit") as client:
        pieces = (form[at : at + 4096] for at in range(0, len(form), 4096))
        kept = {"content-type": "multipart/form-data; boundary=xx"}
        file = client.post("/v1/files", content=pieces, headers=kept).json()
        assert (file["filename"], file["bytes"]) == (name, len(content))
        url = client.get(f"/v1/files/{file['id']}/url?expiry=24").json()["url"]
        body = {"model": "mistral-ocr-latest", "image_limit": 0, "include_image_base64": False}
        told = client.post("/v1/ocr", json={**body, "document": {"type": kind, kind: url}}).json()
        assert client.delete(f"/v1/files/{file['id']}").status_code == 200
        uri = "data:image/png;base64," + base64.b64encode(page()).decode()
        document = {"type": "image_url", "image_url": uri}  # as it asks Azure's Mistral
        direct = client.post("/v1/ocr", json={**body, "document": document}).json()
    for each in (told, direct):
        assert WORDS in each["pages"][0]["markdown"] and each["pages"][0]["images"] == []


def test_no_url_but_our_own_signed_ones_is_fetched(running: Site) -> None:
    with running.client() as client:
        for url in ("http://127.0.0.1:1/x", f"{running.url}/v1/files/ab/content?signature=cd"):
            body = {"model": "m", "document": {"type": "document_url", "document_url": url}}
            answer = client.post("/v1/ocr", json=body)
            assert (answer.status_code, answer.json()["object"]) == (422, "error")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/ocr", {"document": {"document_url": "data:,QUJD"}, "pages": "first"}),
        ("/v1/ocr", {"document": {"document_url": "data:,QUJD"}, "pages": [None]}),
        ("/v1/ocr", {"document": {"document_url": "data:,QUJD"}, "image_limit": "few"}),
        ("/v1/ocr", {"document": {"document_url": "data:,QUJD"}, "table_format": "csv"}),
        ("/v1/ocr", {"document": "no object"}),
        ("/v1/ocr", {"document": {"document_url": {"url": ["x"]}}}),
        ("/v1/convert/source", {"sources": [{"kind": "http", "url": "http://x/"}]}),
        ("/v1/convert/source", {"sources": [{"kind": "file"}], "options": ["no object"]}),
    ],
)
def test_other_interfaces_refuse_nonsense_before_anything_is_read(
    running: Site, path: str, body: dict[str, object]
) -> None:
    with running.client("submit") as client:
        answer = client.post(path, json=body)
    assert answer.status_code == 422
    assert answer.json().get("message") or answer.json().get("detail")


# --- docling-serve ---


def test_open_webuis_loader_gets_markdown(running: Site) -> None:
    answer = httpx.post(
        f"{running.url}/v1/convert/file",
        headers={"x-api-key": running.tokens["submit"]},
        files={"files": ("scan.png", page(), "image/png")},
        data={"to_formats": ["md", "json"], "md_page_break_placeholder": "\f"},
        timeout=2 * HANG_S,
    ).json()
    assert answer["status"] == "success"
    assert WORDS in answer["document"]["md_content"]
    assert answer["document"]["json_content"] is None


def test_an_asynchronous_task_is_its_jobs(running: Site) -> None:
    source = {
        "kind": "file",
        "base64_string": base64.b64encode(page()).decode(),
        "filename": "s.png",
    }
    with running.client("submit") as client:
        task = client.post(
            "/v1/convert/source/async",
            json={"options": {"to_formats": ["text"]}, "sources": [source, source]},
        ).json()["task_id"]
        for _ in range(10):
            told = client.get(f"/v1/status/poll/{task}", params={"wait": 10}).json()
            if told["task_status"] not in ("pending", "started"):
                break
        result = client.get(f"/v1/result/{task}")
    assert told["task_meta"] == {
        "num_docs": 2,
        "num_processed": 2,
        "num_succeeded": 2,
        "num_failed": 0,
    }
    assert len(zipfile.ZipFile(io.BytesIO(result.content)).namelist()) == 2


@pytest.mark.parametrize(
    ("formats", "endings"), [(["md"], ["md"]), (["text"], ["txt"]), (["md", "text"], ["md", "txt"])]
)
def test_a_zip_tells_why_a_document_failed_and_has_no_text_of_it(
    running: Site, formats: list[str], endings: list[str]
) -> None:
    files = [("files", ("fine.png", page(), "image/png"))]
    files.append(("files", ("broken.pdf", b"%PDF-1.7 and nothing else", "application/pdf")))
    with running.client("submit") as client:
        answer = client.post("/v1/convert/file", files=files, data={"to_formats": formats})
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    names = archive.namelist()
    broken = next(name for name in names if name.startswith("2-broken"))
    assert broken.endswith(".error.json")
    assert json.loads(archive.read(broken))[0]["error_message"]
    texts = [name for name in names if name != broken]
    assert [name.rpartition(".")[2] for name in texts] == endings
    assert all(WORDS in archive.read(name).decode() for name in texts)


def test_a_task_of_more_documents_than_one_request_has_is_not_looked_for(running: Site) -> None:
    with running.client() as client:
        answer = client.get(f"/v1/status/poll/{'.'.join(['1'] * 1000)}.oe30")
    assert answer.status_code == 404


# --- weight ---


def test_a_large_upload_takes_no_more_memory_than_a_small_one(running: Site) -> None:
    assert running.web is not None
    with running.client() as client:
        client.post("/api/v1/ocr?name=warm.png", content=page())
        before = memory_kib(running.web)
        # Not an image: what counts is that its bytes came through.
        client.post("/api/v1/ocr?name=large.bin", content=(bytes(2**20) for _ in range(60)))
        body = json.dumps({"name": "large.b64", "data": base64.b64encode(bytes(40 << 20)).decode()})
        client.post(
            "/api/v1/ocr", content=body.encode(), headers={"content-type": "application/json"}
        )
    assert memory_kib(running.web) - before < 16 * 1024


def test_many_uploads_at_once_are_each_one_job(running: Site) -> None:
    def send(number: int) -> int:
        with running.client("submit") as client:
            name, content = f"crowd {number}.png", b"no picture, so nobody reads it"
            answer = client.post("/api/v1/ocr", params={"name": name}, content=content)
            return int(answer.json()["id"])

    with concurrent.futures.ThreadPoolExecutor(16) as threads:
        numbers = list(threads.map(send, range(48)))
    assert len(set(numbers)) == 48


# --- search ---


def test_words_are_found_on_their_page_by_those_who_may_see_it(running: Site) -> None:
    with running.client() as client:
        url = "/api/v1/ocr?name=find.png&folder=private&wait=240"
        number = client.post(url, content=page("Zirconium barometer repaired")).json()["id"]

        def hits(who: httpx.Client, words: str) -> list[tuple[int, int]]:
            found = who.get("/api/v1/search", params={"q": words}).json()["hits"]
            return [(hit["job"], hit["page"]) for hit in found]

        until(lambda: hits(client, "ZIRCONIUM repaired") == [(number, 1)])
        assert hits(client, '"barometer zirconium"') == []
        assert client.get("/api/v1/search", params={"q": " ? "}).status_code == 422
    with running.client("web-only") as client:
        assert hits(client, "zirconium") == []


def test_a_failed_job_is_retried_and_a_waiting_one_cancelled_by_the_daemon(running: Site) -> None:
    with running.client() as client:
        url = "/api/v1/ocr?name=broken.pdf&wait=240"
        failed = client.post(url, content=b"%PDF-1.7 and nothing else").json()
        assert failed["state"] == "failed"
        again = client.post(f"/api/v1/jobs/{failed['id']}/retry")
        assert (again.status_code, again.json()["state"]) == (202, "queued")
        until(lambda: client.get(f"/api/v1/jobs/{failed['id']}").json()["state"] == "failed")
        told = client.get(f"/api/v1/jobs/{failed['id']}").json()
        assert "retried" in [entry["name"] for entry in told["history"]]
        ended = client.delete(f"/api/v1/jobs/{failed['id']}")
        assert ended.status_code == 409
