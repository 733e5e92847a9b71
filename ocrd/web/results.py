"""What a finished job has left in the outbox, found by name and read through no link."""

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
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
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
BOXES = "image/jpeg"  # of one image; else a PDF
_CALLED = {"markdown": "md", "text": "txt"}  # what an output is called here, if otherwise
_ENDED = [(end, output) for output, ends in SUFFIXES.items() for end in ends if end != FIGURES]
_ENDINGS = {  # what a name ends with tells its kind; the longer come first
    end: _CALLED.get(output, output)
    for end, output in sorted(_ENDED, key=lambda each: len(each[0]), reverse=True)
}
_CHUNK = 1 << 18
_WRITTEN = ("md", "txt")  # made of the pages where no file was kept: a pile has one a document
_LETTER = (8.5, 11.0)  # inches


_Text = Annotated[str, AfterValidator(lambda text: text.encode(errors="replace").decode())]


class _Told(BaseModel):
    """A part of a sidecar, as far as it is told on; docs/scan.schema.json has all of it."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class Block(_Told):
    """What was read in one place; `boxes` are fractions of the page."""

    label: str
    text: _Text = ""  # half of a character is a question mark
    boxes: list[tuple[float, float, float, float]] = []
    image: str = ""


class CameFrom(_Told):
    """Which page of which file a page is; a file's name may be no text."""

    file: Any
    page: int


class ReadPage(_Told):
    """A page as every interface tells of it: its object in the sidecar, its text in scan.md."""

    number: PositiveInt
    blocks: list[Block] | None = None
    size_in: tuple[PositiveFloat, PositiveFloat] | None = None
    confidence: float | None = None
    partial: str | None = None
    came_from: CameFrom | None = None
    pile_page: PositiveInt | None = None
    span: tuple[NonNegativeInt, NonNegativeInt] | None = None
    markdown: str = ""

    @property
    def inches(self) -> tuple[float, float]:
        """Width and height as it is seen; those of a letter where nobody knows."""
        return self.size_in or _LETTER

    @property
    def plain(self) -> str:
        """Its text without marks; what Markdown there is where no blocks were kept."""
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
    """A bundle, or the files that lie side by side.

    The disk opens them beneath their tree: whoever may write in an outbox could else have another
    file read by planting a link.
    """

    stem: str  # what the files are called without their endings
    all: dict[str, Path]  # by its name in an archive
    disk: Disk

    @classmethod
    def of(cls, job: Job, disk: Disk) -> Results:
        """The results of a job, in one of the trees that `disk` knows.

        Raises:
            MissingError: It is not done, or made none, or somebody took them away.
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
        """By format: `md`, `txt`, `raw`, `json`, `pdf`, `boxes`, `alto`, `hocr`."""
        files: dict[str, Path] = {}
        for name, path in self.all.items():
            if "/" not in name and (kind := _kind(name)) is not None:
                files.setdefault(kind, path)
        return files

    def open(self, kind: str) -> IO[bytes]:
        """One of the files.

        Raises:
            MissingError: The folder's `outputs` does not make it.
        """
        if kind not in self.files:
            made = ", ".join(sorted(self.files)) or "none"
            raise MissingError(
                f"there is no {kind} of this document",
                hint=f"Its folder makes: {made}.  Add it to the folder's `outputs`.",
            )
        return opened(self.files[kind], self.disk)

    def text(self, kind: str) -> str:
        """One of the files as text; `txt` is made of the blocks where it was not kept."""
        if kind in _WRITTEN and kind not in self.files and "json" in self.files:
            texts = [page.plain if kind == "txt" else page.markdown for page in self.pages()]
            if kind == "txt" or any(texts):
                return "\n\n".join(texts)
        with self.open(kind) as file:
            return file.read().decode("utf-8", "replace")

    def pages(self) -> list[ReadPage]:
        """Each page as the sidecar tells of it; without one a single page that has all the text.

        Those of a pile's documents bear their numbers in the pile.
        """
        markdown = self.text("md") if "md" in self.files else ""
        if "json" not in self.files:
            return [ReadPage(number=1, markdown=markdown)]
        try:
            sidecar = _SIDECAR.validate_python(json.loads(self.text("json")))
        except (ValueError, RecursionError) as error:  # pydantic's own errors are such
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
    """A regular file in one of the folders' trees.

    Raises:
        MissingError: It is gone, or a link lies there now, or it lies elsewhere.
        PlaceError: It cannot be read now.
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
    """Which pages a list of numbers and ranges names, such as `0-2,5`; none after the last.

    Raises:
        ValueError: It is no such list.
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
    """A result as a download: a file in ranges, too, what is made of several as it is sent."""
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
    """A file that was opened beneath its tree, whole or in ranges; it is closed at the end."""

    def __init__(self, file: IO[bytes], media_type: str, headers: Mapping[str, str]) -> None:
        self._file = file
        own = file.fileno()  # by its name a link could lie there by now
        super().__init__(
            f"/proc/self/fd/{own}",
            media_type=media_type,
            headers=headers,
            stat_result=os.fstat(own),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what was asked for."""
        with self._file:
            await super().__call__(scope, receive, send)


def saved(name: str) -> dict[str, str]:
    """A browser saves it under this name, shows nothing of it, and keeps no copy."""
    plain = re.sub(r'[^ -~]|["\\]', "_", name)
    exact = quote(name, errors="replace")
    return {
        "cache-control": "no-store",
        "content-disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{exact}",
    }


def _zipped(results: Results) -> Iterator[bytes]:
    """An archive of all files, made as it is sent."""
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
    """What a ZipFile writes to when nobody can seek."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing is open."""

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _kind(name: str) -> str | None:
    return next((kind for ending, kind in _ENDINGS.items() if name.endswith(ending)), None)


def _without_ending(name: str) -> str:
    return next((name.removesuffix(end) for end in _ENDINGS if name.endswith(end)), name)


def require_tree(path: Path, disk: Disk) -> None:
    """What lies outside of the folders' trees is not looked at: who may write there is unknown.

    Raises:
        MissingError: It does.
    """
    if disk.tree_of(path) is None or ".." in path.parts:
        raise MissingError(
            f"{display(path)} lies outside of every folder that is configured now",
            hint="The folder has been moved since; fetch it there.",
        )


def inside_first(place: Path, disk: Disk) -> Iterator[tuple[Path, bool]]:
    """A folder with all that is in it, and of each whether it is a folder; nothing for none."""
    facts = disk.lstat(place)
    if facts is not None and stat.S_ISDIR(facts.st_mode):
        for name, is_folder in disk.entries(place):
            yield from inside_first(place / name, disk) if is_folder else [(place / name, False)]
        yield place, True


def _below(place: Path, disk: Disk) -> dict[str, Path]:
    """The regular files below a folder, each by its name there."""
    files = (path for path, is_folder in inside_first(place, disk) if not is_folder)
    return {str(path.relative_to(place)): path for path in files if _is_file(path, disk)}


def _siblings(folder: Path, stem: str, disk: Disk) -> dict[str, Path]:
    named = {f"{stem}{ending}": folder / f"{stem}{ending}" for ending in _ENDINGS}
    found = {name: path for name, path in named.items() if _is_file(path, disk)}
    return found | _below(folder / f"{stem}{FIGURES}", disk)


def _is_file(path: Path, disk: Disk) -> bool:
    facts = disk.lstat(path)
    return facts is not None and stat.S_ISREG(facts.st_mode)
