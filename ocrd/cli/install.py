"""`ocrd install`, `uninstall` and `backup`; steps that change the machine are shown first."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from ocrd import configfile
from ocrd.cli.app import ConfigOption
from ocrd.errors import OcrdError, UsageError
from ocrd.files import display

UNIT = Path("/etc/systemd/system/ocrd.service")
# The web process is left for the operator to enable; the others come with the daemon.
NAMES = ("ocrd.service", "ocrd-rights.path", "ocrd-rights.service", "ocrd-web.service")
UNITS = [UNIT.with_name(name) for name in NAMES]
CONFIG = Path("/etc/ocrd/config.toml")
PASSWD = Path("/etc/passwd")
ROOT = Path("/srv/ocrd")
SHARED = 0o2770  # setgid: files that are dropped or published belong to the group
OURS = 0o2750  # of the root: only the daemon may replace a whole tree, or the spool
STATE = Path("/var/lib/ocrd")  # the unit's StateDirectory=
DISABLE = ["systemctl", "disable", "--now", "ocrd", "ocrd-web", "ocrd-rights.path"]
NAME = r"[a-z_][a-z0-9_-]{0,31}"
PLAIN = r"/[\w.+@/-]*"  # in a unit, blanks, quotes and % mean something else
MAN_PAGE = Path("share", "man", "man1", "ocrd.1")  # in a virtual environment, where man never looks
TREES = ("inbox", "outbox", "archive", "failed")
FIRST_CONFIG = """\
# Every key with its default: config.example.toml in ocrd's documentation.
root = "{root}"

[ledger]
path = "{state}/ledger.db"

[[folder]]
name = "scans"
"""
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")]


@dataclass(frozen=True)
class Step:
    """A step of installing or removing: shown first, then taken, unless it is `done` already."""

    told: str
    act: Callable[[], None]
    done: bool


def install(
    user: Annotated[
        str | None,
        typer.Option(help="The daemon's user and group; ocrd, or as installed before."),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(help="Where inbox/, outbox/ … will lie; /srv/ocrd, or as configured."),
    ] = None,
    prefix: Annotated[
        Path, typer.Option(help="Write below this folder instead of / (for images and tests).")
    ] = Path("/"),
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Set up user, folders, a first configuration and the systemd unit.  Can be run again."""
    again = _below(prefix, UNIT).exists()
    user = user or installed_user(_below(prefix, UNIT)) or "ocrd"
    if not re.fullmatch(NAME, user):
        raise UsageError(
            f"--user {display(user)}: no name of a user",
            hint="Lower-case letters, digits, - and _, a letter first: ocrd install --user ocrd",
        )
    if not _below(prefix, PASSWD).exists():
        raise UsageError(
            f"--prefix {display(prefix)}: no system lies there, as it has no etc/passwd",
            hint="Unpack the image's system there first; the daemon's user is made in it.",
        )
    root = agreed_root(root, _below(prefix, CONFIG))
    steps = [*plan(user, root, prefix)]
    if not _carried_out(steps, "install", "already there", yes=yes, dry_run=dry_run):
        return
    if again:
        typer.echo("Next: sudo systemctl restart ocrd (and ocrd-web, if it runs).")
        return
    typer.echo(
        f"Next: sudo systemctl enable --now ocrd, then sudo -u {user} ocrd doctor.\n"
        f"People who drop and fetch files belong to the group: sudo usermod -aG {user} NAME "
        f"(they log in again).\nThen drop a scan into {root / 'inbox' / 'scans'}."
    )


