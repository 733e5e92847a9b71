"""`ocrd status`: how it stands, at a glance.  Imports nothing heavy: it has to be instant."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrd.cli import words
from ocrd.cli.locate import Located, locate
from ocrd.errors import ExitCode
from ocrd.files import display
from ocrd.names import ignored

if TYPE_CHECKING:
    from ocrd.ledger.readonly import FolderGlance, Latest

LATEST, FAILURES = 10, 5
WATCH_S = 1.0
RELOAD = "systemctl reload ocrd takes it over."
FRESH = "\x1b[H\x1b[J"  # the cursor home, and everything below it blank


def tell(config: Path | None, *, as_json: bool) -> ExitCode:
    """Print how it stands; the exit code says whether a daemon runs."""
    facts = gather(locate(config))
    if as_json:
        words.print_json(facts)
    else:
        print("\n".join(plain(facts)))
    return ExitCode.OK if facts["daemon"]["pid"] else ExitCode.NOT_RUNNING


def watch(config: Path | None, *, as_json: bool) -> None:
    """Go on telling, once a second: on a screen drawn over, elsewhere one below the other."""
    while True:
        facts = gather(locate(config))
        if as_json:
            words.print_json(facts, indent=None)
        else:
            page = "\n".join(plain(facts))
            print(f"{FRESH}{page}" if words.on_screen() else f"{page}\n", flush=True)
        time.sleep(WATCH_S)


def gather(found: Located) -> dict[str, Any]:
    """What `--json` prints; docs/operating.md tells the meaning of each field.

    Raises:
        LedgerError: The ledger cannot be read.
    """
    from ocrd.ledger.readonly import glance

    now, said = time.time(), found.word
    seen = glance(found.ledger, LATEST)
    counted = {each.folder: each for each in seen.folders}
    told = {each["name"]: each for each in said.get("folders", ())}
    known = [*told] or [*found.folders]  # those named after a mode come and go
    names = [*known, *(name for name in counted if name not in known)]
    failures = [job for job in seen.ended if job.state == "failed"]
    folders = [_folder(found, name, counted.get(name), told.get(name), now) for name in names]
    facts = {
        "version": 1,
        "daemon": {
            "state": "stopped" if found.pid is None else "running",
            "pid": found.pid,
            "since": words.iso(said.get("started_at")),
        },
        "engine": said.get("engine") or _silent_engine(found),
        "pages_per_s": said.get("pages_per_s", 0.0),
        "pages_in_flight": said.get("pages_in_flight", 0),
        "folders": folders,
        "strays": _strays(found),
        "latest": [_ended(each) for each in seen.ended[:LATEST]],
        "failures": [_ended(each) for each in failures[:FAILURES]],
        "troubles": _troubles(found),
        "held": _held(found),
        "hanging": said.get("hanging", []),
    }
    return facts | {"left_s": _left_s(facts, seen.ended)}


def _silent_engine(found: Located) -> dict[str, Any]:
    """The engine of a daemon that is stopped, or starts and has not said anything yet."""
    last = (found.snapshot or {}).get("engine") or {"kind": found.engine, "model": None}
    state = "stopped" if found.pid is None else "loading"
    return {**last, "state": state, "detail": "", "devices": [], "steps": []}


def _folder(
    found: Located,
    name: str,
    counted: FolderGlance | None,
    told: dict[str, Any] | None,
    now: float,
) -> dict[str, Any]:
    told = told or {}
    oldest = counted.oldest_waiting if counted else None
    counts = ("waiting", "running", "done", "failed", "cancelled")
    return {
        "name": name,
        **{count: getattr(counted, count) if counted else 0 for count in counts},
        "oldest_waiting_s": round(max(0.0, now - oldest), 1) if oldest is not None else None,
        "in_inbox": lying(found.folders[name]) if not told and name in found.folders else None,
        "pages_per_s": told.get("pages_per_s", 0.0),
        "settling": told.get("settling", 0),
        "unmarked": told.get("unmarked", 0),
        "overdue": told.get("overdue", []),
        "watch": told.get("watch"),
        "paused": told.get("paused"),
        "waits_until": words.iso(told.get("waits_until")),
        "conditions": told.get("conditions", []),
    }


def lying(inbox: Path) -> int:
    """How many files lie in an inbox, those left alone not counted."""
    count = 0
    for _, folders, files in os.walk(inbox):
        folders[:] = [name for name in folders if not ignored(name)]
        count += sum(1 for name in files if not ignored(name))
    return count


def _strays(found: Located) -> list[dict[str, Any]]:
    """Files in the wrong place: in `inbox/` itself, or in a folder there that nobody watches."""
    said: list[dict[str, Any]] | None = found.word.get("strays")
    if said is not None:
        return said
    return [*strays(found.spool.parent / "inbox", found.folders.values())]


def strays(inbox: Path, watched: Collection[Path]) -> Iterator[dict[str, Any]]:
    """Places below `inbox` where files lie that no folder takes, and how many."""
    homes = {os.path.normpath(path) for path in watched}
    above = {parent for home in homes for parent in map(str, Path(home).parents)}
    try:
        entries = sorted(os.scandir(inbox), key=lambda entry: entry.name)
    except OSError:
        return
    loose = sum(1 for entry in entries if not ignored(entry.name) and not entry.is_dir())
    if loose and os.path.normpath(inbox) not in homes:
        yield {"path": str(inbox), "files": loose}
    for entry in entries:
        theirs = entry.path in homes or entry.path in above or ignored(entry.name)
        if not theirs and entry.is_dir() and (files := lying(Path(entry.path))):
            yield {"path": entry.path, "files": files}


def _ended(job: Latest) -> dict[str, Any]:
    error = {"kind": job.error_kind, "message": job.error_message, "hint": job.error_hint}
    return {
        "id": job.id,
        "folder": job.folder,
        "source": display(job.source),
        "state": job.state,
        "pages": job.pages,
        "finished_at": words.iso(job.finished_at),
        "error": error if job.error_kind else None,
    }


def _troubles(found: Located) -> list[dict[str, Any]]:
    """What is wrong with the daemon itself, and with the configuration that it does not have."""
    said = found.word
    told = [{**each, "since": words.iso(each.get("since"))} for each in said.get("troubles", ())]
    if any(each["kind"] == "config" for each in told):
        return told
    if found.refused is not None:
        message = f"the configuration on disk is refused: {found.refused.message}"
        return [*told, {"kind": "config", "message": message, "hint": found.refused.hint}]
    if said.get("config_digest", found.file_digest) != found.file_digest:
        message = "the configuration on disk has changed since the daemon read it"
        return [*told, {"kind": "config", "message": message, "hint": RELOAD}]
    return told


def _held(found: Located) -> list[dict[str, Any]]:
    """Jobs that wait for something of their own."""
    return [{**each, "until": words.iso(each["until"])} for each in found.word.get("held", ())]


def _left_s(facts: dict[str, Any], ended: Sequence[Latest]) -> float | None:
    """Seconds until all that waits is done, if it goes on so; None where that is unknown."""
    files = sum(each["waiting"] + each["running"] for each in facts["folders"])
    counts = [job.pages for job in ended if job.pages]
    if not files or not facts["pages_per_s"]:
        return None
    pages = sum(counts) / len(counts) if counts else 1.0
    return float(round(files * pages / facts["pages_per_s"], 1))


def plain(facts: dict[str, Any]) -> list[str]:
    """How it stands in lines; on a terminal they fit it and have colours."""
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
        left = f", {words.about(facts['left_s'])} left" if facts["left_s"] else ""
        yield (
            f"pages/s {facts['pages_per_s']:.2f}, {words.counted(facts['pages_in_flight'], 'page')}"
            f" in flight, {words.counted(files, 'file')} to go{left}"
        )
    for each in facts["troubles"]:
        yield from words.wrapped(f"{each['message']} - {each['hint']}")
    for each in facts["held"][:FAILURES]:
        yield from words.wrapped(f"job {each['id']} waits: {each['message']} - {each['hint']}")


def _folders(facts: dict[str, Any]) -> list[str]:
    """A row for each folder, then what there is to say of each."""
    running = facts["daemon"]["pid"] is not None
    arriving = "settling" if running else "in inbox"
    heads = ["folder", "waiting", "oldest", arriving, "running", "done", "failed"]
    rows = [
        _row(each, each["settling"] if running else each["in_inbox"]) for each in facts["folders"]
    ]
    lines = words.table(heads, rows, right=heads[1:], give=["folder"])
    for each in facts["folders"]:
        for line in (*hours(each), *marks(each), *troubles(each)):
            lines += words.wrapped(f"{each['name']}: {line}", "  ")
    return lines


def _row(folder: dict[str, Any], arriving: int | None) -> list[str]:
    oldest = folder["oldest_waiting_s"]
    return [
        folder["name"],
        f"{folder['waiting']:,}",
        "" if oldest is None else words.duration(oldest),
        "" if arriving is None else f"{arriving:,}",
        *(f"{folder[count]:,}" for count in ("running", "done", "failed")),
    ]


def _misplaced(facts: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    for each in facts["strays"]:
        lie = "lies" if each["files"] == 1 else "lie"
        lines += words.wrapped(
            f"{words.counted(each['files'], 'file')} {lie} in no folder: {display(each['path'])} "
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
        at = words.when(datetime.fromisoformat(ended).timestamp(), now) if ended else ""
        pages = "" if each["pages"] is None else str(each["pages"])
        rows.append([str(each["id"]), at, each["state"], each["folder"], each["source"], pages])
    heads = ["job", "ended", "state", "folder", "file", "pages"]
    return words.table(heads, rows, right=["job", "pages"], give=["folder", "file"]) if rows else []


def hours(folder: dict[str, Any], now: float | None = None) -> list[str]:
    """Until when a folder outside its schedule waits: `20:00`, or `Sat 00:00` on another day."""
    from datetime import datetime

    if folder["waits_until"] is None:
        return []
    opens = datetime.fromisoformat(folder["waits_until"]).timestamp()
    today = time.localtime(now)[:3]
    form = "%H:%M" if time.localtime(opens)[:3] == today else "%a %H:%M"
    return [f"waits until {time.strftime(form, time.localtime(opens))}, by its schedule"]


def marks(folder: dict[str, Any]) -> list[str]:
    """How many files wait for their done marker."""
    count = folder["unmarked"]
    if not count:
        return []
    return [f"{words.counted(count, 'file')} {'waits' if count == 1 else 'wait'} for a done marker"]


def troubles(folder: dict[str, Any]) -> list[str]:
    """What keeps a folder waiting, each with its remedy."""
    paused = folder["paused"]
    found = [f"paused: {paused['message']} - {paused['hint']}"] if paused else []
    found += [
        f"{each['message']} - {each['hint']}"
        for each in folder["conditions"]
        if not paused or each["message"] != paused["message"]
    ]
    found += [f"never comes to rest: {path}" for path in folder["overdue"][:3]]
    return found
