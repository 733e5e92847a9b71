"""Our own interface, `/api/v1`: hand documents over, look at jobs, fetch results."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Security
from fastapi.responses import Response, StreamingResponse
from fastapi.security import APIKeyCookie, HTTPBearer
from pydantic import BaseModel

from ocrd.job import Job, JobState
from ocrd.views.jobs import job_facts, story_facts
from ocrd.web.access import COOKIE, CSRF_HEADER, token_for
from ocrd.web.body import Body
from ocrd.web.desk import ENDED, Desk, Known, desk_of, name_of
from ocrd.web.errors import JSONResponse, RefusedError
from ocrd.web.results import BOXES, MEDIA, file_response
from ocrd.web.store import Handed, Role


class Why(BaseModel):
    """What happened, and what to do."""

    kind: str
    message: str
    hint: str


class Refusal(BaseModel):
    """What is answered to every request that is not carried out."""

    version: Literal[1]
    error: Why


_BEARER = HTTPBearer(auto_error=False, description="A token; `X-Api-Key` takes it as well.")
_SESSION = APIKeyCookie(
    name=COOKIE,
    auto_error=False,
    description="That of a login at the page.  What changes something also needs the header "
    f'`{CSRF_HEADER}`, with what the page says in `<meta name="csrf">`.',
)
router = APIRouter(
    prefix="/api/v1",
    dependencies=[Security(_BEARER), Security(_SESSION)],  # for OpenAPI: see `token_for`
    responses={"default": {"model": Refusal, "description": "Refused"}},
)

LONGEST_WAIT_S = 3600.0
Format = Literal["md", "txt", "raw", "json", "pdf", "pdfa", "boxes", "alto", "hocr", "zip"]
Cursor = Annotated[int | None, Query(ge=0, lt=2**63)]
Wait = Annotated[float, Query(ge=0, le=LONGEST_WAIT_S, description="Seconds to wait for the end.")]
_TEXT, _FILE = {"type": "string"}, {"type": "string", "format": "binary"}
_ONE = {"name": _TEXT, "data": _TEXT, "base64": _TEXT, "file": _TEXT}
_WISHES = {"folder": _TEXT, "mode": _TEXT, "wait": {"type": "number"}}
_BODY: dict[str, dict[str, Any]] = {
    "application/octet-stream": _FILE,
    "multipart/form-data": {
        "type": "object", "required": ["files"],
        "properties": {"files": {"type": "array", "items": _FILE}, **_WISHES},
    },
    "application/json": {
        "type": "object",
        "properties": {
            "files": {"type": "array", "items": {"type": "object", "properties": _ONE}},
            **_ONE, **_WISHES,
        },
    },
}  # fmt: skip
_JOB = {
    "type": "object", "required": ["id", "state"],
    "properties": {"id": {"type": ["integer", "string"]}, "state": _TEXT},
}  # fmt: skip
_JOBS = {"application/json": {"schema": {"anyOf": [_JOB, {"type": "array", "items": _JOB}]}}}


@router.post(
    "/ocr",
    status_code=202,
    summary="Hand over one document or several",
    responses={
        200: {"description": "All have ended", "content": _JOBS},
        202: {"description": "Taken", "content": _JOBS},
    },
    openapi_extra={"requestBody": {"content": {kind: {"schema": _BODY[kind]} for kind in _BODY}}},
)
async def ocr(
    request: Request, folder: str = "", mode: str = "", name: str = "", wait: Wait = 0.0
) -> Response:
    """Take a document as the raw body (named by `name`), as parts of a form, or as JSON.

    JSON: `{"name": "scan.pdf", "data": BASE64 or data URI}`, or `{"files": [{"name", "data"}]}`;
    `data` may be called `base64` or `file`;
    `folder`, `mode` and `wait` may stand in the query, the form or the JSON.  Answers 202 with
    `{"id", "state"}` (a list for several), or 200 with the whole job once it has ended in time.
    While no daemon runs the state is `inbox` and the id a ticket (`t12`), good for all that a job's
    number is good for.
    """
    desk, token = desk_of(request), token_for(request, Role.SUBMIT)
    asked: dict[str, Any] = {"folder": folder, "mode": mode, "wait": wait}
    first = desk.folder(token, folder, mode)
    async with desk.received(request, first) as body:
        await _from_json(body)
        asked |= {key: body.fields[key] for key in asked if key in body.fields}
        seconds = _seconds(asked["wait"])
        if not body.documents:
            raise RefusedError(422, "there is no document in it", hint="Send at least one file.")
        into = desk.folder(token, str(asked["folder"]), str(asked["mode"]))
        known = await desk.submit(body.documents, into, token)
    told = await asyncio.gather(*(_told(desk, each, seconds) for each in known))
    ended = all(each["state"] in ENDED for each in told)
    content: Any = told[0] if len(told) == 1 else told
    return JSONResponse(content, 200 if ended else 202)


async def _from_json(body: Body) -> None:
    """Decode the documents of a JSON body into `body.documents`, each with its name."""
    entries = body.fields.get("files")
    if entries is None:
        entries = [body.fields]
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise RefusedError(
            422, "`files` is no list of objects", hint='{"files": [{"name", "data"}]}'
        )
    for entry in entries:
        data = next((entry[key] for key in ("data", "base64", "file") if key in entry), None)
        await body.decoded(data, entry.get("name"))


async def _told(desk: Desk, known: Known, wait: float) -> dict[str, Any]:
    ended = await desk.ended(known, wait) if wait else None
    if ended is not None:
        return job_facts(ended)
    if isinstance(known, Handed):
        return _waiting(known)
    return {"id": known.id, "state": known.state.value}


def _waiting(handed: Handed) -> dict[str, Any]:
    told = {"id": name_of(handed), "state": "inbox", "folder": handed.folder}
    return {**told, "source": handed.source}


def _seconds(told: Any) -> float:
    try:
        seconds = float(told)
    except (TypeError, ValueError):
        seconds = -1.0
    if not 0 <= seconds <= LONGEST_WAIT_S:
        raise RefusedError(
            422, "`wait` is no number of seconds up to an hour", hint="Such as wait=60."
        )
    return seconds


@router.get("/jobs", summary="Jobs, newest first")
async def jobs(
    request: Request,
    state: JobState | None = None,
    folder: str | None = None,
    name: Annotated[str | None, Query(description="Is in the path below the inbox.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    before_id: Cursor = None,
) -> dict[str, Any]:
    """As `ocrd jobs --json`, so many at a time.

    `next_before_id` is the next request's `before_id`; it is null where nothing older fits.
    """
    desk, token = desk_of(request), token_for(request, Role.READ)
    if folder is not None:
        folder = desk.folder(token, folder).name
    such: dict[str, Any] = {"state": state, "folder": folder, "name": name}
    found, older = await desk.jobs(token, limit=limit, before_id=before_id, **such)
    return {
        "version": 1,
        "jobs": [job_facts(job) for job in found],
        "next_before_id": found[-1].id if older else None,
    }


@router.get("/jobs/{number}", summary="One job")
async def job(request: Request, number: str, wait: Wait = 0.0) -> dict[str, Any]:
    """As `ocrd show --json`; with `wait` the answer comes when it has ended, or then."""
    desk, token = desk_of(request), token_for(request)
    found = await desk.find(number, token)
    if wait and (isinstance(found, Handed) or found.state not in ENDED):
        found = await desk.ended(found, wait) or await desk.find(number, token)
    if isinstance(found, Handed):
        return {"version": 1, **_waiting(found)}
    pages, history = await desk.story(found)
    return {"version": 1, **story_facts(found, pages, history)}


@router.delete("/jobs/{number}", status_code=202, summary="Cancel a job")
async def cancel(request: Request, number: str) -> dict[str, Any]:
    """Stop it; its original goes to failed/."""
    found = await _asked(request, number, "cancel", "there is nothing to cancel")
    return {"id": found.id, "state": found.state.value, "cancelling": True}


@router.post("/jobs/{number}/retry", status_code=202, summary="Put a failed job back")
async def retry(request: Request, number: str) -> dict[str, Any]:
    """Read it again, its attempts counted anew."""
    found = await _asked(request, number, "retry", "it cannot be retried")
    return {"id": found.id, "state": JobState.QUEUED.value}


async def _asked(request: Request, number: str, verb: str, refusal: str) -> Job:
    """Retry or cancel a job (`verb`); returns the job as it was before.

    Raises:
        RefusedError: The job cannot be retried or cancelled now.
    """
    desk, token = desk_of(request), token_for(request, Role.OPERATE)
    found = await desk.job(number, token)
    if not await asyncio.to_thread(desk.request, verb, found):
        message = f"job {number} is {found.state}; {refusal}"
        raise RefusedError(409, message, hint="GET the job to see how it stands.")
    return found


@router.get(
    "/jobs/{number}/result",
    summary="What came out",
    response_class=Response,
    responses={200: {"content": {kind: {"schema": _FILE} for kind in [*MEDIA.values(), BOXES]}}},
)
async def result(request: Request, number: str, format: Format = "md") -> Response:  # noqa: A002 - the parameter's public name
    """The Markdown, or another of the job's files, or all of them as a zip."""
    desk, token = desk_of(request), token_for(request)
    found = await desk.job(number, token)
    return await file_response(await desk.results(found), format)


