"""A pool of children: every call ends, and what it breaks is its child."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from ocrd.children import ChildPool
from ocrd.children import pool as pool_module
from ocrd.children.pool import AGAIN_S
from ocrd.errors import BadFileError, EngineDownError, OcrdError, PageFaultError
from tests.support.forked_children import fork_children
from tests.support.needs import slow
from tests.support.waiting import until
from tests.unit.children import calls
from tests.unit.children.support import children, descriptors, is_running, make_pool

ON_SHARED = pytest.mark.asyncio(loop_scope="module")
FORKED = pytest.mark.usefixtures("forks")


@pytest.fixture
def pool() -> Iterator[ChildPool]:
    """Two children."""
    pool = make_pool(processes=2)
    yield pool
    pool.stop()


@pytest.fixture
def forks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children are up at once: for tests of what becomes of them, not of how they begin."""
    fork_children(monkeypatch.setattr)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[ChildPool]:
    """One child, for calls that do not break it."""
    pool = make_pool()
    yield pool
    pool.stop()


@ON_SHARED
async def test_a_call_runs_in_another_process_and_its_value_comes_back(shared: ChildPool) -> None:
    assert await shared.run(calls.sleep, 0) != os.getpid()
    assert await shared.run(calls.spin_for, 0.0) >= 0.0


