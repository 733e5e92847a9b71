"""Which commands there are.  Each lives in a module of its own, named after it."""

from __future__ import annotations

import typer

from ocrd.cli import config, demo, jobs, requests, run, status


def add_to(app: typer.Typer) -> None:
    """Register every command."""
    app.command("run")(run.run)
    app.command("status")(status.status)
    app.command("jobs")(jobs.jobs)
    app.command("show")(jobs.show)
    app.command("retry")(requests.retry)
    app.command("cancel")(requests.cancel)
    app.command("submit")(requests.submit)
    app.command("demo")(demo.demo)
    app.add_typer(config.app, name="config")
