"""Where the time of a wave of files goes: the throughput of each stage, and what each phase used.

`python -m bench.stages TRACE` prints the tables of a trace that `bench.gpu_daemon` or
`bench.wave_daemon` has written.
"""

from __future__ import annotations

import json
import sys
from bisect import bisect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.passages import STAGES, Passages
from bench.pulse import Pulse, Usage

Trace = dict[str, Any]
Row = dict[str, Any]


def trace_of(passages: Passages, pulse: Pulse) -> Trace:
    """What the functions below read, once it has been through JSON."""
    return {
        "ready": passages.ready,
        "passages": passages.at,
        "loop": pulse.loop,
        "lock": pulse.lock,
        "usage": pulse.usage,
        "children": pulse.children,
    }


def stage_rows(trace: Trace) -> list[Row]:
    """For each stage that was seen, in order.

    Returns:
        `stage`; `files`; `first_s` and `last_s` after the engine was ready; `per_s` between the
        tenth and the ninetieth of a hundred; `wait_s` since the stage before, on average.
    """
    rows: list[Row] = []
    before: dict[str, float] = {}
    for stage in STAGES:
        at = trace["passages"].get(stage)
        if not at:
            continue
        moments = sorted(at.values())
        waits = [moment - before[job] for job, moment in at.items() if job in before]
        rows.append(
            {
                "stage": stage,
                "files": len(moments),
                "first_s": moments[0] - trace["ready"],
                "last_s": moments[-1] - trace["ready"],
                "per_s": rate(moments),
                "wait_s": sum(waits) / len(waits) if waits else None,
            }
        )
        before = at
    return rows


def rate(moments: Sequence[float]) -> float | None:
    """Per second between the tenth and the ninetieth of a hundred; None if that is no time."""
    first, last = (round(share * (len(moments) - 1)) for share in (0.1, 0.9))
    seconds = moments[last] - moments[first]
    return (last - first) / seconds if seconds > 0 else None


def phases(trace: Trace) -> Iterator[tuple[str, float, float]]:
    """Name, begin and end: pages go in, pages are read, bundles come out."""
    passages = trace["passages"]
    given = passages["sent to vLLM"] or passages["given to the engine"]
    answered = passages["answered"]
    full = max(given.values())
    first_answer = max(full, min(answered.values()))
    yield "in (to the last page sent)", trace["ready"], full
    yield "reading (to the first answer)", full, first_answer
    yield "out (to the last job done)", first_answer, max(passages["done"].values())


def phase_rows(trace: Trace) -> list[Row]:
    """For each phase how long it took, what it used, and how late things were."""
    rows = []
    for name, begin, end in phases(trace):
        row: Row = {"phase": name, "seconds": end - begin}
        for samples in (trace["usage"], trace["children"]):
            row |= {f"{who} CPU, s": s for who, s in usage(samples, begin, end).items()}
        for who in ("loop", "lock"):
            late = sorted(late for at, late in trace[who] if begin <= at <= end)
            for share, which in ((0.5, "median"), (0.99, "p99")):
                figure = 1000 * late[int(share * (len(late) - 1))] if late else None
                row[f"{who} late, {which}, ms"] = figure
        rows.append(row)
    return rows


def usage(samples: Usage, begin: float, end: float) -> Row:
    """Seconds of CPU between two moments, by who used them."""
    if not samples:
        return {}
    first, last = used_by(samples, begin), used_by(samples, end)
    return {who: seconds - first[who] for who, seconds in last.items()}


def used_by(samples: Usage, moment: float) -> dict[str, float]:
    """What had been used at a moment, on the line between the samples around it."""
    after = min(bisect(samples, moment, key=lambda one: one[0]), len(samples) - 1)
    (since, before), (until, then) = samples[max(after - 1, 0)], samples[after]
    share = min(max((moment - since) / (until - since), 0.0), 1.0) if until > since else 1.0
    return {
        who: before.get(who, 0.0) + share * (seconds - before.get(who, 0.0))
        for who, seconds in then.items()
    }


def markdown(rows: Sequence[Row]) -> str:
    """A table, a line a row; figures with three digits."""
    heads = list(rows[0])
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    lines += [f"| {' | '.join(shown(row.get(head)) for head in heads)} |" for row in rows]
    return "\n".join(lines)


def turned(rows: Sequence[Row]) -> list[Row]:
    """The same table with rows for columns."""
    first, *figures = rows[0]
    return [{first: name} | {row[first]: row[name] for row in rows} for name in figures]


def shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def tables(stages: Sequence[Row], phases: Sequence[Row]) -> str:
    """Both, as Markdown."""
    return f"\n{markdown(stages)}\n\n{markdown(turned(phases))}\n"


def write(passages: Passages, pulse: Pulse, file: Path) -> None:
    """Keep a trace."""
    file.write_text(json.dumps(trace_of(passages, pulse)))


def report(file: Path) -> str:
    """Both tables of a trace."""
    trace: Trace = json.loads(file.read_text())
    return tables(stage_rows(trace), phase_rows(trace))


def main() -> None:
    print(report(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
