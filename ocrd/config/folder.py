"""A folder: an inbox, and how its files are processed and filed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, cast, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    TypeAdapter,
    ValidationInfo,
    field_validator,
    model_validator,
)

from ocrd.config.faults import known
from ocrd.config.names import checked_marker, checked_output_name, checked_pattern
from ocrd.config.ownership import checked_umask
from ocrd.config.schema import EngineSettings, Language, Name, Section, WatchSettings
from ocrd.errors import ConfigError
from ocrd.modes import BUILT_IN_MODES, RESOLUTIONS, PromptMode, Resolution
from ocrd.schedule import ALWAYS, Schedule, parse

Output = Literal[
    "markdown", "text", "raw", "pdf", "pdfa", "alto", "hocr", "boxes", "images", "json"
]
ALL_OUTPUTS: tuple[Output, ...] = ("markdown", "raw", "pdf", "boxes", "images", "json")
BY_NAME = PlainSerializer(lambda given: given.name)  # pydantic 2.11 does not accept an attrgetter
TREES = ("inbox", "outbox", "archive", "failed")


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderContext:
    """The parts of the file that a folder's entry depends on.

    Attributes:
        root: The parent of relative trees.
        engine: Settings and limits of the engine.
        watch: Default rest times.
        modes: By name; empty if the file's own modes are invalid, so that any name is accepted.
    """

    root: Path
    engine: EngineSettings
    watch: WatchSettings
    modes: Mapping[str, PromptMode]

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """The context from the tables that are valid so far."""
        own = {mode.name: mode.prompt_mode() for mode in data.get("mode", ())}
        return cls(
            root=data.get("root", Path("/")),
            engine=data.get("engine", EngineSettings()),
            watch=data.get("watch", WatchSettings()),
            modes=BUILT_IN_MODES | own if "mode" in data else {},
        )

    def folders(self, entries: Any) -> list[Folder]:
        """The folders that the entries of `[[folder]]` define.

        Raises:
            ValidationError: The entries have faults.
        """
        return TypeAdapter(list[Folder]).validate_python(entries, context=self)

    def default_resolution(self) -> str:
        """The resolution of implicit folders: the usual one, if allowed, or the first allowed."""
        usual: Resolution = Folder.model_fields["resolution"].default
        allowed = self.engine.resolutions
        return usual.name if not allowed or usual.name in allowed else allowed[0]


def _context(given: ValidationInfo) -> FolderContext:
    return cast(FolderContext, given.context)


def _schedule(lines: Any) -> Schedule:
    return parse(TypeAdapter(list[str]).validate_python(lines))


def _mode(name: Any, given: ValidationInfo) -> PromptMode:
    modes = _context(given).modes
    return known(name, modes) if modes else BUILT_IN_MODES["document"]


def _resolution(name: Any, given: ValidationInfo) -> Resolution:
    engine = _context(given).engine
    resolution = known(name, RESOLUTIONS)
    if engine.resolutions and resolution.name not in engine.resolutions:
        raise ConfigError(
            f"{resolution.name!r} is not among engine.resolutions",
            hint=f"Give the folder one of {', '.join(engine.resolutions)}, or add "
            f"{resolution.name!r} to engine.resolutions, which keeps memory for it.",
        )
    crops = given.data.get("max_crops")
    if crops is not None and not resolution.tile:
        raise ConfigError(
            f"{resolution.name!r} has no tiles, so max_crops has no meaning",
            hint='Remove max_crops, or use resolution = "gundam".',
        )
    return replace(resolution, max_crops=crops or min(resolution.max_crops, engine.max_crops))


class Folder(Section):
    """`[[folder]]`: an inbox, and how its files are processed and filed.

    Missing keys come from `[watch]` and `[engine]`, see `FolderContext`.  Trees are absolute paths,
    or relative to `root`; `archive` may contain `strftime` patterns, such as `%Y/%m`.
    """

    implicit: ClassVar[bool] = False  # whether it has no entry in the file

    name: Name
    inbox: Path
    outbox: Path
    archive: Path
    failed: Path
    mode: Annotated[PromptMode, BeforeValidator(_mode), BY_NAME] = BUILT_IN_MODES["document"]
    target: str = Field("", validate_default=True)
    language: Language = ""
    max_crops: Annotated[int, Field(ge=2, le=9)] | None = None
    resolution: Annotated[Resolution, BeforeValidator(_resolution), BY_NAME] = RESOLUTIONS["gundam"]
    outputs: Annotated[
        frozenset[Output],
        Field(min_length=1),
        PlainSerializer(lambda given: [each for each in get_args(Output) if each in given]),
    ] = frozenset(ALL_OUTPUTS)
    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    include: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    settle_s: Annotated[float, Field(ge=0, le=3600)]
    closed_s: Annotated[float, Field(ge=0, le=3600)] = Field(
        default_factory=lambda given: given.get("settle_s", 0.0)
    )
    max_wait_s: Annotated[float, Field(ge=1)]
    watch: Literal["auto", "native", "polling"] = "auto"
    done_marker: Annotated[str, AfterValidator(checked_marker)] = ""
    # Several files joined into one document, or one file split
    join: Literal["none", "pause", "pattern"] = "none"
    join_pause_s: Annotated[float, Field(ge=1, le=86400)] = 30.0
    join_pattern: str = Field("", validate_default=True)
    duplex: Literal["none", "reversed", "same"] = "none"
    separator: Literal["none", "blank", "barcode"] = "none"
    separator_code: str = ""
    # The results, and who may use them
    pdf_text: Literal["auto", "ocr", "keep", "redo"] = "auto"
    drop_blank: bool = False
    upright: bool = False
    layout: Literal["bundle", "flat"] = "bundle"
    output_name: Annotated[str, AfterValidator(checked_output_name)] = "{stem}"
    group: str = ""
    umask: Annotated[str, AfterValidator(checked_umask)] = ""
    keep_archive_days: Annotated[float, Field(ge=0)] = 0.0
    schedule: Annotated[
        Schedule, BeforeValidator(_schedule), PlainSerializer(lambda given: given.lines)
    ] = ALWAYS

    def trees(self) -> Iterator[tuple[str, Path]]:
        """The folder's four trees with their keys; the archive only up to its date pattern."""
        for key in TREES:
            yield key, fixed_part(getattr(self, key))

    @model_validator(mode="before")
    @classmethod
    def _inherited(cls, entry: Any, given: ValidationInfo) -> Any:
        if not isinstance(entry, dict):
            return entry
        context = _context(given)
        watch = context.watch
        rests = {"settle_s": watch.settle_s, "closed_s": watch.closed_s}
        return {
            **{key: f"{key}/{entry.get('name')}" for key in TREES},
            **(rests if "settle_s" not in entry else {}),
            "max_wait_s": watch.max_wait_s,
            "language": context.engine.language,
            "resolution": "gundam",
            **entry,
        }

    @field_validator(*TREES)
    @classmethod
    def _absolute(cls, tree: Path, given: ValidationInfo) -> Path:
        return _context(given).root / tree

    @field_validator("target")
    @classmethod
    def _asked_for(cls, target: str, given: ValidationInfo) -> str:
        mode = given.data.get("mode")
        if mode is not None and mode.needs_target and not target:
            raise ConfigError(
                f"missing, and mode {mode.name!r} needs a target",
                hint='Say what to look for: target = "the signature".',
            )
        return target

    @field_validator("max_crops")
    @classmethod
    def _room_for(cls, crops: int | None, given: ValidationInfo) -> int | None:
        most = _context(given).engine.max_crops
        if crops is not None and crops > most:
            raise ConfigError(
                f"is {crops}, but engine.max_crops is {most}",
                hint="Lower the folder's, or raise the engine's, which keeps memory for it.",
            )
        return crops

    @field_validator("join_pause_s")
    @classmethod
    def _pauses(cls, pause_s: float, given: ValidationInfo) -> float:
        if given.data.get("join") == "none" and pause_s != cls.model_fields["join_pause_s"].default:
            raise ConfigError(
                "has no meaning for join = 'none'",
                hint='Set join = "pause" (or "pattern"), or remove join_pause_s.',
            )
        return pause_s

    @field_validator("join_pattern")
    @classmethod
    def _joins(cls, pattern: str, given: ValidationInfo) -> str:
        join = given.data.get("join")
        if join == "pattern":
            return checked_pattern(pattern)
        if pattern and join:
            raise ConfigError(
                f"has no meaning for join = {join!r}",
                hint='Set join = "pattern", or remove join_pattern.',
            )
        return pattern


class ImplicitFolder(Folder):
    """A directory below `inbox/` named after a prompt mode; it needs no entry."""

    implicit = True


def fixed_part(path: Path) -> Path:
    """The leading components of a path, before the first with a `strftime` pattern."""
    for parent in (*reversed(path.parents), path):
        if "%" in parent.name:
            return parent.parent
    return path