@ON_SHARED
async def test_a_page_image_comes_and_goes_byte_for_byte(shared: ChildPool) -> None:
    image = await shared.run(calls.image, 3200)  # 30 MB

    assert (image.width, image.height) == (3200, 3200)
    assert image.rgb == bytes(range(256)) * (3200 * 3200 * 3 // 256)
    assert await shared.run(calls.total, image) == sum(range(256)) * (3200 * 3200 * 3 // 256)


@FORKED
async def test_each_scope_has_a_process_of_its_own_and_shares_it_with_no_other(
    tmp_path: Path,
) -> None:
    pool = make_pool(processes=2)
    one, other = tmp_path / "one", tmp_path / "other"
    first = await asyncio.gather(
        *(pool.run(calls.sleep, 0.1, readable=[path]) for path in (one, other))
    )
    again = [await pool.run(calls.pid, readable=[path]) for path in (one, one, other, one)]
    third = await pool.run(calls.pid)
    pool.stop()

    assert again == [first[0], first[0], first[1], first[0]]
    assert len({*first, third}) == 3


@FORKED
@pytest.mark.parametrize("resident", [False, True])
async def test_who_makes_the_calls_is_replaced_after_its_share(resident: bool) -> None:
    """A resident child makes all calls itself."""
    pool = make_pool(resident=resident, max_tasks=4)
    pids = [await pool.run(calls.pid) for _ in range(8)]
    keeper = await pool.run(calls.keeper)
    pool.stop()

    assert len(set(pids[:3])) == 1
    assert len(set(pids)) == 3
    assert (keeper == os.getpid()) == resident


@FORKED
async def test_calls_run_side_by_side_but_never_more_than_there_are_children(
    pool: ChildPool,
) -> None:
    pids = await asyncio.gather(*(pool.run(calls.sleep, 0.05) for _ in range(8)))

    assert len(set(pids)) == 2


@ON_SHARED
async def test_an_error_of_ours_arrives_as_itself_with_the_childs_traceback(
    shared: ChildPool,
) -> None:
    with pytest.raises(BadFileError) as caught:
        await shared.run(calls.bad_file, "encrypted")

    error = caught.value
    assert (error.message, error.hint, error.kind) == (
        "It is encrypted.",
        "Scan it again.",
        "encrypted",
    )
    assert "calls.py" in error.__notes__[0]


@ON_SHARED
async def test_an_error_nobody_foresaw_arrives_as_unexpected_and_spares_the_child(
    shared: ChildPool,
) -> None:
    before = await shared.run(calls.pid)
    with pytest.raises(PageFaultError, match="nobody foresaw this") as caught:
        await shared.run(calls.key_error)

    assert caught.value.kind == "unexpected"
    assert await shared.run(calls.pid) == before


@ON_SHARED
async def test_a_value_that_cannot_be_sent_is_unexpected_not_a_hang(shared: ChildPool) -> None:
    with pytest.raises(PageFaultError, match="no plain data") as caught:
        await shared.run(calls.unsendable)

    assert caught.value.kind == "unexpected"


@FORKED
@pytest.mark.parametrize(
    ("call", "words"),
    [(calls.crash, "SIGSEGV"), (calls.abort, "SIGABRT"), (calls.leave, "status 7")],
)
async def test_a_child_that_dies_is_a_crash_that_says_how(
    pool: ChildPool, call: Callable[[], object], words: str
) -> None:
    with pytest.raises(PageFaultError, match=words) as caught:
        await pool.run(call)

    assert caught.value.kind == "crashed"
    assert caught.value.hint
    assert await pool.run(calls.pid)


@FORKED
async def test_a_call_that_takes_too_long_is_killed(pool: ChildPool, tmp_path: Path) -> None:
    victim = await pool.run(calls.pid)
    with pytest.raises(PageFaultError, match=r"longer than 0\.2 s") as caught:
        await pool.run(calls.sleep, 60, wall_s=0.2)

    assert caught.value.kind == "timed-out"
    await until(lambda: not is_running(victim))


@FORKED
async def test_a_call_that_burns_cpu_is_stopped_by_the_kernel() -> None:
    pool = make_pool(cpu_s=1, wall_s=30.0)
    with pytest.raises(PageFaultError, match="CPU time") as caught:
        await pool.run(calls.spin)
    pool.stop()

    assert caught.value.kind == "timed-out"


@FORKED
async def test_each_call_has_the_cpu_time_for_itself() -> None:
    pool = make_pool(cpu_s=1, wall_s=30.0)
    pids = set()
    for _ in range(3):  # 1.2 s in one child: more than one call may use
        await pool.run(calls.spin_for, 0.4)
        pids.add(await pool.run(calls.pid))
    pool.stop()

    assert len(pids) == 1


async def test_a_call_that_wants_too_much_memory_is_told_so_and_its_child_replaced(
    pool: ChildPool,
) -> None:
    before = await pool.run(calls.pid)
    assert await pool.run(calls.allocate, 200) == 200 << 20
    with pytest.raises(PageFaultError) as caught:
        await pool.run(calls.allocate, 600)

    assert caught.value.kind == "out-of-memory"
    assert await pool.run(calls.pid) != before


@FORKED
async def test_a_child_killed_in_a_call_is_told_so(pool: ChildPool) -> None:
    victim = await pool.run(calls.pid)
    call = asyncio.create_task(pool.run(calls.sleep, 60))
    await asyncio.sleep(0.1)
    os.kill(victim, signal.SIGKILL)

    with pytest.raises(PageFaultError, match="was killed") as caught:
        await call
    assert caught.value.kind == "killed"


@pytest.fixture
def starved(tmp_path: Path) -> Iterator[Path]:
    """A control group with 200 MiB of memory."""
    old = Path("/sys/fs/cgroup/memory")
    group = (old if old.is_dir() else Path("/sys/fs/cgroup")) / f"ocrd-test-{os.getpid()}"
    limit = "memory.limit_in_bytes" if old.is_dir() else "memory.max"
    try:
        group.mkdir()
        (group / limit).write_text("200M")
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    yield group
    group.rmdir()


async def test_a_child_that_the_kernel_kills_for_memory_is_no_fault_of_its_page(
    starved: Path,
) -> None:
    pool = make_pool(memory_mib=2048)
    victim = await pool.run(calls.pid)
    (starved / "cgroup.procs").write_text(str(victim))
    with pytest.raises(EngineDownError, match="no memory left") as caught:
        await pool.run(calls.allocate, 900)
    pool.stop()

    assert caught.value.kind == "no-memory"
    await until(lambda: (starved / "cgroup.procs").read_text() == "")


@FORKED
async def test_a_page_that_begins_meanwhile_hides_no_kill_for_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, kills = 100.0, 7
    monkeypatch.setattr(pool_module, "_oom_kills", lambda: kills)
    pool = make_pool(processes=2, clock=lambda: now)
    victim = await pool.run(calls.pid)
    killed = asyncio.create_task(pool.run(calls.sleep, 30))
    await until(lambda: not pool._idle)
    now, kills = 200.0, 8  # as the kernel counts it, before we hear of the end
    await pool.run(calls.pid)
    os.kill(victim, signal.SIGKILL)
    with pytest.raises(EngineDownError) as caught:
        await killed
    pool.stop()
    assert caught.value.kind == "no-memory"


@FORKED
async def test_an_idle_child_that_was_killed_costs_nobody_a_call(pool: ChildPool) -> None:
    victim = await pool.run(calls.pid)
    (child,) = children()
    os.kill(victim, signal.SIGKILL)
    await until(lambda: not is_running(child))  # it ends as its servant did

    assert await pool.run(calls.pid) != victim


@FORKED
async def test_signals_for_the_daemon_do_not_reach_its_children(pool: ChildPool) -> None:
    pid, session = await pool.run(calls.session)
    assert session not in (os.getsid(0), pid)

    call = asyncio.create_task(pool.run(calls.sleep, 0.3))
    await asyncio.sleep(0.1)
    os.kill(pid, signal.SIGTERM)
    os.kill(pid, signal.SIGINT)
    assert await call == pid


@FORKED
async def test_cancelling_a_call_kills_its_child(pool: ChildPool) -> None:
    victim = await pool.run(calls.pid)
    call = asyncio.create_task(pool.run(calls.sleep, 60))
    await asyncio.sleep(0.1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    await until(lambda: not is_running(victim))
    assert await pool.run(calls.pid) != victim


async def test_a_burst_of_cancellations_leaves_a_pool_that_serves(pool: ChildPool) -> None:
    for patience_s in (0.0, 0.01, 0.15, 0.3):  # before, while and after children start
        burst = [asyncio.create_task(pool.run(calls.sleep, 60)) for _ in range(100)]
        await asyncio.sleep(patience_s)
        for call in burst:
            call.cancel()
        ended = await asyncio.gather(*burst, return_exceptions=True)
        assert {type(end) for end in ended} == {asyncio.CancelledError}

    keepers = {await pool.run(calls.keeper) for _ in range(8)}
    assert len(keepers) in (1, 2)
    await until(
        lambda: keepers <= children() and len(children()) <= 2
    )  # who was cancelled did not wait for its child


@slow
@FORKED
async def test_fifty_crashes_in_a_row_leave_a_pool_that_serves(pool: ChildPool) -> None:
    kinds = []
    for _ in range(50):
        try:
            await pool.run(calls.abort)
        except OcrdError as error:
            kinds.append(error.kind)

    assert kinds == ["crashed"] * 50
    assert pool.alive()
    assert await pool.run(calls.pid)


@slow
async def test_three_hundred_calls_leave_no_zombie_and_no_descriptor() -> None:
    pool = make_pool(processes=2, max_tasks=25)
    await asyncio.gather(*(pool.run(calls.sleep, 0.05) for _ in range(2)))
    before = descriptors()
    ended = await asyncio.gather(
        *(pool.run(calls.abort if number % 30 == 29 else calls.pid) for number in range(300)),
        return_exceptions=True,
    )

    assert sum(isinstance(end, PageFaultError) for end in ended) == 10
    assert sum(isinstance(end, int) for end in ended) == 290
    assert descriptors() <= before
    assert len(children()) <= 2
    pool.stop()
    assert children() == set()


@FORKED
async def test_stopping_ends_every_call_and_every_child(pool: ChildPool) -> None:
    flying = [asyncio.create_task(pool.run(calls.sleep, 60)) for _ in range(5)]
    await until(lambda: len(children()) == 2)
    await asyncio.sleep(0.3)
    pool.stop()
    ended = await asyncio.gather(*flying, return_exceptions=True)

    assert [type(end) for end in ended] == [EngineDownError] * 5
    assert {end.kind for end in ended if isinstance(end, OcrdError)} == {"stopped"}
    assert children() == set()
    assert not pool.alive()
    with pytest.raises(EngineDownError):
        await pool.run(calls.pid)


async def test_a_child_killed_while_it_comes_up_is_replaced(pool: ChildPool) -> None:
    flying = asyncio.create_task(pool.run(calls.pid))
    while not (born := children()):  # noqa: ASYNC110 - a process has no event
        await asyncio.sleep(0)  # no longer, or it is up before it is seen
    (victim,) = born
    os.kill(victim, signal.SIGKILL)
    assert await flying != victim


async def test_a_child_that_cannot_come_up_is_nobodys_page_and_shows_in_alive() -> None:
    pool = make_pool(preload=("ocrd.no_such_module",))
    for _ in range(2):
        with pytest.raises(EngineDownError, match="no_such_module") as caught:
            await pool.run(calls.pid)
        assert caught.value.kind == "no-children"

    assert not pool.alive()
    assert children() == set()


@FORKED
async def test_a_pool_in_which_no_child_came_up_may_be_tried_again_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that is not alive is sent no page: nobody else would ever find out."""
    monkeypatch.syspath_prepend(str(tmp_path))  # children look for modules where we do
    now = 1000.0
    pool = make_pool(preload=("comes_later",), clock=lambda: now)
    for _ in range(2):
        with pytest.raises(EngineDownError):
            await pool.run(calls.pid)
    assert not pool.alive()
    now += AGAIN_S
    assert pool.alive()
    with pytest.raises(EngineDownError):
        await pool.run(calls.pid)
    assert not pool.alive()
    now += AGAIN_S
    (tmp_path / "comes_later.py").touch()
    assert await pool.run(calls.pid)
    assert pool.alive()
    pool.stop()


async def test_children_end_with_the_daemon_even_if_it_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    daemon = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.unit.children.daemon", os.fspath(file)
    )
    await until(file.exists)
    child = int(file.read_text())
    assert is_running(child)
    daemon.kill()
    await daemon.wait()

    await until(lambda: not is_running(child))


async def test_children_made_ready_beforehand_take_the_first_calls(pool: ChildPool) -> None:
    pool.warm(5)
    await until(lambda: len(pool._idle) == 2)
    ready = children()
    assert {await pool.run(calls.keeper) for _ in range(3)} <= ready
    pool.warm(5)
    await asyncio.sleep(0.1)
    assert children() == ready


async def test_a_call_while_children_are_made_ready_makes_no_more_of_them(pool: ChildPool) -> None:
    pool.warm(1)
    pids = await asyncio.gather(*(pool.run(calls.pid) for _ in range(4)))
    assert len(set(pids)) <= 2
    assert len(children()) <= 2


async def test_stopping_ends_children_that_are_being_made_ready(pool: ChildPool) -> None:
    pool.warm(2)
    await until(lambda: len(children()) > 0)
    pool.stop()
    await until(lambda: children() == set())
    with pytest.raises(EngineDownError):
        await pool.run(calls.pid)
