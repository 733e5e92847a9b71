"""A job's original: the files it consists of, and which page of which file is page n.

The files of a joined document follow one another.  In a duplex pile the fronts of all sheets come
first, then their backs: in the same order, or last first if the pile was turned over.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ocrd.document.base import PageOrigin
from ocrd.errors import BadFileError, OcrdError, SourceChangedError
from ocrd.files import FileFacts, display, open_regular
from ocrd.job import Found, Job, Member, joined
from ocrd.pages.base import DocumentInfo
from ocrd.pages.source import ChildPageSource

UNREADABLE = "unreadable"  # the kind of a file that cannot be opened

SINGLE = "none"  # the pages are in order as they come
REVERSED = "reversed"  # fronts 1 … n, backs n … 1
SAME = "same"  # fronts 1 … n, backs 1 … n


def collated(counts: Sequence[int], duplex: str = SINGLE) -> list[tuple[int, int]]:
    """The file, and the page in that file, for each page of a document from page 1 on.

    Args:
        counts: How many pages each file has, in the order of the files; each at least 1.
        duplex: `SINGLE`, `REVERSED` or `SAME`.

    Returns:
        For each page the file's index, from 0, and the page's number in that file, from 1.

    Raises:
        BadFileError: There are not as many backs as fronts (kind `uneven-pile`).
    """
    scanned = [(file, page) for file, pages in enumerate(counts) for page in range(1, pages + 1)]
    if duplex == SINGLE:
        return scanned
    _require_even(counts)
    half = len(scanned) // 2
    fronts, backs = scanned[:half], scanned[half:]
    follow = backs if duplex == SAME else backs[::-1]
    return [place for sheet in zip(fronts, follow, strict=True) for place in sheet]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One file of an original, at `path` in the spool; `error` says why it cannot be opened."""

    what: Job | Member
    path: Path
    info: DocumentInfo | None = None
    error: OcrdError | None = None

    @property
    def pages(self) -> int:
        """The number of pages; a file that cannot be opened counts as one page, labelled so."""
        return self.info.pages if self.info else 1

    @property
    def kind(self) -> str:
        """`pdf` or `image`; `UNREADABLE` for a file that cannot be opened."""
        return self.info.kind if self.info else UNREADABLE

    @property
    def name(self) -> str:
        """The file's own name, made safe to display on one line."""
        return display(self.what.source.rpartition("/")[2])


@dataclass(frozen=True, kw_only=True)
class Original:
    """All files of an original at `path` in the spool, and the order of their pages.

    `places` says where each page is, in the form that `collated` returns.
    """

    path: Path
    parts: tuple[Part, ...]
    duplex: str
    places: Sequence[tuple[int, int]]

    @property
    def order(self) -> list[int | str] | None:
        """The page order, for the recipe; None if page numbers are those of the only file."""
        if len(self.parts) == 1 and self.duplex == SINGLE:
            return None
        return [self.duplex, *(part.pages for part in self.parts)]

    @property
    def plain(self) -> bool:
        """Whether it is one file in page order; a joined document is not, even with one file."""
        return isinstance(self.parts[0].what, Job) and self.order is None

    @property
    def kind(self) -> str:
        """`image` if all files that can be opened are images, otherwise `pdf`."""
        kinds = {part.info.kind for part in self.parts if part.info}
        return "image" if kinds == {"image"} else "pdf"

    def where(self, number: int) -> tuple[Part, int]:
        """The file that holds page `number` of the document, and the page's number in it."""
        file, page = self.places[number - 1]
        return self.parts[file], page

    def find(self, number: int) -> tuple[Path, int]:
        """The path of the file that holds page `number`, and the page's number in it.

        Raises:
            BadFileError: That file cannot be opened; the document's other files may still be read.
        """
        part, page = self.where(number)
        if part.error is not None:
            raise part.error
        return part.path, page

    def blamed(self, number: int, error: OcrdError) -> OcrdError:
        """The error of page `number`, with the file and page where a person finds it."""
        if self.plain:
            return error
        part, page = self.where(number)
        where = part.name if part.pages == 1 else f"{part.name}, page {page}"
        return type(error)(f"{where}: {error.message}", hint=error.hint, kind=error.kind)

    def came_from(self, number: int) -> dict[str, Any] | None:
        """For the sidecar: the file and page that page `number` came from; None if `plain`."""
        if self.plain:
            return None
        part, page = self.where(number)
        return {"file": part.name, "page": page}

    def origins(self) -> tuple[PageOrigin, ...]:
        """For the document builder: the file and page of each page; empty if `plain`."""
        if self.plain:
            return ()
        found = [(self.parts[file], page) for file, page in self.places]
        return tuple(
            PageOrigin(source=part.path, kind=part.kind, page=page, pages=part.pages)
            for part, page in found
        )

    def facts(self) -> dict[str, Any]:
        """For the sidecar's head: how a pile was collated, and the pages that each member gave."""
        if self.plain:
            return {}
        told: dict[str, Any] = {"duplex": self.duplex}
        if isinstance(self.parts[0].what, Member):
            gave: list[list[int]] = [[] for _ in self.parts]
            for number, (file, _) in enumerate(self.places, start=1):
                gave[file].append(number)
            told["members"] = [
                {
                    "source": display(part.what.source),
                    "sha256": part.what.sha256,
                    "size": part.what.size,
                    "pages": pages,
                }
                for part, pages in zip(self.parts, gave, strict=True)
            ]
        return told


