"""What was once seen of an inbox, kept over a restart: an empty mount point is no empty inbox."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ocrd.mounts import Mount


@dataclass(frozen=True, slots=True)
class Seen:
    """An inbox as it was when it was well.

    Attributes:
        mount: What it lay on; None where the kernel does not tell.
        marked: Whether the share's marker lay in it.
    """

    mount: Mount | None = None
    marked: bool = False


def recall(file: Path) -> Seen:
    """What `keep` wrote; nothing seen when there is nothing that can be understood."""
    try:
        told = json.loads(file.read_bytes())
        return Seen(told["mount"] and Mount(**told["mount"]), bool(told["marked"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Seen()


def keep(seen: Seen, file: Path) -> None:
    """Replace what `file` says; with a full disk it is said again at the next change."""
    draft = file.with_name(f"{file.name}.draft")
    with contextlib.suppress(OSError):
        file.parent.mkdir(exist_ok=True)
        draft.write_text(json.dumps(asdict(seen), ensure_ascii=True), encoding="ascii")
        draft.replace(file)
