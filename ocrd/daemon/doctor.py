"""What `ocrd doctor` looks at.  Each check says that all is well, or what to do."""

from __future__ import annotations

import enum
import grp
import os
import pwd
import secrets
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ocrd import snapshot
from ocrd.children import rights
from ocrd.config import Config, Folder
from ocrd.config.resolve import fixed_part
from ocrd.daemon.engines import build_engine, check_modes, chosen_kind
from ocrd.daemon.intakes import MEMORY, makes_inbox
from ocrd.engine import osd
from ocrd.errors import OcrdError, PlaceError
from ocrd.files import display
from ocrd.ledger.ledger import Ledger
from ocrd.mounts import is_remote, mount_of, mounts, watch_kind

LEAST_FREE_BYTES = 1 << 30
SHOWN = 5  # of many alike
WATCHES = Path("/proc/sys/fs/inotify/max_user_watches")


class Verdict(enum.StrEnum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"  # it works, but not as well as it could
    PROBLEM = "problem"  # jobs will wait or fail


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What a check found.

    Attributes:
        check: What was looked at.
        verdict: How it came out.
        found: In words.
        hint: What to do; empty when nothing.
    """

    check: str
    verdict: Verdict
    found: str
    hint: str = ""


Check = Callable[[Config], Iterator[Finding]]


def examine(config: Config) -> Iterator[Finding]:
    """Every check, one after the other; one that breaks is a finding itself.

    What may be read and written is asked as the daemon's user, whom root can be for a while.
    """
    user = _daemon_user(config)
    if os.geteuid() not in (0, user.pw_uid):
        yield Finding(
            check="user",
            verdict=Verdict.PROBLEM,
            found=f"what the daemon may read and write only its user {user.pw_name} can tell",
            hint=f"sudo -u {user.pw_name} ocrd doctor",
        )
        return
    for check in CHECKS:
        try:
            if check in AS_THE_DAEMON:
                with _acting_as(user):
                    found = list(check(config))
                yield from found
            else:
                yield from check(config)
        except (OcrdError, OSError) as error:
            known = error if isinstance(error, OcrdError) else _unseen(error)
            yield Finding(
                check=check.__name__.strip("_"),
                verdict=Verdict.PROBLEM,
                found=known.message,
                hint=known.hint,
            )


@contextmanager
def _acting_as(user: pwd.struct_passwd) -> Iterator[None]:
    """Ask the kernel as that user; nothing changes for who is that user already."""
    if os.geteuid() == user.pw_uid:
        yield
        return
    before = (os.getgroups(), os.getegid(), os.geteuid())
    os.setgroups(os.getgrouplist(user.pw_name, user.pw_gid))
    os.setegid(user.pw_gid)
    os.seteuid(user.pw_uid)
    try:
        yield
    finally:
        os.seteuid(before[2])
        os.setegid(before[1])
        os.setgroups(before[0])


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


def _troubles(config: Config) -> Iterator[Finding]:
    """What a running daemon says of itself: folders that wait, jobs that are held, and why."""
    said = snapshot.read(config.spool) or {}
    if snapshot.holder(config.spool / snapshot.LOCK) is None:
        return
    found = [("daemon", trouble) for trouble in said.get("troubles", ())]
    found += [
        (each["name"], why)
        for each in said.get("folders", ())
        for why in (each.get("paused"), *each.get("conditions", ()))
        if why
    ]
    held = {each["message"]: each for each in said.get("held", ())}
    found += [("held up", each) for each in list(held.values())[:SHOWN]]
    for name, why in found:
        yield Finding(
            check=str(name), verdict=Verdict.PROBLEM, found=why["message"], hint=why["hint"]
        )


def _sub_folders(config: Config) -> Iterator[Finding]:
    """Folders that people dropped and the daemon cannot take files out of."""
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
        for each in closed[:SHOWN]:
            facts = each.stat()
            mode = f"{facts.st_mode & 0o7777:04o}"
            yield Finding(
                check=f"{folder.name} inbox",
                verdict=Verdict.PROBLEM,
                found=f"{display(each)} is closed to the daemon: owned by {facts.st_uid}:"
                f"{facts.st_gid}, mode {mode}" + _and_more(len(closed) - SHOWN),
                hint=f"sudo setfacl -R -m u:{os.geteuid()}:rwX {shlex.quote(display(each))}",
            )


def _strays(config: Config) -> Iterator[Finding]:
    """Files in the root's inbox/ that lie in no folder: nobody reads them."""
    inboxes = {folder.inbox for folder in config.folders}
    lying: dict[Path, int] = {}
    for top, names, files in os.walk(config.root / "inbox"):
        names[:] = [name for name in names if Path(top, name) not in inboxes]
        count = sum(not name.startswith(".") for name in files)
        if count:
            lying[Path(top)] = count
    for path, count in list(lying.items())[:SHOWN]:
        what = "1 file lies" if count == 1 else f"{count} files lie"
        yield Finding(
            check="strays",
            verdict=Verdict.WARNING,
            found=f"{what} in no folder: {display(path)}" + _and_more(len(lying) - SHOWN),
            hint="Add a [[folder]] of that name to the configuration, or move them.",
        )


def _and_more(count: int) -> str:
    return f" (and {count} more)" if count > 0 else ""


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
    if not os.access(nearest, os.W_OK | os.X_OK, effective_ids=True):
        return Finding(
            check=name,
            verdict=Verdict.PROBLEM,
            found=f"{nearest} cannot be written by user {os.geteuid()}",
            hint=f"chown it to the daemon's user, or chmod g+rwxs {nearest}.",
        )
    there = "writable" if nearest == path else "not there yet; the daemon makes it"
    return Finding(check=name, verdict=Verdict.OK, found=f"{path}: {there}")


def _renames(spool: Path, folder: Folder) -> Iterator[Finding]:
    """Try a rename: bind mounts of one filesystem look alike and still refuse it."""
    if not spool.is_dir():
        return
    for kind, path in folder.trees():
        if not path.is_dir() or not os.access(path, os.W_OK, effective_ids=True):
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


def groups(config: Config) -> Iterator[Finding]:
    """The daemon's user may only give files to groups that it belongs to."""
    user = _daemon_user(config)
    for folder in config.folders:
        if folder.group:
            yield _group(f"{folder.name} group", folder.group, user)


def _group(check: str, name: str, user: pwd.struct_passwd) -> Finding:
    try:
        gid = grp.getgrnam(name).gr_gid
    except KeyError:
        return Finding(
            check=check,
            verdict=Verdict.PROBLEM,
            found=f"there is no group {name}",
            hint=f"sudo groupadd {name}, or name another in the folder's `group`.",
        )
    if user.pw_uid != 0 and gid not in os.getgrouplist(user.pw_name, user.pw_gid):
        return Finding(
            check=check,
            verdict=Verdict.PROBLEM,
            found=f"the daemon's user {user.pw_name} is not in the group {name}",
            hint=f"sudo usermod -aG {name} {user.pw_name}; sudo systemctl restart ocrd",
        )
    return Finding(
        check=check, verdict=Verdict.OK, found=f"{user.pw_name} may give files to {name}"
    )


def _daemon_user(config: Config) -> pwd.struct_passwd:
    """Whose the spool is; before there is one, whoever asks."""
    try:
        owner = config.spool.stat().st_uid
    except FileNotFoundError:
        owner = os.geteuid()
    try:
        return pwd.getpwuid(owner)
    except KeyError:  # a uid without a name, as in some containers
        return pwd.struct_passwd((str(owner), "x", owner, os.getegid(), "", "/", ""))


def orientation(config: Config) -> Iterator[Finding]:
    """Who finds which way up a page is, where folders want pages turned."""
    wanting = [folder.name for folder in config.folders if folder.upright]
    if not wanting:
        return
    if chosen_kind(config.settings) == "rapidocr":
        yield Finding(check="upright", verdict=Verdict.OK, found="RapidOCR sees it itself")
    elif (program := osd.installed()) is not None:
        yield Finding(check="upright", verdict=Verdict.OK, found=f"Tesseract sees it: {program}")
    else:
        yield Finding(
            check="upright",
            verdict=Verdict.WARNING,
            found=f"nobody sees how a page lies; it stays so in: {', '.join(wanting)}",
            hint="sudo apt install tesseract-ocr, then systemctl restart ocrd.",
        )


CHECKS: tuple[Check, ...] = (
    _daemon,
    _troubles,
    _trees,
    _inboxes,
    _sub_folders,
    _strays,
    _watches,
    _space,
    _ledger,
    _engine,
    groups,
    orientation,
    _children,
)
AS_THE_DAEMON = (_trees, _inboxes, _sub_folders, _strays, _watches, _space)
