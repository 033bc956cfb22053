"""Real worker processes that really die: what kills them is the item, so that nothing depends on who is faster."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from celebahq_tools.errors import ConfigError
from celebahq_tools.workers import LONE_TRIALS, DaskCrew, LocalCrew, map_unordered


@dataclass(frozen=True)
class Task:
    index: int
    folder: Path
    deaths: int = 0
    """How many times it kills its worker before it succeeds."""

    @property
    def trials(self):
        return self.folder / f"{self.index}.trials"


@dataclass(frozen=True)
class Result:
    index: int
    text: str


def work(task):
    with task.trials.open("a") as stream:
        stream.write("x")
    if task.index == 99:
        raise ConfigError("cannot work at all")
    if len(task.trials.read_text()) <= task.deaths:
        os.kill(os.getpid(), signal.SIGKILL)
    return Result(task.index, f"pid {os.getpid()}")


def give_up(task):
    return Result(task.index, "given up")


def run(tasks, workers, **options):
    crew = LocalCrew(workers)
    results = list(map_unordered(work, tasks, crew, give_up=give_up, **options))
    assert sorted(result.index for result in results) == [task.index for task in tasks]
    return {result.index: result.text for result in results}


@pytest.mark.parametrize("workers", [1, 2])
def test_every_item_comes_back_once_from_a_process_of_its_own(tmp_path, workers):
    results = run([Task(index, tmp_path) for index in range(7)], workers)
    assert 1 <= len(set(results.values())) <= workers
    assert f"pid {os.getpid()}" not in results.values()


@pytest.mark.parametrize("workers", [1, 2])
def test_an_item_that_always_kills_its_worker_is_given_up_and_costs_no_other(tmp_path, workers):
    tasks = [Task(index, tmp_path, deaths=1000 if index in (0, 3) else 0) for index in range(8)]
    results = run(tasks, workers)
    assert {index for index, text in results.items() if text == "given up"} == {0, 3}
    # Alone it had every chance.
    assert all(len(tasks[index].trials.read_text()) >= LONE_TRIALS for index in (0, 3))


def test_a_worker_that_died_by_chance_costs_nothing(tmp_path):
    tasks = [Task(index, tmp_path, deaths=1 if index == 2 else 0) for index in range(6)]
    assert "given up" not in run(tasks, 2).values()


def test_too_many_at_once_go_on_with_fewer(tmp_path):
    asked = []

    class CrampedCrew(LocalCrew):
        """A machine whose memory is enough for one: the first item that meets another one dies with it, once."""

        def run(self, work, items, workers):
            asked.append(workers)
            return super().run(work, items, workers)

    tasks = [Task(index, tmp_path, deaths=1 if index == 1 else 0) for index in range(12)]
    results = list(map_unordered(work, tasks, CrampedCrew(4), give_up=give_up))
    assert len(results) == 12
    assert asked[0] == 4
    assert asked[-1] == 2
    assert set(asked[1:-1]) == {1}


def test_an_error_of_the_work_itself_ends_it(tmp_path):
    with pytest.raises(ConfigError, match="cannot work at all"):
        run([Task(1, tmp_path), Task(99, tmp_path)], 2)


def test_items_are_taken_only_as_they_are_needed(tmp_path):
    taken = []

    def feed():
        for index in range(50):
            taken.append(index)
            yield Task(index, tmp_path)

    results = map_unordered(work, feed(), LocalCrew(2), give_up=give_up)
    next(results)
    assert len(taken) <= 5
    results.close()


def test_a_cluster_without_an_address_is_refused():
    with pytest.raises(ConfigError, match="pass --scheduler ADDRESS"):
        DaskCrew(None)
