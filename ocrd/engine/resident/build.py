"""Brings up engines that are known to work: launched, and tried out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from ocrd.engine.resident.core import Core, CoreDiedError, VllmCore
from ocrd.engine.resident.installed import Vllm
from ocrd.engine.resident.launch import Launched, Launcher, LaunchError
from ocrd.engine.resident.preflight import Plan
from ocrd.engine.resident.selftest import self_test
from ocrd.engine.resident.settings import VllmSettings, check_names, engine_arguments
from ocrd.engine.resident.warmup import warm_up


def check_options(settings: VllmSettings, vllm: Vllm) -> None:
    """See that what is passed through to vLLM is known there.

    Raises:
        EngineSetupError: A name is not.
    """
    arguments = {field.name for field in dataclasses.fields(vllm.AsyncEngineArgs)}
    check_names("options", settings.options, arguments)
    check_names("sampling", settings.sampling, vllm.SamplingParams.__struct_fields__)


class Builder:
    """Engines of one model.

    Args:
        vllm: vLLM's names.
        plan: Which model, seen to be there.
        launcher: Starts the processes.
        core: Makes a core of what was launched.
    """

    def __init__(
        self, vllm: Vllm, plan: Plan, launcher: Launcher, core: type[VllmCore] = VllmCore
    ) -> None:
        self._vllm = vllm
        self._plan = plan
        self._launcher = launcher
        self._core = core

    async def build(
        self, device: int | None, settings: VllmSettings, tell: Callable[[str], None]
    ) -> Core:
        """An engine on a device, ready for pages.

        Raises:
            LaunchError: It did not come up.
            EngineSetupError: It came up, but the model or its tokenizer is not right, or it
                fails on full pages.
        """
        arguments = engine_arguments(settings, self._plan.profile, device)
        launched = await self._launcher.launch(arguments, tell)
        return await self._tried_out(launched, settings, tell)

    async def _tried_out(
        self, launched: Launched, settings: VllmSettings, tell: Callable[[str], None]
    ) -> Core:
        plan = self._plan
        core = self._core(launched, self._vllm, plan.profile, settings)
        try:
            tell("trying it out")
            await self_test(core, plan.profile, plan.config)
            if not plan.vllm.on_cpu:  # nothing is compiled there, and a page takes half a minute
                tell("warming up")
                await warm_up(core, plan.profile, settings)
        except BaseException as error:
            words = core.last_words()
            await core.close()
            if isinstance(error, CoreDiedError):
                raise LaunchError(words) from error
            raise
        return core
