"""The box of `.ci/box`, driven: a Debian that has booted with its own systemd."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[3]
SCRIPT = str(PROJECT / ".ci" / "box")
BOOTS_S, ANSWERS_S = 60.0, 120.0
Ended = subprocess.CompletedProcess[str]


class Box:
    """A booted system.

    Args:
        root: Its root, as seen from outside.
        pid: The file that holds its first process.
    """

    def __init__(self, root: Path, pid: Path) -> None:
        self.root = root
        self._pid = str(pid)

    def run(self, *words: str, user: str = "root", check: bool = True) -> Ended:
        """Run a command within."""
        words = words if user == "root" else ("runuser", "--user", user, "--", *words)
        return subprocess.run(
            [SCRIPT, "enter", self._pid, *words],
            capture_output=True,
            text=True,
            timeout=ANSWERS_S,
            check=check,
        )

    def shell(self, script: str, user: str = "root", *, check: bool = True) -> Ended:
        """Run a line of the shell, as people type it, in a place that everybody may see."""
        return self.run("sh", "-c", f"cd /tmp; {script}", user=user, check=check)

    def status(self, user: str = "root") -> dict[str, Any]:
        """What `ocrd status --json` says."""
        told: dict[str, Any] = json.loads(
            self.run("ocrd", "status", "--json", user=user, check=False).stdout
        )
        return told

    def property(self, name: str, unit: str = "ocrd") -> str:
        """What systemd says of a unit."""
        return self.run("systemctl", "show", "--value", "--property", name, unit).stdout.strip()


@contextmanager
def booted() -> Iterator[Box]:
    """A box of its own, gone afterwards."""
    made = subprocess.run([SCRIPT, "make"], stdout=subprocess.PIPE, text=True, check=True)
    pristine = Path(made.stdout.strip())
    with tempfile.TemporaryDirectory(dir=pristine.parent) as scratch:
        root, pid = Path(scratch, "root"), Path(scratch, "pid")
        subprocess.run(["cp", "--archive", "--reflink=auto", pristine, root], check=True)
        with Path(scratch, "console").open("wb") as console:
            boot = [SCRIPT, "boot", str(root), str(pid)]
            process = subprocess.Popen(boot, stdout=console, stderr=console)
        box = Box(root, pid)
        try:
            until(lambda: pid.exists() and _is_up(box), BOOTS_S)
            yield box
        finally:
            subprocess.run([SCRIPT, "end", str(pid)], check=False)
            process.wait()


def _is_up(box: Box) -> bool:
    state = box.run("systemctl", "is-system-running", check=False).stdout.strip()
    return state in ("running", "degraded")


def until(true: Callable[[], object], patience_s: float = ANSWERS_S) -> None:
    """Wait until it is so."""
    end = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < end, "not within its time"
        time.sleep(0.2)


def wheel(into: Path) -> Path:
    """This checkout's wheel."""
    source = into / "source"
    kept = shutil.ignore_patterns(".git", ".venv*", ".mypy_cache", "tests", "bench", "dist")
    shutil.copytree(PROJECT, source, ignore=kept, symlinks=True)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(into)]
    subprocess.run([*build, str(source)], check=True)
    (made,) = into.glob("*.whl")
    return made
