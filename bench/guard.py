"""The n-gram guard's time for a step, against the processor that comes with vLLM.

    python -m bench.guard [--requests 256 512] [--steps 200]

A batch of prose, one of tables, and one of loops, which goes on in circles as no guarded answer may
and so is the worst there can be.  Prints milliseconds a step, the device's work included, alone and
beside a thread that has 2 ms of Python to run at each step, as those have with which vLLM passes on
the tokens of the step before; and last the ratio for prose in the largest batch.
"""

from __future__ import annotations

import argparse
import random
import threading
import time
from types import SimpleNamespace
from typing import Any

import torch
from vllm import SamplingParams
from vllm.model_executor.models.deepseek_ocr import NGramPerReqLogitsProcessor
from vllm.v1.sample.logits_processor import BatchUpdate

from ocrd.engine.deepseek.guard import NgramGuard
from ocrd.engine.deepseek.ngram import request_args
from ocrd.modes import Guard

VOCABULARY = 129280
ALLOWED = [128821, 128822]
RULE = Guard()
BESIDE_S = 0.002
PAUSE_S = 0.004  # the other thread has ended by then


def prose(chance: random.Random, length: int) -> list[int]:
    return [chance.randrange(VOCABULARY) for _ in range(length)]


def table(chance: random.Random, length: int) -> list[int]:
    """Rows alike but for three cells."""
    row = prose(chance, 24)
    return [chance.randrange(VOCABULARY) if n % 8 == 7 else row[n % 24] for n in range(length)]


def loop(chance: random.Random, length: int) -> list[int]:
    row = prose(chance, 24)
    return [row[n % 24] for n in range(length)]


KINDS = (loop, table, prose)


class Beside:
    """A thread with a little Python to run whenever it is told."""

    def __init__(self) -> None:
        self._go = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def go(self) -> None:
        self._go.set()

    def _run(self) -> None:
        while self._go.wait():
            self._go.clear()
            end = time.perf_counter() + BESIDE_S
            while time.perf_counter() < end:
                sum(range(50))


def measure(
    processor: Any,
    params: SamplingParams,
    texts: list[list[int]],
    warm: int,
    beside: Beside | None = None,
) -> float:
    """Milliseconds a step, from the second `warm` tokens on."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    live: list[list[int]] = [[] for _ in texts]
    added = [(n, params, [1], answer) for n, answer in enumerate(live)]
    processor.update_state(BatchUpdate(batch_size=len(texts), removed=[], added=added, moved=[]))
    logits = torch.zeros(len(texts), VOCABULARY, device=device)
    spent = 0.0
    length = len(texts[0])
    for step in range(length):
        for answer, text in zip(live, texts, strict=True):
            answer.append(text[step])
        if device == "cuda":
            torch.cuda.synchronize()
        if beside:
            time.sleep(PAUSE_S)
            beside.go()
        begin = time.perf_counter()
        processor.update_state(None)
        processor.apply(logits)
        if device == "cuda":
            torch.cuda.synchronize()
        spent += time.perf_counter() - begin if step >= warm else 0.0
    return spent / (length - warm) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description="The n-gram guard's time for a step.")
    parser.add_argument("--requests", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--steps", type=int, default=200)
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pin = device.type == "cuda"
    theirs = SamplingParams(
        extra_args={
            "ngram_size": RULE.ngram,
            "window_size": RULE.window,
            "whitelist_token_ids": ALLOWED,
        }
    )
    ours = SamplingParams(extra_args=request_args(RULE, ALLOWED))
    warm = RULE.window
    for requests in options.requests:
        config: Any = SimpleNamespace(scheduler_config=SimpleNamespace(max_num_seqs=requests))
        for kind in KINDS:
            chance = random.Random(1)
            texts = [kind(chance, warm + options.steps) for _ in range(requests)]
            for what, beside in (("alone", None), ("beside another thread", Beside())):
                upstream = NGramPerReqLogitsProcessor(config, device, pin)
                theirs_ms = measure(upstream, theirs, texts, warm, beside)
                ours_ms = measure(NgramGuard(config, device, pin), ours, texts, warm, beside)
                times = f"vLLM {theirs_ms:.2f} ms, ocrd {ours_ms:.2f} ms"
                print(f"{requests} requests, {kind.__name__}, {what}: {times}")
    print(f"ratio {theirs_ms / ours_ms:.1f}")


if __name__ == "__main__":
    main()
