"""Calibration against an official list, on lists whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from celebahq_tools.calibration import calibrate_scores, measure_area
from celebahq_tools.errors import InputError
from celebahq_tools.rank.quality import FACE_COMPONENTS
from celebahq_tools.store.journal import Journal
from celebahq_tools.types import ItemRecord


def make_work(folder, scores):
    """A work folder of photographs 000001.jpg ... with these scores; None is a rejection."""
    folder.mkdir()
    with Journal(folder / "journal.sqlite") as journal:
        for index, score in enumerate(scores):
            name = f"{index + 1:06d}.jpg"
            if score is None:
                journal.record(ItemRecord(index, name, stage="decode", reason="grey"))
            else:
                parts = dict.fromkeys(FACE_COMPONENTS, 0.0) | {"breadth": score, "blockiness": -score}
                journal.record(ItemRecord(index, name, score=score, components=parts))
    return folder


def write_list(path, members, *, md5=True):
    tail = " proc_md5 final_md5" if md5 else ""
    rows = [f"{n} {index} {index + 1:06d}.jpg" + (" a b" if md5 else "") for n, index in enumerate(members)]
    path.write_text("\n".join([f"idx orig_idx orig_file{tail}", *rows]) + "\n")
    return path


def test_a_list_of_the_best_has_an_area_of_one_and_of_the_worst_of_nought(tmp_path):
    work = make_work(tmp_path / "work", [0.1, 0.9, 0.5, 0.8, 0.3])
    best = calibrate_scores(work, write_list(tmp_path / "best.txt", [1, 3]))
    assert best.areas["score"].value == 1
    assert best.areas["blockiness"].value == 0
    assert best.areas["padding"].value == 0.5  # all equal
    assert (best.official, best.on_list, best.off_list) == (2, 2, 3)
    worst = calibrate_scores(work, write_list(tmp_path / "worst.txt", [0, 4], md5=False))
    assert worst.areas["score"].value == 0


def test_what_was_rejected_although_on_the_list_is_counted_by_reason(tmp_path):
    work = make_work(tmp_path / "work", [0.1, None, 0.5, None, 0.3])
    result = calibrate_scores(work, write_list(tmp_path / "list.txt", [1, 2]))
    assert result.rejected == {"decode.grey": 1}
    assert result.on_list == 1


def test_area_equals_the_share_of_pairs_in_order_and_its_interval_holds_the_truth():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(100):
        member = rng.random(300) < 0.4
        values = rng.normal(size=300) + 0.8 * member
        area = measure_area(values, member)
        above = values[member][:, None] - values[~member]
        assert area.value == pytest.approx(np.mean((above > 0) + 0.5 * (above == 0)))
        # Two normals 0.8 apart: Phi(0.8 / sqrt 2).
        inside += area.low <= 0.71420 <= area.high
    assert inside >= 88  # of 95 expected; the binomial's 0.1 % point is 88


def test_ties_count_half_and_what_is_missing_counts_as_lowest():
    member = np.array([True, False, True, False])
    assert measure_area(np.array([1.0, 1.0, 2.0, 2.0]), member).value == 0.5
    assert measure_area(np.array([np.nan, 1.0, 3.0, 2.0]), member).value == 0.5


@pytest.mark.parametrize("content", ["", "0 1 2.jpg\n", "idx orig_idx orig_file\n0 1\n"])
def test_another_file_is_refused_with_its_name(tmp_path, content):
    path = tmp_path / "list.txt"
    path.write_text(content)
    with pytest.raises(InputError, match=r"list\.txt"):
        calibrate_scores(tmp_path, path)


def test_a_build_of_other_photographs_is_refused(tmp_path):
    work = make_work(tmp_path / "work", [0.1, 0.2])
    with pytest.raises(InputError, match="0 are on"):
        calibrate_scores(work, write_list(tmp_path / "list.txt", [100]))
