"""Azure Document Intelligence (2024-11-30), as paperless-ngx 3 and Microsoft's SDK speak it.

https://learn.microsoft.com/rest/api/aiservices/document-models/analyze-document
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from ocrd.job import Job, JobState
from ocrd.web.api import file_response
from ocrd.web.body import BodyError, decoded, received
from ocrd.web.desk import Desk
from ocrd.web.results import Results
from ocrd.web.store import Role
from ocrd.web.wired import desk_of, origin_of, token_for

VERSION = "2024-11-30"
MODELS = ("prebuilt-read", "prebuilt-layout")
_STATES = {
    JobState.QUEUED: "notStarted",
    JobState.DONE: "succeeded",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "failed",
}
_LETTER = (8.5, 11.0)  # inches, for pages of which the sidecar knows no size

router = APIRouter(prefix="/documentintelligence/documentModels", include_in_schema=False)


@router.post("/{model}:analyze")
async def analyze(request: Request, model: str) -> Response:
    """Take a document; its result is polled for."""
    desk, token = desk_of(request), token_for(request, Role.SUBMIT)
    _require_model(model)
    folder = desk.folder(token)
    async with received(request, lambda _fields: desk.room(folder)) as body:
        if "urlSource" in body.fields:
            raise BodyError(
                400, "urlSource is refused: no URL is fetched", hint="Send base64Source."
            )
        document = await decoded(body.fields.get("base64Source"), body, lambda _: desk.room(folder))
        document = document or next(iter(body.documents), None)  # raw bytes are allowed, too
        if document is None:
            raise BodyError(400, "base64Source is missing", hint="Send the document as base64.")
        document.name = document.name or "document"
        job = await desk.submit(document, folder, token)
    markdown = request.query_params.get("outputContentFormat") == "markdown"
    place = f"{origin_of(request)}{router.prefix}/{model}/analyzeResults/{job.id}"
    form = "&outputContentFormat=markdown" if markdown else ""
    return Response(
        status_code=202,
        headers={
            "operation-location": f"{place}?api-version={VERSION}{form}",
            "retry-after": "1",
            "apim-request-id": str(job.id),
        },
    )


@router.get("/{model}/analyzeResults/{number}")
async def analysed(request: Request, model: str, number: int) -> JSONResponse:
    """How it stands, and what was read once it is done."""
    desk, token = desk_of(request), token_for(request)
    _require_model(model)
    job = await desk.job(number, token)
    told: dict[str, Any] = {
        "status": _STATES.get(job.state, "running"),
        "createdDateTime": _time(job.created_at),
        "lastUpdatedDateTime": _time(job.finished_at or job.started_at or job.created_at),
    }
    if job.state is JobState.DONE:
        markdown = request.query_params.get("outputContentFormat") == "markdown"
        told["analyzeResult"] = await _result(desk, job, model, markdown=markdown)
    elif told["status"] == "failed" and job.error is not None:
        message = f"{job.error.message}. {job.error.hint}"
        told["error"] = {"code": job.error.kind, "message": message}
    headers = {} if told["status"] in ("succeeded", "failed") else {"retry-after": "1"}
    return JSONResponse(told, headers=headers)


@router.get("/{model}/analyzeResults/{number}/pdf")
async def searchable(request: Request, model: str, number: int) -> Response:
    """The searchable PDF."""
    desk, token = desk_of(request), token_for(request)
    _require_model(model)
    job = await desk.job(number, token)
    return await file_response(await asyncio.to_thread(Results.of, job), "pdf")


def _require_model(model: str) -> None:
    if model not in MODELS:
        raise BodyError(
            404, f"there is no model {model}", hint=f"Models here: {', '.join(MODELS)}."
        )


async def _result(_desk: Desk, job: Job, model: str, *, markdown: bool) -> dict[str, Any]:
    results = await asyncio.to_thread(Results.of, job)
    sidecar = await asyncio.to_thread(results.sidecar)
    texts = [_plain(page) for page in sidecar["pages"]]
    if markdown:
        texts = await asyncio.to_thread(results.page_texts)
    content, pages = "", []
    for page, text in zip(sidecar["pages"], texts, strict=True):
        content += "\n\n" if content else ""
        pages.append(_page(page, text, offset=len(content)))
        content += text
    return {
        "apiVersion": VERSION,
        "modelId": model,
        "stringIndexType": "textElements",
        "contentFormat": "markdown" if markdown else "text",
        "content": content,
        "pages": pages,
    }


def _plain(page: dict[str, Any]) -> str:
    return "\n".join(block["text"] for block in page.get("blocks", ()) if block.get("text"))


def _page(page: dict[str, Any], text: str, offset: int) -> dict[str, Any]:
    width, height = page.get("size_in") or _LETTER
    lines, words, at = [], [], offset
    for line in text.split("\n"):
        if line.strip():
            lines.append({"content": line, "spans": [{"offset": at, "length": len(line)}]})
        place = at
        for word in line.split(" "):
            if word:
                span = {"offset": place, "length": len(word)}
                words.append({"content": word, "span": span, "confidence": 1.0})
            place += len(word) + 1
        at += len(line) + 1
    return {
        "pageNumber": page["number"],
        "angle": 0,
        "width": width,
        "height": height,
        "unit": "inch",
        "words": words,
        "lines": lines,
        "spans": [{"offset": offset, "length": len(text)}],
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def error(status: int, kind: str, message: str) -> dict[str, Any]:
    """A refusal in Azure's shape."""
    codes = {401: "401", 403: "403", 404: "NotFound", 413: "InvalidContentLength"}
    return {
        "error": {
            "code": codes.get(status, "InvalidRequest"),
            "message": message,
            "innererror": {"code": kind, "message": message},
        }
    }
