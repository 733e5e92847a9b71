"""Carries out the requests of members of the root's group (see `ocrd.requests`).

While no daemon runs, a retry or a cancel is carried out by the process that asks for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import stat
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ocrd import snapshot
from ocrd.config import Config
from ocrd.daemon.scheduler import Scheduler
from ocrd.daemon.wiring import open_places
from ocrd.errors import LedgerError, OcrdError, UsageError
from ocrd.events import Events
from ocrd.files import Disk, display, write_durably
from ocrd.job import Job
from ocrd.ledger.ledger import Ledger
from ocrd.oserrors import os_error
from ocrd.requests import ANSWERS, REQUESTS, ask
from ocrd.worker.calls import LEDGER
from ocrd.worker.deliver import Delivery
from ocrd.worker.worker import CANCELLED

LOOK_S = 0.2
STALE_S = 60.0  # after this, nobody waits for the answer any more
LONGEST = 1 << 20  # bytes of a request: a hundred thousand jobs
AT_ONCE = 100
PLACE = "the requests"


class Requests:
    """Looks for requests, and answers them.

    The folders that people have paused are recorded in the spool, to last over restarts.
    """

    def __init__(self, scheduler: Scheduler, disk: Disk | None = None) -> None:
        parts, spool = scheduler.parts, scheduler.parts.home
        self._requests = spool / REQUESTS
        self._answers = spool / ANSWERS
        self._gid = spool.parent.stat().st_gid
        self._scheduler = scheduler
        self._ledger, self._events, self._call = parts.ledger, parts.events, parts.call
        self._halts, self._disk = spool / "paused.json", disk or Disk()
        with contextlib.suppress(OSError, ValueError, AttributeError):
            told = json.loads(self._disk.read(self._halts) or b"")["folders"]
            scheduler.halted = {str(name): float(since) for name, since in told.items()}

    async def run(self) -> None:
        """Look for requests and answer them until cancelled."""
        await self._call(PLACE, self._prepare)
        while True:
            for name, request in await self._call(PLACE, self._taken):
                answer = await self._answer(request)
                await self._call(PLACE, self._write, name, answer)
            await asyncio.sleep(LOOK_S)

    def _prepare(self) -> None:
        """Make the folders for requests, which the group may add to, and for answers, to read."""
        for folder, mode in ((self._requests, 0o3770), (self._answers, 0o2750)):
            folder.mkdir(exist_ok=True)
            with contextlib.suppress(PermissionError):  # not of that group: its members use sudo
                os.chown(folder, -1, self._gid, follow_symlinks=False)
            folder.chmod(mode)

    def _taken(self) -> list[tuple[str, dict[str, Any] | OcrdError]]:
        """Take the pending requests out of their folder, and remove old answers."""
        taken: list[tuple[str, dict[str, Any] | OcrdError]] = []
        now = time.time()
        for old in self._answers.iterdir():
            with contextlib.suppress(OSError):
                if now - old.stat().st_mtime > STALE_S:
                    old.unlink()
        for path in sorted(self._requests.iterdir())[:AT_ONCE]:
            with contextlib.suppress(OSError):  # withdrawn meanwhile
                fresh = abs(now - path.lstat().st_mtime) < STALE_S
                if path.name.startswith(".") and fresh:
                    continue
                request = self._read(path)
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
                if fresh and not path.name.startswith("."):
                    taken.append((path.name, request))
        return taken

    def _read(self, path: Path) -> dict[str, Any] | OcrdError:
        """The request in a file; an error if it is no request, or its owner may not make it."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            return os_error(error, path)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_size > LONGEST:
                return _no_request(path)
            if not self._may_ask(found.st_uid):
                return UsageError(
                    f"user {found.st_uid} is not of the root's group",
                    hint="Only its members may ask that of the daemon.",
                )
            try:
                told = json.loads(file.read(LONGEST))
            except (ValueError, RecursionError):
                return _no_request(path)
        return told if isinstance(told, dict) else _no_request(path)

    def _may_ask(self, uid: int) -> bool:
        if uid in (0, os.geteuid()):
            return True
        try:
            user = pwd.getpwuid(uid)
        except KeyError:
            return False
        return self._gid in os.getgrouplist(user.pw_name, user.pw_gid)

    async def _answer(self, request: dict[str, Any] | OcrdError) -> dict[str, Any]:
        try:
            if isinstance(request, OcrdError):
                raise request
            answer = await self._carry_out(request)
        except OcrdError as error:
            self._events.warn("request.refused", kind=error.kind, error=error.message)
            return {"version": 1, "error": error.shown()}
        self._events.emit("request.carried_out", what=str(request["do"]))
        return {"version": 1, **answer}

    async def _carry_out(self, request: Mapping[str, Any]) -> dict[str, Any]:
        match request:
            case {"do": "retry", "failed": True}:
                return answer_of(await self._call(LEDGER, self._ledger.retry, None))
            case {"do": "retry" | "cancel" as what, "jobs": list(numbers)}:
                given = (each for each in numbers if type(each) is int and 0 < each < 1 << 62)
                return await self._of_numbers(what, list(given))
            case {"do": "pause" | "resume" as what, "all": True}:
                return await self._halt(what, list(self._scheduler.folders))
            case {"do": "pause" | "resume" as what, "folders": list(names)}:
                return await self._halt(what, [str(name) for name in names])
        raise UsageError("nobody here knows that request", hint="Upgrade ocrd on both sides.")

    async def _of_numbers(self, what: str, numbers: list[int]) -> dict[str, Any]:
        known, unknown = await self._call(LEDGER, known_among, self._ledger, numbers)
        if what == "retry":
            done = await self._call(LEDGER, self._ledger.retry, known)
            self._scheduler.wake()
        else:
            done = await self._scheduler.cancel(known)
        return answer_of(done, known, unknown)

    async def _halt(self, what: str, names: list[str]) -> dict[str, Any]:
        since = dict(self._scheduler.halted)
        for name in names:
            if name not in self._scheduler.folders and name not in since:
                known = ", ".join(self._scheduler.folders) or "none is configured"
                raise UsageError(f"there is no folder {display(name)!r}", hint=f"Folders: {known}.")
            if what == "pause":
                since.setdefault(name, time.time())
            else:
                since.pop(name, None)
        content = json.dumps({"version": 1, "folders": since}).encode()
        try:
            await self._call(PLACE, write_durably, self._halts, content, self._disk)
        except OSError as error:  # nothing has changed
            raise os_error(error, self._halts) from error
        self._scheduler.halted = since
        self._scheduler.wake()
        return {"folders": names}

    def _write(self, name: str, answer: Mapping[str, Any]) -> None:
        """Write an answer that appears whole; on a full disk none does, and the asker times out."""
        draft = self._answers / f".{name}"
        with contextlib.suppress(OSError):
            draft.write_text(json.dumps(answer), encoding="utf-8")
            draft.chmod(0o640)
            draft.rename(self._answers / name)


