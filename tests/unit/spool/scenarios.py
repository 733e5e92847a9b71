"""Each operation of the spool: the state it starts from, what it does, what there is afterwards."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from ocrd.config.ownership import AS_AROUND, Ownership
from ocrd.errors import SourceChangedError
from ocrd.files import Disk
from ocrd.job import Job, Page, PageState, Place
from ocrd.pagelog import Entry
from ocrd.spool import Spool
from tests.unit.spool.steps import Call, Hooked, Trace
from tests.unit.spool.world import (
    MEMBERS,
    ORIGINAL,
    PIECES,
    REPORT,
    TOKEN,
    World,
    build,
    bundle_at,
    members_at,
    pieces_at,
)

HOME = f"7-{TOKEN}"
INBOX = "inbox/letters/scan.pdf"
ARCHIVED = "archive/letters/2026/scan.pdf"
ARCHIVED_OTHERWISE = "archive/letters/2026/scan (2).pdf"
FAILED = "failed/letters/scan.pdf"
FAILED_REPORT = f"{FAILED}.error.json"
TEAM = Ownership(group="team", gid=100 if os.geteuid() == 0 else os.getegid(), umask=0o007)
PUBLISHED = "outbox/letters/scan"
PUBLISHED_OTHERWISE = "outbox/letters/scan (2)"
THEIRS = b"somebody else's"


@dataclass(frozen=True)
class Scenario:
    """One operation.

    Attributes:
        name: For the test's name.
        prepare: Makes the state it starts from; the job.
        act: The operation.  Doing it again after a crash must complete it.
        before: What is visible when it starts.
        after: What is visible at its end.
        spooled: What the spool holds at its end.
        kept: What must never be lost, nor seen twice.
        owner: What everything that appears must be given, if anything.
        last: What may not be seen before all the rest is.
    """

    name: str
    prepare: Callable[[World], Job]
    act: Callable[[Spool, World, Job], object]
    before: Mapping[str, bytes] = field(default_factory=dict)
    after: Mapping[str, bytes] = field(default_factory=dict)
    spooled: tuple[str, ...] = ()
    kept: tuple[bytes, ...] = (ORIGINAL,)
    owner: Ownership = AS_AROUND
    last: str = ""


def _claim(spool: Spool, world: World, job: Job) -> None:
    path = spool.claim(job, world.root / INBOX)
    assert path.read_bytes() == ORIGINAL


def _changed_since(world: World) -> Job:
    job = world.drop("letters/scan.pdf", b"an earlier scan")
    (world.root / INBOX).write_bytes(ORIGINAL)
    return job


def _claim_changed(spool: Spool, world: World, job: Job) -> None:
    with pytest.raises(SourceChangedError) as caught:
        spool.claim(job, world.root / INBOX)
    assert caught.value.kind == "source-changed"


def _failed_before(world: World) -> Job:
    job = world.drop("letters/scan.pdf", tree="failed")
    (world.root / FAILED_REPORT).write_bytes(REPORT)
    return replace(job, place=Place.FAILED, failed_to=str(world.root / FAILED))


def _keep_pages(spool: Spool, _world: World, job: Job) -> None:
    """Two pages; what was finished before a crash is not made again."""
    log = spool.page_log(job)
    log.begin("recipe", job.sha256)
    finished = [entry.page.number for entry in log.entries()]
    for number in {1, 2}.difference(finished):
        page = Page(number=number, state=PageState.DONE)
        log.append(Entry(page=page, result='{"text":"read"}'))
    assert [entry.page.number for entry in spool.page_log(job).entries()] == [1, 2]


def _stale_bundle(world: World) -> Job:
    job = world.claimed()
    stale = world.spool().new_bundle(job) / "old"
    stale.mkdir()
    (stale / "left.md").write_bytes(b"half")
    return job


def _publish_pieces(spool: Spool, world: World, job: Job) -> None:
    folder = world.root / "outbox" / "letters"
    targets = [(f"{name}", folder / f"scan{name}") for name in (".json", ".md")]
    for entry, target in [("scan.images", folder / "scan.images"), *targets]:
        spool.publish(job, target, entry=entry)


def _archived(world: World) -> Job:
    job = world.bundled()
    world.spool().archive(job, world.root / ARCHIVED)
    return job


def _put_back(spool: Spool, world: World, _job: Job) -> None:
    for orphan in spool.orphans():
        spool.put_back(orphan, world.tree("inbox"))


def _taken(world: World, job: Job, name: str) -> Job:
    """Somebody else's file has the name that was planned."""
    (world.root / name).parent.mkdir(parents=True, exist_ok=True)
    (world.root / name).write_bytes(THEIRS)
    _chosen(world).unlink(missing_ok=True)
    return job


