"""Engines that share a card, with a control process that behaves as NVIDIA's does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import pytest

from ocrd.engine.resident.engine import VllmEngine
from ocrd.engine.resident.process import LaunchError
from ocrd.engine.resident.settings import VISIBLE, Place, VllmSettings
from ocrd.engine.resident.sharing import CONTROL, LOGS, PIPES, CardSharing, bound_to_us
from ocrd.events import Event, Events
from tests.support.waiting import wait_for

STAYS = """#!{python}
import os, pathlib, time
pipes = pathlib.Path(os.environ["CUDA_MPS_PIPE_DIRECTORY"])
(pipes / "pid").write_text(str(os.getpid()))
(pipes / "card").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "all"))
(pipes / "control").touch()
time.sleep(600)
"""
ENDS = "#!/bin/sh\nexit 1\n"


@pytest.fixture(autouse=True)
def no_mps_of_the_machine_s(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (PIPES, LOGS):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def put(folder: Path, text: str) -> None:
    program = folder / CONTROL
    program.write_text(text.format(python=sys.executable))
    program.chmod(0o755)


def sharing(tmp_path: Path, uuid: str = "") -> CardSharing:
    return CardSharing(tmp_path / f"mps{uuid}", uuid, usual=tmp_path / "usual")


def known_pipes(one: CardSharing) -> Path:
    return Path(one.environment[PIPES])


def pid_of(one: CardSharing) -> int:
    return int((known_pipes(one) / "pid").read_text())


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def test_it_runs_until_the_engines_have_ended_and_anew_where_it_died(
    tmp_path: Path, bin_folder: Path
) -> None:
    put(bin_folder, STAYS)
    one = sharing(tmp_path)
    assert await one.ensure()
    assert one.environment == {PIPES: str(tmp_path / "mps")}
    assert (tmp_path / "mps").stat().st_mode & 0o777 == 0o700
    first = pid_of(one)
    assert await one.ensure()
    assert pid_of(one) == first, "it was there already"
    os.kill(first, signal.SIGKILL)
    assert one._process is not None
    await one._process.wait()
    assert await one.ensure()
    assert (second := pid_of(one)) != first
    await one.stop()
    assert not alive(second)
    assert one.environment == {}


async def test_each_card_has_one_of_its_own_that_the_other_s_end_leaves_alone(
    tmp_path: Path, bin_folder: Path
) -> None:
    put(bin_folder, STAYS)
    first, second = sharing(tmp_path, "GPU-a"), sharing(tmp_path, "GPU-b")
    assert await first.ensure()
    assert await second.ensure()
    cards = [(known_pipes(one) / "card").read_text() for one in (first, second)]
    assert cards == ["GPU-a", "GPU-b"]
    first.give_up()
    await first.stop()
    assert alive(pid_of(second))
    assert await second.ensure()
    await second.stop()


@pytest.mark.parametrize("program", [None, ENDS, "no program"])
async def test_where_it_is_not_or_does_not_come_up_engines_take_turns(
    tmp_path: Path, bin_folder: Path, program: str | None
) -> None:
    if program:
        put(bin_folder, program)
    one = sharing(tmp_path)
    assert not await one.ensure()
    assert one.environment == {}
    await one.stop()


@pytest.fixture
def usual(tmp_path: Path) -> Path:
    """Where an operator's own is found."""
    usual = tmp_path / "usual"
    usual.mkdir()
    (usual / "control").touch()
    return usual


async def test_an_operator_s_own_is_let_alone(
    tmp_path: Path, bin_folder: Path, usual: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bin_folder, STAYS)
    assert await sharing(tmp_path).ensure()
    monkeypatch.setenv(PIPES, str(usual))
    one = sharing(tmp_path)
    assert await one.ensure()
    monkeypatch.setenv(PIPES, "/nonexistent")
    assert not await sharing(tmp_path).ensure(), "which is how to do without"
    assert one.environment == {}, "it has that from us"
    assert not (tmp_path / "mps").exists()
    await one.stop()


async def test_later_engines_do_without_once_one_was_refused(
    tmp_path: Path, bin_folder: Path
) -> None:
    put(bin_folder, STAYS)
    one = sharing(tmp_path)
    await one.ensure()
    pid = pid_of(one)
    one.give_up()
    assert not known_pipes(one).exists()
    assert not await one.ensure()
    assert alive(pid), "an engine that came up with it goes on"
    await one.stop()
    assert not alive(pid)


