"""Resolved configuration: dataclass defaults, then a preset, then a TOML file, then flags."""

from __future__ import annotations

import dataclasses
import json
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from celebahq_tools.errors import ConfigError, suggest

C = TypeVar("C")
# Options that a keyword of Python keeps from naming their setting.
_OPTIONS = {"input": "in"}


def resolve_config(
    schema: type[C],
    *,
    preset: Mapping[str, object] | None = None,
    file: Path | None = None,
    flags: Mapping[str, object] | None = None,
) -> C:
    """Return one configuration, later sources overriding earlier ones.

    Args:
        schema: A frozen dataclass whose fields all have defaults or are given by some source.
        preset: Values of a named preset.
        file: A TOML file of top-level ``key = value`` lines.
        flags: Command line values; ``None`` means "not given".
    Returns:
        An instance of ``schema``; its own ``__post_init__`` checks ranges.
    Raises:
        ConfigError: If a source has an unknown key or a value of the wrong type.
    """
    given = {key: value for key, value in (flags or {}).items() if value is not None}
    sources: list[tuple[str, Mapping[str, object]]] = [("preset", preset or {})]
    if file is not None:
        sources.append((str(file), read_toml(file)))
    sources.append(("command line", given))
    hints = typing.get_type_hints(schema)
    names = {field.name for field in dataclasses.fields(typing.cast(Any, schema)) if field.init}
    merged: dict[str, object] = {}
    for origin, values in sources:
        for key, value in values.items():
            if key not in names:
                raise ConfigError(f"{origin}: unknown setting {key!r}{suggest(key, names)}")
            merged[key] = _coerce(value, hints[key], f"{origin}: {key}")
    missing = [
        f"--{_OPTIONS.get(field.name, field.name)}"
        for field in dataclasses.fields(typing.cast(Any, schema))
        if field.init and field.name not in merged and _has_no_default(field)
    ]
    if missing:
        raise ConfigError(f"{' and '.join(missing)}: required; give the option, or set it in the --config file")
    return schema(**merged)


def read_toml(path: Path) -> dict[str, object]:
    """Return the top-level table of a TOML file.

    Raises:
        ConfigError: If the file cannot be read or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the configuration: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None


def config_to_json(config: object) -> str:
    """Return a configuration as one line of JSON with sorted keys, for file attributes and comparison."""
    return json.dumps(dataclasses.asdict(typing.cast(Any, config)), sort_keys=True, default=str)


def format_config(config: object) -> str:
    """Return a configuration as aligned ``name  value`` lines, for printing."""
    items = dataclasses.asdict(typing.cast(Any, config))
    width = max(map(len, items), default=0)
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in items.items())


def _has_no_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _coerce(value: object, hint: Any, where: str) -> object:
    """Return a value as its field's type, accepting what TOML and flags can express."""
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    for option in options:
        kind = typing.get_origin(option) or option
        if kind is typing.Literal:
            if value in typing.get_args(option):
                return value
        elif kind is type(None):
            if value is None:
                return None
        elif kind is tuple and isinstance(value, (list, tuple)):
            inner = typing.get_args(option)[0]
            return tuple(_coerce(element, inner, where) for element in value)
        elif kind is tuple and isinstance(value, str):
            return (_coerce(value, typing.get_args(option)[0], where),)
        elif kind is Path and isinstance(value, (str, Path)):
            return Path(value)
        elif kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        elif isinstance(kind, type) and isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
            return value
    expected = getattr(hint, "__name__", None) if len(options) == 1 and not typing.get_args(hint) else str(hint)
    raise ConfigError(f"{where}: {value!r} is not of type {expected or hint}")
