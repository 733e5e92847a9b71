"""The unit under its own systemd, as an operator installs and runs it from the wheel."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.slow.box.box import PROJECT, Box, booted, until, wheel
from tests.support.needs import need

MEMBER, OUTSIDER = "anna", "otto"
SAMPLE = "/opt/ocrd/lib/python3.11/site-packages/ocrd/samples/letter.jpg"
CONFIG = "/etc/ocrd/config.toml"
LEAST_EXPOSED = 2.0


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    """A box with the wheel installed as README says, its unit running, and two people."""
    need("box")
    with booted() as box:
        with tempfile.TemporaryDirectory() as scratch:
            shutil.copy(made := wheel(Path(scratch)), box.root / "root")
        box.run(
            "/opt/ocrd/bin/pip", "install", "-q", "--no-index", "--no-deps", f"/root/{made.name}"
        )
        box.run("ln", "-s", "/opt/ocrd/bin/ocrd", "/usr/local/bin/ocrd")
        box.run("ocrd", "install", "--yes", "--root", "/srv/ocrd")
        box.run("useradd", "--create-home", "--groups", "ocrd", MEMBER)
        box.run("useradd", "--create-home", OUTSIDER)
        box.run("systemctl", "enable", "--now", "ocrd")
        yield box


def drop(box: Box, name: str, folder: str = "scans", user: str = MEMBER) -> None:
    """Copy a scan into an inbox, as people do."""
    box.shell(f"cp {SAMPLE} /srv/ocrd/inbox/{folder}/{name}.jpg", user)


def is_read(box: Box, name: str, folder: str = "scans") -> bool:
    return (box.root / f"srv/ocrd/outbox/{folder}/{name}/{name}.md").exists()


def test_the_start_is_over_when_the_engine_is_ready(box: Box) -> None:
    assert box.property("ActiveState") == "active"
    until(lambda: box.status()["engine"]["state"] == "ready", 10)  # told every second
    until(lambda: "engine ready" in box.property("StatusText"), 10)


def test_a_members_drop_becomes_a_bundle_that_members_read(box: Box) -> None:
    drop(box, "first")
    until(lambda: is_read(box, "first"))
    text = box.shell("cat /srv/ocrd/outbox/scans/first/first.md", MEMBER).stdout
    assert "Chimney" in text or len(text) > 200
    until(lambda: (box.root / "srv/ocrd/archive/scans/first.jpg").exists())
    refused = box.shell("cat /srv/ocrd/outbox/scans/first/first.md", OUTSIDER, check=False)
    assert refused.returncode == 1


def test_the_journal_is_asked_by_job(box: Box) -> None:
    drop(box, "told")
    until(lambda: is_read(box, "told"))
    (job,) = json.loads(box.run("ocrd", "jobs", "told", "--json").stdout)["jobs"]
    query = ("journalctl", "--output", "json", f"OCRD_JOB={job['id']}")

    def done() -> bool:
        said = [json.loads(line) for line in box.run(*query).stdout.splitlines()]
        return any(each.get("OCRD_EVENT") == "job.done" for each in said)

    until(done, 20)
    assert "told.jpg" in box.run("ocrd", "logs", str(job["id"])).stdout


def test_a_folder_that_is_dropped_whole_is_read_whatever_the_umask(box: Box) -> None:
    box.shell(f"umask 022; mkdir -p box/sub; cp {SAMPLE} box/sub/deep.jpg", MEMBER)
    box.shell("umask 022; cp -r box /srv/ocrd/inbox/scans/", MEMBER)
    drop(box, "beside")
    until(lambda: is_read(box, "beside"))
    until(lambda: is_read(box, "deep", "scans/box/sub"))
    until(lambda: box.status()["folders"][0]["conditions"] == [])  # as the next look finds it


def test_a_folder_that_root_dropped_is_read_too(box: Box) -> None:
    box.shell(f"cd /srv/ocrd/inbox/scans; mkdir roots; cp {SAMPLE} roots/theirs.jpg")
    until(lambda: is_read(box, "theirs", "scans/roots"))


def test_outsiders_are_told_which_group_lets_them_in(box: Box) -> None:
    for command in (f"submit {SAMPLE}", "status", "retry 1", "rights"):
        told = box.shell(f"ocrd {command}", OUTSIDER, check=False)
        assert told.returncode == 1, command
        assert f"sudo usermod -aG ocrd {OUTSIDER}" in told.stderr, command


def test_who_was_let_in_and_did_not_log_in_again_is_told_so(box: Box) -> None:
    box.run("useradd", "--groups", "ocrd", "late")
    told = box.run(
        "setpriv", "--reuid=late", "--regid=late", "--clear-groups", "ocrd", "status", check=False
    )
    assert "Log in again: late is in the group ocrd" in told.stderr


def test_the_man_page_is_where_man_looks(box: Box) -> None:
    assert "OCRD" in box.run("head", "-3", "/usr/local/share/man/man1/ocrd.1").stdout


def test_a_ledger_is_put_back_as_the_page_says(box: Box) -> None:
    box.run("ocrd", "backup", "/var/backups/ocrd.db")
    page = (PROJECT / "docs" / "backup.md").read_text()
    (recipe,) = re.findall(r"## Restore\n\n((?:    .*\n)+)", page)
    first, *lines = recipe.splitlines()
    assert first.split("#")[0].strip() == "sudo -s"
    box.shell("\n".join(["set -e", *lines]))
    until(lambda: box.property("ActiveState") == "active")
    assert json.loads(box.run("ocrd", "jobs", "--json").stdout)["total"] > 0


def test_a_file_that_its_owner_closed_is_read_once_its_remedy_was_followed(box: Box) -> None:
    box.shell(f"umask 077; cp {SAMPLE} /srv/ocrd/inbox/scans/closed.jpg", MEMBER)

    def failed() -> list[dict[str, Any]]:
        told = box.run("ocrd", "jobs", "closed", "--state", "failed", "--json").stdout
        found: list[dict[str, Any]] = json.loads(told)["jobs"]
        return found

    until(failed)
    (job,) = failed()
    assert "chmod a+r" in job["error"]["hint"]
    box.shell(f"chmod a+r /srv/ocrd/inbox/scans/closed.jpg; ocrd retry {job['id']}", MEMBER)
    until(lambda: is_read(box, "closed"))


def test_a_reload_takes_a_new_folder(box: Box) -> None:
    box.shell(f"""printf '\\n[[folder]]\\nname = "more"\\n' >>{CONFIG}""")
    box.run("systemctl", "reload", "ocrd")
    until(lambda: "more" in [each["name"] for each in box.status()["folders"]], 10)
    drop(box, "another", "more")
    until(lambda: is_read(box, "another", "more"))


def test_a_reload_that_is_refused_shows_and_changes_nothing(box: Box) -> None:
    box.shell(f"cp {CONFIG} /root/good.toml; echo 'root = [' >>{CONFIG}")
    box.run("systemctl", "reload", "ocrd")
    until(lambda: "is refused since" in box.run("ocrd", "status", user=MEMBER).stdout, 10)
    doctor = box.run("ocrd", "doctor", check=False)
    assert (doctor.returncode, "config.toml" in doctor.stderr) == (4, True)
    drop(box, "on")
    until(lambda: is_read(box, "on"))
    box.shell(f"cp /root/good.toml {CONFIG}")
    box.run("systemctl", "reload", "ocrd")
    until(lambda: box.status()["troubles"] == [], 10)


@pytest.mark.parametrize(("user", "code"), [("root", 0), ("ocrd", 0), (MEMBER, 1), (OUTSIDER, 1)])
def test_the_doctor_tells_each_the_same_or_who_to_be(box: Box, user: str, code: int) -> None:
    told = box.shell("ocrd doctor", user, check=False)
    if code == 0:
        assert [line for line in told.stdout.splitlines() if line[:7] == "PROBLEM"] == []
        assert "running, pid" in told.stdout
    else:
        assert "ocrd doctor" in told.stdout + told.stderr
        assert "chown" not in told.stdout
    assert (told.returncode, "Traceback" in told.stderr) == (code, False)


def test_members_retry_and_outsiders_do_not(box: Box) -> None:
    box.shell("echo no scan >/srv/ocrd/inbox/scans/broken.pdf", MEMBER)

    def failed() -> list[int]:
        told = box.run("ocrd", "jobs", "broken", "--state", "failed", "--json").stdout
        return [each["id"] for each in json.loads(told)["jobs"]]

    until(failed)
    (number,) = failed()
    assert "queued again" in box.shell(f"ocrd retry {number}", MEMBER).stdout
    until(failed)
    assert box.shell(f"ocrd retry {number}", OUTSIDER, check=False).returncode != 0


def test_the_units_are_hardly_exposed(box: Box) -> None:
    for unit in ("ocrd.service", "ocrd-web.service", "ocrd-rights.service"):
        told = box.run("systemd-analyze", "security", "--no-pager", unit).stdout
        figure = told.rpartition("level for ")[2].partition(":")[2].split()[0]
        assert float(figure) <= LEAST_EXPOSED, unit


def test_the_web_process_runs_confined_beside_it(box: Box) -> None:
    box.run("systemctl", "start", "ocrd-web")
    ask = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8555/healthz').status)"
    port = json.loads(box.run("ocrd", "config", "show", "--json").stdout)["values"]
    number = next(each["value"] for each in port if each["key"] == "web.port")
    ask = ask.replace("8555", str(number))
    until(lambda: box.run("/opt/ocrd/bin/python", "-c", ask, check=False).stdout == "200\n", 30)
    box.run("systemctl", "stop", "ocrd-web")


def test_a_stop_lets_go_and_status_says_what_lies_there(box: Box) -> None:
    box.run("systemctl", "stop", "ocrd")
    assert box.property("Result") == "success"
    drop(box, "waits")
    told = box.run("ocrd", "status", user=MEMBER, check=False)
    assert told.returncode == 3
    assert "stopped" in told.stdout
    folders = {each["name"]: each["in_inbox"] for each in box.status()["folders"]}
    assert folders["scans"] == 1
    box.run("systemctl", "start", "ocrd")
    until(lambda: is_read(box, "waits"))


def test_one_that_is_killed_comes_back(box: Box) -> None:
    box.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "ocrd")
    until(lambda: box.property("NRestarts") == "1" and box.property("ActiveState") == "active")


def test_one_that_stands_still_is_ended_by_the_watchdog(box: Box) -> None:
    drop_in = "/run/systemd/system/ocrd.service.d"
    box.shell(f"mkdir {drop_in}; printf '[Service]\\nWatchdogSec=4\\n' >{drop_in}/soon.conf")
    box.shell("systemctl daemon-reload; systemctl restart ocrd")
    time.sleep(10)
    assert box.property("NRestarts") == "0"  # a daemon that is well pings in time
    box.run("systemctl", "kill", "--kill-whom=main", "--signal=STOP", "ocrd")
    until(lambda: box.property("NRestarts") == "1" and box.property("ActiveState") == "active")
    assert "Watchdog timeout" in box.run("journalctl", "--unit", "ocrd").stdout


def test_it_goes_and_leaves_every_file(box: Box) -> None:
    box.run("ocrd", "uninstall", "--yes")
    assert box.run("systemctl", "is-active", "ocrd", check=False).stdout.strip() == "inactive"
    assert is_read(box, "first")
    assert (box.root / "var/lib/ocrd/ledger.db").exists()
