"""A file's name that is not UTF-8 is told over HTTP as everywhere, and breaks no answer."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from bench.web_page import after_years
from ocrd.config import load
from ocrd.web.app import create_app
from ocrd.web.store import Role

TOLD = r"\xff\nA"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    root: Path = tmp_path_factory.mktemp("srv")
    (root / "inbox/scans").mkdir(parents=True)
    (root / "config.toml").write_text(f'root = "{root}"\n[[folder]]\nname = "scans"\n')
    after_years(root / ".ocrd/ledger.db", 8)
    with closing(sqlite3.connect(root / ".ocrd/ledger.db")) as db, db:
        db.execute("UPDATE jobs SET source = X'FF0A41' WHERE id = 3")
    app = create_app(load(root / "config.toml"))
    token = app.state.desk.store.add_token("names", Role.OPERATE, None)
    headers = {"authorization": f"Bearer {token}"}
    return TestClient(app, "http://localhost", headers=headers, raise_server_exceptions=False)


@pytest.mark.parametrize(
    ("path", "held"),
    [("/api/v1/search?q=word3", "hits"), ("/api/v1/jobs", "jobs"), ("/api/v1/status", "latest")],
)
def test_programs_are_told_it_as_one_line(client: TestClient, path: str, held: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert TOLD in [each["source"] for each in answer.json()[held]]


@pytest.mark.parametrize("path", ["/search?q=word3", "/jobs/3"])
def test_people_are_shown_the_same(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert TOLD in answer.text
