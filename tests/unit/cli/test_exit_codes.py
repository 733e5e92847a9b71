"""Exit codes and streams: data on stdout, messages with a remedy on stderr."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ocrd import __version__
from ocrd.ledger.ledger import Ledger
from tests.support.commands import ocrd
from tests.support.needs import few
from tests.unit.cli.conftest import PROJECT, Tree, spawned
from tests.unit.ledger import making

OK, FAILED, USAGE, NOT_RUNNING, CONFIG = range(5)


@pytest.mark.parametrize("words", [["status"], ["status", "--json"]], ids=" ".join)
def test_status_of_a_stopped_daemon_says_so_and_ends_with_3(tree: Tree, words: list[str]) -> None:
    ended = tree.ocrd(*words)
    assert (ended.returncode, ended.stderr) == (NOT_RUNNING, "")
    assert "stopped" in ended.stdout


@pytest.mark.parametrize(
    ("words", "closed"),
    few(
        [
            ("jobs", "> /dev/full"),
            ("jobs", "2>&-"),
            ("config check", "<&- >&- 2>&-"),
            ("jobs -f typo", "> /dev/full"),
            ("status", ">&-"),
            ("jobs -f typo", "2>&-"),
        ]
    ),
)
def test_streams_that_are_closed_or_full_break_no_command(
    tree: Tree, tmp_path: Path, words: str, closed: str
) -> None:
    """What a caller closes leads nowhere; no file that is opened then takes its number."""
    Ledger.open(tree.ledger).close()
    kept = (tmp_path / "kept").open("w+")
    script = f'{sys.executable} -m ocrd {words} {closed} 3>&-; echo "ended with $?" >&4'
    environment = {**os.environ, "OCRD_CONFIG": str(tree.config), "PYTHONPATH": str(PROJECT)}
    with kept:
        ended = subprocess.run(
            ["bash", "-c", f"exec 4>&{kept.fileno()}; {script}"],
            pass_fds=[kept.fileno()],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        kept.seek(0)
        code = kept.read()
    assert "Traceback" not in ended.stderr
    assert "fault of ocrd" not in ended.stderr
    expected = {"status": NOT_RUNNING, "jobs -f typo": USAGE}.get(words, OK)
    if closed.endswith("full") and words != "jobs -f typo":
        assert code == f"ended with {FAILED}\n"
    else:
        assert code == f"ended with {expected}\n"
    Ledger.open(tree.ledger).close()


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_what_only_a_daemon_can_do_ends_with_3_without_one(tree: Tree, verb: str) -> None:
    ended = tree.ocrd(verb, "invoices")
    assert (ended.returncode, ended.stdout) == (NOT_RUNNING, "")
    assert "systemctl start ocrd" in ended.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["no-such-command"],
        ["status", "--no-such-option"],
        ["show", "not-a-number"],
        ["show", "99"],
        ["retry"],
        ["retry", "1", "--failed"],
        ["cancel"],
        ["cancel", "99"],
        ["jobs", "--state", "finished"],
        ["jobs", "--folder", "typo"],
        ["jobs", "--since", "yesteryear"],
        ["pause"],
        ["pause", "invoices", "--all"],
        ["pause", "typo"],
        ["backup", "/"],
        ["submit", "scan.pdf", "--folder", "nobody"],
        ["estimate", "/nowhere/at/all"],
        ["install", "--root", "relative"],
    ],
    ids=" ".join,
)
def test_a_command_called_wrongly_ends_with_2_and_prints_no_data(
    tree: Tree, words: list[str]
) -> None:
    Ledger.open(tree.ledger).close()
    ended = tree.ocrd(*words)
    assert (ended.returncode, ended.stdout) == (USAGE, "")
    assert ended.stderr.strip()


@pytest.mark.parametrize("words", [["config", "check"], ["status"]], ids=" ".join)
@pytest.mark.parametrize(
    ("text", "named"), [("root = ", "TOML"), ('root = "/srv"\n[watch]\nsettel_s = 5', "settel_s")]
)
def test_a_wrong_configuration_ends_with_4_and_names_file_and_key(
    tmp_path: Path, text: str, named: str, words: list[str]
) -> None:
    """tests/unit/config/test_load.py has every mistake."""
    file = tmp_path / "config.toml"
    file.write_text(text)
    ended = ocrd(*words, "--config", str(file))
    assert (ended.returncode, ended.stdout) == (CONFIG, "")
    what, *hint = ended.stderr.splitlines()
    assert what.startswith(f"ocrd: {file}: ") and named in what
    assert any(line.startswith("  ") and line.strip() for line in hint)


@pytest.mark.parametrize("words", [["config", "check"], ["status"]], ids=" ".join)
def test_the_configuration_can_be_named_before_the_command(tree: Tree, words: list[str]) -> None:
    named, by_variable = ocrd("--config", str(tree.config), *words), tree.ocrd(*words)
    assert (named.returncode, named.stdout) == (by_variable.returncode, by_variable.stdout)
    missing = ocrd("--config", str(tree.root / "none.toml"), *words)
    assert missing.returncode == CONFIG
    assert "none.toml" in missing.stderr


def test_jobs_without_a_ledger_fail_with_the_remedy(tree: Tree) -> None:
    ended = tree.ocrd("jobs")
    assert (ended.returncode, ended.stdout) == (FAILED, "")
    assert "there is no ledger yet" in ended.stderr
    assert "ocrd run" in ended.stderr


def test_retry_puts_back_what_failed_and_leaves_what_is_done(tree: Tree) -> None:
    with Ledger.open(tree.ledger) as ledger:
        making.failed(ledger, "locked.pdf")
        making.done(ledger)
    ended = tree.ocrd("retry", "--failed")
    assert (ended.returncode, ended.stdout) == (OK, "job 1 is queued again: locked.pdf\n")
    assert "no daemon runs" in ended.stderr
    ended = tree.ocrd("retry", "2")
    assert (ended.returncode, ended.stdout) == (FAILED, "")
    assert "it is done" in ended.stderr
    assert "reuse_results = false" in ended.stderr  # dropped again alone, it is not read anew
    with Ledger.open(tree.ledger) as ledger:
        assert [job.state for job in ledger.jobs()] == ["done", "queued"]


def test_help_and_version_end_well() -> None:
    assert ocrd("--help").returncode == OK
    assert ocrd("version").stdout == spawned("--version").stdout == f"ocrd {__version__}\n"


def test_logs_without_journalctl_points_to_show(tree: Tree) -> None:
    ended = ocrd("logs", "1", OCRD_CONFIG=str(tree.config), PATH="/nowhere")
    assert ended.returncode == FAILED
    assert "ocrd show 1" in ended.stderr


def test_logs_of_a_job_that_the_journal_does_not_know_point_to_the_ledger() -> None:
    ended = ocrd("logs", "999999999")
    assert ended.returncode == 1
    assert "ocrd show 999999999" in ended.stderr
