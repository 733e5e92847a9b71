"""A job is one file on its way; a page is one page of it.  Pure: no clock, no disk."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from ocrd.errors import Reason
from ocrd.files import FileFacts, display


class JobState(enum.StrEnum):
    """The states of a job."""

    QUEUED = "queued"  # settled and recorded; waits for a claim, perhaps until `not_before`
    RUNNING = "running"  # claimed: the daemon has its original and recognises its pages
    DELIVERING = "delivering"  # bundle complete; final names recorded; renames under way
    DONE = "done"  # bundle in the outbox, original in the archive
    FAILED = "failed"  # original in failed/ with its reason beside it
    CANCELLED = "cancelled"  # stopped by a person; original in failed/


class PageState(enum.StrEnum):
    """The states of a page."""

    PENDING = "pending"
    DONE = "done"
    PARTIAL = "partial"  # kept and labelled: the text is known to be incomplete or doubtful
    FAILED = "failed"  # nothing could be read; the document says so in its place


class Place(enum.StrEnum):
    """Which tree holds the original now."""

    INBOX = "inbox"
    SPOOL = "spool"
    ARCHIVE = "archive"
    FAILED = "failed"
    GONE = "gone"  # a person removed it before it was claimed, or its retention time is over


ACTIVE = (JobState.QUEUED, JobState.RUNNING, JobState.DELIVERING)  # not ended
UNDER_WAY = (JobState.RUNNING, JobState.DELIVERING)  # claimed
UNDELIVERED = (JobState.QUEUED, JobState.RUNNING)  # a cancel still stops these
GIVEN_UP = (JobState.FAILED, JobState.CANCELLED)  # `ocrd retry` queues these again


@dataclass(frozen=True, kw_only=True, slots=True)
class Cause(Reason):
    """A reason as a value that can be stored, compared and reported later."""

    kind: str
    message: str
    hint: str


class JobError(Cause):
    """Why a job or page failed, in the words of the error it met."""

    __slots__ = ()

    @classmethod
    def of(cls, reason: Reason) -> Self:
        """The reason as a value that can be stored."""
        return cls(kind=reason.kind, message=reason.message, hint=reason.hint)


@dataclass(frozen=True, kw_only=True, slots=True)
class Member(FileFacts):
    """A file of a job as it was recorded: the only one, or one of a joined document.

    Attributes:
        source: Path below the folder's inbox, as `os.fsdecode` gives it.
    """

    source: str

    @property
    def name(self) -> str:
        """The file's name: unique in its job, as all members of a document are in one folder."""
        return self.source.rpartition("/")[2]


@dataclass(frozen=True, kw_only=True, slots=True)
class Found(FileFacts):
    """A settled file, opened, checked and hashed: what the inbox hands to the ledger.

    Attributes:
        folder: Name of the folder it was found in.
        source: Path below the folder's inbox, as `os.fsdecode` gives it (surrogates and all).
        priority: The folder's priority; larger goes first.
        members: The files of a joined document in page order; empty for a single file.
            For a joined document, `source` is its name in its members' folder, `size` the sum of
            theirs, `mtime_ns` the latest, `inode` 0 and `sha256` the digest of their digests.
    """

    folder: str
    source: str
    priority: int = 0
    members: tuple[Member, ...] = ()


def joined(folder: str, source: str, members: Sequence[Member], priority: int = 0) -> Found:
    """The joined document `source`, made of `members` in this order."""
    digests = b"".join(bytes.fromhex(member.sha256) for member in members)
    return Found(
        folder=folder,
        source=source,
        size=sum(member.size for member in members),
        mtime_ns=max(member.mtime_ns for member in members),
        inode=0,
        sha256=hashlib.sha256(digests).hexdigest(),
        priority=priority,
        members=tuple(members),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Job(FileFacts):
    """One row of the ledger, as it was when it was read.

    Times are seconds since the epoch; paths are absolute and `os.fsdecode`d, `source` is relative
    to the folder's inbox.  `token` is random and names everything the job owns in the spool, so
    that a new ledger that counts from 1 again never meets an old one's files.  `epoch` grows with
    each claim and fences the steps of earlier ones (`attempts`, the count against the limit, may
    be given back).  `ending` is the end (`failed` or `cancelled`) that has been decided and
    recorded while the original is still on its way to `failed_to`.  `members` are the files of a
    joined document (see `Found`): its original is then a folder that holds them.
    """

    id: int
    token: str
    folder: str
    source: str
    state: JobState
    place: Place
    attempts: int
    priority: int
    pages: int | None
    pages_done: int
    created_at: float
    not_before: float
    started_at: float | None
    finished_at: float | None
    outputs: str | None
    archived_to: str | None
    failed_to: str | None
    error: JobError | None
    cancel_requested: bool
    epoch: int = 0
    ending: JobState | None = None
    members: tuple[Member, ...] = ()

    def told(self) -> dict[str, Any]:
        """The fields of every event about the job."""
        return {"job": self.id, "folder": self.folder, "source": display(self.source)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """One page of a job, as recorded.

    Attributes:
        number: 1-based.
        state: Its state.
        tries: How often it went to the engine, policy retries included.
        tokens: Tokens (or, from an engine that counts none, characters) that came out.
        seconds: Time in the engine; 0 for a reused result.
        reused: Whether the result came from an earlier page of the same content and recipe.
        error: Why it is `partial` or `failed`.
    """

    number: int
    state: PageState
    tries: int = 0
    tokens: int = 0
    seconds: float = 0.0
    reused: bool = False
    error: JobError | None = None
