"""Times the web page, a job, the list and search over 1,000,000 jobs, against 1,000.

Expected: at most 3 times as long.

With `--latency`: the time from an upload to its result, with an engine that takes 10 ms, when each
step was recorded, and the CPU time of a document.  Expected: at most 0.5 s on an idle machine.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

import httpx
from fastapi.testclient import TestClient

from bench.common import cpu_s, fill, machine, root_with
from ocrd.config import load
from ocrd.ledger.search import SearchIndex, index_of
from ocrd.web.app import create_app
from ocrd.web.store import Role
from tests.integration.test_web import page
from tests.support.site import site, until

FEW, MANY = 1_000, 1_000_000
RUNS = 15
DOCUMENTS = 20
PATHS = (
    "/",
    "/part/now",
    "/part/jobs",
    "/jobs",
    "/jobs?before=500",
    "/jobs?after=500",
    "/jobs?state=failed&folder=scans",
    "/jobs?name=7",
    "/api/v1/jobs",
    "/api/v1/jobs?limit=50&before_id=500",
    "/api/v1/jobs?folder=scans&limit=50",
    "/api/v1/jobs?state=failed&limit=5",
    "/api/v1/status",
    "/jobs/17",
    "/search?q=common",
    "/search?q=word17",
    "/search?q=common+word17",
)
_ENDED = """
    UPDATE jobs SET finished_at = created_at, place = 'archive',
        state = CASE id % 1000 WHEN 1 THEN 'failed' ELSE 'done' END WHERE id % 1000 <> 2
"""


def after_years(ledger: Path, jobs: int) -> None:
    """Record and index jobs of one page each, most of them done, a few failed or waiting."""
    fill(ledger, jobs)
    with closing(sqlite3.connect(ledger)) as db, db:
        db.execute(_ENDED)
    index = index_of(ledger)
    SearchIndex(index).close()
    with closing(sqlite3.connect(index)) as db, db:
        numbers = range(1, jobs + 1)
        db.executemany("INSERT INTO pages VALUES (?, ?, 1, 'scans')", ((n, n) for n in numbers))
        texts = ((n, f"common word{n} of page {n % 97}") for n in numbers)
        db.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", texts)


def seconds(jobs: int) -> dict[str, float]:
    """The shortest time of each path over `jobs` jobs, to leave out what a busy machine adds."""
    with root_with() as root:
        after_years(root / ".ocrd" / "ledger.db", jobs)
        app = create_app(load(root / "config.toml"))
        token = app.state.desk.store.add_token("bench", Role.OPERATE, None)
        headers = {"authorization": f"Bearer {token}"}
        with TestClient(app, "http://localhost", headers=headers) as client:
            return {path: _least(client, path) for path in PATHS}


def _least(client: TestClient, path: str) -> float:
    taken = []
    for _ in range(RUNS):
        began = time.perf_counter()
        client.get(path).raise_for_status()
        taken.append(time.perf_counter() - began)
    return min(taken)


def latency() -> None:
    """Time uploads one after the other; the fastest counts, as the machine may be busy."""
    with root_with() as root, site(root / "srv") as up, up.client() as client:
        until(lambda: client.get("/api/v1/status").json()["engine"]["state"] == "ready")
        assert up.daemon is not None
        assert up.web is not None
        both = (up.daemon.pid, up.web.pid)
        for warm in range(3):
            _uploaded(client, f"warm {warm}")
        before = [cpu_s(pid) for pid in both]
        taken = sorted(_uploaded(client, f"document {n}") for n in range(DOCUMENTS))
        spent = [cpu_s(pid) - was for pid, was in zip(both, before, strict=True)]
        with closing(sqlite3.connect(up.root / ".ocrd/ledger.db")) as db:
            query = "SELECT name, at FROM history WHERE job_id = ? ORDER BY seq"
            steps = [(name, at - taken[0][1]) for name, at in db.execute(query, (taken[0][2],))]
    print(machine())
    print(", ".join(f"{name} {after * 1000:.0f} ms" for name, after in steps))
    print(f"CPU a document: daemon {spent[0] / DOCUMENTS * 1000:.0f} ms without its children, "
          f"web {spent[1] / DOCUMENTS * 1000:.0f} ms")  # fmt: skip
    print(f"least {taken[0][0]:.2f} s, median {taken[DOCUMENTS // 2][0]:.2f} s")


def _uploaded(client: httpx.Client, words: str) -> tuple[float, float, int]:
    """Seconds from an upload to its result, the time of its start, and its job's number."""
    content, began = page(words), time.time()
    told = client.post("/api/v1/ocr", params={"name": f"{words}.png", "wait": 50}, content=content)
    return time.time() - began, began, int(told.raise_for_status().json()["id"])


def main() -> None:
    if "--latency" in sys.argv:
        latency()
        return
    few, many = seconds(FEW), seconds(MANY)
    print(machine())
    for path in PATHS:
        times = f"{few[path] * 1000:.1f} ms, {MANY:,} {many[path] * 1000:.1f} ms"
        print(f"{path}: {FEW:,} jobs {times}, ratio {many[path] / few[path]:.1f}")
    print(f"ratio {max(many[path] / few[path] for path in PATHS):.1f}")


if __name__ == "__main__":
    main()
