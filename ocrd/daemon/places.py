"""The checks of `ocrd doctor` on folders: permissions, strays, watches and disk space.

They run as the daemon's user.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import os
import secrets
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from ocrd.config import Config, Folder, fixed_part
from ocrd.errors import LedgerError
from ocrd.files import display
from ocrd.inbox import scan
from ocrd.inbox.inboxes import MEMORY, makes_inbox
from ocrd.mounts import mount_of, mounts, watch_kind
from ocrd.oserrors import os_error
from ocrd.owners import owned, user_name

LEAST_FREE_BYTES = 1 << 30
WATCHES = Path("/proc/sys/fs/inotify/max_user_watches")
SHOWN = 5  # of many findings that are alike


class Verdict(enum.StrEnum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Finding(NamedTuple):
    """The name of a check, its verdict, what it found, and what to do (empty for nothing)."""

    check: str
    verdict: Verdict
    found: str
    hint: str = ""


def require_home(ledger: Path) -> None:
    """Make sure that the ledger's folder exists.

    Raises:
        LedgerError: It does not.
        PlaceError: Something other than a folder is in its place.
    """
    home = ledger.parent
    if home.is_dir():
        return
    if home.exists():
        raise os_error(NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)), home)
    raise LedgerError(
        f"there is no folder {home} for the ledger",
        hint=f"Make it, for the daemon's user: install -d -o ocrd -g ocrd {home}",
        kind="no-folder",
    )


def ok(check: str, found: str) -> Finding:
    """A finding that all is well."""
    return Finding(check, Verdict.OK, found)


def warning(check: str, found: str, hint: str) -> Finding:
    """A finding that ocrd works, but not as well as it could."""
    return Finding(check, Verdict.WARNING, found, hint)


def problem(check: str, found: str, hint: str) -> Finding:
    """A finding that will make jobs wait or fail."""
    return Finding(check, Verdict.PROBLEM, found, hint)


Check = Callable[[Config], Iterator[Finding]]


def trees(config: Config) -> Iterator[Finding]:
    """Whether each tree can be written, and be reached from the spool by a rename."""
    places = {"spool": config.spool}
    for folder in config.folders:
        places |= {
            f"{folder.name} {kind}": path
            for kind, path in folder.trees()
            if kind != "inbox" or not _waited_for(config, folder)
        }
    for name, path in places.items():
        yield _writable(name, path)
    for folder in config.folders:
        yield from _renames(config.spool, folder)


def _writable(name: str, path: Path) -> Finding:
    nearest = next(each for each in (path, *path.parents) if each.exists())
    code = 0
    if not nearest.is_dir():
        code = errno.ENOTDIR
    elif os.statvfs(nearest).f_flag & os.ST_RDONLY:
        code = errno.EROFS
    elif not os.access(nearest, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        code = errno.EACCES
    if code:
        # name a file in the folder: for its own path, the folder above could be blamed
        named = nearest / MEMORY if code == errno.EACCES else nearest
        refused = os_error(OSError(code, os.strerror(code), str(named)), nearest)
        return problem(name, refused.message, refused.hint)
    there = "writable" if nearest == path else "not there yet; the daemon makes it"
    return ok(name, f"{path}: {there}")


def _renames(spool: Path, folder: Folder) -> Iterator[Finding]:
    """Try a rename to each tree: bind mounts of one file system look alike and still refuse it."""
    if not spool.is_dir():
        return
    for kind, path in folder.trees():
        if not path.is_dir() or not os.access(path, os.W_OK | os.X_OK, effective_ids=True):
            continue
        token = f".ocrd-doctor-{secrets.token_hex(4)}.part"
        probe, target = spool / token, path / token
        try:
            probe.touch()
            probe.rename(target)
        except OSError as error:
            if error.errno == errno.EXDEV:
                yield warning(
                    f"{folder.name} {kind}",
                    f"{path} lies on another filesystem (or mount) than the spool",
                    "Files are copied instead of renamed: slower, equally safe.",
                )
            else:
                refused = os_error(error, path)
                yield problem(f"{folder.name} {kind}", refused.message, refused.hint)
        finally:
            for file in (probe, target):
                with contextlib.suppress(OSError):
                    file.unlink(missing_ok=True)


def inboxes(config: Config) -> Iterator[Finding]:
    """Whether each inbox exists or will be made, and how it is watched."""
    table = mounts()
    for folder in config.folders:
        if _waited_for(config, folder):
            hint = f"mkdir -p {folder.inbox}, or mount its share."
            yield problem(f"{folder.name} inbox", f"{folder.inbox} is not there", hint)
            continue
        mount = mount_of(os.path.realpath(folder.inbox), table)
        fstype = mount.fstype if mount else "unknown"
        how = folder.watch if folder.watch != "auto" else watch_kind(folder.inbox)
        yield ok(f"{folder.name} inbox", f"{fstype}, watched {how}")


def _waited_for(config: Config, folder: Folder) -> bool:
    """Whether the inbox is missing and the daemon would not make it."""
    memory = config.spool / MEMORY / f"{folder.name}.json"
    return not folder.inbox.is_dir() and not makes_inbox(folder, config.root, memory)


def sub_folders(config: Config) -> Iterator[Finding]:
    """Folders that people dropped and that the daemon cannot take files out of."""
    for folder in config.folders:
        closed = []
        for path, names, _ in os.walk(folder.inbox):
            names[:] = [name for name in names if not name.startswith(".")]
            below = [Path(path, name) for name in names]
            closed += [
                each
                for each in below
                if not os.access(each, os.R_OK | os.W_OK | os.X_OK, effective_ids=True)
            ]
        me = user_name(os.geteuid())
        for each in closed[:SHOWN]:
            yield problem(
                f"{folder.name} inbox",
                f"{display(each)} is closed to the daemon: {owned(each.stat())}"
                + _and_more(len(closed) - SHOWN),
                f"sudo setfacl -R -m u:{me}:rwX {shlex.quote(display(each))}",
            )


def strays(config: Config) -> Iterator[Finding]:
    """Files in the root's inbox/ that are in no configured folder: ocrd never reads them."""
    lying = list(scan.strays(config.root, [folder.inbox for folder in config.folders]).items())
    for path, count in lying[:SHOWN]:
        what = "1 file lies" if count == 1 else f"{count} files lie"
        yield warning(
            "strays",
            f"{what} in no folder: {display(path)}" + _and_more(len(lying) - SHOWN),
            "Add a [[folder]] of that name to the configuration, or move them.",
        )


