"""What is given up when the GPU's memory does not suffice."""

from ocrd.engine.resident.faults import Shortage, next_step
from ocrd.engine.resident.settings import VllmSettings
from ocrd.modes import RESOLUTIONS


def steps(settings: VllmSettings, shortage: Shortage) -> list[str]:
    notes = []
    while (step := next_step(settings, shortage)) is not None:
        notes.append(step.note)
        settings = step.settings
    return notes


def test_the_order_is_that_of_the_deployment_guide() -> None:
    settings = VllmSettings(model="m", max_crops=6, max_pages_in_flight=100)
    assert steps(settings, Shortage.CARD) == [
        "gpu_memory_utilization 0.9 -> 0.75",
        "gpu_memory_utilization 0.75 -> 0.65",
        "gpu_memory_utilization 0.65 -> 0.6",
        "max_crops 6 -> 4",
        "max_crops 4 -> 2",
        "max_pages_in_flight 100 -> 50",
        "max_pages_in_flight 50 -> 25",
        "max_pages_in_flight 25 -> 16",
        "resolution -> small",
    ]


def test_pages_that_only_wait_are_not_counted_as_given_up() -> None:
    settings = VllmSettings(model="m", max_crops=2, max_pages_in_flight=512, max_num_seqs=100)
    assert steps(settings, Shortage.CACHE)[:2] == [
        "max_pages_in_flight 512 -> 50",
        "max_pages_in_flight 50 -> 25",
    ]


def test_a_cache_without_room_is_not_helped_by_a_smaller_share_of_the_card() -> None:
    settings = VllmSettings(model="m", max_crops=2, max_pages_in_flight=16)
    assert steps(settings, Shortage.CACHE) == ["resolution -> small"]


def test_settings_below_the_first_rung_go_on_from_where_they_are() -> None:
    settings = VllmSettings(
        model="m", gpu_memory_utilization=0.62, max_crops=3, max_pages_in_flight=8
    )
    assert steps(settings, Shortage.CARD) == [
        "gpu_memory_utilization 0.62 -> 0.6",
        "max_crops 3 -> 2",
        "resolution -> small",
    ]


def test_what_no_page_asks_for_is_not_given_up() -> None:
    """Fewer tiles or a smaller view save nothing where the folders have neither."""
    plain = VllmSettings(
        model="m",
        gpu_memory_utilization=0.6,
        max_pages_in_flight=16,
        resolutions=(RESOLUTIONS["tiny"], RESOLUTIONS["small"]),
    )
    assert steps(plain, Shortage.CARD) == []
    base = plain.changed(resolutions=(RESOLUTIONS["base"],))
    assert steps(base, Shortage.CARD) == ["resolution -> small"]
    gundam = plain.changed(resolutions=(RESOLUTIONS["gundam"],))
    assert steps(gundam, Shortage.CARD)[0] == "max_crops 6 -> 4"
