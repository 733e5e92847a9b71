"""How the cores are shared, and what is said when the packages are missing."""

from __future__ import annotations

import pytest

from ocrd.engine.rapid.engine import Share, missing, model, share

PLENTY = 1 << 20


@pytest.mark.parametrize(
    ("cores", "expected"),
    [(1, Share(1, 1)), (2, Share(2, 1)), (4, Share(4, 1)), (8, Share(4, 2)), (64, Share(4, 16))],
)
def test_a_worker_for_each_core_up_to_four_then_threads(cores: int, expected: Share) -> None:
    assert share(None, None, cores=cores, available_mib=PLENTY) == expected


def test_little_memory_means_fewer_workers_with_more_threads() -> None:
    assert share(None, None, cores=8, available_mib=2500) == Share(2, 4)
    assert share(None, None, cores=8, available_mib=100) == Share(1, 8)


def test_what_the_operator_says_is_kept() -> None:
    assert share(6, None, cores=8, available_mib=100) == Share(6, 1)
    assert share(None, 4, cores=8, available_mib=PLENTY) == Share(2, 4)
    assert share(3, 3, cores=2, available_mib=PLENTY) == Share(3, 3)


def test_a_missing_package_is_named_with_the_remedy() -> None:
    error = missing(("rapidocr", "a_package_nobody_has"))
    assert error is not None
    assert "a_package_nobody_has" in error.message
    assert "rapidocr" not in error.message
    assert "pip install 'ocrd-daemon[cpu]'" in error.hint


def test_nothing_is_missing_here() -> None:
    assert missing() is None


def test_the_model_is_named_with_the_version_of_its_package() -> None:
    name, package, version = model().replace("(", "").replace(")", "").split()
    assert name.startswith("PP-OCR")
    assert package == "rapidocr"
    assert version[0].isdigit()
