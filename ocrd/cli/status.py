"""`ocrd status`: everything at a glance.  Imports nothing heavy, because it has to be instant."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ocrd.cli import words
from ocrd.errors import ExitCode
from ocrd.names import display
from ocrd.views.locate import locate
from ocrd.views.phrases import about, counted, duration, when
from ocrd.views.status import FAILURES, gather

WATCH_S = 1.0
FRESH = "\x1b[H\x1b[J"  # moves the cursor home and clears the screen below it


def tell(config: Path | None, *, as_json: bool) -> ExitCode:
    """Print the status; the exit code says whether a daemon is running."""
    facts = gather(locate(config))
    if as_json:
        words.print_json(facts)
    else:
        print("\n".join(plain(facts)))
    return ExitCode.OK if facts["daemon"]["pid"] else ExitCode.NOT_RUNNING


def watch(config: Path | None, *, as_json: bool) -> None:
    """Print the status once a second: in place on a terminal, otherwise one below the other."""
    while True:
        facts = gather(locate(config))
        if as_json:
            words.print_json(facts, indent=None)
        else:
            page = "\n".join(plain(facts))
            print(f"{FRESH}{page}" if words.on_screen() else f"{page}\n", flush=True)
        time.sleep(WATCH_S)


def plain(facts: dict[str, Any]) -> list[str]:
    """The status as lines; on a terminal they fit its width and have colours."""
    lines = [*_head(facts), "", *_folders(facts)]
    for section in (_misplaced(facts), _failures(facts), _latest(facts)):
        lines += ["", *section] if section else []
    return lines


def _head(facts: dict[str, Any]) -> Iterator[str]:
    daemon, engine = facts["daemon"], facts["engine"]
    pid = f" (pid {daemon['pid']})" if daemon["pid"] else ""
    yield f"daemon {words.state_of(daemon['state'])}{pid}"
    detail = f" {engine['detail']}" if engine.get("detail") else ""
    yield f"engine {engine['kind'] or '-'} {words.state_of(engine['state'])}{detail}"
    if engine["kind"] == "server":
        for each in engine.get("devices", ()):
            yield from words.wrapped(each, "  ")
    for step in engine.get("steps", ()):
        yield from words.wrapped(f"lowered: {step}", "  ")
    if daemon["pid"]:
        files = sum(each["waiting"] + each["running"] for each in facts["folders"])
        left = f", {about(facts['left_s'])} left" if facts["left_s"] else ""
        yield (
            f"pages/s {facts['pages_per_s']:.2f}, {counted(facts['pages_in_flight'], 'page')}"
            f" in flight, {counted(files, 'file')} to go{left}"
        )
    for each in facts["troubles"]:
        yield from words.wrapped(f"{each['message']} - {each['hint']}")
    for each in facts["held"][:FAILURES]:
        yield from words.wrapped(f"job {each['id']} waits: {each['message']} - {each['hint']}")


def _folders(facts: dict[str, Any]) -> list[str]:
    """A table with a row for each folder, then the hours and troubles of each."""
    running = facts["daemon"]["pid"] is not None
    arriving = "settling" if running else "in inbox"
    heads = ["folder", "waiting", "oldest", arriving, "running", "done", "failed"]
    rows = [
        _row(each, each["settling"] if running else each["in_inbox"]) for each in facts["folders"]
    ]
    lines = words.table(heads, rows, right=heads[1:], give=["folder"])
    for each in facts["folders"]:
        for line in (*hours(each), *troubles(each)):
            lines += words.wrapped(f"{each['name']}: {line}", "  ")
    return lines


def _row(folder: dict[str, Any], arriving: int | None) -> list[str]:
    oldest = folder["oldest_waiting_s"]
    return [
        folder["name"],
        f"{folder['waiting']:,}",
        "" if oldest is None else duration(oldest),
        "" if arriving is None else f"{arriving:,}",
        *(f"{folder[count]:,}" for count in ("running", "done", "failed")),
    ]


def _misplaced(facts: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    for each in facts["strays"]:
        lie = "lies" if each["files"] == 1 else "lie"
        lines += words.wrapped(
            f"{counted(each['files'], 'file')} {lie} in no folder: {display(each['path'])} "
            "(add a [[folder]] for it, or move them)"
        )
    return lines


def _failures(facts: dict[str, Any]) -> list[str]:
    lines = []
    for each in facts["failures"]:
        error = each["error"] or {"kind": "failed", "message": "", "hint": ""}
        said = (
            f"{each['id']}  {each['folder']}/{each['source']}: {error['kind']}: {error['message']}"
        )
        lines += words.wrapped(f"{said} - {error['hint']}", "  ")
    return ["last failures", *lines] if lines else []


def _latest(facts: dict[str, Any]) -> list[str]:
    from datetime import datetime

    now = time.time()
    rows = []
    for each in facts["latest"]:
        ended = each["finished_at"]
        at = when(datetime.fromisoformat(ended).timestamp(), now) if ended else ""
        pages = "" if each["pages"] is None else str(each["pages"])
        rows.append([str(each["id"]), at, each["state"], each["folder"], each["source"], pages])
    heads = ["job", "ended", "state", "folder", "file", "pages"]
    return words.table(heads, rows, right=["job", "pages"], give=["folder", "file"]) if rows else []


def hours(folder: dict[str, Any], now: float | None = None) -> list[str]:
    """A line with the time until which a folder waits by its schedule: `20:00`, or `Sat 00:00`."""
    from datetime import datetime

    if folder["waits_until"] is None:
        return []
    opens = datetime.fromisoformat(folder["waits_until"]).timestamp()
    today = time.localtime(now)[:3]
    form = "%H:%M" if time.localtime(opens)[:3] == today else "%a %H:%M"
    return [f"waits until {time.strftime(form, time.localtime(opens))}, by its schedule"]


def troubles(folder: dict[str, Any]) -> list[str]:
    """A line for each thing that keeps a folder waiting, with its remedy."""
    paused, count = folder["paused"], folder["unmarked"]
    wait = "waits" if count == 1 else "wait"
    found = [f"{counted(count, 'file')} {wait} for a done marker"] if count else []
    found += [f"paused: {paused['message']} - {paused['hint']}"] if paused else []
    found += [
        f"{each['message']} - {each['hint']}"
        for each in folder["conditions"]
        if not paused or each["message"] != paused["message"]
    ]
    found += [f"never comes to rest: {path}" for path in folder["overdue"][:3]]
    return found
