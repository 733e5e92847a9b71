"""Metrics as Prometheus gets them: scraped over HTTP, or read from the text file."""

from __future__ import annotations

import os
import re
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ocrd.config import Settings
from ocrd.engine.base import EngineState
from ocrd.errors import PlaceError
from ocrd.events import Event, Events
from ocrd.observe.metrics import CONNECTIONS, KINDS, PATIENCE_S, Metrics
from ocrd.observe.sinks import Audience, audience
from tests.support.needs import slow
from tests.support.ports import reserved_port

PROJECT = Path(__file__).parents[3]
FACTS: dict[str, Any] = {
    "engine": {"state": "loading"},
    "pages_in_flight": 7,
    "folders": [
        {
            "name": "invoices",
            "waiting": 3,
            "running": 1,
            "oldest_waiting_s": 42.5,
            "paused": {"kind": "disk-full", "message": "full", "hint": "Free some."},
            "waits_until": None,
        },
        {
            "name": "photos",
            "waiting": 0,
            "running": 0,
            "oldest_waiting_s": None,
            "paused": None,
            "waits_until": 1_800_000_000.0,
        },
    ],
}

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(text: str) -> Samples:
    """Each sample by name and labels, read by Prometheus' own parser."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


class Scraped:
    """Metrics on a port of their own."""

    def __init__(self, port: int) -> None:
        self.metrics = Metrics()
        self.events = Events(self.metrics)
        self.port = port

    def scrape(self) -> Samples:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=120) as answer:
            assert answer.status == 200
            return parsed(answer.read().decode())


@pytest.fixture
def served() -> Iterator[Scraped]:
    with reserved_port() as port:
        each = Scraped(port)
        stop = each.metrics.serve(port)
        yield each
        stop()


def test_jobs_are_counted_by_folder_and_outcome(served: Scraped) -> None:
    for number in range(3):
        served.events.emit("job.done", job=number, folder="invoices", seconds=4.0)
    served.events.error("job.failed", job=9, folder="invoices", kind="encrypted")
    served.events.emit("job.cancelled", job=10, folder="photos")
    seen = served.scrape()
    assert value(seen, "ocrd_jobs_total", folder="invoices", outcome="done") == 3
    assert value(seen, "ocrd_jobs_total", folder="invoices", outcome="failed") == 1
    assert value(seen, "ocrd_jobs_total", folder="photos", outcome="cancelled") == 1
    assert value(seen, "ocrd_failures_total", folder="invoices", kind="encrypted") == 1
    assert value(seen, "ocrd_job_seconds_count", folder="invoices") == 3
    assert value(seen, "ocrd_job_seconds_sum", folder="invoices") == 12


def test_pages_are_counted_and_reused_ones_apart_without_a_duration(served: Scraped) -> None:
    served.events.debug("page.done", folder="a", page=1, reused=False, seconds=0.5)
    served.events.debug("page.done", folder="a", page=2, reused=True, seconds=0.0)
    served.events.warn("page.partial", folder="a", page=3, reused=False, seconds=1.5)
    served.events.warn("page.failed", folder="a", page=4, kind="page")
    seen = served.scrape()
    counted = {
        outcome: value(seen, "ocrd_pages_total", folder="a", outcome=outcome)
        for outcome in ("done", "reused", "partial", "failed")
    }
    assert counted == {"done": 1, "reused": 1, "partial": 1, "failed": 1}
    assert value(seen, "ocrd_page_seconds_count") == 2
    assert value(seen, "ocrd_page_seconds_sum") == 2


def test_what_is_no_end_is_not_counted(served: Scraped) -> None:
    for name in ("job.started", "job.deferred", "page.waits", "daemon.started", "engine.ready"):
        served.events.emit(name, folder="a", seconds=1.0)
    assert not any(name.endswith("_total") for name, _ in served.scrape())


def test_gauges_say_how_the_daemon_stands(served: Scraped) -> None:
    served.metrics.stand(FACTS)
    seen = served.scrape()
    states = {
        dict(labels)["state"]: number
        for (name, labels), number in seen.items()
        if name == "ocrd_engine_state"
    }
    assert [state for state, number in states.items() if number] == ["loading"]
    assert states.keys() == {state.value for state in EngineState}
    assert value(seen, "ocrd_pages_in_flight") == 7
    assert value(seen, "ocrd_queue_jobs", folder="invoices", state="waiting") == 3
    assert value(seen, "ocrd_oldest_waiting_seconds", folder="invoices") == 42.5
    assert value(seen, "ocrd_oldest_waiting_seconds", folder="photos") == 0
    assert value(seen, "ocrd_folder_paused", folder="invoices") == 1
    assert value(seen, "ocrd_folder_paused", folder="photos") == 0
    assert value(seen, "ocrd_folder_closed", folder="invoices") == 0
    assert value(seen, "ocrd_folder_closed", folder="photos") == 1


def test_only_this_machine_can_scrape(served: Scraped) -> None:
    """The port is free on every other address."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.2", served.port))


