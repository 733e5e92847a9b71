"""Our own interface, `/api/v1`: documents in, jobs looked at, results out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from ocrd.job import Job, JobState
from ocrd.views.jobs import job_facts, story_facts
from ocrd.web.body import Body, BodyError, Incoming, decoded, received, safe_name
from ocrd.web.desk import ENDED, Desk, PendingError
from ocrd.web.results import MEDIA, Results, zipped
from ocrd.web.store import Role, Token
from ocrd.web.wired import Wired, desk_of, token_for

router = APIRouter(prefix="/api/v1")

LONGEST_WAIT_S = 3600.0
Format = Literal["md", "txt", "raw", "json", "pdf", "boxes", "alto", "hocr", "zip"]
Wait = Annotated[float, Query(ge=0, le=LONGEST_WAIT_S, description="Seconds to wait for the end.")]


@router.post("/ocr", status_code=202, summary="Hand over one document or several")
async def ocr(
    request: Request, folder: str = "", mode: str = "", name: str = "", wait: Wait = 0.0
) -> Response:
    """Take a document as the raw body (named by `name`), as parts of a form, or as JSON.

    JSON: `{"name": "scan.pdf", "data": BASE64 or data URI}`, or `{"files": [{"name", "data"}]}`;
    `folder`, `mode` and `wait` may stand in the query, the form or the JSON.  Answers 202 with
    `{"id", "state"}` (a list for several), or 200 with the whole job once it has ended in time.
    """
    desk, token = desk_of(request), token_for(request, Role.SUBMIT)
    asked: dict[str, Any] = {"folder": folder, "mode": mode, "wait": wait}

    def room(fields: Mapping[str, Any]) -> Incoming:
        told = {**asked, **{key: fields[key] for key in asked if key in fields}}
        return desk.room(desk.folder(token, str(told["folder"]), str(told["mode"])))

    async with received(request, room) as body:
        await _from_json(body, room)
        asked |= {key: body.fields[key] for key in asked if key in body.fields}
        if not body.documents:
            raise BodyError(422, "there is no document in it", hint="Send at least one file.")
        into = desk.folder(token, str(asked["folder"]), str(asked["mode"]))
        jobs = [await _submitted(desk, each, into, token) for each in body.documents]
    return await _answer(desk, jobs, _seconds(asked["wait"]))


async def _from_json(body: Body, room: Any) -> None:
    """A JSON body's documents, each with its name."""
    entries = body.fields.get("files")
    if entries is None:
        entries = [body.fields]
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise BodyError(422, "`files` is no list of objects", hint='{"files": [{"name", "data"}]}')
    for entry in entries:
        data = next((entry[key] for key in ("data", "base64", "file") if key in entry), None)
        document = await decoded(data, body, room)
        if document is not None:
            document.name = safe_name(str(entry.get("name") or "document"))


async def _submitted(
    desk: Desk, document: Incoming, folder: Any, token: Token
) -> Job | PendingError:
    try:
        return await desk.submit(document, folder, token)
    except PendingError as pending:
        return pending


async def _answer(desk: Desk, jobs: list[Job | PendingError], wait: float) -> Response:
    told = await asyncio.gather(*(_told(desk, job, wait) for job in jobs))
    ended = all(each.get("state") in ENDED for each in told)
    content: Any = told[0] if len(told) == 1 else told
    return JSONResponse(content, 200 if ended else 202)


async def _told(desk: Desk, job: Job | PendingError, wait: float) -> dict[str, Any]:
    if isinstance(job, PendingError):
        return {"id": None, "state": "inbox", "folder": job.folder, "source": job.source}
    ended = await desk.ended(job.id, wait) if wait else None
    return job_facts(ended) if ended else {"id": job.id, "state": job.state.value}


def _seconds(told: Any) -> float:
    try:
        return min(max(float(told), 0.0), LONGEST_WAIT_S)
    except (TypeError, ValueError):
        raise BodyError(422, "`wait` is no number of seconds", hint="Such as wait=60.") from None


@router.get("/jobs", summary="Jobs, newest first")
async def jobs(
    request: Request,
    state: JobState | None = None,
    folder: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    before_id: int | None = None,
) -> dict[str, Any]:
    """As `ocrd jobs --json`; the last id of one answer is the next one's `before_id`."""
    desk, token = desk_of(request), token_for(request, Role.READ)
    filters: dict[str, Any] = {"state": state, "limit": limit, "before_id": before_id}
    if folder is not None:
        filters["folder"] = desk.folder(token, folder).name
    return {"version": 1, "jobs": [job_facts(job) for job in await desk.jobs(token, **filters)]}


