"""docling-serve v1, as Open WebUI's loader and langchain-docling speak it.

https://github.com/docling-project/docling-serve/blob/main/docs/usage.md
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import time
import zipfile
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

import ocrd
from ocrd.job import Job, JobState
from ocrd.web.body import Body, BodyError, decoded, received, safe_name
from ocrd.web.desk import ENDED, Desk
from ocrd.web.results import NoResultError, Results
from ocrd.web.store import Role, Token
from ocrd.web.wired import desk_of, token_for

router = APIRouter(include_in_schema=False)

SYNC_S = 600.0  # so long a synchronous call is held
_STATUS = {JobState.QUEUED: "pending", JobState.DONE: "success", JobState.FAILED: "failure",
           JobState.CANCELLED: "failure"}  # fmt: skip
_OPTIONS = ("to_formats", "md_page_break_placeholder", "page_range", "target_type")


@router.get("/health")
async def health() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/ready")
async def ready() -> dict[str, str]:
    """Likewise: documents are taken whether or not the daemon runs."""
    return {"status": "ok"}


@router.get("/version")
async def version() -> dict[str, str]:
    """What answers here."""
    return {"ocrd": ocrd.__version__, "docling-serve": "1"}


@router.post("/v1/convert/file")
@router.post("/v1/convert/source")
async def convert(request: Request) -> Response:
    """Read documents and wait for what comes out."""
    desk, token = desk_of(request), token_for(request, Role.SUBMIT)
    began = time.monotonic()
    jobs, options = await _submitted(request, desk, token)
    ended = [await desk.ended(job.id, SYNC_S - (time.monotonic() - began)) for job in jobs]
    if None in ended:
        task = _task_id(jobs, options)
        raise BodyError(
            504,
            "conversion is taking too long",
            hint=f"It goes on: GET /v1/status/poll/{task}, then /v1/result/{task}.",
        )
    whole = [job for job in ended if job is not None]
    return await _converted(whole, options, time.monotonic() - began)


@router.post("/v1/convert/file/async")
@router.post("/v1/convert/source/async")
async def convert_async(request: Request) -> dict[str, Any]:
    """Take documents; their task is polled for."""
    desk, token = desk_of(request), token_for(request, Role.SUBMIT)
    jobs, options = await _submitted(request, desk, token)
    return _task(_task_id(jobs, options), jobs)


@router.get("/v1/status/poll/{task}")
async def poll(request: Request, task: str, wait: float = 0.0) -> dict[str, Any]:
    """How a task stands; with `wait` once it has ended, or then."""
    desk, token = desk_of(request), token_for(request)
    numbers, _ = _of_task(task)
    jobs = [await desk.job(number, token) for number in numbers]
    end = time.monotonic() + min(max(wait, 0.0), SYNC_S)
    for place, job in enumerate(jobs):
        if job.state not in ENDED and end > time.monotonic():
            jobs[place] = await desk.ended(job.id, end - time.monotonic()) or job
    return _task(task, jobs)


@router.get("/v1/result/{task}")
async def task_result(request: Request, task: str) -> Response:
    """What came out of a task."""
    desk, token = desk_of(request), token_for(request)
    numbers, options = _of_task(task)
    jobs = [await desk.job(number, token) for number in numbers]
    if any(job.state not in ENDED for job in jobs):
        raise NoResultError(f"task {task} has not ended", hint=f"GET /v1/status/poll/{task}?wait=5")
    seconds = max((job.finished_at or 0) - job.created_at for job in jobs)
    return await _converted(jobs, options, seconds)


async def _submitted(
    request: Request, desk: Desk, token: Token
) -> tuple[list[Job], dict[str, Any]]:
    folder = desk.folder(token)
    async with received(request, lambda _: desk.room(folder)) as body:
        options = await _sources(desk, body, folder)
        if not body.documents:
            raise BodyError(422, "there is no document in it", hint="Send `files` or `sources`.")
        jobs = [await desk.submit(each, folder, token) for each in body.documents]
    return jobs, options


async def _sources(desk: Desk, body: Body, folder: Any) -> dict[str, Any]:
    """Name the documents of a JSON body; the options that matter, from wherever they stand."""
    sources = body.fields.get("sources")
    if not isinstance(sources, list):
        told: dict[str, Any] = {key: body.lists.get(key) for key in _OPTIONS}
        told |= {key: told[key][-1] for key in _OPTIONS[1::2] if told[key]}
        return {key: value for key, value in told.items() if value}
    for source in sources:
        if not isinstance(source, dict) or source.get("kind") != "file":
            raise BodyError(422, "only sources of kind file are read", hint="No URL is fetched.")
        document = await decoded(source.get("base64_string"), body, lambda _: desk.room(folder))
        if document is not None:
            document.name = safe_name(str(source.get("filename") or "document"))
    options = body.fields.get("options") or {}
    target = body.fields.get("target") or {}
    told = {key: options[key] for key in _OPTIONS if options.get(key)}
    return told | ({"target_type": target["kind"]} if target.get("kind") else {})


async def _converted(jobs: list[Job], options: dict[str, Any], seconds: float) -> Response:
    answers = [await asyncio.to_thread(_answer, job, options, seconds) for job in jobs]
    if len(answers) == 1 and options.get("target_type") != "zip":
        return JSONResponse(answers[0])
    return Response(
        await asyncio.to_thread(_zip, answers),
        media_type="application/zip",
        headers={"content-disposition": 'attachment; filename="converted_docs.zip"'},
    )


def _answer(job: Job, options: dict[str, Any], seconds: float) -> dict[str, Any]:
    document: dict[str, Any] = {
        "filename": job.source.rpartition("/")[2].encode("utf-8", "replace").decode(),
        "md_content": None,
        "json_content": None,
        "html_content": None,
        "text_content": None,
        "doctags_content": None,
    }
    errors: list[dict[str, str]] = []
    if job.state is JobState.DONE:
        results = Results.of(job)
        texts = _chosen(results.page_texts(), options.get("page_range"))
        formats = options.get("to_formats") or ["md"]
        formats = [formats] if isinstance(formats, str) else formats
        between = str(options.get("md_page_break_placeholder") or "")
        joint = f"\n\n{between}\n\n" if between else "\n\n"
        if "md" in formats:
            document["md_content"] = joint.join(texts)
        if "text" in formats:
            document["text_content"] = results.text("txt")
    else:
        message = f"{job.error.message}. {job.error.hint}" if job.error else str(job.state)
        errors.append(
            {"component_type": "pipeline", "module_name": "ocrd", "error_message": message}
        )
    return {
        "document": document,
        "status": "success" if job.state is JobState.DONE else "failure",
        "errors": errors,
        "processing_time": round(seconds, 3),
        "timings": {},
    }


def _chosen(texts: list[str], told: Any) -> list[str]:
    """The pages of a range, 1-based and inclusive: `[2, 5]`, or two fields of a form."""
    if not told:
        return texts
    try:
        first, last = (int(each) for each in told)
    except (TypeError, ValueError):
        raise BodyError(422, "`page_range` is no pair of numbers", hint="[1, 3]") from None
    return texts[max(first - 1, 0) : last]


def _zip(answers: list[dict[str, Any]]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, answer in enumerate(answers, 1):
            stem = answer["document"]["filename"].rpartition(".")[0] or f"document-{number}"
            text = answer["document"]["md_content"] or answer["document"]["text_content"] or ""
            archive.writestr(f"{number}-{stem}.md", text)
    return held.getvalue()


def _task(task: str, jobs: list[Job]) -> dict[str, Any]:
    states = [_STATUS.get(job.state, "started") for job in jobs]
    whole = next((each for each in ("started", "pending") if each in states), None)
    done, failed = states.count("success"), states.count("failure")
    return {
        "task_id": task,
        "task_type": "convert",
        "task_status": whole or ("failure" if failed == len(jobs) else "success"),
        "task_position": 0 if whole == "pending" else None,
        "task_meta": {
            "num_docs": len(jobs),
            "num_processed": done + failed,
            "num_succeeded": done,
            "num_failed": failed,
        },
    }


def _task_id(jobs: list[Job], options: dict[str, Any]) -> str:
    """The jobs' numbers and what was asked of them, so that no restart can forget a task."""
    told = base64.urlsafe_b64encode(json.dumps(options).encode()).decode().rstrip("=")
    return ".".join([*(str(job.id) for job in jobs), f"o{told}"])


def _of_task(task: str) -> tuple[list[int], dict[str, Any]]:
    *numbers, told = task.split(".")
    try:
        options = json.loads(base64.urlsafe_b64decode(told[1:] + "=" * (-len(told[1:]) % 4)))
        return [int(number) for number in numbers], dict(options)
    except ValueError:
        raise NoResultError(f"there is no task {task}", hint="POST documents first.") from None


def error(status: int, kind: str, message: str) -> dict[str, Any]:
    """A refusal in docling-serve's shape."""
    return {"detail": message, "kind": kind, "status": status}
