"""A progress bar on a terminal: files, pages, pages per second, time left."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as Bars

from ocrd.daemon.status import JOB_ENDS, PAGE_EVENTS, Rates
from ocrd.events import Event
from ocrd.views.phrases import about, counted


class Progress:
    """A sink that draws what the events tell.

    The time left is an estimate: pages of files that were opened are known, and files still
    waiting are taken to have as many pages as those on average.
    """

    def __init__(self) -> None:
        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.fields[stage]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("files  {task.fields[speed]}"),
            console=Console(stderr=True),
        )
        self._rates = Rates()
        self._task = self._bars.add_task("run", total=0, stage="starting", speed="")
        self._files = 0
        self._ended = 0
        self._opened = 0
        self._pages_known = 0

    def __enter__(self) -> Progress:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def __call__(self, event: Event) -> None:
        """Draw one event."""
        self._rates(event)
        if event.name == "engine.progress":
            self._bars.update(self._task, stage=f"engine: {event.fields['stage']}")
        elif event.name == "engine.ready":
            self._bars.update(self._task, stage="reading")
        elif event.name == "job.queued":
            self._files += 1
        elif event.name == "job.started":
            self._opened += 1
            self._pages_known += int(event.fields.get("pages") or 0)
        elif event.name in JOB_ENDS:
            self._ended += 1
        elif event.name not in PAGE_EVENTS:
            return
        self._bars.update(self._task, total=self._files, completed=self._ended, speed=self._speed())

    def _speed(self) -> str:
        rate = self._rates.pages_per_s()
        pages = counted(self._rates.pages, "page")
        if rate <= 0:
            return pages
        left = max(0.0, self._pages_expected() - self._rates.pages) / rate
        return f"{pages}  {rate:.2f} pages/s  {about(left)} left"

    def _pages_expected(self) -> float:
        mean = self._pages_known / self._opened if self._opened else 1.0
        return self._pages_known + mean * max(0, self._files - self._opened)
