"""Azure Document Intelligence (2024-11-30), as paperless-ngx 3 and Microsoft's SDK speak it.

https://learn.microsoft.com/rest/api/aiservices/document-models/analyze-document
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import Response

from ocrd.job import JobState
from ocrd.web.access import origin_of, token_for
from ocrd.web.desk import Desk, Known, desk_of, name_of
from ocrd.web.errors import JSONResponse, MissingError, RefusedError, outcome, sentence
from ocrd.web.results import ReadPage, Results, file_response, page_numbers
from ocrd.web.store import Handed, Role, Token

VERSION = "2024-11-30"
_KEPT = ("outputContentFormat", "pages")  # parameters that the result's address repeats
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
    _wanted(request.query_params, 0)
    folder = desk.folder(token)
    async with desk.received(request, folder) as body:
        if body.fields.get("urlSource") is not None:
            raise RefusedError(
                400, "urlSource is refused: no URL is fetched", hint="Send base64Source."
            )
        document = await body.decoded(body.fields.get("base64Source"))
        document = document or next(iter(body.documents), None)  # raw bytes are also allowed
        if document is None:
            raise RefusedError(400, "base64Source is missing", hint="Send the document as base64.")
        (known,) = await desk.submit([document], folder, token)
    number = name_of(known)
    place = f"{origin_of(request)}{router.prefix}/{model}/analyzeResults/{number}"
    asked = {key: request.query_params[key] for key in _KEPT if key in request.query_params}
    query = urlencode({"api-version": VERSION, **asked}, safe=",")
    return Response(
        status_code=202,
        headers={
            "operation-location": f"{place}?{query}",
            "retry-after": "1",
            "apim-request-id": number,
        },
    )


@router.get("/{model}/analyzeResults/{number}")
async def analysed(request: Request, model: str, number: str) -> JSONResponse:
    """How it stands, and what was read once it is done."""
    desk, token = desk_of(request), token_for(request)
    _require_model(model)
    job, _ = await _kept(desk, number, token)
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
        whole["analyzeResult"] = await asyncio.to_thread(
            _result, await desk.results(job), model, request.query_params
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
    await _kept(desk, number, token)
    job = await desk.job(number, token)
    return await file_response(await desk.results(job), "pdf")


@router.delete("/{model}/analyzeResults/{number}", status_code=204)
async def delete(request: Request, model: str, number: str) -> None:
    """Take a result away from the client that it was made for; ocrd keeps the job as any other."""
    desk, token = desk_of(request), token_for(request, Role.SUBMIT)
    _require_model(model)
    _, handed = await _kept(desk, number, token)
    if handed is None or handed.token != token.name:
        raise RefusedError(
            403, f"{number} is another client's result", hint="Delete what you have sent yourself."
        )
    await asyncio.to_thread(desk.store.disown, handed)


async def _kept(desk: Desk, number: str, token: Token) -> tuple[Known, Handed | None]:
    """The job or document with that number, and its record if it came over HTTP.

    Raises:
        MissingError: Its client has deleted it, or the token may not see it, or there is none.
    """
    known, handed = await desk.traced(number, token)
    if handed is not None and not handed.token:
        raise MissingError(f"the result {number} was deleted", hint="Send the document again.")
    return known, handed


def _require_model(model: str) -> None:
    if model not in MODELS:
        raise RefusedError(
            404, f"there is no model {model}", hint=f"Models here: {', '.join(MODELS)}."
        )


def _wanted(query: Mapping[str, str], last_page: int) -> set[int] | None:
    """The requested pages, 1-based, from a list such as `1-3,5`; None for all.

    Raises:
        RefusedError: `pages` is not such a list.
    """
    told = query.get("pages")
    if not told:
        return None
    try:
        return page_numbers(told, last_page)
    except ValueError:
        raise RefusedError(400, f"`pages` is no list of pages: {told!a}", hint="1-3,5") from None


def _result(results: Results, model: str, query: Mapping[str, str]) -> dict[str, Any]:
    """The `analyzeResult` of a job: the pages that the query selects, as text or Markdown."""
    markdown = query.get("outputContentFormat") == "markdown"
    found = results.pages()
    wanted = _wanted(query, len(found))
    content, pages = "", []
    for page in found:
        if wanted is not None and page.number not in wanted:
            continue
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
    known = page.confidence  # of the whole page; models such as DeepSeek's give none
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
