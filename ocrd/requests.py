"""Requests to a running daemon from members of the root's group: one small file for each.

    ROOT/.ocrd/requests/NAME.json    a request; the root's group may create files there
    ROOT/.ocrd/answers/NAME.json     the daemon's answer; nobody else may create files there

The daemon removes a request before it carries it out, and checks who owns the file.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ocrd.errors import OcrdError, UsageError
from ocrd.files import display
from ocrd.oserrors import os_error
from ocrd.owners import how_to_be_let_in

REQUESTS = "requests"
ANSWERS = "answers"
ANSWERED_S = 10.0
POLL_S = 0.05


def ask(spool: Path, request: Mapping[str, Any], *, wait_s: float = ANSWERED_S) -> dict[str, Any]:
    """Ask the daemon and wait for its answer.

    Args:
        spool: The daemon's own tree.
        request: `{"do": "retry", "jobs": [12]}`; `retry` also `{"failed": true}`; `cancel` with
            `jobs`; `pause` and `resume` with `folders` or `{"all": true}`.
        wait_s: How long to wait; seconds.

    Returns:
        For `retry` and `cancel`: `jobs` (those affected: `id`, `folder`, `source`), `left` (numbers
        of jobs that stay as they are) and `unknown`; for `pause` and `resume`: `folders`.

    Raises:
        UsageError: The caller is not in the root's group, or the request makes no sense.
        OcrdError: The daemon refused it, or did not answer.
    """
    name = f"{time.time_ns()}-{os.getpid()}-{secrets.token_hex(4)}.json"
    path = spool / REQUESTS / name
    _put(path, json.dumps({"version": 1, **request}).encode())
    answer = _wait_for(spool / ANSWERS / name, wait_s)
    if answer is None:
        with contextlib.suppress(OSError):
            path.unlink()
        raise OcrdError(
            f"the daemon did not answer within {wait_s:g} s",
            hint="`ocrd status` tells whether it runs and what it waits for; then ask again.",
            kind="no-answer",
        )
    if error := answer.get("error"):
        kind = UsageError if error["kind"] == UsageError.kind else OcrdError
        raise kind(error["message"], hint=error["hint"], kind=error["kind"])
    return answer


def _put(path: Path, content: bytes) -> None:
    """Write the request so that it appears complete or not at all."""
    draft = path.with_name(f".{path.name}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        draft.rename(path)
    except PermissionError:
        raise UsageError(
            f"{display(path.parent)}: only members of the daemon's group may ask that of it",
            hint=how_to_be_let_in(path.parent),
        ) from None
    except FileNotFoundError:
        raise OcrdError(
            f"{path.parent} is not there, so nobody takes requests",
            hint="Start the daemon: systemctl start ocrd, or ocrd run.",
            kind="not-running",
        ) from None
    except OSError as error:
        raise os_error(error, path) from error


def _wait_for(answer: Path, wait_s: float) -> dict[str, Any] | None:
    until = time.monotonic() + wait_s
    while time.monotonic() < until:
        with contextlib.suppress(OSError, ValueError):
            told = json.loads(answer.read_bytes())
            if isinstance(told, dict):
                return told
        time.sleep(POLL_S)
    return None
