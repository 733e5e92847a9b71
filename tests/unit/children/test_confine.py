"""What a child may not do, tried by a child."""

import asyncio
import os
import shutil
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from ocrd.children import ChildPool, landlock, missing, seccomp
from ocrd.errors import OcrdError, PageFaultError
from tests.support.needs import needs
from tests.unit.children import calls
from tests.unit.children.support import from_proc, make_pool

pytestmark = pytest.mark.asyncio(loop_scope="module")
NEEDS_LANDLOCK = needs("landlock")
NEEDS_SECCOMP = needs("seccomp")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[ChildPool]:
    """One child; the daemon has secrets when it starts."""
    pool = make_pool(threads=3, open_files=40)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OCRD_ENGINE__API_KEY", "secret")
        patch.setenv("HF_TOKEN", "secret")
        patch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
        await pool.run(calls.pid)
    yield pool
    pool.stop()


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path) -> None:
    """Of three jobs."""
    for name in ("in", "out", "elsewhere"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"content")


async def test_a_child_reads_and_writes_what_it_was_given(pool: ChildPool, tmp_path: Path) -> None:
    given, out = tmp_path / "in", tmp_path / "out"

    assert await pool.run(calls.read, given / "file", readable=[given]) == b"content"
    assert await pool.run(calls.write, out / "new", 3, readable=[given], writable=[out]) == 3
    assert (out / "new").read_bytes() == b"xxx"


@NEEDS_LANDLOCK
async def test_a_child_reads_nothing_else(pool: ChildPool, tmp_path: Path) -> None:
    for path in (tmp_path / "elsewhere" / "file", Path("/etc/passwd"), Path("/proc/self/environ")):
        with pytest.raises(PageFaultError, match="Permission denied"):
            await pool.run(calls.read, path, readable=[tmp_path / "in"])
    with pytest.raises(PageFaultError, match="Permission denied"):
        await pool.run(calls.listing, tmp_path)


@NEEDS_LANDLOCK
async def test_a_child_writes_nowhere_else(pool: ChildPool, tmp_path: Path) -> None:
    given, out = tmp_path / "in", tmp_path / "out"
    for path in (given / "file", given / "new", tmp_path / "new"):
        with pytest.raises(OcrdError, match=r"Permission denied|EACCES"):
            await pool.run(calls.write, path, 3, readable=[given], writable=[out])
    assert (given / "file").read_bytes() == b"content"


@NEEDS_LANDLOCK
async def test_no_call_has_what_another_job_was_given(pool: ChildPool, tmp_path: Path) -> None:
    first, second = tmp_path / "out", tmp_path / "elsewhere"
    await pool.run(calls.write, first / "new", 3, writable=[first])
    await pool.run(calls.write, second / "new", 3, writable=[second])
    with pytest.raises(PageFaultError, match="Permission denied"):
        await pool.run(calls.read, first / "new", writable=[second])
    with pytest.raises(PageFaultError, match="Permission denied"):
        await pool.run(calls.listing, first, writable=[second])


async def test_what_is_made_anew_under_an_old_name_is_there_for_the_next_call(
    pool: ChildPool, tmp_path: Path
) -> None:
    given, out = tmp_path / "in" / "file", tmp_path / "out"
    for number in range(3):
        content = f"content {number}".encode()
        given.unlink()
        given.write_bytes(content)
        shutil.rmtree(out)
        out.mkdir()
        assert await pool.run(calls.read, given, readable=[given]) == content
        assert await pool.run(calls.write, out / "new", 3, readable=[given], writable=[out]) == 3


@NEEDS_LANDLOCK
async def test_a_child_cannot_run_what_it_wrote(pool: ChildPool, tmp_path: Path) -> None:
    program = tmp_path / "out" / "program"
    program.write_bytes(b"#!/bin/sh\n")
    program.chmod(0o755)
    with pytest.raises(OcrdError, match=r"Permission denied|EACCES|not permitted|EPERM"):
        await pool.run(calls.run_program, program, writable=[tmp_path / "out"])


@NEEDS_SECCOMP
@pytest.mark.parametrize("resident", [False, True])
async def test_what_no_reader_of_files_needs_is_closed(resident: bool) -> None:
    pool = make_pool(resident=resident)
    told = {what: await pool.run(calls.refused, what) for what in calls._ATTEMPTS}
    threads = await pool.run(calls.threads, 8)
    pool.stop()

    newer = dict.fromkeys(("io_uring", "pidfd", "clone3", "a call newer than all"), "ENOSYS")
    assert told == dict.fromkeys(calls._ATTEMPTS, "EPERM") | newer
    assert threads == 8


async def test_a_child_knows_no_secrets(pool: ChildPool) -> None:
    environment = await pool.run(calls.environment)

    assert {"OCRD_ENGINE__API_KEY", "HF_TOKEN", "NOTIFY_SOCKET"}.isdisjoint(environment)
    assert environment["OMP_NUM_THREADS"] == "3"


async def test_a_child_has_few_descriptors(pool: ChildPool) -> None:
    assert 20 < await pool.run(calls.open_many, 100) < 40


async def test_the_kernel_holds_a_childs_limits(pool: ChildPool) -> None:
    pid = await pool.run(calls.pid)  # of who opens the files
    limits = from_proc(pid, "limits").splitlines()
    soft = {line[:26].strip(): line[26:].split()[0] for line in limits[1:]}

    assert soft["Max address space"] == str(512 << 20)
    assert soft["Max core file size"] == "0"
    assert soft["Max open files"] == "40"
    assert from_proc(pid, "oom_score_adj") == "500\n"
    assert "NoNewPrivs:\t1" in from_proc(pid, "status")


@NEEDS_LANDLOCK
async def test_a_user_without_any_privilege_confines_children_too(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"content")
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    command = [*drop, sys.executable, "-m", "tests.unit.children.plain_user", os.fspath(tmp_path)]
    user = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
    told, _ = await user.communicate()

    assert told.split() == [b"CapEff:0000000000000000", b"given:content", b"secret:refused"]


@pytest.mark.parametrize(
    ("version", "filters", "said"),
    [(0, True, "no Landlock"), (2, True, "truncation"), (3, False, "calls cannot be filtered")],
)
async def test_what_a_kernel_lacks_is_said(
    monkeypatch: pytest.MonkeyPatch, version: int, filters: bool, said: str
) -> None:
    monkeypatch.setattr(landlock, "version", lambda: version)
    monkeypatch.setattr(seccomp, "available", lambda: filters)
    (lacking,) = missing()
    assert said in lacking
