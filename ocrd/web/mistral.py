"""Mistral's OCR interface, as its SDK, LiteLLM, LibreChat and Open WebUI speak it.

https://docs.mistral.ai/api/endpoint/ocr and https://docs.mistral.ai/api/endpoint/files
"""

from __future__ import annotations

import asyncio
import base64
import re
import time
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from markdown_it import MarkdownIt

from ocrd.job import JobState
from ocrd.web.access import origin_of, token_for
from ocrd.web.body import Body
from ocrd.web.desk import Desk, Known, desk_of, name_of
from ocrd.web.errors import JSONResponse, RefusedError, outcome
from ocrd.web.results import (
    Block,
    OpenFileResponse,
    ReadPage,
    Results,
    opened,
    page_numbers,
    saved,
)
from ocrd.web.store import Handed, Role, Token

router = APIRouter(prefix="/v1", include_in_schema=False)

WAIT_S = 3600.0  # clients have time limits of their own
_ANNOTATIONS = ("bbox_annotation_format", "document_annotation_format")
_TYPES = {
    "title": "title", "sub_title": "title", "list": "list", "table": "table", "image": "image",
    "equation": "equation", "image_caption": "caption", "table_caption": "caption",
    "figure_title": "caption", "code": "code", "header": "header", "footer": "footer",
    "page_number": "footer", "table_footnote": "aside_text", "image_footnote": "aside_text",
    "page_header": "header", "page_footer": "footer", "aside_text": "aside_text",
    "references": "references", "signature": "signature",
}  # fmt: skip
_IMAGE = re.compile(r"!\[[^\]]*\]\((?:[^()\s]*/)?([0-9]+-[0-9]+\.\w+)\)")
_DPI = 200
_KIND = {"purpose": "ocr", "sample_type": "ocr_input", "source": "upload"}  # of every file
_ASIDE = re.compile(r"<sub>.*?</sub>\n*", re.DOTALL)  # a header or footer in our Markdown
_TABLE = re.compile(r"^<table>.*?</table>|(?:^\|[^\n]*\n?)+", re.DOTALL | re.MULTILINE)
_html = MarkdownIt("commonmark").enable("table")


@router.post("/ocr")
async def ocr(request: Request) -> JSONResponse:
    """Read a document and wait for what comes out."""
    desk, token = desk_of(request), token_for(request, Role.SUBMIT)
    folder = desk.folder(token)
    async with desk.received(request, folder) as body:
        asked = body.fields
        if any(asked.get(key) for key in _ANNOTATIONS):
            raise RefusedError(422, "annotations are not supported", hint="Leave those fields out.")
        _require_sense(asked)
        size, known = await _taken(desk, token, body)
    ended = await desk.ended(known, WAIT_S)
    if ended is None:
        raise RefusedError(
            504, "it has not been read yet", hint="It will be; see GET /api/v1/jobs."
        )
    if ended.state is not JobState.DONE:
        error = outcome(ended)
        raise RefusedError(422, error.message, hint=error.hint)
    pages = await asyncio.to_thread(_pages, await desk.results(ended), asked)
    model = str(asked.get("model") or "ocrd")
    usage = {"pages_processed": len(pages), "doc_size_bytes": size}
    return JSONResponse({"pages": pages, "model": model, "usage_info": usage})


async def _taken(desk: Desk, token: Token, body: Body) -> tuple[int, Known]:
    """The size and job of a request's document, which it contains or which was uploaded before."""
    told = body.fields.get("document")
    if not isinstance(told, dict):
        raise RefusedError(422, "document is missing", hint='{"document": {"document_url": …}}')
    value = told.get("document_url") or told.get("image_url")
    if isinstance(value, dict):
        value = value.get("url")
    number = told.get("file_id")
    if isinstance(value, str) and not value.startswith("data:"):
        number = name_of(_of_signed_url(desk, value))
    if number:
        file, known = await desk.read(str(number), token)
        return file.facts.size, known
    document = await body.decoded(value, told.get("document_name"))
    if document is None:
        raise RefusedError(422, "there is no document in it", hint="Send a data URI or a file_id.")
    (known,) = await desk.submit([document], desk.folder(token), token)
    return document.size, known


def _pages(results: Results, asked: dict[str, Any]) -> list[dict[str, Any]]:
    pages = results.pages()
    wanted = _numbers(asked.get("pages"), len(pages))
    told, left = [], asked.get("image_limit")
    for page in pages:
        if wanted is None or page.number - 1 in wanted:
            told.append(_page(page, results, asked, left))
            left = None if left is None else left - len(told[-1]["images"])
    return told


