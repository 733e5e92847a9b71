"""The page for people: how it stands, a job beside its text, search, and a way to log in."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import nh3
from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader, select_autoescape
from markdown_it import MarkdownIt

from ocrd.files import display
from ocrd.job import Job, JobState
from ocrd.views.phrases import clock, duration
from ocrd.web.access import COOKIE, CSRF_FIELD
from ocrd.web.results import NoResultError, Results
from ocrd.web.store import SESSION_S, Role, Token
from ocrd.web.wired import Wired, desk_of, token_for

router = APIRouter(include_in_schema=False)

LISTED = 50
_templates = Environment(
    loader=PackageLoader("ocrd.web"), autoescape=select_autoescape(), trim_blocks=True
)
_markdown = MarkdownIt("commonmark", {"html": True}).enable("table")
_TAGS = nh3.ALLOWED_TAGS - {"a"}  # what a scan says is never a link to click on
_templates.filters |= {
    "clock": lambda seconds: "-" if seconds is None else clock(seconds),
    "lasting": lambda seconds: "-" if seconds is None else duration(seconds),
    "display": display,
}


def wants_page(request: Request) -> bool:
    """Whether a browser shows the answer to a person."""
    return "text/html" in request.headers.get("accept", "")


def to_login(request: Request) -> Response:
    """Where somebody who is not known goes first."""
    return RedirectResponse("/login", 303) if request.url.path != "/login" else _page(request, 401)


def error_page(request: Request, status: int, message: str) -> Response:
    """An error for a person."""
    return _page(request, status, "error.html", message=message, code=status)


def _page(
    request: Request, status: int = 200, template: str = "login.html", **told: Any
) -> HTMLResponse:
    wired: Wired = request.app.state.wired
    token = wired.gatekeeper.known(request)
    told |= {
        "token": token,
        "operates": token is not None and token.role.covers(Role.OPERATE),
        "submits": token is not None and token.role.covers(Role.SUBMIT),
        "csrf": wired.gatekeeper.csrf(request),
    }
    headers = {"cache-control": "no-store"}
    return HTMLResponse(_templates.get_template(template).render(told), status, headers)


# --- how it stands ---


@router.get("/")
async def now(request: Request) -> Response:
    """Everything at a glance."""
    return _page(request, 200, "now.html", **await _standing(request))


@router.get("/part/now")
async def part_now(request: Request) -> Response:
    """The part of it that changes."""
    return _page(request, 200, "part_now.html", **await _standing(request))


@router.get("/part/jobs")
async def part_jobs(request: Request) -> Response:
    """The last jobs."""
    desk, token = desk_of(request), token_for(request, Role.READ)
    return _page(request, 200, "part_jobs.html", jobs=await desk.jobs(token, limit=LISTED))


async def _standing(request: Request) -> dict[str, Any]:
    wired: Wired = request.app.state.wired
    desk, token = wired.desk, token_for(request, Role.READ)
    facts = await wired.standing(token)
    failures = await desk.jobs(token, state=JobState.FAILED, limit=5)
    return {
        "facts": facts,
        "left_s": facts["left_s"],
        "failures": failures,
        "jobs": await desk.jobs(token, limit=LISTED),
        "folders": desk.folders(token),
        "max_mib": desk.config.settings.web.max_upload_mib,
    }


# --- a job ---


@router.get("/jobs/{number}")
async def job(request: Request, number: int, q: str = "") -> Response:
    """A job: its pages beside their text, what became of it; blocks with words of `q` marked."""
    desk, token = desk_of(request), token_for(request)
    found = await desk.job(number, token)
    pages, history = await desk.story(number)
    told: dict[str, Any] = {"job": found, "pages": pages, "history": history, "viewed": []}
    try:
        results = await asyncio.to_thread(Results.of, found)
        told |= {"results": results, "viewed": await asyncio.to_thread(_viewed, results, q)}
    except NoResultError as missing:
        told["missing"] = missing
    return _page(request, 200, "job.html", **told)


def _viewed(results: Results, words: str) -> list[dict[str, Any]]:
    """Each page with its blocks as safe HTML, each with its boxes and whether it was looked for."""
    sought = {_folded(word) for word in words.replace('"', " ").split()}
    pages = results.sidecar()["pages"]
    return [
        {
            "number": page["number"],
            "partial": page.get("partial"),
            "blocks": [
                {
                    "html": _safe(block),
                    "boxes": block.get("boxes") or [],
                    "label": block["label"],
                    "hit": any(word in _folded(str(block.get("text"))) for word in sought),
                }
                for block in page.get("blocks", ())
            ],
        }
        for page in pages
    ]


def _folded(text: str) -> str:
    """Without case and accents, as the index compares."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in apart if not unicodedata.combining(char))


