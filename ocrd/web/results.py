"""What a finished job has left in the outbox, found by name and read without following links."""

from __future__ import annotations

import json
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ocrd.errors import OcrdError
from ocrd.files import display, open_regular
from ocrd.job import Job, JobState

MEDIA = {
    "md": "text/markdown; charset=utf-8",
    "txt": "text/plain; charset=utf-8",
    "raw": "text/plain; charset=utf-8",
    "json": "application/json",
    "pdf": "application/pdf",
    "alto": "application/xml",
    "hocr": "text/html; charset=utf-8",
    "zip": "application/zip",
}
_ENDINGS = {  # by what a name ends with; the longer come first
    ".boxes.pdf": "boxes",
    ".boxes.jpg": "boxes",
    ".raw.mmd": "raw",
    ".alto.xml": "alto",
    ".hocr": "hocr",
    ".md": "md",
    ".txt": "txt",
    ".json": "json",
    ".pdf": "pdf",
}
_CHUNK = 1 << 18


class NoResultError(OcrdError):
    """There is nothing of that kind to be had of a job (`status` as in HTTP)."""

    kind = "no-result"
    status = 404


@dataclass(frozen=True)
class Results:
    """A bundle, or the files that lie side by side.

    Attributes:
        stem: What the files are called without their endings.
        files: By format: `md`, `txt`, `raw`, `json`, `pdf`, `boxes`, `alto`, `hocr`.
        all: Every file below, by its name in an archive.
    """

    stem: str
    files: dict[str, Path]
    all: dict[str, Path]

    @classmethod
    def of(cls, job: Job) -> Results:
        """The results of a job.

        Raises:
            NoResultError: It is not done, or made none, or somebody took them away.
        """
        if job.state is not JobState.DONE:
            raise NoResultError(
                f"job {job.id} is {job.state}, not done", hint=f"See /api/v1/jobs/{job.id}."
            )
        if job.outputs is None:
            raise NoResultError(
                f"job {job.id} has no results", hint="Its folder's `outputs` asks for none."
            )
        place = Path(job.outputs)
        try:
            if stat.S_ISDIR(place.lstat().st_mode):
                found = {
                    path.relative_to(place).as_posix(): path
                    for path in sorted(place.rglob("*"))
                    if not path.is_symlink() and path.is_file()
                }
                stem = _common_stem(found)
            else:
                stem = _without_ending(place.name)
                found = {path.name: path for path in _siblings(place.parent, stem)}
        except OSError as error:
            raise NoResultError(
                f"the results of job {job.id} are not in the outbox any more",
                hint=f"Somebody has taken {display(job.outputs)} away; drop the document again.",
            ) from error
        files: dict[str, Path] = {}
        for name, path in found.items():
            kind = _kind(name)
            if kind is not None and "/" not in name:
                files.setdefault(kind, path)
        return cls(stem=stem, files=files, all=found)

    def open(self, kind: str) -> IO[bytes]:
        """One of the files.

        Raises:
            NoResultError: The folder's `outputs` does not make it.
        """
        if kind not in self.files:
            made = ", ".join(sorted(self.files)) or "none"
            raise NoResultError(
                f"there is no {kind} of this document",
                hint=f"Its folder makes: {made}.  Add it to the folder's `outputs`.",
            )
        return open_regular(self.files[kind])

    def text(self, kind: str) -> str:
        """One of the files as text; `txt` is made of the sidecar's blocks where it was not kept."""
        if kind == "txt" and kind not in self.files:
            return "\n\n".join(self.page_texts())
        with self.open(kind) as file:
            return file.read().decode("utf-8", "replace")

    def sidecar(self) -> dict[str, Any]:
        """What scan.json says; the least of it where there is none."""
        if "json" not in self.files:
            return {"pages": []}
        told: dict[str, Any] = json.loads(self.text("json"))
        return told

    def page_texts(self) -> list[str]:
        """The Markdown of each page, in order."""
        markdown = self.text("md") if "md" in self.files else ""
        spans = [page.get("span") for page in self.sidecar()["pages"]]
        if not spans:
            return [markdown]
        return [markdown[span[0] : span[1]].strip() if span else "" for span in spans]


def zipped(results: Results) -> Iterator[bytes]:
    """An archive of all files, made as it is sent."""
    sink = _Sink()
    with zipfile.ZipFile(sink, mode="w", compression=zipfile.ZIP_DEFLATED) as archive:
        for name, path in results.all.items():
            with open_regular(path) as source, archive.open(name, "w", force_zip64=True) as target:
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


def _common_stem(found: dict[str, Path]) -> str:
    named = [name for name in found if _kind(name) and "/" not in name]
    return _without_ending(named[0]) if named else "document"


def _siblings(folder: Path, stem: str) -> Iterator[Path]:
    for ending in _ENDINGS:
        path = folder / f"{stem}{ending}"
        if path.is_file() and not path.is_symlink():
            yield path
    images = folder / f"{stem}.images"
    if images.is_dir() and not images.is_symlink():
        yield from (path for path in sorted(images.iterdir()) if path.is_file())
