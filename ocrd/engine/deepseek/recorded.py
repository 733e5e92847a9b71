"""An encoder's launches, recorded once for each size of stack and replayed then (CUDA graphs).

Some hundred kernels encode a stack of views, and launching them keeps the host busy for longer than
the device needs to run them when the stack is small: 13 ms for a page's, and 0.3 ms as recorded.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

ROOM = 32 << 30  # bytes of a card's memory: graphs keep up to 2 GiB, which smaller ones need


def has_room(device: torch.device) -> bool:
    """Whether graphs can be kept beside weights and pages."""
    return bool(torch.cuda.get_device_properties(device).total_memory >= ROOM)


class Recorded:
    """Does what `encode` does, with one launch.

    What it gives is a copy: the next stack is encoded in the same memory.

    Args:
        encode: One stack [n, side, side, 3] on the device to its features; without a wait for the
            device, and with weights that stay where they are.
    """

    def __init__(self, encode: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self._encode = encode
        self._pool: tuple[int, int] | None = None
        self._known: dict[torch.Size, tuple[torch.cuda.CUDAGraph, torch.Tensor, torch.Tensor]] = {}

    def __call__(self, views: torch.Tensor) -> torch.Tensor:
        """Features of a stack."""
        if views.shape not in self._known:
            self._known[views.shape] = self._record(views)
        graph, given, found = self._known[views.shape]
        given.copy_(views)
        graph.replay()
        return found.clone()

    def _record(
        self, views: torch.Tensor
    ) -> tuple[torch.cuda.CUDAGraph, torch.Tensor, torch.Tensor]:
        given = views.clone()
        self._encode(given)  # what is compiled or chosen at first use is, before the recording
        graph = torch.cuda.CUDAGraph()
        # Other threads may allocate meanwhile, which is none of this recording's business.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            found = self._encode(given)
        self._pool = graph.pool()
        return graph, given, found
