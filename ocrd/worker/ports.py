"""What the worker needs of its neighbours, and nothing more."""

from __future__ import annotations

from collections.abc import (
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar

from ocrd.config.ownership import Ownership
from ocrd.document.base import BundleSpec, BundleSummary
from ocrd.job import Job, JobError, Member, Page, Place
from ocrd.page import PageImage
from ocrd.pages.base import DocumentInfo
from ocrd.pages.reading import OwnText

P = ParamSpec("P")
T = TypeVar("T")


class Ledger(Protocol):
    """The steps of a job, each one transaction, fenced by the claim that the `Job` carries."""

    def moved(self, job: Job, place: Place) -> Job:
        """The original is in `place` now."""

    def set_pages(self, job: Job, count: int, *, recipe: str | None = None) -> Job:
        """The document has `count` pages; what was finished under another recipe is dropped."""

    def page_done(self, job: Job, page: Page, payload: str | None, *, recipe: str) -> None:
        """One page is finished; `payload` is its `PageResult` as JSON, None for a failed one."""

    def finished_pages(self, job: Job, recipe: str) -> Mapping[int, Page]:
        """Pages of this job that need not be computed again under `recipe`."""

    def payloads(self, job: Job, recipe: str) -> Iterator[tuple[Page, str | None]]:
        """The job's pages in order, with their payloads."""

    def reusable(self, sha256: str, recipe: str, number: int) -> str | None:
        """The payload of a done page of any job with the same content and recipe."""

    def release(self, job: Job, *, not_before: float, error: JobError | None, refund: bool) -> Job:
        """Back to the queue until `not_before`; `refund` gives the attempt back."""

    def rerecord(
        self,
        job: Job,
        *,
        size: int,
        mtime_ns: int,
        inode: int,
        sha256: str,
        members: tuple[Member, ...] | None = None,
    ) -> Job:
        """The original changed: its new identity; finished pages of the old one are dropped."""

    def gone(self, job: Job) -> Job:
        """A person took the original out of the inbox."""

    def deliver(self, job: Job, *, outputs: str | None, archived_to: str) -> Job:
        """The bundle is complete and will be published under these names."""

    def redeliver(
        self, job: Job, *, outputs: str | None = None, archived_to: str | None = None
    ) -> Job:
        """A name was taken meanwhile: this one instead; None keeps what is recorded."""

    def next_number(self, folder: str) -> int:
        """A number for a document of the folder that no other one gets."""

    def done(self, job: Job) -> Job:
        """Bundle published, original archived."""

    def intend_failure(
        self, job: Job, error: JobError, failed_to: str, *, cancelled: bool = False
    ) -> Job:
        """The original will go to `failed_to` for this reason."""

    def failed(self, job: Job, place: Place = Place.FAILED) -> Job:
        """It is there, or stays in `place` because it cannot be moved."""

    def cancelled(self, job: Job, place: Place = Place.FAILED) -> Job:
        """Likewise, and a person wanted it so."""


class Spool(Protocol):
    """Crash-safe moves; each may be repeated after a crash at any point."""

    def claim(self, job: Job, source: Path) -> Path:
        """The original becomes ours; its path in the spool."""

    def remove_marker(self, marker: Path) -> None:
        """The done marker of a claimed original goes, if it is there."""

    def holds(self, job: Job) -> bool:
        """Whether anything of the job is there: until `finish`, something is."""

    def spooled(self, job: Job) -> Path:
        """Where the original lies while it is ours."""

    def unchanged(self, job: Job) -> bool:
        """Whether the spooled original still is what was recorded."""

    def pages_file(self, job: Job) -> Path:
        """Where the worker writes the pages for the document builder."""

    def new_bundle(self, job: Job) -> Path:
        """An empty folder to build the bundle in."""

    def seal(self, bundle: Path) -> None:
        """Everything in the bundle is on the disk."""

    def publish(self, job: Job, target: Path, owner: Ownership) -> None:
        """Bundle to outbox, owned as the folder wants it.  `FileExistsError`: the name is taken."""

    def made(self, job: Job) -> list[str]:
        """Names in the sealed bundle that are not published yet."""

    def publish_each(self, job: Job, targets: Sequence[tuple[str, Path]], owner: Ownership) -> None:
        """Entries of the bundle one by one.  `FileExistsError`: a name is taken."""

    def free_stem(self, folder: Path, choices: Iterable[str], suffixes: Collection[str]) -> Path:
        """The first of the choices whose names with all the suffixes nothing has."""

    def archive(self, job: Job, target: Path, owner: Ownership) -> None:
        """Original to archive.  `FileExistsError`: the name is taken."""

    def fail(self, job: Job, target: Path, report: bytes, owner: Ownership) -> None:
        """Original to failed/, its report beside it.  `FileExistsError`: the name is taken."""

    def free_name(
        self, folder: Path, name: str, *, is_dir: bool = False, also_taken: Collection[str] = ()
    ) -> Path:
        """The first of NAME, NAME (2), … that nothing has."""

    def finish(self, job: Job) -> None:
        """Nothing of the job is needed any more."""


class Pages(Protocol):
    """Files become page images."""

    async def inspect(self, path: Path) -> DocumentInfo:
        """What the file is and how many pages it has."""

    async def page(self, path: Path, number: int, *, codes: bool = False) -> PageImage:
        """One page, 1-based, as pixels; with what barcodes on it say if `codes`."""

    async def own_text(self, path: Path, number: int) -> OwnText | None:
        """What a page of a PDF says of itself; None if that is nothing."""


Build = Callable[[BundleSpec, int], Awaitable[BundleSummary]]
"""Builds a bundle of so many pages in a child process."""


class Call(Protocol):
    """Runs a blocking call off the event loop."""

    def __call__(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
        """Await what `call` returns."""
