"""`ocrd install`: shown first, done once, repeatable; here into a folder that stands for `/`."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.support.commands import ocrd
from tests.support.needs import needs

ROOT = "/data/scans"


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """A system of its own, with this machine's users."""
    etc = tmp_path / "system" / "etc"
    etc.mkdir(parents=True)
    for name in ("passwd", "group", "shadow", "gshadow", "login.defs"):
        file = Path("/etc") / name
        if file.exists() and os.access(file, os.R_OK):
            shutil.copy(file, etc / name)
    passwd = [line for line in (etc / "passwd").read_text().splitlines() if line[:5] != "ocrd:"]
    (etc / "passwd").write_text("\n".join(passwd) + "\n")
    return tmp_path / "system"


def install(system: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return ocrd("install", "--prefix", str(system), "--root", ROOT, *more)


def everything(below: Path) -> dict[str, bytes | None]:
    """Each path with its contents; None for a folder."""
    return {
        str(path.relative_to(below)): None if path.is_dir() else path.read_bytes()
        for path in below.rglob("*")
    }


@pytest.mark.parametrize("dry", [True, pytest.param(False, marks=needs("root"))])
def test_a_dry_run_or_one_that_nobody_agrees_to_tells_all_and_writes_nothing(
    system: Path, *, dry: bool
) -> None:
    before = everything(system)
    ended = install(system, *(["--dry-run"] if dry else []))
    assert (ended.returncode == 0) == dry
    assert all(word in ended.stdout for word in ("user ocrd", "ocrd.service", "config.toml", ROOT))
    assert everything(system) == before


@needs("root")
def test_an_installation_has_user_folders_configuration_and_unit(system: Path) -> None:
    assert install(system, "--yes").returncode == 0
    passwd = (system / "etc/passwd").read_text()
    assert [line.split(":")[6] for line in passwd.splitlines() if line.startswith("ocrd:")] == [
        "/usr/sbin/nologin"
    ]
    for tree in ("inbox", "outbox", "archive", "failed", "inbox/scans"):
        mode = (system / ROOT[1:] / tree).stat().st_mode
        assert stat.S_IMODE(mode) == 0o2770, tree
    config = tomllib.loads((system / "etc/ocrd/config.toml").read_text())
    assert config["root"] == ROOT
    assert (system / config["ledger"]["path"][1:]).parent.is_dir()
    assert [folder["name"] for folder in config["folder"]] == ["scans"]


@needs("root")
def test_the_unit_speaks_of_this_root_user_and_program(system: Path) -> None:
    """And what is to be done next is told of the same."""
    told = install(system, "--yes", "--user", "scanner").stdout
    for word in ("systemctl enable --now ocrd", "usermod -aG scanner NAME", "ocrd doctor"):
        assert word in told
    unit = (system / "etc/systemd/system/ocrd.service").read_text().splitlines()
    assert f"ReadWritePaths={ROOT}" in unit
    assert f"RequiresMountsFor={ROOT}" in unit
    assert "User=scanner" in unit and "Group=scanner" in unit
    assert not any("/srv/ocrd" in line for line in unit)
    (start,) = [line for line in unit if line.startswith("ExecStart=")]
    program = start.removeprefix("ExecStart=").split()[0]
    assert Path(program).is_absolute() and os.access(program, os.X_OK)
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert said.stdout.startswith("ocrd ")


@needs("root")
def test_the_second_run_changes_nothing(system: Path) -> None:
    install(system, "--yes")
    before = everything(system)
    ended = install(system, "--yes")
    assert ended.returncode == 0
    assert all(line.startswith("already there: ") for line in ended.stdout.splitlines())
    assert everything(system) == before


@needs("root")
def test_the_operators_configuration_is_kept_and_the_unit_renewed(system: Path) -> None:
    install(system, "--yes")
    config = system / "etc/ocrd/config.toml"
    unit = system / "etc/systemd/system/ocrd.service"
    shipped = unit.read_text()
    config.write_text(f'# mine\nroot = "{ROOT}"\n')
    unit.write_text("[Unit]\nDescription=of an older version\n")
    assert install(system, "--yes").returncode == 0
    assert config.read_text().startswith("# mine\n")
    assert unit.read_text() == shipped


@needs("root")
def test_another_run_without_options_keeps_user_and_root(system: Path) -> None:
    install(system, "--yes", "--user", "scanner")
    before = everything(system)
    ended = ocrd("install", "--prefix", str(system), "--yes")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert everything(system) == before


@needs("root")
def test_a_root_that_the_configuration_does_not_know_is_refused(system: Path) -> None:
    install(system, "--yes")
    before = everything(system)
    ended = ocrd("install", "--prefix", str(system), "--yes", "--root", "/other")
    assert ended.returncode == 2
    assert ROOT in ended.stderr and "leave --root out" in ended.stderr
    assert everything(system) == before


@needs("root")
@pytest.mark.parametrize(
    ("tree", "mode", "wrong"), [("", 0o2750, 0o2770), ("", 0o2750, 0o755), ("inbox", 0o2770, 0o755)]
)
def test_a_folder_that_others_can_use_too_much_or_too_little_is_put_right(
    system: Path, tree: str, mode: int, wrong: int
) -> None:
    """A member who may write in the root could put a link in the place of a whole tree."""
    install(system, "--yes")
    folder = system / ROOT[1:] / tree
    assert stat.S_IMODE(folder.stat().st_mode) == mode
    folder.chmod(wrong)
    ended = install(system, "--yes")
    assert f"will: make {folder}, mode {mode:o}" in ended.stdout
    assert stat.S_IMODE(folder.stat().st_mode) == mode


def test_a_prefix_without_a_system_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    """Nobody can make a user there."""
    said = install(tmp_path, "--yes")
    assert said.returncode == 2
    assert f"--prefix {tmp_path}: no system lies there" in said.stderr
    assert "Unpack" in said.stderr
    assert everything(tmp_path) == {}
