"""The models beside DeepSeek-OCR: their real architectures, small, through the real vLLM.

Each checkpoint has the architecture, image processor and image token that were published, a chat
template in the form of its family, and random weights.  The tokenizer has a token for each byte, so
that a prompt's tokens can be counted by hand; the image's are those of the published preprocessing.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from tokenizers import pre_tokenizers
from transformers import AutoTokenizer

from ocrd.engine.models import profile_for, profile_named
from ocrd.engine.resident import VllmEngine
from ocrd.engine.resident.client import VllmClient
from ocrd.engine.resident.pages import prompt
from ocrd.modes import BUILT_IN_MODES
from tests.slow.vllm.checkpoint import make, write_tokenizer
from tests.slow.vllm.engines import HANG_S, little, noise, settings
from tests.slow.vllm.test_processor import IMAGE_TOKEN, prepare, processor

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(2 * HANG_S)]

TOKENS = 6
CONTEXT = 4096
PAGE = (300, 200)  # pixels
LETTER = (2550, 3300)  # at 300 dpi
OFFICES = ("<|endoftext|>", "<|eos|>", "<|pad|>")
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
LETTERS = sorted(pre_tokenizers.ByteLevel.alphabet())
QWEN = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
        "<|video_pad|>", "<|vision_pad|>", "<think>", "</think>")  # fmt: skip
DOTS = ("<|user|>", "<|endofuser|>", "<|assistant|>", "<|endofassistant|>", "<|img|>",
        "<|imgpad|>", "<|endofimg|>", "<|video_pad|>", "<|system|>", "<|endofsystem|>")  # fmt: skip
QWEN_CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% for c in m.content %}"
    "{% if c.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ c.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# It thinks where it is not told: a test would else not see that the profile's word gets there.
QWEN_3_5_CHAT = QWEN_CHAT.removesuffix("{% endif %}") + (
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n"
    "{% else %}<think>\n{% endif %}{% endif %}"
)
LIGHTON_CHAT = (
    "<|im_start|>system<|im_end|>\n{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% for c in m.content %}"
    "{% if c.type == 'image' %}<|image_pad|>{% else %}{{ c.text }}\n{% endif %}{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
DOTS_CHAT = (
    "{% for m in messages %}<|user|>{% for c in m.content %}"
    "{% if c.type == 'image' %}<|img|><|imgpad|><|endofimg|>"
    "{% else %}{{ c.text }}{% endif %}{% endfor %}<|endofuser|>{% endfor %}<|assistant|>"
)
# The published checkpoint brings this class along as code; vLLM's own copy stands for it.
DOTS_CODE = """\
from vllm.transformers_utils.configs.dotsocr import DotsOCRConfig as Known


class DotsOCRConfig(Known):
    pass
