"""The three measurements of the GPU benchmark, each for a process of its own.

`python -m bench.gpu_parts PART WORKDIR RUN ENGINE` writes `WORKDIR/RUN.json`, anew after each
figure, so that what was measured remains if the time runs out.  ENGINE is JSON: `[engine]`
settings, and engine options for all names that are none.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from statistics import harmonic_mean
from typing import Any

from bench.gpu_material import decoded
from ocrd.engine.base import PageRequest
from ocrd.engine.resident import VllmEngine, VllmSettings
from ocrd.engine.resident.client import Ready, VllmClient, to_pillow
from ocrd.modes import BUILT_IN_MODES, RESOLUTIONS, PromptMode
from ocrd.page import PageImage

GUARD_OF_VLLM = "vllm.model_executor.models.deepseek_ocr:NGramPerReqLogitsProcessor"
WARM_UP = 8
# Random weights say the same to every page unless they are made to choose, and then a few experts
# do all the work, as they never do in service.
AT_RANDOM: dict[str, Any] = {"temperature": 1.0, "ignore_eos": True}
SETTINGS = {each.name for each in fields(VllmSettings)}


@dataclass(frozen=True)
class Bench:
    """One run: where it works, and how much.

    Attributes:
        work: Holds `model/`, `pages/` and the results.
        small: On a CPU, to see that it works; the figures mean nothing.
        pages: Of (b) and (c).
        baseline: Pages of (a), all at once.
        tokens: Of each answer.
        until: Optional figures are left out after this (seconds since the epoch).
        run: The name of this run, for its files.
        extra: `[engine]` and `[engine.options]` of (b) and (c) besides what the size asks for.
    """

    work: Path
    small: bool
    pages: int
    baseline: int
    tokens: int
    until: float
    run: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, work: Path) -> Bench:
        """As the parent process wrote it."""
        return cls(work=work, **json.loads((work / "bench.json").read_text()))

    def file(self, suffix: str) -> Path:
        """One of this run's own."""
        return self.work / f"{self.run}{suffix}"

    @property
    def model(self) -> str:
        return str(self.work / "model")

    @property
    def resolution(self) -> str:
        return "tiny" if self.small else "gundam"

    @property
    def settings(self) -> dict[str, Any]:
        """`[engine]` of (b) and (c)."""
        given = {name: value for name, value in self.extra.items() if name in SETTINGS}
        common = {"model": self.model, "load_format": "dummy"}
        if not self.small:
            return common | {"max_pages_in_flight": 512} | given
        return (
            common
            | {
                "dtype": "float32",
                "max_model_len": 2048,
                "max_num_batched_tokens": 2048,
                "max_pages_in_flight": 8,
                "renderer_workers": 2,
                "page_timeout_s": 600.0,
            }
            | given
        )

    @property
    def options(self) -> dict[str, Any]:
        """`[engine.options]` of (b) and (c)."""
        given = {name: value for name, value in self.extra.items() if name not in SETTINGS}
        return ({"enforce_eager": True} if self.small else {}) | given

    @property
    def sampling(self) -> dict[str, Any]:
        return {**AT_RANDOM, "max_tokens": self.tokens}


class Figures:
    """What a part has measured, kept on disk from the first figure on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, Any] = {}

    def __setitem__(self, name: str, value: float) -> None:
        self.keep(name, value)
        print(f"  {name}: {value:.4g}", flush=True)

    def keep(self, name: str, value: Any) -> None:
        """Without a word."""
        self._known[name] = value
        self._path.write_text(json.dumps(self._known))


async def pages_per_s(pages: Iterable[Awaitable[Any]]) -> float:
    """All at once, from the first to the last."""
    waiting = list(pages)
    began = time.perf_counter()
    await asyncio.gather(*waiting)
    return len(waiting) / (time.perf_counter() - began)


def tensor_bytes(inputs: Any) -> int:
    """Bytes of all tensors in one page's engine input."""
    total = 0
    for items in inputs["mm_kwargs"].values():
        for item in items:
            total += sum(_bytes(field.data) for field in item.values())
    return total


def _bytes(data: Any) -> int:
    if isinstance(data, list | tuple):
        return sum(map(_bytes, data))
    return int(data.numel() * data.element_size())


# (a) vLLM as its recipe shows it


