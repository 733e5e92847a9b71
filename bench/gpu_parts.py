"""Times parts of the engine on a card in turns with what they replace: milliseconds and ratios.

    python -m bench.gpu_parts

The first encoder reads 8 gundam pages together, with random weights, in four versions: vLLM's, ours
with torch's own kernels between the matrix products, ours, and ours recorded as CUDA graphs; then
one page, for the cost of launching on the host.  The loop guard, called as vLLM's second model
runner calls it, processes 256 answers of 1,000 tokens; its bans are compared with the published
rule.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import torch

from ocrd.engine.deepseek.device_guard import DeviceGuard
from ocrd.engine.deepseek.encoder import SamEncoder, normalise
from ocrd.engine.deepseek.ngram import NgramRule
from ocrd.engine.deepseek.recorded import Recorded
from tests.slow.vllm.plain_sam import plain_join, random_sam
from tests.unit.deepseek.plain_rule import banned_tokens

ROUNDS = 7
PAGES = 8
VIEWS = ((1024, PAGES), (640, 6 * PAGES))
ROWS, VOCABULARY, PROMPT, ANSWER, LONGEST = 256, 129_280, 939, 1000, 8192
RULE = NgramRule(30, 90, frozenset({128821, 128822}))


def in_turns(parts: dict[str, Callable[[], Any]], each: int) -> dict[str, float]:
    """Median milliseconds of each part per item, of which it has `each`; the parts take turns."""
    for part in parts.values():
        part()
    times: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(ROUNDS):
        for name, part in parts.items():
            began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            began.record()
            part()
            ended.record()
            torch.cuda.synchronize()
            times[name].append(began.elapsed_time(ended) / each)
    return {name: median(found) for name, found in times.items()}


def encoders() -> None:
    """Time the versions of the full-size encoder, and compare their results."""
    from ocrd.engine.deepseek.kernels import fused, joined

    sam = random_sam("cuda", depth=12, width=768, heads=12, unwindowed=(2, 5, 8, 11), spread=0.02)
    sam = sam.to("cuda", torch.bfloat16)
    views = [
        torch.randint(0, 256, (count, side, side, 3), dtype=torch.uint8, device="cuda")
        for side, count in VIEWS
    ]

    def theirs(stack: torch.Tensor) -> torch.Tensor:
        return sam(normalise(stack, torch.bfloat16).permute(0, 3, 1, 2).contiguous())

    known: dict[str, Callable[[], Any]] = {
        "vLLM's": lambda: [theirs(view) for stack in views for view in stack.split(1)],
        "torch between products": partial(map_all, SamEncoder(sam, fused, plain_join), views),
    }
    ours = SamEncoder(sam, fused, joined)
    recorded = Recorded(ours)
    known |= {"ours": partial(map_all, ours, views), "recorded": partial(map_all, recorded, views)}
    times = in_turns(known, PAGES)
    for name, spent in times.items():
        print(f"encoder, {name}: {spent:.2f} ms a page", flush=True)
    page = [views[0][:1], views[1][:6]]
    for name, launch in (
        ("ours", partial(map_all, ours, page)),
        ("recorded", partial(map_all, recorded, page)),
    ):
        launch()
        print(f"one page, {name}: {launch_ms(launch):.2f} ms of the host")
    same = all(torch.equal(ours(stack), recorded(stack)) for stack in (*views, *page))
    print(f"recorded, to the last bit the same: {same}", flush=True)
    ratio = times["torch between products"] / times["ours"]
    over = times["vLLM's"] / times["ours"]
    print(f"encoder: {over:.2f} and {ratio:.2f} times")
    sample = views[0][:1]
    both = [SamEncoder(sam, fused, join)(sample).float() for join in (plain_join, joined)]
    wanted = theirs(sample).float()
    apart = [((one - wanted).norm() / wanted.norm()).item() for one in both]
    print(f"encoder: apart from vLLM's by {apart[0]:.4f} and {apart[1]:.4f}", flush=True)


def launch_ms(part: Callable[[], Any]) -> float:
    """Median milliseconds of the host to launch a part, without waiting for the card."""
    spent = []
    for _ in range(ROUNDS):
        torch.cuda.synchronize()
        began = time.perf_counter()
        part()
        spent.append((time.perf_counter() - began) * 1e3)
    return median(spent)


def map_all(
    encoder: Callable[[torch.Tensor], torch.Tensor], views: list[torch.Tensor]
) -> list[torch.Tensor]:
    return [encoder(stack) for stack in views]


def answers(kind: str, chance: random.Random) -> list[list[int]]:
    """Random tokens, rows of a table, or a loop that the rule has to end."""
    if kind == "random":
        return [[chance.randrange(VOCABULARY) for _ in range(ANSWER)] for _ in range(ROWS)]
    length = 40 if kind == "loops" else 7
    answers = []
    for _ in range(ROWS):
        period = [chance.randrange(VOCABULARY) for _ in range(length)]
        answer = [period[place % length] for place in range(ANSWER)]
        if kind == "table":
            answer = [
                token if place % 5 else chance.randrange(VOCABULARY)
                for place, token in enumerate(answer)
            ]
        answers.append(answer)
    return answers


def guards() -> None:
    device = torch.device("cuda")
    chance = random.Random(5)
    guard = DeviceGuard(ROWS, device)
    for slot in range(ROWS):
        guard.set(slot, RULE)
    guard.flush()
    slots = torch.arange(ROWS, device=device)
    begins = torch.full((ROWS,), PROMPT, device=device, dtype=torch.int32)
    ends = begins + ANSWER
    for kind in ("random", "table", "loops"):
        said = answers(kind, chance)
        tokens = torch.zeros((ROWS, LONGEST), dtype=torch.int32, device=device)
        tokens[:, PROMPT : PROMPT + ANSWER] = torch.tensor(said, dtype=torch.int32)
        logits = torch.zeros((ROWS, VOCABULARY), device=device)
        spent = in_turns({kind: partial(guard.apply, logits, slots, tokens, begins, ends)}, 1)[kind]
        banned = [set(row.nonzero().flatten().tolist()) for row in (logits == -torch.inf).cpu()]
        right = banned == [banned_tokens(answer, RULE) for answer in said]
        count = sum(map(len, banned))
        print(f"guard, {kind}: {spent:.3f} ms a step, {count} bans, as published: {right}")


if __name__ == "__main__":
    if not torch.cuda.is_available():
        sys.exit("There is no GPU here.")
    with torch.inference_mode():
        encoders()
        guards()
