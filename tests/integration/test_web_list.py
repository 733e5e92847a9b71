"""The list of jobs, from one end to the other, by state, folder and name."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from bench.web_page import after_years
from tests.integration.test_web_page import browser, context_of, log_in
from tests.support.needs import few, needs
from tests.support.site import Site, site

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["browser"]  # a fixture

JOBS = 180
RENAMED = {7: "Brief an Müller.pdf", 8: "100%_&=#.pdf"}
FOLDERS = '[[folder]]\nname = "scans"\n[[folder]]\nname = "web"\n'
SUBMITTED = range(3, JOBS + 1, 3)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A ledger of years, of which every third job came from one token; no daemon runs."""
    root = tmp_path_factory.mktemp("list") / "srv"
    (root / "inbox/scans").mkdir(parents=True)
    (root / ".ocrd").mkdir(mode=0o750)
    after_years(root / ".ocrd/ledger.db", JOBS)
    with closing(sqlite3.connect(root / ".ocrd/ledger.db")) as db, db:
        db.execute("UPDATE jobs SET folder = 'web' WHERE id % 5 = 0")
        db.execute("UPDATE jobs SET state = CASE id % 2 WHEN 0 THEN 'failed' ELSE 'done' END")
        for number, name in RENAMED.items():
            row = (name.encode(), name, number)
            db.execute("UPDATE jobs SET source = ?, shown = ? WHERE id = ?", row)
    with site(root, daemon=False, folders=FOLDERS) as up:
        with closing(sqlite3.connect(root / ".ocrd/web.db")) as db, db:
            handed = "(folder, source, size, mtime_ns, inode, token, at, job)"
            values = "('scans', 'x', 1, 1, 1, 'submit', 1.0, ?)"
            rows = ((number,) for number in SUBMITTED)
            db.executemany(f"INSERT INTO handed {handed} VALUES {values}", rows)
        yield up


def followed(client: httpx.Client, path: str, name: str) -> list[list[int]]:
    """The jobs on each page from here on, by the links of that name."""
    pages = []
    while True:
        shown = client.get(path)
        assert shown.status_code == 200
        pages.append([int(number) for number in re.findall(r"<tr><td>(\d+)</td>", shown.text)])
        link = re.search(rf'<a href="([^"]*)"[^>]*>{name}</a>', shown.text)
        if link is None:
            return pages
        path = link[1].replace("&amp;", "&")


def fitting(**asked: str) -> list[int]:
    """What the list has to show, by how the ledger was made."""
    return [
        number
        for number in range(JOBS, 0, -1)
        if "state" not in asked or number % 2 == 0
        if "folder" not in asked or (number % 5 == 0) == (asked["folder"] == "web")
    ]


@pytest.mark.parametrize(
    "asked",
    few([{}, {"state": "failed"}, {"folder": "scans"}, {"state": "failed", "folder": "scans"}]),
)
@pytest.mark.parametrize("role", ["operate", "submit", "web-only"])
def test_every_job_is_reached_by_the_links_and_none_twice(
    running: Site, role: str, asked: dict[str, str]
) -> None:
    if role == "web-only" and "folder" in asked:
        asked = {**asked, "folder": "web"}
    expected = fitting(**asked)
    if role == "submit":
        expected = [number for number in expected if number in SUBMITTED]
    if role == "web-only":
        expected = [number for number in expected if number % 5 == 0]
    with running.client(role) as client:
        first = str(httpx.URL("/jobs", params=asked))
        pages = followed(client, first, "Older")
        assert [number for page in pages for number in page] == expected
        assert all(len(page) == 50 for page in pages[:-1])
        last = httpx.URL("/jobs", params={**asked, "before": pages[-1][0] + 1})
        back = followed(client, str(last), "Newer")
        assert sorted({number for page in back for number in page}) == sorted(expected)
        assert back[-1] == pages[0]  # the newest page is a whole one


