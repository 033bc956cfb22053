"""The choice of faces leaves duplicates out, in favour of the better score, however the journal came about."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from celebahq_tools.errors import StoreError
from celebahq_tools.rank.duplicates import encode_thumb
from celebahq_tools.selection import choose_faces
from celebahq_tools.store.journal import Journal
from celebahq_tools.types import ItemRecord


def make_picture(seed):
    """A smooth random picture; two seeds have nothing in common."""
    coarse = np.random.default_rng(seed).normal(size=(6, 6))
    return np.clip(128 + 50 * np.kron(coarse, np.ones((4, 4))), 0, 255).astype(np.uint8)


FACES = [(0, 0.5, 1), (1, 0.9, 2), (2, 0.7, 1), (3, 0.6, 3), (4, 0.7, 3), (5, 0.9, 2)]  # index, score, picture


def record(index, score, picture):
    thumb = encode_thumb(make_picture(picture))
    return ItemRecord(index, f"{index}.jpg", score=score, thumb=thumb)


@pytest.mark.parametrize("order", list(itertools.permutations(FACES))[::97])
def test_of_equal_faces_the_best_is_kept_and_of_equal_scores_the_first(tmp_path, order):
    with Journal(tmp_path / "j.sqlite") as journal:
        for face in order:
            journal.record(record(*face))
        choice = choose_faces(journal, 10, duplicates="near")
        assert choice.kept.tolist() == [1, 2, 4]
        assert choice.threshold == 0.7
        assert {index: reason for index, (reason, _) in choice.reasons.items()} == dict.fromkeys(
            (0, 3, 5), "rank.duplicate"
        )
        assert choice.reasons[5][1].startswith("repeats index 1")
        assert choose_faces(journal, 10).kept.tolist() == [0, 1, 2, 3, 4, 5]


def test_what_was_deleted_from_the_work_folder_still_counts(tmp_path):
    with Journal(tmp_path / "j.sqlite") as journal:
        for face in FACES:
            journal.record(record(*face))
        journal.mark_deleted([1, 2])
        assert choose_faces(journal, 2, duplicates="near").kept.tolist() == [1, 2]


def test_faces_without_thumbnails_are_refused(tmp_path):
    with Journal(tmp_path / "j.sqlite") as journal:
        journal.record(ItemRecord(0, "0.jpg", score=1.0))
        with pytest.raises(StoreError, match="has no thumbnail"):
            choose_faces(journal, 1, duplicates="near")
