"""From settings to folders ready for use: absolute paths, modes looked up, trees kept apart."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TypeVar

from ocrd.config.joining import check_joining
from ocrd.config.names import check_output_name
from ocrd.config.ownership import check_umask
from ocrd.config.schema import EngineSettings, FolderSettings, ModeSettings, Settings
from ocrd.errors import ConfigError
from ocrd.languages import LANGUAGES, languages
from ocrd.modes import BUILT_IN_MODES, RESOLUTIONS, Guard, PromptMode, Resolution
from ocrd.schedule import ALWAYS, Schedule, parse

T = TypeVar("T")

SPOOL = ".ocrd"  # the spool's name below the root


@dataclass(frozen=True, kw_only=True, slots=True)
class Folder:
    """An inbox and what becomes of its files.

    Paths are absolute; `archive` may still hold `strftime` patterns.  `implicit` folders have no
    entry in the file: a directory below `inbox/` that bears a prompt mode's name is one.
    """

    name: str
    inbox: Path
    outbox: Path
    archive: Path
    failed: Path
    mode: PromptMode
    target: str
    resolution: Resolution
    outputs: frozenset[str]
    priority: int
    include: tuple[str, ...]
    ignore: tuple[str, ...]
    settle_s: float
    max_wait_s: float
    watch: str
    done_marker: str = ""
    join: str = "none"
    join_pause_s: float = 30.0
    join_pattern: str = ""
    duplex: str = "none"
    separator: str = "none"
    separator_code: str = ""
    language: str = ""
    pdf_text: str = "auto"
    drop_blank: bool = False
    upright: bool = False
    layout: str = "bundle"
    output_name: str = "{stem}"
    group: str = ""
    umask: str = ""
    keep_archive_days: float = 0.0
    schedule: Schedule = ALWAYS
    implicit: bool = False
    settles_alone: bool = False  # its `settle_s` is its own

    def trees(self) -> Iterator[tuple[str, Path]]:
        """The folder's four trees by the key that names each; the archive up to its pattern."""
        yield "inbox", self.inbox
        yield "outbox", self.outbox
        yield "archive", fixed_part(self.archive)
        yield "failed", self.failed


def fixed_part(path: Path) -> Path:
    """The leading components of a path before the first with a `strftime` pattern."""
    for parent in (*reversed(path.parents), path):
        if "%" in parent.name:
            return parent.parent
    return path


def _add_mode(modes: dict[str, PromptMode], entry: ModeSettings) -> None:
    if entry.name in modes:
        raise ConfigError(
            f"mode {entry.name!r} is defined already",
            hint="Give this [[mode]] a name of its own.",
        )
    modes[entry.name] = _prompt_mode(entry)


def _prompt_mode(entry: ModeSettings) -> PromptMode:
    guard = Guard(ngram=entry.ngram, window=entry.window) if entry.ngram and entry.window else None
    return PromptMode(
        name=entry.name,
        prompt=entry.prompt,
        reader=entry.reader,
        max_tokens=entry.max_tokens,
        guard=guard,
    )


def folders(settings: Settings) -> tuple[Folder, ...]:
    """The configured folders and the implicit ones that lie below `inbox/` now.

    Raises:
        ConfigError: A name is used twice, a mode or resolution is unknown or not to be had, keys
            contradict each other, trees overlap; all of it, if there is more.
    """
    faults = Faults()
    modes = dict(BUILT_IN_MODES)
    for given in settings.mode:
        with faults.noted():
            _add_mode(modes, given)
    _check_servers(settings.engine)
    for name in settings.engine.resolutions:
        with faults.noted():
            _look_up(name, RESOLUTIONS, "engine.resolutions")
    faults.told()
    named: dict[str, Folder] = {}
    for entry in settings.folder:
        with faults.noted():
            if entry.name in named:
                raise ConfigError(
                    f"folder {entry.name!r} is defined twice", hint="Remove or rename one of them."
                )
            named[entry.name] = _folder(settings, entry, modes, faults)
    for name in _implicit_names(settings, modes, named.values()):
        entry = FolderSettings(name=name, mode=name, resolution=_default_resolution(settings))
        named[name] = replace(_folder(settings, entry, modes, faults), implicit=True)
    with faults.noted():
        keep_apart(settings, named.values())
    faults.told()
    return tuple(named.values())


