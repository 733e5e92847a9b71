"""The GPU benchmark's runs: in which order, with which settings, and what is not done twice."""

from __future__ import annotations

import fcntl
import json
import signal
import sys
import time
from pathlib import Path

from bench.gpu_parts import Bench
from bench.gpu_throughput import WHOLE, Run, arguments, carry_out, run_part, runs


def bench(**extra: object) -> Bench:
    return Bench(
        work=Path("/work"), small=True, pages=1, baseline=1, tokens=1, until=0.0, extra=extra
    )


def test_what_is_set_now_is_measured_before_its_variants() -> None:
    words = ["--options", '{"seed": 1}', "--variant", '{"max_num_seqs": 256}']
    found = list(runs(arguments(words)))
    assert [run.name for run in found] == [
        "recipe",
        "daemon",
        "ceiling",
        "daemon-max_num_seqs-256",
        "ceiling-max_num_seqs-256",
    ]
    assert [run.options for run in found] == [{}, *[{"seed": 1}] * 4]


def test_a_name_of_ours_is_a_setting_and_any_other_an_option_of_vllm() -> None:
    chosen = bench(max_num_seqs=256, kv_cache_dtype="fp8")
    assert (chosen.settings["max_num_seqs"], chosen.options["kv_cache_dtype"]) == (256, "fp8")
    assert "kv_cache_dtype" not in chosen.settings
    assert "max_num_seqs" not in chosen.options


def test_a_part_that_was_measured_whole_is_not_measured_again(tmp_path: Path) -> None:
    known = {"pages_per_s": 3.0, WHOLE: 100.0}
    (tmp_path / "daemon.json").write_text(json.dumps(known))
    run = Run(part="daemon", options={})
    assert run_part(run, tmp_path, {}, end=time.time() + 1000) == known


def test_a_part_for_which_there_is_no_time_is_left_out(tmp_path: Path) -> None:
    run = Run(part="daemon", options={})
    assert run_part(run, tmp_path, {}, end=time.time() + 1) == {}


def test_a_part_ends_with_its_children_when_the_time_is_over(tmp_path: Path) -> None:
    held = tmp_path / "held"
    stays = (
        "import fcntl, subprocess, time\n"
        f"held = open({str(held)!r}, 'w')\n"
        "fcntl.flock(held, fcntl.LOCK_EX)\n"
        "subprocess.Popen(['sleep', '1000'], pass_fds=[held.fileno()])\n"
        "time.sleep(1000)"
    )
    code = carry_out([sys.executable, "-c", stays], {}, tmp_path / "log", end=time.time())
    assert code == -signal.SIGTERM
    with held.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # waits until none of them holds it
