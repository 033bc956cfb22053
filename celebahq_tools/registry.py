"""Named plug-ins: a registry line and one file add a metric, loss, restorer, exporter or preset."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar, cast

from celebahq_tools.errors import ConfigError, suggest

T = TypeVar("T")


class Registry(Generic[T]):
    """Names mapped to objects that are imported only when they are asked for.

    Laziness keeps ``--help`` fast: listing the choices of an option imports none of them.

    Args:
        kind: What is registered, for messages (``"metric"``).
        targets: Name to ``"package.module:attribute"``.
    """

    def __init__(self, kind: str, targets: Mapping[str, str]) -> None:
        self.kind = kind
        self._targets: dict[str, str] = {}
        for name, target in targets.items():
            self.add(name, target)

    def add(self, name: str, target: str) -> None:
        """Register one more entry; on error the registry stays as it was.

        Raises:
            ConfigError: If the name is taken or the target is not ``module:attribute``.
        """
        if name in self._targets:
            raise ConfigError(f"{self.kind} {name!r} is registered already, as {self._targets[name]}")
        module, separator, attribute = target.partition(":")
        if not (module and separator and attribute):
            raise ConfigError(f"{self.kind} {name!r}: target {target!r} is not of the form 'module:attribute'")
        self._targets[name] = target

    def load(self, name: str) -> T:
        """Import and return the object registered under a name.

        Raises:
            ConfigError: If the name is unknown; the message names the nearest one.
        """
        target = self._targets.get(name)
        if target is None:
            raise ConfigError(f"unknown {self.kind} {name!r}{suggest(name, self._targets)}")
        module, _, attribute = target.partition(":")
        return cast(T, getattr(importlib.import_module(module), attribute))

    def __iter__(self) -> Iterator[str]:
        return iter(self._targets)

    def __contains__(self, name: object) -> bool:
        return name in self._targets

    def __len__(self) -> int:
        return len(self._targets)
