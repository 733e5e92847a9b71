"""In vLLM's registry: ours for the two models, and nothing else touched."""

from __future__ import annotations

import pytest
import torch
from vllm import ModelRegistry

from ocrd.engine.deepseek.model import DeepseekOcr, DeepseekOcr2, mask_of_halves
from ocrd.engine.deepseek.plugin import MODELS, register

pytestmark = pytest.mark.vllm


def test_only_the_two_models_change_hands() -> None:
    register()
    before = dict(ModelRegistry.models)
    register()  # vLLM may call it again
    after = dict(ModelRegistry.models)
    changed = {name for name in after if repr(after[name]) != repr(before[name])}
    assert changed == set()
    ours = {name for name, model in after.items() if "ocrd." in repr(model)}
    assert ours == set(MODELS)
    assert after["DeepseekOCRForCausalLM"].load_model_cls() is DeepseekOcr
    assert after["DeepseekOCR2ForCausalLM"].load_model_cls() is DeepseekOcr2


def test_deepseek_ocr_2_s_queries_see_all_features_and_the_queries_before_them() -> None:
    mask = mask_of_halves(6, torch.float32, torch.device("cpu"), 2)
    assert mask.shape == (2, 1, 6, 6)
    sees = [[int(value == 0) for value in row] for row in mask[1, 0].tolist()]
    assert sees == [
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 1, 1, 1, 0],
        [1, 1, 1, 1, 1, 1],
    ]
    assert mask.min() == torch.finfo(torch.float32).min