"""
TEXT: dict[str, Any] = {
    "vocab_size": 512,
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
    "bos_token_id": 256,
    "eos_token_id": 257,
}
# As in TEXT, and what makes it a Qwen3.5: three layers of linear attention before each full one.
# Heads have the published sizes, which its position code and vLLM's kernels ask for.
QWEN_3_5_TEXT = TEXT | {
    "model_type": "qwen3_5_text",
    "num_hidden_layers": 4,
    "head_dim": 256,
    "attn_output_gate": True,
    "full_attention_interval": 4,
    "layer_types": [*["linear_attention"] * 3, "full_attention"],
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
    "linear_num_key_heads": 2,
    "mamba_ssm_dtype": "float32",
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 1e7,
        "partial_rotary_factor": 0.25,
        "mrope_interleaved": True,
        "mrope_section": [11, 11, 10],
    },
}
QWEN_IMAGES = {
    "image_processor_type": "Qwen2VLImageProcessor",
    "patch_size": 14,
    "merge_size": 2,
    "temporal_patch_size": 2,
    "min_pixels": 3136,
    "max_pixels": 12845056,
}


@dataclass(frozen=True, kw_only=True)
class Model:
    """A checkpoint, and what is known of a page of some pixels.

    Attributes:
        profile: Its name.
        name: The model's, where a profile has several.
        config: `config.json`; ids of special tokens are written as the tokens themselves.
        images: `preprocessor_config.json`.
        square: Pixels across and down that one token of an image stands for.
        grids: Such squares across and down that the model must get of a page, by its pixels.
        more: Other files, by name.
        options: What `[engine.options]` has to say.
        dtype: What vLLM's CPU kernels can compute it in.
        specials: Its own special tokens.
        chat: The template.
        before: What precedes the image's tokens.
        after: What follows; `{}` stands for the words of the mode.
    """

    profile: str
    name: str = ""
    config: Mapping[str, Any]
    images: Mapping[str, Any]
    square: int
    grids: Mapping[tuple[int, int], tuple[int, int]]
    specials: tuple[str, ...]
    chat: str
    before: str
    after: str
    more: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    dtype: str = "float32"

    def make(self, folder: Path) -> Path:
        record = json.loads(json.dumps(self.config), object_hook=self._with_ids)
        files = {"config.json": record, "preprocessor_config.json": self.images, **self.more}
        for name, content in files.items():
            text = content if isinstance(content, str) else json.dumps(content)
            (folder / name).write_text(text, encoding="utf-8")
        write_tokenizer(folder, tuple(self.ids), begins=False, chat_template=self.chat)
        return folder

    @property
    def ids(self) -> dict[str, int]:
        """Of its special tokens."""
        return {token: 256 + number for number, token in enumerate(OFFICES + self.specials)}

    def encoded(self, text: str) -> list[int]:
        """Specials by their ids, everything else byte by byte."""
        found = list[int]()
        for part in re.split("(" + "|".join(map(re.escape, self.ids)) + ")", text):
            if part in self.ids:
                found.append(self.ids[part])
            elif part:
                found += map(LETTERS.index, BYTES.pre_tokenize_str(part)[0][0])
        return found

    def _with_ids(self, record: dict[str, Any]) -> dict[str, Any]:
        return {
            key: self.ids.get(value, value) if isinstance(value, str) else value
            for key, value in record.items()
        }


def qwen_3_5(size: str, value_heads: int) -> Model:
    """LightOnOCR-3 0.8B or 4B, whose linear attention has one or two values to a key.

    Sides are rounded to 32 pixels; a page has 65,536 pixels at least and 16,777,216 at most, so
    that one of 2048 pixels goes as it is.
    """
    return Model(
        profile="LightOnOCR-3",
        name=f"LightOnOCR-3-{size}",
        dtype="bfloat16",
        config={
            "architectures": ["Qwen3_5ForConditionalGeneration"],
            "model_type": "qwen3_5",
            "torch_dtype": "bfloat16",
            "tie_word_embeddings": True,
            "image_token_id": "<|image_pad|>",
            "video_token_id": "<|video_pad|>",
            "vision_start_token_id": "<|vision_start|>",
            "vision_end_token_id": "<|vision_end|>",
            "text_config": QWEN_3_5_TEXT | {"linear_num_value_heads": value_heads},
            "vision_config": {
                "model_type": "qwen3_5",
                "depth": 2,
                "hidden_size": 64,
                "hidden_act": "gelu_pytorch_tanh",
                "intermediate_size": 128,
                "num_heads": 2,
                "in_channels": 3,
                "patch_size": 16,
                "spatial_merge_size": 2,
                "temporal_patch_size": 2,
                "out_hidden_size": 128,
                "num_position_embeddings": 2304,
                "deepstack_visual_indexes": [],
            },
        },
        images={
            "image_processor_type": "Qwen2VLImageProcessorFast",
            "processor_class": "Qwen3VLProcessor",
            "patch_size": 16,
            "merge_size": 2,
            "temporal_patch_size": 2,
            "size": {"shortest_edge": 65536, "longest_edge": 16777216},
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5],
        },
        square=32,
        grids={
            PAGE: (10, 7),
            LETTER: (49, 64),
            (4096, 4096): (64, 64),
            (2048, 2048): (64, 64),
            (4000, 100): (64, 2),
        },
        specials=QWEN,
        chat=QWEN_3_5_CHAT,
        before="<|im_start|>user\n<|vision_start|>",
        after="<|vision_end|>{}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
    )


MODELS = (
    # Sides are rounded to 28 pixels.
    Model(
        profile="olmOCR-2",
        config=TEXT
        | {
            "architectures": ["Qwen2_5_VLForConditionalGeneration"],
            "model_type": "qwen2_5_vl",
            "torch_dtype": "float32",
            "image_token_id": "<|image_pad|>",
            "video_token_id": "<|video_pad|>",
            "vision_start_token_id": "<|vision_start|>",
            "vision_end_token_id": "<|vision_end|>",
            "rope_scaling": {"type": "mrope", "mrope_section": [4, 6, 6]},
            "rope_theta": 1e6,
            "vision_config": {
                "model_type": "qwen2_5_vl",
                "depth": 2,
                "hidden_size": 64,
                "intermediate_size": 128,
                "num_heads": 2,
                "out_hidden_size": 128,
                "patch_size": 14,
                "spatial_merge_size": 2,
                "temporal_patch_size": 2,
                "window_size": 112,
                "fullatt_block_indexes": [1],
                "tokens_per_second": 2,
            },
        },
        images=QWEN_IMAGES,
        square=28,
        grids={PAGE: (11, 7), LETTER: (36, 46)},
        specials=QWEN,
        chat=QWEN_CHAT,
        before="<|im_start|>user\n<|vision_start|>",
        after="<|vision_end|>{}<|im_end|>\n<|im_start|>assistant\n",
    ),
    Model(
        profile="dots.ocr",
        config=TEXT
        | {
            "architectures": ["DotsOCRForCausalLM"],
            "model_type": "dots_ocr",
            "auto_map": {"AutoConfig": "configuration_dots.DotsOCRConfig"},
            "torch_dtype": "float32",
            "image_token_id": "<|imgpad|>",
            "video_token_id": "<|video_pad|>",
            "vision_config": {
                "model_type": "dots_vit",
                "embed_dim": 64,
                "hidden_size": 128,
                "intermediate_size": 128,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "patch_size": 14,
                "spatial_merge_size": 2,
                "temporal_patch_size": 1,
            },
        },
        images=QWEN_IMAGES | {"temporal_patch_size": 1, "max_pixels": 11289600},
        square=28,
        grids={PAGE: (11, 7), LETTER: (91, 118)},
        more={"configuration_dots.py": DOTS_CODE},
        options={"trust_remote_code": True},
        specials=DOTS,
        chat=DOTS_CHAT,
        before="<|user|><|img|>",
        after="<|endofimg|>{}<|endofuser|><|assistant|>",
    ),
    # Pages are padded to 28 pixels, none is enlarged.
    Model(
        profile="LightOnOCR-3-1B",
        config={
            "architectures": ["LightOnOCRForConditionalGeneration"],
            "model_type": "mistral3",
            "torch_dtype": "float32",
            "image_token_id": "<|image_pad|>",
            "image_token_index": "<|image_pad|>",
            "spatial_merge_size": 2,
            "projector_hidden_act": "gelu",
            "multimodal_projector_bias": False,
            "vision_feature_layer": -1,
            "text_config": TEXT | {"model_type": "qwen3", "rope_theta": 1e6},
            "vision_config": {
                "model_type": "pixtral",
                "hidden_size": 64,
                "intermediate_size": 128,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "head_dim": 32,
                "image_size": 1540,
                "patch_size": 14,
                "rope_theta": 10000.0,
            },
        },
        images={
            "image_processor_type": "PixtralImageProcessor",
            "patch_size": 14,
            "size": {"longest_edge": 1540},
            "do_pad": True,
        },
        square=28,
        grids={PAGE: (11, 8), LETTER: (43, 55)},
        more={
            "processor_config.json": {
                "processor_class": "PixtralProcessor",
                "patch_size": 14,
                "spatial_merge_size": 2,
                "image_token": "<|image_pad|>",
                "image_break_token": "<|vision_pad|>",
                "image_end_token": "<|vision_end|>",
            }
        },
        specials=QWEN,
        chat=LIGHTON_CHAT,
        before="<|im_start|>system<|im_end|>\n<|im_start|>user\n",
        after="{}\n<|im_end|>\n<|im_start|>assistant\n",
    ),
    *map(qwen_3_5, ("4B", "0.8B"), (4, 2)),
)
SERVED = MODELS[:-1]  # of those that differ in one number, one


@asynccontextmanager
async def serving(model: Model, folder: Path) -> AsyncIterator[VllmEngine]:
    engine = VllmEngine(
        settings(model.make(folder)).changed(
            profile=model.profile,
            dtype=model.dtype,
            devices=[0],
            sampling={"ignore_eos": True, "max_tokens": TOKENS, "min_tokens": TOKENS},
            max_model_len=CONTEXT,
            max_num_batched_tokens=CONTEXT,
            options={
                "enforce_eager": True,
                "distributed_executor_backend": "uni",
                **model.options,
            },
        )
    )
    await engine.start(lambda _stage: None)
    try:
        yield engine
    finally:
        await engine.stop()


def name(model: Model) -> str:
    return model.name or model.profile


def asked_of(model: Model, words: str, page: tuple[int, int]) -> list[int]:
    """The tokens that a model must get of a page."""
    columns, rows = model.grids[page]
    image = [model.ids[profile_named(model.profile).image_token]] * (columns * rows)
    return [*model.encoded(model.before), *image, *model.encoded(model.after.format(words))]


@pytest.mark.parametrize("model", SERVED, ids=name)
async def test_a_page_is_asked_for_and_seen_as_the_model_was_published(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    profile = profile_named(model.profile)
    asked = replace(little("page"), image=noise(1, *PAGE), mode=BUILT_IN_MODES["document"])
    expected = asked_of(model, profile.prompt(asked.mode), PAGE)
    async with serving(model, tmp_path) as engine:
        (client,) = [one.client for one in engine.supervisors]
        assert isinstance(client, VllmClient)
        inputs = (await client.prepare(asked)).inputs
        assert list(inputs["prompt_token_ids"]) == expected
        (item,) = inputs["mm_kwargs"]["image"]
        assert seen({name: element.data for name, element in item.items()}) == model.grids[PAGE]
        result = await engine.recognise(asked)
        assert (result.prompt_tokens, result.output_tokens) == (len(expected), TOKENS)


def seen(tensors: Mapping[str, Any], merged: int = 2, square: int = 28) -> tuple[int, int]:
    """Squares across and down of the image that the encoder gets."""
    if "image_grid_thw" in tensors:
        _, rows, columns = tensors["image_grid_thw"].tolist()
        return columns // merged, rows // merged
    height, width = tensors["pixel_values"].shape[-2:]
    return width // square, height // square


@pytest.mark.parametrize("model", MODELS, ids=name)
def test_pages_of_any_size_reach_the_model_as_it_was_published(
    model: Model, tmp_path: Path
) -> None:
    """Without an engine: what a page becomes in `wanted_size` and the model's own processor."""
    profile, mode = profile_named(model.profile), BUILT_IN_MODES["document"]
    folder = model.make(tmp_path)
    process = processor(folder, None, **model.options)
    tokenizer = AutoTokenizer.from_pretrained(folder, **model.options)
    for page, grid in model.grids.items():
        asked = replace(little("page"), image=noise(1, *page), mode=mode)
        made = prompt(asked, profile, asked.resolution, tokenizer)
        height, width, _ = made["multi_modal_data"]["image"].shape
        found, place, tensors = prepare(process, made["prompt"], (width, height), None)
        assert seen(tensors) == grid, page
        assert place == grid[0] * grid[1]
        assert found == asked_of(model, profile.prompt(mode), page)


@pytest.mark.parametrize(("size", "image_tokens"), [((300, 200), 273), ((1224, 1584), 1513)])
def test_unlimited_ocr_sees_a_letter_page_in_twelve_tiles(
    size: tuple[int, int], image_tokens: int, tmp_path: Path
) -> None:
    """Without an engine: its encoders have their full size, and take minutes on a CPU.

    A letter page is nearest to 3 by 4 tiles of up to 32: 273 + 10 * 4 * (10 * 3 + 1) tokens.
    """
    make(tmp_path, architecture="UnlimitedOCRForCausalLM", model_type="unlimited-ocr")
    asked = replace(little("page"), image=noise(1, *size), mode=BUILT_IN_MODES["document"])
    profile = profile_for("m", ["UnlimitedOCRForCausalLM"])
    made = prompt(asked, profile, asked.resolution)
    assert made["mm_processor_kwargs"] == {}
    found, place, _ = prepare(processor(tmp_path, None), made["prompt"], size, None)
    words = [LETTERS.index(one) for one in BYTES.pre_tokenize_str("document parsing.")[0][0]]
    assert found == [256, *[IMAGE_TOKEN] * image_tokens, *words]
    assert place == image_tokens
