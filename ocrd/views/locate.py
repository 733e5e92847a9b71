"""Locates the ledger and the spool without validating the whole configuration each time.

Validation takes several times as long as `ocrd status` may.  So its result is kept in the spool (or
in the user's own cache, if the spool is missing or not writable), together with a mark of the file
and of the environment that overrides it, and is valid while these stay the same.  If the
configuration on the disk is refused while a daemon runs, the paths in the daemon's snapshot are
used: `ocrd status` has to report that case, too.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tomllib
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ocrd import configfile, snapshot
from ocrd.errors import ConfigError, PlaceError

if TYPE_CHECKING:
    from ocrd.ledger.ledger import Ledger

KEPT = "located.json"
ROOT_LINE = rb"""(?m)^\s*root\s*=\s*("[^"\n]*"|'[^'\n]*')"""
T = TypeVar("T")


class Located(NamedTuple):
    """The paths and facts that readers need.

    Attributes:
        spool: The daemon's own tree.
        ledger: The ledger's file.
        snapshot: The daemon's last snapshot, whether it still runs or not.
        pid: The daemon's process; None when none runs.
        folders: The folders' inboxes by name, in the configuration's order.
        engine: The engine's kind as configured.
        file_digest: SHA-256 of the configuration file as it is now.
        refused: Why the configuration on the disk cannot be used, although a daemon runs.
    """

    spool: Path
    ledger: Path
    snapshot: dict[str, Any] | None
    pid: int | None
    folders: Mapping[str, Path]
    engine: str
    file_digest: str
    refused: ConfigError | None = None

    @property
    def word(self) -> dict[str, Any]:
        """The snapshot of the running daemon; empty before it has written one, or if none runs."""
        said = self.snapshot or {}
        return said if self.pid is not None and said.get("pid") == self.pid else {}


def locate(given: Path | None) -> Located:
    """Find the ledger, the spool and the daemon's snapshot.

    Raises:
        ConfigError: The configuration is unusable, and no daemon runs.
        PlaceError: There is no permission to read the spool.
    """
    found = _quickly(given)
    if found is not None:
        return found
    try:
        return _thoroughly(given)
    except ConfigError as error:
        running = _as_the_daemon_says(given)
        if running is None:
            raise
        return running._replace(refused=error)


def asked(given: Path | None, question: Callable[[Ledger], T]) -> T:
    """Locate the ledger and ask it a read-only question, which needs no write permission.

    Raises:
        ConfigError: There is no usable configuration.
        LedgerError: There is no ledger yet, or it cannot be used.
        PlaceError: There is no permission to read it.
    """
    from ocrd.ledger.readonly import read_ledger

    return read_ledger(locate(given).ledger, question)


def _quickly(given: Path | None) -> Located | None:
    """The result kept from an earlier check of the same configuration; None if there is none."""
    try:
        raw = configfile.read(configfile.find(given))
        root = Path(os.environ.get("OCRD_ROOT") or tomllib.loads(raw.decode())["root"])
        mark = _mark(raw)
        for file in (root / ".ocrd" / KEPT, *_own_cache(given)):
            with contextlib.suppress(OSError):
                kept = json.loads(file.read_text(encoding="utf-8"))
                trusted = (os.geteuid(), 0, root.stat().st_uid)  # this user, root, the daemon
                if kept["mark"] == mark and file.lstat().st_uid in trusted:
                    return _located(root / ".ocrd", kept)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # the full check reports what is wrong
    return None


def _thoroughly(given: Path | None) -> Located:
    from ocrd.config import load

    config = load(given)
    kept = {
        "mark": _mark(configfile.read(config.file)),
        "file_digest": config.digest,
        "ledger": str(config.ledger),
        "folders": {folder.name: str(folder.inbox) for folder in config.folders},
        "engine": config.settings.engine.kind,
    }
    for file in (config.spool / KEPT, *_own_cache(given)):
        with contextlib.suppress(OSError):  # a user who may not write anywhere checks each time
            if file.parent != config.spool:
                file.parent.mkdir(parents=True, exist_ok=True)
            scratch = file.with_name(f"{file.name}.{os.getpid()}")
            with scratch.open("x", encoding="utf-8") as writing:  # "x": root must not follow a link
                os.fchmod(writing.fileno(), snapshot.MODE)
                writing.write(json.dumps(kept))
            scratch.replace(file)
            break
    return _located(config.spool, kept)


def _own_cache(given: Path | None) -> list[Path]:
    """The user's own cache file for this configuration; none for the daemon, which has no home."""
    home = os.environ.get("HOME")
    caches = os.environ.get("XDG_CACHE_HOME") or (home and f"{home}/.cache")
    name = f"{zlib.crc32(os.fsencode(configfile.find(given).absolute())):08x}.json"
    return [Path(caches) / "ocrd" / name] if caches else []


def _as_the_daemon_says(given: Path | None) -> Located | None:
    """The running daemon's paths, found by the `root` in the refused file; None if none runs."""
    try:
        raw = configfile.read(configfile.find(given))
    except OSError:
        return None
    line = re.search(ROOT_LINE, raw)
    if line is None:
        return None
    spool = Path(os.environ.get("OCRD_ROOT") or line[1][1:-1].decode(errors="replace")) / ".ocrd"
    said = snapshot.read(spool)
    if said is None or snapshot.holder(spool / snapshot.LOCK) is None:
        return None
    import hashlib

    kept = {
        "file_digest": hashlib.sha256(raw).hexdigest(),
        "ledger": said["ledger"],
        "folders": {each["name"]: each["inbox"] for each in said["folders"]},
        "engine": said["engine"]["kind"],
    }
    return _located(spool, kept)


def _located(spool: Path, kept: dict[str, Any]) -> Located:
    _refuse_unreadable(spool)
    return Located(
        spool=spool,
        ledger=Path(kept["ledger"]),
        snapshot=snapshot.read(spool),
        pid=snapshot.holder(spool / snapshot.LOCK),
        folders={name: Path(inbox) for name, inbox in kept["folders"].items()},
        engine=kept["engine"],
        file_digest=kept["file_digest"],
    )


def _refuse_unreadable(spool: Path) -> None:
    """Refuse a spool without read permission: it must not look as if no daemon runs."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        try:
            os.listdir(spool)  # noqa: PTH208 - only to see whether it is allowed
        except PermissionError:
            from ocrd.owners import how_to_be_let_in

            raise PlaceError(
                f"{spool}: no permission to see how the daemon stands",
                hint=how_to_be_let_in(spool),
                kind="no-permission",
            ) from None


def _mark(raw: bytes) -> str:
    """A checksum of all that determines the configuration: the file, and overriding variables.

    It only detects edits and is no protection: a secure digest takes longer to load.
    """
    environment = sorted(item for item in os.environ.items() if item[0].startswith("OCRD_"))
    shaping = raw + repr(environment).encode(errors="replace")
    return f"{len(shaping)}-{zlib.crc32(shaping):08x}"
