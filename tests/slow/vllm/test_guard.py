"""The guard inside vLLM's own interfaces, on real tensors."""

from __future__ import annotations

import random
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from vllm import SamplingParams
from vllm.v1.sample.logits_processor import MoveDirectionality
from vllm.v1.sample.logits_processor.state import BatchUpdateBuilder

from ocrd.engine.deepseek.guard import NgramGuard
from ocrd.engine.deepseek.ngram import NgramRule, request_args
from ocrd.modes import Guard
from tests.unit.deepseek.plain_rule import banned_tokens

pytestmark = pytest.mark.vllm

VOCABULARY = 40
SLOTS = 8
RULES = [NgramRule(3, 9, frozenset({5})), NgramRule(2, 4), NgramRule(5, 20), None]
CPU = torch.device("cpu")
CONFIG = SimpleNamespace(scheduler_config=SimpleNamespace(max_num_seqs=SLOTS))


def params(rule: NgramRule | None) -> SamplingParams:
    if rule is None:
        return SamplingParams(extra_args={"another": 1})
    guard = Guard(ngram=rule.ngram, window=rule.window)
    return SamplingParams(extra_args=request_args(guard, rule.allowed))


def banned(logits: torch.Tensor, before: torch.Tensor) -> list[set[int]]:
    """The tokens of each row at minus infinity; all others must be as before."""
    gone = logits == -torch.inf
    assert torch.equal(logits[~gone], before[~gone])
    return [set(row.nonzero().flatten().tolist()) for row in gone]


def expected(rule: NgramRule | None, answer: list[int]) -> set[int]:
    return banned_tokens(answer, rule) if rule else set()


Request = tuple[NgramRule | None, list[int]]


def change(batch: dict[int, Request], chance: random.Random) -> BatchUpdateBuilder:
    """One step's changes, made as vLLM makes them: leave, fill the gaps, close up, reorder."""
    update, slots = BatchUpdateBuilder(), len(batch)
    gaps = sorted(chance.sample(range(slots), chance.randrange(min(3, slots + 1))))
    for slot in gaps:
        update.removed_append(slot)
        del batch[slot]
    for _ in range(chance.randrange(3)):
        slot = gaps.pop(0) if gaps else slots
        if slot < SLOTS:
            slots = max(slots, slot + 1)
            update.pop_removed()
            begun = [chance.randrange(3) for _ in range(chance.randrange(9))]
            batch[slot] = chance.choice(RULES), begun
            update.added.append((slot, params(batch[slot][0]), [1, 2, 3], begun))
    while gaps and gaps[0] < max(batch, default=-1):
        last, gap = max(batch), gaps.pop(0)
        batch[gap] = batch.pop(last)
        update.moved.append((last, gap, MoveDirectionality.UNIDIRECTIONAL))
    if len(batch) > 1 and chance.random() < 0.3:
        one, other = chance.sample(range(len(batch)), 2)
        batch[one], batch[other] = batch[other], batch[one]
        update.moved.append((one, other, MoveDirectionality.SWAP))
    return update


def test_the_first_runner_s_batch_updates_are_followed() -> None:
    chance = random.Random(3)
    guard = NgramGuard(CONFIG, CPU, False)
    batch: dict[int, Request] = {}
    bans = 0
    for _ in range(500):
        guard.update_state(change(batch, chance).get_and_reset(len(batch)))
        before = torch.randn(len(batch), VOCABULARY)
        found = banned(guard.apply(before.clone()), before)
        assert found == [expected(*batch[slot]) for slot in range(len(batch))]
        bans += sum(map(len, found))
        for _, answer in batch.values():
            answer.append(chance.randrange(4))
    assert bans > 100


@dataclass
class States:
    """What the second runner shows of its requests, with the tensors where it has them."""

    max_num_reqs: int
    device: torch.device
    all_token_ids: Any
    prompt_len: Any
    total_len: Any


