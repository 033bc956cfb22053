"""Work spread over processes, of this machine or of a cluster, that goes on when the system kills one of them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any, Generic, Protocol, TypeVar

from celebahq_tools.batches import Batcher, BatchWork, DoneBatch
from celebahq_tools.errors import CelebahqError, ConfigError

# An item is given up only when it was alone with the worker that died, and this many times: once may be chance.
LONE_TRIALS = 2
# Tasks handed out beyond the workers, so that none waits for the coordinator.
_AHEAD = 2


class _Indexed(Protocol):
    """Anything with a number that stays the same from task to result."""

    @property
    def index(self) -> int:
        """The number."""
        ...


T = TypeVar("T", bound=_Indexed)
R = TypeVar("R", bound=_Indexed)
# What is handed out and what comes back of it: items and results, or batches of them.
S = TypeVar("S")
D = TypeVar("D")


class WorkerKilledError(CelebahqError):
    """A worker process vanished: killed by the system, most likely for lack of memory, or by a person."""


class Crew(Protocol):
    """Where work is done."""

    workers: int

    def run(self, work: Callable[[T], R], items: Iterator[T], workers: int) -> Iterator[R]:
        """Yield the result of each item in order of completion; items are taken only as workers come free.

        Raises:
            WorkerKilledError: If a worker vanished; what it and the others were at is lost.
            Exception: What ``work`` raised, once.
        """
        ...


class LocalCrew:
    """Processes of this machine, by joblib's loky.

    Args:
        workers: Processes; also one is a process of its own, so that a photograph that kills it leaves the build alive.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def run(self, work: Callable[[T], R], items: Iterator[T], workers: int) -> Iterator[R]:
        """As in :class:`Crew`."""
        from joblib.externals.loky import get_reusable_executor
        from joblib.externals.loky.process_executor import TerminatedWorkerError

        # One thread each, always: float32 sums of the nets must not depend on how many photographs are left.
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        executor = get_reusable_executor(max_workers=workers, env=threads, initializer=begin_process, reuse=False)
        try:
            yield from _gather(partial(executor.submit, work), items, _AHEAD * workers)
        except TerminatedWorkerError as error:
            raise WorkerKilledError(str(error)) from None
        finally:
            # Also after Ctrl-C: nobody waits for photographs that are under way.
            executor.shutdown(wait=True, kill_workers=True)


def _gather(submit: Callable[[S], Future[D]], items: Iterable[S], ahead: int) -> Iterator[D]:
    """Yield results in order of completion while at most so many are under way; items are taken as places come free."""
    under_way: set[Future[D]] = set()
    for item in items:
        under_way.add(submit(item))
        if len(under_way) >= ahead:
            yield from _collect(under_way)
    while under_way:
        yield from _collect(under_way)


def _collect(under_way: set[Future[D]]) -> Iterator[D]:
    done, _ = wait(under_way, return_when=FIRST_COMPLETED)
    # Good results first: an error among them ends the round.
    for future in sorted(done, key=lambda future: future.exception() is not None):
        under_way.discard(future)
        yield future.result()


class DaskCrew:
    """Workers of a Dask cluster, through joblib's backend; quick items go several to a task.

    Args:
        scheduler: Address of the scheduler, such as ``tcp://10.0.0.1:8786``.
    Raises:
        ConfigError: If Dask is not installed, or the scheduler does not answer or has no workers.
    """

    def __init__(self, scheduler: str | None) -> None:
        self._client = _connect_dask(scheduler)
        self.workers = sum(self._client.ncores().values())
        if not self.workers:
            raise ConfigError(
                f"--scheduler {scheduler}: no workers; start some first, such as `dask worker {scheduler}`"
            )

    def run(self, work: Callable[[T], R], items: Iterator[T], workers: int) -> Iterator[R]:
        """As in :class:`Crew`."""
        from joblib import Parallel, delayed, parallel_config

        try:
            with parallel_config(backend="dask", client=self._client):
                # Enough for every worker to have one waiting, also when workers join later.
                ahead = 1 if workers == 1 else f"{_AHEAD} * n_jobs"
                parallel = Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch=ahead, n_jobs=-1)
                batcher, batch_work = Batcher(), BatchWork(work)
                tasks = (delayed(batch_work)(batch) for batch in batcher.cut(items))
                with _close_quietly(parallel(tasks)) as finished:
                    yield from batcher.unpack(finished)
        except Exception as error:
            if type(error).__name__ == "KilledWorker":  # by name: Dask need not be installed
                raise WorkerKilledError(str(error)) from None
            raise


