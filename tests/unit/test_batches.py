"""Batches for clusters: their size, errors inside them, and a real cluster of two processes."""

from dataclasses import dataclass

import pytest

from celebahq_tools.batches import MOST_ITEMS, SECONDS, Batcher, BatchWork
from celebahq_tools.errors import ConfigError
from celebahq_tools.workers import DaskCrew, map_unordered

from .page_faults import count_faults


@dataclass(frozen=True)
class Item:
    index: int
    fails: bool = False


def work(item):
    if item.fails:
        raise ConfigError("cannot work at all")
    return item


def give_up(item):
    raise AssertionError(item)


def test_batches_grow_to_the_seconds_they_may_take_and_shrink_again():
    batcher = Batcher()
    sizes = [batcher.size]
    for _ in range(12):
        batcher.learn(batcher.size, batcher.size * 0.066)
        sizes.append(batcher.size)
    assert sizes[:3] == [1, 2, 4]
    assert sizes[-1] == int(SECONDS / 0.066)
    for _ in range(12):
        batcher.learn(batcher.size, batcher.size * 38.0)
    assert batcher.size == 1


def test_a_slow_first_item_does_not_keep_batches_small():
    batcher = Batcher()
    batcher.learn(1, 5.0)
    for _ in range(20):
        batcher.learn(batcher.size, batcher.size * 0.066)
    assert batcher.size == int(SECONDS / 0.066)


def test_batches_have_a_largest_size_and_empty_ones_teach_nothing():
    batcher = Batcher()
    for _ in range(10):
        batcher.learn(batcher.size, 0.0)
    assert batcher.size == MOST_ITEMS
    batcher.learn(0, 100.0)
    assert batcher.size == MOST_ITEMS


def test_items_are_taken_only_for_the_batch_that_is_asked_for():
    taken = []
    batcher = Batcher()
    batches = batcher.cut(index for index in range(7) if taken.append(index) is None)
    assert next(batches) == [0]
    batcher.size = 4
    assert next(batches) == [1, 2, 3, 4]
    assert taken == [0, 1, 2, 3, 4]
    assert list(batches) == [[5, 6]]


def test_what_was_finished_before_an_error_is_not_lost():
    done = BatchWork(work)([Item(0), Item(1), Item(2, fails=True), Item(3)])
    assert done.results == [Item(0), Item(1)]
    assert isinstance(done.error, ConfigError)


@pytest.fixture(scope="module")
def address():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster.scheduler_address


def test_a_cluster_gives_every_item_back_once(address):
    items = [Item(index) for index in range(200)]
    results = list(map_unordered(work, items, DaskCrew(address), give_up=give_up, halve=False))
    assert sorted(results, key=lambda item: item.index) == items


def test_an_error_on_a_cluster_ends_the_work_with_that_error(address):
    items = [Item(index, fails=index == 50) for index in range(200)]
    with pytest.raises(ConfigError, match="cannot work at all"):
        list(map_unordered(work, items, DaskCrew(address), give_up=give_up, halve=False))


# A block that is mapped anew costs a fault a page, each time.
_COUNT_FAULTS = """
import resource
import numpy as np
from celebahq_tools.allocator import keep_freed_blocks
kept = {keep} and keep_freed_blocks()
def turn(): np.empty(1 << 22, np.uint8).fill(1)
for _ in range(5): turn()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50): turn()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_a_worker_keeps_freed_memory_although_dask_forbade_it():
    # As Dask's nanny starts its workers.
    environment = {"MALLOC_TRIM_THRESHOLD_": "65536"}
    kept, faults = count_faults(_COUNT_FAULTS, keep=True, environment=environment)
    if not kept:
        pytest.skip("not glibc")
    assert faults * 10 < count_faults(_COUNT_FAULTS, keep=False, environment=environment)[1]
