import tracemalloc
from pathlib import Path

import numpy as np

from celebahq_tools.errors import RejectionError
from celebahq_tools.source.item_table import IndexSet, ItemTable
from celebahq_tools.source.landmark_file import LandmarkRow

POINTS = np.arange(10, dtype=np.float32).reshape(5, 2)
GREY = RejectionError("landmarks", "missing")


def make_table():
    rows = [
        ("a.jpg", POINTS, None),
        ("b\udcff.jpg", None, GREY),
        ("c.jpg", POINTS + 1, GREY),
        ("d.jpg", POINTS + 2, None),
    ]
    return ItemTable(Path("photos"), (LandmarkRow(*row) for row in rows))


def test_items_come_out_as_they_went_in():
    table = make_table()
    assert len(table) == 4
    first, second, third, _ = table
    assert (first.index, first.file, first.path, first.problem) == (0, "a.jpg", Path("photos/a.jpg"), None)
    np.testing.assert_array_equal(first.landmarks, POINTS)
    assert (second.index, second.landmarks, second.problem) == (1, None, GREY)
    # The name as text files can hold it; the path as the folder has it.
    assert (second.file, second.path.name) == ("b\\udcff.jpg", "b\udcff.jpg")
    np.testing.assert_array_equal(third.landmarks, POINTS + 1)


def test_parts_keep_the_source_indices():
    table = make_table()
    assert [item.index for item in table[1:3]] == [1, 2]
    assert [item.file for item in table.take(np.array([0, 3]))[1:]] == ["d.jpg"]
    assert table[2:].indices.tolist() == [2, 3]
    assert table[-1].index == 3


def test_a_surrogate_that_no_file_system_makes_is_kept_too():
    (item,) = ItemTable(Path("photos"), [LandmarkRow("a\ud800.jpg", None, GREY)])
    assert (item.file, item.path.name) == ("a\\ud800.jpg", "a\ud800.jpg")


def test_a_hundred_thousand_photographs_take_a_few_megabytes():
    rows = (LandmarkRow(f"{number:06d}.jpg", POINTS) for number in range(100_000))
    tracemalloc.start()
    table = ItemTable(Path("photos"), rows)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    # Ten letters, sixteen and forty bytes each, and an eighth more, which growing buffers keep in reserve. Objects
    # would be 150 MB.
    assert held < 66 * 9 / 8 * len(table) + 100_000


def test_an_index_set_holds_what_it_was_made_of():
    part = IndexSet(np.array([7, 0, 3]))
    assert [number for number in range(-1, 10) if number in part] == [0, 3, 7]
    assert "7" not in part
    assert 0 not in IndexSet(np.array([], np.int64))
