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

from ocrd.engine.models import profile_for, profile_named
from ocrd.engine.resident import VllmEngine
from ocrd.engine.resident.client import VllmClient, prompt
from ocrd.modes import BUILT_IN_MODES
from tests.slow.vllm.checkpoint import make, write_tokenizer
from tests.slow.vllm.engines import HANG_S, little, noise, settings
from tests.slow.vllm.test_processor import IMAGE_TOKEN, prepare, processor

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(2 * HANG_S)]

TOKENS = 6
CONTEXT = 4096
PAGE = (300, 200)  # pixels
PATCH = 14
OFFICES = ("<|endoftext|>", "<|eos|>", "<|pad|>")
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
LETTERS = sorted(pre_tokenizers.ByteLevel.alphabet())
QWEN = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
        "<|video_pad|>", "<|vision_pad|>")  # fmt: skip
DOTS = ("<|user|>", "<|endofuser|>", "<|assistant|>", "<|endofassistant|>", "<|img|>",
        "<|imgpad|>", "<|endofimg|>", "<|video_pad|>", "<|system|>", "<|endofsystem|>")  # fmt: skip
QWEN_CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% for c in m.content %}"
    "{% if c.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ c.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
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
        config: `config.json`; ids of special tokens are written as the tokens themselves.
        images: `preprocessor_config.json`.
        more: Other files, by name.
        options: What `[engine.options]` has to say.
        specials: Its own special tokens.
        chat: The template.
        seen: Pixels that the model must get of `PAGE`, across and down.
        image_tokens: That stand for it in the prompt.
        before: What precedes them.
        after: What follows; `{}` stands for the words of the mode.
    """

    profile: str
    config: Mapping[str, Any]
    images: Mapping[str, Any]
    specials: tuple[str, ...]
    chat: str
    seen: tuple[int, int]
    image_tokens: int
    before: str
    after: str
    more: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

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


MODELS = (
    # Sides are rounded to 28 pixels, a token for each such square.
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
        specials=QWEN,
        chat=QWEN_CHAT,
        seen=(308, 196),
        image_tokens=11 * 7,
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
        more={"configuration_dots.py": DOTS_CODE},
        options={"trust_remote_code": True},
        specials=DOTS,
        chat=DOTS_CHAT,
        seen=(308, 196),
        image_tokens=11 * 7,
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
        chat=QWEN_CHAT,
        seen=(308, 224),
        image_tokens=11 * 8,
        before="<|im_start|>user\n<|vision_start|>",
        after="<|vision_end|>{}<|im_end|>\n<|im_start|>assistant\n",
    ),
)


@asynccontextmanager
async def serving(model: Model, folder: Path) -> AsyncIterator[VllmEngine]:
    engine = VllmEngine(
        settings(model.make(folder)).changed(
            profile=model.profile,
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


@pytest.mark.parametrize("model", MODELS, ids=[model.profile for model in MODELS])
async def test_a_page_is_asked_for_and_seen_as_the_model_was_published(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    profile = profile_named(model.profile)
    asked = replace(little("page"), image=noise(1, *PAGE), mode=BUILT_IN_MODES["document"])
    expected = [
        *model.encoded(model.before),
        *[model.ids[profile.image_token]] * model.image_tokens,
        *model.encoded(model.after.format(profile.prompt(asked.mode))),
    ]
    async with serving(model, tmp_path) as engine:
        (client,) = [one.client for one in engine.supervisors]
        assert isinstance(client, VllmClient)
        inputs = (await client.prepare(asked)).inputs
        assert list(inputs["prompt_token_ids"]) == expected
        assert seen(inputs) == model.seen
        result = await engine.recognise(asked)
        assert (result.prompt_tokens, result.output_tokens) == (len(expected), TOKENS)


def seen(inputs: Any) -> tuple[int, int]:
    """Width and height of the image that the encoder gets."""
    (item,) = inputs["mm_kwargs"]["image"]
    if "image_grid_thw" in item:
        _, rows, columns = item["image_grid_thw"].data.tolist()
        return columns * PATCH, rows * PATCH
    height, width = item["pixel_values"].data.shape[-2:]
    return width, height


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
