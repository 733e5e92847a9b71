"""A document is complete when nothing more can belong to it; until then its files wait."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ocrd.files import FileFacts
from ocrd.inbox.join import NS, ByPattern, ByPause, Document, Joiner
from ocrd.inbox.settle import Candidate
from tests.support.needs import examples

PAUSE, SETTLE = 30, 5


def file(path: str, written: float = 0.0) -> Candidate:
    return Candidate(path, FileFacts(size=1, mtime_ns=int(written * NS), inode=1))


def by_name() -> Joiner:
    return Joiner(ByPattern(r"(?P<document>.+)_(?P<page>\d+)\.jpg"), PAUSE)


def by_pause() -> Joiner:
    return Joiner(ByPause(PAUSE), PAUSE)


def complete(joiner: Joiner, now: float, **others: object) -> list[list[str]]:
    told = joiner.complete(now, **{"seen_until": now, **others})  # type: ignore[arg-type]
    return [names(document) for document in told]


def names(document: Document) -> list[str]:
    return [part.path for part in document.parts]


def test_a_document_waits_for_the_pause_after_its_last_file() -> None:
    joiner = by_name()
    joiner.add(file("a_1.jpg"), 0)
    joiner.add(file("a_2.jpg"), 20)
    assert complete(joiner, 49.9) == []
    assert complete(joiner, 50.1) == [["a_1.jpg", "a_2.jpg"]]


def test_a_file_that_is_offered_again_does_not_begin_the_pause_anew() -> None:
    joiner = by_name()
    joiner.add(file("a_1.jpg"), 0)
    joiner.add(file("a_1.jpg"), 25)
    assert complete(joiner, 30.1) == [["a_1.jpg"]]


def test_a_file_that_changed_does_and_is_taken_as_it_is_now() -> None:
    joiner = by_name()
    joiner.add(file("a_1.jpg"), 0)
    joiner.add(file("a_1.jpg", written=20), 25)
    assert complete(joiner, 30.1) == []
    (document,) = joiner.complete(55.1, seen_until=55.1)
    assert document.parts == (file("a_1.jpg", written=20),)


def test_while_one_of_its_files_settles_it_is_not_complete() -> None:
    joiner = by_name()
    joiner.add(file("a_1.jpg"), 0)
    assert complete(joiner, 99, unsettled=["a_2.jpg"]) == []
    assert complete(joiner, 99, unsettled=["b_2.jpg", "sub/a_2.jpg", "x.pdf"]) == [["a_1.jpg"]]


def test_by_pause_any_file_that_settles_in_the_folder_may_belong_to_it() -> None:
    joiner = by_pause()
    joiner.add(file("in/a.jpg"), 0)
    assert complete(joiner, 99, unsettled=["in/b.pdf"]) == []
    assert complete(joiner, 99, unsettled=["out/b.pdf"]) == [["in/a.jpg"]]


def test_what_nobody_has_looked_for_yet_may_still_be_there() -> None:
    """A share is looked through now and then: a page may lie there that was not seen."""
    joiner = by_name()
    joiner.add(file("a_1.jpg"), 0)
    assert complete(joiner, 99, seen_until=29.0) == []
    assert complete(joiner, 99, seen_until=30.1) == [["a_1.jpg"]]


def test_a_marker_completes_it_once_all_that_came_before_was_seen() -> None:
    joiner = by_name()
    joiner.add(file("in/a_1.jpg"), 0)
    assert complete(joiner, 1, marked=lambda name: name == "in/b") == []
    assert complete(joiner, 2, marked=lambda name: name == "in/a") == []
    assert complete(joiner, 3, unsettled=["in/a_2.jpg"]) == []
    assert complete(joiner, 4) == [["in/a_1.jpg"]]


def test_a_later_document_of_the_name_waits_for_a_marker_of_its_own() -> None:
    joiner = by_pause()
    joiner.add(file("a.jpg"), 0)
    joiner.add(file("other.jpg", written=99), 0)
    assert complete(joiner, 1, marked=lambda name: name == "a") == []
    assert complete(joiner, 2) == [["a.jpg"]]
    joiner.drop("a.jpg")
    joiner.add(file("a.jpg", written=999), 20)
    assert complete(joiner, 25, marked=lambda name: False) == []


def test_it_is_told_until_its_files_are_dropped() -> None:
    joiner = by_name()
    joiner.add(file("a_1.jpg"), 0)
    joiner.add(file("a_2.jpg"), 0)
    assert complete(joiner, 99) == complete(joiner, 99) == [["a_1.jpg", "a_2.jpg"]]
    joiner.drop("a_1.jpg")
    assert list(joiner) == ["a_2.jpg"]
    joiner.drop("a_2.jpg")
    joiner.drop("a_2.jpg")
    assert (complete(joiner, 99), len(joiner)) == ([], 0)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 40)), max_size=25))
def test_whatever_comes_when_each_file_is_told_once_and_with_its_document(
    arrivals: list[tuple[str, int]],
) -> None:
    joiner, now = by_name(), 0
    told: list[str] = []
    for number, (document, gap) in enumerate([*arrivals, ("c", 10 * PAUSE)]):
        now += gap
        for paths in complete(joiner, now):
            assert len({path[0] for path in paths}) == 1
            told += paths
            for path in paths:
                joiner.drop(path)
        joiner.add(file(f"{document}_{number}.jpg"), now)
    came = [f"{document}_{number}.jpg" for number, (document, _) in enumerate(arrivals)]
    assert sorted(told) == sorted(came)
    assert list(joiner) == [f"c_{len(arrivals)}.jpg"]


def live(written: list[float]) -> list[list[str]]:
    """A scanner writes files at these times; each is offered when it has settled."""
    joiner, told = by_pause(), []
    files = [file(f"{number}.jpg", at) for number, at in enumerate(written)]
    rest = {each.path: at + SETTLE for each, at in zip(files, written, strict=True)}
    for now in range(int(written[-1] + SETTLE + PAUSE) + 2):
        for each in files:
            if rest[each.path] == now:
                joiner.add(each, now)
        unsettled = [path for path, at in rest.items() if at - SETTLE <= now < at]
        for document in joiner.complete(now, seen_until=now, unsettled=unsettled):
            told.append(names(document))
            for path in names(document):
                joiner.drop(path)
    return told


@settings(deadline=None, max_examples=examples(50))
@given(st.lists(st.integers(0, 120).map(float), min_size=1, max_size=12))
def test_a_backlog_splits_where_it_would_have_split_as_it_came(gaps: list[float]) -> None:
    written = [sum(gaps[: number + 1]) for number in range(len(gaps))]
    backlog = by_pause()
    for number, at in enumerate(written):
        backlog.add(file(f"{number}.jpg", at), 1_000_000.0)
    assert complete(backlog, 2_000_000.0) == live(written)
