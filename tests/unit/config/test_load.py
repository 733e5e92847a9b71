"""Every mistake in a configuration is one error with the file, the key and a remedy."""

import codecs
import os
import re
from pathlib import Path

import pytest

from ocrd.cli.install import _configured_root
from ocrd.config import Config, load
from ocrd.config.load import leaves
from ocrd.errors import ConfigError, ExitCode
from ocrd.views.locate import locate

ROOT = Path(__file__).parents[3]


def written(folder: Path, text: str) -> Path:
    file = folder / "config.toml"
    file.write_text(text, encoding="utf-8")
    return file


def loaded(folder: Path, text: str) -> Config:
    return load(written(folder, text))


FOLDER = 'root = "/x"\n[[folder]]\nname = "a"\n'

MISTAKES = {
    "bad syntax": ("root = [", "not valid TOML", "syntax"),
    "no root": ("[engine]\n", "root: missing", "/srv/ocrd"),
    "relative root": ('root = "srv"', "not an absolute path", "/srv/ocrd"),
    "unknown key": ('root = "/x"\nroute = 1', "route: unknown key", "'root'"),
    "mistyped root": ('rot = "/x"', "rot: unknown key", "'root'"),
    "unknown key in a table": (
        'root = "/x"\n[watch]\nsetle_s = 1',
        "watch.setle_s: unknown key",
        "'settle_s'",
    ),
    "wrong type": ('root = "/x"\n[engine]\nworkers = "many"', "engine.workers", "config.example"),
    "out of bounds": (
        'root = "/x"\n[engine]\ngpu_memory_utilization = 1.5',
        "engine.gpu_memory_utilization",
        "config.example",
    ),
    "one name twice": (
        'root = "/x"\n[[folder]]\nname = "a"\n[[folder]]\nname = "a"',
        "'a' is defined twice",
        "rename",
    ),
    "nested inboxes": (
        'root = "/x"\n[[folder]]\nname = "a"\n[[folder]]\nname = "b"\ninbox = "inbox/a/b"',
        "overlap",
        "directory of its own",
    ),
    "a mode of a built-in name": (
        'root = "/x"\n[[mode]]\nname = "ocr"\nprompt = "Read."',
        "defined already",
        "name of its own",
    ),
    "an unknown resolution for the engine": (
        'root = "/x"\n[engine]\nresolutions = ["huge"]',
        "engine.resolutions[1]: 'huge' is unknown",
        "gundam",
    ),
    "a resolution that the engine is not to have": (
        'root = "/x"\n[engine]\nresolutions = ["base"]\n[[folder]]\nname = "a"',
        "folder 'a': resolution: 'gundam' is not among engine.resolutions",
        "Give the folder one of base, or add 'gundam'",
    ),
    "more tiles than the engine is to have": (
        'root = "/x"\n[engine]\nmax_crops = 4\n[[folder]]\nname = "a"\nmax_crops = 6',
        "folder 'a': max_crops: is 6, but engine.max_crops is 4",
        "Lower the folder's",
    ),
    "servers without any": (
        'root = "/x"\n[engine]\nkind = "server"',
        "engine.servers: is empty",
        'servers = ["http://gpu1:8000"',
    ),
    "a server twice": (
        'root = "/x"\n[engine]\nservers = ["http://a:1", "http://a:1"]',
        "names 'http://a:1' twice",
        "Name each server once",
    ),
    "one folder that is to be a list": (
        'root = "/x"\n[folder]\nname = "a"',
        "folder: this is a list of tables",
        "Write [[folder]] and not [folder]",
    ),
    "a list that is to be one table": (
        'root = "/x"\n[[engine]]\nkind = "auto"',
        "engine: there is only one such table",
        "Write [engine] and not [[engine]]",
    ),
    "a name that leaves its folder": (
        'root = "/x"\n[[folder]]\nname = "../etc"',
        "folder '../etc': name: this is a name of at most 100 characters, without '/'",
        "config.example",
    ),
    "a server without its scheme": (
        'root = "/x"\n[engine]\nkind = "server"\nservers = ["gpu:8000"]',
        "engine.servers[1]: this is an address, such as http://gpu:8000",
        "config.example",
    ),
    "a webhook without its scheme": (
        'root = "/x"\n[notify]\nwebhook = "chat.example"',
        "notify.webhook: this is an address, such as https://",
        "config.example",
    ),
    "a root below a table": (
        '[watch]\nsettle_s = 5\nroot = "/x"',
        "watch.root: unknown key",
        "above the first line in [brackets]: root",
    ),
}

