import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from celebahq_tools.build_config import DEFAULT_GUARDS, GUARDS, BuildConfig
from celebahq_tools.config import config_to_json, format_config, resolve_config
from celebahq_tools.errors import ConfigError


@dataclass(frozen=True)
class Sample:
    out: Path
    size: int = 4
    rate: float = 0.5
    mode: Literal["a", "b"] = "a"
    name: str | None = None
    levels: tuple[int, ...] = ()


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(text)
    return path


def test_flags_override_the_file_which_overrides_the_preset(tmp_path):
    file = write(tmp_path, 'size = 8\nmode = "b"\nlevels = [1, 2]')
    config = resolve_config(
        Sample, preset={"size": 6, "rate": 1, "name": "p"}, file=file, flags={"out": "x.h5", "mode": None, "rate": 0.25}
    )
    assert config == Sample(Path("x.h5"), size=8, rate=0.25, mode="b", name="p", levels=(1, 2))


def test_a_misspelt_key_is_answered_with_the_nearest_one(tmp_path):
    with pytest.raises(ConfigError, match=r"run\.toml: unknown setting 'siz'; did you mean 'size'"):
        resolve_config(Sample, file=write(tmp_path, "siz = 8"), flags={"out": "x"})


@pytest.mark.parametrize("line", ['size = "8"', "size = true", "size = 1.5", 'mode = "c"', "name = 3", "levels = 3"])
def test_a_value_of_the_wrong_type_is_refused_with_its_place(tmp_path, line):
    with pytest.raises(ConfigError, match=r"run\.toml: " + line.split()[0]):
        resolve_config(Sample, file=write(tmp_path, line), flags={"out": "x"})


def test_a_missing_required_setting_is_named():
    with pytest.raises(ConfigError, match=r"^--out: required"):
        resolve_config(Sample)


@pytest.mark.parametrize("text", ["size = ", "\x00"])
def test_a_file_that_is_not_toml_is_refused(tmp_path, text):
    with pytest.raises(ConfigError, match="not valid TOML"):
        resolve_config(Sample, file=write(tmp_path, text))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"gone\.toml: cannot read"):
        resolve_config(Sample, file=tmp_path / "gone.toml")


def test_a_config_prints_every_setting_and_survives_json():
    config = Sample(Path("x"), size=8)
    assert "size    8" in format_config(config)
    assert json.loads(config_to_json(config))["size"] == 8


def test_one_text_may_stand_for_a_list_of_one(tmp_path):
    @dataclass(frozen=True)
    class Named:
        names: tuple[str, ...] = ()

    assert resolve_config(Named, file=write(tmp_path, 'names = "a,b"')).names == ("a,b",)


@pytest.mark.parametrize(
    ("line", "guards"),
    [
        ('guards = "none"', ()),
        ('guards = ["none"]', ()),
        ('guards = "all"', GUARDS),
        ('guards = ["no-detector", "no-border"]', ("landmarks", "duplicates", "blockiness")),
        ('guards = "landmarks, border"', ("landmarks", "border")),
        ("", DEFAULT_GUARDS),
    ],
)
def test_guards_are_named_in_a_file_as_on_the_command_line(tmp_path, line, guards):
    config = resolve_config(BuildConfig, file=write(tmp_path, line), flags={"input": "a", "out": "b"})
    assert config.guards == guards