def _chosen(world: World) -> Path:
    """Where the name is recorded that was chosen instead, as the ledger does it."""
    return world.root.parent / "chosen"


def _past_taken(move: Callable[[Path], object], world: World, planned: str, other: str) -> None:
    chosen = _chosen(world)
    try:
        move(world.root / (chosen.read_text() if chosen.exists() else planned))
    except FileExistsError:
        chosen.write_text(other)
        move(world.root / other)


_CLAIMED = (f"{HOME}/job.json", f"{HOME}/source.pdf")
_BUNDLE = tuple(bundle_at(f"{HOME}/bundle"))


def _leaving(owner: Ownership, suffix: str) -> tuple[Scenario, ...]:
    """What leaves the spool, and is given to the owner."""
    return (
        Scenario(
            f"publish{suffix}",
            lambda world: world.bundled(),
            lambda spool, world, job: spool.publish(job, world.root / PUBLISHED, owner),
            after=bundle_at(PUBLISHED),
            spooled=(*_CLAIMED, f"{HOME}/sealed"),
            owner=owner,
        ),
        Scenario(
            f"archive{suffix}",
            lambda world: world.claimed(),
            lambda spool, world, job: spool.archive(job, world.root / ARCHIVED, owner),
            after={ARCHIVED: ORIGINAL},
            spooled=(f"{HOME}/job.json",),
            owner=owner,
        ),
        Scenario(
            f"fail{suffix}",
            lambda world: world.claimed(),
            lambda spool, world, job: spool.fail(job, world.root / FAILED, REPORT, owner),
            after={FAILED: ORIGINAL, FAILED_REPORT: REPORT},
            spooled=(f"{HOME}/job.json",),
            owner=owner,
        ),
    )


ALONE = (
    *_leaving(AS_AROUND, ""),
    *_leaving(TEAM, " for a group"),
    Scenario(
        "claim",
        lambda world: world.drop("letters/scan.pdf"),
        _claim,
        before={INBOX: ORIGINAL},
        spooled=_CLAIMED,
    ),
    Scenario(
        "claim a changed file",
        _changed_since,
        _claim_changed,
        before={INBOX: ORIGINAL},
        after={INBOX: ORIGINAL},
    ),
    Scenario(
        "claim for a retry",
        _failed_before,
        lambda spool, world, job: spool.claim(job, world.root / FAILED),
        before={FAILED: ORIGINAL, FAILED_REPORT: REPORT},
        spooled=_CLAIMED,
    ),
    Scenario(
        "keep pages",
        lambda world: world.claimed(),
        _keep_pages,
        spooled=(*_CLAIMED, f"{HOME}/pages.jsonl"),
    ),
    Scenario(
        "build a bundle anew",
        _stale_bundle,
        lambda spool, _world, job: build(spool, job),
        spooled=(*_CLAIMED, f"{HOME}/sealed", *_BUNDLE),
    ),
    Scenario(
        "publish side by side",
        lambda world: world.bundled(content=PIECES),
        _publish_pieces,
        after=pieces_at("outbox/letters"),
        spooled=(*_CLAIMED, f"{HOME}/sealed"),
        last="outbox/letters/scan.md",
    ),
    Scenario(
        "archive past a taken name",
        lambda world: _taken(world, world.claimed(), ARCHIVED),
        lambda spool, world, job: _past_taken(
            lambda target: spool.archive(job, target), world, ARCHIVED, ARCHIVED_OTHERWISE
        ),
        before={ARCHIVED: THEIRS},
        after={ARCHIVED: THEIRS, ARCHIVED_OTHERWISE: ORIGINAL},
        spooled=(f"{HOME}/job.json",),
    ),
    Scenario(
        "publish past a taken name",
        lambda world: _taken(world, world.bundled(), f"{PUBLISHED}/theirs.md"),
        lambda spool, world, job: _past_taken(
            lambda target: spool.publish(job, target), world, PUBLISHED, PUBLISHED_OTHERWISE
        ),
        before={f"{PUBLISHED}/theirs.md": THEIRS},
        after={f"{PUBLISHED}/theirs.md": THEIRS, **bundle_at(PUBLISHED_OTHERWISE)},
        spooled=(*_CLAIMED, f"{HOME}/sealed"),
    ),
    Scenario(
        "finish",
        _archived,
        lambda spool, _world, job: spool.finish(job),
        before={ARCHIVED: ORIGINAL},
        after={ARCHIVED: ORIGINAL},
    ),
    Scenario(
        "put an orphan back",
        lambda world: world.bundled(),
        _put_back,
        after={INBOX: ORIGINAL},
    ),
)