OF_A_FOLDER = {
    "unknown key in a folder": ('mood = "ocr"', "mood: unknown key", "'mode'"),
    "unknown mode": ('mode = "documant"', "'documant' is unknown", "'document'"),
    "unknown resolution": ('resolution = "huge"', "'huge' is unknown", "gundam"),
    "an inbox inside an outbox": ('inbox = "outbox/a/in"', "overlap", "directory of its own"),
    "an archive in the spool": ('archive = ".ocrd/old"', "overlap", "directory of its own"),
    "a dated archive below an inbox": ('archive = "inbox/a/%Y"', "overlap", "directory of its own"),
    "locate without a target": ('mode = "locate"', "needs a target", "target ="),
    "tiles without tiling": (
        'resolution = "base"\nmax_crops = 4',
        "max_crops has no meaning",
        "gundam",
    ),
    "a umask that is no number": (
        'umask = "rwx"',
        "umask: 'rwx' is not an octal number",
        'umask = "007"',
    ),
    "a umask of too many digits": ('umask = "01777"', "not an octal number", 'umask = "007"'),
    "a umask that locks the daemon out": (
        'umask = "277"',
        "takes the daemon's own rights away",
        "begin with 0",
    ),
    "one pattern that is to be a list": (
        'include = "*.pdf"',
        "include: this is a list, not '*.pdf'",
        "config.example",
    ),
    "no outputs": ("outputs = []", "outputs: this must not be empty, not []", "config.example"),
    "a settle time that is none": (
        'settle_s = "long"',
        "settle_s: input should be a valid number",
        "config.example",
    ),
    "a window that is none": ("schedule = [5]", "schedule[1]", "config.example"),
    "no regular expression": (
        "join = 'pattern'\njoin_pattern = '(?P<document>.+'",
        "is no regular expression",
        "single quotes",
    ),
    "no pattern": ("join = 'pattern'", "join_pattern: missing", "(?P<document>"),
    "no group document": (
        "join = 'pattern'\njoin_pattern = '.+_(?P<page>[0-9]+)'",
        "no group named 'document'",
        "(?P<document>",
    ),
    "no group page": (
        "join = 'pattern'\njoin_pattern = '(?P<document>.+)_[0-9]+'",
        "no group named 'page'",
        "(?P<page>",
    ),
    "a pattern that nobody asks": (
        "join = 'pause'\njoin_pattern = '(?P<document>.+)_(?P<page>[0-9]+)'",
        "join_pattern: has no meaning",
        'join = "pattern"',
    ),
    "a pause that nobody keeps": ("join_pause_s = 5", "join_pause_s: has no meaning", "join ="),
    "a marker of anything": ("done_marker = 'done'", "of which file", "{name}.done"),
    "a marker of something else": ("done_marker = '{file}.done'", "of which file", "{name}.done"),
    "a marker that is its file": ("done_marker = '{name}'", "their own markers", "{name}.done"),
    "a marker that may be its file": ("done_marker = '{stem}.pdf'", "own markers", "{name}.done"),
    "a marker elsewhere": ("done_marker = 'done/{name}'", "not the name of a file", "beside"),
    "a brace too many": ("done_marker = '{name}.{done'", "of which file", "no other braces"),
    "doubled braces": ("done_marker = '{name}.{{}}'", "of which file", "no other braces"),
}


def refused(tmp_path: Path, text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text)
    assert caught.value.message.startswith(f"{tmp_path}/config.toml: ")
    assert caught.value.exit_code is ExitCode.CONFIG
    return caught.value


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_file_key_and_remedy(tmp_path: Path, mistake: str) -> None:
    text, said, remedy = MISTAKES[mistake]
    error = refused(tmp_path, text)
    assert said in error.message
    assert remedy in error.hint