def uninstall(
    prefix: Annotated[
        Path, typer.Option(help="Look below this folder instead of / (for images and tests).")
    ] = Path("/"),
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Stop the daemon and take its unit away; every file, the ledger and the configuration stay."""
    unit, config = _below(prefix, UNIT), _below(prefix, CONFIG)
    user, root = installed_user(unit) or "ocrd", _configured_root(config) or ROOT
    page = _below(prefix, Path("/usr/local", MAN_PAGE))
    steps = [_away(_below(prefix, each)) for each in UNITS]
    if page.is_symlink():  # a page that we did not link stays
        steps.append(_away(page))
    if _has_systemd(prefix):
        steps = [
            Step("stop and disable ocrd.service", lambda: _call(DISABLE), done=not unit.exists()),
            *steps,
            _reload(),
        ]
    if _carried_out(steps, "uninstall", "already gone", yes=yes, dry_run=dry_run):
        typer.echo(
            f"Scans and results stay in {_below(prefix, root)}, the ledger in "
            f"{_below(prefix, STATE)}, the configuration in {config}: remove them when nothing in "
            f"them is wanted.\nThe user goes with: sudo userdel {user}"
        )


def backup(
    file: Annotated[Path, typer.Argument(help="The copy; there must be no such file yet.")],
    config: ConfigOption = None,
) -> None:
    """Copy the ledger, consistent and whole, while the daemon goes on."""
    from ocrd.views.locate import asked

    asked(config, lambda ledger: ledger.backup(file))
    size = file.stat().st_size
    typer.echo(f"{display(file)}: {size:,} bytes; docs/backup.md says how it is put back")


def _carried_out(steps: Sequence[Step], verb: str, done: str, *, yes: bool, dry_run: bool) -> bool:
    """Show the steps, ask, and take those not done yet; False if none was taken.

    Raises:
        OcrdError: The user is not root.
    """
    for step in steps:
        typer.echo(f"{done if step.done else 'will'}: {step.told}")
    wanted = [step for step in steps if not step.done]
    if dry_run or not wanted:
        return False
    if os.geteuid() != 0:
        raise OcrdError(f"only root can {verb}", hint=f"sudo ocrd {verb}")
    if not yes and not typer.confirm("Go on?"):
        raise typer.Exit(1)
    for step in wanted:
        step.act()
    return True


def _away(path: Path) -> Step:
    return Step(f"remove {path}", path.unlink, done=not os.path.lexists(path))


def installed_user(unit: Path) -> str | None:
    """The user that the installed unit runs as; None if there is no unit."""
    lines = _lines(unit)
    return next((line.removeprefix("User=") for line in lines if line.startswith("User=")), None)


def agreed_root(given: Path | None, config: Path) -> Path:
    """The root for unit, folders and configuration: given, configured, or the default.

    Raises:
        UsageError: It is no path that a unit can have, or the existing configuration has another.
    """
    configured = _configured_root(config)
    root = given or configured or ROOT
    if not root.is_absolute():
        raise UsageError(
            f"--root {display(root)}: not an absolute path", hint="ocrd install --root /srv/ocrd"
        )
    if not re.fullmatch(PLAIN, str(root)):
        raise UsageError(
            f"--root {display(root)}: units of systemd take no such path",
            hint="Letters, digits and . _ - + @ alone: ocrd install --root /srv/ocrd",
        )
    if configured is not None and root != configured:
        raise UsageError(
            f"--root {root}: {config} says root = {str(configured)!r}, and is kept",
            hint="Change `root` there first, or leave --root out.",
        )
    return root


def _configured_root(config: Path) -> Path | None:
    try:
        return Path(tomllib.loads(configfile.read(config).decode())["root"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # none yet, or one that the daemon will refuse with its reason


def plan(user: str, root: Path, prefix: Path) -> Iterator[Step]:
    """The steps, in order; `prefix` stands for `/`."""
    yield _user(user, prefix)
    yield _folder(_below(prefix, root), OURS, user, prefix)
    for tree in (*TREES, "inbox/scans"):
        yield _folder(_below(prefix, root / tree), SHARED, user, prefix)
    state = _below(prefix, STATE)  # systemd would make it, but `ocrd run` can be started without
    told = f"make {state}, for the ledger"
    yield replace(_folder(state, 0o750, user, prefix), told=told, done=state.is_dir())
    yield _file(_below(prefix, CONFIG), FIRST_CONFIG.format(root=root, state=STATE), keep=True)
    for unit in UNITS:
        yield _file(_below(prefix, unit), unit_text(user, root, unit.name), keep=False)
    page = Path(sys.prefix, MAN_PAGE)
    if page.exists() and sys.prefix != sys.base_prefix:
        yield _link(_below(prefix, Path("/usr/local", MAN_PAGE)), page)
    if _has_systemd(prefix):
        yield _reload()


def _has_systemd(prefix: Path) -> bool:
    return prefix == Path("/") and Path("/run/systemd/system").exists()


def unit_text(user: str, root: Path, name: str = UNIT.name) -> str:
    """The text of a unit, with this installation's program, user and root."""
    text = unit_file(name).read_text(encoding="utf-8")
    called = Path(sys.argv[0]).resolve()
    if called.name == "__main__.py":  # by `python -m ocrd`
        called = Path(sys.executable).with_name("ocrd")
    return (
        text.replace("/usr/bin/ocrd", str(called))
        .replace("User=ocrd", f"User={user}")
        .replace("Group=ocrd", f"Group={user}")
        .replace("/srv/ocrd", str(root))
    )


def unit_file(name: str = UNIT.name) -> Path:
    """The shipped file of a unit: inside the package, or beside it in a checkout."""
    package = Path(str(resources.files("ocrd")))
    shipped = package / name
    return shipped if shipped.exists() else package.parent / "systemd" / name


def _lines(file: Path) -> list[str]:
    """The lines of a file, whatever bytes it has; empty if there is no such file."""
    return file.read_text(encoding="utf-8", errors="replace").splitlines() if file.exists() else []


def _below(prefix: Path, path: Path) -> Path:
    return prefix / path.relative_to("/")


def _user(user: str, prefix: Path) -> Step:
    passwd = _below(prefix, PASSWD)
    known = any(line.startswith(f"{user}:") for line in _lines(passwd))
    command = ["useradd", "--system", "--user-group", "--home-dir", str(STATE)]
    command += [] if prefix == Path("/") else ["--prefix", str(prefix)]
    command += ["--shell", "/usr/sbin/nologin", user]
    return Step(f"create the system user {user}", lambda: _call(command), known)


def _folder(path: Path, mode: int, user: str, prefix: Path) -> Step:
    ours = prefix == Path("/")  # an image's users are not this system's

    def act() -> None:
        path.mkdir(parents=True, exist_ok=True)
        if ours:
            shutil.chown(path, user, user)
        path.chmod(mode)

    done = path.is_dir() and stat.S_IMODE(path.stat().st_mode) & SHARED == mode
    done = done and (not ours or _belongs(path, user))
    return Step(f"make {path}, mode {mode:o}, for user and group {user}", act, done)


def _belongs(path: Path, user: str) -> bool:
    try:
        return path.owner() == path.group() == user
    except KeyError:  # its user or group has no name
        return False


def _file(path: Path, text: str, *, keep: bool) -> Step:
    same = path.exists() and (keep or path.read_bytes() == text.encode())

    def act() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o644)

    return Step(f"write {path}", act, same)


def _link(path: Path, target: Path) -> Step:
    def act() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(target)

    told = f"link the man page: {path}"
    return Step(told, act, path.exists() and not (path.is_symlink() and path.readlink() != target))


def _reload() -> Step:
    command = ["systemctl", "daemon-reload"]
    return Step("tell systemd: systemctl daemon-reload", lambda: _call(command), done=False)


def _call(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True)  # noqa: S603 - fixed words and a name from the operator
    except (OSError, subprocess.CalledProcessError) as error:
        why = error.strerror if isinstance(error, OSError) else f"it ended with {error.returncode}"
        raise OcrdError(
            f"{' '.join(command)}: {why}", hint="Do this step by hand, then run install again."
        ) from None
