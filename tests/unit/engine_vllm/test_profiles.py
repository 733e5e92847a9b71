"""Another model is another entry of data."""

from dataclasses import Field, fields, replace
from typing import Any

import pytest

from ocrd.engine import models
from ocrd.engine.models import DEEPSEEK_OCR, DEEPSEEK_OCR_2, PROFILES, ModelProfile, profile_for
from ocrd.engine.resident.pages import check_tokens, prompt
from ocrd.engine.resident.settings import Place, VllmSettings, engine_arguments, sampling
from ocrd.errors import EngineSetupError
from ocrd.modes import BUILT_IN_MODES, RESOLUTIONS, AnswerFormat, Guard, PromptMode
from tests.unit.engine_vllm.fakes import page

PADDLE = ModelProfile(
    name="PaddleOCR-VL",
    architectures=("PaddleOCRVLForConditionalGeneration",),
    template="User: <|IMAGE_START|><|IMAGE_PLACEHOLDER|><|IMAGE_END|>{prompt}\nAssistant: ",
    image_token="<|IMAGE_PLACEHOLDER|>",
    prompts={"ocr": "OCR:", "table": "Table Recognition:", "figure": "Chart Recognition:"},
    coordinate_scale=None,
    longest_side=1600,
)


@pytest.mark.parametrize("field", fields(ModelProfile), ids=lambda field: field.name)
def test_a_profile_says_nothing_that_no_shipped_model_needs(field: Field[Any]) -> None:
    assert len({repr(getattr(profile, field.name)) for profile in PROFILES}) > 1


def test_an_unknown_model_is_told_with_those_that_are_known() -> None:
    with pytest.raises(EngineSetupError) as error:
        profile_for("some/model", ["LlamaForCausalLM"])
    assert "LlamaForCausalLM" in error.value.message
    assert "DeepSeek-OCR-2" in error.value.hint


def test_deepseek_serves_every_mode_but_one_with_an_image_token_of_its_own() -> None:
    twice = PromptMode(name="mine", prompt="<image>Read.", answers=AnswerFormat.PLAIN)
    for profile in (DEEPSEEK_OCR, DEEPSEEK_OCR_2):
        assert [profile.unsupported(mode) for mode in BUILT_IN_MODES.values()] == [None] * 6
        assert "<image>" in (profile.unsupported(twice) or "")


def test_another_model_needs_only_its_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "PROFILES", (*PROFILES, PADDLE))
    profile = profile_for("m", ["PaddleOCRVLForConditionalGeneration"])
    made = prompt(page(mode="ocr"), profile, profile.seen(RESOLUTIONS["gundam"]))
    assert made["prompt"] == (
        "User: <|IMAGE_START|><|IMAGE_PLACEHOLDER|><|IMAGE_END|>OCR:\nAssistant: "
    )
    assert made["mm_processor_kwargs"] == {}
    check_tokens(700, profile.image_tokens(RESOLUTIONS["gundam"], 100, 100), room=50)
    chosen = sampling(page(mode="ocr"), profile, VllmSettings(model="m"), room=8000)
    assert chosen["max_tokens"] == 8000
    assert "extra_args" not in chosen, "the guard is not part of that model's engine"
    arguments = engine_arguments(VllmSettings(model="m"), profile, Place("gpu"))
    assert arguments["logits_processors"] == []


def test_another_model_serves_its_modes_and_the_operators_own() -> None:
    assert PADDLE.unsupported(BUILT_IN_MODES["ocr"]) is None
    assert "figure, ocr, table" in (PADDLE.unsupported(BUILT_IN_MODES["locate"]) or "")
    own = PromptMode(name="receipt", prompt="Read the receipt.", answers=AnswerFormat.PLAIN)
    assert PADDLE.unsupported(own) is None
    assert PADDLE.words(own).endswith("Read the receipt.\nAssistant: ")