def _page(
    page: ReadPage, results: Results, asked: dict[str, Any], left: int | None
) -> dict[str, Any]:
    width, height = (round(side * _DPI) for side in page.inches)
    least = asked.get("image_min_size") or 0
    images: list[dict[str, Any]] = []
    blocks: list[dict[str, Any]] = []
    for block in page.blocks or ():
        corner = _corner(block, width, height)
        across = corner["bottom_right_x"] - corner["top_left_x"]
        down = corner["bottom_right_y"] - corner["top_left_y"]
        told = {"type": _TYPES.get(block.label, "text"), **corner, "content": block.text}
        if block.image:
            name = told["image_id"] = block.image.rpartition("/")[2]
            if (left is None or len(images) < left) and min(across, down) >= least:
                wanted = asked.get("include_image_base64")
                picture = _picture(results, block.image) if wanted else None
                images.append({"id": name, **corner, "image_base64": picture})
        blocks.append(told)
    told = {
        "index": page.number - 1,
        "markdown": _IMAGE.sub(r"![\1](\1)", page.markdown),
        "images": images,
        "dimensions": {"dpi": _DPI, "height": height, "width": width},
    }
    _extract_asides(told, blocks, asked)
    if asked.get("table_format"):
        _extract_tables(told, blocks, asked["table_format"])
    if asked.get("include_blocks"):
        told["blocks"] = blocks
    return told


def _extract_asides(told: dict[str, Any], blocks: list[dict[str, Any]], asked: Any) -> None:
    """Move headers and footers out of the Markdown, if the request wants them separately."""
    kinds = [kind for kind in ("header", "footer") if asked.get(f"extract_{kind}")]
    asides = [each for each in blocks if each["type"] in ("header", "footer") and each["content"]]
    for kind in kinds:
        told[kind] = "\n".join(each["content"] for each in asides if each["type"] == kind) or None
    found = _ASIDE.findall(told["markdown"])
    if kinds and len(found) == len(asides):
        stay = iter(
            "" if each["type"] in kinds else text for each, text in zip(asides, found, strict=True)
        )
        told["markdown"] = _ASIDE.sub(lambda _: next(stay), told["markdown"]).strip()


def _extract_tables(told: dict[str, Any], blocks: list[dict[str, Any]], wanted: str) -> None:
    """Move tables out of the Markdown, leaving a link in the place of each.

    A table that is HTML in it, because its cells span others, stays HTML.
    """
    tables: list[dict[str, str]] = []

    def apart(found: re.Match[str]) -> str:
        content, kind = found[0].strip(), "markdown"
        if content.startswith("<") or wanted == "html":
            kind, content = "html", _html.render(content).strip()
        name = f"tbl-{len(tables)}.{'html' if kind == 'html' else 'md'}"
        tables.append({"id": name, "content": content, "format": kind})
        return f"[{name}]({name})" + "\n" * found[0].endswith("\n")

    told["markdown"], told["tables"] = _TABLE.sub(apart, told["markdown"]), tables
    named = [each for each in blocks if each["type"] == "table"]
    if len(named) == len(tables):
        for block, table in zip(named, tables, strict=True):
            block["table_id"] = table["id"]


def _corner(block: Block, width: int, height: int) -> dict[str, int]:
    left, top, right, bottom = zip(*(block.boxes or [(0, 0, 1, 1)]), strict=True)
    return {
        "top_left_x": round(min(left) * width),
        "top_left_y": round(min(top) * height),
        "bottom_right_x": round(max(right) * width),
        "bottom_right_y": round(max(bottom) * height),
    }


def _picture(results: Results, image: str) -> str | None:
    if image not in results.all:
        return None
    with opened(results.all[image], results.disk) as file:
        return "data:image/jpeg;base64," + base64.b64encode(file.read()).decode()


def _require_sense(asked: dict[str, Any]) -> None:
    """Refuse fields that make no sense before anything is read.

    Raises:
        RefusedError: A field is refused.
    """
    _numbers(asked.get("pages"), 0)
    for key in ("image_limit", "image_min_size"):
        if not isinstance(asked.get(key, 0), int | None):
            raise RefusedError(422, f"`{key}` is no whole number", hint="Such as 10.")
    if asked.get("table_format") not in (None, "markdown", "html"):
        raise RefusedError(422, "`table_format` is neither markdown nor html", hint="Leave it out.")


