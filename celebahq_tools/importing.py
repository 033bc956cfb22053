"""Bring sets of images that need no restoration into our HDF5: decode, fit, store, and say what became of each."""

from __future__ import annotations

import os
import warnings
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from celebahq_tools import __version__
from celebahq_tools.errors import ConfigError, InputError, RejectionError
from celebahq_tools.source.importers import IMPORTERS
from celebahq_tools.source.importers.base import ImportRequest, ImportSource
from celebahq_tools.store.compression import choose_filters
from celebahq_tools.store.encoding import EncodedFace, encode_levels
from celebahq_tools.store.labels import discard_labels, labels_path, save_labels
from celebahq_tools.store.layout import HDF5_SUFFIXES
from celebahq_tools.store.manifest import manifest_path, reasons_path, write_source_manifest
from celebahq_tools.store.writer import create_dataset
from celebahq_tools.types import ItemRecord, ProgressListener


@dataclass(frozen=True)
class ImportConfig:
    """Settings of an import.

    Attributes:
        request: Which images of which source.
        kind: A name in :data:`celebahq_tools.source.importers.IMPORTERS`.
        out: HDF5 file to make.
        size: Side to cut and reduce images to; None for the kind's own, or to keep them as they are.
        channels: 1 or 3; None for those of the first usable image.
        compression: A name in :data:`celebahq_tools.store.compression.COMPRESSIONS`.
        limit: Take at most so many images of the source.
        workers: Threads that decode and compress; 0 for one per core.
        overwrite: Replace an existing output.
    """

    request: ImportRequest
    kind: str
    out: Path
    size: int | None = None
    channels: int | None = None
    limit: int | None = None
    workers: int = 0
    overwrite: bool = False
    compression: str = "gzip"


@dataclass(frozen=True)
class ImportSummary:
    """What an import made.

    Attributes:
        manifest: CSV with a row per image of the source.
        shape: (channels, height, width) of the images.
        found, kept: Images in the source, images in the dataset.
        classes: Columns of the labels; 0 without labels.
        rejected: Count by ``stage.reason``, most frequent first.
    """

    manifest: Path
    shape: tuple[int, int, int]
    found: int
    kept: int
    classes: int
    rejected: dict[str, int] = field(default_factory=dict)


class NothingImportedError(InputError):
    """No image of the source can be used; there is no dataset."""


def run_import(config: ImportConfig, listener: ProgressListener) -> ImportSummary:
    """Store a set of images as a multi-resolution HDF5 dataset with labels and a manifest.

    Images keep the order of the source. One that cannot be used never stops the import: it is counted and listed.

    Args:
        config: The settings.
        listener: Is told of every image.
    Raises:
        InputError: If the source cannot be used at all, or no image of it can; then a manifest says why.
        ConfigError: If the kind is unknown, or an output exists and may not be replaced.
        OSError: If the disk is full or the folder cannot be written; nothing is left at ``out``.
    """
    opener = IMPORTERS.load(config.kind)
    _check_settings(config)
    with warnings.catch_warnings():
        # Decoders warn of odd metadata and of sizes that are checked here anyway.
        warnings.simplefilter("ignore")
        source = opener(config.request)
        try:
            return _store_images(source, replace(config, size=config.size or source.default_size), listener)
        finally:
            source.close()


def fit_image(pixels: NDArray[np.uint8], size: int | None, channels: int | None) -> NDArray[np.uint8]:
    """Return an image with the wanted size and channels.

    Args:
        pixels: (H, W, C) uint8.
        size: The middle square is cut out and reduced to this side by Pillow's Lanczos filter, whose support grows with
            the reduction (antialiased). None leaves the image as it is.
        channels: 3 gives grey images three equal channels. None leaves the image as it is.
    Raises:
        RejectionError: If it would have to be enlarged, or colours to be dropped.
    """
    if channels is not None and pixels.shape[2] != channels:
        if channels == 1:
            raise RejectionError("channels", "colour", "has colours, the dataset is grey")
        pixels = np.repeat(pixels, channels, axis=2)
    if size is None:
        return np.ascontiguousarray(pixels)
    height, width = pixels.shape[:2]
    side = min(height, width)
    if side < size:
        raise RejectionError("size", "small", f"{width}x{height}; images are never enlarged to {size}x{size}")
    top, left = (height - side) // 2, (width - side) // 2
    square = np.ascontiguousarray(pixels[top : top + side, left : left + side])
    if side == size:
        return square
    image = Image.fromarray(square[..., 0] if square.shape[2] == 1 else square)
    reduced = np.asarray(image.resize((size, size), Image.Resampling.LANCZOS))
    return np.ascontiguousarray(reduced.reshape(size, size, square.shape[2]))


def _check_settings(config: ImportConfig) -> None:
    out = config.out
    if out.suffix.lower() not in HDF5_SUFFIXES:
        raise ConfigError(f"{out}: makes an HDF5 file; name it *.h5 or *.hdf5")
    if not out.parent.is_dir():
        raise ConfigError(f"{out.parent}: no such folder; make it first, --out goes into it")
    if out.is_dir():
        raise ConfigError(f"{out}: is a folder; --out names the file to make")
    for path in (out, labels_path(out), manifest_path(out)):
        if path.exists() and not config.overwrite:
            raise ConfigError(f"{path}: exists already; pass --overwrite to replace it, or another --out")
    choose_filters(config.compression)
    if config.size is not None and config.size < 1:
        raise ConfigError(f"--size {config.size}: give a positive side")


