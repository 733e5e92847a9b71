"""`ocrd install`: user, folders, a first configuration and the unit, shown first, repeatable."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from ocrd.errors import OcrdError, UsageError

UNIT = Path("/etc/systemd/system/ocrd.service")
CONFIG = Path("/etc/ocrd/config.toml")
TREES = ("inbox", "outbox", "archive", "failed")
FIRST_CONFIG = """\
# Every key with its default: config.example.toml in ocrd's documentation.
root = "{root}"

[ledger]
path = "/var/lib/ocrd/ledger.db"

[[folder]]
name = "scans"
"""


@dataclass(frozen=True)
class Step:
    """One thing to do: told first, done after; `done` when it need not be done again."""

    told: str
    act: Callable[[], None]
    done: bool


def install(
    user: Annotated[str, typer.Option(help="The daemon's user and group.")] = "ocrd",
    root: Annotated[Path, typer.Option(help="Where inbox/, outbox/ … will lie.")] = Path(
        "/srv/ocrd"
    ),
    prefix: Annotated[
        Path, typer.Option(help="Write below this folder instead of / (for images and tests).")
    ] = Path("/"),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be done.")
    ] = False,
) -> None:
    """Set up user, folders, a first configuration and the systemd unit.  Can be run again."""
    if not root.is_absolute():
        raise UsageError(
            f"--root {root}: not an absolute path", hint="ocrd install --root /srv/ocrd"
        )
    steps = [*plan(user, root, prefix)]
    for step in steps:
        typer.echo(f"{'already there' if step.done else 'will'}: {step.told}")
    wanted = [step for step in steps if not step.done]
    if dry_run or not wanted:
        return
    if os.geteuid() != 0:
        raise OcrdError("only root can install", hint="sudo ocrd install")
    if not yes and not typer.confirm("Go on?"):
        raise typer.Exit(1)
    for step in wanted:
        step.act()
    typer.echo(
        f"Next: ocrd doctor --config {CONFIG}; systemctl enable --now ocrd\n"
        f"Then drop a scan into {root / 'inbox' / 'scans'}."
    )


def plan(user: str, root: Path, prefix: Path) -> Iterator[Step]:
    """The steps, in order; `prefix` stands for `/`."""
    yield _user(user, prefix)
    for tree in (*TREES, "inbox/scans"):
        yield _folder(_below(prefix, root / tree), user, prefix)
    yield _file(_below(prefix, CONFIG), FIRST_CONFIG.format(root=root), keep=True)
    yield _file(_below(prefix, UNIT), unit_text(user, root), keep=False)
    yield _reload(prefix)


def unit_text(user: str, root: Path) -> str:
    """The unit, for this installation's program, user and root."""
    text = unit_file().read_text(encoding="utf-8")
    program = Path(sys.argv[0]).resolve()
    return (
        text.replace("/usr/bin/ocrd", str(program))
        .replace("User=ocrd", f"User={user}")
        .replace("Group=ocrd", f"Group={user}")
        .replace("/srv/ocrd", str(root))
    )


def unit_file() -> Path:
    """The unit as shipped: inside the package, or beside it in a checkout."""
    package = Path(str(resources.files("ocrd")))
    shipped = package / "ocrd.service"
    return shipped if shipped.exists() else package.parent / "systemd" / "ocrd.service"


def _below(prefix: Path, path: Path) -> Path:
    return prefix / path.relative_to("/")


def _user(user: str, prefix: Path) -> Step:
    passwd = _below(prefix, Path("/etc/passwd"))
    lines = passwd.read_text(encoding="utf-8").splitlines() if passwd.exists() else []
    known = any(line.startswith(f"{user}:") for line in lines)
    command = ["useradd", "--system", "--user-group", "--home-dir", "/var/lib/ocrd"]
    command += ["--shell", "/usr/sbin/nologin", *_prefix_option(prefix), user]
    return Step(f"create the system user {user}", lambda: _call(command), known)


def _folder(path: Path, user: str, prefix: Path) -> Step:
    def act() -> None:
        path.mkdir(parents=True, exist_ok=True)
        if prefix == Path("/"):
            shutil.chown(path, user, user)
            shutil.chown(path.parent, user, user)
        path.chmod(0o2770)  # setgid: what is dropped and published belongs to the group

    return Step(f"make {path}, for user and group {user}", act, path.is_dir())


def _file(path: Path, text: str, *, keep: bool) -> Step:
    same = path.exists() and (keep or path.read_text(encoding="utf-8") == text)

    def act() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o644)

    return Step(f"write {path}", act, same)


def _reload(prefix: Path) -> Step:
    running = prefix == Path("/") and Path("/run/systemd/system").exists()
    command = ["systemctl", "daemon-reload"]
    return Step("tell systemd: systemctl daemon-reload", lambda: _call(command), not running)


def _prefix_option(prefix: Path) -> list[str]:
    return [] if prefix == Path("/") else ["--prefix", str(prefix)]


def _call(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True)  # noqa: S603 - fixed words and a name from the operator
    except (OSError, subprocess.CalledProcessError) as error:
        raise OcrdError(
            f"{' '.join(command)}: {error}", hint="Do this step by hand, then run install again."
        ) from None
