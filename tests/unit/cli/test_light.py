"""`ocrd status` is instant because it loads nothing heavy."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ocrd.ledger.ledger import Ledger
from tests.unit.cli.conftest import PROJECT, Tree
from tests.unit.ledger import making

HEAVY = {
    "vllm", "torch", "numpy", "pymupdf", "PIL", "onnxruntime", "rapidocr", "watchdog",
    "sqlalchemy", "alembic", "rich",
}  # fmt: skip
TELL = """
import json, sys
sys.argv = ["ocrd", *sys.argv[1:]]
from ocrd.cli.main import main
code = 0
try:
    main()
except SystemExit as end:
    code = end.code or 0
print(json.dumps({"modules": sorted(sys.modules), "code": code}), file=sys.stderr)
"""


def loaded_by(tree: Tree, *words: str) -> set[str]:
    """The modules that a command has loaded when it ends well."""
    ended = subprocess.run(
        [sys.executable, "-c", TELL, *words],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        env={**os.environ, "OCRD_CONFIG": str(tree.config)},
        timeout=120,
        check=True,
    )
    told = json.loads(ended.stderr.splitlines()[-1])
    assert told["code"] in (0, 3)
    return set(told["modules"])


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_status_loads_no_other_command_and_nothing_heavy(tree: Tree, more: list[str]) -> None:
    with Ledger.open(tree.ledger) as ledger:
        making.done(ledger, "letter.pdf")
    loaded = loaded_by(tree, "status", *more)
    assert loaded & (HEAVY | {"ocrd.cli.jobs", "ocrd.cli.demo"}) == set()


def test_status_in_a_tree_without_a_spool_checks_its_configuration_once(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    shutil.rmtree(tree.root / ".ocrd", ignore_errors=True)
    assert "pydantic" in loaded_by(tree, "status")
    assert loaded_by(tree, "status") & (HEAVY | {"pydantic"}) == set()
    tree.config.write_text(tree.config.read_text() + "\n")
    assert "pydantic" in loaded_by(tree, "status")
