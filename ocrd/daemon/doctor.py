"""The checks of `ocrd doctor`.  Each reports that all is well, or what to do."""

from __future__ import annotations

import asyncio
import grp
import os
import pwd
from collections.abc import Iterator
from contextlib import nullcontext

from ocrd import snapshot
from ocrd.children import missing
from ocrd.config import Config
from ocrd.daemon import places
from ocrd.daemon.engines import (
    EMBEDDED,
    build_engine,
    check_modes,
    chosen_kind,
    missing_packages,
    vllm_settings,
)
from ocrd.daemon.places import SHOWN, Check, Finding, Verdict, ok, problem, warning
from ocrd.engine import osd
from ocrd.engine.base import Engine, EngineState
from ocrd.engine.rapid.doubt import SCRIPTS
from ocrd.errors import OcrdError
from ocrd.ledger.ledger import Ledger
from ocrd.mounts import is_remote, mount_of, mounts
from ocrd.owners import acting_as

LOOPBACK = ("localhost", "::1")
__all__ = ["Finding", "Verdict", "examine", "groups"]


def examine(config: Config) -> Iterator[Finding]:
    """The findings of every check in turn; a check that fails with an error is a finding itself.

    Checks of what may be read and written run as the daemon's user, which root becomes for a while.
    """
    user = _daemon_user(config)
    if os.geteuid() not in (0, user.pw_uid):
        yield problem(
            "user",
            f"what the daemon may read and write only its user {user.pw_name} can tell",
            f"sudo -u {user.pw_name} ocrd doctor",
        )
        return
    own_groups = os.getgrouplist(user.pw_name, user.pw_gid)
    for check, as_the_daemon in CHECKS.items():
        name, found = check.__name__.strip("_"), list[Finding]()
        try:
            as_user = acting_as(user.pw_uid, user.pw_gid, own_groups)
            with as_user if as_the_daemon else nullcontext():
                found += check(config)
        except OcrdError as error:
            found.append(problem(name, error.message, error.hint))
        except OSError as error:
            hint = (
                "Run it as the daemon's user, who has to see everything: sudo -u ocrd ocrd doctor"
            )
            unseen = f"{error.filename or 'a place'}: {error.strerror}"
            found.append(problem(name, unseen, f"{hint}."))
        yield from found


def _daemon(config: Config) -> Iterator[Finding]:
    pid = snapshot.holder(config.spool / snapshot.LOCK)
    if pid is None:
        hint = "Start it: systemctl start ocrd, or ocrd run."
        yield warning("daemon", "not running", hint)
    else:
        yield ok("daemon", f"running, pid {pid}")


def _troubles(config: Config) -> Iterator[Finding]:
    """The troubles that a running daemon reports: folders that wait, jobs held, and why."""
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
        yield problem(str(name), why["message"], why["hint"])


def _ledger(config: Config) -> Iterator[Finding]:
    if config.ledger.parent != config.spool:
        places.require_home(config.ledger)
    if not config.ledger.exists():
        yield ok("ledger", "none yet; the daemon makes it")
        return
    mount = mount_of(os.path.realpath(config.ledger), mounts())
    if mount is not None and is_remote(mount.fstype):
        yield problem("ledger", f"lies on {mount.fstype}", "Set ledger.path to a local disk.")
        return
    with Ledger.open(config.ledger, create=False) as ledger:
        faults = ledger.verify()
    for fault in faults:
        hint = "Stop the daemon and see 'A damaged ledger' in docs/reliability.md."
        yield problem("ledger", fault, hint)
    if not faults:
        yield ok("ledger", f"{config.ledger}: sound")


def _engine(config: Config) -> Iterator[Finding]:
    kind = chosen_kind(config.settings)
    engine = build_engine(config)
    for name, reason in check_modes(config, engine).items():
        yield warning("engine", f"inbox/{name} is not served", reason)
    if kind == "vllm":
        from ocrd.engine.resident.preflight import plan

        plan(vllm_settings(config))
        if config.settings.engine.servers:
            yield from _servers(config)
    elif kind == "server":
        yield from _servers(config)
        return
    else:
        if (error := missing_packages(config)) is not None:
            raise error
        yield from _languages(config, engine)
    yield ok("engine", f"{kind}: {engine.model}")


