"""Lets engines that share a card compute concurrently, with NVIDIA's MPS.

Without it the driver gives the whole card to each process in turn, and one that decodes, bound by
memory, never runs beside one that encodes pages, bound by arithmetic.  MPS comes with the driver:
we start a control process for each card, which ends with us, and it starts a server with the first
engine.  One server for several cards could end the engines on all of them when it fails on one.
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
USUAL_PIPES = Path("/tmp/nvidia-mps")  # noqa: S108 - where CUDA looks by default
UP_S, LOOK_S = 10.0, 0.02
TOGETHER_S = 10.0  # engines that restart within this time of each other may share one fault


class CardSharing:
    """The control process of MPS for one card.  Engines find it through their environment.

    If the operator already runs one, or the environment says where to find one, none is started.

    Args:
        folder: A private folder for its sockets and logs; created at the start.
        uuid: The card's UUID for CUDA; empty if unknown.
        usual: Where the operator's own control process would be.

    Attributes:
        environment: Variables that an engine needs in addition to the daemon's environment.
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
        """Make sure that it runs, before an engine that shares its card is started.

        Returns:
            Whether the engine will compute concurrently with others, as far as ocrd knows.
        """
        async with self._door:
            if not self._wanted:
                return False
            if self._given is not None or has_control(self._usual):
                return has_control(Path(self._given or self._usual))
            running = self._process is not None and self._process.returncode is None
            return running or await self._start()

    def died_beside_another(self, engine: str, now: float) -> bool:
        """Whether another engine of the card was restarted within `TOGETHER_S` before this one.

        `now` is in seconds.  One fault may have ended both; if each was reading a single page,
        nothing shows which of the two pages caused it.
        """
        (other, before), self._restarted = self._restarted, (engine, now)
        return engine != other and now - before < TOGETHER_S

    def give_up(self) -> None:
        """Start later engines without MPS, since it does not work here; running ones keep it."""
        self._wanted = False
        self.environment = {PIPES: str(self._folder / "none")}

    async def stop(self) -> None:
        """Kill the control process and its server; the engines must have ended before."""
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
    """Whether a control process listens in the folder; False if we may not look into it."""
    try:
        return (folder / "control").exists()
    except OSError:
        return False


def bound_to_us(*command: str) -> list[str]:
    """The command, wrapped to end when we are killed if util-linux (`setpriv`) is installed."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", *command] if setpriv else list(command)