def _claim_joined(spool: Spool, world: World, job: Job) -> None:
    path = spool.claim(job, world.tree("inbox") / job.source)
    assert {member.name: member.read_bytes() for member in path.iterdir()} == MEMBERS


def _changed_joined(world: World) -> Job:
    """The second of the members is another scan than the one that was recorded."""
    job = world.drop_joined()
    (world.root / JOINED_INBOX / "scan_2.jpg").write_bytes(ORIGINAL)
    return job


def _gone_joined(world: World) -> Job:
    job = world.drop_joined()
    (world.root / JOINED_INBOX / "scan_2.jpg").unlink()
    return job


def _refused_joined(kind: str) -> Callable[[Spool, World, Job], None]:
    """The claim of a document whose second member is not as it was."""

    def claim(spool: Spool, world: World, job: Job) -> None:
        with pytest.raises(SourceChangedError, match=r"letters/scan_2\.jpg") as caught:
            spool.claim(job, world.tree("inbox") / job.source)
        assert caught.value.kind == kind

    return claim


def _failed_joined(world: World) -> Job:
    job = world.drop_joined(tree="failed")
    (world.root / f"{JOINED_FAILED}.error.json").write_bytes(REPORT)
    failed_to = str(world.root / JOINED_FAILED)
    return replace(job, place=Place.FAILED, failed_to=failed_to)


JOINED_INBOX = "inbox/letters"
JOINED_ARCHIVED = "archive/letters/2026/scan"
JOINED_FAILED = "failed/letters/scan"
_FIRST, _SECOND = MEMBERS.values()
_JOINED_CLAIMED = (f"{HOME}/job.json", *members_at(f"{HOME}/source"))
_JOINED_REPORT = {f"{JOINED_FAILED}.error.json": REPORT}

JOINED = (
    Scenario(
        "claim joined",
        lambda world: world.drop_joined(),
        _claim_joined,
        before=members_at(JOINED_INBOX),
        spooled=_JOINED_CLAIMED,
        kept=(_FIRST, _SECOND),
    ),
    Scenario(
        "claim joined of which one changed",
        _changed_joined,
        _refused_joined("source-changed"),
        before={f"{JOINED_INBOX}/scan_1.jpg": _FIRST, f"{JOINED_INBOX}/scan_2.jpg": ORIGINAL},
        after={f"{JOINED_INBOX}/scan_1.jpg": _FIRST, f"{JOINED_INBOX}/scan_2.jpg": ORIGINAL},
        kept=(_FIRST, ORIGINAL),
    ),
    Scenario(
        "claim joined of which one is gone",
        _gone_joined,
        _refused_joined("source-gone"),
        before={f"{JOINED_INBOX}/scan_1.jpg": _FIRST},
        after={f"{JOINED_INBOX}/scan_1.jpg": _FIRST},
        kept=(_FIRST,),
    ),
    Scenario(
        "claim joined for a retry",
        _failed_joined,
        lambda spool, world, job: spool.claim(job, world.root / JOINED_FAILED),
        before={**members_at(JOINED_FAILED), **_JOINED_REPORT},
        spooled=_JOINED_CLAIMED,
        kept=(_FIRST, _SECOND),
    ),
    Scenario(
        "archive joined",
        lambda world: world.claimed_joined(),
        lambda spool, world, job: spool.archive(job, world.root / JOINED_ARCHIVED),
        after=members_at(JOINED_ARCHIVED),
        spooled=(f"{HOME}/job.json",),
        kept=(_FIRST, _SECOND),
    ),
    Scenario(
        "fail joined",
        lambda world: world.claimed_joined(),
        lambda spool, world, job: spool.fail(job, world.root / JOINED_FAILED, REPORT),
        after={**members_at(JOINED_FAILED), **_JOINED_REPORT},
        spooled=(f"{HOME}/job.json",),
        kept=(_FIRST, _SECOND),
    ),
    Scenario(
        "put a joined orphan back",
        lambda world: world.claimed_joined(),
        _put_back,
        after=members_at(JOINED_INBOX),
        kept=(_FIRST, _SECOND),
    ),
)

