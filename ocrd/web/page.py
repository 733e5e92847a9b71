"""The web page for people: status, jobs with pages beside their text, search, and login."""

from __future__ import annotations

import asyncio
import re
import unicodedata
from typing import Any, Literal
from urllib.parse import urlencode

import nh3
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader, select_autoescape
from markdown_it import MarkdownIt

from ocrd.errors import OcrdError
from ocrd.files import display
from ocrd.job import JobState
from ocrd.views.phrases import clock, duration
from ocrd.web.access import COOKIE, CSRF_FIELD, gatekeeper_of, token_for
from ocrd.web.api import Cursor
from ocrd.web.body import small_form
from ocrd.web.desk import ENDED, Desk, desk_of, name_of
from ocrd.web.errors import MissingError, RefusedError, inner_path, joined, root_of, sentence
from ocrd.web.render import PageRenderer
from ocrd.web.results import Results
from ocrd.web.store import SESSION_S, Handed, Role, Token

router = APIRouter(include_in_schema=False)

LISTED, FAILURES = 50, 5
LOOKED_AT = 1000  # latest jobs of a token among which failed ones are sought, at each change
_BACK = re.compile(r"/(jobs|search)\b[^\\\s]*")  # only our own pages, no other site's
_templates = Environment(
    loader=PackageLoader("ocrd.web"), autoescape=select_autoescape(), trim_blocks=True
)
_markdown = MarkdownIt("commonmark", {"html": True}).enable("table")
_TAGS = nh3.ALLOWED_TAGS - {"a"}  # the text of a scan never becomes a link to click on
_templates.globals["joined"] = joined
_templates.filters |= {
    "clock": lambda seconds: "-" if seconds is None else clock(seconds),
    "lasting": lambda seconds: "-" if seconds is None else duration(seconds),
    "display": display,
}


def shown(request: Request, status: int, error: OcrdError) -> Response | None:
    """The response for a person with a browser, such as the login page; None for a program."""
    by_browser, path = "text/html" in request.headers.get("accept", ""), inner_path(request.scope)
    if not by_browser or path.startswith("/api/"):
        return None
    if status == 401 and path != "/login":
        asked = path + (f"?{request.url.query}" if request.url.query else "")
        back = {"back": asked} if request.method == "GET" and asked != "/" else {}
        return _led(request, f"/login?{urlencode(back)}" if back else "/login")
    return _page(request, status, "error.html", message=sentence(error), code=status)


def _page(request: Request, status: int, template: str, **told: Any) -> HTMLResponse:
    gatekeeper = gatekeeper_of(request)
    token = gatekeeper.known(request)
    told |= {
        "token": token,
        "operates": token is not None and token.role.covers(Role.OPERATE),
        "submits": token is not None and token.role.covers(Role.SUBMIT),
        "reads": token is not None and token.role.covers(Role.READ),
        "csrf": gatekeeper.csrf(request),
        "root": root_of(request.scope),
    }
    headers = {"cache-control": "no-store"}
    return HTMLResponse(_templates.get_template(template).render(told), status, headers)


def _led(request: Request, path: str) -> RedirectResponse:
    """Send the browser to another of our pages."""
    return RedirectResponse(root_of(request.scope) + path, 303)


# --- status ---


@router.get("/")
async def now(request: Request) -> Response:
    """Everything at a glance."""
    desk, token = desk_of(request), token_for(request)
    given = desk.config.settings.web
    told = {"folders": desk.folders(token), "chosen": given.folder, "max_mib": given.max_upload_mib}
    told |= await _standing(desk, token) | await _latest(desk, token)
    return _page(request, 200, "now.html", **told)


@router.get("/part/{name}")
async def part(request: Request, name: Literal["now", "jobs"]) -> Response:
    """One of its parts that change."""
    desk, token = desk_of(request), token_for(request)
    told = await (_standing if name == "now" else _latest)(desk, token)
    return _page(request, 200, f"part_{name}.html", **told)


async def _standing(desk: Desk, token: Token) -> dict[str, Any]:
    """The status, for tokens that may see it; None for others."""
    return {"facts": await desk.standing(token) if token.role.covers(Role.READ) else None}


async def _latest(desk: Desk, token: Token) -> dict[str, Any]:
    """The latest jobs that the token may see, and the latest that failed."""
    failures, _ = await desk.jobs(token, limit=FAILURES, latest=LOOKED_AT, state=JobState.FAILED)
    jobs, _ = await desk.jobs(token, limit=LISTED)
    return {"failures": failures, "jobs": jobs}


@router.post("/")
async def upload(request: Request) -> Response:
    """Documents from the form, where no script of the page's sends them."""
    desk, gatekeeper = desk_of(request), gatekeeper_of(request)
    known = gatekeeper.known(request)
    if known is None:
        raise gatekeeper.stranger(request)
    async with desk.received(request, desk.folder(known)) as body:
        token = token_for(request, Role.SUBMIT, str(body.fields.get(CSRF_FIELD, "")))
        into = desk.folder(token, str(body.fields.get("folder", "")))
        if not body.documents:
            raise RefusedError(422, "there is no document in it", hint="Choose a file first.")
        found = await desk.submit(body.documents, into, token)
    return _led(request, f"/jobs/{name_of(found[0])}" if len(found) == 1 else "/")


# --- jobs ---


