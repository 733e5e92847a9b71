"""A checkpoint folder of the real architecture, small and with random weights, made on the spot.

The language model is shrunk to two layers; the vision encoders keep their size, because vLLM
builds them so.  vLLM fills in the weights itself (`load_format="dummy"`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SPECIALS = (
    "<｜begin▁of▁sentence｜>",  # noqa: RUF001 - the model's own spelling
    "<｜end▁of▁sentence｜>",  # noqa: RUF001 - the model's own spelling
    "<｜▁pad▁｜>",  # noqa: RUF001 - the model's own spelling
    "<image>",
    "<|ref|>",
    "<|/ref|>",
    "<|det|>",
    "<|/det|>",
    "<|grounding|>",
    "<td>",
    "</td>",
    "<tr>",
    "</tr>",
    "<|User|>",
    "<|Assistant|>",
)
VOCABULARY = 512  # 256 bytes, the specials, and room that no text encodes to
HIDDEN = 256

LANGUAGE: dict[str, Any] = {
    "architectures": ["DeepseekV2ForCausalLM"],
    "model_type": "deepseek_v2",
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "intermediate_size": 512,
    "moe_intermediate_size": 64,
    "n_routed_experts": 8,
    "n_shared_experts": 2,
    "num_experts_per_tok": 2,
    "first_k_dense_replace": 1,
    "moe_layer_freq": 1,
    "n_group": 1,
    "topk_group": 1,
    "topk_method": "greedy",
    "use_mla": False,
    "kv_lora_rank": None,
    "q_lora_rank": None,
    "qk_nope_head_dim": 0,
    "qk_rope_head_dim": 0,
    "v_head_dim": 0,
    "max_position_embeddings": 8192,
    "torch_dtype": "float32",
    "bos_token_id": 256,
    "eos_token_id": 257,
}
# The published model, for measuring speed: the same keys, the true sizes.
FULL_LANGUAGE: dict[str, Any] = LANGUAGE | {
    "vocab_size": 129280,
    "hidden_size": 1280,
    "num_hidden_layers": 12,
    "num_attention_heads": 10,
    "num_key_value_heads": 10,
    "intermediate_size": 6848,
    "moe_intermediate_size": 896,
    "n_routed_experts": 64,
    "num_experts_per_tok": 6,
    "torch_dtype": "bfloat16",
}
# Features that reach the projector: SAM beside CLIP (1024 + 1024), or Qwen2 alone.
ARCHITECTURES = {
    "DeepseekOCRForCausalLM": 2048,
    "DeepseekOCR2ForCausalLM": 896,
    "UnlimitedOCRForCausalLM": 2048,
}


def make(
    folder: Path,
    *,
    architecture: str = "DeepseekOCRForCausalLM",
    model_type: str = "deepseek_vl_v2",
    language: dict[str, Any] = LANGUAGE,
) -> Path:
    """Write `config.json` and a byte-level tokenizer into `folder`, and return it.

    Args:
        folder: Made if missing.
        architecture: One of `ARCHITECTURES`.
        model_type: As its `config.json` has it.
        language: The language model; with `FULL_LANGUAGE`, 3.3 billion parameters in all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "architectures": [architecture],
        "model_type": model_type,
        "tile_tag": "2D",
        "global_view_pos": "head",
        "candidate_resolutions": [[1024, 1024]],
        "torch_dtype": language["torch_dtype"],
        "bos_token_id": 256,
        "eos_token_id": 257,
        "vision_config": {"model_type": "vision", "image_size": 1024},
        "projector_config": {
            "model_type": "mlp_projector",
            "projector_type": "linear",
            "input_dim": ARCHITECTURES[architecture],
            "n_embed": language["hidden_size"],
        },
        "language_config": language,
    }
    _write(folder / "config.json", config)
    _write(folder / "generation_config.json", {"bos_token_id": 256, "eos_token_id": 257})
    write_tokenizer(folder)
    return folder


def _write(path: Path, record: dict[str, Any]) -> None:
    path.write_text(json.dumps(record, ensure_ascii=False, indent=1), encoding="utf-8")


def write_tokenizer(
    folder: Path, specials: tuple[str, ...] = SPECIALS, *, begins: bool = True, **more: Any
) -> None:
    """A token for each byte, and one for each special, of which the first three have an office.

    Args:
        folder: Where to.
        specials: Begin, end, padding, then any.
        begins: Whether every text gets the first of them before it.
        more: For `tokenizer_config.json`.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(
        models.BPE(vocab={letter: n for n, letter in enumerate(letters)}, merges=[])
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in specials])
    bos, eos, pad = specials[:3]
    if begins:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, 256)]
        )
    tokenizer.save(str(folder / "tokenizer.json"))
    _write(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": bos,
            "eos_token": eos,
            "pad_token": pad,
            "add_bos_token": begins,
            "model_max_length": 8192,
            "clean_up_tokenization_spaces": False,
            **more,
        },
    )
