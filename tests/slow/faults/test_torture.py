"""A short run of the fault bench over the daemon."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.needs import has

GRAVE = 40  # lines of the daemon's log to show why a run failed


@pytest.mark.parametrize("subject", ["ocrd", "servers"])
def test_files_dropped_while_faults_strike_all_arrive_once(subject: str, tmp_path: Path) -> None:
    given = ["--seed", "4", "--minutes", "0.5", "--files", "45", "--kills", "10"]
    given += ["--subject", subject]
    command = [sys.executable, "-m", "tests.slow.faults.torture", *given]
    run = subprocess.run(
        [*command, "--keep", str(tmp_path / "run")], capture_output=True, text=True, check=False
    )
    said = (tmp_path / "run" / "log").read_text(encoding="utf-8", errors="replace").splitlines()
    grave = [line for line in said if "level=info" not in line]
    assert run.returncode == 0, "\n".join([run.stdout, run.stderr, *grave[-GRAVE:]])
    table = dict(line.strip().rsplit(maxsplit=1) for line in run.stdout.splitlines()[1:])
    assert (table["files dropped"], table["daemon killed"]) == ("45", "10")
    struck = len([row for row in table if row.startswith("fault: ")])
    assert struck == (3 if not has("mounts") else 6) + (subject == "servers"), "each fault"
    assert int(table["originals in archive/"]) > 0
