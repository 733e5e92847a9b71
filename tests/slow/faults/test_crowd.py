"""More files at once than the kernel's event queue holds at its usual size."""

import signal
import subprocess
import sys
from pathlib import Path

from tests.integration.tree import Tree, folder_of
from tests.support.waiting import wait_for

FILES = 17_000
QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")


def test_of_more_files_dropped_at_once_than_the_queue_holds_none_is_missed(tmp_path: Path) -> None:
    """The daemon is stopped while they arrive, so that the queue is certain to overflow."""
    assert int(QUEUE.read_text(encoding="ascii")) < FILES
    tree = Tree(tmp_path / "srv")
    text = tree.config.read_text(encoding="utf-8")
    tree.config.write_text(text.replace("rescan_s = 1", "rescan_s = 86400"), encoding="utf-8")
    command = [sys.executable, "-m", "bench.idle_daemon", str(tree.config), "never"]
    with subprocess.Popen(command) as daemon:
        try:
            wait_for(lambda: (tree.root / ".ocrd" / "status.json").exists())
            wait_for(lambda: folder_of(tree)["watch"] == "native")
            daemon.send_signal(signal.SIGSTOP)
            for number in range(FILES):
                (tree.inbox / f"{number}.txt").write_bytes(b"%d" % number)
            daemon.send_signal(signal.SIGCONT)
            wait_for(lambda: folder_of(tree)["waiting"] == FILES, seconds=500.0)
        finally:
            daemon.kill()
