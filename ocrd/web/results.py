"""The results of a finished job in the outbox, found by name and never read through a link."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import stat
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Annotated, Any
from urllib.parse import quote

from fastapi.responses import FileResponse, Response, StreamingResponse
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    TypeAdapter,
)
from starlette.types import Receive, Scope, Send

from ocrd.document.base import FIGURES, SUFFIXES
from ocrd.files import Disk, display
from ocrd.job import Job, JobState
from ocrd.oserrors import os_error
from ocrd.web.errors import MissingError

MEDIA = {
    "md": "text/markdown; charset=utf-8",
    "txt": "text/plain; charset=utf-8",
    "raw": "text/plain; charset=utf-8",
    "json": "application/json",
    "pdf": "application/pdf",
    "pdfa": "application/pdf",
    "alto": "application/xml",
    "hocr": "text/html; charset=utf-8",
    "zip": "application/zip",
}
BOXES = "image/jpeg"  # for a single image; otherwise a PDF
_CALLED = {"markdown": "md", "text": "txt"}  # outputs that have another name here
_ENDED = [(end, output) for output, ends in SUFFIXES.items() for end in ends if end != FIGURES]
_ENDINGS = {  # the kind of a file by the ending of its name; longer endings come first
    end: _CALLED.get(output, output)
    for end, output in sorted(_ENDED, key=lambda each: len(each[0]), reverse=True)
}
_CHUNK = 1 << 18
_WRITTEN = ("md", "txt")  # made from the pages if missing: a pile has one for each document
_LETTER = (8.5, 11.0)  # inches


_Text = Annotated[  # with a question mark for each lone surrogate
    str, AfterValidator(lambda text: text.encode(errors="replace").decode())
]
_Number = Annotated[int, Field(gt=0, lt=2**31)]  # what reads pages counts in C's `int`
_Inches = Annotated[float, Field(gt=0, le=1e6)]
_Fraction = Annotated[float, Field(ge=-1e6, le=1e6)]  # of a page: what is cut off lies outside 0…1


class _Told(BaseModel):
    """A part of a sidecar, with the fields passed on; docs/scan.schema.json has all of them."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class Block(_Told):
    """A block of text; `boxes` are fractions of the page."""

    label: _Text
    text: _Text = ""
    boxes: list[tuple[_Fraction, _Fraction, _Fraction, _Fraction]] = []
    image: _Text = ""


class CameFrom(_Told):
    """The file, and the number in it, that a page came from; `file` may not be a string."""

    file: Any
    page: _Number


class ReadPage(_Told):
    """A page as all interfaces report it: its object in the sidecar, and its text in scan.md."""

    number: _Number
    blocks: list[Block] | None = None
    size_in: tuple[_Inches, _Inches] | None = None
    confidence: float | None = None
    partial: _Text | None = None
    came_from: CameFrom | None = None
    pile_page: _Number | None = None
    span: tuple[NonNegativeInt, NonNegativeInt] | None = None
    markdown: str = ""

    @property
    def inches(self) -> tuple[float, float]:
        """Width and height of the upright page in inches; those of US Letter if unknown."""
        return self.size_in or _LETTER

    @property
    def plain(self) -> str:
        """The text of its blocks; if no blocks were kept, its Markdown."""
        if self.blocks is None:
            return self.markdown
        return "\n".join(block.text for block in self.blocks if block.text)


class _Document(_Told):
    pages: list[ReadPage]


class _Part(_Told):
    name: str


class _Pile(_Told):
    documents: list[_Part]


_SIDECAR = TypeAdapter[_Document | _Pile](_Document | _Pile)