def test_after_the_stop_nobody_answers_and_no_thread_is_left() -> None:
    before = set(threading.enumerate())
    with reserved_port() as port:
        each = Scraped(port)
        stop = each.metrics.serve(port)
        each.scrape()
        stop()
        for thread in set(threading.enumerate()) - before:  # one that answered may just be ending
            thread.join(60)
            assert not thread.is_alive()
        with pytest.raises(OSError, match="refused"):
            each.scrape()


def test_a_taken_port_is_told_with_a_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = Settings.model_validate({"root": tmp_path, "metrics": {"port": port}})
        with pytest.raises(PlaceError, match=str(port)) as told, audience(settings, "info"):
            raise AssertionError("it started")
    assert "free port" in told.value.hint


def test_the_text_file_holds_what_a_scrape_would_and_is_replaced_whole(tmp_path: Path) -> None:
    file = tmp_path / "ocrd.prom"
    settings = Settings.model_validate({"root": tmp_path, "metrics": {"textfile": file}})
    with audience(settings, "error") as heard:
        heard.events.emit("job.done", folder="invoices", seconds=1.0)
        for listener in heard.listeners:
            listener(FACTS)
    seen = parsed(file.read_text())
    assert value(seen, "ocrd_jobs_total", folder="invoices", outcome="done") == 1
    assert value(seen, "ocrd_pages_in_flight") == 7
    assert [path.name for path in tmp_path.iterdir()] == ["ocrd.prom"]


def test_a_text_file_that_cannot_be_written_is_told_once_and_stops_nothing(tmp_path: Path) -> None:
    file = tmp_path / "later" / "ocrd.prom"
    settings = Settings.model_validate({"root": tmp_path, "metrics": {"textfile": file}})
    warned: list[Event] = []
    with audience(settings, "error") as heard:
        heard.events.add(warned.append)
        for _ in range(3):
            stand(heard)
        assert [event.name for event in warned] == ["metrics.unwritten"]
        assert warned[0].fields["hint"]
        file.parent.mkdir()
        stand(heard)
        assert file.exists()
        assert len(warned) == 1


def stand(heard: Audience) -> None:
    for listener in heard.listeners:
        listener(FACTS)


@pytest.mark.parametrize("document", ["prometheus-rules.yml", "grafana-dashboard.json"])
def test_the_documents_ask_only_for_metrics_that_there_are(document: str) -> None:
    metrics = Metrics()
    families = {family.name for family in metrics.registry.collect()}
    told = set(re.findall(r"\bocrd_[a-z_]+", (PROJECT / "docs" / document).read_text()))
    assert told
    for name in told:
        plain = re.sub(r"_(total|bucket|sum|count)$", "", name)
        assert plain in families, f"{document}: {name}"


@slow
def test_a_thousand_idle_connections_take_few_descriptors_and_pass(
    served: Scraped,
) -> None:
    before = set(os.listdir("/proc/self/fd"))
    idle = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(200)]
    time.sleep(0.5)
    assert len(set(os.listdir("/proc/self/fd")) - before) <= len(idle) + CONNECTIONS
    deadline = time.monotonic() + 10 * PATIENCE_S
    while True:  # those that say nothing are given up
        try:
            served.scrape()
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    for each in idle:
        each.close()


def test_kinds_that_a_hostile_file_invents_do_not_grow_for_ever(served: Scraped) -> None:
    for number in range(10 * KINDS):
        served.events.error("job.failed", folder="a", kind=f"invented-{number}")
    seen = served.scrape()
    kinds = [labels for name, labels in seen if name == "ocrd_failures_total"]
    assert len(kinds) == KINDS + 1
    assert value(seen, "ocrd_failures_total", folder="a", kind="other") == 9 * KINDS