def _languages(config: Config, engine: Engine) -> Iterator[Finding]:
    """The model for each folder that names a language, and the scripts that the others may have."""
    for folder in config.folders:
        if folder.language:
            _, model = engine.named(folder.language)
            yield ok(f"{folder.name} language", f"{folder.language}: {model}")
    if engine.kind == "rapidocr" and not all(folder.language for folder in config.folders):
        found = f"{SCRIPTS} are read; pages in other scripts need the folder's `language`"
        yield ok("scripts", found)


def _servers(config: Config) -> Iterator[Finding]:
    """The state of each server, asked in the same way as the daemon asks."""
    from ocrd.engine.remote.engine import survey

    for server in asyncio.run(survey(vllm_settings(config))):
        if server.state is not EngineState.READY:
            yield problem("engine", server.told(), server.hint)
        elif server.hint:
            yield warning("engine", server.told(), server.hint)
        else:
            yield ok("engine", server.told())


def _children(_config: Config) -> Iterator[Finding]:
    lacking = list(missing())
    hint = "A newer kernel confines page workers further; they are bounded in any case."
    yield from (warning("page workers", each, hint) for each in lacking)
    if not lacking:
        yield ok("page workers", "confined to their files")


def groups(config: Config) -> Iterator[Finding]:
    """Whether the daemon's user is in the groups of the folders: it may give files to no other."""
    user = _daemon_user(config)
    for folder in config.folders:
        check, name = f"{folder.name} group", folder.group
        if not name:
            continue
        try:
            gid = grp.getgrnam(name).gr_gid
        except KeyError:
            hint = f"sudo groupadd {name}, or name another in the folder's `group`."
            yield problem(check, f"there is no group {name}", hint)
            continue
        if user.pw_uid == 0 or gid in os.getgrouplist(user.pw_name, user.pw_gid):
            yield ok(check, f"{user.pw_name} may give files to {name}")
        else:
            found = f"the daemon's user {user.pw_name} is not in the group {name}"
            hint = f"sudo usermod -aG {name} {user.pw_name}; sudo systemctl restart ocrd"
            yield problem(check, found, hint)


def _daemon_user(config: Config) -> pwd.struct_passwd:
    """The owner of the spool; without a spool, the owner of the root, or else the current user.

    If the root hides the spool from us, the root's owner is taken.  Without a spool, a root that
    belongs to the superuser does not say who will use it, and the current user is taken.
    """
    try:
        owner = config.spool.stat().st_uid
    except FileNotFoundError:
        owner = config.root.stat().st_uid if config.root.is_dir() else 0
        owner = owner or os.geteuid()
    except PermissionError:
        owner = config.root.stat().st_uid
    try:
        return pwd.getpwuid(owner)
    except KeyError:  # a uid without a name, as in some containers
        return pwd.struct_passwd((str(owner), "x", owner, os.getegid(), "", "/", ""))


def orientation(config: Config) -> Iterator[Finding]:
    """What detects which way up a page is, if folders want pages turned."""
    wanting = [folder.name for folder in config.folders if folder.upright]
    if not wanting:
        return
    if chosen_kind(config.settings) in EMBEDDED:
        yield ok("upright", "the engine sees it itself")
    elif osd.installed():
        yield ok("upright", "Tesseract sees it")
    else:
        yield warning(
            "upright",
            f"nobody sees how a page lies; it stays so in: {', '.join(wanting)}",
            "sudo apt install tesseract-ocr, then systemctl restart ocrd.",
        )


def listening(config: Config) -> Iterator[Finding]:
    """A warning if `ocrd web` can be reached from other machines."""
    given = config.settings.web
    if given.socket is not None or given.host in LOOPBACK or given.host.startswith("127."):
        return
    hint = 'Have a reverse proxy speak TLS in front of it, on this machine: host = "127.0.0.1".'
    if not given.hosts:
        hint += "  It is answered under no name but its address until `hosts` has one."
    found = f"listens beyond this machine, on {given.host}:{given.port}, without TLS"
    yield warning("web", found, hint)


CHECKS: dict[Check, bool] = {  # and whether it runs as the daemon's user
    _daemon: False,
    _troubles: False,
    **dict.fromkeys(places.CHECKS, True),
    _ledger: False,
    _engine: False,
    groups: False,
    orientation: False,
    listening: False,
    _children: False,
}
