"""Which engine the configuration asks for, what it is told, and what it refuses."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from ocrd.cli.config import check
from ocrd.config import Config, folders, load
from ocrd.daemon.engines import (
    asked_resolutions,
    build_engine,
    check_barcodes,
    check_modes,
    missing_packages,
    vllm_settings,
)
from ocrd.errors import ConfigError
from ocrd.modes import RESOLUTIONS

MODE = '[[mode]]\nname = "twice"\nprompt = "<image>Read."\n'


def configured(root: Path, *text: str, architecture: str = "DeepseekOCRForCausalLM") -> Config:
    """A configuration with a model whose files are there, but for its weights."""
    model = root / "model"
    model.mkdir(exist_ok=True)
    (model / "config.json").write_text(json.dumps({"architectures": [architecture]}))
    (model / "tokenizer.json").write_text("{}")
    engine = f'[engine]\nkind = "vllm"\nload_format = "dummy"\nmodel = "{model}"'
    file = root / "config.toml"
    file.write_text("\n".join((f'root = "{root}"', engine, *text)))
    return load(file)


def folder(name: str, resolution: str = "base", more: str = "") -> str:
    return f'[[folder]]\nname = "{name}"\nresolution = "{resolution}"\n{more}'


def test_memory_is_kept_for_what_the_folders_ask_for(tmp_path: Path) -> None:
    assert asked_resolutions(configured(tmp_path)) == (RESOLUTIONS["gundam"],)
    two = configured(tmp_path, folder("a"), folder("b", "tiny"), folder("c"))
    assert asked_resolutions(two) == (RESOLUTIONS["base"], RESOLUTIONS["tiny"])
    many = configured(tmp_path, folder("a", "gundam", "max_crops = 9"))
    assert vllm_settings(many).most_crops == 9
    (tmp_path / "inbox" / "ocr").mkdir(parents=True)
    implicit = configured(tmp_path, folder("a"))
    assert asked_resolutions(implicit) == (RESOLUTIONS["base"], RESOLUTIONS["gundam"])


def test_memory_is_kept_for_what_is_listed_whether_a_folder_asks_for_it_or_not(
    tmp_path: Path,
) -> None:
    listed = configured(tmp_path, 'resolutions = ["large", "base"]', folder("a"))
    assert asked_resolutions(listed) == (RESOLUTIONS["large"], RESOLUTIONS["base"])


def test_a_new_folder_that_needs_more_room_is_refused_until_a_restart(tmp_path: Path) -> None:
    engine = build_engine(configured(tmp_path, folder("a")))
    assert check_modes(configured(tmp_path, folder("a"), folder("b", "small")), engine) == {}
    with pytest.raises(ConfigError) as refused:
        check_modes(configured(tmp_path, folder("a"), folder("b", "gundam")), engine)
    assert re.search("folder 'b': resolution 'gundam' cannot be had", refused.value.message)
    assert "restart ocrd" in refused.value.hint


def test_an_implicit_folder_that_comes_later_is_served_with_the_room_there_is(
    tmp_path: Path,
) -> None:
    config = configured(tmp_path, folder("a"))
    engine = build_engine(config)
    (tmp_path / "inbox" / "ocr").mkdir(parents=True)
    later = replace(config, folders=folders(config.settings))
    assert [each.name for each in later.folders] == ["a", "ocr"]
    assert check_modes(later, engine) == {}


def test_a_mode_that_the_model_cannot_serve_is_refused_before_the_engine_is_started(
    tmp_path: Path,
) -> None:
    config = configured(tmp_path, MODE, folder("a", "base", 'mode = "twice"'))
    with pytest.raises(ConfigError) as refused:
        check_modes(config, build_engine(config))
    assert "'twice'" in refused.value.message
    assert "<image>" in refused.value.hint


def test_a_model_that_is_not_there_is_left_to_the_start(tmp_path: Path) -> None:
    config = configured(tmp_path, MODE, folder("a", "base", 'mode = "twice"'))
    (tmp_path / "model" / "config.json").unlink()
    assert check_modes(config, build_engine(config)) == {}


def test_an_engine_that_is_not_installed_is_told_before_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ocrd.engine.deepseek.plugin.DISTRIBUTIONS", ("no-such-vllm",))
    missing = missing_packages(configured(tmp_path))
    assert missing is not None
    assert "ocrd-daemon[vllm]" in missing.hint
    with pytest.raises(ConfigError, match="vLLM is not installed"):
        check(tmp_path / "config.toml")


def test_the_embedded_engine_is_there(tmp_path: Path) -> None:
    pytest.importorskip("rapidocr")
    (tmp_path / "config.toml").write_text(f'root = "{tmp_path}"\n[engine]\nkind = "rapidocr"\n')
    assert missing_packages(load(tmp_path / "config.toml")) is None


@pytest.mark.parametrize(
    ("separator", "library", "refused"),
    [("barcode", "no_such_library", True), ("blank", "no_such_library", False),
     ("barcode", "zxingcpp", False)],
)  # fmt: skip
def test_a_folder_that_waits_for_barcodes_is_refused_where_nobody_could_read_them(
    tmp_path: Path, separator: str, library: str, refused: bool
) -> None:
    config = configured(tmp_path, folder("piles", more=f'separator = "{separator}"'))
    if not refused:
        check_barcodes(config, library=library)
        return
    with pytest.raises(ConfigError) as caught:
        check_barcodes(config, library=library)
    assert "'piles'" in caught.value.message
    assert "ocrd-daemon[barcode]" in caught.value.hint


def test_servers_beside_this_machine_s_cards_add_to_what_is_read_at_once(tmp_path: Path) -> None:
    alone = build_engine(configured(tmp_path, "max_pages_in_flight = 32\ndevices = [0]"))
    servers = 'servers = ["http://127.0.0.1:1", "http://127.0.0.1:2"]'
    both = build_engine(configured(tmp_path, f"max_pages_in_flight = 32\ndevices = [0]\n{servers}"))
    assert (alone.kind, alone.capacity) == ("vllm", 32)
    assert (both.kind, both.capacity) == ("vllm", 3 * 32)
    assert "server: stopped" in both.report().detail
