"""The resident vLLM engine: one supervisor for each place; pages go to the least busy."""

from __future__ import annotations

import asyncio
import functools
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ocrd.engine.base import EngineReport, EngineState, PageRequest
from ocrd.engine.models import DEEPSEEK_OCR, ModelProfile
from ocrd.engine.poison import KnownKillers
from ocrd.engine.resident.client import EngineDiedError, VllmClient
from ocrd.engine.resident.faults import compile_cache_broken, reason, shortage
from ocrd.engine.resident.preflight import (
    Plan,
    check_options,
    expected_profile,
    import_vllm,
    installed,
    places,
    plan,
)
from ocrd.engine.resident.process import Launched, Launcher, LaunchError, write_log_config
from ocrd.engine.resident.settings import (
    Place,
    VllmSettings,
    alone,
    engine_arguments,
    unsupported_resolution,
)
from ocrd.engine.resident.sharing import CardSharing
from ocrd.engine.resident.supervisor import EngineSupervisor, Tell, not_serving
from ocrd.engine.resident.trial import self_test, warm_up
from ocrd.errors import EngineDownError, EngineSetupError, PageError
from ocrd.events import Events
from ocrd.modes import PromptMode, Resolution
from ocrd.page import PageResult


class VllmEngine:
    """Reads pages with a model that stays loaded.  An `ocrd.engine.base.Engine`."""

    kind = "vllm"

    def __init__(
        self,
        settings: VllmSettings,
        *,
        events: Events | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.model = settings.model
        self.supervisors: list[EngineSupervisor] = []  # one for each place, once started
        self._settings = settings
        self._events = events or Events()
        self._clock = clock
        self._plan: Plan | None = None
        self._folder: Path | None = None
        self._sharing: dict[int | None, CardSharing] = {}  # for each card with several engines
        self._up = False  # the first start of all engines is over
        self._state = EngineState.STOPPED
        self._stage = ""
        self._killers = KnownKillers()

    @property
    def profile(self) -> ModelProfile | None:
        """The model's family; None before the start if it cannot be told from local files."""
        return self._plan.profile if self._plan else self._expected_profile

    @property
    def capacity(self) -> int:
        """Concurrent pages on all engines; before the start, on those that will be started."""
        if self.supervisors:
            return sum(one.capacity for one in self.supervisors)
        return self._settings.max_pages_in_flight * self._expected_engines

    @property
    def dpi(self) -> int:
        """The resolution that suits the model; DeepSeek-OCR's while the model is unknown."""
        return (self.profile or DEEPSEEK_OCR).dpi

    def named(self, language: str) -> tuple[str, str]:
        """The same kind and model for all languages."""
        return self.kind, self.model

    def report(self) -> EngineReport:
        """The state of the whole, and the details of each engine."""
        said = [self._named(one, one.detail) for one in self.supervisors if one.detail]
        steps = [self._named(one, step) for one in self.supervisors for step in one.steps]
        return EngineReport(
            state=self._overall(),
            detail="; ".join(said) or self._stage,
            devices=tuple(place.name for place in self._plan.places) if self._plan else (),
            steps=tuple(steps),
        )

    def _named(self, one: EngineSupervisor, words: str) -> str:
        """A message of one engine, with the engine's name if there are several."""
        return f"{one.name}: {words}" if len(self.supervisors) > 1 else words

    def unsupported(self, mode: PromptMode) -> str | None:
        """None unless the model's family lacks the mode.

        Always None before the start if the family is still unknown.
        """
        profile = self.profile
        return profile.unsupported(mode) if profile else None

    def unsupported_resolution(self, resolution: Resolution) -> str | None:
        """None unless the model is known, and does not support the resolution or has no room."""
        profile = self.profile
        if profile is None:
            return None
        return unsupported_resolution(self._settings, profile, resolution)

    async def start(self, progress: Tell) -> None:
        """Load the model in every place; this takes minutes the first time."""

        def tell(stage: str) -> None:
            self._stage = stage
            progress(stage)

        self._state = EngineState.LOADING
        try:
            await self._start(tell)
        except BaseException as error:
            await self.stop()
            if isinstance(error, EngineSetupError):
                self._state, self._stage = EngineState.FAILED, error.message
            raise
        self._stage = ""

    async def recognise(self, request: PageRequest) -> PageResult:
        """Read one page on the least busy engine that is ready."""
        started = self._clock()
        refusal = self.unsupported(request.mode)
        if refusal is not None:
            raise PageError(refusal, hint="Give the folder another mode.", kind="mode")
        await self._killers.refuse(request.image)
        while True:
            supervisor = self._least_busy()
            try:
                answer = await supervisor.read(request)
            except EngineDownError:
                if supervisor.state is EngineState.READY:
                    raise
            else:
                return replace(answer, seconds=self._clock() - started)

    async def stop(self) -> None:
        """End every engine and its process."""
        self._state, self._stage, self._up = EngineState.STOPPED, "", False
        await asyncio.gather(*(one.stop() for one in self.supervisors))
        self.supervisors = []
        for sharing in self._sharing.values():
            await sharing.stop()
        self._sharing = {}
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    async def _start(self, tell: Tell) -> None:
        tell("looking at model and devices")
        found = self._plan = await asyncio.to_thread(plan, self._settings)
        tell(f"importing vLLM {found.vllm.version}")
        folder = self._folder = Path(tempfile.mkdtemp(prefix="ocrd-vllm-"))
        log_config = write_log_config(folder)
        vllm = await asyncio.to_thread(import_vllm, log_config)
        check_options(self._settings, vllm)
        launcher = Launcher(vllm, folder, log_config)
        self._sharing = {
            place.number: CardSharing(folder / f"mps-{place.number}", place.uuid)
            for place in found.places
            if place.gpu and place.sharing > 1
        }
        self.supervisors = [
            EngineSupervisor(
                name=place.name,
                settings=self._settings.beside(len(found.places)),
                build=functools.partial(self._build, launcher, found, place),
                events=self._events,
                killers=self._killers,
            )
            for place in found.places
        ]
        await self._start_all(tell)
        self._up = True

    async def _build(
        self,
        launcher: Launcher,
        found: Plan,
        place: Place,
        settings: VllmSettings,
        tell: Tell,
    ) -> VllmClient:
        """Start an engine in its place, and test it until it is ready for pages.

        Raises:
            LaunchError: It failed to start, or died of a trial page.
            EngineSetupError: It started, but model and tokenizer do not fit, or it fails on pages.
        """
        arguments = engine_arguments(settings, found.profile, place)
        launched = await self._launch(launcher, place, arguments, tell)
        client = VllmClient(launched, launcher.vllm, found.profile, settings)
        try:
            tell("trying it out")
            await self_test(client, found.profile, found.config)
            if not found.vllm.on_cpu:  # a CPU build compiles nothing, and a page takes 30 s there
                tell("warming up")
                await warm_up(client, found.profile, settings)
        except BaseException as error:
            words = client.last_words()
            await client.close()
            if isinstance(error, EngineDiedError):
                raise LaunchError(words) from error
            raise
        return client

    async def _launch(
        self, launcher: Launcher, place: Place, arguments: dict[str, Any], tell: Tell
    ) -> Launched:
        """Start an engine's process; on a shared card it uses MPS if that works."""
        own = alone(self._settings, place)
        sharing = self._sharing.get(place.number)
        if sharing is None:
            return await launcher.launch(arguments, tell, own)
        if self._up and sharing.died_beside_another(place.name, self._clock()):
            self._events.warn(
                "engine.no-mps", device=place.name, reason="a fault ended two engines"
            )
            sharing.give_up()
        beside = await sharing.ensure()
        self._events.emit("engine.sharing", device=place.name, mps=beside)
        try:
            return await launcher.launch(arguments, tell, own | sharing.environment)
        except LaunchError as fault:
            words = [*fault.words, str(fault.__cause__)]
            if not beside or shortage(words) or compile_cache_broken(words):
                raise  # the caller has a remedy for these; anything else may be the fault of MPS
            self._events.warn("engine.no-mps", device=place.name, reason=reason(fault.words))
            sharing.give_up()
            return await launcher.launch(arguments, tell, own | sharing.environment)

    async def _start_all(self, tell: Tell) -> None:
        """Start all engines concurrently; one that fails is retried later if others serve."""

        def told(one: EngineSupervisor) -> Tell:
            return lambda stage: tell(self._named(one, stage))

        starts = (one.start(told(one)) for one in self.supervisors)
        outcomes = await asyncio.gather(*starts, return_exceptions=True)
        failures = [outcome for outcome in outcomes if outcome is not None]
        if len(failures) == len(self.supervisors):
            raise failures[0]
        for one, outcome in zip(self.supervisors, outcomes, strict=True):
            if outcome is not None:
                self._events.error("engine.not-up", device=one.name, error=str(outcome))
                one.start_later()

    @functools.cached_property
    def _expected_profile(self) -> ModelProfile | None:
        return expected_profile(self._settings)

    @functools.cached_property
    def _expected_engines(self) -> int:
        try:
            return len(places(self._settings, self._expected_profile, installed()))
        except EngineSetupError:  # `start` reports it
            return 1

    def _least_busy(self) -> EngineSupervisor:
        serving = [one for one in self.supervisors if one.state is EngineState.READY]
        if not serving:
            report = self.report()
            raise not_serving("The engine", report.state, report.detail)
        return min(serving, key=lambda one: (one.on_trial, one.calls))

    def _overall(self) -> EngineState:
        states = {one.state for one in self.supervisors}
        for state in (EngineState.READY, EngineState.RESTARTING):
            if state in states:
                return state
        return self._state