@router.get("/status", summary="How it stands")
async def status(request: Request) -> dict[str, Any]:
    """As `ocrd status --json`, without the folders that the token does not see."""
    return await desk_of(request).standing(token_for(request, Role.READ))


@router.get("/search", summary="Find words in all that was read")
async def search(
    request: Request, q: str, limit: Annotated[int, Query(ge=1, le=200)] = 50
) -> dict[str, Any]:
    """Pages that hold all of the words, the best first."""
    desk, token = desk_of(request), token_for(request, Role.READ)
    return {"version": 1, "hits": await desk.search(q, token, limit)}


@router.get(
    "/events",
    summary="Word of changes, as server-sent events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def events(request: Request) -> StreamingResponse:
    """An event `change` whenever a job or the daemon's word changes, at most two a second."""
    desk, _ = desk_of(request), token_for(request)
    return StreamingResponse(
        _events(desk),
        media_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


async def _events(desk: Desk) -> AsyncIterator[bytes]:
    yield b"retry: 2000\n\n"
    told = desk.changes.generation
    while True:
        if told != desk.changes.generation or await desk.changes.next(30.0):
            told = desk.changes.generation
            yield f"event: change\ndata: {told}\n\n".encode()
            await asyncio.sleep(0.5)
        else:
            yield b": still here\n\n"
