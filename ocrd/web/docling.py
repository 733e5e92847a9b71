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
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from fastapi.responses import Response

import ocrd
from ocrd.files import Disk
from ocrd.job import Job, JobState
from ocrd.web.access import token_for
from ocrd.web.body import MOST, Body
from ocrd.web.desk import ENDED, Desk, Known, desk_of, name_of
from ocrd.web.errors import JSONResponse, MissingError, RefusedError, sentence
from ocrd.web.results import Results
from ocrd.web.store import Handed, Role, Token

T = TypeVar("T")

router = APIRouter(include_in_schema=False)

SYNC_S = 600.0  # the longest that a synchronous call waits
_STATUS = {JobState.QUEUED: "pending", JobState.DONE: "success", JobState.FAILED: "failure",
           JobState.CANCELLED: "failure"}  # fmt: skip
_MADE = ("md", "text")
_TARGETS = ("inbody", "zip")
_OPTIONS = ("to_formats", "md_page_break_placeholder", "page_range", "target_type")


@router.get("/health")
@router.get("/ready")
async def health() -> dict[str, str]:
    """The process answers: documents are taken whether or not the daemon runs."""
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
    ended = [await desk.ended(job, SYNC_S - (time.monotonic() - began)) for job in jobs]
    if None in ended:
        task = _task_id(jobs, options)
        raise RefusedError(
            504,
            "conversion is taking too long",
            hint=f"It goes on: GET /v1/status/poll/{task}, then /v1/result/{task}.",
        )
    whole = [job for job in ended if job is not None]
    return await _converted(desk, whole, options, time.monotonic() - began)


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
    names, _ = _of_task(task)
    jobs = [await desk.find(name, token) for name in names]
    end = time.monotonic() + min(max(wait, 0.0), SYNC_S)
    for place, job in enumerate(jobs):
        has_ended = isinstance(job, Job) and job.state in ENDED
        if not has_ended and end > time.monotonic():
            ended = await desk.ended(job, end - time.monotonic())
            jobs[place] = ended or await desk.find(name_of(job), token)
    return _task(task, jobs)


@router.get("/v1/result/{task}")
async def task_result(request: Request, task: str) -> Response:
    """What came out of a task."""
    desk, token = desk_of(request), token_for(request)
    names, options = _of_task(task)
    found = [await desk.find(name, token) for name in names]
    jobs = [job for job in found if isinstance(job, Job) and job.state in ENDED]
    if len(jobs) < len(found):
        raise MissingError(f"task {task} has not ended", hint=f"GET /v1/status/poll/{task}?wait=5")
    seconds = max((job.finished_at or 0) - job.created_at for job in jobs)
    return await _converted(desk, jobs, options, seconds)


async def _submitted(
    request: Request, desk: Desk, token: Token
) -> tuple[list[Known], dict[str, Any]]:
    folder = desk.folder(token)
    async with desk.received(request, folder) as body:
        options = await _sources(body)
        if not body.documents:
            raise RefusedError(422, "there is no document in it", hint="Send `files` or `sources`.")
        _require_sense(options)
        jobs = await desk.submit(body.documents, folder, token)
    return jobs, options


async def _sources(body: Body) -> dict[str, Any]:
    """Decode and name the documents of a JSON body; the options used here, of a form or JSON."""
    sources = body.fields.get("sources")
    if not isinstance(sources, list):
        told: dict[str, Any] = {key: body.lists.get(key) for key in _OPTIONS}
        told |= {key: told[key][-1] for key in _OPTIONS[1::2] if told[key]}
        return {key: value for key, value in told.items() if value}
    for source in sources:
        if not isinstance(source, dict) or source.get("kind") != "file":
            raise RefusedError(422, "only sources of kind file are read", hint="No URL is fetched.")
        await body.decoded(source.get("base64_string"), source.get("filename"))
    options, target = (body.fields.get(key) or {} for key in ("options", "target"))
    if not isinstance(options, dict) or not isinstance(target, dict):
        raise RefusedError(422, "`options` and `target` are objects", hint='{"options": {}}')
    told = {key: options[key] for key in _OPTIONS if options.get(key)}
    return told | ({"target_type": target["kind"]} if target.get("kind") else {})


