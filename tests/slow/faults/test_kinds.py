"""Every kind of fault has a test that is there, and one case that fails is enough."""

from __future__ import annotations

import pytest

from tests.slow.faults.kinds import KINDS, TESTS, Outcomes


@pytest.mark.parametrize("kind", KINDS)
def test_the_test_of_each_kind_is_there(kind: str) -> None:
    file, _, name = KINDS[kind].partition("::")
    assert f"def {name or 'test_'}" in (TESTS / file).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("outcomes", "said"),
    [
        (["passed", "passed"], "held"),
        (["passed", "failed", "passed"], "DID NOT HOLD"),
        (["passed", "skipped"], "held"),
        (["skipped", "passed"], "held"),
        (["skipped"], "not tried: needs root"),
        ([], "not tried"),
    ],
)
def test_a_kind_held_if_all_its_cases_did(outcomes: list[str], said: str) -> None:
    kind = "submit killed"
    told = Outcomes([kind])
    for outcome in outcomes:
        report = pytest.TestReport(
            nodeid=f"tests/{KINDS[kind]}[case]",
            location=("", None, ""),
            keywords={},
            outcome=outcome,  # type: ignore[arg-type]  # one of its three words
            longrepr="Skipped: needs root",
            when="call",
        )
        told.pytest_runtest_logreport(report)
    assert told.said[kind] == said
