"""A page on its way into the model: its pixels, its prompt, and whether both have arrived whole."""

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
WORTH_SHARING = 4096  # bytes; what is smaller travels with the request


def prompt(
    request: PageRequest, profile: ModelProfile, resolution: Resolution, tokenizer: Any = None
) -> dict[str, Any]:
    """A prompt as vLLM's renderer takes it; a profile may leave the template to the tokenizer."""
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
    """[height, width, 3] the page for vLLM's image processor, in the size that the model wants."""
    import numpy as np  # comes with vLLM, and this module is there without

    size = wanted_size(page, profile)
    if size == (page.width, page.height):
        # A copy, for torch takes no memory that it may not write to.
        return np.frombuffer(page.rgb, np.uint8).reshape(page.height, page.width, 3).copy()
    return np.array(pillow(page).resize(size, Image.Resampling.LANCZOS))


def wanted_size(page: PageImage, profile: ModelProfile) -> tuple[int, int]:
    """Width and height that a page is handed over in: no longer side than the profile says."""
    step, most = profile.side_multiple, profile.longest_side
    shrink = min(1.0, most / max(page.width, page.height)) if most else 1.0
    width, height = (
        max(1, round(side * shrink / step)) * step for side in (page.width, page.height)
    )
    return width, height


def share(inputs: Any) -> None:
    """Move a page's pixels into shared memory here; vLLM would do it on the event loop.

    Where there is too little of it, vLLM sends them as it does otherwise.
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


def unprepared(error: Exception) -> PageError:
    """An error of vLLM's while it prepares a page."""
    if TOO_LONG.search(str(error)):
        return too_large()
    return PageError(
        f"The page could not be prepared for the model: {error}",
        hint="Try another resolution; the engine's log has the details.",
        kind="prepare",
    )


def too_large() -> PageError:
    """The verdict on a page that leaves no room for an answer."""
    return PageError(
        "Page and prompt alone fill the model's context, and no token is left for the answer.",
        hint=f"{OTHER_RESOLUTION} Or raise engine.max_model_len.",
        kind="too-large",
    )
