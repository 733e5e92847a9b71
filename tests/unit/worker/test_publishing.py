"""What results are called and how they lie in the outbox, whoever else has names there."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest

from ocrd.errors import OcrdError, PlaceError
from ocrd.files import Disk
from ocrd.job import JobState
from ocrd.worker.naming import flat_stems, wanted
from tests.support.needs import few
from tests.unit.spool.children import in_a_child
from tests.unit.spool.steps import Hooked, Trace, WithoutExclusiveRename, dying
from tests.unit.worker.ground import NOW, Ground, side_by_side

FLAT = 'layout = "flat"\noutputs = ["markdown", "pdf", "json", "images"]\n'


# --- names ---


def test_results_are_called_after_their_scan(tmp_path: Path) -> None:
    ground = Ground(tmp_path / "srv")
    job = ground.done("mail/scan.pdf")
    assert job.outputs == str(ground.outbox / "mail" / "scan")
    assert "mail/scan/scan.md" in ground.results()


def test_a_template_names_folders_bundle_and_artefacts(tmp_path: Path) -> None:
    ground = Ground(tmp_path / "srv", 'output_name = "{date:%Y-%m}/{stem} {counter:03}"\n')
    month = datetime.fromtimestamp(NOW).astimezone().strftime("%Y-%m")
    ground.done("mail/one.pdf", b"1")
    ground.done("mail/two.pdf", b"2")
    names = set(ground.results())
    assert f"mail/{month}/one 001/one 001.md" in names
    assert f"mail/{month}/two 002/two 002.md" in names


def test_a_date_is_that_of_the_recording_whenever_it_is_tried(tmp_path: Path) -> None:
    ground = Ground(tmp_path / "srv", 'output_name = "{date} {time}"\n')
    job = replace(ground.spooled(), created_at=0.0)
    epoch = datetime.fromtimestamp(0).astimezone().strftime("%Y-%m-%d %H%M%S")
    assert wanted(job, ground.folder).stem == epoch


def test_a_number_is_never_given_twice_even_when_its_bundle_is_built_again(tmp_path: Path) -> None:
    ground = Ground(tmp_path / "srv", 'output_name = "{counter}"\n')
    first = ground.spooled("a.pdf", b"a")
    ground.built(first)  # then a crash: it is built, and counted, again
    ground.delivery.deliver(ground.recorded(first), ground.folder)
    second = ground.done("b.pdf", b"b")
    assert (first.outputs, second.outputs) == (None, str(ground.outbox / "3"))
    assert sorted(os.listdir(ground.outbox)) == ["2", "3"]


@pytest.mark.parametrize(
    "name",
    ["...pdf", ".. .pdf", " .pdf", "..", "x" * 255, "字" * 85, "caf\udce9\n.pdf", "a." + "b" * 253],
)
@pytest.mark.parametrize("template", ["{stem}", "{stem}/{stem}", "{stem} {job:09}/a {stem}"])
def test_no_scan_can_choose_a_name_outside_the_outbox(
    tmp_path: Path, name: str, template: str
) -> None:
    ground = Ground(tmp_path / "srv", f'output_name = "{template}"\n')
    job = replace(ground.spooled(), source=name)
    given = wanted(job, ground.folder)
    path = given.with_name(f"{given.name}.boxes.pdf")
    below = path.relative_to(ground.outbox)
    assert ".." not in below.parts
    assert all(0 < len(os.fsencode(part)) <= 255 for part in below.parts)
    assert not any(part.startswith(".") for part in below.parts)


def test_choices_leave_room_for_the_longest_suffix() -> None:
    choices = flat_stems("y" * 245)
    for _ in range(120):
        assert len(next(choices)) + len(".boxes.pdf") <= 255
    assert next(choices).endswith(" (121)")


def test_a_bundles_name_that_is_taken_at_the_last_moment_gets_the_next(tmp_path: Path) -> None:
    ground = Ground(tmp_path / "srv", 'output_name = "{counter:02}"\n')
    job = ground.recorded(ground.spooled())
    (ground.outbox / "01").mkdir(parents=True)
    job = ground.delivery.deliver(job, ground.folder)
    assert job.outputs == str(ground.outbox / "01 (2)")
    assert (ground.outbox / "01 (2)" / "01.md").exists()


@pytest.mark.parametrize("layout", ["", FLAT], ids=["bundle", "flat"])
def test_results_for_a_group_that_is_not_there_wait_until_it_is(
    tmp_path: Path, layout: str
) -> None:
    ground = Ground(tmp_path / "srv", f'{layout}group = "no-such-group"\n')
    job = ground.recorded(ground.spooled())
    with pytest.raises(PlaceError) as caught:
        ground.delivery.deliver(job, ground.folder)
    assert caught.value.kind == "unknown-group"
    assert ground.results() == {}
    ground.set(layout)
    assert ground.delivery.deliver(job, ground.folder).state is JobState.DONE
    assert len(ground.results()) == 4


# --- side by side ---


def test_flat_results_lie_side_by_side_and_the_main_one_comes_last(tmp_path: Path) -> None:
    trace = Trace()
    ground = Ground(tmp_path / "srv", FLAT, disk=Hooked(trace))
    job = ground.done("mail/scan.pdf")
    assert job.outputs == str(ground.outbox / "mail" / "scan.md")
    assert ground.results() == {f"mail/{k}": v for k, v in side_by_side("scan").items()}
    moved = [call.arguments[1] for call in trace.calls if call.name == "rename_exclusive"]
    published = [path.name for path in moved if path.is_relative_to(ground.outbox)]
    assert published == ["scan.images", "scan.json", "scan.pdf", "scan.md"]


@pytest.mark.parametrize(
    ("outputs", "main"),
    [
        ('["raw", "json", "markdown"]', ".md"),
        ('["json", "pdf", "boxes"]', ".pdf"),
        ('["raw", "json"]', ".json"),
        ('["raw", "boxes"]', ".raw.mmd"),
    ],
)
def test_the_main_file_is_the_first_that_the_folder_makes(
    tmp_path: Path, outputs: str, main: str
) -> None:
    made = {"raw": ".raw.mmd", "json": ".json", "markdown": ".md", "pdf": ".pdf"}
    ground = Ground(tmp_path / "srv", f'layout = "flat"\noutputs = {outputs}\n')
    job = ground.spooled()
    plan = ground.delivery.plan(job, ground.folder)
    bundle = ground.spool.new_bundle(job)
    for output in ground.folder.outputs:
        (bundle / made.get(output, ".boxes.pdf")).touch()
    ground.spool.seal(job)
    job = ground.delivery.record(job, ground.folder, plan)
    assert job.outputs == str(ground.outbox / f"scan{main}")


def test_one_taken_name_numbers_all_of_them(tmp_path: Path) -> None:
    ground = Ground(tmp_path / "srv", FLAT)
    ground.outbox.mkdir(parents=True)
    (ground.outbox / "scan.json").write_text("somebody's")
    job = ground.done()
    assert job.outputs == str(ground.outbox / "scan (2).md")
    assert ground.results() == {"scan.json": "somebody's", **side_by_side("scan (2)")}


def test_two_jobs_of_one_stem_get_names_of_their_own_before_they_are_built(tmp_path: Path) -> None:
    ground = Ground(tmp_path / "srv", FLAT)
    one, two = ground.spooled("scan.pdf", b"1"), ground.spooled("scan.jpg", b"2")
    plans = [ground.built(job) for job in (one, two)]
    for job, plan in zip((one, two), plans, strict=True):
        job = ground.delivery.record(job, ground.folder, plan)
        ground.delivery.deliver(job, ground.folder)
    assert ground.results() == {**side_by_side("scan"), **side_by_side("scan (2)")}


def test_a_file_name_taken_at_the_last_moment_moves_what_is_left_to_the_next(
    tmp_path: Path,
) -> None:
    """The figures are there already: the text still finds them."""
    ground = Ground(tmp_path / "srv", FLAT)
    job = ground.recorded(ground.spooled())
    ground.outbox.mkdir(parents=True)
    (ground.outbox / "scan.pdf").write_text("somebody's")
    job = ground.delivery.deliver(job, ground.folder)
    assert (job.state, job.outputs) == (JobState.DONE, str(ground.outbox / "scan (2).md"))
    assert ground.results() == {
        "scan.images/1-1.jpg": "a figure",
        "scan.json": ".json",
        "scan.pdf": "somebody's",
        "scan (2).pdf": ".pdf",
        "scan (2).md": "![](scan.images/1-1.jpg)",
    }


def test_figures_whose_name_is_taken_have_the_bundle_built_anew(tmp_path: Path) -> None:
    ground = Ground(tmp_path / "srv", FLAT)
    job = ground.recorded(ground.spooled())
    taken = ground.outbox / "scan.images"
    taken.mkdir(parents=True)
    with pytest.raises(FileExistsError):
        ground.delivery.deliver(job, ground.folder)
    assert ground.results() == {}
    job = ground.delivery.deliver(ground.recorded(job), ground.folder)
    assert job.outputs == str(ground.outbox / "scan (2).md")
    assert ground.results() == side_by_side("scan (2)")


def test_a_bundle_that_was_half_built_anew_is_not_published(tmp_path: Path) -> None:
    ground = Ground(tmp_path / "srv", FLAT)
    job = ground.recorded(ground.spooled())
    ground.spool.new_bundle(job)  # then a crash
    with pytest.raises(OcrdError) as caught:
        ground.delivery.deliver(job, ground.folder)
    assert caught.value.kind == "unsealed"
    job = ground.delivery.deliver(ground.recorded(job), ground.folder)
    assert ground.results() == side_by_side("scan")


def test_a_bundle_of_nothing_leaves_nothing(tmp_path: Path) -> None:
    ground = Ground(tmp_path / "srv", 'layout = "flat"\noutputs = ["images"]\n')
    job = ground.spooled()
    plan = ground.delivery.plan(job, ground.folder)
    ground.spool.new_bundle(job)
    ground.spool.seal(job)
    job = ground.delivery.record(job, ground.folder, plan)
    assert job.outputs is None
    assert ground.delivery.deliver(job, ground.folder).state is JobState.DONE


@pytest.mark.parametrize("then", ["bundle", "flat"])
@pytest.mark.parametrize("published", [False, True])
def test_a_layout_changed_after_the_building_changes_nothing_for_it(
    tmp_path: Path, then: str, published: bool
) -> None:
    """Built, or even published, then a kill, then a start with another layout."""
    was = {"bundle": FLAT, "flat": ""}[then]
    ground = Ground(tmp_path / "srv", was)
    job = ground.recorded(ground.spooled())
    if published:
        ground.delivery.publish(job, ground.folder)
    before = ground.results()
    ground.set(f'layout = "{then}"\n')
    outputs = ground.delivery.deliver(job, ground.folder).outputs
    assert outputs == job.outputs == str(ground.outbox / ("scan.md" if was else "scan"))
    assert Path(outputs).is_file() == bool(was)
    assert len(ground.results()) == 4
    assert before.items() <= ground.results().items()


# --- killed ---


def test_an_original_taken_out_of_the_archive_before_that_is_recorded_is_done_all_the_same(
    tmp_path: Path,
) -> None:
    """Filed, then a kill; another program empties the archive, then the next start."""
    ground = Ground(tmp_path / "srv")
    job = ground.recorded(ground.spooled())
    ground.spool.archive(job, Path(str(job.archived_to)))
    Path(str(job.archived_to)).unlink()
    job = ground.delivery.deliver(job, ground.folder)
    assert job.state is JobState.DONE
    assert "scan/scan.md" in ground.results()


CHANGES = {"rename_exclusive", "rename", "link", "unlink", "rmdir", "mkdir", "write", "chmod"}


@pytest.mark.parametrize(
    ("disk", "taken"),
    [(Disk(), False), (WithoutExclusiveRename(), True)],
    ids=["free names", "a name taken meanwhile, without exclusive renames"],
)
def test_killed_before_any_change_flat_results_arrive_once_and_whole(
    tmp_path: Path, disk: Disk, *, taken: bool
) -> None:
    root, ready, trace = tmp_path / "srv", tmp_path / "ready", Trace()
    _make_ready(root, taken=taken)
    shutil.copytree(root, ready)
    whole = _go_on(root, Hooked(trace, disk))
    assert len(whole) == 4 + taken
    for call in few([call for call in trace.calls if call.name in CHANGES]):
        shutil.rmtree(root)
        shutil.copytree(ready, root)
        hooked = Hooked(dying(call.number), disk)
        assert in_a_child(partial(_go_on, root, hooked)) == -signal.SIGKILL, call
        seen = _results(root)
        assert seen.items() <= whole.items(), call
        assert seen == whole or not any(name.endswith(".md") for name in seen), call
        assert _go_on(root, disk) == whole, call


def _make_ready(root: Path, *, taken: bool) -> None:
    """A job recorded as `scan`, and perhaps somebody who was quicker with one of its names."""
    ground = Ground(root, FLAT)
    ground.recorded(ground.spooled())
    if taken:
        ground.outbox.mkdir(parents=True)
        (ground.outbox / "scan.pdf").write_text("somebody's")
    ground.ledger.close()


def _go_on(root: Path, disk: Disk) -> dict[str, str]:
    """What the daemon does with it at its start; the outbox afterwards."""
    ground = Ground(root, FLAT, disk)
    for job in ground.ledger.unfinished():
        job = ground.delivery.deliver(ground.ledger.resume(job), ground.folder)
        assert Path(str(job.outputs)).suffix == ".md" and Path(str(job.outputs)).exists()
    ground.ledger.close()
    return ground.results()


def _results(root: Path) -> dict[str, str]:
    """The outbox as people see it."""
    outbox = root / "outbox" / "scans"
    files = (path for path in outbox.rglob("*") if path.is_file() and ".ocrd" not in path.name)
    return {str(path.relative_to(outbox)): path.read_text() for path in files}