@dataclass(frozen=True)
class Results:
    """The files of a bundle, or those that lie side by side in the outbox.

    The disk opens them beneath their tree: otherwise a user who may write in an outbox could have
    another file read by planting a link.
    """

    stem: str  # the files' name without their endings
    all: dict[str, Path]  # each file by its name in the zip
    disk: Disk

    @classmethod
    def of(cls, job: Job, disk: Disk) -> Results:
        """The results of a job, in one of the trees that `disk` knows.

        Raises:
            MissingError: The job is not done or made no results, or they have been removed.
        """
        if job.state is not JobState.DONE:
            raise MissingError(
                f"job {job.id} is {job.state}, not done", hint=f"See /api/v1/jobs/{job.id}."
            )
        if job.outputs is None:
            raise MissingError(
                f"job {job.id} has no results", hint="Its folder's `outputs` asks for none."
            )
        place = Path(job.outputs)
        require_tree(place, disk)
        try:
            if (facts := disk.lstat(place)) is None:
                raise FileNotFoundError(place)
            if stat.S_ISDIR(facts.st_mode):
                found = _below(place, disk)
                named = [name for name in found if _kind(name) and "/" not in name]
                stem = _without_ending(named[0]) if named else "document"
            else:
                stem = _without_ending(place.name)
                found = _siblings(place.parent, stem, disk)
        except OSError as error:
            raise MissingError(
                f"the results of job {job.id} are not in the outbox any more",
                hint=f"Somebody has taken {display(job.outputs)} away; drop the document again.",
            ) from error
        return cls(stem, found, disk)

    @cached_property
    def files(self) -> dict[str, Path]:
        """The files by format: `md`, `txt`, `raw`, `json`, `pdf`, `boxes`, `alto`, `hocr`."""
        files: dict[str, Path] = {}
        for name, path in self.all.items():
            if "/" not in name and (kind := _kind(name)) is not None:
                files.setdefault(kind, path)
        return files

    def open(self, kind: str) -> IO[bytes]:
        """Open one of the files.

        Raises:
            MissingError: There is none of this kind: the folder's `outputs` does not include it.
        """
        if kind not in self.files:
            made = ", ".join(sorted(self.files)) or "none"
            raise MissingError(
                f"there is no {kind} of this document",
                hint=f"Its folder makes: {made}.  Add it to the folder's `outputs`.",
            )
        return opened(self.files[kind], self.disk)

    def text(self, kind: str) -> str:
        """One of the files as text; a missing `txt` or `md` is made from the pages."""
        if kind in _WRITTEN and kind not in self.files and "json" in self.files:
            texts = [page.plain if kind == "txt" else page.markdown for page in self.pages()]
            if kind == "txt" or any(texts):
                return "\n\n".join(texts)
        with self.open(kind) as file:
            return file.read().decode("utf-8", "replace")

    def pages(self) -> list[ReadPage]:
        """The pages from the sidecar; if there is none, a single page with all the Markdown.

        The pages of a pile's documents have their numbers in the pile.
        """
        markdown = self.text("md") if "md" in self.files else ""
        if "json" not in self.files:
            return [ReadPage(number=1, markdown=markdown)]
        try:
            sidecar = _SIDECAR.validate_python(json.loads(self.text("json")))
        except (ValueError, RecursionError) as error:  # pydantic's own errors are ValueErrors
            raise MissingError(
                f"{display(self.files['json'])} is not as ocrd wrote it",
                hint="Somebody has changed it; drop the document again.",
            ) from error
        if isinstance(sidecar, _Pile):
            inner = [page for each in sidecar.documents for page in self._part(each.name).pages()]
            return [
                page.model_copy(update={"number": page.pile_page or page.number}) for page in inner
            ]
        spans = [page.span or (0, 0) for page in sidecar.pages]
        return [
            page.model_copy(update={"markdown": markdown[begin:end].strip()})
            for page, (begin, end) in zip(sidecar.pages, spans, strict=True)
        ]

    def _part(self, name: str) -> Results:
        """The bundle of one document of a pile."""
        inside = f"{name}/"
        found = {each.removeprefix(inside): path for each, path in self.all.items()
                 if each.startswith(inside)}  # fmt: skip
        return Results(name, found, self.disk)