def test_the_second_runner_s_slots_are_followed() -> None:
    chance = random.Random(4)
    tokens = torch.randint(0, 4, (SLOTS, 200), dtype=torch.int32)  # old tokens lie about
    begins = torch.zeros(SLOTS, dtype=torch.int32)
    ends = torch.zeros(SLOTS, dtype=torch.int32)
    on_device = [SimpleNamespace(gpu=tensor) for tensor in (tokens, begins, ends)]
    guard = NgramGuard(CONFIG, States(SLOTS, CPU, *on_device))
    rules: dict[int, NgramRule | None] = {}
    for _ in range(400):
        slot = chance.randrange(SLOTS)
        if slot not in rules or chance.random() < 0.1:
            rules[slot] = chance.choice(RULES)
            begins[slot] = chance.randrange(1, 6)
            ends[slot] = begins[slot] + chance.randrange(9)
            assert guard.add_request(slot, params(rules[slot])) is (rules[slot] is not None)
        guard.apply_staged_writes()
        rows = chance.sample(sorted(rules), len(rules))  # rows are in another order every step
        before = torch.randn(len(rows), VOCABULARY)
        context = SimpleNamespace(expanded_idx_mapping=torch.tensor(rows, dtype=torch.int32))
        logits = guard.apply(before.clone(), context)
        answers = [tokens[row, begins[row] : ends[row]].tolist() for row in rows]
        assert banned(logits, before) == [
            expected(rules[row], answer) for row, answer in zip(rows, answers, strict=True)
        ]
        for row in rows:
            tokens[row, ends[row]] = chance.randrange(4)
            ends[row] = ends[row] + 1 if ends[row] < 150 else begins[row]


class Devices(TorchDispatchMode):
    """Notes on which devices the tensors of each operation lie."""

    def __init__(self) -> None:
        super().__init__()
        self.mixed: list[str] = []

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if operation is torch.ops.aten._pin_memory.default:
            return args[0]  # there is no such memory without the device
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if torch.is_tensor(leaf)]
        if len({tensor.device for tensor in tensors}) > 1:
            self.mixed.append(str(operation))
        return operation(*args, **(kwargs or {}))


def test_a_ban_never_makes_the_host_wait_for_the_device() -> None:
    # A value on the host in an operation on the device is a copy that waits for all that is queued.
    gpu = torch.device("cuda")
    with FakeTensorMode(allow_non_fake_inputs=True), Devices() as devices:
        logits = torch.empty(1, VOCABULARY, device=gpu)
        first = NgramGuard(CONFIG, gpu, False)
        update = BatchUpdateBuilder(added=[(0, params(RULES[1]), [1], [3, 7, 3])])
        first.update_state(update.get_and_reset(1))
        first.apply(logits)
        on_gpu = [SimpleNamespace(gpu=torch.ones(n, device=gpu, dtype=torch.int32)) for n in (1, 1)]
        tokens = SimpleNamespace(gpu=torch.ones(1, 50, device=gpu, dtype=torch.int32))
        second = NgramGuard(CONFIG, States(1, gpu, tokens, *on_gpu))
        second.add_request(0, params(RULES[1]))
        second.apply_staged_writes()
        context = SimpleNamespace(expanded_idx_mapping=torch.zeros(1, device=gpu).int())
        second.apply(logits, context)
    assert devices.mixed == []


def test_a_guard_that_cannot_be_is_refused_before_it_reaches_the_engine() -> None:
    wrong = SamplingParams(extra_args={"ngram_size": 30, "window_size": 3})
    with pytest.raises(ValueError, match="window"):
        NgramGuard.validate_params(wrong)
    NgramGuard.validate_params(SamplingParams())
    NgramGuard.validate_params(params(RULES[0]))


def test_vllm_takes_the_one_class_for_both_runners() -> None:
    path = "ocrd.engine.deepseek.guard:NgramGuard"
    from vllm.v1.sample.logits_processor import _load_logitsprocs_by_fqcns

    assert _load_logitsprocs_by_fqcns([path]) == [NgramGuard]
    loader = pytest.importorskip("vllm.v1.worker.gpu.sample.logits_processor.loader")
    assert loader._load_v2_logitsprocs_by_fqcns([path]) == [NgramGuard]
