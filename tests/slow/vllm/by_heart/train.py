"""Makes `weights.safetensors`: `python -m tests.slow.vllm.by_heart.train`.

With these settings it took 1,150 steps: 82 s on an H200, half an hour or more on a CPU.

vLLM itself says what the encoders see of each page and which tokens the prompt has; the rest of the
model is written down here once more, in plain torch, and learns the answers until it says each
without a mistake.  That vLLM then says them, too, is the test.
"""

from __future__ import annotations

import itertools
import multiprocessing
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the name that all of torch's users know
from safetensors.torch import save_file
from torch import nn

from tests.slow.vllm.by_heart import checkpoint

END = 257
RATE, WARM = 2e-3, 30  # steps until the full rate
SURE = 0.95  # of each token
NEWLINE, SEPARATOR = 1e9, 2e9  # stand for the two learnt vectors among the features
HIDDEN, WIDTH = checkpoint.LANGUAGE["hidden_size"], 2048


@dataclass(frozen=True)
class Lesson:
    """One page to learn.

    Attributes:
        features: What reaches the projector, [image tokens, 2048], with rows of `NEWLINE` and
            `SEPARATOR` between.
        prompt: All of the prompt's tokens, those of the image included.
        image: Where those of the image begin.
        answer: The tokens to say, the end token last.
    """

    features: torch.Tensor
    prompt: list[int]
    image: int
    answer: list[int]


class Model(nn.Module):
    """What follows the encoders, by the names of published checkpoints."""

    def __init__(self) -> None:
        super().__init__()
        known = checkpoint.LANGUAGE
        self.lm_head = nn.Linear(HIDDEN, known["vocab_size"], bias=False)
        self.model = nn.ModuleDict(
            {
                "projector": nn.ModuleDict({"layers": nn.Linear(WIDTH, HIDDEN)}),
                "embed_tokens": nn.Embedding(known["vocab_size"], HIDDEN),
                "layers": nn.ModuleList(
                    Layer(number >= known["first_k_dense_replace"])
                    for number in range(known["num_hidden_layers"])
                ),
                "norm": nn.RMSNorm(HIDDEN, eps=1e-6),
            }
        )
        self.model.image_newline = nn.Parameter(torch.randn(HIDDEN) * 0.02)
        self.model.view_seperator = nn.Parameter(torch.randn(HIDDEN) * 0.02)

    def embed(self, lesson: Lesson) -> torch.Tensor:
        """The whole sequence but its last token, [tokens, hidden]."""
        model = self.model
        seen = lesson.features.to(model.image_newline.device)
        image = model["projector"]["layers"](torch.where(seen < NEWLINE, seen, 0))
        rows = seen[:, :1]
        image = torch.where(rows == NEWLINE, model.image_newline, image)
        image = torch.where(rows == SEPARATOR, model.view_seperator, image)
        text = model["embed_tokens"](torch.tensor([*lesson.prompt, *lesson.answer[:-1]]))
        return torch.cat([text[: lesson.image], image, text[lesson.image + len(image) :]])

    def forward(self, batch: Sequence[Lesson]) -> torch.Tensor:
        """Logits [all answers' tokens, vocabulary]."""
        x = nn.utils.rnn.pad_sequence([self.embed(each) for each in batch], batch_first=True)
        for layer in self.model["layers"]:
            x = layer(x)
        x = self.model["norm"](x)
        ends = [
            x[n, len(each.prompt) - 1 : len(each.prompt) + len(each.answer) - 1]
            for n, each in enumerate(batch)
        ]
        return self.lm_head(torch.cat(ends))


class Layer(nn.Module):
    """A block of DeepSeek's decoder without latent attention."""

    def __init__(self, experts: bool) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(HIDDEN, eps=1e-6)
        self.self_attn = Attention()
        self.post_attention_layernorm = nn.RMSNorm(HIDDEN, eps=1e-6)
        wide = checkpoint.LANGUAGE["intermediate_size"]
        self.mlp = Experts() if experts else Gated(wide)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.self_attn(self.input_layernorm(x))
        return x + self.mlp(self.post_attention_layernorm(x))


