"""Choosing the best pictures: which are kept, in which order, and what happens at the edges."""

from __future__ import annotations

import math

import numpy as np
import pytest

from celebahq_tools.errors import ConfigError, ShapeError
from celebahq_tools.rank.select import Selection, select_best


def test_best_scores_are_kept_in_the_order_of_the_input() -> None:
    selection = select_best([0.2, 0.9, -1.0, 0.5, 0.7], keep=3)
    assert selection.indices.tolist() == [1, 3, 4]
    assert selection.threshold == 0.5


def test_of_equal_scores_the_earlier_are_kept() -> None:
    assert select_best([0.5, 0.1, 0.5, 0.5], keep=2).indices.tolist() == [0, 2]


def test_all_are_kept_when_there_are_fewer_than_asked_for() -> None:
    selection = select_best(np.array([0.3, 0.1], np.float32), keep=30000)
    assert selection.indices.tolist() == [0, 1]
    assert selection.threshold == pytest.approx(0.1)


def test_scores_that_are_no_numbers_are_never_kept() -> None:
    selection = select_best([math.nan, 0.1, math.inf, -math.inf, 0.2], keep=4)
    assert selection.indices.tolist() == [1, 4]
    assert selection.threshold == 0.1


@pytest.mark.parametrize("scores", [[], [math.nan, math.nan]], ids=["none", "no numbers"])
def test_nothing_to_keep_gives_an_empty_selection(scores: list[float]) -> None:
    selection = select_best(scores, keep=5)
    assert len(selection.indices) == 0
    assert selection.threshold == math.inf


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        select_best([0.1], keep=0)
    with pytest.raises(ShapeError, match="one score per picture"):
        select_best(np.zeros((2, 2)), keep=1)
    with pytest.raises(ShapeError, match="ascending"):
        Selection(np.array([2, 1]), 0.0)
