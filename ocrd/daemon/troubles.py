"""What is wrong with the daemon itself; parts of it that fail are reported, and run again."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ocrd.errors import OcrdError
from ocrd.events import Events
from ocrd.oserrors import os_error
from ocrd.views.phrases import counted, iso

RESTART_S = (1.0, 5.0, 30.0, 60.0)  # before a failed part runs again; then a defect ends the daemon
RUNS_WELL_S = 600.0  # a part that has run for so long is no longer in trouble


@dataclass
class Troubles:
    """What is wrong with the daemon itself: why, and since when.

    `parts` holds the parts that failed and run again, by name; `refused` says why the configuration
    on the disk is not in force; `lost` holds the trees that are not themselves, which their folders
    report; `orphans` says why originals in the spool that the ledger does not know do not go back
    to an inbox; `clock` says why nothing is deleted for its age now.  Times are seconds since the
    epoch.
    """

    parts: dict[str, tuple[OcrdError, float]] = field(default_factory=dict)
    refused: tuple[OcrdError, float] | None = None
    lost: dict[Path, OcrdError] = field(default_factory=dict)
    orphans: list[OcrdError] = field(default_factory=list)
    clock: OcrdError | None = None

    def told(self) -> list[dict[str, Any]]:
        """The troubles for the snapshot: kind, message, hint and time of each."""
        found = [
            {"kind": "part", "message": error.message, "hint": error.hint, "since": at}
            for error, at in self.parts.values()
        ]
        if self.orphans:
            first, files = self.orphans[0], counted(len(self.orphans), "original")
            message = f"the spool holds {files} that the ledger does not know: {first.message}"
            found.append({"kind": "orphan", "message": message, "hint": first.hint, "since": None})
        if self.clock is not None:
            found.append({**self.clock.shown(), "since": None})
        if self.refused is not None:
            error, at = self.refused
            message = f"the configuration on disk is refused since {iso(at)}: {error.message}"
            found.append({"kind": "config", "message": message, "hint": error.hint, "since": at})
        return found


async def kept_going(
    name: str, part: Callable[[], Awaitable[None]], troubles: Troubles, events: Events
) -> None:
    """Run a part of the daemon; if it ends with an error, report that and run it again.

    Raises:
        OcrdError: It fails again and again, with errors that nobody foresaw.
    """
    failed = 0
    while True:
        began = time.monotonic()
        forget = asyncio.get_running_loop().call_later(RUNS_WELL_S, troubles.parts.pop, name, None)
        try:
            await part()
        except Exception as error:
            failed = 1 if time.monotonic() - began > RUNS_WELL_S else failed + 1
            foreseen = isinstance(error, (OSError, OcrdError))  # a full disk passes
            known = _told(name, error)
            if failed > len(RESTART_S) and not foreseen:
                raise known from error
            again = RESTART_S[min(failed, len(RESTART_S)) - 1]
            troubles.parts[name] = (known, time.time())
            why = {"error": known.message, "traceback": traceback.format_exc()}
            events.error("part.failed", part=name, again_s=again, **why)
            await asyncio.sleep(again)
        else:
            return
        finally:
            forget.cancel()


def _told(part: str, error: Exception) -> OcrdError:
    if isinstance(error, OcrdError):
        return OcrdError(f"{part}: {error.message}", hint=error.hint, kind=error.kind)
    if isinstance(error, OSError):
        return os_error(error, Path(part))
    hint = "This is a defect of ocrd: please report it with the traceback in the log."
    return OcrdError(f"{part} failed: {error!r}", hint=hint, kind="internal")