class Faults:
    """Gathers what is wrong, so that an operator mends it in one go."""

    def __init__(self) -> None:
        self._found: list[ConfigError] = []

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Keep a fault for later."""
        try:
            yield
        except ConfigError as error:
            self._found.append(error)

    def told(self) -> None:
        """Raise what was kept, if anything was."""
        if self._found:
            raise together(self._found)


def together(faults: Sequence[ConfigError]) -> ConfigError:
    """One error that tells all of these, each with its remedy."""
    if len(faults) == 1:
        return faults[0]
    said = "".join(f"\n  {fault.message}" for fault in faults)
    remedies = "".join(f"\n  {fault.hint}" for fault in faults)
    return ConfigError(f"{len(faults)} mistakes:{said}", hint=f"For each in turn:{remedies}")


def _implicit_names(
    settings: Settings, modes: Mapping[str, PromptMode], known: Iterable[Folder]
) -> list[str]:
    """Directories below `inbox/` named after a mode that no folder has as its inbox."""
    taken = {os.path.realpath(folder.inbox) for folder in known} | {f.name for f in known}
    top = settings.root / "inbox"
    return [
        name
        for name, mode in modes.items()
        if name not in taken
        and os.path.realpath(top / name) not in taken
        and os.path.isdir(top / name)  # noqa: PTH112 - Path.is_dir raises where nothing may be seen
        and not mode.needs_target
    ]


def _folder(
    settings: Settings, entry: FolderSettings, modes: Mapping[str, PromptMode], faults: Faults
) -> Folder:
    where = f"folder {entry.name!r}"
    mode = _look_up(entry.mode, modes, f"{where}: mode")
    if mode.needs_target and not entry.target:
        raise ConfigError(
            f"{where}: mode {mode.name!r} needs a target",
            hint='Say what to look for: target = "the signature".',
        )
    schedule, language = ALWAYS, ""
    with faults.noted():
        language = _language(settings.engine, entry, where)
    with faults.noted():
        check_umask(entry.umask, where)
    with faults.noted():
        check_joining(entry, where)
    with faults.noted():
        check_output_name(entry.output_name, where)
    with faults.noted():
        schedule = _schedule(entry, where)

    def tree(kind: str, given: Path | None) -> Path:
        return settings.root / (given if given is not None else Path(kind) / entry.name)

    watch = settings.watch
    return Folder(
        name=entry.name,
        inbox=tree("inbox", entry.inbox),
        outbox=tree("outbox", entry.outbox),
        archive=tree("archive", entry.archive),
        failed=tree("failed", entry.failed),
        mode=mode,
        target=entry.target,
        resolution=_resolution(settings.engine, entry, where),
        outputs=frozenset(entry.outputs),
        priority=entry.priority,
        include=tuple(entry.include),
        ignore=tuple(entry.ignore),
        settle_s=watch.settle_s if entry.settle_s is None else entry.settle_s,
        max_wait_s=watch.max_wait_s if entry.max_wait_s is None else entry.max_wait_s,
        watch=entry.watch,
        done_marker=entry.done_marker,
        join=entry.join,
        join_pause_s=entry.join_pause_s,
        join_pattern=entry.join_pattern,
        duplex=entry.duplex,
        separator=entry.separator,
        separator_code=entry.separator_code,
        language=language,
        pdf_text=entry.pdf_text,
        drop_blank=entry.drop_blank,
        upright=entry.upright,
        layout=entry.layout,
        output_name=entry.output_name,
        group=entry.group,
        umask=entry.umask,
        keep_archive_days=entry.keep_archive_days,
        schedule=schedule,
        settles_alone=entry.settle_s is not None,
    )


def _language(engine: EngineSettings, entry: FolderSettings, where: str) -> str:
    """The folder's languages by their usual codes, or the engine's where it names none."""
    given = engine.language if entry.language is None else entry.language
    key = "engine.language" if entry.language is None else f"{where}: language"
    try:
        return "+".join(each.code for each in languages(given))
    except KeyError as unknown:
        raise ConfigError(
            f"{key}: {unknown.args[0]!r} is no language that is known here",
            hint='Name it by its code (BCP 47 or ISO 639), several joined by "+": language = "ru", '
            f'"de+fr", "zh-Hant".  Known: {", ".join(each.code for each in LANGUAGES)}.',
        ) from None


def _schedule(entry: FolderSettings, where: str) -> Schedule:
    try:
        return parse(entry.schedule)
    except ConfigError as error:
        raise ConfigError(f"{where}: schedule: {error.message}", hint=error.hint) from None


def _check_servers(engine: EngineSettings) -> None:
    if engine.kind == "server" and not engine.servers:
        raise ConfigError(
            "engine.servers is empty, but engine.kind is server",
            hint='Say where they are: servers = ["http://gpu1:8000", "unix:/run/vllm.sock"].',
        )
    same = [one for one in engine.servers if engine.servers.count(one) > 1]
    if same:
        raise ConfigError(
            f"engine.servers names {same[0]!r} twice",
            hint="Name each server once; max_pages_in_flight says how many pages it gets.",
        )


def _default_resolution(settings: Settings) -> str:
    """Of folders that name none: the usual one, or the first that the engine may be asked for."""
    usual: str = FolderSettings.model_fields["resolution"].default
    allowed = settings.engine.resolutions
    return usual if not allowed or usual in allowed else allowed[0]


def _resolution(engine: EngineSettings, entry: FolderSettings, where: str) -> Resolution:
    resolution = _look_up(entry.resolution, RESOLUTIONS, f"{where}: resolution")
    if engine.resolutions and resolution.name not in engine.resolutions:
        raise ConfigError(
            f"{where}: resolution {resolution.name!r} is not among engine.resolutions",
            hint=f"Give the folder one of {', '.join(engine.resolutions)}, or add "
            f"{resolution.name!r} to engine.resolutions, which keeps memory for it.",
        )
    if entry.max_crops is None:
        return replace(resolution, max_crops=min(resolution.max_crops, engine.max_crops))
    if not resolution.tile:
        raise ConfigError(
            f"{where}: max_crops has no meaning for resolution {resolution.name!r}",
            hint='Remove max_crops, or use resolution = "gundam".',
        )
    if entry.max_crops > engine.max_crops:
        raise ConfigError(
            f"{where}: max_crops is {entry.max_crops}, but engine.max_crops is {engine.max_crops}",
            hint="Lower the folder's, or raise the engine's, which keeps memory for it.",
        )
    return replace(resolution, max_crops=entry.max_crops)


def _look_up(name: str, known: Mapping[str, T], key: str) -> T:
    if name in known:
        return known[name]
    raise ConfigError(f"{key}: {name!r} is unknown", hint=did_you_mean(name, known))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A remedy for a mistyped word: the nearest known one, and all of them."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    guess = f"Did you mean {near[0]!r}? " if near else ""
    return f"{guess}Known: {', '.join(known)}."


def keep_apart(settings: Settings, named: Iterable[Folder]) -> None:
    """Refuse trees that lie inside each other: results would be taken for scans.

    Only outputs of one kind may share a tree (two folders, one outbox).

    Raises:
        ConfigError: Two trees overlap.
    """
    trees = [
        (f"folder {folder.name!r}: {kind}", kind, Path(os.path.realpath(path)))
        for folder in named
        for kind, path in folder.trees()
    ]
    trees.append(("the spool", "spool", Path(os.path.realpath(settings.root / SPOOL))))
    for (one, kind, path), (other, other_kind, other_path) in combinations(trees, 2):
        if path == other_path and kind == other_kind != "inbox":
            continue
        if path.is_relative_to(other_path) or other_path.is_relative_to(path):
            raise ConfigError(
                f"{one} ({path}) and {other} ({other_path}) overlap",
                hint="Give each a directory of its own; none may lie inside another.",
            )
