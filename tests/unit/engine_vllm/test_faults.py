"""What an engine's last words mean, and what is given up when memory does not suffice."""

from typing import Any

import pytest

from ocrd.engine.resident.faults import Shortage, next_step, reason, setup_error, shortage
from ocrd.engine.resident.settings import VllmSettings
from ocrd.modes import RESOLUTIONS

# As torch 2.11 and vLLM 0.26 say it.
TORCH_OOM = """EngineCore encountered a fatal error.
Traceback (most recent call last):
  File "vllm/v1/engine/core.py", line 1330, in run_engine_core
    engine_core.run_busy_loop()
torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.25 GiB. GPU 0 has a total capacity
of 23.57 GiB of which 812.44 MiB is free."""
CARD_IN_USE = (
    "ValueError: Free memory on device cuda:0 (10.17/23.57 GiB) on startup is less than desired "
    "GPU memory utilization (0.9, 21.21 GiB). Decrease GPU memory utilization or reduce GPU memory "
    "used by other processes."
)
NO_BLOCKS = (
    "ValueError: No available memory for the cache blocks. Try increasing "
    "`gpu_memory_utilization` when initializing the engine."
)
CACHE_TOO_SMALL = (
    "ValueError: To serve at least one request with the models's max seq len (8192), (0.47 GiB KV "
    "cache is needed, which is larger than the available KV cache memory (0.31 GiB)."
)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([TORCH_OOM], Shortage.CARD),
        ([CARD_IN_USE], Shortage.CARD),
        ([NO_BLOCKS], Shortage.CACHE),
        ([CACHE_TOO_SMALL], Shortage.CACHE),
        (["RuntimeError: CUDA error: an illegal memory access was encountered"], None),
        ([], None),
    ],
)
def test_which_memory_was_short(words: list[str], expected: Shortage | None) -> None:
    assert shortage(words) is expected


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["ValueError: one thing\n  at line 3", "KeyError: 'another'"], "KeyError: 'another'"),
        (
            [
                "pydantic_core.ValidationError: 1 validation error for ModelConfig\n"
                "dtype\n  Input should be 'auto' [input_value='float13']",
                "and then this",
            ],
            "pydantic_core.ValidationError: 1 validation error for ModelConfig dtype Input should "
            "be 'auto' [input_value='float13']",
        ),
        (["ValueError: " + "x" * 5000], f"ValueError: {'x' * 385}..."),
    ],
    ids=["the last", "of several lines", "a long one"],
)
def test_the_last_exception_is_the_reason(words: list[str], told: str) -> None:
    assert reason(words) == told


def test_an_engine_killed_from_outside_leaves_no_word() -> None:
    assert reason(["Model Runner V2 requires Triton"]).startswith("it left no word")


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ([TORCH_OOM], "gpu-memory"),
        ([NO_BLOCKS], "gpu-memory"),
        (["RuntimeError: No CUDA GPUs are available"], "no-gpu"),
        (["RuntimeError: Cannot find any model weights with `/srv/model`"], "bad-model"),
        (["ValueError: something nobody foresaw"], "engine-start"),
    ],
)
def test_each_cause_has_its_remedy(words: list[str], kind: str) -> None:
    error = setup_error(words, RuntimeError("Engine core initialization failed."))
    assert error.kind == kind
    assert error.hint


def steps(shortage: Shortage, **given: Any) -> list[str]:
    """What is given up of these settings, one after the other."""
    settings, notes = VllmSettings(model="m", **given), list[str]()
    while (step := next_step(settings, shortage)) is not None:
        notes.append(step.note)
        settings = step.settings
    return notes


def test_the_order_is_that_of_the_deployment_guide() -> None:
    assert steps(Shortage.CARD, max_crops=6, max_pages_in_flight=100) == [
        "gpu_memory_utilization 0.9 -> 0.75",
        "gpu_memory_utilization 0.75 -> 0.65",
        "gpu_memory_utilization 0.65 -> 0.6",
        "max_crops 6 -> 4",
        "max_crops 4 -> 2",
        "max_pages_in_flight 100 -> 50",
        "max_pages_in_flight 50 -> 25",
        "max_pages_in_flight 25 -> 16",
        "resolution -> small",
    ]


def of(*names: str) -> dict[str, Any]:
    """Settings that have nothing left to give up but what pages at these resolutions cost."""
    return {
        "gpu_memory_utilization": 0.6,
        "max_pages_in_flight": 16,
        "resolutions": tuple(RESOLUTIONS[name] for name in names),
    }


@pytest.mark.parametrize(
    ("shortage", "given", "first"),
    [
        (  # pages that only wait take no memory
            Shortage.CACHE,
            {"max_crops": 2, "max_pages_in_flight": 512, "max_num_seqs": 100},
            ["max_pages_in_flight 512 -> 50", "max_pages_in_flight 50 -> 25"],
        ),
        (  # a smaller share of the card is no help
            Shortage.CACHE,
            {"max_crops": 2, "max_pages_in_flight": 16},
            ["resolution -> small"],
        ),
        (  # below the first rung
            Shortage.CARD,
            {"gpu_memory_utilization": 0.62, "max_crops": 3, "max_pages_in_flight": 8},
            ["gpu_memory_utilization 0.62 -> 0.6", "max_crops 3 -> 2", "resolution -> small"],
        ),
        # Fewer tiles or a smaller view save nothing where the folders have neither.
        (Shortage.CARD, of("tiny", "small"), []),
        (Shortage.CARD, of("base"), ["resolution -> small"]),
        (Shortage.CARD, of("gundam"), ["max_crops 6 -> 4"]),
    ],
)
def test_only_what_helps_is_given_up(
    shortage: Shortage, given: dict[str, Any], first: list[str]
) -> None:
    notes = steps(shortage, **given)
    assert notes[: len(first)] == first
    assert bool(notes) == bool(first)
