"""The documents say what the program does: commands, options, modes, exit codes, links."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import typer.main

from ocrd.cli.app import COMMANDS, build
from ocrd.errors import ExitCode
from ocrd.modes import BUILT_IN_MODES, RESOLUTIONS
from tests.slow.faults.kinds import KINDS
from tests.support.needs import needs
from tests.unit.cli.conftest import PROJECT

OPERATING = (PROJECT / "docs" / "operating.md").read_text()
GPU = (PROJECT / "docs" / "gpu.md").read_text()
DOCUMENTS = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
MAN = (PROJECT / "docs" / "ocrd.1").read_text().replace(r"\-", "-")


def options() -> list[tuple[str, str]]:
    """Each command with each of its long options, as the program has them."""
    group = typer.main.get_command(build())
    return [
        (name, option)
        for name, command in group.commands.items()  # type: ignore[attr-defined]  # it is a group
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--")
    ]


def test_the_man_page_tells_of_every_command_and_option() -> None:
    assert [each for each in COMMANDS if not re.search(rf"^\\fB{each}\b", MAN, re.MULTILINE)] == []
    assert [(command, option) for command, option in options() if option not in MAN] == []


@needs("man")
def test_the_man_page_is_clean() -> None:
    page = PROJECT / "docs" / "ocrd.1"
    ended = subprocess.run(
        ["man", "--warnings", "-l", str(page)], capture_output=True, text=True, check=True
    )
    assert ended.stderr == ""
    assert ended.stdout.startswith("OCRD(1)")


@pytest.mark.parametrize("code", ExitCode)
def test_man_page_and_document_tell_of_every_exit_code(code: ExitCode) -> None:
    assert re.search(rf"^\.B {int(code)}$", MAN, re.MULTILINE)
    assert re.search(rf"Exit codes:[^.]*\b{int(code)} ", OPERATING)


def test_the_document_tells_of_every_mode_and_resolution() -> None:
    assert [mode for mode in (*BUILT_IN_MODES, *RESOLUTIONS) if f"`{mode}`" not in GPU] == []


def test_the_constraints_name_every_package_that_is_needed() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needed = [*project["dependencies"], *extras["cpu"], *extras["web"], *extras["barcode"]]
    pinned = {line.partition("==")[0] for line in (PROJECT / "constraints.txt").read_text().split()}
    assert {re.split(r"[>=<~]", each)[0] for each in needed} - pinned == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text())
    lost = [link for link in links if not document.parent.joinpath(link).exists()]
    assert lost in ([], ["docs/security.md"])


@pytest.mark.parametrize("document", ["reliability.md", "security.md"])
def test_every_test_that_a_table_names_is_there(document: str) -> None:
    tests = {path: path.read_text() for path in (PROJECT / "tests").rglob("test_*.py")}
    told = " ".join(re.findall(r"`([^`]*)`", (PROJECT / "docs" / document).read_text()))
    files = re.findall(r"[\w/]*\btest_\w+\.py", told)
    functions = re.findall(r"\btest_\w+\b(?!\.py)", told)
    named = [len([path for path in tests if str(path).endswith(f"/{file}")]) for file in files]
    assert dict(zip(files, named, strict=True)) == dict.fromkeys(files, 1)
    assert [
        name for name in functions if not any(f"def {name}(" in t for t in tests.values())
    ] == []
    assert files


def test_every_kind_of_fault_has_its_test() -> None:
    for where in KINDS.values():
        file, _, function = where.partition("::")
        assert f"def {function}" in (PROJECT / "tests" / file).read_text(), where
