"""One engine kept alive, whatever pages do to it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ocrd.engine.base import EngineState, PageRequest
from ocrd.engine.poison import KnownKillers
from ocrd.engine.resident.settings import VllmSettings
from ocrd.engine.resident.supervisor import EngineSupervisor, pause_s
from ocrd.errors import EngineDownError, EngineSetupError, PageError, PageFaultError
from ocrd.events import Event, Events
from ocrd.page import PageResult
from tests.unit.engine_vllm.fakes import OOM, World, page

SETTINGS = VllmSettings(model="m", max_pages_in_flight=64, max_crops=6)
HANG_S = 120
# As vLLM 0.32 says it.
CUT_OFF = """EngineCore failed to start.
Traceback (most recent call last):
  File "vllm/compilation/caching.py", line 304, in deserialize_compile_artifacts
    state = pickle.loads(data)
_pickle.UnpicklingError: pickle data was truncated"""


class Watched:
    """A supervisor in a world, and what it told."""

    def __init__(self, world: World, settings: VllmSettings = SETTINGS) -> None:
        self.told: list[Event] = []
        self.stages: list[str] = []
        self.killers = KnownKillers()
        self.supervisor = EngineSupervisor(
            name="gpu:0",
            settings=settings,
            build=world.build,
            events=Events(self.told.append),
            killers=self.killers,
            sleep=world.sleep,
        )

    def names(self) -> list[str]:
        return [event.name for event in self.told]


@asynccontextmanager
async def serving(world: World, settings: VllmSettings = SETTINGS) -> AsyncIterator[Watched]:
    watched = Watched(world, settings)
    await watched.supervisor.start(watched.stages.append)
    try:
        async with asyncio.timeout(HANG_S):
            yield watched
    finally:
        await watched.supervisor.stop()


async def read_all(
    supervisor: EngineSupervisor, pages: list[PageRequest]
) -> dict[str, PageResult | BaseException]:
    answers = await asyncio.gather(*(supervisor.read(one) for one in pages), return_exceptions=True)
    return {one.id: answer for one, answer in zip(pages, answers, strict=True)}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(HANG_S):
        while not condition():  # noqa: ASYNC110 - what is waited for is a state, not an event
            await asyncio.sleep(0)


async def through_a_death(
    watched: Watched, world: World, count: int
) -> dict[str, PageResult | BaseException]:
    """Pages whose engine dies as soon as it has them all."""
    world.hold = asyncio.Event()
    pages = [page(f"p{n}") for n in range(count)]
    reading = asyncio.create_task(read_all(watched.supervisor, pages))
    await until(lambda: world.most_at_once == count)
    world.clients[0].die()
    world.hold.set()
    return await reading


async def failing(world: World) -> tuple[Watched, EngineSetupError]:
    """A supervisor that does not come up, and why."""
    watched = Watched(world)
    with pytest.raises(EngineSetupError) as failure:
        await watched.supervisor.start(watched.stages.append)
    assert watched.supervisor.state is EngineState.FAILED
    return watched, failure.value


async def test_never_more_pages_are_in_the_engine_than_configured() -> None:
    world = World()
    async with serving(world, VllmSettings(model="m", max_pages_in_flight=3)) as watched:
        assert watched.stages == ["loading the weights"]
        answers = await read_all(watched.supervisor, [page(f"p{n}") for n in range(20)])
        assert all(isinstance(a, PageResult) and a.text == name for name, a in answers.items())
    assert world.most_at_once == 3


async def test_pages_in_flight_when_the_engine_is_killed_are_read_by_the_next() -> None:
    world = World()
    async with serving(world) as watched:
        answers = await through_a_death(watched, world, 20)
        assert all(isinstance(answer, PageResult) for answer in answers.values())
        assert [client.closed for client in world.clients] == [True, False]
        assert watched.names() == ["engine.ready", "engine.died", "engine.suspects", "engine.ready"]


@pytest.mark.parametrize(("killers", "most"), [({"p13"}, 4), ({"p3", "p30"}, 12)])
async def test_pages_that_always_kill_the_engine_are_found_and_their_neighbours_go_on(
    killers: set[str], most: int
) -> None:
    world = World(killers=killers)
    async with serving(world) as watched:
        answers = await read_all(watched.supervisor, [page(f"p{n}") for n in range(40)])
        failed = {name for name, answer in answers.items() if not isinstance(answer, PageResult)}
        assert failed == killers
        for killer in killers:
            error = answers[killer]
            assert isinstance(error, PageError)
            assert error.kind == "kills-engine"
            assert {killer} in world.deaths, "alone in the engine at its conviction"
        told = [event.fields for event in watched.told if event.name == "engine.page-kills"]
        assert {fields["page"] for fields in told} == killers
        assert {fields["device"] for fields in told} == {"gpu:0"}
        assert len(world.deaths) <= most
        with pytest.raises(PageError):
            await watched.killers.refuse(page("again").image)


async def test_pages_that_come_during_the_search_wait_and_are_read() -> None:
    world = World(killers={"bad"})
    async with serving(world) as watched:
        crowd = asyncio.create_task(read_all(watched.supervisor, [page("bad"), page("good")]))
        await until(
            lambda: watched.supervisor.on_trial and watched.supervisor.state is EngineState.READY
        )
        late = await watched.supervisor.read(page("late"))
        await crowd
        assert late.text == "late"
        assert all("late" not in death for death in world.deaths)


async def test_when_the_engine_dies_of_every_page_the_pages_are_not_to_blame() -> None:
    names = [f"p{n}" for n in range(8)]
    world = World(killers=set(names))
    async with serving(world) as watched:
        answers = await read_all(watched.supervisor, [page(name) for name in names])
        convicted = [a for a in answers.values() if isinstance(a, PageError)]
        waiting = [a for a in answers.values() if isinstance(a, EngineDownError)]
        assert (len(convicted), len(waiting)) == (3, 5)


async def test_a_page_whose_caller_gives_up_during_the_search_holds_up_nobody() -> None:
    world = World(killers={"bad"}, turns=10)
    async with serving(world) as watched:
        bad = asyncio.create_task(watched.supervisor.read(page("bad")))
        await until(lambda: watched.supervisor.on_trial)
        bad.cancel()
        await asyncio.gather(bad, return_exceptions=True)
        await until(lambda: watched.supervisor.state is EngineState.READY)
        assert (await watched.supervisor.read(page("good"))).text == "good"
        assert not watched.supervisor.on_trial


async def test_while_there_is_no_engine_pages_are_sent_back_to_wait() -> None:
    world = World(refusals=[None, ["cannot"], ["cannot"]])
    async with serving(world) as watched:
        answers = await through_a_death(watched, world, 2)
        assert all(isinstance(answer, EngineDownError) for answer in answers.values())
        await until(lambda: watched.supervisor.state is EngineState.READY)
        assert (await watched.supervisor.read(page("a"))).text == "a"
        assert world.pauses == [0.0, 1.0, 2.0]


async def test_a_new_page_does_not_wait_for_an_engine_that_is_restarting() -> None:
    world = World(refusals=[None, ["no"], ["no"], ["no"]])
    async with serving(world) as watched:
        world.clients[0].die()
        await until(lambda: watched.supervisor.state is EngineState.RESTARTING)
        with pytest.raises(EngineDownError, match="restarting"):
            await watched.supervisor.read(page())


async def test_out_of_memory_at_the_start_gives_up_one_setting_after_the_other() -> None:
    world = World(refusals=[[OOM], [OOM], None])
    async with serving(world) as watched:
        assert watched.supervisor.steps == [
            "gpu_memory_utilization 0.9 -> 0.75",
            "gpu_memory_utilization 0.75 -> 0.65",
        ]
        shares = [settings.gpu_memory_utilization for settings in world.started_with]
        assert shares == [0.9, 0.75, 0.65]
        assert watched.names() == ["engine.step", "engine.step", "engine.ready"]


async def test_out_of_memory_at_run_lowers_a_setting_and_accuses_no_page() -> None:
    world = World(last_words=[OOM])
    async with serving(world) as watched:
        answers = await through_a_death(watched, world, 2)
        assert all(isinstance(answer, PageResult) for answer in answers.values())
        assert watched.supervisor.steps == ["gpu_memory_utilization 0.9 -> 0.75"]
        assert world.clients[1].crowds[-1] == {"p0", "p1"}, "together again, no suspects"


async def test_with_nothing_left_to_give_up_the_start_fails_with_a_remedy() -> None:
    _, error = await failing(world := World(refusals=[[OOM]] * 20))
    assert error.kind == "gpu-memory"
    assert world.started_with[-1].resolution == "small"


@pytest.fixture
def cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of the compile cache that ends early."""
    monkeypatch.setenv("VLLM_CACHE_ROOT", str(tmp_path))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    cut_off = tmp_path / "torch_compile_cache" / "8f2a" / "model"
    cut_off.parent.mkdir(parents=True)
    cut_off.write_bytes(b"cut o")
    return cut_off