def _and_more(count: int) -> str:
    return f" (and {count} more)" if count > 0 else ""


def watches(config: Config) -> Iterator[Finding]:
    """Whether the kernel's limit is high enough for the folders to watch."""
    limit = int(WATCHES.read_text())
    folders = sum(
        1 for folder in config.folders for _ in os.walk(folder.inbox) if folder.watch != "polling"
    )
    if folders > limit // 2:
        yield warning(
            "inotify",
            f"{folders} folders to watch, the limit is {limit} for all programs together",
            f"sysctl fs.inotify.max_user_watches={4 * folders}; until then polling helps out.",
        )
    else:
        yield ok("inotify", f"watches {folders} of at most {limit}")


def space(config: Config) -> Iterator[Finding]:
    """Whether there is room on each disk."""
    seen: set[int] = set()
    for path in (config.root, *(fixed_part(f.archive) for f in config.folders), config.ledger):
        nearest = next(each for each in (path, *path.parents) if each.exists())
        device = nearest.stat().st_dev
        if device in seen:
            continue
        seen.add(device)
        free = shutil.disk_usage(nearest).free
        room = f"{nearest}: {free / 2**30:.1f} GiB free"
        if free < LEAST_FREE_BYTES:
            hint = "Free some: full disks pause folders until there is room."
            yield problem("disk space", room, hint)
        else:
            yield ok("disk space", room)


CHECKS: tuple[Check, ...] = (trees, inboxes, sub_folders, strays, watches, space)
"""They check what the daemon may do, and so run as the daemon's user."""
