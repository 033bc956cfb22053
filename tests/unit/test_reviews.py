"""Verdicts of people, and what the choice of faces makes of them."""

import sqlite3

import pytest

from celebahq_tools.errors import ConfigError, StoreError
from celebahq_tools.selection import choose_faces
from celebahq_tools.store.journal import Journal
from celebahq_tools.store.reviews import Reviews
from celebahq_tools.types import ItemRecord


@pytest.fixture
def journal(tmp_path):
    with Journal(tmp_path / "journal.sqlite") as opened:
        for index in range(10):
            opened.record(ItemRecord(index, f"{index}.jpg", score=index / 10))
        opened.record(ItemRecord(10, "bad.jpg", stage="decode", reason="empty"))
        yield opened


def choose(journal, keep):
    choice = choose_faces(journal, keep)
    return choice.kept.tolist(), choice.threshold, dict(choice.reasons)


def test_without_reviews_the_best_are_kept(journal):
    assert choose(journal, 3) == ([7, 8, 9], 0.7, {})


def test_rejected_faces_leave_and_accepted_ones_stay_whatever_their_score(journal):
    reviews = Reviews(journal.path)
    reviews.add(9, "refused")
    reviews.add(0, "accepted")
    assert choose(journal, 3) == ([0, 7, 8], 0.7, {9: ("review.rejected", "")})
    assert choose(journal, 1) == ([0], float("inf"), {9: ("review.rejected", "")})
    assert choose(journal, 100)[0] == [0, 1, 2, 3, 4, 5, 6, 7, 8]


def test_more_accepted_than_fit_are_chosen_by_score(journal):
    reviews = Reviews(journal.path)
    for index in (1, 2, 3):
        reviews.add(index, "accepted")
    assert choose(journal, 2)[0] == [2, 3]


def test_undo_goes_back_one_by_one_also_after_a_restart(journal):
    for index, verdict in [(1, "accepted"), (2, "refused"), (1, "refused"), (2, "")]:
        Reviews(journal.path).add(index, verdict)
    seen = [Reviews(journal.path).verdicts()]
    undone = []
    for _ in range(5):
        undone.append(Reviews(journal.path).undo())
        seen.append(Reviews(journal.path).verdicts())
    assert undone == [2, 1, 2, 1, None]
    assert seen == [
        {1: "refused"},
        {1: "refused", 2: "refused"},
        {1: "accepted", 2: "refused"},
        {1: "accepted"},
        {},
        {},
    ]


def test_a_reader_of_the_journal_sees_the_verdicts(journal):
    Reviews(journal.path).add(4, "refused")
    with Journal.open_readonly(journal.path) as reader:
        assert reader.verdicts() == {4: "refused"}


@pytest.mark.parametrize(("index", "verdict"), [(1, "maybe"), (10, "accepted"), (99, "refused")])
def test_what_makes_no_sense_is_refused(journal, index, verdict):
    reviews = Reviews(journal.path)
    with pytest.raises(ConfigError):
        reviews.add(index, verdict)
    assert reviews.verdicts() == {}


def test_verdicts_that_nobody_knows_do_not_count(journal):
    reviews = Reviews(journal.path)
    reviews.add(1, "")  # makes the table
    with sqlite3.connect(journal.path) as database:
        database.execute("INSERT INTO reviews (idx, verdict, made) VALUES (1, '<script>', 0)")
    assert reviews.verdicts() == {}


def test_a_missing_journal_is_named(tmp_path):
    with pytest.raises(StoreError, match="no journal"):
        Reviews(tmp_path / "gone.sqlite")