async def test_a_broken_compile_cache_is_said_and_made_anew(cut_off: Path) -> None:
    async with serving(World(refusals=[[CUT_OFF], None])) as watched:
        assert watched.names() == ["engine.compile-cache", "engine.ready"]
        assert watched.told[0].fields["reason"].startswith("_pickle.UnpicklingError")
        assert watched.stages[1].startswith("compiling anew")
    assert not cut_off.exists()  # noqa: ASYNC240 - of a test, which may wait


@pytest.mark.usefixtures("cut_off")
async def test_an_engine_that_fails_so_on_a_new_cache_is_not_started_for_ever() -> None:
    watched, _ = await failing(World(refusals=[[CUT_OFF]] * 5))
    assert watched.names() == ["engine.compile-cache"]


async def test_any_other_failure_at_the_start_is_told_at_once_and_may_pass() -> None:
    watched, error = await failing(World(refusals=[["ValueError: no such dtype: float13"], None]))
    assert "float13" in error.message
    assert watched.supervisor.steps == []
    watched.supervisor.start_later()
    await until(lambda: watched.supervisor.state is EngineState.READY)
    await watched.supervisor.stop()


async def test_a_page_out_of_time_in_a_living_engine_costs_only_itself() -> None:
    world = World(error=PageFaultError("too slow", hint="-", kind="timed-out"))
    async with serving(world) as watched:
        with pytest.raises(PageFaultError):
            await watched.supervisor.read(page("slow"))
        world.error = None
        assert (await watched.supervisor.read(page("next"))).text == "next"
        assert not world.clients[0].killed


