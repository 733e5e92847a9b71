"""A job's original, opened: the files it consists of, and where each page of the document is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocrd.document.base import PageOrigin
from ocrd.errors import BadFileError, OcrdError
from ocrd.files import display
from ocrd.job import Job, Member
from ocrd.pages.base import DocumentInfo
from ocrd.worker.collation import SINGLE, Collation
from ocrd.worker.ports import Pages

UNREADABLE = "unreadable"  # the kind of a file that no page can be had of


@dataclass(frozen=True, kw_only=True)
class Part:
    """One file of an original.

    Attributes:
        what: As it was recorded.
        path: Where it lies in the spool.
        info: What it is; None when it cannot be opened.
        error: Why not.
    """

    what: Job | Member
    path: Path
    info: DocumentInfo | None = None
    error: OcrdError | None = None

    @property
    def pages(self) -> int:
        """How many pages it gives; one that cannot be opened stands for one, and is labelled."""
        return self.info.pages if self.info else 1

    @property
    def name(self) -> str:
        """What a person knows it by, in one harmless line."""
        return display(self.what.source.rpartition("/")[2])


@dataclass(frozen=True, kw_only=True)
class Original:
    """All files of an original, and the order of their pages.

    Attributes:
        path: Where it lies in the spool.
        parts: Its files.
        collation: Which page of the document is which page of which of them.
    """

    path: Path
    parts: tuple[Part, ...]
    collation: Collation

    @property
    def plain(self) -> bool:
        """Whether it is one file in page order: no folder, be there but one file in it."""
        return self.collation.plain and isinstance(self.parts[0].what, Job)

    @property
    def kind(self) -> str:
        """`image` when all of it is made of pixels."""
        kinds = {part.info.kind for part in self.parts if part.info}
        return "image" if kinds == {"image"} else "pdf"

    def find(self, number: int) -> tuple[Path, int]:
        """The file that holds page `number` of the document, and the page's number in it.

        Raises:
            BadFileError: That file cannot be opened; the document's other pages can be had.
        """
        file, page = self.collation.place(number)
        part = self.parts[file]
        if part.error is not None:
            raise part.error
        return part.path, page

    def blamed(self, number: int, error: OcrdError) -> OcrdError:
        """What is wrong with a page, with the place where a person finds it."""
        if self.plain:
            return error
        file, page = self.collation.place(number)
        part = self.parts[file]
        where = part.name if part.pages == 1 else f"{part.name}, page {page}"
        return type(error)(f"{where}: {error.message}", hint=error.hint, kind=error.kind)

    def came_from(self, number: int) -> dict[str, Any] | None:
        """For the sidecar: where page `number` was found; None when that is plain."""
        if self.plain:
            return None
        file, page = self.collation.place(number)
        return {"file": self.parts[file].name, "page": page}

    def origins(self) -> tuple[PageOrigin, ...]:
        """For the document builder: where each page lies; empty when that is plain."""
        if self.plain:
            return ()
        return tuple(map(self._origin, range(1, self.collation.pages + 1)))

    def facts(self) -> dict[str, Any]:
        """For the sidecar's head: the files and what each gave, and how a pile was put together."""
        if self.plain:
            return {}
        told: dict[str, Any] = {"duplex": self.collation.duplex}
        if isinstance(self.parts[0].what, Member):
            gave: list[list[int]] = [[] for _ in self.parts]
            for number in range(1, self.collation.pages + 1):
                gave[self.collation.place(number)[0]].append(number)
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

    def _origin(self, number: int) -> PageOrigin:
        file, page = self.collation.place(number)
        part = self.parts[file]
        kind = part.info.kind if part.info else UNREADABLE
        return PageOrigin(source=part.path, kind=kind, page=page, pages=part.pages)


async def opened(job: Job, path: Path, duplex: str, pages: Pages) -> Original:
    """Look at every file of the original that lies at `path`.

    One file of several that cannot be opened costs the document no more than its own place: it
    stands there as one page that could not be read.  Not so in a duplex pile, where a page more or
    less would put every sheet together with another one's back.

    Raises:
        BadFileError: The only file, or one of a duplex pile, cannot be opened; or fronts and backs
            are not equally many.
        SourceChangedError, PlaceError: As `PageSource.inspect`.
    """
    if not job.members:
        parts = [Part(what=job, path=path, info=await pages.inspect(path))]
    else:
        parts = [await _part(member, path / member.name, pages) for member in job.members]
    broken = next((part for part in parts if part.error is not None), None)
    if broken is not None and duplex != SINGLE and broken.error is not None:
        raise BadFileError(
            f"{broken.name}: {broken.error.message}  Which back belongs to which front can only "
            "be told when all files can be read.",
            hint=broken.error.hint,
            kind=broken.error.kind,
        )
    collation = Collation.of([part.pages for part in parts], duplex)
    return Original(path=path, parts=tuple(parts), collation=collation)


async def _part(member: Member, path: Path, pages: Pages) -> Part:
    try:
        return Part(what=member, path=path, info=await pages.inspect(path))
    except BadFileError as error:
        return Part(what=member, path=path, error=error)
