"""A configured tree on the disk, and the real command: in this process, or in one of its own."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ocrd.cli.main import main

PROJECT = Path(__file__).parents[3]
PROGRAM = str(Path(sys.executable).with_name("ocrd"))


class Tree:
    """A root with one folder, `invoices`, and its configuration."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "config.toml"
        self.ledger = root / ".ocrd" / "ledger.db"
        self.inbox = root / "inbox" / "invoices"
        self.inbox.mkdir(parents=True)
        self.ledger.parent.mkdir()
        self.config.write_text(
            f'root = "{root}"\n[engine]\nkind = "rapidocr"\n[[folder]]\nname = "invoices"\n'
        )

    def ocrd(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `ocrd WORDS` with this configuration."""
        return ocrd(*words, OCRD_CONFIG=str(self.config))


def ocrd(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `ocrd WORDS` in this process: the same entry, output and exit code, a second sooner."""
    said, told, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch:
        for key in [key for key in os.environ if key.startswith("OCRD_") or key == "COLUMNS"]:
            patch.delenv(key)
        for key, value in environment.items():
            patch.setenv(key, value)
        patch.setattr(sys, "argv", [PROGRAM, *words])
        patch.setattr(sys, "stdin", io.StringIO())
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(told):
            try:
                main()
            except SystemExit as end:
                code = int(end.code or 0)
    return subprocess.CompletedProcess(["ocrd", *words], code, said.getvalue(), told.getvalue())


def spawned(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `ocrd WORDS` as a shell would, as a process of its own."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("OCRD_")}
    return subprocess.run(
        [sys.executable, "-m", "ocrd", *words],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        env={**inherited, **environment},
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "srv")
