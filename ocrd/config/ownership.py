"""Who may use the results: a folder's `group` and `umask`."""

from __future__ import annotations

import grp
import re
from dataclasses import dataclass

from ocrd.errors import ConfigError, PlaceError

_UMASK = re.compile(r"0?[0-7]{1,3}")
_OWNERS_BITS = 0o700


@dataclass(frozen=True, kw_only=True, slots=True)
class Ownership:
    """Group and permissions of results and filed originals; None leaves them to the target folder.

    Attributes:
        group: The group's name, for messages.
        gid: The group's number.
        umask: Permissions that are withheld: a file gets 0666, a folder 0777 without these.
    """

    group: str = ""
    gid: int | None = None
    umask: int | None = None

    @property
    def given(self) -> bool:
        """Whether the operator has set either key."""
        return self.gid is not None or self.umask is not None


AS_AROUND = Ownership()
"""No settings: group and permissions are those usual in the target folder."""


def ownership(group: str, umask: str) -> Ownership:
    """The folder's two keys, looked up at each call: a group may be created or removed meanwhile.

    Raises:
        PlaceError: The group does not exist (any more); it may exist again later.
    """
    try:
        gid = grp.getgrnam(group).gr_gid if group else None
    except KeyError:
        raise PlaceError(
            f"there is no group {group!r}",
            hint=f"`getent group {group}` must find it: mend the folder's `group`, or make it with "
            f"`groupadd {group}`.  Work goes on by itself.",
            kind="unknown-group",
        ) from None
    return Ownership(group=group, gid=gid, umask=int(umask, 8) if umask else None)


def checked_umask(umask: str) -> str:
    """A folder's `umask`, validated; the doctor checks its `group`, which may come and go.

    Raises:
        ConfigError: It is not a umask, or it takes away the daemon's own permissions.
    """
    if umask and not _UMASK.fullmatch(umask):
        raise ConfigError(
            f"{umask!r} is not an octal number from 000 to 077",
            hint='Write three octal digits: umask = "007" gives the group all rights.',
        )
    if umask and int(umask, 8) & _OWNERS_BITS:
        raise ConfigError(
            f"{umask!r} takes the daemon's own rights away",
            hint='Let it begin with 0: umask = "007", "027" or "077".',
        )
    return umask


def joining(group: str) -> str:
    """The hint that lets the daemon give files to a group."""
    return (
        f"Add the daemon's user to it and restart: `usermod -aG {group} ocrd`, "
        "`systemctl restart ocrd`.  On a file system that keeps no groups leave `group` empty."
    )
