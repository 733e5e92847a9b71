"""What is wrong with the settings, found before vLLM is imported."""

import json
from pathlib import Path
from typing import Any

import pytest

from ocrd.engine.deepseek import plugin
from ocrd.engine.resident.devices import Gpu, gpus, on_cpu, on_gpus, visible
from ocrd.engine.resident.preflight import (
    check_plugin,
    in_folder,
    installed,
    looks_like_path,
    model_config,
)
from ocrd.engine.resident.settings import Place, VllmSettings
from ocrd.errors import EngineSetupError

H100 = Gpu(0, "NVIDIA H100 80GB HBM3", 81559)
SECOND = Gpu(1, "NVIDIA H100 80GB HBM3", 81559)
SMALL = Gpu(0, "NVIDIA T1000", 4096)


def kind_of(call: Any, *args: Any) -> str:
    with pytest.raises(EngineSetupError) as error:
        call(*args)
    assert error.value.hint, "every error names a remedy"
    return error.value.kind


@pytest.mark.parametrize(
    ("version", "fits"),
    [(one, True) for one in ("0.26.0", "0.29.1rc2", "0.32.0+cpu", "0.33.9")]
    + [(one, False) for one in ("0.25.9", "0.34.0", "1.0.0", "unknown")],
)
def test_versions_out_of_range_are_named(
    version: str, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin, "installed", lambda: plugin.Installed("vllm", version))
    if fits:
        assert installed().on_cpu == ("+cpu" in version)
        return
    with pytest.raises(EngineSetupError, match=version) as error:
        installed()
    assert "pip install" in error.value.hint


def test_a_missing_vllm_is_told_with_the_way_to_install_it() -> None:
    try:
        found = installed()
    except EngineSetupError as error:
        assert error.kind == "no-vllm"
        assert "pip install" in error.hint
    else:
        assert found.version.startswith("0.")


def test_plugins_that_are_kept_from_vllm_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_PLUGINS", "another,ocrd_deepseek")
    check_plugin()
    monkeypatch.setenv("VLLM_PLUGINS", "")
    assert kind_of(check_plugin) == "no-plugin"


def test_a_folder_that_is_no_model_says_what_it_lacks(tmp_path: Path) -> None:
    assert kind_of(in_folder, tmp_path / "absent", "auto") == "no-model"
    with pytest.raises(EngineSetupError, match=r"config\.json, tokenizer\.json, its weights"):
        in_folder(tmp_path, "auto")
    (tmp_path / "config.json").write_text('{"architectures": [')
    (tmp_path / "tokenizer.json").write_text("{}")
    assert kind_of(in_folder, tmp_path, "auto") == "no-model"
    assert in_folder(tmp_path, "dummy") == tmp_path / "config.json", "random ones need no files"
    settings = VllmSettings(model=str(tmp_path), load_format="dummy")
    assert kind_of(model_config, settings) == "bad-model"


