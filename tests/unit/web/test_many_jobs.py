"""What the page asks of the ledger costs as much over many jobs as over few."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from bench.web_page import PATHS, after_years
from ocrd.config import load
from ocrd.ledger import readonly
from ocrd.web.app import create_app
from ocrd.web.store import Role

OWN = ("/", "/part/now", "/part/jobs", "/jobs", "/jobs?before=500", "/jobs?after=500")


def steps(
    root: Path, jobs: int, monkeypatch: pytest.MonkeyPatch, role: Role, paths: Sequence[str]
) -> dict[str, int]:
    """How many hundreds of instructions SQLite runs for each path, by its own count."""
    (root / "inbox/scans").mkdir(parents=True)
    (root / "config.toml").write_text(f'root = "{root}"\n[[folder]]\nname = "scans"\n')
    after_years(root / ".ocrd/ledger.db", jobs)
    count = 0

    def counted(*given: Any) -> sqlite3.Connection:
        connection = connect(*given)
        connection.set_progress_handler(step, 100)
        return connection

    def step() -> None:
        nonlocal count
        count += 1

    connect = readonly._connect
    app = create_app(load(root / "config.toml"))
    token = app.state.desk.store.add_token("counts", role, None)
    handed(root / ".ocrd/web.db", jobs, "counts")
    found = {}
    with monkeypatch.context() as patched:
        patched.setattr(readonly, "_connect", counted)
        headers = {"authorization": f"Bearer {token}"}
        with TestClient(app, "http://localhost", headers=headers) as client:
            for path in paths:
                before = count
                assert client.get(path).status_code == 200
                found[path] = count - before
    return found


def handed(store: Path, jobs: int, token: str) -> None:
    """Every job of the ledger came from the token."""
    with closing(sqlite3.connect(store)) as db, db:
        row = "INSERT INTO handed (folder, source, size, mtime_ns, inode, token, at, job)"
        rows = ((token, number) for number in range(1, jobs + 1))
        db.executemany(f"{row} VALUES ('scans', 'x', 1, 1, 1, ?, 1.0, ?)", rows)


@pytest.mark.parametrize(("role", "paths"), [(Role.OPERATE, PATHS), (Role.SUBMIT, OWN)])
def test_no_question_of_the_page_looks_at_every_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: Role, paths: Sequence[str]
) -> None:
    few = steps(tmp_path / "few", 1_000, monkeypatch, role, paths)
    many = steps(tmp_path / "many", 8_000, monkeypatch, role, paths)
    assert sum(few.values()) > 0
    assert {path for path in paths if many[path] > 3 * few[path] + 5} == set()
    if role is Role.SUBMIT:  # who may not see how it stands has nothing asked for it
        assert many["/part/now"] == 0
