"""`ocrd run --once` with an engine that cannot start: told with its remedy, and no job pays."""

import json
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from ocrd.job import JobState
from ocrd.ledger.ledger import Ledger
from tests.integration.tree import Tree
from tests.support.forked import Forked, run_ocrd
from tests.support.needs import few
from tests.support.samples import scan_of
from tests.support.waiting import HANG_S, wait_for

FAILED = 1


@dataclass(frozen=True)
class Machine:
    """What a machine has to offer the engine; everything but the refused thing is in order.

    Attributes:
        vllm: The version that is installed; None: none is.
        model: Where it is said to be; None: in a folder.
        files: Of that folder, instead of whole ones.
        environment: Further variables.
    """

    vllm: str | None = "0.32.0"
    model: str | None = None
    files: Mapping[str, str] | None = None
    environment: Mapping[str, str] | None = None


WHOLE = {
    "config.json": json.dumps({"architectures": ["DeepseekOCRForCausalLM"]}),
    "tokenizer.json": "{}",
    "model.safetensors": "",
}
LLAMA = json.dumps({"architectures": ["LlamaForCausalLM"]})
# What is wrong, what must be said of it, and what to do about it.
REFUSALS = {
    "vLLM is not installed": (Machine(vllm=None), "vLLM is not installed", "pip install"),
    "vLLM is too old": (Machine(vllm="0.25.3"), "vLLM 0.25.3 is installed", "vllm>=0.26,<0.34"),
    "vLLM is too new": (Machine(vllm="0.34.0"), "works with 0.26 to 0.33", "vllm>=0.26,<0.34"),
    "no such folder": (Machine(files={}), "does not exist", "Correct the path"),
    "a model that was never fetched": (
        Machine(model="nobody/has-such-a-model", environment={"HF_HUB_OFFLINE": "1"}),
        "nobody/has-such-a-model is not in the cache of this user",
        "hf download nobody/has-such-a-model",
    ),
    "a folder without a model": (
        Machine(files={"letter.txt": "Dear Sir"}),
        "lacks config.json, tokenizer.json, its weights",
        "hf download",
    ),
    "a model without weights": (
        Machine(files={name: WHOLE[name] for name in ("config.json", "tokenizer.json")}),
        "lacks its weights",
        "hf download",
    ),
    "a damaged model": (
        Machine(files=WHOLE | {"config.json": '{"archit'}),
        "config.json is no model's configuration",
        "Download the model again",
    ),
    "another model": (
        Machine(files=WHOLE | {"config.json": LLAMA}),
        "LlamaForCausalLM",
        "DeepSeek-OCR-2",
    ),
    "no GPU": (Machine(), "no NVIDIA GPU", "engine.kind to rapidocr"),
    "a plugin kept from vLLM": (
        Machine(environment={"VLLM_PLUGINS": "another"}),
        "VLLM_PLUGINS is 'another'",
        "Unset VLLM_PLUGINS",
    ),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """A job was being read when its daemon was stopped: it is queued, its file in the spool."""
    tree = Tree(tmp_path_factory.mktemp("refused") / "srv")
    tree.drop("a.jpg", scan_of("Waits for an engine", width=200, height=80, dpi=72, seed=1).data)
    with tree.start("--engine-delay", "600") as daemon:
        wait_for(lambda: tree.diary.exists() and "asked" in tree.diary.read_text(), process=daemon)
        daemon.send_signal(signal.SIGTERM)
    return tree


def run_once(
    tree: Tree, machine: Machine, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[int, str]:
    """`ocrd run --once` on such a machine: its exit code, and what it says."""
    model = scratch / "model"
    for name, text in (WHOLE if machine.files is None else machine.files).items():
        model.mkdir(exist_ok=True)
        (model / name).write_text(text)
    config = scratch / "config.toml"
    engine = f'[engine]\nkind = "vllm"\nmodel = "{machine.model or model}"\n[watch]'
    config.write_text(tree.config.read_text().replace("[watch]", engine))
    for name, value in (machine.environment or {}).items():
        monkeypatch.setenv(name, value)
    if machine.vllm:
        package = scratch / "site" / f"vllm-{machine.vllm}.dist-info"
        package.mkdir(parents=True)
        (package / "METADATA").write_text(f"Name: vllm\nVersion: {machine.vllm}\n")
        monkeypatch.syspath_prepend(scratch / "site")  # which a process of its own takes over
    said = scratch / "said"
    with Forked(run_ocrd, "run", "--once", "--config", str(config), output=said) as ended:
        return ended.wait(HANG_S), said.read_text(encoding="utf-8")


@pytest.mark.parametrize("refused", few([*REFUSALS]))  # test_preflight.py has more of each
def test_what_keeps_the_engine_from_starting_is_told_and_costs_no_attempt(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    machine, said, remedy = REFUSALS[refused]
    tree.drop("new.jpg", b"not looked at yet")
    code, told = run_once(tree, machine, tmp_path, monkeypatch)
    assert code == FAILED
    *_, what, hint = told.splitlines()
    assert what.startswith("ocrd: ")
    assert said in what
    assert hint.startswith("  ")
    assert remedy in hint
    assert "Traceback" not in told
    with Ledger.open(tree.root / ".ocrd" / "ledger.db") as ledger:
        jobs = ledger.jobs(limit=10)
    assert {(job.state, job.attempts, job.error) for job in jobs} == {(JobState.QUEUED, 0, None)}
    assert "a.jpg" in {job.source for job in jobs}
    assert (tree.inbox / "new.jpg").exists()
