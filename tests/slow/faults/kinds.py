"""Every kind of fault once, in minutes: which promise held, which did not?

    python -m tests.slow.faults.kinds [WORD …]        (make faults)

Each kind has one test, most of them with a real daemon or a real file system; with words only kinds
whose name contains one of them are tried.  Exit code 1 if anything did not hold.  What this machine
cannot do is reported as not tried; as root everything can be tried.
"""

from __future__ import annotations

import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
KINDS: dict[str, str] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())


class Outcomes:
    """The outcome of each kind; a test with many cases held if all of them did."""

    def __init__(self, kinds: Sequence[str]) -> None:
        self._kinds = kinds
        self.seconds = dict.fromkeys(kinds, 0.0)
        self.said = dict.fromkeys(kinds, "not tried")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record one phase of one case."""
        case = report.nodeid.removeprefix("tests/")
        kind = next(each for each in self._kinds if case.startswith(KINDS[each]))
        self.seconds[kind] += report.duration
        if report.failed:
            self.said[kind] = "DID NOT HOLD"
        elif self.said[kind] == "not tried" and report.skipped:
            self.said[kind] = f"not tried: {str(report.longrepr).rpartition('Skipped: ')[2][:60]}"
        elif not report.skipped and report.when == "call" and self.said[kind] != "DID NOT HOLD":
            self.said[kind] = "held"


def main() -> None:
    """Try the kinds and print their outcomes."""
    wanted = [kind for kind in KINDS if not sys.argv[1:] or any(w in kind for w in sys.argv[1:])]
    outcomes = Outcomes(wanted)
    with tempfile.TemporaryDirectory(prefix="ocrd-kinds-", ignore_cleanup_errors=True) as top:
        options = ["-q", "-p", "no:cacheprovider", f"--basetemp={top}/tests"]
        cases = [str(TESTS / KINDS[each]) for each in wanted]
        code = pytest.main([*options, f"--rootdir={TESTS.parent}", *cases], [outcomes])
    for kind in wanted:
        print(f"{kind:<44}{outcomes.seconds[kind]:>7.1f} s  {outcomes.said[kind]}")
    sys.exit(1 if code else 0)


if __name__ == "__main__":
    main()
