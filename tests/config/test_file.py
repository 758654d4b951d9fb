"""One TOML file, one typed tree, and errors that say what to type."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic.fields import FieldInfo

from sharpen.config import Config, Section, load, parse, render
from sharpen.errors import ConfigError


def write(folder: Path, text: str) -> Path:
    path = folder / "sharpen.toml"
    path.write_text(text, encoding="utf-8")
    return path


def every_key() -> list[tuple[str, str, FieldInfo]]:
    """Return (section or '', key, field) of the whole tree."""
    keys = []
    for name, field in Config.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            keys += [(name, key, inner) for key, inner in kind.model_fields.items()]
        else:
            keys.append(("", name, field))
    return keys


def another(value: Any) -> Any:
    """Return a value of the same type that is not this one."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1000
    if isinstance(value, float):
        return value / 2 + 0.125
    if isinstance(value, list):
        return ["a:b", 'c:"quoted" \\ d']
    return f"{value} other"


# -- what is written can be read ---------------------------------------------------------------------------------------


def test_an_empty_file_is_a_whole_configuration(tmp_path: Path) -> None:
    config = load(write(tmp_path, ""))
    assert config == Config().model_copy(update={"home": tmp_path / ".sharpen"})


def test_the_defaults_written_out_read_back_as_the_defaults() -> None:
    assert parse(tomllib.loads(render())) == Config()


def test_every_default_is_true_when_its_comment_sign_is_taken_away() -> None:
    lines = [line.removeprefix("# ") for line in render().splitlines()[2:]]
    text = "\n".join(line for line in lines if not re.search("= +#", line))  # TOML has no word for 'not set'
    assert parse(tomllib.loads(text)) == Config()


def test_every_key_is_in_the_file_and_explained() -> None:
    text = render()
    for section, key, field in every_key():
        assert field.description, f"[{section}] {key} has no description"
        assert f"{key} = " in text
        assert f"# {field.description}" in text


CHANGEABLE = [
    row for row in every_key() if len(get_args(row[2].annotation)) != 1 or get_args(row[2].annotation) == (str,)
]


TABLES = ({"a suite": 0.5}, {"a word": ["another"]}, {"an axis": {"a group": 0.5}})


@pytest.mark.parametrize(
    ("section", "key", "field"), CHANGEABLE, ids=lambda part: part if isinstance(part, str) else ""
)
def test_a_key_that_differs_from_its_default_survives_the_file(section: str, key: str, field: FieldInfo) -> None:
    default = field.get_default(call_default_factory=True)
    choices = [choice for choice in get_args(field.annotation) if isinstance(choice, str)]
    for value in (another(default), True, 1, 2, 0.75, 5000, "dora", *choices, *TABLES):
        try:
            config = parse({section: {key: value}} if section else {key: value})
        except ConfigError:
            continue
        if config != Config():
            break
    assert config != Config(), "no value changed it"
    assert parse(tomllib.loads(render(config))) == config


@given(home=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1))
def test_any_path_survives_the_file(home: str) -> None:
    config = Config(home=Path(home))
    assert parse(tomllib.loads(render(config))) == config


# -- errors name the place and the next step ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[promotion]\nalpah = 0.1", "[promotion]: no key 'alpah'. Did you mean 'alpha'?"),
        ("[trainning]\nepochs = 1.0", "no key 'trainning'. Did you mean 'training'?"),
        ("[serving]\nxyzzy = 1", "[serving]: no key 'xyzzy'. Known keys: poll_s."),
        ("[gateway]\nport = '8377'", "[gateway]: 'port' = '8377': input should be a valid integer"),
        ("[gateway]\nport = 70000", "'port' = 70000: input should be less than or equal to 65535"),
        ("[capture]\ntraces = 'yes'", "[capture]: 'traces' = 'yes': input should be a valid boolean"),
        ("[models]\nthreads = true", "'threads' = True: input should be a valid integer"),
        ("[training]\ntimeout_s = inf", "'timeout_s' = inf: input should be a finite number"),
        ("[promotion]\nalpha = nan", "'alpha' = nan: input should be a finite number"),
        ("[evaluation]\nguards = 'one'", "[evaluation]: 'guards' = 'one': input should be a valid list"),
        ("[evaluation]\nguards = [3]", "[evaluation.guards]: '0' = 3: input should be a valid string"),
        ("pace = 'fast'", "'pace' = 'fast': input should be 'demo', 'hourly' or 'nightly'"),
        ("models = 3", "'models' = 3"),
        ("seed = -1", "'seed' = -1: input should be greater than or equal to 0"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, "sead = 1\n[promotion]\nalpah = 0.1\n[gateway]\nport = -1"))
    assert len(caught.value.what.splitlines()) == 3


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no configuration file") as caught:
        load(tmp_path / "none.toml")
    assert caught.value.next_step == "sharpen init"


