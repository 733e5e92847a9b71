"""What may be set, and how that becomes vLLM's own arguments."""

from dataclasses import dataclass, replace
from typing import Any

import pytest

from ocrd.engine.models import DEEPSEEK_OCR, DEEPSEEK_OCR_2, LIGHTON_OCR_3, ModelProfile
from ocrd.engine.resident.preflight import Vllm, check_options
from ocrd.engine.resident.settings import (
    Place,
    VllmSettings,
    alone,
    engine_arguments,
    graph_sizes,
    view,
)
from ocrd.errors import EngineSetupError
from ocrd.modes import RESOLUTIONS, Resolution

SETTINGS = VllmSettings(model="deepseek-ai/DeepSeek-OCR")
CARD = Place("gpu:0", memory_mib=81_559)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"enable_prefix_caching": False, "mm_processor_cache_gb": 0}),  # pages share nothing
        ({"max_pages_in_flight": 100}, {"max_num_seqs": 100}),
        ({"options": {"seed": 7, "enforce_eager": True}}, {"seed": 7, "enforce_eager": True}),
    ],
)
def test_what_is_set_reaches_vllm_and_options_win(
    given: dict[str, Any], expected: dict[str, Any]
) -> None:
    arguments = engine_arguments(SETTINGS.changed(**given), DEEPSEEK_OCR, CARD)
    assert {name: arguments[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("given", "model", "kept"),
    [
        ({}, DEEPSEEK_OCR, (1024, 640, 9)),
        (
            {"resolutions": (RESOLUTIONS["small"], RESOLUTIONS["base"])},
            DEEPSEEK_OCR,
            (1024, 1024, 0),
        ),
        ({"resolution": "small"}, DEEPSEEK_OCR, (640, 640, 0)),  # all pages are seen so
        ({}, DEEPSEEK_OCR_2, (1024, 768, 9)),  # it tiles in its own size
    ],
)
def test_memory_is_kept_for_the_costliest_page_that_may_come(
    given: dict[str, Any], model: ModelProfile, kept: tuple[int, int, int]
) -> None:
    arguments = engine_arguments(SETTINGS.changed(**given), model, CARD)
    names = ("base_size", "image_size", "max_crops")
    assert arguments["mm_processor_kwargs"] == dict(zip(names, kept, strict=True))


def test_an_engine_is_put_on_its_device() -> None:
    assert engine_arguments(SETTINGS, DEEPSEEK_OCR, Place("gpu:3", 3))["device_ids"] == [3]
    named = Place("gpu:3", 3, uuid="GPU-8f2a")
    for place in (CARD, named):
        assert "device_ids" not in engine_arguments(SETTINGS, DEEPSEEK_OCR, place)
    assert alone(SETTINGS, named) == {"CUDA_VISIBLE_DEVICES": "GPU-8f2a"}
    for option in ({"tensor_parallel_size": 2}, {"device_ids": [0, 1]}):
        wide = SETTINGS.changed(options=option)
        assert alone(wide, named) == {}, "it needs the others, too"
        assert engine_arguments(wide, DEEPSEEK_OCR, named)["device_ids"]


def test_logits_processors_in_options_come_beside_the_guard() -> None:
    options = {"logits_processors": ["package.module:Class"]}
    arguments = engine_arguments(SETTINGS.changed(options=options), DEEPSEEK_OCR, CARD)
    assert arguments["logits_processors"] == [
        "ocrd.engine.deepseek.guard:NgramGuard",
        "package.module:Class",
    ]


# Tokens of a letter page by the published formula: tiny 73, small 111, base 273, large 421, gundam
# 273 + 10 h (10 w + 1) = 903 with 2 x 3 tiles; and 40 for the words of the prompt.
@pytest.mark.parametrize(
    ("folders", "beyond"),
    [
        (["gundam"], [1200, 2144, 3088]),
        (["tiny"], []),
        (["base"], [576, 896, 1200]),
        (["tiny", "gundam"], [608, 1200, 2144, 3088]),
        (["large", "gundam"], [720, 1184, 1200, 1648, 2144, 3088]),
    ],
)
def test_steps_that_take_in_up_to_three_pages_have_graphs(
    folders: list[str], beyond: list[int]
) -> None:
    offered = tuple(RESOLUTIONS[name] for name in folders)
    sizes = graph_sizes(SETTINGS.changed(resolutions=offered), DEEPSEEK_OCR)
    assert [size for size in sizes if size > 512] == (beyond or [608])
    assert {1, 2, 4, 8, 248, 256, 272, 512} <= set(sizes), "the usual ones stay"


def test_no_graph_is_recorded_for_more_than_a_step_can_hold() -> None:
    sizes = graph_sizes(SETTINGS.changed(max_num_batched_tokens=2048), DEEPSEEK_OCR)
    assert max(sizes) <= 2048
    odd = graph_sizes(SETTINGS.changed(max_num_seqs=100), DEEPSEEK_OCR)
    assert 100 in odd, "the steps of a full engine are the most frequent"
    few = SETTINGS.changed(max_num_seqs=16, resolutions=(RESOLUTIONS["gundam"],))
    assert graph_sizes(few, DEEPSEEK_OCR) == [1, 2, 4, 8, 16, 24, 32, 960, 1904, 2848]


@pytest.mark.parametrize(
    "given",
    [
        {"cudagraph_capture_sizes": [1, 8]},
        {"max_cudagraph_capture_size": 512},
        {"cudagraph_mode": "NONE"},
        '{"mode": 3}',
        {"mode": 3},
    ],
)
def test_what_the_operator_says_of_graphs_or_else_of_compilation_stays(given: Any) -> None:
    options = {"compilation_config": given}
    made = engine_arguments(SETTINGS.changed(options=options), DEEPSEEK_OCR, CARD)
    if given == {"mode": 3}:
        assert 1200 in made["compilation_config"].pop("cudagraph_capture_sizes")
    assert made["compilation_config"] == given


@pytest.mark.parametrize(
    ("options", "model", "place"),
    [
        ({"enforce_eager": True}, DEEPSEEK_OCR, CARD),
        ({}, DEEPSEEK_OCR, Place("cpu", gpu=False)),
        ({}, LIGHTON_OCR_3, CARD),  # nobody can count its tokens: vLLM's own graphs
    ],
)
def test_where_graphs_are_no_use_none_are_asked_for(
    options: dict[str, Any], model: ModelProfile, place: Place
) -> None:
    made = engine_arguments(SETTINGS.changed(options=options), model, place)
    assert "compilation_config" not in made


def test_two_engines_on_a_card_have_half_of_its_memory_each() -> None:
    half = replace(CARD, sharing=2)
    arguments = engine_arguments(SETTINGS, DEEPSEEK_OCR, half)
    assert arguments["gpu_memory_utilization"] == 0.45
    taken = arguments["kv_cache_memory_bytes"] / 2**20
    assert 16_384 < taken < 0.45 * 81_559 - 10_000, "room for 256 pages, and for the weights"
    assert "kv_cache_memory_bytes" not in engine_arguments(SETTINGS, DEEPSEEK_OCR, CARD)


@dataclass
class Arguments:
    """Of vLLM's, two."""

    enforce_eager: bool = False
    seed: int = 0


class Params:
    __struct_fields__ = ("temperature", "top_p")


@pytest.mark.parametrize(
    ("section", "wrong", "right"),
    [("options", "enforce_eagre", "enforce_eager"), ("sampling", "temprature", "temperature")],
)
def test_a_misspelt_option_names_the_nearest(section: str, wrong: str, right: str) -> None:
    vllm = Vllm(None, Arguments, Params, None, RuntimeError)
    check_options(SETTINGS.changed(**{section: {right: 1}}), vllm)
    with pytest.raises(EngineSetupError) as error:
        check_options(SETTINGS.changed(**{section: {right: 1, wrong: 1}}), vllm)
    assert f"engine.{section} has {wrong!r}" in error.value.message
    assert f"Did you mean {right!r}?" in error.value.hint


def test_workers_default_to_the_cores_but_never_more_than_16() -> None:
    assert 1 <= SETTINGS.renderers <= 8
    assert SETTINGS.changed(renderer_workers=5).renderers == 5
    usual = SETTINGS.renderers
    assert [SETTINGS.beside(n).renderers for n in (1, 100)] == [max(usual, 2), 2]
    assert SETTINGS.changed(renderer_workers=5).beside(4).renderers == 5, "as it was asked for"


NINE = replace(RESOLUTIONS["gundam"], max_crops=9)
FOUR = replace(RESOLUTIONS["gundam"], max_crops=4)


@pytest.mark.parametrize(
    ("room", "crops", "asked", "seen"),
    [
        ("gundam", 9, RESOLUTIONS["large"], RESOLUTIONS["large"]),
        ("gundam", 9, RESOLUTIONS["tiny"], RESOLUTIONS["tiny"]),
        ("base", 9, RESOLUTIONS["gundam"], RESOLUTIONS["base"]),
        ("large", 9, RESOLUTIONS["gundam"], RESOLUTIONS["large"]),
        ("base", 9, RESOLUTIONS["large"], RESOLUTIONS["base"]),
        ("gundam", 9, NINE, RESOLUTIONS["gundam"]),  # fewer tiles
        ("gundam", 4, RESOLUTIONS["gundam"], FOUR),
    ],
)
def test_a_page_is_seen_as_nearly_as_asked_as_there_is_room(
    room: str, crops: int, asked: Resolution, seen: Resolution
) -> None:
    settings = SETTINGS.changed(resolutions=(RESOLUTIONS[room],), max_crops=crops)
    assert view(settings, DEEPSEEK_OCR, asked) == seen
