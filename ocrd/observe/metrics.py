"""Prometheus metrics: counts of events, and gauges of the daemon's status.

Labels are folders, outcomes and kinds of errors: words from the configuration and the code, never
file names.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    write_to_textfile,
)
from prometheus_client.exposition import MetricsHandler

from ocrd.events import Event

LOOPBACK = "127.0.0.1"
ENGINE_STATES = ("stopped", "loading", "ready", "restarting", "failed")
PAGE_BUCKETS = (0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300)
CONNECTIONS = 16  # at once; further ones are closed
PATIENCE_S = 5.0  # with a connection that sends nothing
KINDS = 64  # of failures that are counted separately: a hostile file may invent new ones
JOB_BUCKETS = (1, 2, 5, 10, 30, 60, 120, 300, 900, 3600, 14400)


class Metrics:
    """A sink that counts, with gauges set from the daemon's snapshot."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry)
        histogram = partial(Histogram, registry=self.registry)
        self._jobs = counter("ocrd_jobs", "Jobs ended.", ["folder", "outcome"])
        self._failures = counter("ocrd_failures", "Jobs failed, by kind.", ["folder", "kind"])
        self._kinds: set[str] = set()
        self._pages = counter("ocrd_pages", "Pages finished.", ["folder", "outcome"])
        self._page_s = histogram(
            "ocrd_page_seconds", "Time of a page in the engine.", buckets=PAGE_BUCKETS
        )
        self._job_s = histogram(
            "ocrd_job_seconds", "From the claim to done.", ["folder"], buckets=JOB_BUCKETS
        )
        self._queue = gauge("ocrd_queue_jobs", "Jobs now.", ["folder", "state"])
        self._oldest = gauge(
            "ocrd_oldest_waiting_seconds", "Age of the oldest queued job.", ["folder"]
        )
        self._paused = gauge("ocrd_folder_paused", "1 while a folder is paused.", ["folder"])
        self._closed = gauge("ocrd_folder_closed", "1 outside the folder's schedule.", ["folder"])
        self._engine = gauge("ocrd_engine_state", "1 for the state it is in.", ["state"])
        self._in_flight = gauge("ocrd_pages_in_flight", "Pages in the engine.")
        self._gpu = gauge("ocrd_gpu_memory_used_bytes", "By device.", ["device"])

    def __call__(self, event: Event) -> None:
        """Count one event."""
        family, _, outcome = event.name.partition(".")
        folder = str(event.fields.get("folder", ""))
        if family == "page" and outcome in ("done", "partial", "failed"):
            self._pages.labels(folder, "reused" if event.fields.get("reused") else outcome).inc()
            if seconds := event.fields.get("seconds"):
                self._page_s.observe(seconds)
        elif family == "job" and outcome in ("done", "failed", "cancelled"):
            self._jobs.labels(folder, outcome).inc()
            if outcome == "failed":
                self._failures.labels(folder, self._kind(event)).inc()
            if seconds := event.fields.get("seconds"):
                self._job_s.labels(folder).observe(seconds)

    def _kind(self, event: Event) -> str:
        kind = str(event.fields.get("kind"))
        if len(self._kinds) < KINDS:
            self._kinds.add(kind)
        return kind if kind in self._kinds else "other"

    def stand(self, facts: Mapping[str, Any]) -> None:
        """Set the gauges from the daemon's snapshot, and the one for GPU memory."""
        for state in ENGINE_STATES:
            self._engine.labels(state).set(facts["engine"]["state"] == state)
        self._in_flight.set(facts["pages_in_flight"])
        for folder in facts["folders"]:
            name = folder["name"]
            self._queue.labels(name, "waiting").set(folder["waiting"])
            self._queue.labels(name, "running").set(folder["running"])
            self._oldest.labels(name).set(folder["oldest_waiting_s"] or 0)
            self._paused.labels(name).set(bool(folder["paused"]))
            self._closed.labels(name).set(folder["waits_until"] is not None)
        for device, used in gpu_memory():
            self._gpu.labels(device).set(used)

    def serve(self, port: int) -> Callable[[], None]:
        """Answer scrapes on the loopback address; returns a function that stops it."""
        own = {"registry": self.registry, "timeout": PATIENCE_S}
        handler = type("Scrape", (MetricsHandler,), own)
        server = _Scrapes((LOOPBACK, port), handler)
        thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
        thread.start()

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        return stop

    def write(self, file: Path) -> None:
        """Write the metrics for node_exporter's textfile collector: whole or not at all.

        Raises:
            OSError: The file cannot be written.
        """
        write_to_textfile(str(file), self.registry)


class _Scrapes(ThreadingHTTPServer):
    """Answers at most `CONNECTIONS` clients at a time: each takes a thread and a descriptor."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._free = threading.BoundedSemaphore(CONNECTIONS)
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore errors: a client may leave before the answer."""


def gpu_memory() -> list[tuple[str, int]]:
    """Bytes used on each NVIDIA GPU; empty without one, or without nvidia-ml-py."""
    try:
        import pynvml
    except ImportError:
        return []
    found = []
    with contextlib.suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        for number in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(number)
            found.append((str(number), int(pynvml.nvmlDeviceGetMemoryInfo(handle).used)))
    return found