@router.get("/jobs")
async def jobs(
    request: Request,
    state: JobState | Literal[""] = "",
    folder: str = "",
    name: str = "",
    before: Cursor = None,
    after: Cursor = None,
) -> Response:
    """All jobs that fit, some at a time: those before a job's number, or those after it."""
    desk, token = desk_of(request), token_for(request)
    asked = {"state": state, "folder": folder, "name": name}
    such: dict[str, Any] = {key: value or None for key, value in asked.items()}
    if folder:
        desk.folder(token, folder)
    newer = older = False
    if after is not None:
        found, newer = await desk.jobs(token, limit=LISTED, after_id=after, **such)
        older = newer
    if not newer:  # the newest, or those before a job
        found, older = await desk.jobs(token, limit=LISTED, before_id=before, **such)
        newer = before is not None
    query = urlencode({key: str(value) for key, value in asked.items() if value})
    told = {**asked, "folders": desk.folders(token), "states": JobState, "query": query}
    return _page(request, 200, "jobs.html", jobs=found, newer=newer, older=older, **told)


@router.get("/jobs/{number}")
async def job(request: Request, number: str, q: str = "") -> Response:
    """A job: its pages beside their text, what became of it; blocks with words of `q` marked."""
    desk, token = desk_of(request), token_for(request)
    found = await desk.find(number, token)
    if isinstance(found, Handed):
        return _page(request, 200, "waits.html", handed=found, number=number)
    pages, history = await desk.story(found)
    told: dict[str, Any] = {
        "job": found,
        "under_way": found.state not in ENDED,
        "pages": pages,
        "history": history,
        "viewed": [],
    }
    try:
        results = await desk.results(found)
        told |= {"results": results, "viewed": await asyncio.to_thread(_viewed, results, q)}
    except MissingError as missing:
        told["missing"] = missing
    return _page(request, 200, "job.html", **told)


def _viewed(results: Results, words: str) -> list[dict[str, Any]]:
    """Each page with its blocks as safe HTML, with their boxes and whether one of `words` hits."""
    sought = {_folded(word) for word in words.replace('"', " ").split()}
    return [
        {
            "number": page.number,
            "partial": page.partial,
            "blocks": [
                {
                    "html": nh3.clean(_markdown.render(block.text), tags=_TAGS, attributes={}),
                    "boxes": block.boxes,
                    "label": block.label,
                    "hit": any(word in _folded(block.text) for word in sought),
                }
                for block in page.blocks or ()
            ],
        }
        for page in results.pages()
    ]


def _folded(text: str) -> str:
    """The text without case and accents, as the search index compares it."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in apart if not unicodedata.combining(char))


@router.get("/jobs/{number}/page/{page}.jpg")
async def picture(request: Request, number: str, page: int) -> Response:
    """The picture of a page, as it was read."""
    desk, token = desk_of(request), token_for(request)
    found = await desk.job(number, token)
    path, own_number, which = await asyncio.to_thread(desk.original, found, page)
    renderer: PageRenderer = request.app.state.renderer
    image = await renderer.jpeg(path, own_number, which)
    headers = {"cache-control": "private, max-age=60"}
    return Response(image, media_type="image/jpeg", headers=headers)


@router.post("/jobs/{number}/{verb}")
async def ask(request: Request, number: str, verb: Literal["retry", "cancel"]) -> Response:
    """Retry or cancel, from a form."""
    form = await small_form(request)
    desk, token = desk_of(request), token_for(request, Role.OPERATE, form.get(CSRF_FIELD, ""))
    await asyncio.to_thread(desk.request, verb, await desk.job(number, token))
    return _led(request, f"/jobs/{number}")


# --- search ---


@router.get("/search")
async def search(request: Request, q: str = "") -> Response:
    """Pages that hold the words."""
    desk, token = desk_of(request), token_for(request, Role.READ)
    hits = await desk.search(q, token, LISTED) if q.strip() else []
    return _page(request, 200, "search.html", q=q, hits=hits)


# --- login ---


@router.get("/login")
async def login_page(request: Request, back: str = "") -> Response:
    """Ask for a token; `back` is the page that was asked for."""
    return _page(request, 200, "login.html", back=back)


@router.post("/login")
async def login(request: Request) -> Response:
    """Open a session for a person with a token, and show the page that was asked for."""
    gatekeeper, store = gatekeeper_of(request), desk_of(request).store
    form = await small_form(request)
    back = form.get("back", "")
    gatekeeper.require_csrf(request, form.get(CSRF_FIELD, ""))
    token = await asyncio.to_thread(store.bearer, form.get("secret", "").strip())
    if token is None:
        refused = gatekeeper.stranger(request)
        return _page(request, refused.status, "login.html", refused=refused, back=back)
    session = await asyncio.to_thread(store.open_session, token)
    answer = _led(request, back if _BACK.fullmatch(back) else "/")
    answer.set_cookie(
        COOKIE,
        session,
        max_age=int(SESSION_S),
        httponly=True,
        samesite="lax",  # a link in a letter leads to the page, not to logging in again
        secure=request.url.scheme == "https",
        path=root_of(request.scope) or "/",
    )
    return answer


@router.post("/logout")
async def logout(request: Request) -> Response:
    """End the session."""
    form = await small_form(request)
    gatekeeper_of(request).require_csrf(request, form.get(CSRF_FIELD, ""))
    session = request.cookies.get(COOKIE, "")
    await asyncio.to_thread(desk_of(request).store.close_session, session)
    answer = _led(request, "/login")
    answer.delete_cookie(COOKIE, path=root_of(request.scope) or "/")
    return answer


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz")
async def readyz(request: Request) -> dict[str, str]:
    """Documents are taken and the ledger can be read."""
    await desk_of(request).require_ready()
    return {"status": "ok"}


@router.get("/docs")
async def docs(request: Request) -> Response:
    """The interface, read off its OpenAPI description."""
    described = request.app.openapi()
    calls = [
        {"method": method.upper(), "path": path, **call}
        for path, methods in described["paths"].items()
        for method, call in methods.items()
    ]
    return _page(request, 200, "docs.html", calls=calls)