@pytest.mark.parametrize("mistake", OF_A_FOLDER)
def test_a_mistake_in_a_folder_is_told_with_its_name(tmp_path: Path, mistake: str) -> None:
    keys, said, remedy = OF_A_FOLDER[mistake]
    error = refused(tmp_path, FOLDER + keys)
    assert ": folder 'a': " in error.message
    assert said in error.message
    assert remedy in error.hint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'root = "/x"\n[[mode]]\nname = "m"\n[[folder]]\nname = "a"\nmode = "m"\numask = "9"',
            ["mode 'm': prompt: missing", "'a': umask"],
        ),
        (
            'root = "/x"\n[watch]\nsetle_s = 1\n[engine]\nworkers = "many"\n[jobs]\ndrain_s = -1',
            ["watch.setle_s", "engine.workers", "jobs.drain_s"],
        ),
        (
            'root = "/x"\n[[folder]]\nname = "a"\nmode = "documant"\n'
            '[[folder]]\nname = "b"\numask = "rwx"\noutput_name = "{x}"\nschedule = ["noon"]',
            ["'a': mode: 'documant' is", "'b': output_name", "'b': umask", "'b': schedule"],
        ),
    ],
)
def test_all_mistakes_are_told_at_once_each_with_a_remedy(
    tmp_path: Path, text: str, said: list[str]
) -> None:
    error = refused(tmp_path, text)
    lines = error.message.splitlines()[1:]
    assert len(lines) == len(error.hint.splitlines()[1:]) == len(said)
    for line, words in zip(lines, said, strict=True):
        assert words in line


def test_variables_that_name_no_key_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OCRD_ENGIN__KIND", "OCRD_ROOTS", "OCRD_CONFIG", "OCRD_JOBS__DRAIN_S"):
        monkeypatch.setenv(name, "7")
    config = loaded(tmp_path, f'root = "{tmp_path}"')
    assert set(config.unknown_variables) == {"OCRD_ENGIN__KIND", "OCRD_ROOTS"}


def test_a_missing_file_is_an_error_and_not_the_defaults(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load(tmp_path / "none.toml")


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "huge"])
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path, kind: str) -> None:
    """A reload reads it inside the daemon, which a pipe would stop for ever."""
    file = tmp_path / "config.toml"
    match kind:
        case "pipe":
            os.mkfifo(file)
        case "folder":
            file.mkdir()
        case "device":
            file.symlink_to("/dev/zero")
        case "huge":
            with file.open("wb") as sparse:
                sparse.truncate(1 << 40)
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert caught.value.message.startswith(str(file))
    assert caught.value.hint
    with pytest.raises(ConfigError):  # the quick way of `ocrd status`
        locate(file)


