"""Tables for terminals."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ocrd.cli.status import duration, hours, marks, troubles
from ocrd.files import display
from ocrd.job import Job

STATE_STYLES = {
    "running": "green",
    "ready": "green",
    "done": "green",
    "loading": "yellow",
    "restarting": "yellow",
    "delivering": "cyan",
    "queued": "",
    "stopped": "red",
    "failed": "red",
    "cancelled": "dim",
}


def state_text(state: str) -> Text:
    """A state in its colour."""
    return Text(state, style=STATE_STYLES.get(state, ""))


def status_view(facts: dict[str, Any]) -> RenderableType:
    """`ocrd status` as a terminal shows it."""
    parts: list[RenderableType] = [_head(facts)]
    parts += [Text(f"lowered: {step}", style="yellow") for step in facts["engine"].get("steps", ())]
    parts.append(_folders(facts["folders"]))
    for folder in facts["folders"]:
        parts += [
            Text(f"{folder['name']}: {line}", style="dim")
            for line in (*hours(folder), *marks(folder))
        ]
        parts += [Text(f"{folder['name']}: {line}", style="yellow") for line in troubles(folder)]
    return Group(*parts)


def _head(facts: dict[str, Any]) -> Text:
    daemon, engine = facts["daemon"], facts["engine"]
    line = Text.assemble("daemon ", state_text(daemon["state"]))
    line.append(f"   engine {engine['kind'] or '-'} ")
    line.append_text(state_text(engine["state"]))
    if engine.get("detail"):
        line.append(f" ({engine['detail']})")
    if daemon["pid"]:
        line.append(f"   {facts['pages_per_s']:.2f} pages/s")
        line.append_text(Text(_left(facts), style="dim"))
    return line


def _left(facts: dict[str, Any]) -> str:
    waiting = sum(folder["waiting"] + folder["running"] for folder in facts["folders"])
    return f"   {facts['pages_in_flight']} pages in flight, {waiting} files to go"


def _folders(folders: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("folder")
    for column in ("waiting", "oldest", "settling", "running", "pages/s", "done", "failed"):
        table.add_column(column, justify="right")
    for folder in folders:
        oldest = folder["oldest_waiting_s"]
        failed = Text(str(folder["failed"]), style="red" if folder["failed"] else "")
        table.add_row(
            Text(folder["name"]),
            str(folder["waiting"]),
            "" if oldest is None else duration(oldest),
            str(folder["settling"]),
            str(folder["running"]),
            f"{folder['pages_per_s']:.2f}" if folder["pages_per_s"] else "",
            str(folder["done"]),
            failed,
        )
    return table


def jobs_view(jobs: list[Job]) -> Table:
    """`ocrd jobs` as a terminal shows it."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("job", justify="right")
    for column in ("state", "folder", "source"):
        table.add_column(column)
    table.add_column("pages", justify="right")
    table.add_column("error")
    for job in jobs:
        pages = "" if job.pages is None else f"{job.pages_done}/{job.pages}"
        table.add_row(
            str(job.id),
            state_text(job.state),
            Text(job.folder),
            Text(display(job.source)),
            pages,
            Text(job.error.message if job.error else "", style="red"),
        )
    return table
