"""Connect readers of images to metrics: choose the images, feed them, and gather the results."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from gan_metrics import METRICS, Metric, MetricResult, MetricSettings, SlicedWasserstein
from gan_metrics.base import Batch, Progress
from gan_metrics.descriptors import hash_image
from gan_metrics.projection_views import LevelProjections
from tqdm import tqdm

from celebahq_cli.swd_stats import StatsHeader, is_stats_file, load_stats, read_header, save_stats
from celebahq_tools.errors import InputError, ShapeError
from celebahq_tools.source.image_batches import BatchReader
from celebahq_tools.source.images import open_images

PAPER_NUM_IMAGES = 16384
_PEEK = 64
_PREVIEW = 16


@dataclass(frozen=True)
class Reading:
    """How images are read.

    Attributes:
        size: Level of HDF5 files, or the height to reduce to.
        resize: Reduce larger images.
        skip_bad: Go on without unreadable images.
        batch_size: Images at a time.
        workers: Threads.
    """

    size: int | None = None
    resize: bool = False
    skip_bad: bool = False
    batch_size: int = 32
    workers: int = 1


@dataclass
class Outcome:
    """Results and the facts a report needs.

    Attributes:
        results: One per metric.
        reals, fakes: What was read, as one line each.
        skipped: Unreadable images by set and name.
        projections: Of SWD, for a page.
        previews: A few images of each set by its name, for a page.
    """

    results: list[MetricResult]
    reals: str
    fakes: str
    skipped: dict[str, dict[str, str]] = field(default_factory=dict)
    projections: list[LevelProjections] = field(default_factory=list)
    previews: dict[str, Batch] = field(default_factory=dict)


def score(
    reals: Path,
    fakes: Path,
    names: Sequence[str],
    settings: MetricSettings,
    reading: Reading,
    *,
    for_page: bool = False,
) -> Outcome:
    """Score one set against another; see ``swd score --help``.

    Args:
        reals, fakes: Sets of images; the reals may be saved statistics.
        names: Metrics.
        settings, reading: How to compute and to read.
        for_page: Whether to keep what a page shows besides the results.
    Raises:
        CelebahqError: With what is wrong, where, and the remedy.
    """
    saved = read_header(reals) if is_stats_file(reals) else None
    count = settings.num_images or (saved.num_images if saved else PAPER_NUM_IMAGES)
    with ExitStack() as stack:
        metrics = _make_metrics(names, settings, count, stack)
        fake_reader = open_reader(fakes, reading, stack)
        fake_size = _peek_size(fake_reader)
        if saved:
            sizes = {str(reals): saved.size, str(fakes): fake_size}
            _agree_on_size(sizes, reading, [fake_reader], fixed=saved.size)
            load_stats(reals, metrics, stack)
            said = f"statistics of {saved.num_images} images of {saved.source}, saved in {reals}"
        else:
            real_reader = open_reader(reals, reading, stack)
            sizes = {str(reals): _peek_size(real_reader), str(fakes): fake_size}
            _agree_on_size(sizes, reading, [real_reader, fake_reader])
            said = f"{_feed_reals(real_reader, metrics, count, reading, settings.floor)} images of {reals}"
        chosen = choose_images(fake_reader, count, count, reading)[0]
        feed_images(fake_reader, chosen, metrics, update_fakes, reading, "fakes")
        results = [_compute(metric) for metric in metrics]
        outcome = Outcome(results, said, f"{count} images of {fakes}")
        if for_page:
            outcome.projections = [
                level
                for metric in metrics
                if isinstance(metric, SlicedWasserstein)
                for level in metric.describe_projections()
            ]
            readers = [fake_reader] if saved else [real_reader, fake_reader]
            outcome.previews = {str(reader.source.path): _read_preview(reader) for reader in readers}
        skipped = {str(fakes): fake_reader.bad}
        if not saved:
            skipped[str(reals)] = real_reader.bad
    outcome.skipped = {path: bad for path, bad in skipped.items() if bad}
    return outcome


def save_reals(reals: Path, out: Path, names: Sequence[str], settings: MetricSettings, reading: Reading) -> list[str]:
    """Save what can be reused of the reals; return the names of the metrics that kept something."""
    count = settings.num_images or PAPER_NUM_IMAGES
    with ExitStack() as stack:
        metrics = _make_metrics(names, settings, count, stack)
        reader = open_reader(reals, reading, stack)
        _agree_on_size({str(reals): _peek_size(reader)}, reading, [reader])
        _feed_reals(reader, metrics, count, reading, settings.floor)
        size = reader.size or _peek_size(reader)
        return save_stats(out, StatsHeader(str(reals), count, size, settings.seed), metrics)


@contextmanager
def show_progress(label: str, unit: str) -> Iterator[Progress]:
    """Yield a function that moves a bar on standard error to (done, total); it shows the rate and the time left."""
    with tqdm(desc=label, unit=unit, disable=None, leave=False) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield advance


def _make_metrics(names: Sequence[str], settings: MetricSettings, count: int, stack: ExitStack) -> list[Metric]:
    metrics = [METRICS.load(name)(replace(settings, num_images=count)) for name in names]
    for metric in metrics:
        stack.callback(metric.close)
    return metrics


def open_reader(path: Path, reading: Reading, stack: ExitStack) -> BatchReader:
    """Return a reader of a set of images, closed with the stack."""
    source = open_images(path, height=None if reading.resize else reading.size)
    stack.callback(source.close)
    return BatchReader(source, skip_bad=reading.skip_bad, workers=reading.workers)


def _peek_size(reader: BatchReader) -> tuple[int, int]:
    """Return (H, W) of the first readable image."""
    probe = BatchReader(reader.source, skip_bad=True)
    # Where bad ones are left out they may all stand at the beginning.
    most = len(reader.source) if reader.skip_bad else min(_PEEK, len(reader.source))
    for _, batch in probe.read_batches(range(most), batch_size=1):
        return int(batch.shape[2]), int(batch.shape[3])
    remedy = "repair them" if reader.skip_bad else "repair them or pass --skip-bad"
    raise InputError(f"{reader.source.path}: {probe.describe_bad()}; {remedy}")


def _read_preview(reader: BatchReader) -> Batch:
    """Return the first readable images of a set."""
    kept = [batch[0] for _, batch in reader.read_batches(range(min(_PREVIEW, len(reader.source))), batch_size=1)]
    return np.stack(kept) if kept else np.empty((0, 3, 1, 1), dtype=np.uint8)


def _agree_on_size(
    sizes: dict[str, tuple[int, int]],
    reading: Reading,
    readers: Sequence[BatchReader],
    fixed: tuple[int, int] | None = None,
) -> None:
    """Make the readers give images of one size, or say which sizes differ."""
    if reading.resize:
        height, width = fixed or min(sizes.values())
        if reading.size is not None and fixed is None:
            height, width = reading.size, max(1, round(width * reading.size / height))
        for reader in readers:
            reader.size = (height, width)
    elif len(set(sizes.values())) > 1:
        listed = ", ".join(f"{path} holds {height}x{width}" for path, (height, width) in sizes.items())
        raise ShapeError(f"sizes differ (height x width): {listed}; pass --resize to reduce the larger ones")


def _feed_reals(reader: BatchReader, metrics: Sequence[Metric], count: int, reading: Reading, floor: bool) -> int:
    swd = [metric for metric in metrics if metric.name == "swd"]
    chosen, surplus = choose_images(reader, count, 2 * count if swd and floor else count, reading)
    feed_images(reader, chosen, metrics, update_reals, reading, "reals")
    if surplus:
        # Only the floor needs twice the images; the other metrics compare sets of equal size.
        feed_images(reader, surplus, swd, update_reals, reading, "reals for the floor")
    return count


def choose_images(reader: BatchReader, count: int, most: int, reading: Reading) -> tuple[list[int], list[int]]:
    """Return the images whose content hashes come first: ``count``, and what more there is up to ``most``."""
    source = reader.source
    _require(source.path, len(source), count)
    if len(source) == count:
        return list(range(count)), []
    digests: list[tuple[bytes, int]] = []
    with show_progress(f"choosing from {source.path.name}", "image") as advance:
        for indices, batch in reader.read_batches(batch_size=reading.batch_size):
            digests += [(hash_image(image), index) for index, image in zip(indices, batch, strict=True)]
            advance(indices[-1] + 1, len(source))
    _require(source.path, len(digests), count)
    order = [index for _, index in heapq.nsmallest(most, digests)]
    return sorted(order[:count]), sorted(order[count:])


def _require(path: Path, found: int, count: int) -> None:
    if found < count:
        raise InputError(f"{path}: found {found} images, need {count}; pass --num-images {found} to score anyway")


def update_reals(metric: Metric, batch: Batch) -> None:
    """Give a metric reals."""
    metric.update_reals(batch)


def update_fakes(metric: Metric, batch: Batch) -> None:
    """Give a metric fakes."""
    metric.update_fakes(batch)


def feed_images(
    reader: BatchReader,
    indices: Sequence[int],
    metrics: Sequence[Metric],
    update: Callable[[Metric, Batch], None],
    reading: Reading,
    label: str,
) -> None:
    """Read images and give them to metrics, behind a progress bar."""
    done = 0
    with show_progress(label, "image") as advance:
        for _, batch in reader.read_batches(indices, batch_size=reading.batch_size):
            for metric in metrics:
                update(metric, batch)
            done += len(batch)
            advance(done, len(indices))
    _require(reader.source.path, done, len(indices))


def _compute(metric: Metric) -> MetricResult:
    with show_progress(metric.name, "step") as advance:
        return metric.compute(advance)