async def recipe(bench: Bench, figures: Figures) -> None:
    """Raw prompts into `AsyncLLM.generate`, vLLM's own model, all pages at once."""
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.v1.engine.async_llm import AsyncLLM

    sizes = {"dtype": "float32", "max_model_len": 2048, "enforce_eager": True}
    engine = AsyncLLM.from_engine_args(
        AsyncEngineArgs(
            model=bench.model,
            load_format="dummy",
            logits_processors=[GUARD_OF_VLLM],
            enable_prefix_caching=False,
            mm_processor_cache_gb=0,
            disable_log_stats=True,
            **(sizes if bench.small else {"max_model_len": 8192}),
        )
    )
    images = decoded(bench.work / "pages", bench.baseline)
    (ready,) = await engine.renderer.render_cmpl_async([raw_prompt(images[0])])
    figures["bytes_per_page"] = tensor_bytes(ready)
    await asyncio.gather(*(one(engine, image, 4, False) for image in images[:WARM_UP]))
    for name, guard in (("pages_per_s", False), ("guard_pages_per_s", True)):
        figures[name] = await pages_per_s(
            one(engine, image, bench.tokens, guard) for image in images
        )
    engine.shutdown()


def raw_prompt(image: PageImage) -> dict[str, Any]:
    """As the recipe writes it."""
    words = f"<image>\n{BUILT_IN_MODES['document'].prompt}"
    return {"prompt": words, "multi_modal_data": {"image": to_pillow(image)}}


async def one(engine: Any, image: PageImage, tokens: int, guard: bool) -> None:
    from vllm import SamplingParams

    rule = {"ngram_size": 30, "window_size": 90, "whitelist_token_ids": [128821, 128822]}
    params = SamplingParams(
        **AT_RANDOM,
        max_tokens=tokens,
        skip_special_tokens=False,
        extra_args=rule if guard else None,
    )
    async for _ in engine.generate(raw_prompt(image), params, f"{id(image)}-{tokens}-{guard}"):
        pass


# (b) the engine as configured, fed with pages prepared beforehand


async def ceiling(bench: Bench, figures: Figures) -> None:
    """What the engine can do at most, and where a page's time goes in it."""
    began = time.perf_counter()
    engine = VllmEngine(
        VllmSettings(**bench.settings, devices=None, options=bench.options, sampling=bench.sampling)
    )
    await engine.start(lambda stage: print(f"  {stage}", flush=True))
    figures["start_s"] = time.perf_counter() - began
    core = engine.supervisors[0].core
    assert isinstance(core, VllmClient)
    images = decoded(bench.work / "pages", bench.pages)
    requests = page_requests(images, bench.resolution, "b")
    ready = await prepared(core, requests, figures)
    for name in ("first_wave_", ""):  # memory for many pages at once is taken by the first wave
        figures[f"{name}prefill_pages_per_s"] = await encoded(bench, core, requests, ready, name)
    await generated(bench, core, requests, ready, figures)
    ready.clear()
    for resolution in ("tiny", bench.resolution):
        if time.time() < bench.until:
            again = page_requests(images, resolution, f"whole-{resolution}")
            figures[f"whole_{resolution}_pages_per_s"] = await pages_per_s(
                engine.recognise(request) for request in again
            )
    await engine.stop()


def page_requests(images: Sequence[PageImage], resolution: str, name: str) -> list[PageRequest]:
    return [
        PageRequest(
            id=f"{name}-{number}",
            image=image,
            mode=BUILT_IN_MODES["document"],
            resolution=RESOLUTIONS[resolution],
        )
        for number, image in enumerate(images)
    ]


def with_mode(requests: Sequence[PageRequest], name: str, mode: PromptMode) -> list[PageRequest]:
    return [replace(request, id=f"{request.id}-{name}", mode=mode) for request in requests]


async def prepared(
    core: VllmClient, requests: Sequence[PageRequest], figures: Figures
) -> list[Ready]:
    began = time.perf_counter()
    ready = await asyncio.gather(*(core.prepare(request) for request in requests))
    figures["prepare_pages_per_s"] = len(requests) / (time.perf_counter() - began)
    figures["bytes_per_page"] = tensor_bytes(ready[0].inputs)
    figures["prompt_tokens"] = ready[0].tokens
    return list(ready)


def as_new(page: Ready) -> Ready:
    """The same page under another name, so that vLLM does not find it in its encoder's cache."""
    return replace(page, inputs={**page.inputs, "mm_hashes": {"image": [uuid.uuid4().hex]}})


