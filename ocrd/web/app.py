"""The web process: all interfaces on one port."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable

import anyio
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import ocrd
from ocrd.ages import AgeClock
from ocrd.config import Config
from ocrd.errors import ConfigError, OcrdError
from ocrd.web import api, azure, docling, errors, mistral, page
from ocrd.web.access import Gatekeeper
from ocrd.web.changes import Changes
from ocrd.web.desk import Desk
from ocrd.web.expiry import expire_all
from ocrd.web.patience import in_time
from ocrd.web.render import PageRenderer
from ocrd.web.store import Store, store_path

EXPIRE_EVERY_S = 3600.0
CLOCK = "web-clock.json"  # beside the store: the wall clock as this process saw it last

log = logging.getLogger("ocrd.web")
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; "
        b"base-uri 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
]
_ROUTERS = (api.router, azure.router, mistral.router, docling.router, page.router)
_CACHING = {b"cache-control", b"etag"}  # a response with neither must not be cached


def create_app(config: Config) -> FastAPI:
    """The application for a configuration.

    Raises:
        ConfigError: No folder is configured that documents could be handed to, or the prefix is a
            path of our own.
        PlaceError: The process cannot use its file beside the ledger.
    """
    if not config.folders:
        raise ConfigError(
            "no folder is configured, so there is nowhere to hand documents to",
            hint='Add one to the configuration: [[folder]] with name = "scans".',
        )
    _require_apart(config.settings.web.prefix)
    store = Store(store_path(config.ledger))
    changes = Changes(config.ledger, config.spool)
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
        default_response_class=errors.JSONResponse,
        title="ocrd",
        version=ocrd.__version__,
        description="Scans in; text, Markdown and searchable PDFs out.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.desk, app.state.renderer = desk, renderer
    app.state.gatekeeper = Gatekeeper(store, config)
    for router in _ROUTERS:
        app.include_router(router)
    app.mount("/static", StaticFiles(packages=[("ocrd.web", "static")]), name="static")
    errors.install(app, page.shown)
    hosts = frozenset(map(str.lower, allowed_hosts(config)))
    app.add_middleware(_Front, hosts=hosts, prefix=config.settings.web.prefix)
    return app


def allowed_hosts(config: Config) -> Iterable[str]:
    """The host names that requests may use; a request for another name may be DNS rebinding."""
    given = config.settings.web
    yield from _LOOPBACK
    yield from given.hosts
    if given.host not in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound to
        yield f"[{given.host}]" if ":" in given.host else given.host


class _Front:
    """Refuses requests for other host names (`*`: any may be used), and adds security headers."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str], prefix: str) -> None:
        self._app = app
        self._hosts = hosts
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
                if _CACHING.isdisjoint(name.lower() for name, _ in message["headers"]):
                    message["headers"].append((b"cache-control", b"no-store"))
            await send(message)

        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = _placed(scope, self._prefix)
        if scope["method"] == "HEAD":
            await self._head(scope, receive, send)
            return
        told = Headers(scope=scope).get("host", "")
        if "*" in self._hosts or _name(told) in self._hosts:
            await self._app(scope, in_time(receive), sent)
            return
        refused = errors.RefusedError(
            400,
            f"nobody is called {told!a} here",
            hint="Use a name that this server knows, or have an operator add it to `hosts` "
            "under [web].",
        )
        await errors.answer(errors.inner_path(scope), 400, refused)(scope, receive, sent)

    async def _head(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as to a GET of the whole, which is cancelled once its head has been sent."""
        whole = [(name, value) for name, value in scope["headers"] if name != b"range"]
        with anyio.CancelScope() as asking:

            async def head(message: Message) -> None:
                await send(message)
                await send({"type": "http.response.body"})
                asking.cancel()
                await anyio.sleep_forever()

            await self({**scope, "method": "GET", "headers": whole}, receive, head)


def _placed(scope: Scope, root: str) -> Scope:
    """The scope as the client sees it: below a proxy's prefix, and encrypted if the proxy says so.

    Some proxies pass the prefix on with the path, others do not.
    """
    path: str = scope["path"]
    inner = path.removeprefix(root) if f"{path}/".startswith(f"{root}/") else path
    placed = {**scope, "root_path": root, "path": root + (inner or "/")}
    if Headers(scope=scope).get("x-forwarded-proto") == "https":
        placed["scheme"] = "https"
    return placed


def _require_apart(prefix: str) -> None:
    """Refuse a prefix with which a path of ours begins: nobody could say which is meant."""
    own = [getattr(route, "path", "") for router in _ROUTERS for route in router.routes]
    if prefix and any(f"{path}/".startswith(f"{prefix}/") for path in (*own, "/static")):
        raise ConfigError(
            f"`prefix` is {prefix}, and paths of ocrd's own begin so",
            hint="Choose another `prefix` under [web], such as /ocr, and tell the proxy.",
        )


def _name(host: str) -> str:
    """A `Host` header without its port."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).lower()


async def _expiring(desk: Desk) -> None:
    ages, known = AgeClock(store_path(desk.config.ledger).with_name(CLOCK)), None
    while True:
        with contextlib.suppress(OcrdError):  # such as a locked ledger: the next round does it
            now = await asyncio.to_thread(ages.now, desk.store.newest)
            if now is not None:
                await asyncio.to_thread(expire_all, desk, now)
            elif ages.doubt is not known:
                log.warning("%s %s", ages.doubt, ages.doubt and ages.doubt.hint)
            known = ages.doubt
        await asyncio.sleep(EXPIRE_EVERY_S)
