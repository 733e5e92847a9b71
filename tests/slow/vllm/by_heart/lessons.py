"""What vLLM says of each page: what its encoders see, and which tokens its prompt has."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from vllm import LLM, SamplingParams

from ocrd.engine.deepseek.processor import FIELDS, sent
from ocrd.engine.deepseek.tiling import DEEPSEEK_OCR, processor_kwargs
from ocrd.modes import RESOLUTIONS
from tests.slow.vllm.by_heart import checkpoint
from tests.slow.vllm.by_heart.loader import Extension
from tests.slow.vllm.by_heart.pages import PAGES, Known
from tests.slow.vllm.by_heart.train import END, NEWLINE, SEPARATOR, WIDTH, Lesson


class Inside(Extension):
    """vLLM's worker tells what its encoders see."""

    model_runner: Any

    @torch.inference_mode()
    def features(self, page: dict[str, torch.Tensor]) -> torch.Tensor:
        """What reaches the projector, [tokens, 2048]; rows of `NEWLINE` and `SEPARATOR` between."""
        model = self.model_runner.model
        kept = model.projector, model.image_newline, model.view_seperator
        model.projector = nn.Identity()
        model.image_newline = nn.Parameter(torch.full((WIDTH,), NEWLINE))
        model.view_seperator = nn.Parameter(torch.full((WIDTH,), SEPARATOR))
        (seen,) = model.embed_multimodal(**{name: [page[name]] for name in FIELDS})
        model.projector, model.image_newline, model.view_seperator = kept
        return seen


def lessons() -> list[Lesson]:
    """Asks vLLM for each page's."""
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    with tempfile.TemporaryDirectory() as folder:
        llm = LLM(
            str(checkpoint.make(Path(folder))),
            load_format="by-heart",
            worker_extension_cls=f"{Inside.__module__}.{Inside.__name__}",
            dtype="float32",
            max_model_len=1024,
            enforce_eager=True,
            mm_processor_cache_gb=0,
            mm_processor_kwargs=processor_kwargs(RESOLUTIONS["gundam"]),
        )
        found = [lesson(llm, page) for page in PAGES]
        llm.llm_engine.engine_core.shutdown()
    return found


def lesson(llm: LLM, page: Known) -> Lesson:
    """What the model gets of one page, from vLLM's own lips."""
    image = Image.open(io.BytesIO(page.scan())).convert("RGB")
    resolution = RESOLUTIONS[page.resolution]
    request = {
        "prompt": page.prompt,
        "multi_modal_data": {"image": image},
        "mm_processor_kwargs": processor_kwargs(resolution),
    }
    (output,) = llm.generate(request, SamplingParams(max_tokens=1), use_tqdm=False)
    tensors = sent(np.asarray(image), resolution, DEEPSEEK_OCR)
    (features,) = llm.collective_rpc("features", args=(tensors,))
    prompt = list(output.prompt_token_ids)
    token = llm.get_tokenizer().convert_tokens_to_ids("<image>")
    assert prompt.count(token) == len(features)
    answer = llm.get_tokenizer().encode(page.answer, add_special_tokens=False)
    return Lesson(features, prompt, prompt.index(token), [*answer, END])