def request(spool: Path, asked: Mapping[str, Any], config: Callable[[], Config]) -> dict[str, Any]:
    """Have jobs retried or cancelled, by the daemon if one runs.

    Args:
        spool: The daemon's own tree.
        asked: The request, as `ocrd.requests.ask` takes it: `retry` or `cancel`.
        config: Loads the configuration; called only if no daemon runs, since a daemon has its own.

    Returns:
        The answer, as from `ocrd.requests.ask`.

    Raises:
        UsageError: This user may not ask for it.
        LedgerError: The ledger cannot be used.
        PlaceError: An original cannot be moved now; the daemon's next start continues.
    """
    if snapshot.holder(spool / snapshot.LOCK) is None:
        try:
            return _carry_out(config(), asked)
        except LedgerError as error:
            if error.kind != "already-running":
                raise
    return ask(spool, asked)


def _carry_out(config: Config, asked: Mapping[str, Any]) -> dict[str, Any]:
    if asked["do"] == "cancel":
        return _cancel(config, asked["jobs"])
    with Ledger.open(config.ledger, create=False, check=False) as ledger:
        if asked.get("failed"):
            return answer_of(ledger.retry(None))
        known, unknown = known_among(ledger, asked["jobs"])
        return answer_of(ledger.retry(known), known, unknown)


def _cancel(config: Config, numbers: Collection[int]) -> dict[str, Any]:
    """Cancel jobs, holding the locks that keep a daemon from starting meanwhile."""
    with Ledger.open(config.ledger, create=False, check=False) as ledger:
        known, unknown = known_among(ledger, numbers)
    ledger, spool, places = open_places(config, Events())
    with places:
        spool.know(config.folders)
        done = ledger.request_cancel(known)
        delivery = Delivery(ledger=ledger, spool=spool, clock=time.time)
        for job in ledger.cancellations():
            if (folder := config.folder(job.folder)) is not None:
                delivery.fail(job, folder, CANCELLED, cancelled=True)
        return answer_of(done, known, unknown)


def known_among(ledger: Ledger, numbers: Collection[int]) -> tuple[list[int], list[int]]:
    """The numbers that are jobs in the ledger, and those that are not; both sorted."""
    known = [number for number in sorted(set(numbers)) if ledger.job(number) is not None]
    return known, sorted(set(numbers) - set(known))


def answer_of(
    done: Sequence[Job], known: Collection[int] = (), unknown: Collection[int] = ()
) -> dict[str, Any]:
    """The answer to a request: the jobs changed, known jobs left as they are, unknown numbers."""
    jobs = [{"id": job.id, "folder": job.folder, "source": display(job.source)} for job in done]
    left = sorted(set(known) - {job.id for job in done})
    return {"jobs": jobs, "left": left, "unknown": list(unknown)}


def _no_request(path: Path) -> UsageError:
    return UsageError(
        f"{display(path.name)} is no request", hint="Ask by `ocrd retry`, `cancel`, `pause`."
    )
