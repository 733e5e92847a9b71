"""Where the ledger and the spool lie, found without checking the whole configuration each time.

Checking it costs several times what `ocrd status` may take.  What a check found is kept in the
spool together with a digest of the file and of the environment that overrides it, and holds for
as long as those stay as they are.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocrd import snapshot
from ocrd.errors import PlaceError

KEPT = "located.json"


@dataclass(frozen=True, kw_only=True)
class Located:
    """What a reader needs.

    Attributes:
        spool: The daemon's own tree.
        ledger: The ledger's file.
        snapshot: What the daemon last said of itself, alive or not.
        pid: The daemon's process, or None when none runs.
        folders: The folders' names in the configuration's order.
        engine: The engine's kind as configured.
    """

    spool: Path
    ledger: Path
    snapshot: dict[str, Any] | None
    pid: int | None
    folders: tuple[str, ...]
    engine: str

    @property
    def word(self) -> dict[str, Any]:
        """What the daemon that runs now has said; empty before it has said anything."""
        said = self.snapshot or {}
        return said if self.pid is not None and said.get("pid") == self.pid else {}


def locate(given: Path | None) -> Located:
    """Find ledger, spool and the daemon's words.

    Raises:
        ConfigError: There is no usable configuration.
        PlaceError: The spool must not be read.
    """
    return _quickly(given) or _thoroughly(given)


def _quickly(given: Path | None) -> Located | None:
    """As an earlier check of this very configuration found it; None when there was none."""
    file = given or Path(os.environ.get("OCRD_CONFIG") or "/etc/ocrd/config.toml")
    try:
        raw = file.read_bytes()
        root = Path(os.environ.get("OCRD_ROOT") or tomllib.loads(raw.decode())["root"])
        kept = json.loads((root / ".ocrd" / KEPT).read_text(encoding="utf-8"))
        if kept["digest"] != _digest(raw):
            return None
        return _located(root / ".ocrd", kept)
    except (OSError, ValueError, KeyError, TypeError):
        return None  # the thorough way says what is wrong


def _thoroughly(given: Path | None) -> Located:
    from ocrd.config import load

    config = load(given)
    kept = {
        "digest": _digest(config.file.read_bytes()),
        "ledger": str(config.ledger),
        "folders": [folder.name for folder in config.folders],
        "engine": config.settings.engine.kind,
    }
    with contextlib.suppress(OSError):  # whoever may not write there checks each time
        scratch = config.spool / f"{KEPT}.{os.getpid()}"
        scratch.write_text(json.dumps(kept), encoding="utf-8")
        scratch.replace(config.spool / KEPT)
    return _located(config.spool, kept)


def _located(spool: Path, kept: dict[str, Any]) -> Located:
    _refuse_unreadable(spool)
    return Located(
        spool=spool,
        ledger=Path(kept["ledger"]),
        snapshot=snapshot.read(spool),
        pid=snapshot.holder(spool / snapshot.LOCK),
        folders=tuple(kept["folders"]),
        engine=kept["engine"],
    )


def _refuse_unreadable(spool: Path) -> None:
    """Who may not look must not be told that no daemon runs."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        try:
            os.listdir(spool)  # noqa: PTH208 - only whether it works
        except PermissionError:
            raise PlaceError(
                f"{spool}: no permission to see how the daemon stands",
                hint="Be in the daemon's group (sudo usermod -aG ocrd NAME, then log in again), "
                "or use sudo.",
                kind="no-permission",
            ) from None


def _digest(raw: bytes) -> str:
    """Of all that shapes a configuration: the file, and the variables that override it."""
    environment = sorted(item for item in os.environ.items() if item[0].startswith("OCRD_"))
    return hashlib.sha256(raw + repr(environment).encode(errors="replace")).hexdigest()
