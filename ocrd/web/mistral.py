"""Mistral's OCR interface, as its SDK, LiteLLM, LibreChat and Open WebUI speak it.

https://docs.mistral.ai/api/endpoint/ocr and https://docs.mistral.ai/api/endpoint/files
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import secrets
import time
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from ocrd.config import Folder
from ocrd.job import Job, JobState
from ocrd.web.body import Body, BodyError, Incoming, decoded, received
from ocrd.web.desk import Desk
from ocrd.web.results import NoResultError, Results
from ocrd.web.store import Role, StoredFile, Token
from ocrd.web.wired import desk_of, origin_of, token_for

router = APIRouter(prefix="/v1", include_in_schema=False)

WAIT_S = 3600.0  # clients have time limits of their own
_ANNOTATIONS = ("bbox_annotation_format", "document_annotation_format")
_TYPES = {
    "title": "title", "sub_title": "title", "list": "list", "table": "table", "image": "image",
    "equation": "equation", "image_caption": "caption", "table_caption": "caption",
    "figure_title": "caption", "code": "code", "header": "header", "footer": "footer",
    "page_number": "footer", "table_footnote": "aside_text", "image_footnote": "aside_text",
    "aside_text": "aside_text", "references": "references", "signature": "signature",
}  # fmt: skip
_IMAGE = re.compile(r"!\[[^\]]*\]\((?:[^()\s]*/)?([0-9]+-[0-9]+\.\w+)\)")
_DPI = 200


@router.post("/ocr")
async def ocr(request: Request) -> JSONResponse:
    """Read a document and wait for what comes out."""
    desk, token = desk_of(request), token_for(request, Role.SUBMIT)
    folder = desk.folder(token)
    async with received(request, lambda _: desk.room(folder)) as body:
        asked = body.fields
        if any(asked.get(key) for key in _ANNOTATIONS):
            raise BodyError(422, "annotations are not supported", hint="Leave those fields out.")
        document = await _document(desk, token, folder, body)
        size = document.size
        job = await desk.submit(document, folder, token)
    ended = await desk.ended(job.id, WAIT_S)
    if ended is None:
        raise BodyError(504, f"job {job.id} has not ended yet", hint=f"See /api/v1/jobs/{job.id}.")
    if ended.state is not JobState.DONE:
        raise _failed(ended)
    pages = await asyncio.to_thread(_pages, Results.of(ended), asked)
    model = str(asked.get("model") or "ocrd")
    usage = {"pages_processed": len(pages), "doc_size_bytes": size}
    return JSONResponse({"pages": pages, "model": model, "usage_info": usage})


async def _document(desk: Desk, token: Token, folder: Folder, body: Body) -> Incoming:
    """The document that a request names: within it, or uploaded before."""
    told = body.fields.get("document")
    if not isinstance(told, dict):
        raise BodyError(422, "document is missing", hint='{"document": {"document_url": …}}')
    value = told.get("document_url") or told.get("image_url")
    if isinstance(value, dict):
        value = value.get("url")
    number = told.get("file_id")
    if isinstance(value, str) and not value.startswith("data:"):
        number = _of_signed_url(desk, value)
    if number:
        return await asyncio.to_thread(_stored, desk, token, folder, str(number))
    document = await decoded(value, body, lambda _: desk.room(folder))
    if document is None:
        raise BodyError(422, "there is no document in it", hint="Send a data URI or a file_id.")
    document.name = str(told.get("document_name") or document.name or "document")
    return document


def _stored(desk: Desk, token: Token, folder: Folder, number: str) -> Incoming:
    """An uploaded file as an incoming one: a copy, so that it can be read again."""
    file = _file(desk, token, number)
    document = desk.room(folder)
    document.copy_from(_path(folder, number))
    document.name = file.name
    return document


def _failed(job: Job) -> BodyError:
    error = job.error
    message = error.message if error else f"job {job.id} was {job.state}"
    return BodyError(422, message, hint=error.hint if error else "")


def _pages(results: Results, asked: dict[str, Any]) -> list[dict[str, Any]]:
    sidecar = results.sidecar()
    wanted = _numbers(asked.get("pages"), len(sidecar["pages"]))
    texts = results.page_texts()
    return [
        _page(page, text, results, asked)
        for page, text in zip(sidecar["pages"], texts, strict=True)
        if page["number"] - 1 in wanted
    ]


def _page(
    page: dict[str, Any], text: str, results: Results, asked: dict[str, Any]
) -> dict[str, Any]:
    size = _size(page)
    figures = iter(re.findall(_IMAGE, text))
    images, blocks = [], []
    for block in page.get("blocks", ()):
        corner = _corner(block, size)
        told = {"type": _TYPES.get(block["label"], "text"), **corner, "content": block["text"]}
        if block["label"] == "image":
            name = next(figures, None)
            if name is not None:
                told["image_id"] = name
                images.append(
                    {"id": name, **corner, "image_base64": _picture(results, name, asked)}
                )
        blocks.append(told)
    dimensions = {"dpi": page.get("dpi") or _DPI, "height": size[1], "width": size[0]}
    told = {
        "index": page["number"] - 1,
        "markdown": _IMAGE.sub(r"![\1](\1)", text),
        "images": images,
        "dimensions": dimensions,
    }
    if asked.get("include_blocks"):
        told["blocks"] = blocks
    return told


def _size(page: dict[str, Any]) -> tuple[int, int]:
    """Pixels of the page as it was read."""
    width, height = page.get("size_px") or (round(8.5 * _DPI), round(11 * _DPI))
    return int(width), int(height)


def _corner(block: dict[str, Any], size: tuple[int, int]) -> dict[str, int]:
    boxes = block.get("boxes") or [[0, 0, 1, 1]]
    edges = [round(min(box[0] for box in boxes) * size[0]),
             round(min(box[1] for box in boxes) * size[1]),
             round(max(box[2] for box in boxes) * size[0]),
             round(max(box[3] for box in boxes) * size[1])]  # fmt: skip
    names = ("top_left_x", "top_left_y", "bottom_right_x", "bottom_right_y")
    return dict(zip(names, edges, strict=True))


def _picture(results: Results, name: str, asked: dict[str, Any]) -> str | None:
    if not asked.get("include_image_base64"):
        return None
    found = next((path for key, path in results.all.items() if key.endswith(f"/{name}")), None)
    if found is None:
        return None
    return "data:image/jpeg;base64," + base64.b64encode(found.read_bytes()).decode()


def _numbers(told: Any, count: int) -> set[int]:
    """The pages that are wanted: a list, or ranges such as `0-2,5`; all if nothing is said."""
    if told is None or told == "":
        return set(range(count))
    try:
        if isinstance(told, list):
            return {int(number) for number in told}
        found: set[int] = set()
        for part in str(told).split(","):
            first, _, last = part.partition("-")
            found |= set(range(int(first), min(int(last or first), count) + 1))
    except ValueError:
        raise BodyError(422, "`pages` is neither a list nor ranges", hint="0-2,5") from None
    return found


# --- files that are uploaded first and read later ---


@router.post("/files")
async def upload(request: Request) -> dict[str, Any]:
    """Keep a file until it is read or deleted."""
    desk, token = desk_of(request), token_for(request, Role.SUBMIT)
    folder = desk.folder(token)
    async with received(request, lambda _: desk.room(folder)) as body:
        if not body.documents:
            raise BodyError(422, "file is missing", hint="Send a form with a part named file.")
        document = body.documents[0]
        file = StoredFile(
            id=str(secrets.token_hex(16)),
            name=document.name,
            bytes=document.size,
            token=token.name,
            at=time.time(),
        )
        await asyncio.to_thread(document.path.rename, _path(folder, file.id))
        await asyncio.to_thread(desk.store.add_file, file)
    return _told(file)


@router.get("/files/{number}")
async def file_facts(request: Request, number: str) -> dict[str, Any]:
    """What is known of an uploaded file."""
    desk, token = desk_of(request), token_for(request, Role.SUBMIT)
    return _told(_file(desk, token, number))


@router.get("/files/{number}/url")
async def url(request: Request, number: str) -> dict[str, str]:
    """A URL that `document_url` takes, for as long as the file is kept."""
    desk, token = desk_of(request), token_for(request, Role.SUBMIT)
    _file(desk, token, number)
    signature = desk.store.sign(f"file:{number}")
    return {"url": f"{origin_of(request)}/v1/files/{number}/content?signature={signature}"}


@router.delete("/files/{number}")
async def delete(request: Request, number: str) -> dict[str, Any]:
    """Forget an uploaded file; jobs that read it keep what they have."""
    desk, token = desk_of(request), token_for(request, Role.SUBMIT)
    _file(desk, token, number)
    await asyncio.to_thread(remove, desk, desk.folder(token), number)
    return {"id": number, "object": "file", "deleted": True}


def remove(desk: Desk, folder: Folder, number: str) -> None:
    """Delete an uploaded file and what is remembered of it."""
    with contextlib.suppress(OSError):
        _path(folder, number).unlink(missing_ok=True)
    desk.store.remove_file(number)


def _told(file: StoredFile) -> dict[str, Any]:
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": int(file.at),
        "filename": file.name,
        "purpose": "ocr",
        "sample_type": "ocr_input",
        "source": "upload",
    }


def _file(desk: Desk, token: Token, number: str) -> StoredFile:
    file = desk.store.file(number, token)
    if file is None:
        raise NoResultError(f"there is no file {number}", hint="Upload it: POST /v1/files.")
    return file


def _path(folder: Folder, number: str) -> Path:
    return folder.inbox / f".ocrd-{number}.held"


def _of_signed_url(desk: Desk, told: str) -> str:
    """The file that one of our own URLs names; no other URL is fetched."""
    found = re.search(r"/v1/files/([0-9a-f]+)/content\?signature=([0-9a-f]+)$", told)
    if found is None or not desk.store.signed(f"file:{found[1]}", found[2]):
        raise BodyError(
            422,
            "this URL is not fetched",
            hint="Send the document as a data URI, or upload it to /v1/files.",
        )
    return found[1]


def error(status: int, kind: str, message: str) -> dict[str, Any]:
    """A refusal in Mistral's shape."""
    return {"object": "error", "message": message, "type": kind, "param": None, "code": str(status)}
