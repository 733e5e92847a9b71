"""How it stands, at a glance.  Imports nothing heavy: `ocrd status` has to be instant."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from ocrd.cli.locate import Located, locate


def tell(config: Path | None, *, as_json: bool) -> None:
    """Print how it stands: a table on a terminal, plain lines or JSON otherwise."""
    facts = gather(locate(config))
    if as_json:
        json.dump(facts, sys.stdout, ensure_ascii=False, indent=2)
        print()
    elif sys.stdout.isatty():
        from rich.console import Console

        from ocrd.cli.table import status_view

        Console().print(status_view(facts))
    else:
        print("\n".join(plain(facts)))


def gather(found: Located) -> dict[str, Any]:
    """What `--json` prints; see the README for the meaning of each field.

    Raises:
        LedgerError: The ledger cannot be read.
    """
    from ocrd.ledger.readonly import glance

    now = time.time()
    said = found.word
    counted = {each.folder: each for each in glance(found.ledger).folders}
    told = {each["name"]: each for each in said.get("folders", ())}
    known = [*told] or found.folders  # those named after a mode come and go
    names = [*known, *(name for name in counted if name not in known)]
    return {
        "version": 1,
        "daemon": {
            "state": "stopped" if found.pid is None else "running",
            "pid": found.pid,
            "since": said.get("started_at"),
        },
        "engine": said.get("engine") or _silent_engine(found),
        "pages_per_s": said.get("pages_per_s", 0.0),
        "pages_in_flight": said.get("pages_in_flight", 0),
        "folders": [_folder(name, counted.get(name), told.get(name), now) for name in names],
    }


def _silent_engine(found: Located) -> dict[str, Any]:
    """The engine of a daemon that is stopped, or starts and has not said anything yet."""
    last = (found.snapshot or {}).get("engine") or {"kind": found.engine, "model": None}
    state = "stopped" if found.pid is None else "loading"
    return {**last, "state": state, "detail": "", "devices": [], "steps": []}


def _folder(name: str, counted: Any, told: dict[str, Any] | None, now: float) -> dict[str, Any]:
    oldest = counted.oldest_waiting if counted else None
    return {
        "name": name,
        "waiting": counted.waiting if counted else 0,
        "running": counted.running if counted else 0,
        "done": counted.done if counted else 0,
        "failed": counted.failed if counted else 0,
        "cancelled": counted.cancelled if counted else 0,
        "oldest_waiting_s": round(max(0.0, now - oldest), 1) if oldest is not None else None,
        "pages_per_s": told.get("pages_per_s", 0.0) if told else 0.0,
        "settling": told.get("settling", 0) if told else 0,
        "unmarked": told.get("unmarked", 0) if told else 0,
        "overdue": told.get("overdue", []) if told else [],
        "watch": told.get("watch") if told else None,
        "paused": told.get("paused") if told else None,
        "waits_until": told.get("waits_until") if told else None,
        "conditions": told.get("conditions", []) if told else [],
    }


def plain(facts: dict[str, Any]) -> list[str]:
    """The same for a pipe or a log: a line for each thing."""
    daemon, engine = facts["daemon"], facts["engine"]
    lines = [
        f"daemon {daemon['state']}" + (f" (pid {daemon['pid']})" if daemon["pid"] else ""),
        f"engine {engine['kind'] or '-'} {engine['state']} {engine.get('detail') or ''}".rstrip(),
    ]
    lines += [f"  lowered: {step}" for step in engine.get("steps", ())]
    if daemon["pid"]:
        lines.append(f"pages/s {facts['pages_per_s']:.2f}")
    for each in facts["folders"]:
        oldest = each["oldest_waiting_s"]
        age = f", oldest {duration(oldest)}" if oldest is not None else ""
        speed = f", {each['pages_per_s']:.2f} pages/s" if each["pages_per_s"] else ""
        lines.append(
            f"{each['name']}: {each['waiting']} waiting{age}, {each['running']} running, "
            f"{each['done']} done, {each['failed']} failed{speed}"
        )
        lines += [f"  {line}" for line in (*hours(each), *marks(each), *troubles(each))]
    return lines


def hours(folder: dict[str, Any], now: float | None = None) -> list[str]:
    """Until when a folder outside its schedule waits: `20:00`, or `Sat 00:00` on another day."""
    opens = folder["waits_until"]
    if opens is None:
        return []
    today = time.localtime(now)[:3]
    form = "%H:%M" if time.localtime(opens)[:3] == today else "%a %H:%M"
    return [f"waits until {time.strftime(form, time.localtime(opens))}, by its schedule"]


def marks(folder: dict[str, Any]) -> list[str]:
    """How many files wait for their done marker."""
    count = folder["unmarked"]
    if not count:
        return []
    waiting = "1 file waits" if count == 1 else f"{count} files wait"
    return [f"{waiting} for a done marker"]


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


def duration(seconds: float) -> str:
    """`42 s`, `3 min`, `5 h`, `2 d`: as much as one reads at a glance."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
