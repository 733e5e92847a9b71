"""From a page request to what vLLM takes: prompt, image, sampling parameters, priority."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from PIL import Image

from ocrd.engine.base import PageRequest
from ocrd.engine.deepseek.ngram import request_args
from ocrd.engine.profiles import ModelProfile
from ocrd.engine.resident.settings import VllmSettings
from ocrd.errors import PageError
from ocrd.modes import Resolution
from ocrd.page import PageImage

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

OTHER_RESOLUTION = "Give the folder another resolution."
MOST_OTHERS = 1 << 16  # no job has so many pages in the engine


def pixels(page: PageImage, longest_side: int | None = None) -> npt.NDArray[np.uint8]:
    """[height, width, 3] the page for vLLM's image processor.

    Args:
        page: The page.
        longest_side: It is scaled down to that; None leaves it as it is.
    """
    import numpy as np  # comes with vLLM, and this module is there without

    shape = page.height, page.width, 3
    if longest_side is None or max(shape) <= longest_side:
        # A copy, for torch takes no memory that it may not write to.
        return np.frombuffer(page.rgb, np.uint8).reshape(shape).copy()
    image = to_pillow(page)
    image.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS)
    return np.array(image)


def to_pillow(page: PageImage) -> Image.Image:
    """The page as an image of Pillow's."""
    return Image.frombuffer("RGB", (page.width, page.height), page.rgb, "raw", "RGB", 0, 1)


def prompt(request: PageRequest, profile: ModelProfile, resolution: Resolution) -> dict[str, Any]:
    """A prompt as vLLM's renderer takes it.

    Raises:
        PageError: The model cannot see pages at this resolution.
    """
    problem = profile.vision.problem(resolution)
    if problem is not None:
        raise PageError(
            f"{profile.name} cannot see a page at resolution {resolution.name!r}: {problem}.",
            hint=OTHER_RESOLUTION,
            kind="resolution",
        )
    return {
        "prompt": profile.words(request.mode, request.target),
        "multi_modal_data": {"image": pixels(request.image, profile.longest_side)},
        "mm_processor_kwargs": profile.vision.processor_kwargs(resolution),
    }


def check_tokens(got: int, expected: int | None, *, room: int) -> None:
    """See that the image is in the prompt, whole, and that an answer still fits.

    vLLM runs a prompt whose image got lost as plain text, without a word.

    Args:
        got: Image tokens in the prompt.
        expected: By the model's formula; None if it has none.
        room: Tokens that the context leaves for the answer.

    Raises:
        PageError: One of the three is not so.
    """
    if not got or (expected is not None and got != expected):
        raise PageError(
            f"The page stands in the prompt with {got} tokens instead of {expected}.",
            hint="The vLLM that is installed does not prepare images as ocrd expects: run "
            "`ocrd doctor`, and use a version of vLLM in the supported range.",
            kind="image-tokens",
        )
    if room < 1:
        raise too_large()


def too_large() -> PageError:
    """The verdict on a page that leaves no room for an answer."""
    return PageError(
        "Page and prompt alone fill the model's context, and no token is left for the answer.",
        hint=f"{OTHER_RESOLUTION} Or raise engine.max_model_len.",
        kind="too-large",
    )


def sampling(
    request: PageRequest,
    profile: ModelProfile,
    settings: VllmSettings,
    *,
    room: int,
    never_banned: Collection[int] = (),
) -> dict[str, Any]:
    """Keyword arguments for `SamplingParams`; the settings' own win, within what fits.

    Args:
        request: Its mode says how long the answer may be, and how loops are stopped.
        profile: The model's family.
        settings: Of the engine.
        room: Tokens that the context leaves for the answer.
        never_banned: Token ids that the guard lets repeat.
    """
    chosen: dict[str, Any] = {
        "temperature": 0.0,
        "max_tokens": min(request.mode.max_tokens, profile.max_tokens),
        "skip_special_tokens": False,
        "stop": list(profile.stop) or None,
        **profile.sampling,
        **settings.sampling,
    }
    chosen["max_tokens"] = min(chosen["max_tokens"], room)
    chosen["min_tokens"] = min(chosen.get("min_tokens", 0), chosen["max_tokens"])
    chosen["detokenize"] = bool(chosen["stop"])
    guard = request_args(request.mode.guard, never_banned) if profile.guarded else None
    if guard is not None:
        chosen["extra_args"] = {**chosen.get("extra_args", {}), **guard}
    return chosen


def vllm_priority(request: PageRequest) -> int:
    """The priority by which pages wait in vLLM: the smallest goes first, then the oldest."""
    return request.others - MOST_OTHERS * request.priority
