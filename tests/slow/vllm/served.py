"""`vllm serve` as a process, by its module: the CPU build has no working command of that name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.support.waiting import wait_for


class Served:
    """A server in a process group of its own; `words` is what follows `vllm serve`."""

    def __init__(
        self, words: Sequence[str], port: int, log: Path, environment: Mapping[str, str]
    ) -> None:
        self.url, self._log, self._environment = f"http://127.0.0.1:{port}", log, environment
        self._command = [
            *(sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", *words),
            *("--port", str(port)),
        ]
        self.start()

    def start(self) -> None:
        with self._log.open("a") as log:
            self.process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env=self._environment, start_new_session=True
            )

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def wait_up(self, seconds: float) -> None:
        """Until it answers; an AssertionError if it does not, or has ended."""
        wait_for(self._answers, despite=(OSError,), process=self.process, seconds=seconds)

    def _answers(self) -> bool:
        with urllib.request.urlopen(f"{self.url}/health", timeout=5):
            return True
