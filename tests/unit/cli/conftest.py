"""A configured tree on the disk, and the real command: in this process, or in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import ocrd

PROJECT = Path(__file__).parents[3]


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
