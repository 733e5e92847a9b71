"""The errors of ocrd, each with what the reader can do about it.

Every error has a remedy (its *hint*), a *disposition* that says whether another try can help,
and the exit code of a command that ends with it.  The *kind* is a stable word for the ledger,
the journal and metrics.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from pathlib import Path


class ExitCode(enum.IntEnum):
    """The exit codes of the commands."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_RUNNING = 3
    CONFIG = 4
    SOME_FAILED = 5
    INTERRUPTED = 130


class Disposition(enum.Enum):
    """What happens to the job (or page) that met the error."""

    PERMANENT = "permanent"  # no retry can help: the original goes to failed/ at once
    TRANSIENT = "transient"  # tried again later; costs an attempt
    CONDITION = "condition"  # a place or the engine cannot be used now: wait; costs no attempt


class Reason:
    """Why something failed or has to wait: a stable kind, one sentence, and a remedy."""

    __slots__ = ()

    kind: str
    message: str
    hint: str

    def shown(self) -> dict[str, str]:
        """The fields for JSON: `ocrd status`, `ocrd show`, the sidecar, HTTP."""
        return {"kind": self.kind, "message": self.message, "hint": self.hint}

    def told(self) -> dict[str, str]:
        """The fields for an event, where the message is `error`: an event's message is its name."""
        return {"kind": self.kind, "error": self.message, "hint": self.hint}


class OcrdError(Reason, Exception):
    """An error with a remedy.

    Args:
        message: What happened, in one sentence, with the name of the thing concerned.
        hint: What the reader can do about it.
        kind: A stable word for logs and the ledger; the class's own if omitted.
    """

    kind: str = "error"
    disposition: Disposition = Disposition.TRANSIENT
    exit_code: ExitCode = ExitCode.FAILED

    def __init__(self, message: str, *, hint: str, kind: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if kind is not None:
            self.kind = kind


class ConfigError(OcrdError, ValueError):
    """The configuration cannot be used; nothing was started.

    Also a ValueError, so that pydantic collects the errors that validators raise.
    """

    kind = "config"
    disposition = Disposition.PERMANENT
    exit_code = ExitCode.CONFIG


class UsageError(OcrdError):
    """A command or a request has arguments that cannot be used."""

    kind = "usage"
    disposition = Disposition.PERMANENT
    exit_code = ExitCode.USAGE


class BadFileError(OcrdError):
    """The file itself is at fault; its `kind` says how (`encrypted`, `damaged`, `too-large` …)."""

    kind = "bad-file"
    disposition = Disposition.PERMANENT


class SourceChangedError(OcrdError):
    """The original is no longer what was recorded: gone, replaced or still being written."""

    kind = "source-changed"


_OF_ONE_PATH = frozenset(
    {"no-permission", "name-too-long", "blocked", "invalid-name", "file-size", "folder-full"}
)


class PlaceError(OcrdError):
    """A folder cannot be used now: disk full, read-only, share gone, no permission."""

    kind = "place"
    disposition = Disposition.CONDITION
    path: Path | None = None  # the path that cannot be used, if known

    def is_below(self, trees: Iterable[Path]) -> bool:
        """Whether the error concerns only one path below these trees, not a whole tree.

        It never does for a full disk or a share that is gone.
        """
        path = self.path
        if path is None or self.kind not in _OF_ONE_PATH:
            return False
        return any(path != tree and path.is_relative_to(tree) for tree in trees)


class PageError(OcrdError):
    """This page cannot be recognised; the rest of its document can."""

    kind = "page"
    disposition = Disposition.PERMANENT


class PageFaultError(OcrdError):
    """Recognising this page broke something (a crash, a time-out); it may succeed on its own."""

    kind = "page-fault"


class EngineDownError(OcrdError):
    """The engine is not serving: loading, restarting or dead.  Pages wait for it."""

    kind = "engine-down"
    disposition = Disposition.CONDITION


class EngineSetupError(OcrdError):
    """The engine cannot be started as configured; waiting will not help."""

    kind = "engine-setup"
    disposition = Disposition.CONDITION


class MemoryShortError(OcrdError):
    """The machine (or the service's cgroup) has too little memory now; no file is at fault."""

    kind = "memory-short"
    disposition = Disposition.CONDITION


class LedgerError(OcrdError):
    """The ledger is damaged, locked or lies where SQLite cannot keep it safe."""

    kind = "ledger"
    disposition = Disposition.CONDITION


class FencedError(OcrdError):
    """A later attempt (or a cancel) owns this job now; the earlier one must stop quietly."""

    kind = "fenced"


def first_of(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error of a group, to act on: tasks fail alike, or are cancelled for the first."""
    error: BaseException = failures
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