async def test_an_engine_that_hangs_is_killed_and_replaced() -> None:
    timed_out = PageFaultError("too slow", hint="-", kind="timed-out")
    world = World(error=timed_out, responds=False)
    async with serving(world) as watched:
        with pytest.raises(PageFaultError):
            await watched.supervisor.read(page("slow"))
        await until(lambda: len(world.clients) == 2)
        assert world.clients[0].killed
        assert "engine.hung" in watched.names()


async def test_stopping_sends_back_the_pages_in_flight_and_closes_the_engine() -> None:
    world = World(hold=asyncio.Event())
    async with serving(world) as watched:
        reading = asyncio.create_task(read_all(watched.supervisor, [page("a"), page("b")]))
        await until(lambda: world.most_at_once == 2)
        await watched.supervisor.stop()
        answers = await reading
        assert all(isinstance(answer, EngineDownError) for answer in answers.values())
        assert world.clients[0].closed
        assert watched.supervisor.state is EngineState.STOPPED
        assert len(world.clients) == 1, "stopping is no death"


@pytest.mark.parametrize(
    ("barren", "seconds"), [(0, 0), (1, 0), (2, 1), (3, 2), (6, 16), (11, 300), (2000, 300)]
)
def test_the_pause_before_a_start_doubles_up_to_five_minutes(barren: int, seconds: float) -> None:
    assert pause_s(barren) == seconds
