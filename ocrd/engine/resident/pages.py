"""Prepares pages for the model (pixels and prompt), and checks that both arrived complete."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

from PIL import Image

from ocrd.engine.base import PageRequest
from ocrd.engine.models import ModelProfile
from ocrd.engine.resident.settings import OTHER_RESOLUTION
from ocrd.errors import PageError
from ocrd.modes import Resolution
from ocrd.page import PageImage
from ocrd.tone import pillow

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

TOO_LONG = re.compile(r"maximum context length|maximum model length|max_model_len|longer than the")
WORTH_SHARING = 4096  # bytes; smaller tensors travel with the request


def prompt(
    request: PageRequest, profile: ModelProfile, resolution: Resolution, tokenizer: Any = None
) -> dict[str, Any]:
    """A prompt for vLLM's renderer; without a template in the profile, the tokenizer's is used."""
    words = profile.words(request.mode, request.target)
    if profile.template is None:
        content = [{"type": "image"}, {"type": "text", "text": words}]
        words = tokenizer.apply_chat_template(
            [{"role": "user", "content": content}],
            tokenize=False,
            add_generation_prompt=True,
            **profile.chat,
        )
    return {
        "prompt": words,
        "multi_modal_data": {"image": pixels(request.image, profile)},
        "mm_processor_kwargs": profile.processor_kwargs(resolution),
    }


def pixels(page: PageImage, profile: ModelProfile) -> npt.NDArray[np.uint8]:
    """[height, width, 3] the page for vLLM's image processor, in the size that the model needs."""
    import numpy as np  # comes with vLLM, but this module is imported without it, too

    size = wanted_size(page, profile)
    if size == (page.width, page.height):
        # A copy, because torch needs writable memory.
        return np.frombuffer(page.rgb, np.uint8).reshape(page.height, page.width, 3).copy()
    return np.array(pillow(page).resize(size, Image.Resampling.LANCZOS))


def wanted_size(page: PageImage, profile: ModelProfile) -> tuple[int, int]:
    """Width and height, in pixels, at which the model gets a page, by its profile's limits."""
    step, most = profile.side_multiple, profile.longest_side
    shrink = min(1.0, most / max(page.width, page.height)) if most else 1.0
    width, height = (
        max(1, round(side * shrink / step)) * step for side in (page.width, page.height)
    )
    return width, height


def share(inputs: Any) -> None:
    """Move a page's pixels into shared memory here, since vLLM would do it on the event loop.

    If shared memory is short, vLLM sends them in its usual way.
    """
    for items in inputs["mm_kwargs"].values():
        for item in items:
            for field in item.values():
                tensors = field.data if isinstance(field.data, list) else [field.data]
                for tensor in tensors:
                    if tensor.nbytes >= WORTH_SHARING:
                        with contextlib.suppress(RuntimeError):
                            tensor.share_memory_()


def check_tokens(got: int, expected: int | None, *, room: int) -> None:
    """Check that the prompt contains the complete image and leaves room for an answer.

    vLLM silently runs a prompt whose image got lost as plain text.

    Args:
        got: Image tokens in the prompt.
        expected: Image tokens by the model's formula; None if it has no formula.
        room: Tokens that the context leaves for the answer.

    Raises:
        PageError: The image is missing or incomplete, or there is no room.
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


def unprepared(error: Exception) -> PageError:
    """The page error for an exception that vLLM raised while it prepared a page."""
    if TOO_LONG.search(str(error)):
        return too_large()
    return PageError(
        f"The page could not be prepared for the model: {error}",
        hint="Try another resolution; the engine's log has the details.",
        kind="prepare",
    )


def too_large() -> PageError:
    """The error for a page that leaves no room for an answer."""
    return PageError(
        "Page and prompt alone fill the model's context, and no token is left for the answer.",
        hint=f"{OTHER_RESOLUTION} Or raise engine.max_model_len.",
        kind="too-large",
    )