class RayCrew:
    """Workers of a Ray cluster; quick items go several to a task.

    By Ray's own tasks: its backend for joblib gives results only in the order in which they were asked for.

    Args:
        scheduler: Address of the head node, such as ``10.0.0.1:6379``; None takes the cluster of this machine.
    Raises:
        ConfigError: If Ray is not installed, does not answer, or has no processors.
    """

    def __init__(self, scheduler: str | None) -> None:
        self._ray = _connect_ray(scheduler)
        self.workers = int(self._ray.cluster_resources().get("CPU", 0))
        if not self.workers:
            raise ConfigError(f"--scheduler {scheduler}: no processors; start a node with `ray start --address=...`")

    def run(self, work: Callable[[T], R], items: Iterator[T], workers: int) -> Iterator[R]:
        """As in :class:`Crew`."""
        # An item whose worker dies is tried again by us, alone, not by Ray among the others.
        task = self._ray.remote(num_cpus=1, max_retries=0)(_run_batch)
        errors = self._ray.exceptions
        lost = (errors.WorkerCrashedError, errors.OutOfMemoryError, errors.NodeDiedError, errors.ObjectLostError)
        batcher = Batcher()
        shared = self._ray.put(BatchWork(work))
        under_way: dict[Future[Any], Any] = {}

        def submit(batch: list[T]) -> Future[DoneBatch[R]]:
            reference = task.remote(shared, batch)
            future: Future[DoneBatch[R]] = reference.future()
            under_way[future] = reference
            future.add_done_callback(lambda done: under_way.pop(done, None))
            return future

        try:
            ahead = 1 if workers == 1 else _AHEAD * self.workers
            yield from batcher.unpack(_gather(submit, batcher.cut(items), ahead))
        except lost as error:
            raise WorkerKilledError(str(error)) from None
        finally:
            for reference in list(under_way.values()):
                self._ray.cancel(reference)


def _run_batch(work: BatchWork[T, R], batch: list[T]) -> DoneBatch[R]:
    return work(batch)


@contextmanager
def _close_quietly(results: Generator[Any, None, None]) -> Iterator[Iterator[Any]]:
    """Close results at the end of the `with` block, without joblib's warning that some were not used."""
    try:
        yield results
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            results.close()


def _connect_dask(scheduler: str | None) -> Any:
    if scheduler is None:
        raise ConfigError("--backend dask: pass --scheduler ADDRESS, as `dask scheduler` prints it when it starts")
    try:
        from distributed import Client
    except ImportError:
        raise ConfigError("--backend dask needs Dask: pip install 'celebahq-tools[dask]'") from None
    try:
        return Client(scheduler, timeout="20s", set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, TimeoutError, ValueError) as error:
        raise ConfigError(f"--scheduler {scheduler}: no answer ({error}); start it with `dask scheduler`") from None


def _connect_ray(scheduler: str | None) -> Any:
    try:
        import ray
        import ray.exceptions
    except ImportError:
        raise ConfigError("--backend ray needs Ray: pip install 'celebahq-tools[ray]'") from None
    try:
        ray.init(address=scheduler or "auto", log_to_driver=False, logging_level="ERROR", ignore_reinit_error=True)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(f"--scheduler {scheduler}: no answer ({error}); start it with `ray start --head`") from None
    return ray


class _Feed(Generic[T]):
    """An iterator that remembers what it gave out; once closed, also for a thread that still asks, it gives no more."""

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items
        self._lock = threading.Lock()
        self._closed = False
        self.under_way: dict[int, T] = {}

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        with self._lock:
            if self._closed:
                raise StopIteration
            item = next(self._items)
            self.under_way[item.index] = item
            return item

    def close(self) -> list[T]:
        """Give no more, and return what is under way."""
        with self._lock:
            self._closed = True
            return [self.under_way[index] for index in sorted(self.under_way)]


def map_unordered(
    work: Callable[[T], R], items: Iterable[T], crew: Crew, *, give_up: Callable[[T], R], halve: bool = True
) -> Generator[R, None, None]:
    """Yield one result per item, in order of completion, whatever happens to workers.

    When a worker vanishes, what was under way is done again one by one, each alone on a worker: an item that kills
    its worker :data:`LONE_TRIALS` times is given up, and the others have cost a second try. If none was to blame, there
    were too many at once for the machine's memory, and it goes on with half the workers. So it always ends.

    Args:
        work: Makes a result of an item in a worker; both have to be picklable.
        items: Taken lazily; their indices differ.
        crew: Where to work.
        give_up: Makes the result of an item that kills every worker.
        halve: Whether fewer workers help; not on a cluster, whose size is not ours.
    Raises:
        Exception: What ``work`` raised.
    """
    remaining = iter(items)
    workers = crew.workers
    while True:
        feed = _Feed(remaining)
        try:
            for result in crew.run(work, feed, workers):
                del feed.under_way[result.index]
                yield result
            return
        except WorkerKilledError:
            suspects = feed.close()
        guilty = 0
        for item in suspects:
            lone = _work_alone(work, item, crew)
            guilty += lone is None
            yield give_up(item) if lone is None else lone
        if halve and not guilty:
            workers = max(1, workers // 2)


def _work_alone(work: Callable[[T], R], item: T, crew: Crew) -> R | None:
    for _ in range(LONE_TRIALS):
        try:
            return next(crew.run(work, iter([item]), 1))
        except WorkerKilledError:
            continue
    return None


def begin_process() -> None:
    """Prepare a worker process: Ctrl-C is left to the coordinator, and it ends when the coordinator is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _follow_parent(os.getppid())


@lru_cache(maxsize=1)
def _follow_parent(parent: int) -> None:
    """Start a thread that ends this process when its parent is gone: nobody would collect what it makes."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    if multiprocessing.parent_process() is not None or os.name == "posix":
        threading.Thread(target=watch, name="follow-parent", daemon=True).start()


def use_one_thread() -> None:
    """Keep cv2 and torch of this thread to one core each: workers are as many as cores."""
    import sys

    import cv2

    cv2.setNumThreads(1)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
