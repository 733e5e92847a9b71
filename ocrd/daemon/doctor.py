"""What `ocrd doctor` looks at.  Each check says that all is well, or what to do."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from ocrd import snapshot
from ocrd.children import rights
from ocrd.config import Config, Folder
from ocrd.config.resolve import fixed_part
from ocrd.daemon.engines import build_engine, check_modes, chosen_kind
from ocrd.daemon.findings import Check, Finding, Verdict
from ocrd.daemon.wishes import groups, orientation
from ocrd.errors import OcrdError, PlaceError
from ocrd.inbox.conditions import stray
from ocrd.inbox.inboxes import MEMORY, makes_inbox, strays
from ocrd.ledger.ledger import Ledger
from ocrd.mounts import is_remote, mount_of, mounts, watch_kind

LEAST_FREE_BYTES = 1 << 30
WATCHES = Path("/proc/sys/fs/inotify/max_user_watches")


def examine(config: Config) -> Iterator[Finding]:
    """Every check, one after the other; one that breaks is a finding itself."""
    for check in CHECKS:
        try:
            yield from check(config)
        except (OcrdError, OSError) as error:
            known = error if isinstance(error, OcrdError) else _unseen(error)
            yield Finding(
                check=check.__name__.strip("_"),
                verdict=Verdict.PROBLEM,
                found=known.message,
                hint=known.hint,
            )


def _unseen(error: OSError) -> PlaceError:
    return PlaceError(
        f"{error.filename or 'a place'}: {error.strerror}",
        hint="Run it as the daemon's user, who has to see everything: sudo -u ocrd ocrd doctor.",
    )


def _daemon(config: Config) -> Iterator[Finding]:
    pid = snapshot.holder(config.spool / snapshot.LOCK)
    if pid is None:
        hint = "Start it: systemctl start ocrd, or ocrd run."
        yield Finding(check="daemon", verdict=Verdict.WARNING, found="not running", hint=hint)
    else:
        yield Finding(check="daemon", verdict=Verdict.OK, found=f"running, pid {pid}")


def _trees(config: Config) -> Iterator[Finding]:
    """Each tree is there, can be written, and can be reached from the spool by a rename."""
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
    if not os.access(nearest, os.W_OK | os.X_OK):
        return Finding(
            check=name,
            verdict=Verdict.PROBLEM,
            found=f"{nearest} cannot be written by user {os.getuid()}",
            hint=f"chown it to the daemon's user, or chmod g+rwxs {nearest}.",
        )
    there = "writable" if nearest == path else "not there yet; the daemon makes it"
    return Finding(check=name, verdict=Verdict.OK, found=f"{path}: {there}")


def _renames(spool: Path, folder: Folder) -> Iterator[Finding]:
    """Try a rename: bind mounts of one filesystem look alike and still refuse it."""
    if not spool.is_dir():
        return
    for kind, path in folder.trees():
        if not path.is_dir() or not os.access(path, os.W_OK):
            continue
        token = f".ocrd-doctor-{secrets.token_hex(4)}.part"
        probe, target = spool / token, path / token
        try:
            probe.touch()
            probe.rename(target)
        except OSError:
            yield Finding(
                check=f"{folder.name} {kind}",
                verdict=Verdict.WARNING,
                found=f"{path} lies on another filesystem (or mount) than the spool",
                hint="Files are copied instead of renamed: slower, equally safe.",
            )
        finally:
            probe.unlink(missing_ok=True)
            target.unlink(missing_ok=True)


def _inboxes(config: Config) -> Iterator[Finding]:
    table = mounts()
    for folder in config.folders:
        if _waited_for(config, folder):
            hint = f"mkdir -p {folder.inbox}, or mount its share."
            yield Finding(
                check=f"{folder.name} inbox",
                verdict=Verdict.PROBLEM,
                found=f"{folder.inbox} is not there",
                hint=hint,
            )
            continue
        mount = mount_of(os.path.realpath(folder.inbox), table)
        fstype = mount.fstype if mount else "unknown"
        how = folder.watch if folder.watch != "auto" else watch_kind(folder.inbox)
        yield Finding(
            check=f"{folder.name} inbox", verdict=Verdict.OK, found=f"{fstype}, watched {how}"
        )


def _strays(config: Config) -> Iterator[Finding]:
    """Files that somebody dropped where nobody takes them."""
    found = strays(config.root, [folder.inbox for folder in config.folders])
    if found:
        hint = "Add a [[folder]] for them and reload, or move them into one that there is."
        yield Finding(check="strays", verdict=Verdict.WARNING, found=stray(found), hint=hint)


def _waited_for(config: Config, folder: Folder) -> bool:
    """Whether the inbox is not there, and the daemon would not make it."""
    memory = config.spool / MEMORY / f"{folder.name}.json"
    return not folder.inbox.is_dir() and not makes_inbox(folder, config.root, memory)


def _watches(config: Config) -> Iterator[Finding]:
    limit = int(WATCHES.read_text())
    folders = sum(
        1 for folder in config.folders for _ in os.walk(folder.inbox) if folder.watch != "polling"
    )
    if folders > limit // 2:
        yield Finding(
            check="inotify",
            verdict=Verdict.WARNING,
            found=f"{folders} folders to watch, the limit is {limit} for all programs together",
            hint=f"sysctl fs.inotify.max_user_watches={4 * folders}; until then polling helps out.",
        )
    else:
        yield Finding(
            check="inotify", verdict=Verdict.OK, found=f"watches {folders} of at most {limit}"
        )


def _space(config: Config) -> Iterator[Finding]:
    seen: set[int] = set()
    for path in (config.root, *(fixed_part(f.archive) for f in config.folders), config.ledger):
        nearest = next(each for each in (path, *path.parents) if each.exists())
        device = nearest.stat().st_dev
        if device in seen:
            continue
        seen.add(device)
        free = shutil.disk_usage(nearest).free
        low = free < LEAST_FREE_BYTES
        yield Finding(
            check="disk space",
            verdict=Verdict.PROBLEM if low else Verdict.OK,
            found=f"{nearest}: {free / 2**30:.1f} GiB free",
            hint="Free some: full disks pause folders until there is room." if low else "",
        )


def _ledger(config: Config) -> Iterator[Finding]:
    home = config.ledger.parent
    if home != config.spool and not home.is_dir():
        hint = f"Make it, for the daemon's user: install -d -o ocrd -g ocrd {home}"
        yield Finding(check="ledger", verdict=Verdict.PROBLEM, found=f"no folder {home}", hint=hint)
        return
    if not config.ledger.exists():
        yield Finding(check="ledger", verdict=Verdict.OK, found="none yet; the daemon makes it")
        return
    table = mounts()
    mount = mount_of(os.path.realpath(config.ledger), table)
    if mount is not None and is_remote(mount.fstype):
        hint = "Set ledger.path to a local disk."
        yield Finding(
            check="ledger", verdict=Verdict.PROBLEM, found=f"lies on {mount.fstype}", hint=hint
        )
        return
    with Ledger.open(config.ledger, create=False) as ledger:
        faults = ledger.verify()
    for fault in faults:
        hint = "Stop the daemon and see 'A damaged ledger' in docs/reliability.md."
        yield Finding(check="ledger", verdict=Verdict.PROBLEM, found=fault, hint=hint)
    if not faults:
        yield Finding(check="ledger", verdict=Verdict.OK, found=f"{config.ledger}: sound")


def _engine(config: Config) -> Iterator[Finding]:
    kind = chosen_kind(config.settings)
    engine = build_engine(config)
    for name, reason in check_modes(config, engine).items():
        yield Finding(
            check="engine",
            verdict=Verdict.WARNING,
            found=f"inbox/{name} is not served",
            hint=reason,
        )
    if kind == "vllm":
        from ocrd.daemon.engines import vllm_settings
        from ocrd.engine.resident.preflight import plan

        plan(vllm_settings(config))
    else:
        from ocrd.engine.rapid import installed

        if (missing := installed.missing()) is not None:
            raise missing
    yield Finding(check="engine", verdict=Verdict.OK, found=f"{kind}: {engine.model}")


def _children(_config: Config) -> Iterator[Finding]:
    had = rights()
    for missing in had.missing:
        hint = "A newer kernel confines page workers further; they are bounded in any case."
        yield Finding(check="page workers", verdict=Verdict.WARNING, found=missing, hint=hint)
    if not had.missing:
        yield Finding(check="page workers", verdict=Verdict.OK, found="confined to their files")


CHECKS: tuple[Check, ...] = (
    _daemon,
    _trees,
    _inboxes,
    _strays,
    _watches,
    _space,
    _ledger,
    _engine,
    groups,
    orientation,
    _children,
)