def test_the_front_page_shows_failures_among_the_last_1000_of_ones_own(tmp_path: Path) -> None:
    """Looking through 100,000 at each change would keep the process from all else."""
    jobs, failed = 1_100, (50, 700)
    root = tmp_path / "srv"
    (root / ".ocrd").mkdir(mode=0o750, parents=True)
    after_years(root / ".ocrd/ledger.db", jobs)
    with closing(sqlite3.connect(root / ".ocrd/ledger.db")) as db, db:
        db.execute("UPDATE jobs SET state = 'done' WHERE state = 'failed'")
        db.execute("UPDATE jobs SET state = 'failed' WHERE id IN (?, ?)", failed)
    with site(root, daemon=False) as up, up.client("submit") as client:
        with closing(sqlite3.connect(root / ".ocrd/web.db")) as db, db:
            row = "INSERT INTO handed (folder, source, size, mtime_ns, inode, token, at, job)"
            rows = ((number,) for number in range(1, jobs + 1))
            db.executemany(f"{row} VALUES ('scans', 'x', 1, 1, 1, 'submit', 1.0, ?)", rows)
        for path, shown in (("/", [700]), ("/part/jobs", [700]), ("/part/now", [])):
            told = client.get(path).text.partition("Last jobs")[0]
            assert [int(number) for number in re.findall(r'href="/jobs/(\d+)"', told)] == shown
        assert followed(client, "/jobs?state=failed", "Older") == [[700, 50]]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("brief", [7]),
        ("müller.pdf", [7]),
        ("MÜLLER", [7]),
        ("Mu\u0308ller", [7]),
        ("100%_&=#", [8]),
        ("%", [8]),
        ("nowhere", []),
    ],
)
def test_a_part_of_the_name_finds_the_job(running: Site, name: str, expected: list[int]) -> None:
    with running.client() as client:
        found = client.get("/api/v1/jobs", params={"name": name})
        shown = client.get("/jobs", params={"name": name}).text
    assert [job["id"] for job in found.json()["jobs"]] == expected
    assert found.json()["next_before_id"] is None
    assert [int(number) for number in re.findall(r"<tr><td>(\d+)</td>", shown)] == expected
    assert ("No job." in shown) == (expected == [])


@pytest.mark.parametrize("limit", few([7, 1, 60, 180, 1000]))
def test_programs_go_on_by_a_cursor_to_the_end(running: Site, limit: int) -> None:
    found: list[int] = []
    cursor: dict[str, int] = {}
    with running.client() as client:
        while True:
            answer = client.get("/api/v1/jobs", params={"limit": limit, **cursor}).json()
            found += [job["id"] for job in answer["jobs"]]
            if answer["next_before_id"] is None or (len(found) > 20 and limit == 1):
                break
            cursor = {"before_id": answer["next_before_id"]}
    assert found == list(range(JOBS, 0, -1))[: len(found)]
    assert limit == 1 or len(found) == JOBS


@pytest.mark.parametrize(
    "query", ["state=lost", "folder=nowhere", "before=x", "before=-1", f"after={2**63}"]
)
def test_what_makes_no_sense_is_refused(running: Site, query: str) -> None:
    with running.client() as client:
        assert client.get(f"/jobs?{query}").status_code == 422


@needs("chromium")
def test_a_person_goes_on_and_back_without_a_script(browser: Browser, running: Site) -> None:
    context = context_of(browser, java_script_enabled=False, viewport={"width": 360, "height": 700})
    opened = context.new_page()
    log_in(opened, running)
    opened.get_by_role("link", name="All jobs").click()
    opened.get_by_label("State").select_option("failed")
    opened.get_by_label("Folder").select_option("scans")
    opened.get_by_role("button", name="Show").click()
    first = opened.locator("tbody td:first-child")
    assert first.first.inner_text() == str(fitting(state="failed", folder="scans")[0])
    opened.get_by_role("link", name="Older").click()
    opened.wait_for_url(re.compile("before="))
    assert opened.get_by_label("State").input_value() == "failed"
    assert first.first.inner_text() == str(fitting(state="failed", folder="scans")[50])
    opened.get_by_role("link", name="Newer").click()
    opened.go_back()
    assert first.first.inner_text() == str(fitting(state="failed", folder="scans")[50])
    opened.get_by_label("Name").fill("nowhere")
    opened.get_by_role("button", name="Show").click()
    opened.get_by_text("No job.").wait_for()
    assert opened.evaluate("document.documentElement.scrollWidth") <= 360
    context.close()