@router.get("/jobs/{number}", summary="One job")
async def job(request: Request, number: int, wait: Wait = 0.0) -> dict[str, Any]:
    """As `ocrd show --json`; with `wait` the answer comes when it has ended, or then."""
    desk, token = desk_of(request), token_for(request)
    found = await desk.job(number, token)
    if wait and found.state not in ENDED:
        found = await desk.ended(number, wait) or await desk.job(number, token)
    pages, history = await desk.story(number)
    return {"version": 1, **story_facts(found, pages, history)}


@router.delete("/jobs/{number}", status_code=202, summary="Cancel a job")
async def cancel(request: Request, number: int) -> dict[str, Any]:
    """Stop it; its original goes to failed/."""
    desk, token = desk_of(request), token_for(request, Role.OPERATE)
    found = await desk.job(number, token)
    if not await desk.cancel(found):
        raise _conflict(f"job {number} is {found.state}; there is nothing to cancel")
    return {"id": number, "state": found.state.value, "cancelling": True}


@router.post("/jobs/{number}/retry", status_code=202, summary="Put a failed job back")
async def retry(request: Request, number: int) -> dict[str, Any]:
    """Read it again, its attempts counted anew."""
    desk, token = desk_of(request), token_for(request, Role.OPERATE)
    found = await desk.job(number, token)
    if not await desk.retry(found):
        raise _conflict(f"job {number} is {found.state}; it cannot be retried")
    return {"id": number, "state": JobState.QUEUED.value}


def _conflict(message: str) -> BodyError:
    return BodyError(409, message, hint="GET the job to see how it stands.")


@router.get("/jobs/{number}/result", summary="What came out")
async def result(request: Request, number: int, format: Format = "md") -> Response:  # noqa: A002 - the parameter's public name
    """The Markdown, or another of the job's files, or all of them as a zip."""
    desk, token = desk_of(request), token_for(request)
    found = await desk.job(number, token)
    results = await asyncio.to_thread(Results.of, found)
    return await file_response(results, format)


async def file_response(results: Results, kind: str) -> Response:
    """A result as a download, read as it is sent."""
    if kind == "zip":
        body: Any = zipped(results)
        ending = "zip"
    elif kind == "txt" and kind not in results.files:
        body, ending = [(await asyncio.to_thread(results.text, kind)).encode()], "txt"
    else:
        file = await asyncio.to_thread(results.open, kind)
        body, ending = _chunks(file), results.files[kind].name.rpartition(".")[2]
    media = "image/jpeg" if ending == "jpg" else MEDIA.get(kind, "application/pdf")
    return StreamingResponse(body, media_type=media, headers=download(f"{results.stem}.{ending}"))


def _chunks(file: Any) -> Any:
    with file:
        while chunk := file.read(1 << 18):
            yield chunk


def download(name: str) -> dict[str, str]:
    """Headers that save a file under a name and let no browser guess what it is."""
    from urllib.parse import quote

    plain = name.encode("ascii", "replace").decode().replace("?", "_").replace('"', "_")
    exact = quote(name, errors="replace")
    return {
        "content-disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{exact}",
        "x-content-type-options": "nosniff",
    }


@router.get("/status", summary="How it stands")
async def status(request: Request) -> dict[str, Any]:
    """As `ocrd status --json`, without the folders that the token does not see."""
    wired: Wired = request.app.state.wired
    token = token_for(request, Role.READ)
    return await wired.standing(token)


@router.get("/search", summary="Find words in all that was read")
async def search(
    request: Request, q: str, limit: Annotated[int, Query(ge=1, le=200)] = 50
) -> dict[str, Any]:
    """Pages that hold all of the words, the best first."""
    desk, token = desk_of(request), token_for(request, Role.READ)
    return {"version": 1, "hits": await desk.search(q, token, limit)}


@router.get("/events", summary="Word of changes, as server-sent events")
async def events(request: Request) -> StreamingResponse:
    """An event `change` whenever a job or the daemon's word changes, at most four a second."""
    desk, _ = desk_of(request), token_for(request, Role.READ)
    return StreamingResponse(
        _events(desk),
        media_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


async def _events(desk: Desk) -> AsyncIterator[bytes]:
    yield b"retry: 2000\n\n"
    while True:
        if await desk.changes.next(30.0):
            yield f"event: change\ndata: {desk.changes.generation}\n\n".encode()
            await asyncio.sleep(0.25)
        else:
            yield b": still here\n\n"
