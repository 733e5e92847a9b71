"""What an engine's last words mean."""

import pytest

from ocrd.engine.resident.faults import Shortage, reason, setup_error, shortage

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


def test_the_last_exception_is_the_reason() -> None:
    words = ["ValueError: one thing\n  at line 3", "KeyError: 'another'"]
    assert reason(words) == "KeyError: 'another'"


def test_an_exception_of_several_lines_is_told_whole() -> None:
    said = (
        "pydantic_core.ValidationError: 1 validation error for ModelConfig\n"
        "dtype\n  Input should be 'auto' [input_value='float13']"
    )
    assert reason([said, "and then this"]) == (
        "pydantic_core.ValidationError: 1 validation error for ModelConfig dtype Input should be "
        "'auto' [input_value='float13']"
    )


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


def test_a_long_reason_is_cut() -> None:
    assert len(reason(["ValueError: " + "x" * 5000])) <= 400