def opened(path: Path, disk: Disk) -> IO[bytes]:
    """Open a file in one of the folders' trees.

    Raises:
        MissingError: The file is gone or now a link, or the path is outside of the trees.
        PlaceError: The file cannot be read now.
    """
    require_tree(path, disk)
    try:
        return disk.open(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise MissingError(
                f"{display(path)} is no file of ocrd's any more", hint="Look into its folder."
            ) from error
        raise os_error(error, path) from error


def page_numbers(told: str, last_page: int) -> set[int]:
    """The page numbers in a list of numbers and ranges such as `0-2,5`, up to `last_page`.

    Raises:
        ValueError: The text is not such a list.
    """
    found: set[int] = set()
    for part in told.split(","):
        first, _, last = part.strip().partition("-")
        begin, end = int(first), int(last or first)
        if not 0 <= begin <= end:
            raise ValueError(part)
        found |= set(range(begin, min(end, last_page) + 1))
    return found


async def file_response(results: Results, kind: str) -> Response:
    """A result as a download: a file (also in ranges), or a zip that is made as it is sent."""
    media = MEDIA.get(kind, "application/pdf")
    if kind == "zip":
        return StreamingResponse(
            _zipped(results), media_type=media, headers=saved(f"{results.stem}.zip")
        )
    if kind in _WRITTEN and kind not in results.files:
        text = await asyncio.to_thread(results.text, kind)
        return Response(text.encode(), media_type=media, headers=saved(f"{results.stem}.{kind}"))
    file = await asyncio.to_thread(results.open, kind)
    name = results.files[kind].name
    return OpenFileResponse(file, BOXES if name.endswith(".jpg") else media, saved(name))


class OpenFileResponse(FileResponse):
    """Sends a file that was opened beneath its tree, whole or in ranges, and closes it."""

    def __init__(self, file: IO[bytes], media_type: str, headers: Mapping[str, str]) -> None:
        self._file = file
        own = file.fileno()  # at its name there may be a link by now
        super().__init__(
            f"/proc/self/fd/{own}",
            media_type=media_type,
            headers=headers,
            stat_result=os.fstat(own),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the requested part of the file."""
        with self._file:
            await super().__call__(scope, receive, send)


def saved(name: str) -> dict[str, str]:
    """Headers that make a browser save a file under this name, not show it, and not cache it."""
    plain = re.sub(r'[^ -~]|["\\]', "_", name)
    exact = quote(name, errors="replace")
    return {
        "cache-control": "no-store",
        "content-disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{exact}",
    }


def _zipped(results: Results) -> Iterator[bytes]:
    """A zip of all files, made as it is sent."""
    sink = _Sink()
    with zipfile.ZipFile(sink, mode="w", compression=zipfile.ZIP_DEFLATED) as archive:
        for name, path in results.all.items():
            with (
                opened(path, results.disk) as source,
                archive.open(name, "w", force_zip64=True) as target,
            ):
                while chunk := source.read(_CHUNK):
                    target.write(chunk)
                    yield sink.taken()
            yield sink.taken()
    yield sink.taken()


class _Sink:
    """A target for ZipFile, without seeking, from which the bytes can be taken as they come."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing: ZipFile calls it, but nothing is buffered elsewhere."""

    def close(self) -> None:
        """Do nothing: there is nothing to close."""

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _kind(name: str) -> str | None:
    return next((kind for ending, kind in _ENDINGS.items() if name.endswith(ending)), None)


def _without_ending(name: str) -> str:
    return next((name.removesuffix(end) for end in _ENDINGS if name.endswith(end)), name)


def require_tree(path: Path, disk: Disk) -> None:
    """Refuse a path outside of the folders' trees: who may write there is unknown.

    Raises:
        MissingError: The path is outside, or contains `..`.
    """
    if disk.tree_of(path) is None or ".." in path.parts:
        raise MissingError(
            f"{display(path)} lies outside of every folder that is configured now",
            hint="The folder has been moved since; fetch it there.",
        )


def inside_first(place: Path, disk: Disk) -> Iterator[tuple[Path, bool]]:
    """All paths in a folder, then the folder, each with whether it is one; none if no folder."""
    facts = disk.lstat(place)
    if facts is not None and stat.S_ISDIR(facts.st_mode):
        for name, is_folder in disk.entries(place):
            yield from inside_first(place / name, disk) if is_folder else [(place / name, False)]
        yield place, True


def _below(place: Path, disk: Disk) -> dict[str, Path]:
    """The regular files below a folder, by their paths relative to it."""
    files = (path for path, is_folder in inside_first(place, disk) if not is_folder)
    return {str(path.relative_to(place)): path for path in files if _is_file(path, disk)}


def _siblings(folder: Path, stem: str, disk: Disk) -> dict[str, Path]:
    named = {f"{stem}{ending}": folder / f"{stem}{ending}" for ending in _ENDINGS}
    found = {name: path for name, path in named.items() if _is_file(path, disk)}
    return found | _below(folder / f"{stem}{FIGURES}", disk)


def _is_file(path: Path, disk: Disk) -> bool:
    facts = disk.lstat(path)
    return facts is not None and stat.S_ISREG(facts.st_mode)
