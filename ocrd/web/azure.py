"""Azure Document Intelligence (2024-11-30), as paperless-ngx 3 and Microsoft's SDK speak it.

https://learn.microsoft.com/rest/api/aiservices/document-models/analyze-document
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from ocrd.job import JobState
from ocrd.web.access import origin_of, token_for
from ocrd.web.desk import desk_of, name_of
from ocrd.web.errors import RefusedError, outcome, sentence
from ocrd.web.results import ReadPage, Results, file_response
from ocrd.web.store import Handed, Role

VERSION = "2024-11-30"
MODELS = ("prebuilt-read", "prebuilt-layout")
_STATES = {
    JobState.QUEUED: "notStarted",
    JobState.DONE: "succeeded",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "failed",
}

router = APIRouter(prefix="/documentintelligence/documentModels", include_in_schema=False)


@router.post("/{model}:analyze")
async def analyze(request: Request, model: str) -> Response:
    """Take a document; its result is polled for."""
    desk, token = desk_of(request), token_for(request, Role.SUBMIT)
    _require_model(model)
    folder = desk.folder(token)
    async with desk.received(request, folder) as body:
        if "urlSource" in body.fields:
            raise RefusedError(
                400, "urlSource is refused: no URL is fetched", hint="Send base64Source."
            )
        document = await body.decoded(body.fields.get("base64Source"))
        document = document or next(iter(body.documents), None)  # raw bytes are allowed, too
        if document is None:
            raise RefusedError(400, "base64Source is missing", hint="Send the document as base64.")
        number = name_of(await desk.submit(document, folder, token))
    markdown = request.query_params.get("outputContentFormat") == "markdown"
    place = f"{origin_of(request)}{router.prefix}/{model}/analyzeResults/{number}"
    form = "&outputContentFormat=markdown" if markdown else ""
    return Response(
        status_code=202,
        headers={
            "operation-location": f"{place}?api-version={VERSION}{form}",
            "retry-after": "1",
            "apim-request-id": number,
        },
    )


@router.get("/{model}/analyzeResults/{number}")
async def analysed(request: Request, model: str, number: str) -> JSONResponse:
    """How it stands, and what was read once it is done."""
    desk, token = desk_of(request), token_for(request)
    _require_model(model)
    job = await desk.find(number, token)
    if isinstance(job, Handed):
        now = _time(time.time())
        told = {"status": "notStarted", "createdDateTime": now, "lastUpdatedDateTime": now}
        return JSONResponse(told, headers={"retry-after": "1"})
    told = {
        "status": _STATES.get(job.state, "running"),
        "createdDateTime": _time(job.created_at),
        "lastUpdatedDateTime": _time(job.finished_at or job.started_at or job.created_at),
    }
    whole: dict[str, Any] = dict(told)
    if job.state is JobState.DONE:
        markdown = request.query_params.get("outputContentFormat") == "markdown"
        whole["analyzeResult"] = await asyncio.to_thread(
            _result, await desk.results(job), model, markdown=markdown
        )
    elif told["status"] == "failed":
        error = outcome(job)
        whole["error"] = {"code": error.kind, "message": sentence(error)}
    headers = {} if told["status"] in ("succeeded", "failed") else {"retry-after": "1"}
    return JSONResponse(whole, headers=headers)


@router.get("/{model}/analyzeResults/{number}/pdf")
async def searchable(request: Request, model: str, number: str) -> Response:
    """The searchable PDF."""
    desk, token = desk_of(request), token_for(request)
    _require_model(model)
    job = await desk.job(number, token)
    return await file_response(await desk.results(job), "pdf")


def _require_model(model: str) -> None:
    if model not in MODELS:
        raise RefusedError(
            404, f"there is no model {model}", hint=f"Models here: {', '.join(MODELS)}."
        )


def _result(results: Results, model: str, *, markdown: bool) -> dict[str, Any]:
    content, pages = "", []
    for page in results.pages():
        text = page.markdown if markdown else page.plain
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


def _page(page: ReadPage, text: str, offset: int) -> dict[str, Any]:
    width, height = page.inches
    known = page.facts.get("confidence")  # of the whole page; models such as DeepSeek's tell none
    sure = {} if known is None else {"confidence": known}
    lines, words, at = [], [], offset
    for line in text.split("\n"):
        if line.strip():
            lines.append({"content": line, "spans": [{"offset": at, "length": len(line)}]})
        place = at
        for word in line.split(" "):
            if word:
                span = {"offset": place, "length": len(word)}
                words.append({"content": word, "span": span, **sure})
            place += len(word) + 1
        at += len(line) + 1
    return {
        "pageNumber": page.number,
        "angle": 0,
        "width": round(width, 4),
        "height": round(height, 4),
        "unit": "inch",
        "words": words,
        "lines": lines,
        "spans": [{"offset": offset, "length": len(text)}],
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