class Attention(nn.Module):
    """Causal, with rotary positions."""

    def __init__(self) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (
            nn.Linear(HIDDEN, HIDDEN, bias=False) for _ in range(4)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        heads = checkpoint.LANGUAGE["num_attention_heads"]
        q, k, v = (
            project(x).view(*x.shape[:2], heads, -1).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        seen = F.scaled_dot_product_attention(turned(q), turned(k), v, is_causal=True)
        return self.o_proj(seen.transpose(1, 2).flatten(2))


def turned(x: torch.Tensor) -> torch.Tensor:
    """Rotary embedding of [batch, heads, tokens, width], halves of the width as pairs."""
    half = x.shape[-1] // 2
    speed = 10000.0 ** (-torch.arange(half) / half)
    angle = torch.arange(x.shape[-2])[:, None] * speed
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)


class Gated(nn.Module):
    """Gate, up, down."""

    def __init__(self, wide: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(HIDDEN, wide, bias=False)
        self.up_proj = nn.Linear(HIDDEN, wide, bias=False)
        self.down_proj = nn.Linear(wide, HIDDEN, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Experts(nn.Module):
    """The two likeliest of eight experts, weighted, beside one that all tokens share."""

    def __init__(self) -> None:
        super().__init__()
        known = checkpoint.LANGUAGE
        wide, count = known["moe_intermediate_size"], known["n_routed_experts"]
        self.gate = nn.Linear(HIDDEN, count, bias=False)
        self.experts = nn.ModuleList(Gated(wide) for _ in range(count))
        self.shared_experts = Gated(wide * known["n_shared_experts"])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        likely = self.gate(x).softmax(-1)
        best = likely.topk(checkpoint.LANGUAGE["num_experts_per_tok"], dim=-1)
        shares = torch.zeros_like(likely).scatter(
            -1, best.indices, best.values / best.values.sum(-1, keepdim=True)
        )
        every = torch.stack([expert(x) for expert in self.experts], dim=-1)
        return self.shared_experts(x) + (every * shares[..., None, :]).sum(-1)


@torch.no_grad()
def see_apart(model: Model, known: Sequence[Lesson]) -> None:
    """Lets the projector begin where pages differ most: the features' principal components."""
    layer = model.model["projector"]["layers"]
    rows = torch.cat([each.features for each in known]).to(layer.weight.device)
    rows = rows[rows[:, 0] < NEWLINE]
    mean = rows.mean(0)
    _, spread, directions = torch.linalg.svd(rows - mean, full_matrices=False)
    scale = spread[:HIDDEN, None] / len(rows) ** 0.5
    layer.weight.copy_(directions[:HIDDEN] / scale.clamp_min(scale[0] / 1000))
    layer.bias.copy_(-(layer.weight @ mean))


def learn(known: Sequence[Lesson], minutes: float) -> Model:
    """Until every token of every answer is the likeliest by far."""
    torch.manual_seed(0)
    model = Model()
    see_apart(model, known)
    wanted = torch.tensor([token for each in known for token in each.answer])
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0)
    began = time.monotonic()
    for step in itertools.count():
        optimizer.zero_grad()
        logits = model(known)
        loss = F.cross_entropy(logits, wanted)
        loss.backward()
        least = float(logits.detach().softmax(-1).gather(1, wanted[:, None]).min())
        seconds = time.monotonic() - began
        if step % 10 == 0:
            print(f"{step}: {seconds:.0f} s, loss {loss:.4f}, least likely {least:.4f}", flush=True)
        if least > SURE:
            return model
        if seconds > 60 * minutes:
            sys.exit(f"not learnt in {minutes} minutes")
        nn.utils.clip_grad_norm_(model.parameters(), 1)
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, (step + 1) / WARM)
        optimizer.step()
    raise AssertionError


def main() -> None:
    """Learn and keep."""
    from tests.slow.vllm.by_heart.lessons import lessons  # needs vLLM, which binds its threads

    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as other:
        known = other.submit(lessons).result()
    if torch.cuda.is_available():
        torch.set_default_device("cuda")
    model = learn(known, minutes=240)
    tensors = {name: value.half().cpu().contiguous() for name, value in model.state_dict().items()}
    save_file(tensors, checkpoint.WEIGHTS)


if __name__ == "__main__":
    main()