async def test_an_operator_s_own_that_refuses_is_left_for_as_long_as_we_run(
    tmp_path: Path, usual: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for told in (None, str(usual)):
        if told:
            monkeypatch.setenv(PIPES, told)
        one = sharing(tmp_path)
        assert await one.ensure()
        one.give_up()
        assert not await one.ensure()
        assert not known_pipes(one).exists(), "where CUDA would look for it"
        await one.stop()


def test_it_does_not_outlive_a_daemon_that_was_killed(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    child = f"import os, pathlib, time; pathlib.Path({str(told)!r}).write_text(str(os.getpid()));"
    command = bound_to_us(sys.executable, "-c", f"{child} time.sleep(600)")
    parent = f"import subprocess, time; subprocess.Popen({command!r}); time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", parent])
    wait_for(lambda: told.exists() and told.read_text())
    pid = int(told.read_text())
    process.kill()
    process.wait()
    wait_for(lambda: not alive(pid))


class Sharing(CardSharing):
    """Stands for an MPS that answers."""

    def __init__(self) -> None:
        super().__init__(Path("/nonexistent"))

    @property
    def given_up(self) -> bool:
        return not self._wanted

    async def ensure(self) -> bool:
        return not self.given_up


class Launcher:
    """Starts nothing, at once; it fails as often as it has words for."""

    def __init__(self, *words: str) -> None:
        self.words = list(words)

    async def launch(self, arguments: Any, tell: Any, environment: dict[str, str]) -> Any:
        if self.words:
            raise LaunchError([self.words.pop(0)])
        return environment


def two_on_a_card(
    told: list[Event], clock: Callable[[], float] = time.monotonic
) -> tuple[VllmEngine, Sharing, Sharing]:
    """An engine of two cards that several share, and what stands for their MPS."""
    engine = VllmEngine(VllmSettings(model="m"), events=Events(told.append), clock=clock)
    sharing, other = Sharing(), Sharing()
    engine._sharing = {0: sharing, 1: other}
    return engine, sharing, other


PLACE = Place("1 of 2", 0, sharing=2, uuid="GPU-a")


@pytest.mark.parametrize(
    ("words", "blamed"),
    [
        ("RuntimeError: CUDA error: MPS client failed to connect to the MPS control daemon", True),
        ("torch.AcceleratorError: CUDA error: remote procedural call between the MPS server", True),
        ("CUDA error: invalid device ordinal", True),
        ("RuntimeError: whatever it may be", True),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", False),
        ("ValueError: No available memory for the cache blocks.", False),
    ],
)
async def test_an_engine_that_does_not_come_up_beside_another_is_tried_without_mps(
    words: str, blamed: bool
) -> None:
    """A lack of memory is no fault of MPS."""
    told: list[Event] = []
    engine, sharing, other = two_on_a_card(told)
    failing = Launcher(words)
    for fails in (not blamed, True):
        with pytest.raises(LaunchError) if fails else nullcontext():
            await engine._launch(cast(Any, failing), PLACE, {}, lambda _stage: None)
        failing.words.append(words)
    assert sharing.given_up is blamed
    assert not other.given_up
    assert [event.name for event in told].count("engine.no-mps") == blamed


@pytest.mark.parametrize(
    ("starts", "together"),
    [
        ([("1 of 2", 0.0), ("2 of 2", 0.4)], True),
        ([("1 of 2", 0.0), ("1 of 2", 0.4)], False),
        ([("1 of 2", 0.0), ("2 of 2", 60.0)], False),
        ([("1 of 2", 0.0)], False),
    ],
)
async def test_engines_of_a_card_that_end_together_take_turns_from_then_on(
    starts: list[tuple[str, float]], together: bool
) -> None:
    """One page may have ended both; beside another that is read alone, it could not be told."""
    now, told = [1000.0], list[Event]()
    engine, sharing, other = two_on_a_card(told, lambda: now[0])

    async def start(name: str) -> None:
        place = Place(name, 0, sharing=2, uuid="GPU-a")
        given = await engine._launch(cast(Any, Launcher()), place, {}, lambda _stage: None)
        assert cast(Any, given)[VISIBLE] == "GPU-a", "and no other card"

    for name in ("1 of 2", "2 of 2"):
        await start(name)
    assert not sharing.given_up, "at first all start together"
    engine._up = True
    now[0] += 3600
    for name, after in starts:
        now[0] += after
        await start(name)
    assert sharing.given_up is together
    assert not other.given_up, "those of the other card go on as they did"
    assert [event.name for event in told].count("engine.no-mps") == together
