"""Upstream vLLM, for `gpu_throughput`: raw prompts as in its recipe, and rendered beforehand.

It uses vLLM's real defaults for `AsyncLLM.from_engine_args` without a usage context, which are read
from the engine and printed with each figure.  Prints JSON lines.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from bench.gpu_daemon import answer_tokens
from bench.gpu_material import decoded
from ocrd.modes import BUILT_IN_MODES
from ocrd.page import PageImage
from ocrd.tone import pillow

GUARD_OF_VLLM = "vllm.model_executor.models.deepseek_ocr:NGramPerReqLogitsProcessor"
RULE = {"ngram_size": 30, "window_size": 90, "whitelist_token_ids": [128821, 128822]}
PAGES, WARM_UP = 320, 8
RENDERERS = 16  # for (a'); raw prompts are processed on the event loop regardless


async def measure(work: Path, *, small: bool) -> None:
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.v1.engine.async_llm import AsyncLLM

    sizes = {"dtype": "float32", "max_model_len": 2048, "enforce_eager": True}
    engine = AsyncLLM.from_engine_args(
        AsyncEngineArgs(
            model=str(work / "model"),
            load_format="dummy",
            logits_processors=[GUARD_OF_VLLM],
            enable_prefix_caching=False,
            mm_processor_cache_gb=0,
            renderer_num_workers=2 if small else RENDERERS,
            disable_log_stats=True,
            **(sizes if small else {"max_model_len": 8192}),
        )
    )
    images = decoded(work / "pages", 2 if small else PAGES)
    await asyncio.gather(*(one(engine, raw_prompt(image), 4) for image in images[:WARM_UP]))
    scheduler = engine.vllm_config.scheduler_config
    places, budget = scheduler.max_num_seqs, scheduler.max_num_batched_tokens
    said = {"places": places, "tokens_of_a_step": budget, "pages": len(images)}
    shortened = 100 if small else 1
    tokens = [max(1, answer_tokens("uniform", image) // shortened) for image in images]
    prompts = [raw_prompt(image) for image in images]
    rendered = await asyncio.gather(*map(render(engine), prompts))
    for name, inputs in (("(a') rendered beforehand", rendered), ("(a) raw prompts", prompts)):
        began, done = time.time(), list[float]()

        async def timed(prompt: Any, count: int, done: list[float] = done) -> None:
            await one(engine, prompt, count)
            done.append(time.time())

        await asyncio.gather(*map(timed, inputs, tokens))
        print(json.dumps({"workload": name, **said, "began": began, "done": done}), flush=True)
    engine.shutdown()


def render(engine: Any) -> Any:
    async def rendered(prompt: Any) -> Any:
        (ready,) = await engine.renderer.render_cmpl_async([prompt])
        return ready

    return rendered


def raw_prompt(image: PageImage) -> dict[str, Any]:
    """A prompt as in vLLM's recipe."""
    words = f"<image>\n{BUILT_IN_MODES['document'].prompt}"
    return {"prompt": words, "multi_modal_data": {"image": pillow(image)}}


async def one(engine: Any, prompt: Any, tokens: int) -> None:
    from vllm import SamplingParams

    params = SamplingParams(
        temperature=1.0,
        ignore_eos=True,
        max_tokens=tokens,
        skip_special_tokens=False,
        extra_args=RULE,
    )
    async for _ in engine.generate(prompt, params, f"{id(prompt)}-{tokens}-{time.time()}"):
        pass


if __name__ == "__main__":
    asyncio.run(measure(Path(sys.argv[1]), small=sys.argv[2] == "True"))