def test_broken_toml_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"not valid TOML.*line 2"):
        load(write(tmp_path, "seed = 1\npace = demo\n"))


def test_a_file_that_is_no_text_or_no_file_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "bytes.toml", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read"):
            load(path)


# -- paths and dials ---------------------------------------------------------------------------------------------------


def test_relative_paths_are_seen_from_the_file_s_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weights").mkdir()
    path = write(
        tmp_path,
        'base = "weights"\nhome = "state"\nstore = "sqlite:///state/own.db"\n'
        '[evaluation]\nsuite = "mine.jsonl"\nguards = ["guard.jsonl", "reasoning-gym:gcd"]',
    )
    monkeypatch.chdir("/")
    config = load(path)
    assert config.base == str(tmp_path / "weights")
    assert config.home == tmp_path / "state"
    assert config.adapters == tmp_path / "state" / "adapters"
    assert config.store_url == f"sqlite:///{tmp_path / 'state' / 'own.db'}"
    assert config.evaluation.suite == str(tmp_path / "mine.jsonl")
    assert config.evaluation.guards == [str(tmp_path / "guard.jsonl"), "reasoning-gym:gcd"]


def test_addresses_and_absolute_paths_are_left_as_they_are(tmp_path: Path) -> None:
    text = 'base = "HuggingFaceTB/SmolLM2-135M"\nhome = "/srv/sharpen"\nstore = "postgresql+psycopg://db/sharpen"'
    config = load(write(tmp_path, text))
    assert (config.base, config.home) == ("HuggingFaceTB/SmolLM2-135M", Path("/srv/sharpen"))
    assert config.store_url == "postgresql+psycopg://db/sharpen"
    assert load(write(tmp_path, 'store = "sqlite:////srv/x.db"')).store_url == "sqlite:////srv/x.db"


def test_without_an_address_the_store_is_a_file_at_home(tmp_path: Path) -> None:
    assert load(write(tmp_path, "")).store_url == f"sqlite:///{tmp_path / '.sharpen' / 'store.db'}"


def test_a_slower_pace_never_does_less_and_an_own_number_wins() -> None:
    for key in ("rounds", "samples"):
        counts = [Config(pace=pace).paced(key) for pace in ("demo", "hourly", "nightly")]
        assert counts == sorted(counts)
    assert parse({"pace": "demo", "critique": {"rounds": 0, "samples": 7}}).paced("rounds") == 0
    assert parse({"pace": "demo", "critique": {"rounds": 0, "samples": 7}}).paced("samples") == 7


def test_the_configuration_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().seed = 1  # type: ignore[misc]


def test_paths_of_suites_and_data_are_seen_from_the_files_folder(tmp_path: Path) -> None:
    (tmp_path / "faq").mkdir()
    (tmp_path / "sharpen.toml").write_text(
        '[evaluation]\nsuite = "cases.csv?scorer=my.module:grade"\ndata = "public"\n'
        'guards = ["hf:faq?split=test", "hf:owner/name", "ready:arc?kind=choice", "reasoning-gym:gcd"]\n'
    )
    settings = load(tmp_path / "sharpen.toml").evaluation
    assert settings.suite == f"{tmp_path}/cases.csv?scorer=my.module:grade"
    assert settings.guards == [
        f"hf:{tmp_path}/faq?split=test", "hf:owner/name", "ready:arc?kind=choice", "reasoning-gym:gcd",
    ]  # fmt: skip
    assert settings.data_folder == tmp_path / "public"


def test_the_environment_names_the_data_folder_where_the_file_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHARPEN_DATA", raising=False)
    assert Config().evaluation.data_folder is None
    monkeypatch.setenv("SHARPEN_DATA", "/somewhere")
    assert Config().evaluation.data_folder == Path("/somewhere")
