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
    """

    def __init__(self, vllm: Vllm, plan: Plan, launcher: Launcher) -> None:
        self._vllm = vllm
        self._plan = plan
        self._launcher = launcher

    async def build(
        self, device: int | None, settings: VllmSettings, tell: Callable[[str], None]
    ) -> Core:
        """An engine on a device, ready for pages.

        Raises:
            LaunchError: It did not come up.
            EngineSetupError: It came up, but the model or its tokenizer is not right.
        """
        arguments = engine_arguments(settings, self._plan.profile, device)
        launched = await self._launcher.launch(arguments, tell)
        tell("trying it out")
        return await self._tried_out(launched, settings)

    async def _tried_out(self, launched: Launched, settings: VllmSettings) -> Core:
        core = VllmCore(launched, self._vllm, self._plan.profile, settings)
        try:
            await self_test(core, self._plan.profile, self._plan.config)
        except BaseException as error:
            words = core.last_words()
            await core.close()
            if isinstance(error, CoreDiedError):
                raise LaunchError(words) from error
            raise
        return core