def test_a_file_that_is_not_utf8_is_told_where(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(b'root = "/srv/\xe4"')
    with pytest.raises(ConfigError, match="not UTF-8 at byte 13"):
        load(file)


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    """As Windows' editors write it into a file on a share; nobody sees it."""
    file = tmp_path / "config.toml"
    file.write_bytes(codecs.BOM_UTF8 + f'root = "{tmp_path}"\r\n'.encode())
    assert load(file).root == locate(file).spool.parent == _configured_root(file) == tmp_path


def test_the_smallest_file_gives_a_folder_its_four_trees(tmp_path: Path) -> None:
    config = loaded(tmp_path, f'root = "{tmp_path}"\n[[folder]]\nname = "invoices"')
    folder = config.folder("invoices")
    assert folder is not None
    assert folder.inbox == tmp_path / "inbox" / "invoices"
    assert folder.outbox == tmp_path / "outbox" / "invoices"
    assert folder.archive == tmp_path / "archive" / "invoices"
    assert folder.failed == tmp_path / "failed" / "invoices"
    assert (folder.mode.name, folder.resolution.name) == ("document", "gundam")
    assert config.ledger == tmp_path / ".ocrd" / "ledger.db"


@pytest.mark.parametrize(
    ("keys", "settle_s", "closed_s"),
    [("", 9.0, 1.0), ("settle_s = 20", 20.0, 20.0), ("settle_s = 20\nclosed_s = 3", 20.0, 3.0)],
)
def test_a_folder_rests_as_watch_says_unless_it_says_otherwise(
    tmp_path: Path, keys: str, settle_s: float, closed_s: float
) -> None:
    watch = "[watch]\nsettle_s = 9\nclosed_s = 1"
    text = f'root = "{tmp_path}"\n{watch}\n[[folder]]\nname = "a"\n{keys}'
    folder = loaded(tmp_path, text).folders[0]
    assert (folder.settle_s, folder.closed_s) == (settle_s, closed_s)


def test_a_folder_named_after_a_mode_needs_no_entry(tmp_path: Path) -> None:
    (tmp_path / "inbox" / "ocr").mkdir(parents=True)
    (tmp_path / "inbox" / "whatever").mkdir()
    config = loaded(tmp_path, f'root = "{tmp_path}"')
    assert [(folder.name, folder.mode.name) for folder in config.folders] == [("ocr", "ocr")]
    assert config.folders[0].implicit


def test_folders_that_say_nothing_have_what_the_engine_has(tmp_path: Path) -> None:
    (tmp_path / "inbox" / "ocr").mkdir(parents=True)
    fewer = loaded(tmp_path, f'root = "{tmp_path}"\n[engine]\nmax_crops = 4')
    assert (fewer.folders[0].resolution.name, fewer.folders[0].resolution.max_crops) == (
        "gundam",
        4,
    )
    engine = '[engine]\nresolutions = ["small", "base"]'
    assert loaded(tmp_path, f'root = "{tmp_path}"\n{engine}').folders[0].resolution.name == "small"


def test_an_inbox_that_another_folder_has_is_not_taken_twice(tmp_path: Path) -> None:
    (tmp_path / "inbox" / "ocr").mkdir(parents=True)
    text = f'root = "{tmp_path}"\n[[folder]]\nname = "mine"\ninbox = "inbox/ocr"'
    assert [folder.name for folder in loaded(tmp_path, text).folders] == ["mine"]


def test_an_operators_mode_serves_a_folder(tmp_path: Path) -> None:
    text = (
        f'root = "{tmp_path}"\n[[mode]]\nname = "receipt"\nprompt = "List the items."\n'
        'ngram = 0\n[[folder]]\nname = "a"\nmode = "receipt"'
    )
    mode = loaded(tmp_path, text).folders[0].mode
    assert (mode.prompt, mode.guard) == ("List the items.", None)


def test_the_environment_overrides_the_file_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCRD_WATCH__SETTLE_S", "1.5")
    config = loaded(tmp_path, f'root = "{tmp_path}"\n[watch]\nsettle_s = 9\nrescan_s = 7')
    assert config.settings.watch.settle_s == 1.5
    assert config.settings.watch.rescan_s == 7
    assert config.origins["watch.settle_s"] == "environment"
    assert config.origins["watch.rescan_s"] == "file"
    assert config.origins["watch.max_wait_s"] == "default"


def test_a_variable_that_is_no_table_is_refused_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCRD_ENGINE", "vllm")
    with pytest.raises(ConfigError, match=r'environment: .*"engine"') as refused:
        loaded(tmp_path, f'root = "{tmp_path}"')
    assert "OCRD_ENGINE__KIND" in refused.value.hint


@pytest.mark.parametrize("marker", ["{name}.done", "{stem}.ok", ".{stem}", "{name}~{stem}.xml"])
def test_a_marker_that_can_be_told_from_its_file_is_taken(tmp_path: Path, marker: str) -> None:
    assert loaded(tmp_path, f"{FOLDER}done_marker = '{marker}'").folders[0].done_marker == marker


def test_the_example_in_the_remedy_is_a_pattern_that_works(tmp_path: Path) -> None:
    hint = refused(tmp_path, f"{FOLDER}join = 'pattern'").hint
    example = hint[hint.index("join_pattern") :].rstrip(".")
    loaded(tmp_path, f"{FOLDER}join = 'pattern'\n{example}")


# Keys whose commented line is an example of use and not the default.
EXAMPLES = (
    "api_key_file",
    "path",
    "textfile",
    "on_done",
    "on_failed",
    "webhook",
    "mail_to",
    "max_crops",
)


def test_the_example_names_every_key_with_its_default(tmp_path: Path) -> None:
    """With its defaults uncommented, the example is a valid file that changes nothing."""
    example = (ROOT / "config.example.toml").read_text(encoding="utf-8")
    without_mode = re.sub(r"^# \[\[mode\]\]\n(# .*\n)+", "", example, flags=re.MULTILINE)
    default = re.compile(rf"^# (?!(?:{'|'.join(EXAMPLES)}) = )(\w+ = )", re.MULTILINE)
    full = dict(leaves(loaded(tmp_path, default.sub(r"\1", without_mode)).settings))
    bare = dict(
        leaves(loaded(tmp_path, 'root = "/srv/ocrd"\n[[folder]]\nname = "invoices"').settings)
    )
    own = {key for key, value in bare.items() if value is None}  # "as [watch] says"
    assert {key: full[key] for key in bare if key not in own} == {
        key: value for key, value in bare.items() if key not in own
    }
    named = set(re.findall(r"^(?:# )?(\w+) = ", example, re.MULTILINE))
    assert {key.rsplit(".", 1)[-1] for key in bare} <= named