def _numbers(told: Any, count: int) -> set[int] | None:
    """The 0-based pages that are wanted, from a list or ranges such as `0-2,5`; None for all."""
    if told is None or told == "":
        return None
    try:
        if isinstance(told, list):
            return {int(number) for number in told}
        return page_numbers(str(told), count)
    except (ValueError, TypeError, OverflowError):
        raise RefusedError(422, "`pages` is neither a list nor ranges", hint="0-2,5") from None


# --- files that are uploaded first and read later ---


@router.post("/files")
async def upload(request: Request) -> dict[str, Any]:
    """Keep a file until it is read or deleted."""
    desk, token = desk_of(request), token_for(request, Role.SUBMIT)
    folder = desk.folder(token)
    async with desk.received(request, folder) as body:
        if not body.documents:
            raise RefusedError(422, "file is missing", hint="Send a form with a part named file.")
        return _told(await desk.hold(body.documents[0], folder, token))


@router.get("/files")
async def files(
    request: Request,
    page: Annotated[int, Query(ge=0, lt=2**31)] = 0,
    page_size: Annotated[int, Query(ge=1, le=1000)] = 100,
    search: str = "",
) -> dict[str, Any]:
    """The client's files, newest first."""
    desk, token = desk_of(request), token_for(request, Role.SUBMIT)
    asked = request.query_params
    found: list[Handed] = []
    total = 0
    if all(value in (asked.getlist(key) or [value]) for key, value in _KIND.items()):
        some = (search, page_size, page * page_size)
        found, total = await asyncio.to_thread(desk.store.files, token, *some)
    return {"object": "list", "data": [_told(file) for file in found], "total": total}


@router.get("/files/{number}")
async def file_facts(request: Request, number: str) -> dict[str, Any]:
    """What is known of an uploaded file."""
    file = desk_of(request).file(number, token_for(request, Role.SUBMIT))
    return {**_told(file), "deleted": False}  # Mistral's client requires it


@router.get("/files/{number}/url")
async def url(
    request: Request, number: str, expiry: Annotated[int, Query(ge=1, le=8760)] = 24
) -> dict[str, str]:
    """A URL that `document_url` accepts and that anyone may fetch, for `expiry` hours at most."""
    desk, token = desk_of(request), token_for(request, Role.SUBMIT)
    file, until = desk.file(number, token), int(time.time()) + expiry * 3600
    signed = f"expires={until}&signature={desk.store.sign(desk.store.link_text(file, until))}"
    return {"url": f"{origin_of(request)}/v1/files/{number}/content?{signed}"}


@router.get("/files/{number}/content")
async def content(request: Request, number: str, signature: str = "") -> Response:
    """An uploaded file as it came, for its client or by a signed URL."""
    desk = desk_of(request)
    if signature:
        file = _of_signed_url(desk, str(request.url))
    else:
        file = desk.file(number, token_for(request, Role.SUBMIT))
    return OpenFileResponse(
        await desk.content(file), "application/octet-stream", saved(file.name or number)
    )


@router.delete("/files/{number}")
async def delete(request: Request, number: str) -> dict[str, Any]:
    """Forget an uploaded file; jobs that read it keep what they have."""
    desk, token = desk_of(request), token_for(request, Role.SUBMIT)
    await asyncio.to_thread(desk.drop, desk.file(number, token))
    return {"id": number, "object": "file", "deleted": True}


def _told(file: Handed) -> dict[str, Any]:
    return {
        "id": name_of(file),
        "object": "file",
        "bytes": file.facts.size,
        "created_at": int(file.at),
        "filename": file.name,
        **_KIND,
    }


def _of_signed_url(desk: Desk, told: str) -> Handed:
    """The file that a signed URL of ours names; any other URL is refused."""
    found = re.search(r"/v1/files/(t\d+)/content\?expires=(\d{1,12})&signature=(\w+)$", told)
    file = desk.uploaded(found[1]) if found else None
    if (
        (found is None or file is None)
        or not desk.store.signed(desk.store.link_text(file, int(found[2])), found[3])
        or int(found[2]) < time.time()
    ):
        raise RefusedError(
            422,
            "this URL is not one of ours that is still good, and no other is fetched",
            hint="Send the document as a data URI, or upload it to /v1/files.",
        )
    return file
