"""The page and the list of jobs over 1,000,000 jobs, against 1,000.  Expected: at most 3 times."""

from __future__ import annotations

import sqlite3
import statistics
import time
from contextlib import closing
from pathlib import Path

from fastapi.testclient import TestClient

from bench.common import machine, root_with
from bench.status import fill
from ocrd.config import load
from ocrd.web.app import create_app
from ocrd.web.store import Role

FEW, MANY = 1_000, 1_000_000
RUNS = 15
PATHS = ("/", "/api/v1/jobs", "/api/v1/status", "/api/v1/jobs?state=failed&limit=5", "/jobs/17")


def ended(ledger: Path) -> None:
    """Most of them are done, a few failed: as after years."""
    with closing(sqlite3.connect(ledger)) as db, db:
        db.execute("UPDATE jobs SET state = 'done', finished_at = created_at WHERE id % 1000 > 2")
        db.execute("UPDATE jobs SET state = 'failed', finished_at = created_at WHERE id % 1000 = 1")


def seconds(jobs: int) -> dict[str, float]:
    """The median time of each path over so many jobs."""
    with root_with() as root:
        fill(root / ".ocrd" / "ledger.db", jobs)
        ended(root / ".ocrd" / "ledger.db")
        app = create_app(load(root / "config.toml"))
        token = app.state.desk.store.add_token("bench", Role.OPERATE, None)
        headers = {"authorization": f"Bearer {token}"}
        with TestClient(app, "http://localhost", headers=headers) as client:
            return {path: _median(client, path) for path in PATHS}


def _median(client: TestClient, path: str) -> float:
    taken = []
    for _ in range(RUNS):
        began = time.perf_counter()
        client.get(path).raise_for_status()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def main() -> None:
    few, many = seconds(FEW), seconds(MANY)
    print(machine())
    for path in PATHS:
        print(
            f"{path}: {FEW:,} jobs {few[path] * 1000:.1f} ms, {MANY:,} {many[path] * 1000:.1f} ms"
        )
    print(f"ratio {max(many[path] / few[path] for path in PATHS):.1f}")


if __name__ == "__main__":
    main()
