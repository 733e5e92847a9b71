"""Where the ledger and the spool lie, found without loading the whole configuration.

Checking a configuration costs several times what `ocrd status` may take.  A living daemon has
checked it already: when the file still has the digest that the daemon recorded, what the daemon
says of its folders holds.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocrd import snapshot


@dataclass(frozen=True, kw_only=True)
class Located:
    """What a reader needs.

    Attributes:
        spool: The daemon's own tree.
        ledger: The ledger's file.
        snapshot: What the daemon last said of itself, if it ran on this very configuration.
        pid: The daemon's process, or None when none runs.
        folders: The folders' names in the configuration's order.
    """

    spool: Path
    ledger: Path
    snapshot: dict[str, Any] | None
    pid: int | None
    folders: tuple[str, ...]


def locate(given: Path | None) -> Located:
    """Find ledger, spool and the daemon's words.

    Raises:
        ConfigError: There is no usable configuration.
    """
    return _quickly(given) or _thoroughly(given)


def _quickly(given: Path | None) -> Located | None:
    """From the daemon's snapshot, when that is about this very file."""
    file = given or Path(os.environ.get("OCRD_CONFIG") or "/etc/ocrd/config.toml")
    try:
        raw = file.read_bytes()
        root = Path(os.environ.get("OCRD_ROOT") or tomllib.loads(raw.decode())["root"])
        spool = root / ".ocrd"
    except (OSError, ValueError, KeyError, TypeError):
        return None  # the thorough way says what is wrong
    said = snapshot.read(spool)
    if said is None or said.get("config_digest") != hashlib.sha256(raw).hexdigest():
        return None
    return Located(
        spool=spool,
        ledger=Path(said["ledger"]),
        snapshot=said,
        pid=snapshot.holder(spool / snapshot.LOCK),
        folders=tuple(folder["name"] for folder in said["folders"]),
    )


def _thoroughly(given: Path | None) -> Located:
    from ocrd.config import load

    config = load(given)
    return Located(
        spool=config.spool,
        ledger=config.ledger,
        snapshot=snapshot.read(config.spool),
        pid=snapshot.holder(config.spool / snapshot.LOCK),
        folders=tuple(folder.name for folder in config.folders),
    )
