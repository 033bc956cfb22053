from itertools import permutations

import numpy as np
import pytest

from celebahq_tools.selection import choose_faces, choose_listed
from celebahq_tools.store.journal import Journal
from celebahq_tools.store.reviews import Reviews
from celebahq_tools.types import ItemRecord

SCORES = {0: 0.5, 2: 0.9, 5: 0.5, 7: 0.1, 9: 0.5}


def fill(path, order):
    journal = Journal(path)
    for index in order:
        journal.record(ItemRecord(index, f"{index}.jpg", score=SCORES[index]))
    journal.record(ItemRecord(1, "1.jpg", stage="decode", reason="grey"))
    return journal


def test_the_best_are_kept_in_source_order_and_of_equals_the_first(tmp_path):
    with fill(tmp_path / "journal.sqlite", SCORES) as journal:
        choice = choose_faces(journal, keep=3)
    assert choice.kept.tolist() == [0, 2, 5]
    assert choice.threshold == 0.5
    assert choice.reasons == {}


def test_neither_order_nor_deletions_change_the_choice(tmp_path):
    for number, order in enumerate(list(permutations(SCORES))[::17]):
        with fill(tmp_path / f"{number}.sqlite", order) as journal:
            journal.mark_deleted([2, 7])
            assert choose_faces(journal, keep=2).kept.tolist() == [0, 2]


@pytest.mark.parametrize("keep", [5, 100])
def test_all_are_kept_if_there_are_not_more(tmp_path, keep):
    with fill(tmp_path / "journal.sqlite", SCORES) as journal:
        assert choose_faces(journal, keep).kept.tolist() == sorted(SCORES)


def test_photographs_of_another_part_of_the_source_take_no_part(tmp_path):
    with fill(tmp_path / "journal.sqlite", SCORES) as journal:
        assert choose_faces(journal, 2, among=np.array([0, 1, 5, 7])).kept.tolist() == [0, 5]


def test_a_list_is_taken_in_its_own_order_whatever_the_scores(tmp_path):
    with fill(tmp_path / "journal.sqlite", SCORES) as journal:
        choice = choose_listed(journal, np.array([7, 1, 2, 0]))
    # 1 was rejected.
    assert choice.kept.tolist() == [7, 2, 0]
    assert choice.threshold == 0.1


def test_a_listed_face_that_a_person_rejected_is_left_out(tmp_path):
    path = tmp_path / "journal.sqlite"
    with fill(path, SCORES) as journal:
        reviews = Reviews(path)
        reviews.add(7, "refused")
        reviews.add(5, "refused")
        choice = choose_listed(journal, np.array([7, 1, 2, 0]))
    assert choice.kept.tolist() == [2, 0]
    assert choice.threshold == 0.5
    assert choice.reasons == {7: ("review.rejected", "")}
