"""What came over HTTP goes by age, unless the clock has just leapt."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from ocrd.config import load
from ocrd.files import FileFacts
from ocrd.web.app import create_app
from ocrd.web.store import Role, Store, Token, store_path
from tests.support.waiting import wait_for

DAY_S = 86400.0


@pytest.mark.parametrize("leapt", [False, True])
def test_a_clock_that_leapt_while_nothing_ran_deletes_nothing(
    tmp_path: Path, leapt: bool, caplog: pytest.LogCaptureFixture
) -> None:
    held = tmp_path / "inbox/scans/.ocrd-1.held"
    held.parent.mkdir(parents=True)
    held.write_bytes(b"a scan")
    (tmp_path / ".ocrd").mkdir()
    (tmp_path / "config.toml").write_text(
        f'root = "{tmp_path}"\nengine.kind = "rapidocr"\n[[folder]]\nname = "scans"\n'
    )
    config = load(tmp_path / "config.toml")
    path, now = store_path(config.ledger), time.time()
    with closing(Store(path)) as store:
        store.hand(
            "scans",
            [(held.name, FileFacts(size=6, mtime_ns=1, inode=1), "a.png")],
            Token(name="sender", role=Role.SUBMIT),
        )
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE handed SET at = ?", (now - 2 * DAY_S,))
    seen = path.with_name("web-clock.json")
    seen.write_text(json.dumps([now - (365 * DAY_S if leapt else 0), 0, 0]))
    with TestClient(create_app(config)):
        wait_for(lambda: json.loads(seen.read_text())[0] >= now)
        wait_for(lambda: "leapt" in caplog.text if leapt else not held.exists())
    assert held.exists() == leapt
