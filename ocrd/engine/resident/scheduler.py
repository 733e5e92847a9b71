"""vLLM's own scheduler, which asks for a page's memory only where it has none left.

vLLM names it by `scheduler_cls` and makes it in the engine's process.

While the model generates, its process plans each step in Python, request by request, and the GPU
waits for that.  Half of the planning goes into `KVCacheManager.allocate_slots`, which finds out
for each token anew that the last block has room for it: a block holds sixteen.  That answer is
known beforehand as long as each request keeps all of its blocks and shares none.
"""

from __future__ import annotations

from typing import Any

from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.core.single_type_kv_cache_manager import FullAttentionManager


def page_scheduler(*, vllm_config: Any, **others: Any) -> Scheduler:
    """The scheduler that vLLM would take, with the shorter way.

    Args:
        vllm_config: vLLM's configuration.
        others: What else vLLM hands to a scheduler.
    """
    asynchronous = vllm_config.scheduler_config.async_scheduling
    made = (AsyncScheduler if asynchronous else Scheduler)(vllm_config=vllm_config, **others)
    shorten(made.kv_cache_manager)
    return made


def shorten(manager: Any) -> bool:
    """Let a `KVCacheManager` answer at once for a request whose blocks have room.

    Returns:
        Whether it may: only where nothing else depends on the longer way.
    """
    kinds = manager.coordinator.single_type_managers
    if manager.enable_caching or len(kinds) != 1 or type(kinds[0]) is not FullAttentionManager:
        return False
    held, size = kinds[0].req_to_blocks, kinds[0].block_size
    longer = manager.allocate_slots
    no_more_blocks = manager.empty_kv_cache_blocks

    def allocate_slots(request: Any, num_new_tokens: int, *more: Any, **others: Any) -> Any:
        if not more and not any(others.values()):
            needed = request.num_computed_tokens + num_new_tokens
            if num_new_tokens > 0 and needed <= len(held.get(request.request_id, ())) * size:
                return no_more_blocks
        return longer(request, num_new_tokens, *more, **others)

    manager.allocate_slots = allocate_slots
    return True