SCENARIOS = ALONE + JOINED


def names(scenario: Scenario) -> str:
    """A scenario's part in a test's name."""
    return scenario.name.replace(" ", "-")


def complaints(scenario: Scenario, world: World, *, reserving: bool = False) -> list[str]:
    """What is wrong with what can be seen in the middle of a scenario.

    Args:
        scenario: Which.
        world: Where.
        reserving: Whether an empty file may hold a name for a moment.
    """
    seen = world.visible()
    allowed = {**scenario.before, **scenario.after}
    wrong = [f"{name} appeared" for name in seen if name not in allowed]
    wrong += [
        f"{name} is half-written ({len(content)} bytes)"
        for name, content in seen.items()
        if name in allowed and content != allowed[name] and not (reserving and content == b"")
    ]
    bundle = set(bundle_at(PUBLISHED)) & set(seen)
    if bundle and bundle != set(bundle_at(PUBLISHED)):
        wrong.append(f"of the bundle only {sorted(bundle)} can be seen")
    if scenario.last in seen and seen.keys() != scenario.after.keys():
        wrong.append(f"{scenario.last} appeared before {scenario.after.keys() - seen.keys()}")
    wrong += foreign(scenario.owner, world, reserving=reserving)
    held = world.files().values()
    wrong += [f"{kept[:12]!r} is nowhere" for kept in scenario.kept if kept not in held]
    shown = list(seen.values())
    wrong += [f"{kept[:12]!r} is seen twice" for kept in scenario.kept if shown.count(kept) > 1]
    return wrong


def foreign(owner: Ownership, world: World, *, reserving: bool = False) -> list[str]:
    """What can be seen in the trees of results and does not belong to the owner."""
    if owner.gid is None or owner.umask is None:
        return []
    wrong = []
    for path in world.results():
        facts = path.lstat()
        folder = stat.S_ISDIR(facts.st_mode)
        wanted = 0o2777 & ~owner.umask if folder else 0o666 & ~owner.umask
        if reserving and not folder and facts.st_size == 0:
            continue
        if (facts.st_gid, stat.S_IMODE(facts.st_mode)) != (owner.gid, wanted):
            wrong.append(f"{path} has group {facts.st_gid} and mode {facts.st_mode:o}")
    return wrong


def outcome(world: World) -> tuple[dict[str, bytes], list[str], list[str]]:
    """Everything there is: visible files, stray temporaries, the spool's names."""
    return world.visible(), world.temporaries(), world.spooled()


def wanted(scenario: Scenario) -> tuple[dict[str, bytes], list[str], list[str]]:
    """What there must be at the end."""
    return dict(scenario.after), [], sorted(scenario.spooled)


def prepared(world: World, scenario: Scenario) -> Job:
    """The state the scenario starts from."""
    world.make()
    job = scenario.prepare(world)
    assert world.visible() == dict(scenario.before)
    return job


def trace(world: World, scenario: Scenario, disk: Disk) -> list[Call]:
    """The calls of an undisturbed run."""
    trace = Trace()
    job = prepared(world, scenario)
    scenario.act(world.spool(Hooked(trace, disk)), world, job)
    return trace.calls
