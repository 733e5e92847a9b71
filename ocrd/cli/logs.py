"""`ocrd logs JOB`: what the journal says of one job."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Annotated

import typer

from ocrd.errors import OcrdError


def logs(
    job: Annotated[int, typer.Argument(help="The job's number, as `ocrd jobs` shows it.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as it happens.")] = False,
) -> None:
    """Show the journal's entries about one job (`ocrd show` tells what the ledger knows)."""
    journalctl = shutil.which("journalctl")
    if journalctl is None:
        raise OcrdError(
            "there is no journalctl on this machine",
            hint=f"`ocrd show {job}` tells the job's story from the ledger.",
        )
    words = [journalctl, "--no-hostname", f"OCRD_JOB={job}"]
    if not follow and not _anything(words):
        raise OcrdError(
            f"the journal tells this user nothing of job {job}",
            hint=f"`ocrd show {job}` tells its story from the ledger. The journal knows what the "
            "daemon did under systemd, and tells it to root and the group systemd-journal.",
        )
    os.execv(journalctl, [*words, "--follow"] if follow else words)  # noqa: S606 - no shell


def _anything(words: list[str]) -> bool:
    """Whether there is an entry that this user may see."""
    ended = subprocess.run(  # noqa: S603 - journalctl, with a number
        [*words, "--quiet", "--lines=1"], capture_output=True, check=False
    )
    return bool(ended.stdout.strip())
