"""The web process: all interfaces on one port, each with errors in its own shape."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import ocrd
from ocrd import snapshot
from ocrd.config import Config
from ocrd.errors import ConfigError, LedgerError, OcrdError, PlaceError, UsageError
from ocrd.web import api, azure, docling, mistral, page
from ocrd.web.access import Gatekeeper
from ocrd.web.changes import Changes
from ocrd.web.desk import Desk
from ocrd.web.expiry import expire
from ocrd.web.render import PageRenderer
from ocrd.web.store import Store, store_path
from ocrd.web.wired import Wired

EXPIRE_EVERY_S = 3600.0
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
]


def create_app(config: Config) -> FastAPI:
    """The application for a configuration.

    Raises:
        ConfigError: There is no folder to hand documents to.
        PlaceError: The process cannot keep its file beside the ledger.
    """
    if not config.folders:
        raise ConfigError(
            "no folder is configured, so there is nowhere to hand documents to",
            hint='Add one to the configuration: [[folder]] with name = "scans".',
        )
    store = Store(store_path(config.ledger))
    changes = Changes(
        config.ledger,
        config.ledger.with_name(config.ledger.name + "-wal"),
        config.spool / snapshot.SNAPSHOT,
    )
    desk = Desk(config, store, changes)
    renderer = PageRenderer(config)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(changes.watch()), asyncio.create_task(_expiring(desk))]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            renderer.stop()
            store.close()

    app = FastAPI(
        title="ocrd",
        version=ocrd.__version__,
        description="Scans in; text, Markdown and searchable PDFs out.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.wired = Wired(desk=desk, store=store, gatekeeper=Gatekeeper(store, config))
    app.state.renderer = renderer
    for router in (api.router, azure.router, mistral.router, docling.router, page.router):
        app.include_router(router)
    app.mount("/static", StaticFiles(packages=[("ocrd.web", "static")]), name="static")
    app.add_exception_handler(OcrdError, _told)
    app.add_exception_handler(HTTPException, _told_http)
    app.add_exception_handler(RequestValidationError, _told_invalid)
    app.add_middleware(_Headers)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(allowed_hosts(config)))
    return app


def allowed_hosts(config: Config) -> Iterable[str]:
    """The names under which we may be reached: another site's name would mean DNS rebinding."""
    given = config.settings.web
    yield from _LOOPBACK
    yield from given.hosts
    if given.host not in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound to
        yield given.host


class _Headers:
    """Gives every answer the headers that keep a browser from being used against us."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                have = {name for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(header for header in _HEADERS if header[0] not in have),
                ]
            await send(message)

        await self._app(scope, receive, sent if scope["type"] == "http" else send)


async def _expiring(desk: Desk) -> None:
    while True:
        with contextlib.suppress(OcrdError):  # the ledger is locked: the next round does it
            await asyncio.to_thread(expire, desk, time.time())
        await asyncio.sleep(EXPIRE_EVERY_S)


# --- errors ---


async def _told(request: Request, error: Exception) -> Response:
    assert isinstance(error, OcrdError)  # noqa: S101 - registered for these alone
    status = getattr(error, "status", None) or _status(error)
    message = f"{error.message}. {error.hint}".strip()
    headers = {"retry-after": "30"} if status == 503 else {}
    if status == 401:
        headers["www-authenticate"] = "Bearer"
        if page.wants_page(request):
            return page.to_login(request)
    return _answer(request, status, error.kind, message, error.hint, headers)


def _status(error: OcrdError) -> int:
    if isinstance(error, UsageError):
        return 422
    if isinstance(error, PlaceError):
        return 507 if error.kind in ("disk-full", "quota") else 503
    return 503 if isinstance(error, LedgerError) else 500


async def _told_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - likewise
    hint = "GET /docs lists what there is." if error.status_code == 404 else ""
    return _answer(request, error.status_code, "http", str(error.detail), hint, {})


async def _told_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - likewise
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    return _answer(request, 422, "invalid", f"{where}: {first['msg']}", "See /docs.", {})


def _answer(
    request: Request, status: int, kind: str, message: str, hint: str, headers: dict[str, str]
) -> Response:
    """The error as the interface that was asked tells it."""
    path = request.url.path
    if page.wants_page(request) and not path.startswith("/api/"):
        return page.error_page(request, status, message)
    shape = next((shape for start, shape in _SHAPES if path.startswith(start)), None)
    if shape is not None:
        return JSONResponse(shape(status, kind, message), status, headers)
    told = {"version": 1, "error": {"kind": kind, "message": message, "hint": hint}}
    return JSONResponse(told, status, headers)


_SHAPES: tuple[tuple[str, Callable[[int, str, str], dict[str, Any]]], ...] = (
    ("/documentintelligence/", azure.error),
    ("/v1/ocr", mistral.error),
    ("/v1/files", mistral.error),
    ("/v1/", docling.error),
)
