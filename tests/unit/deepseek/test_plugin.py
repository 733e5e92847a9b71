"""The entry point does nothing where it does not fit."""

from __future__ import annotations

import importlib
import importlib.util
import logging
from importlib import metadata

import pytest

from ocrd.engine.deepseek.plugin import MODELS, register


def test_vllm_finds_it() -> None:
    found = metadata.entry_points(group="vllm.general_plugins", name="ocrd_deepseek")
    assert {point.value for point in found} == {f"{register.__module__}:{register.__name__}"}


def test_the_models_are_where_it_says() -> None:
    for path in MODELS.values():
        module, name = path.split(":")
        spec = importlib.util.find_spec(module)
        assert spec is not None
        assert spec.origin is not None
        with open(spec.origin, encoding="utf-8") as source:
            assert f"class {name}(" in source.read()


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed here")
def test_without_a_vllm_that_fits_it_only_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        register()
    assert "0.26 to 0.33" in caplog.text