@dataclass(frozen=True, eq=False)
class _Outcome:
    """What became of one image: a face in all levels, or a rejection."""

    index: int
    sha256: str = ""
    shape: tuple[int, ...] = ()
    face: EncodedFace | None = None
    rejection: RejectionError | None = None


def _store_images(source: ImportSource, config: ImportConfig, listener: ProgressListener) -> ImportSummary:
    found = min(len(source), config.limit or len(source))
    shape = _find_shape(source, config, found)
    manifest = reasons_path(config.out) if shape is None else manifest_path(config.out)
    kept: list[int] = []
    reasons: Counter[str] = Counter()
    listener.begin_stage("images", total=found, done=0)
    with ExitStack() as stack:
        if shape is not None:
            height, width, channels = shape
            config = replace(config, channels=channels)
            attributes = _describe_source(source, config)
            writer = stack.enter_context(
                create_dataset(
                    config.out,
                    height=height,
                    width=width,
                    channels=channels,
                    attributes=attributes,
                    compression=config.compression,
                )
            )
        with write_source_manifest(manifest) as write_row:
            for outcome in _load_in_order(source, config, found, shape):
                name, rejection = source.name(outcome.index), outcome.rejection
                if outcome.face is not None:
                    writer.append_encoded(outcome.face)
                    write_row(outcome.index, name, outcome.sha256, len(kept))
                    kept.append(outcome.index)
                    listener.advance(None)
                elif rejection is not None:
                    write_row(outcome.index, name, outcome.sha256, rejection)
                    reasons[f"{rejection.stage}.{rejection.reason}"] += 1
                    listener.advance(_make_record(outcome.index, name, rejection))
        if shape is None:
            counts = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(5))
            raise NothingImportedError(f"none of {found} images can be used ({counts}); reasons in {manifest}")
        _replace_labels(source, config.out, kept)
    classes = 0 if source.labels is None else source.labels.shape[1]
    return ImportSummary(manifest, (channels, height, width), found, len(kept), classes, dict(reasons.most_common()))


def _describe_source(source: ImportSource, config: ImportConfig) -> dict[str, str]:
    """Return what the file's root says of its origin; no path, which would mean nothing on another machine."""
    attributes = {"celebahq_tools_version": __version__, "imported_from": config.kind}
    if config.kind in ("cifar10", "mnist", "mnist-rgb"):
        attributes["part"] = config.request.part
    if config.kind == "mnist-rgb":
        attributes["seed"] = str(config.request.seed)
    if source.labels is not None and source.label_names:
        attributes["label_names"] = " ".join(source.label_names)
    return attributes


def _make_record(index: int, name: str, rejection: RejectionError) -> ItemRecord:
    return ItemRecord(index, name, stage=rejection.stage, reason=rejection.reason, detail=rejection.detail)


def _find_shape(source: ImportSource, config: ImportConfig, found: int) -> tuple[int, int, int] | None:
    """Return (height, width, channels) of the first usable image; None if there is none."""
    for index in range(found):
        outcome = _finish(source, _read(source, index), index, config, None)
        if outcome.rejection is None:
            height, width, channels = outcome.shape
            return height, width, channels
    return None


def _load_in_order(
    source: ImportSource, config: ImportConfig, found: int, shape: tuple[int, int, int] | None
) -> Iterator[_Outcome]:
    """Yield the outcome of every image in order; decoding and compression run in threads, a few images ahead."""
    workers = config.workers or os.cpu_count() or 1
    waiting: deque[Future[_Outcome]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for index in range(found):
                waiting.append(pool.submit(_finish, source, _read(source, index), index, config, shape))
                if len(waiting) >= 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _read(source: ImportSource, index: int) -> Any:
    """Return an image as stored, or the rejection of it."""
    try:
        return source.read(index)
    except RejectionError as rejection:
        return rejection


def _finish(
    source: ImportSource, raw: Any, index: int, config: ImportConfig, shape: tuple[int, int, int] | None
) -> _Outcome:
    """Decode, fit and, if the shape of the dataset is known, encode one image."""
    sha256 = ""
    try:
        if isinstance(raw, RejectionError):
            raise raw
        sha256 = source.hash(raw)
        fitted = fit_image(source.decode(raw), config.size, config.channels)
        if shape is None:
            return _Outcome(index, sha256, fitted.shape)
        if fitted.shape != shape:
            raise RejectionError("size", "differs", f"{_format(fitted.shape)}; the dataset has {_format(shape)}")
        return _Outcome(index, sha256, fitted.shape, encode_levels(fitted, config.compression))
    except RejectionError as rejection:
        return _Outcome(index, sha256, rejection=rejection)
    except MemoryError:
        return _Outcome(index, sha256, rejection=RejectionError("decode", "huge", "does not fit in memory"))
    except Exception as error:
        detail = f"{type(error).__name__}: {error}"
        return _Outcome(index, sha256, rejection=RejectionError("internal", "error", detail))


def _format(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]} with {shape[2]} channels"


def _replace_labels(source: ImportSource, out: Path, kept: list[int]) -> None:
    """Write the labels of the images that were kept; those of an older dataset of this name must not stay."""
    if source.labels is None:
        discard_labels(out)
    else:
        save_labels(labels_path(out), source.labels[kept])
