"""What a job's folder says about itself is one file; an older ocrd's three are taken over."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from ocrd.files import Disk
from ocrd.job import Job
from ocrd.spool.jobdir import FinalNames, Intent, JobDir, Phase
from tests.unit.spool.steps import Call, Hooked
from tests.unit.spool.world import ORIGINAL, World

NAMES = {"outputs": "/o/scan", "archived_to": "/a/sc\udce9an.pdf", "failed_to": None}


def as_before(world: World, job: Job, moves: dict[str, dict[str, str | None]]) -> Path:
    """The job's folder as the version before left it, with these moves under way."""
    home = world.spool().spooled(job).parent
    told = json.loads((home / "job.json").read_bytes())
    told = {key: told[key] for key in told if key not in ("names", "moves")} | {"version": 1}
    (home / "job.json").write_text(json.dumps(told))
    (home / "names.json").write_text(json.dumps(NAMES))
    for step, move in moves.items():
        (home / f"{step}.move").write_text(json.dumps({"version": 1, **move}))
    return home


def moving(phase: Phase, source: Path, target: Path, part: Path | None) -> dict[str, str | None]:
    return {
        "phase": phase.value,
        "source": str(source),
        "target": str(target),
        "part": None if part is None else str(part),
    }


def opened(home: Path) -> JobDir:
    return JobDir(home, home.name.partition("-")[2], home / "source", Disk())


def test_each_part_is_kept_beside_the_others(world: World) -> None:
    job = world.claimed()
    jobdir = opened(world.spool().spooled(job).parent)
    before, _ = jobdir.recorded()
    intent = Intent(source=Path("/s"), target=Path("/t\udcff"), phase=Phase.LINKING)
    jobdir.keep_move("archive", intent)
    jobdir.keep_names(job)
    jobdir.keep_move("publish", intent.at(Phase.PLACED))
    jobdir.keep_move("archive", None)
    names = FinalNames(outputs=None, archived_to=None, failed_to=None)
    assert (before is not None, jobdir.recorded()) == (True, (before, names))
    assert jobdir.moves() == {"publish": intent.at(Phase.PLACED)}


@pytest.mark.parametrize("call", ["write", "fsync_file", "rename", "fsync_dir"])
def test_a_held_record_says_what_the_disk_says_be_it_written_or_not(
    world: World, call: str
) -> None:
    job = world.claimed()
    home = world.spool().spooled(job).parent
    intent = Intent(source=Path("/s"), target=Path("/t"), phase=Phase.LINKING)
    refused: list[Call] = []

    def refuse_once(this: Call) -> None:
        if this.name == call and not refused:
            refused.append(this)
            raise OSError(errno.ENOSPC, "no space is left")

    jobdir = JobDir(home, job.token, home / "source", Hooked(refuse_once))
    with jobdir.held():
        with pytest.raises(OSError, match="no space"):
            jobdir.keep_move("archive", intent)
        assert jobdir.moves() == opened(home).moves()
        jobdir.keep_move("archive", intent)
        assert jobdir.moves() == opened(home).moves() == {"archive": intent}
        jobdir.keep_move("archive", None)
        assert jobdir.moves() == opened(home).moves() == {}
    opened(home).keep_move("publish", intent)  # by a later life: a step that follows reads it
    assert jobdir.moves() == {"publish": intent}


def test_a_move_that_the_version_before_had_begun_is_finished(world: World) -> None:
    job = world.claimed()
    target = world.tree("archive") / "scan.pdf"
    part = target.with_name(f".ocrd-{job.token}.part")
    part.write_bytes(ORIGINAL)
    moves = {"archive": moving(Phase.COPIED, world.spool().spooled(job), target, part)}
    home = as_before(world, job, moves)
    world.spool().archive(job, target)
    assert (world.visible(), world.temporaries()) == ({"archive/scan.pdf": ORIGINAL}, [])
    assert [path.name for path in home.iterdir()] == ["job.json"]
    assert opened(home).recorded()[1] == FinalNames(**NAMES)


def test_a_copy_that_the_version_before_had_begun_goes_with_its_job(world: World) -> None:
    job = world.claimed()
    target = world.tree("outbox") / "scan"
    part = target.with_name(f".ocrd-{job.token}.part")
    part.mkdir()
    bundle = world.spool().new_bundle(job)
    as_before(world, job, {"publish": moving(Phase.COPYING, bundle, target, part)})
    world.spool().archive(job, world.tree("archive") / "scan.pdf")
    world.spool().finish(job)
    assert (world.files(), world.temporaries()) == ({"archive/scan.pdf": ORIGINAL}, [])


def test_an_orphan_of_the_version_before_tells_its_names(world: World) -> None:
    job = world.claimed()
    as_before(world, job, {})
    (orphan,) = world.spool().orphans()
    assert orphan.names == FinalNames(**NAMES)
    assert orphan.record is not None and orphan.record.found.source == job.source


def test_names_that_were_half_written_by_the_version_before_are_none(world: World) -> None:
    job = world.claimed()
    home = as_before(world, job, {})
    (home / "names.json").write_text('{"outputs": "/o')
    record, names = opened(home).recorded()
    assert (record is not None, names) == (True, None)
