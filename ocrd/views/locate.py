"""Where the ledger and the spool lie, found without checking the whole configuration each time.

Checking it costs several times what `ocrd status` may take.  What a check found is kept in the
spool (among the user's own caches, where the spool is not there or not theirs to write), together
with a mark of the file and of the environment that overrides it, and holds for as long as those
stay as they are.  While a daemon runs, its own word is taken where the
configuration on the disk is refused: `ocrd status` has to tell of that, too.
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
    """What a reader needs.

    Attributes:
        spool: The daemon's own tree.
        ledger: The ledger's file.
        snapshot: What the daemon last said of itself, alive or not.
        pid: The daemon's process, or None when none runs.
        folders: The folders' inboxes by name, in the configuration's order.
        engine: The engine's kind as configured.
        file_digest: SHA-256 of the configuration file as it is now.
        refused: Why the configuration on the disk cannot be used, though a daemon runs.
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
        """What the daemon that runs now has said; empty before it has said anything."""
        said = self.snapshot or {}
        return said if self.pid is not None and said.get("pid") == self.pid else {}


def locate(given: Path | None) -> Located:
    """Find ledger, spool and the daemon's words.

    Raises:
        ConfigError: There is no usable configuration, and no daemon that runs without it.
        PlaceError: The spool must not be read.
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
    """Locate the ledger and ask it what changes nothing: nobody needs leave to write for that.

    Raises:
        ConfigError: There is no usable configuration.
        LedgerError: There is no ledger yet, or it cannot be used.
        PlaceError: It must not be read.
    """
    from ocrd.ledger.readonly import read_ledger

    return read_ledger(locate(given).ledger, question)


def _quickly(given: Path | None) -> Located | None:
    """As an earlier check of this very configuration found it; None when there was none."""
    try:
        raw = configfile.read(configfile.find(given))
        root = Path(os.environ.get("OCRD_ROOT") or tomllib.loads(raw.decode())["root"])
        mark = _mark(raw)
        for file in (root / ".ocrd" / KEPT, *_own_cache(given)):
            with contextlib.suppress(OSError):
                kept = json.loads(file.read_text(encoding="utf-8"))
                trusted = (os.geteuid(), 0, root.stat().st_uid)  # whoever asks, root, the daemon
                if kept["mark"] == mark and file.lstat().st_uid in trusted:
                    return _located(root / ".ocrd", kept)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # the thorough way says what is wrong
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
        with contextlib.suppress(OSError):  # whoever may write nowhere checks each time
            if file.parent != config.spool:
                file.parent.mkdir(parents=True, exist_ok=True)
            scratch = file.with_name(f"{file.name}.{os.getpid()}")
            with scratch.open("x", encoding="utf-8") as writing:  # root must not follow a link
                os.fchmod(writing.fileno(), snapshot.MODE)
                writing.write(json.dumps(kept))
            scratch.replace(file)
            break
    return _located(config.spool, kept)


def _own_cache(given: Path | None) -> list[Path]:
    """Where the user keeps it, one file for each configuration; the daemon's has no home."""
    home = os.environ.get("HOME")
    caches = os.environ.get("XDG_CACHE_HOME") or (home and f"{home}/.cache")
    name = f"{zlib.crc32(os.fsencode(configfile.find(given).absolute())):08x}.json"
    return [Path(caches) / "ocrd" / name] if caches else []


def _as_the_daemon_says(given: Path | None) -> Located | None:
    """What the running daemon works with, if it read this very file before it was spoilt."""
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
    """Who may not look must not be told that no daemon runs."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        try:
            os.listdir(spool)  # noqa: PTH208 - only whether it works
        except PermissionError:
            from ocrd.owners import how_to_be_let_in

            raise PlaceError(
                f"{spool}: no permission to see how the daemon stands",
                hint=how_to_be_let_in(spool),
                kind="no-permission",
            ) from None


def _mark(raw: bytes) -> str:
    """Of all that shapes a configuration: the file, and the variables that override it.

    It tells edits apart, and guards nothing; a digest that does takes longer to load.
    """
    environment = sorted(item for item in os.environ.items() if item[0].startswith("OCRD_"))
    shaping = raw + repr(environment).encode(errors="replace")
    return f"{len(shaping)}-{zlib.crc32(shaping):08x}"
