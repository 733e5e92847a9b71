"""What may be set, and how that becomes vLLM's own arguments."""

from dataclasses import replace

import pytest

from ocrd.engine.models import DEEPSEEK_OCR, DEEPSEEK_OCR_2
from ocrd.engine.resident.settings import VllmSettings, check_names, engine_arguments, view
from ocrd.errors import EngineSetupError
from ocrd.modes import RESOLUTIONS, Resolution

SETTINGS = VllmSettings(model="deepseek-ai/DeepSeek-OCR")


def test_caches_that_pages_never_share_are_off() -> None:
    arguments = engine_arguments(SETTINGS, DEEPSEEK_OCR, None)
    assert arguments["enable_prefix_caching"] is False
    assert arguments["mm_processor_cache_gb"] == 0


def test_an_engine_is_put_on_its_device() -> None:
    assert engine_arguments(SETTINGS, DEEPSEEK_OCR, 3)["device_ids"] == [3]
    assert "device_ids" not in engine_arguments(SETTINGS, DEEPSEEK_OCR, None)


def test_memory_is_kept_for_the_costliest_page_that_may_come() -> None:
    arguments = engine_arguments(SETTINGS, DEEPSEEK_OCR, None)
    assert arguments["mm_processor_kwargs"] == {
        "base_size": 1024,
        "image_size": 640,
        "max_crops": 9,
    }
    fewer = replace(SETTINGS, resolutions=(RESOLUTIONS["small"], RESOLUTIONS["base"]))
    kwargs = engine_arguments(fewer, DEEPSEEK_OCR, None)["mm_processor_kwargs"]
    assert kwargs == {"base_size": 1024, "image_size": 1024, "max_crops": 0}


def test_a_smaller_resolution_for_all_needs_less_memory() -> None:
    lowered = replace(SETTINGS, resolution="small")
    kwargs = engine_arguments(lowered, DEEPSEEK_OCR, None)["mm_processor_kwargs"]
    assert kwargs == {"base_size": 640, "image_size": 640, "max_crops": 0}


def test_the_second_model_tiles_in_its_own_size() -> None:
    kwargs = engine_arguments(SETTINGS, DEEPSEEK_OCR_2, None)["mm_processor_kwargs"]
    assert kwargs["image_size"] == 768


def test_options_win_over_ours() -> None:
    arguments = engine_arguments(
        replace(SETTINGS, options={"seed": 7, "enforce_eager": True}), DEEPSEEK_OCR, None
    )
    assert (arguments["seed"], arguments["enforce_eager"]) == (7, True)


def test_logits_processors_in_options_come_beside_the_guard() -> None:
    options = {"logits_processors": ["package.module:Class"]}
    arguments = engine_arguments(replace(SETTINGS, options=options), DEEPSEEK_OCR, None)
    assert arguments["logits_processors"] == [
        "ocrd.engine.deepseek.guard:NgramGuard",
        "package.module:Class",
    ]


def test_no_more_sequences_than_pages_in_flight() -> None:
    arguments = engine_arguments(replace(SETTINGS, max_pages_in_flight=100), DEEPSEEK_OCR, None)
    assert arguments["max_num_seqs"] == 100


def test_tiles_are_capped() -> None:
    seen = replace(SETTINGS, max_crops=4).seen(RESOLUTIONS["gundam"])
    assert (seen.name, seen.tile, seen.max_crops) == ("gundam", 640, 4)
    assert SETTINGS.seen(RESOLUTIONS["gundam"]) == RESOLUTIONS["gundam"]


def test_a_misspelt_option_names_the_nearest() -> None:
    with pytest.raises(EngineSetupError) as error:
        check_names("options", {"enforce_eagre": True}, {"enforce_eager", "seed"})
    assert "enforce_eagre" in error.value.message
    assert "enforce_eager" in error.value.hint


def test_workers_default_to_the_cores_but_never_more_than_16() -> None:
    assert 1 <= SETTINGS.renderers <= 8
    assert replace(SETTINGS, renderer_workers=5).renderers == 5


@pytest.mark.parametrize(
    ("room", "asked", "seen"),
    [
        ("gundam", "large", RESOLUTIONS["large"]),
        ("gundam", "tiny", RESOLUTIONS["tiny"]),
        ("base", "gundam", RESOLUTIONS["base"]),
        ("large", "gundam", RESOLUTIONS["large"]),
        ("base", "large", RESOLUTIONS["base"]),
    ],
)
def test_a_page_is_seen_as_nearly_as_asked_as_there_is_room(
    room: str, asked: str, seen: Resolution
) -> None:
    settings = replace(SETTINGS, resolutions=(RESOLUTIONS[room],))
    assert view(settings, DEEPSEEK_OCR, RESOLUTIONS[asked]) == seen


def test_a_page_may_get_fewer_tiles_than_asked() -> None:
    settings = replace(SETTINGS, resolutions=(RESOLUTIONS["gundam"],))
    nine = replace(RESOLUTIONS["gundam"], max_crops=9)
    assert view(settings, DEEPSEEK_OCR, nine) == RESOLUTIONS["gundam"]
