"""The daemon's words about itself, and whether it lives."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ocrd import snapshot

HOLD = (
    "import sys, time; from pathlib import Path; from ocrd import snapshot;"
    "held = snapshot.take_lock(Path(sys.argv[1])); print(held is not None, flush=True);"
    "time.sleep(60)"
)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    snapshot.write(tmp_path, {"pid": 7, "folders": [{"name": "a\nb"}]})
    assert snapshot.read(tmp_path) == {"version": 1, "pid": 7, "folders": [{"name": "a\nb"}]}


def test_nothing_or_half_a_snapshot_reads_as_none(tmp_path: Path) -> None:
    assert snapshot.read(tmp_path) is None
    (tmp_path / snapshot.SNAPSHOT).write_text('{"version": 1, "pi')
    assert snapshot.read(tmp_path) is None


def test_on_a_full_disk_the_last_word_is_still_written(tmp_path: Path) -> None:
    """No new file can be made: a link to nowhere stands where it would be."""
    snapshot.write(tmp_path, {"folders": [{"name": "scans", "paused": None}]})
    for reason in ("disk-full", "d", "x" * 3000):
        (tmp_path / f"{snapshot.SNAPSHOT}.new").symlink_to("/proc/none/nowhere")
        snapshot.write(tmp_path, {"folders": [{"name": "scans", "paused": reason}]})
        said = snapshot.read(tmp_path)
        assert said is not None
        assert said["folders"] == [{"name": "scans", "paused": reason}]


def test_a_lock_names_its_holder_and_keeps_others_out(tmp_path: Path) -> None:
    file = tmp_path / "daemon.lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(file)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        assert snapshot.holder(file) == holder.pid
        assert snapshot.take_lock(file) is None
        holder.kill()
    assert snapshot.holder(file) is None


def test_a_reader_that_looks_does_not_keep_the_daemon_from_starting(tmp_path: Path) -> None:
    file = tmp_path / "daemon.lock"
    file.touch()
    look = (
        "import sys; from pathlib import Path; from ocrd import snapshot\n"
        "while True: snapshot.holder(Path(sys.argv[1]))"
    )
    with subprocess.Popen([sys.executable, "-c", look, str(file)]) as reader:
        time.sleep(0.3)
        for _ in range(20):
            held = snapshot.take_lock(file)
            assert held is not None
            os.close(held)
        reader.kill()


@pytest.mark.parametrize("umask", [0o000, 0o007, 0o022])
def test_nobody_but_the_daemon_may_write_its_word(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        snapshot.write(tmp_path, {})
    finally:
        os.umask(before)
    assert (tmp_path / snapshot.SNAPSHOT).stat().st_mode & 0o777 == 0o640