async def generated(
    bench: Bench,
    core: VllmClient,
    requests: Sequence[PageRequest],
    ready: Sequence[Ready],
    figures: Figures,
) -> None:
    """The same pages without the guard and with it, in turns: what drifts cancels out."""
    guarded = BUILT_IN_MODES["document"]
    modes = {"": replace(guarded, guard=None), "guard_": guarded}
    waves: dict[str, list[float]] = {name: [] for name in modes}
    for number, name in enumerate(("", "guard_", "", "guard_", "")):
        if time.time() > bench.until and all(waves.values()):
            return
        speed = await pages_per_s(
            core.generate(request, as_new(page))
            for request, page in zip(
                with_mode(requests, f"{name}{number}", modes[name]), ready, strict=True
            )
        )
        waves[name].append(speed)
        figures.keep(f"{name}waves", waves[name])
        figures[f"{name}pages_per_s"] = harmonic_mean(waves[name])


async def encoded(
    bench: Bench,
    core: VllmClient,
    requests: Sequence[PageRequest],
    ready: Sequence[Ready],
    name: str,
) -> float:
    """Moving, encoding and prefill alone: one token out."""
    settings = VllmSettings(model=bench.model, sampling={**AT_RANDOM, "max_tokens": 1})
    return await pages_per_s(
        core.generate(request, as_new(page), settings)
        for request, page in zip(
            with_mode(requests, f"{name}1", requests[0].mode), ready, strict=True
        )
    )


# (c) the daemon: files in, bundles out


async def daemon(bench: Bench, figures: Figures) -> None:
    """`ocrd run --once` over an inbox full of files."""
    root = bench.file("-root")
    shutil.rmtree(root, ignore_errors=True)
    inbox = root / "inbox" / "scans"
    inbox.mkdir(parents=True)
    for path in sorted((bench.work / "pages").iterdir())[: bench.pages]:
        os.link(path, inbox / path.name)
    config = root / "config.toml"
    config.write_text(configuration(bench, root), encoding="utf-8")
    log = bench.file("-ocrd.log")
    with log.open("w") as stream:
        command = [sys.executable, "-m", "ocrd", "run", "--once", "--config", str(config)]
        ended = await asyncio.to_thread(subprocess.run, command, stderr=stream, check=False)
    figures["exit_code"] = ended.returncode
    figures["bundles"] = sum(1 for _ in (root / "outbox").glob("scans/*/*.json"))
    times = moments(log)
    ready, done = times["engine.ready"][0], times["job.done"]
    figures["start_s"] = ready - times["daemon.started"][0]
    figures["pages_per_s"] = len(done) / (done[-1] - ready)
    figures["first_bundle_s"] = done[0] - ready


def moments(log: Path) -> dict[str, list[float]]:
    """When each event of the daemon's log happened, seconds; vLLM writes other lines among them."""
    found: dict[str, list[float]] = defaultdict(list)
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("{"):
            told = json.loads(line)
            found[told["event"]].append(datetime.fromisoformat(told["timestamp"]).timestamp())
    return found


def configuration(bench: Bench, root: Path) -> str:
    """A file as an operator would write it, and a fixed length for every answer."""
    return "\n".join(
        [
            f"root = {json.dumps(str(root))}",
            "[engine]",
            'kind = "vllm"',
            *table(bench.settings | ({"devices": [0]} if bench.small else {})),
            "[engine.options]",
            *table(bench.options),
            "[engine.sampling]",
            *table(bench.sampling),
            "[watch]",
            "settle_s = 1.0",
            "[log]",
            'format = "json"',
            "[[folder]]",
            'name = "scans"',
            'mode = "document"',
            f'resolution = "{bench.resolution}"',
            "",
        ]
    )


def table(values: dict[str, Any]) -> list[str]:
    """TOML lines; JSON writes strings, numbers and truth values alike."""
    return [f"{key} = {json.dumps(value)}" for key, value in values.items()]


PARTS: dict[str, Callable[[Bench, Figures], Awaitable[None]]] = {
    "recipe": recipe,
    "ceiling": ceiling,
    "daemon": daemon,
}


def main() -> None:
    name, work, run, extra = sys.argv[1:]
    bench = replace(Bench.read(Path(work)), run=run, extra=json.loads(extra))
    asyncio.run(PARTS[name](bench, Figures(bench.file(".json"))))  # type: ignore[arg-type] # each is a coroutine function


if __name__ == "__main__":
    main()