def test_the_configuration_of_a_whole_folder_is_read(tmp_path: Path) -> None:
    config = {"architectures": ["DeepseekOCRForCausalLM"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "model-00001-of-000001.safetensors").write_bytes(b"")
    assert model_config(VllmSettings(model=str(tmp_path))) == config


@pytest.mark.parametrize("model", ["/srv/model", "./model", "../model", "~/model"])
def test_a_model_is_a_folder_or_a_name_on_the_hub(model: str) -> None:
    assert looks_like_path(model)
    assert not looks_like_path("deepseek-ai/DeepSeek-OCR")


def planned(cards: list[Gpu] | None, *, cores: int = 16, **given: Any) -> tuple[Place, ...]:
    return on_gpus(VllmSettings(model="m", **given), cards, cores=cores)


@pytest.mark.parametrize(
    ("cards", "given", "kind", "named"),
    [
        ([], {}, "no-gpu", "no NVIDIA GPU"),
        ([SMALL], {}, "gpu-memory", "T1000"),
        ([H100, SECOND], {"devices": [0, 7]}, "no-gpu", "[0, 7]"),
    ],
)
def test_a_card_that_is_missing_or_too_small_is_named(
    cards: list[Gpu], given: dict[str, Any], kind: str, named: str
) -> None:
    with pytest.raises(EngineSetupError) as error:
        planned(cards, **given)
    assert error.value.kind == kind
    assert named in error.value.message


def test_a_card_listed_twice_gets_two_engines_with_names_of_their_own() -> None:
    assert [place.number for place in planned([H100, SECOND], devices=[1], per_device=1)] == [1]
    assert [place.number for place in planned([H100, SECOND], devices="all")] == [0, 1]
    places = planned([H100, SECOND], devices=[0, 0, 1])
    assert [(place.number, place.sharing) for place in places] == [(0, 2), (0, 2), (1, 1)]
    assert [place.name for place in places] == [
        "gpu:0 NVIDIA H100 80GB HBM3 (1 of 2)",
        "gpu:0 NVIDIA H100 80GB HBM3 (2 of 2)",
        "gpu:1 NVIDIA H100 80GB HBM3",
    ]


L40S = Gpu(0, "NVIDIA L40S", 46_068)


@pytest.mark.parametrize(
    ("cards", "cores", "given", "engines"),
    [
        ([H100], 16, {}, [2]),
        ([H100], 8, {}, [1]),  # too few cores for two
        ([H100, SECOND], 16, {}, [1, 1]),  # likewise
        ([H100, SECOND], 32, {}, [2, 2]),
        ([L40S], 64, {}, [1]),  # too little memory for two
        ([H100], 16, {"gpu_memory_utilization": 0.5}, [1]),
        ([H100], 4, {"per_device": 2}, [2]),
        ([H100, SECOND], 64, {"per_device": 1}, [1, 1]),
        ([H100, SECOND], 64, {"devices": (1,)}, [2]),
        ([H100], 16, {"options": {"tensor_parallel_size": 2}}, [1]),
        (None, 64, {}, [1]),  # nobody can tell how large it is
    ],
)
def test_a_card_gets_two_engines_where_memory_and_cores_suffice(
    cards: list[Gpu] | None, cores: int, given: dict[str, Any], engines: list[int]
) -> None:
    places = planned(cards, cores=cores, **given)
    assert [place.sharing for place in places] == [n for n in engines for _ in range(n)]


def test_a_model_of_unknown_needs_has_its_card_for_itself() -> None:
    (place,) = on_gpus(VllmSettings(model="m"), [H100], cores=64, known=False)
    assert place.sharing == 1


def test_on_a_cpu_as_many_engines_as_are_listed_or_asked_for() -> None:
    def names(**given: Any) -> list[str]:
        return [place.name for place in on_cpu(VllmSettings(model="m", **given))]

    assert names(devices=[0, 1]) == ["cpu:0", "cpu:1"]
    assert names(per_device=2) == ["cpu:0", "cpu:1"]
    assert names() == ["cpu"]


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        (None, ["GPU-a8", "GPU-b9"]),
        ("", []),
        ("0,-1,1", ["GPU-a8"]),  # CUDA looks no further
        ("1", ["GPU-b9"]),
        ("1, 0", ["GPU-b9", "GPU-a8"]),
        ("7", []),
        ("GPU-b9", ["GPU-b9"]),
        ("GPU-b", ["GPU-b9"]),
        ("GPU-c", []),
        ("GPU-b9,0", ["GPU-b9", "GPU-a8"]),
        ("MIG-1,MIG-2", ["MIG-1", "MIG-2"]),  # NVML lists no parts of cards
        ("MIG-1,MIG-2,MIG-3", ["MIG-1", "MIG-2", "MIG-3"]),
    ],
)
def test_only_visible_gpus_count_and_are_numbered_anew(
    chosen: str | None, names: list[str]
) -> None:
    seen = visible([Gpu(0, "a", 1, "GPU-a8"), Gpu(1, "b", 1, "GPU-b9")], chosen)
    assert [card.uuid for card in seen] == names, "by which CUDA finds it"
    assert [card.number for card in seen] == list(range(len(names)))


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this machine has an NVIDIA driver")
def test_without_a_driver_there_is_no_gpu_and_with_its_device_alone_it_is_unknown(
    tmp_path: Path,
) -> None:
    device = tmp_path / "nvidiactl"
    assert gpus(device) == []
    device.touch()
    assert gpus(device) is None