def _safe(block: Mapping[str, Any]) -> str:
    """A block's text: sanitised Markdown for what is a model's Markdown, else the bare text."""
    return nh3.clean(_markdown.render(str(block.get("text") or "")), tags=_TAGS, attributes={})


@router.get("/jobs/{number}/page/{page}.jpg")
async def picture(request: Request, number: int, page: int) -> Response:
    """The picture of a page, as it was read."""
    desk, token = desk_of(request), token_for(request)
    found = await desk.job(number, token)
    path, own_number = await asyncio.to_thread(_original, found, page)
    image = await request.app.state.renderer.jpeg(path, own_number)
    return Response(
        image, media_type="image/jpeg", headers={"cache-control": "private, max-age=60"}
    )


def _original(job: Job, number: int) -> tuple[Path, int]:
    """The file that holds a page, and the page's number in it."""
    if job.archived_to is None:
        raise NoResultError(
            f"job {job.id} has no archived original", hint="It is shown once the job is done."
        )
    place = Path(job.archived_to)
    for page in Results.of(job).sidecar()["pages"]:
        if page["number"] == number and "file" in page and job.members:
            return place / str(page["file"]).rpartition("/")[2], int(page["page"])
    return place, number


@router.post("/jobs/{number}/{request_name}")
async def ask(
    request: Request, number: int, request_name: str, csrf: Annotated[str, Form(alias=CSRF_FIELD)]
) -> Response:
    """Retry or cancel, from a form."""
    wired: Wired = request.app.state.wired
    wired.gatekeeper.require_csrf(request, csrf)
    token = _operator(request)
    found = await wired.desk.job(number, token)
    if request_name == "retry":
        await wired.desk.retry(found)
    elif request_name == "cancel":
        await wired.desk.cancel(found)
    else:
        raise NoResultError(f"there is no request {request_name}", hint="retry or cancel")
    return RedirectResponse(f"/jobs/{number}", 303)


def _operator(request: Request) -> Token:
    token = token_for(request)
    return token if token.role.covers(Role.OPERATE) else token_for(request, Role.OPERATE)


# --- search ---


@router.get("/search")
async def search(request: Request, q: str = "") -> Response:
    """Pages that hold the words."""
    desk, token = desk_of(request), token_for(request, Role.READ)
    hits = await desk.search(q, token, LISTED) if q.strip() else []
    return _page(request, 200, "search.html", q=q, hits=hits)


# --- who one is ---


@router.get("/login")
async def login_page(request: Request) -> Response:
    """Ask for a token."""
    return _page(request)


@router.post("/login")
async def login(
    request: Request,
    secret: Annotated[str, Form()],
    csrf: Annotated[str, Form(alias=CSRF_FIELD)],
) -> Response:
    """Open a session for who has a token."""
    wired: Wired = request.app.state.wired
    wired.gatekeeper.require_csrf(request, csrf)
    token = await asyncio.to_thread(wired.store.bearer, secret.strip())
    if token is None:
        return _page(request, 401, "login.html", refused=True)
    session = await asyncio.to_thread(wired.store.open_session, token)
    answer = RedirectResponse("/", 303)
    answer.set_cookie(
        COOKIE,
        session,
        max_age=int(SESSION_S),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


@router.post("/logout")
async def logout(request: Request, csrf: Annotated[str, Form(alias=CSRF_FIELD)]) -> Response:
    """End the session."""
    wired: Wired = request.app.state.wired
    wired.gatekeeper.require_csrf(request, csrf)
    await asyncio.to_thread(wired.store.close_session, request.cookies.get(COOKIE, ""))
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(COOKIE)
    return answer


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz")
async def readyz(request: Request) -> dict[str, str]:
    """Documents are taken and the ledger can be read."""
    wired: Wired = request.app.state.wired
    await wired.standing(Token(name="readyz", role=Role.READ))
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