async def _converted(
    desk: Desk, jobs: list[Job], options: dict[str, Any], seconds: float
) -> Response:
    answers = [await asyncio.to_thread(_answer, job, desk.disk, options, seconds) for job in jobs]
    if len(answers) == 1 and options.get("target_type") != "zip":
        return JSONResponse(answers[0])
    return Response(
        await asyncio.to_thread(_zip, answers),
        media_type="application/zip",
        headers={"content-disposition": 'attachment; filename="converted_docs.zip"'},
    )


def _answer(job: Job, disk: Disk, options: dict[str, Any], seconds: float) -> dict[str, Any]:
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
        pages = _chosen(Results.of(job, disk).pages(), options.get("page_range"))
        formats = _formats(options)
        between = str(options.get("md_page_break_placeholder") or "")
        joint = f"\n\n{between}\n\n" if between else "\n\n"
        if "md" in formats:
            document["md_content"] = joint.join(page.markdown for page in pages)
        if "text" in formats:
            document["text_content"] = "\n\n".join(page.plain for page in pages)
    else:
        message = sentence(job.error) if job.error else f"it was {job.state}"
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


def _chosen(pages: list[T], told: Any) -> list[T]:
    """The pages of a range, 1-based and inclusive: `[2, 5]`, or two fields of a form."""
    if not told:
        return pages
    try:
        first, last = (int(each) for each in told)
    except (TypeError, ValueError, OverflowError):
        first, last = 0, 0
    if not 1 <= first <= last:
        raise RefusedError(422, "`page_range` is no pair of pages", hint="[1, 3]")
    return pages[first - 1 : last]


def _formats(options: dict[str, Any]) -> list[Any]:
    told = options.get("to_formats") or ["md"]
    return told if isinstance(told, list) else [told]


def _require_sense(options: dict[str, Any]) -> None:
    """Refuse options that make no sense, or are not supported, before anything is read.

    Raises:
        RefusedError: An option is refused.
    """
    _chosen([], options.get("page_range"))
    if (target := options.get("target_type")) not in (None, *_TARGETS):
        raise RefusedError(  # by these words docling's own client knows to ask for another
            422, f"input should be {' or '.join(_TARGETS)}, not {target!a}", hint="Ask for inbody."
        )
    formats = _formats(options)
    if not any(made in formats for made in _MADE):
        raise RefusedError(
            422,
            f"none of `to_formats` is made here: {', '.join(map(ascii, formats))}",
            hint=f"Ask for {' or '.join(_MADE)}.",
        )


def _zip(answers: list[dict[str, Any]]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, answer in enumerate(answers, 1):
            told = answer["document"]
            stem = told["filename"].rpartition(".")[0] or f"document-{number}"
            if answer["errors"]:  # so that no program takes a missing text for an empty one
                why = json.dumps(answer["errors"], indent=2, ensure_ascii=False)
                archive.writestr(f"{number}-{stem}.error.json", why)
            for ending, content in (("md", "md_content"), ("txt", "text_content")):
                if told[content] is not None:
                    archive.writestr(f"{number}-{stem}.{ending}", told[content])
    return held.getvalue()


def _task(task: str, jobs: list[Known]) -> dict[str, Any]:
    states = [
        "pending" if isinstance(job, Handed) else _STATUS.get(job.state, "started") for job in jobs
    ]
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


def _task_id(jobs: list[Known], options: dict[str, Any]) -> str:
    """A task's id: the jobs' numbers and the options, so that a restart cannot lose the task."""
    told = base64.urlsafe_b64encode(json.dumps(options).encode()).decode().rstrip("=")
    return ".".join([*map(name_of, jobs), f"o{told}"])


def _of_task(task: str) -> tuple[list[str], dict[str, Any]]:
    *names, told = task.split(".")
    try:
        options = json.loads(base64.urlsafe_b64decode(told[1:] + "=" * (-len(told[1:]) % 4)))
        if 0 < len(names) <= MOST and isinstance(options, dict):
            _require_sense(options)
            return names, options
    except (ValueError, RecursionError, RefusedError):
        pass
    raise MissingError("there is no such task", hint="POST documents first.")