async def opened(job: Job, path: Path, duplex: str, pages: ChildPageSource) -> Original:
    """Inspect every file of the original at `path`.

    If one of several files cannot be opened, the rest of the document is still read; that file
    counts as one page that could not be read.  Not so in a duplex pile, where one page more or less
    would pair every front with the wrong back.

    Raises:
        BadFileError: The only file, or a file of a duplex pile, cannot be opened; or there are not
            as many backs as fronts.
        SourceChangedError, PlaceError: As `ChildPageSource.inspect`.
    """
    parts = []
    for what in job.members or (job,):
        lies = path / what.name if isinstance(what, Member) else path
        try:
            parts.append(Part(what=what, path=lies, info=await pages.inspect(lies)))
        except BadFileError as error:
            if what is job:
                raise
            parts.append(Part(what=what, path=lies, error=error))
    for part in parts if duplex != SINGLE else ():
        if part.error is not None:
            raise BadFileError(
                f"{part.name}: {part.error.message}  Which back belongs to which front can only "
                "be told when all files can be read.",
                hint=part.error.hint,
                kind=part.error.kind,
            )
    places = collated([part.pages for part in parts], duplex)
    return Original(path=path, parts=tuple(parts), duplex=duplex, places=places)


def identity(job: Job, path: Path) -> Found:
    """The job's original as it is now at `path`, to be recorded anew.

    A file that was taken out of a joined document's folder no longer belongs to the document.

    Raises:
        BadFileError: A link, a pipe or the like is in its place (kind `not-a-file`).
        SourceChangedError: None of a joined document's files is left (kind `source-gone`).
        PlaceError: It cannot be read now.
    """
    if not job.members or path.is_symlink():
        return Found(folder=job.folder, source=job.source, **asdict(_facts(path)))
    left = [each for each in job.members if (path / each.name).is_file()]
    if not left:
        raise SourceChangedError(
            f"{display(job.source)}: none of its files is there any more",
            hint="Nothing to do if they were taken away on purpose; else drop them again.",
            kind="source-gone",
        )
    members = [Member(source=each.source, **asdict(_facts(path / each.name))) for each in left]
    return joined(job.folder, job.source, members)


def _facts(path: Path) -> FileFacts:
    with open_regular(path) as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return FileFacts.of(os.fstat(file.fileno()), sha256)


def _require_even(counts: Sequence[int]) -> None:
    pages = sum(counts)
    if len(counts) == 2 and counts[0] != counts[1]:
        fronts, backs = counts
        told = f"{_so_many(fronts, 'front')} and {_so_many(backs, 'back')}"
    elif pages % 2:
        told = f"{_so_many(pages, 'page')}, which is no even number"
    else:
        return
    raise BadFileError(
        f"Fronts and backs cannot be put together: the pile has {told}.",
        hint="A sheet was missed or fed twice, or the pile was printed on one side only: scan it "
        "again, both sides of every sheet, or drop it into a folder without `duplex`.",
        kind="uneven-pile",
    )


def _so_many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
