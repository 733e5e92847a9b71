"""Where the GPU's time goes in ocrd's engine: in steps that encode pages, and in decoding.

`python -m bench.gpu_profile WORK` takes model, pages and parameters that `bench.gpu_throughput
--work WORK` has left there, records some steps of a wave of pages with torch's profiler and prints,
for each of the two kinds of steps, how long they take, how much of that the GPU is busy, and with
which kernels.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.gpu_material import decoded
from bench.gpu_parts import Bench, page_requests
from ocrd.engine.resident import VllmEngine, VllmSettings
from ocrd.engine.resident.client import VllmClient

SKIPPED, RECORDED = 20, 50  # steps; a wave of 512 pages is encoded in some 30
TOKENS = 48
ON_DEVICE = {"kernel", "gpu_memcpy", "gpu_memset"}
STEP = re.compile(r"execute_context_(\d+)\(\d+\)_generation_(\d+)\(")
SHOWN = 16


@dataclass
class Kind:
    """Steps of one kind.

    Attributes:
        steps: How many.
        wall_us: From the first of their kernels to the last.
        kernels: Microseconds by name.
    """

    steps: int = 0
    wall_us: float = 0.0
    kernels: dict[str, float] = field(default_factory=lambda: defaultdict(float))


async def record(bench: Bench, traces: Path) -> None:
    """A wave of pages, some of its steps under the profiler."""
    profiler = {
        "profiler": "torch",
        "torch_profiler_dir": str(traces),
        "torch_profiler_with_stack": False,
        "torch_profiler_use_gzip": False,
        "torch_profiler_dump_cuda_time_total": False,
        "ignore_frontend": True,
        "delay_iterations": SKIPPED,
        "max_iterations": RECORDED,
    }
    short = bench.sampling | {"max_tokens": TOKENS}
    options = bench.options | {"profiler_config": profiler}
    settings = VllmSettings(**bench.settings, devices=None, options=options, sampling=short)
    engine = VllmEngine(settings)
    await engine.start(lambda stage: print(f"  {stage}", flush=True))
    core = engine.supervisors[0].core
    assert isinstance(core, VllmClient)
    requests = page_requests(decoded(bench.work / "pages", bench.pages), bench.resolution, "p")
    ready = await asyncio.gather(*(core.prepare(request) for request in requests))
    vllm = core._launched.engine
    await vllm.start_profile()
    await asyncio.gather(*map(core.generate, requests, ready))
    await vllm.stop_profile()
    await engine.stop()


def read(trace: Path) -> tuple[Kind, Kind]:
    """Steps that encode pages, and steps that only decode, of a trace of torch's."""
    events = [e for e in json.loads(trace.read_text())["traceEvents"] if "dur" in e]
    kinds = Kind(), Kind()
    for begin, end, decodes in windows(events):
        kind = kinds[decodes]
        inside = [e for e in events if e.get("cat") in ON_DEVICE and begin <= e["ts"] < end]
        kind.steps += 1
        kind.wall_us += end - begin
        for event in inside:
            kind.kernels[short_name(event)] += event["dur"]
    return kinds


def windows(events: Iterable[dict[str, Any]]) -> list[tuple[float, float, bool]]:
    """Begin and end of each step on the device, and whether it only decodes."""
    marks = sorted(
        (event["ts"], int(found[1]) == 0)
        for event in events
        if event.get("cat") == "gpu_user_annotation" and (found := STEP.match(event["name"]))
    )
    return [(begin, end, only) for (begin, only), (end, _) in pairwise(marks)]


def short_name(event: dict[str, Any]) -> str:
    """A kernel's name without return type, namespaces' ends and most of its parameters."""
    return re.sub(r"^void |\(anonymous namespace\)::|at::native::", "", event["name"])[:90]


def show(title: str, kind: Kind) -> None:
    if not kind.steps:
        return
    busy = sum(kind.kernels.values())
    print(f"\n{title}: {kind.steps} steps of {kind.wall_us / kind.steps / 1000:.2f} ms")
    print(f"the GPU is busy for {busy / kind.wall_us:.0%} of it")
    for name, spent in sorted(kind.kernels.items(), key=lambda item: -item[1])[:SHOWN]:
        print(f"  {spent / kind.steps / 1000:8.3f} ms  {name}")


def main() -> None:
    work = Path(sys.argv[1])
    traces = work / "traces"
    asyncio.run(record(Bench.read(work), traces))
    (trace,) = traces.glob("*.json")
    encoding, decoding = read(trace)
    show("encoding and prefill, with what decodes meanwhile", encoding)
    show("decoding", decoding)


if __name__ == "__main__":
    main()