def test_coordinates_run_to_the_models_scale_or_to_the_pixels_it_sees() -> None:
    assert DEEPSEEK_OCR.scale(1224, 1584) == (999, 999)
    assert PADDLE.scale(1224, 1584) == (1224, 1584)


QWEN = "Qwen2_5_VLForConditionalGeneration"  # an architecture of several families


@pytest.mark.parametrize(
    ("model", "architecture", "name"),
    [
        ("m", "DeepseekOCRForCausalLM", "DeepSeek-OCR"),
        ("m", "DeepseekOCR2ForCausalLM", "DeepSeek-OCR-2"),
        ("lightonai/LightOnOCR-3-1B", QWEN, "LightOnOCR-3-1B"),
        ("lightonai/LightOnOCR-3-4B", QWEN, "LightOnOCR-3"),
        ("richardyoung/lightonocr-3-0.8b:latest", QWEN, "LightOnOCR-3"),
        ("baidu/Unlimited-OCR", QWEN, "Unlimited-OCR"),
        ("rednote-hilab/dots.ocr", QWEN, "dots.ocr"),
        ("allenai/olmOCR-2-7B-1025-FP8", QWEN, "olmOCR-2"),
        ("deepseek-ocr:3b", QWEN, "DeepSeek-OCR"),
        ("/models/DeepSeek-OCR-2", QWEN, "DeepSeek-OCR-2"),
    ],
)
def test_a_model_is_known_by_its_architecture_or_its_name(
    model: str, architecture: str, name: str
) -> None:
    assert profile_for(model, [architecture]).name == name


def test_a_profile_can_be_named_and_wins_over_what_the_model_is() -> None:
    assert profile_for("m", ["DeepseekOCRForCausalLM"], chosen="markdown").name == "Markdown"
    with pytest.raises(EngineSetupError, match=r"engine\.profile is 'dots'") as refused:
        profile_for("m", [], chosen="dots")
    assert "dots.ocr" in refused.value.hint


def test_a_chat_model_is_asked_through_its_tokenizers_template() -> None:
    class Tokenizer:
        def apply_chat_template(self, messages: list[Any], **told: Any) -> str:
            (kinds,) = [[part["type"] for part in message["content"]] for message in messages]
            return f"{kinds} {messages[0]['content'][1]['text']} {told}"

    profile = profile_for("LightOnOCR-3-4B", [])
    made = prompt(page(), profile, RESOLUTIONS["gundam"], Tokenizer())["prompt"]
    assert made.startswith("['image', 'text'] grounding")
    assert "'add_generation_prompt': True, 'enable_thinking': False" in made


def test_the_new_models_are_asked_as_they_were_published() -> None:
    """By what their makers wrote: words, chat, sides, coordinates, sampling."""
    document = BUILT_IN_MODES["document"]
    assert profile_for("Unlimited-OCR", []).words(document) == "<image>document parsing."
    for model, side, told in (
        ("LightOnOCR-3-0.8B", 2048, {"enable_thinking": False}),
        ("LightOnOCR-3-4B", 2048, {"enable_thinking": False}),
        ("LightOnOCR-3-1B", 1540, {}),
    ):
        profile = profile_for(model, [])
        assert (profile.words(document), profile.longest_side) == ("grounding", side)
        assert (dict(profile.chat), dict(profile.sampling)) == (told, {"temperature": 0.1})
        assert profile.scale(1700, 2200) == (1000, 1000)
    assert profile_for("dots.ocr", []).scale(1680, 2184) == (1680, 2184), "pixels of what it sees"


def test_the_guard_of_a_model_stands_for_the_usual_one_only() -> None:
    unlimited = profile_for("Unlimited-OCR", [])
    assert unlimited.guard_of(BUILT_IN_MODES["ocr"]) == Guard(ngram=35, window=128)
    strong = replace(BUILT_IN_MODES["ocr"], guard=Guard(ngram=20, window=50))
    assert unlimited.guard_of(strong) == strong.guard
    assert profile_for("dots.ocr", []).guard_of(strong) is None
