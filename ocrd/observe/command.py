"""Runs an operator's command: no shell, bounded in time, its last words kept for the log."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence

LAST_WORDS = 500  # bytes of standard error that a failure tells


def run_command(
    command: Sequence[str],
    text: bytes,
    *,
    timeout_s: float,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run `command` with `text` on its standard input, and wait for it.

    It leads a process group of its own: when its time is over, all that it started goes with it.
    Its standard error is a file and not a pipe, so that what it leaves in the background on
    purpose is not waited for.

    Args:
        command: The program and its arguments.
        text: For its standard input.
        timeout_s: It is killed after so many seconds.
        environment: Its variables; this process's own if omitted.

    Raises:
        OSError: It cannot be started.
        ValueError: An argument or a variable holds a NUL.
        subprocess.CalledProcessError: It failed; `stderr` holds its last words.
        subprocess.TimeoutExpired: It was killed.
    """
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(  # noqa: S603 - the operator's own command, from the configuration
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
            env=environment,
            start_new_session=True,
        )
        with process:
            try:
                process.communicate(text, timeout=timeout_s)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
        if process.returncode:
            size = said.seek(0, os.SEEK_END)
            said.seek(max(0, size - LAST_WORDS))
            raise subprocess.CalledProcessError(process.returncode, command, stderr=said.read())
