"""Our scheduler beside vLLM's own, both with the same requests and little memory."""

from __future__ import annotations

import random
from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from vllm import SamplingParams
from vllm.engine.arg_utils import EngineArgs
from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec
from vllm.v1.outputs import ModelRunnerOutput
from vllm.v1.request import Request
from vllm.v1.structured_output import StructuredOutputManager

from ocrd.engine.resident.launch import plan_steps
from ocrd.engine.resident.scheduler import page_scheduler

pytestmark = pytest.mark.vllm

BLOCK = 16
BLOCKS = 60  # too few for all that runs at once, so that requests are put back
SEQUENCES = 8
OUTPUTS = 120


def configuration(checkpoint: Path, **arguments: Any) -> Any:
    given: dict[str, Any] = {
        "model": str(checkpoint),
        "load_format": "dummy",
        "dtype": "float32",
        "max_model_len": 512,
        "max_num_seqs": SEQUENCES,
        "max_num_batched_tokens": 256,
        "block_size": BLOCK,
        "enable_prefix_caching": False,
        "mm_processor_cache_gb": 0,
        "scheduling_policy": "priority",
    }
    config = EngineArgs(**(given | arguments)).create_engine_config()
    config.cache_config.num_gpu_blocks = BLOCKS
    return config


def made(kind: Any, config: Any) -> Any:
    spec = FullAttentionSpec(block_size=BLOCK, num_kv_heads=4, head_size=64, dtype=torch.float32)
    groups = [KVCacheGroupSpec(["layer"], spec)]
    return kind(
        vllm_config=config,
        kv_cache_config=KVCacheConfig(BLOCKS, kv_cache_tensors=[], kv_cache_groups=groups),
        structured_output_manager=StructuredOutputManager(config),
        include_finished_set=False,
        log_stats=False,
        block_size=BLOCK,
        hash_block_size=BLOCK,
    )


class Lane:
    """A scheduler, and a model that runs some steps behind it.

    Attributes:
        asked: How often it looked for memory the long way.
    """

    def __init__(self, scheduler: Any, behind: int) -> None:
        self.scheduler = scheduler
        self._behind = behind
        self.asked = 0
        self._under_way: deque[Any] = deque()
        coordinator = scheduler.kv_cache_manager.coordinator
        plain = coordinator.get_num_blocks_to_allocate

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.asked += 1
            return plain(*args, **kwargs)

        coordinator.get_num_blocks_to_allocate = counted

    def add(self, name: str, prompt: int, outputs: int, priority: int) -> None:
        params = SamplingParams(max_tokens=outputs, ignore_eos=True)
        request = Request(
            request_id=name,
            prompt_token_ids=list(range(prompt)),
            sampling_params=params,
            pooling_params=None,
            priority=priority,
            arrival_time=float(name),
        )
        self.scheduler.add_request(request)

    def step(self) -> tuple[Any, ...]:
        """Plan a step and finish the one before; what was planned, as far as a model sees it."""
        planned = self.scheduler.schedule()
        self._under_way.append(self._run(planned))
        if len(self._under_way) > self._behind:
            self.scheduler.update_from_output(*self._under_way.popleft())
        cached = planned.scheduled_cached_reqs
        return (
            planned.num_scheduled_tokens,
            [(new.req_id, new.block_ids) for new in planned.scheduled_new_reqs],
            [(name, ids) for name, ids in zip(cached.req_ids, cached.new_block_ids, strict=True)],
            sorted(planned.preempted_req_ids or ()),
            sorted(planned.finished_req_ids),
        )

    def _run(self, planned: Any) -> tuple[Any, ModelRunnerOutput]:
        names = list(planned.num_scheduled_tokens)
        requests = self.scheduler.requests
        tokens = [[] if requests[name].is_prefill_chunk else [7] for name in names]
        answer = ModelRunnerOutput(
            req_ids=names,
            req_id_to_index={name: place for place, name in enumerate(names)},
            sampled_token_ids=tokens,
        )
        return planned, answer


@pytest.mark.parametrize(("own", "behind"), [(AsyncScheduler, 1), (Scheduler, 0)])
def test_it_plans_what_vllm_s_own_plans_and_seldom_looks_for_memory(
    checkpoint: Path, own: type[Scheduler], behind: int
) -> None:
    config = configuration(checkpoint)
    config.scheduler_config.async_scheduling = own is AsyncScheduler  # never, on a CPU
    theirs, ours = Lane(made(own, config), behind), Lane(made(page_scheduler, config), behind)
    chance = random.Random(6)
    put_back = ended = 0
    for number in range(900):
        if number < 600 and chance.random() < 0.08:
            page = str(number), chance.randrange(5, 200), chance.randrange(1, OUTPUTS)
            priority = chance.randrange(3)
            for lane in (theirs, ours):
                lane.add(*page, priority)
        expected = theirs.step()
        assert ours.step() == expected
        put_back += len(expected[3])
        ended += len(expected[4])
    assert not ours.scheduler.has_unfinished_requests()
    assert put_back > 3
    assert ended > 30
    assert ours.asked < theirs.asked / 4
    assert type(ours.scheduler) is own


def test_memory_that_requests_share_is_looked_for_as_ever(checkpoint: Path) -> None:
    config = configuration(checkpoint, enable_prefix_caching=True)
    manager = made(page_scheduler, config).kv_cache_manager
    assert "allocate_slots" not in vars(manager)


def test_vllm_finds_it_by_its_name_and_an_operator_s_own_stays(checkpoint: Path) -> None:
    scheduling = configuration(checkpoint).scheduler_config
    plan_steps(scheduling)
    assert scheduling.get_scheduler_cls() is page_scheduler
    theirs = SimpleNamespace(scheduler_cls="vllm.Own", encoder_cache_size=1)
    plan_steps(theirs)
    assert theirs.scheduler_cls == "vllm.Own"
