"""Find damage in a dataset: every chunk is decompressed, every level compared, every manifest row matched."""

from __future__ import annotations

import math
import os
import zlib
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from celebahq_tools.store.bands import list_bands, paste_band
from celebahq_tools.store.compression import MissingPluginError
from celebahq_tools.store.layout import compute_mips
from celebahq_tools.store.verify_companions import check_labels, check_manifest
from celebahq_tools.store.verify_structure import Finding, LevelPlan, plan_levels
from celebahq_tools.types import ProgressListener

__all__ = ["Finding", "VerifyReport", "verify_dataset"]

_Raw = NDArray[np.uint8] | bytes | str
"""Pixels, a zlib stream, or why there is neither."""


@dataclass(frozen=True)
class VerifyReport:
    """What was checked and found.

    Attributes:
        images, levels, chunks, rows: How many were checked; rows of the manifest.
        findings: What is wrong, in the order of checking; empty for a sound dataset.
    """

    images: int
    levels: int
    chunks: int
    rows: int
    findings: tuple[Finding, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Count of the findings by kind, most frequent first."""
        return dict(Counter(finding.kind for finding in self.findings).most_common())


def verify_dataset(path: Path, listener: ProgressListener, *, workers: int = 0) -> VerifyReport:
    """Check a dataset whole. Damage is reported, never raised.

    Checked are: that the file opens; that all levels are there, of one length and type; that no chunk is missing, lies
    outside the file, overlaps another, or fails to decompress (gzip carries a checksum); that each level of each image
    is the rounded mean of the largest, as :func:`celebahq_tools.store.layout.compute_mips` makes it; that labels and
    manifest, if they are there, fit the images one to one.

    Args:
        path: The HDF5 file.
        listener: Is told of every image.
        workers: Threads; 0 for one per core.
    Raises:
        MissingPluginError: If the file cannot be checked here.
    """
    findings: list[Finding] = []
    try:
        with h5py.File(path, "r") as file:
            levels = plan_levels(file, path, findings)
            images = levels[0].count if levels else 0
            if levels:
                findings.extend(_check_hdf5_reads(levels))
                listener.begin_stage("images", total=images, done=0)
                for found in _check_images(levels, workers or os.cpu_count() or 1):
                    findings.extend(found)
                    listener.advance(None)
            chunks = sum(level.chunks for level in levels)
    except MissingPluginError:
        raise
    except Exception as error:
        # HDF5 and h5py raise almost anything on tables that contradict themselves.
        return VerifyReport(0, 0, 0, 0, (*findings, _name_unreadable(path, f"{type(error).__name__}: {error}")))
    rows = 0
    if levels:
        check_labels(path, images, findings)
        rows = check_manifest(path, images, findings)
    return VerifyReport(images, len(levels), chunks, rows, tuple(findings))


def _name_unreadable(path: Path, message: str) -> Finding:
    if not path.is_file():
        return Finding("file.missing", str(path), "no such file")
    with path.open("rb") as stream:
        signature = stream.read(8)
    if signature != b"\x89HDF\r\n\x1a\n":
        return Finding("file.not_hdf5", path.name, "its first bytes are not those of HDF5")
    return Finding("file.truncated" if "truncated" in message else "file.damaged", path.name, message)


def _check_images(levels: list[LevelPlan], workers: int) -> Iterator[list[Finding]]:
    """Yield the findings of each image in order; decompression and comparison run in threads, a few images ahead."""
    reported: set[tuple[str, int, str]] = set()
    waiting: deque[Future[list[Finding]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for index in range(levels[0].count):
                raw = [_read_raw(level, index) for level in levels]
                waiting.append(pool.submit(_check_image, levels, raw, index))
                if len(waiting) >= 2 * workers:
                    yield _drop_repeats(waiting.popleft().result(), reported)
            while waiting:
                yield _drop_repeats(waiting.popleft().result(), reported)
        finally:
            for future in waiting:
                future.cancel()


def _drop_repeats(findings: list[Finding], reported: set[tuple[str, int, str]]) -> list[Finding]:
    """Leave out chunks that were named already: the smallest levels have several images in one."""
    fresh = []
    for finding in findings:
        key = (finding.where, finding.chunk, finding.detail)
        if finding.chunk < 0 or key not in reported:
            fresh.append(finding)
        reported.add(key)
    return fresh


def _check_hdf5_reads(levels: list[LevelPlan]) -> Iterator[Finding]:
    """Report levels whose chunks are sound but which HDF5 cannot read: then its description of them is damaged."""
    for level in levels:
        if level.direct and _decode(level, _read_raw(level, 0), 0)[0] is not None:
            try:
                level.dataset[0]
            except Exception as error:
                yield Finding("level.unreadable", level.name, f"{type(error).__name__}: {error}")


def _read_raw(level: LevelPlan, index: int) -> list[_Raw]:
    """Return a level of an image as it is stored, chunk by chunk, or whole if only HDF5 can decode it."""
    if not level.direct:
        if index // level.chunk_length * max(len(level.bands), 1) in level.missing:
            return [""]
        try:
            return [level.dataset[index]]
        except Exception as error:
            return [f"{type(error).__name__}: {error}"]
    return [_read_chunk(level, index, number) for number in range(len(level.bands))]


def _read_chunk(level: LevelPlan, index: int, number: int) -> _Raw:
    if index * len(level.bands) + number in level.missing:
        return ""
    try:
        mask, data = level.dataset.id.read_direct_chunk((index, *level.bands[number].place))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return np.frombuffer(data, np.uint8) if mask else bytes(data)


def _decode(level: LevelPlan, raw: list[_Raw], index: int) -> tuple[NDArray[np.uint8] | None, list[Finding]]:
    """Return the pixels (C, h, w) of a level, None if any is missing, and which of its chunks are damaged."""
    chunk = level.dataset.chunks[1:] if level.direct else level.shape
    bands = level.bands if level.direct else list_bands(level.shape, chunk)
    first = index // level.chunk_length * level.chunk_length
    pixels = np.empty(level.shape, np.uint8)
    whole, findings = True, []
    for number, (band, stored) in enumerate(zip(bands, raw, strict=True)):
        data = _inflate(stored, math.prod(chunk))
        if not isinstance(data, str):
            paste_band(pixels, band, chunk, data)
            continue
        whole = False
        if data:  # what is missing was reported already
            where = level.name_band(first, number) if level.direct else level.name_images(first)
            findings.append(Finding("chunk.damaged", level.name, f"{where}: {data}", first))
    return pixels if whole else None, findings


def _inflate(raw: _Raw, size: int) -> NDArray[np.uint8] | str:
    """Return so many bytes of pixels, or why there are none."""
    if isinstance(raw, bytes):
        try:
            raw = np.frombuffer(zlib.decompress(raw), np.uint8)
        except zlib.error as error:
            return str(error)
    if isinstance(raw, str):
        return raw
    return raw if raw.size == size else f"holds {raw.size} bytes instead of {size}"


def _check_image(levels: list[LevelPlan], raw: list[list[_Raw]], index: int) -> list[Finding]:
    findings = []
    stored = []
    for level, chunks in zip(levels, raw, strict=True):
        pixels, damaged = _decode(level, chunks, index)
        stored.append(pixels)
        findings.extend(damaged)
    top = stored[0]
    if top is None:
        return findings
    expected = {mip.shape: mip for mip in compute_mips(np.ascontiguousarray(top.transpose(1, 2, 0)))}
    wrong = [
        level
        for level, pixels in zip(levels[1:], stored[1:], strict=True)
        if pixels is not None and not np.array_equal(pixels, expected.get(pixels.shape, pixels))
    ]
    if wrong:
        names = ", ".join(level.name for level in wrong)
        findings.append(Finding("level.differs", names, f"image {index} is not the mean of its {levels[0].name}"))
    return findings
