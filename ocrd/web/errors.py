"""Errors of requests, and the form in which each interface reports them."""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, responses
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Scope

from ocrd.errors import (
    ConfigError,
    Disposition,
    FencedError,
    OcrdError,
    PlaceError,
    SourceChangedError,
)
from ocrd.job import Job, JobError


class JSONResponse(responses.JSONResponse):
    """JSON in ASCII, so that a path that is not UTF-8 is escaped as by the command line."""

    def render(self, content: Any) -> bytes:
        """The body as compact JSON."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


class RefusedError(OcrdError):
    """A request that is not carried out; it may be sent again after `retry_after` seconds."""

    def __init__(self, status: int, message: str, *, hint: str, retry_after: int = 0) -> None:
        kind = HTTPStatus(status).phrase.lower().replace(" ", "-")
        super().__init__(message, hint=hint, kind=kind)
        self.status = status
        self.retry_after = retry_after


class MissingError(RefusedError):
    """What was asked for does not exist, or the client may not see it."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(404, message, hint=hint)


Shape = Callable[[int, OcrdError], dict[str, Any]]
Show = Callable[[Request, int, OcrdError], Response | None]


def _own(_status: int, error: OcrdError) -> dict[str, Any]:
    return {"version": 1, "error": error.shown()}


def _azure(status: int, error: OcrdError) -> dict[str, Any]:
    codes = {401: "401", 403: "403", 404: "NotFound", 413: "InvalidContentLength", 429: "429"}
    code = codes.get(status, "InvalidRequest" if status < 500 else "InternalServerError")
    inner = {"code": error.kind, "message": sentence(error)}
    return {"error": {"code": code, "message": sentence(error), "innererror": inner}}


def _mistral(status: int, error: OcrdError) -> dict[str, Any]:
    told = {"object": "error", "message": sentence(error), "type": error.kind}
    return told | {"param": None, "code": str(status)}


def _docling(_status: int, error: OcrdError) -> dict[str, Any]:
    return {"detail": sentence(error)}


_SHAPES: tuple[tuple[str, Shape], ...] = (  # by how the path begins
    ("/documentintelligence/", _azure),
    ("/v1/ocr", _mistral),
    ("/v1/files", _mistral),
    ("/v1/", _docling),
    ("", _own),
)


def sentence(error: OcrdError | JobError) -> str:
    """What happened and what to do about it, in one line."""
    return joined(error.message, error.hint)


def joined(message: str, hint: str) -> str:
    """A message, with or without its full stop, and a hint as one line."""
    return f"{message.rstrip('.')}. {hint}" if hint else message


def outcome(job: Job) -> OcrdError | JobError:
    """Why a job that has ended is not done."""
    return job.error or OcrdError(f"job {job.id} was {job.state}", hint="", kind=job.state.value)


def install(app: FastAPI, show: Show) -> None:
    """Have every error of the application answered in the form of the interface in use.

    `show` makes the answer for a person with a browser, and returns None for a program.
    """

    async def told(request: Request, raised: Exception) -> Response:
        status, error = _understood(raised)
        response = show(request, status, error) or answer(inner_path(request.scope), status, error)
        response.headers.update(getattr(raised, "headers", None) or {})  # such as Allow
        if status == HTTPStatus.REQUEST_TIMEOUT:
            response.headers["connection"] = "close"  # the rest of its body is not read
        return response

    kinds = (OcrdError, HTTPException, RequestValidationError, ClientDisconnect, Exception)
    for kind in kinds:
        app.add_exception_handler(kind, told)


def inner_path(scope: Scope) -> str:
    """The path of a request below a proxy's prefix."""
    path: str = scope["path"]
    return path.removeprefix(root_of(scope))


def root_of(scope: Scope) -> str:
    """A proxy's prefix, which a mount lengthens in `root_path`."""
    root: str = scope.get("app_root_path", scope["root_path"])
    return root


def answer(path: str, status: int, error: OcrdError) -> JSONResponse:
    """The response for an error, in the form of the interface that the path belongs to."""
    shape = next(shape for start, shape in _SHAPES if path.startswith(start))
    wait = getattr(error, "retry_after", 0) or (30 if status == 503 else 0)
    headers = {"retry-after": str(wait)} if wait else {}
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(shape(status, error), status, headers)


def _understood(raised: Exception) -> tuple[int, OcrdError]:
    """The HTTP status for an exception, and an error with a remedy."""
    if isinstance(raised, OcrdError):
        return _status(raised), raised
    if isinstance(raised, HTTPException):
        hint = "GET /docs lists what there is." if raised.status_code in (404, 405) else ""
        return raised.status_code, OcrdError(str(raised.detail), hint=hint, kind="http")
    if isinstance(raised, ClientDisconnect):
        return 400, OcrdError("the connection broke", hint="Send it again.", kind="http")
    if isinstance(raised, RequestValidationError):
        first = raised.errors()[0]
        message = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        return 422, OcrdError(message, hint="See /docs.", kind="invalid")
    hint = "This is a defect of ocrd: please report it with what `journalctl -u ocrd-web` says."
    return 500, OcrdError("the request could not be carried out", hint=hint, kind="defect")


def _status(error: OcrdError) -> int:
    if isinstance(error, RefusedError):
        return error.status
    if isinstance(error, PlaceError) and error.kind in ("disk-full", "quota"):
        return 507
    if isinstance(error, SourceChangedError | FencedError):
        return 409
    ours = isinstance(error, ConfigError) or error.disposition is not Disposition.PERMANENT
    return 503 if ours else 422
