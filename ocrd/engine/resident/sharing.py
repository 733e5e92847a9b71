"""Engines that share a card and compute side by side there, by NVIDIA's MPS.

Without it the driver gives the whole card to each process in turns, and one that decodes, bound by
memory, never runs beside one that encodes pages, bound by arithmetic.  MPS comes with the driver:
a control process of ours for each card, which ends with us, and a server that it starts with the
first engine.  One server for several cards could end the engines of all when it fails on one.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import shutil
import signal
from pathlib import Path

from ocrd.engine.resident.settings import VISIBLE

CONTROL = "nvidia-cuda-mps-control"
PIPES, LOGS = "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"  # environment, CUDA's own names
USUAL_PIPES = Path("/tmp/nvidia-mps")  # noqa: S108 - where CUDA looks if it is not told
UP_S, LOOK_S = 10.0, 0.02
TOGETHER_S = 10.0  # engines that are started anew within this may have ended of one fault


class CardSharing:
    """The control process of MPS for one card.  Engines find it by their environment.

    An operator who has one running, or whose environment says where to look, is let alone.

    Args:
        folder: A private one, not there yet, for its sockets and logs.
        uuid: The card's name for CUDA; empty if nobody knows.
        usual: Where an operator's own would be.

    Attributes:
        environment: What an engine has to be told beside the daemon's own.
    """

    def __init__(self, folder: Path, uuid: str = "", usual: Path = USUAL_PIPES) -> None:
        self.environment: dict[str, str] = {}
        self._folder = folder
        self._uuid = uuid
        self._usual = usual
        self._given = os.environ.get(PIPES)
        self._process: asyncio.subprocess.Process | None = None
        self._wanted = True
        self._restarted = ("", -math.inf)  # which engine was last, and when
        self._door = asyncio.Lock()

    async def ensure(self) -> bool:
        """See that it runs, before an engine that shares its card is started.

        Returns:
            Whether the engine will compute beside others, for all that ocrd knows.
        """
        async with self._door:
            if not self._wanted:
                return False
            if self._given is not None or has_control(self._usual):
                return has_control(Path(self._given or self._usual))
            running = self._process is not None and self._process.returncode is None
            return running or await self._start()

    def died_beside_another(self, engine: str, now: float) -> bool:
        """Whether an engine is started anew together with another of the card.

        One fault may have ended both, and of two pages that are read alone at the time nobody could
        tell which one it was.
        """
        (other, before), self._restarted = self._restarted, (engine, now)
        return engine != other and now - before < TOGETHER_S

    def give_up(self) -> None:
        """It does not work here: later engines do without.  Those that do with it go on."""
        self._wanted = False
        self.environment = {PIPES: str(self._folder / "none")}

    async def stop(self) -> None:
        """End it and its server; the engines have ended."""
        self.environment = {}
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    async def _start(self) -> bool:
        control = shutil.which(CONTROL)
        if control is None:
            return False
        with contextlib.suppress(OSError):
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir(mode=0o700)
            self.environment = {PIPES: str(self._folder)}
            seen = {VISIBLE: self._uuid} if self._uuid else {}
            self._process = await asyncio.create_subprocess_exec(
                *bound_to_us(control, "-f"),
                env=os.environ | self.environment | seen | {LOGS: str(self._folder)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
            for _ in range(round(UP_S / LOOK_S)):
                if has_control(self._folder):
                    return True
                if self._process is None or self._process.returncode is not None:
                    break
                await asyncio.sleep(LOOK_S)
        await self.stop()
        return False


def has_control(folder: Path) -> bool:
    """Whether a control process listens there; a folder that is closed to us is as none."""
    try:
        return (folder / "control").exists()
    except OSError:
        return False


def bound_to_us(*command: str) -> list[str]:
    """The command, so that it ends when we are killed, where util-linux is there to see to it."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", *command] if setpriv else list(command)
