"""Which schema a file has.  Standard library only.

`PRAGMA user_version` holds the number of the last revision, `PRAGMA application_id` tells a
ledger from any other SQLite file.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ocrd.errors import LedgerError

APPLICATION_ID = 0x6F637264  # "ocrd"
NEWEST = 3  # the newest revision in migrations/


def known_version(raw: sqlite3.Connection, path: Path, newest: int) -> int:
    """The file's revision: 0 for an empty one.

    Raises:
        LedgerError: It is newer than `newest`, or no ledger at all.
    """
    # In this order, as another process may be making the ledger just now.
    empty = raw.execute("SELECT NOT EXISTS (SELECT 1 FROM sqlite_master)").fetchone()[0]
    ours = raw.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    version = int(raw.execute("PRAGMA user_version").fetchone()[0])
    if not ours and not empty:
        raise LedgerError(
            f"{path}: this is another program's database, not a ledger",
            hint="Set `path` under [ledger] to a file of ocrd's own.",
            kind="ledger-foreign",
        )
    if version > newest:
        raise LedgerError(
            f"{path}: a newer ocrd made this ledger (schema {version}, this one knows {newest})",
            hint="Install that ocrd again, or put back the copy it made before its upgrade "
            f"({backup_path(path, newest).name}); what was recorded since is lost with the copy.",
            kind="ledger-newer",
        )
    return version


def backup_path(path: Path, version: int) -> Path:
    """Where the copy goes that is made before an upgrade from `version`."""
    return path.with_name(f"{path.name}.schema-{version}.bak")
