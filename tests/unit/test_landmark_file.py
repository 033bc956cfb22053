import os

import numpy as np
import pytest

from celebahq_tools.errors import InputError
from celebahq_tools.source.landmark_file import COLUMNS, iterate_landmark_file

POINTS = "69 109 106 113 77 142 73 152 108 154"


def write_text(tmp_path, *lines):
    path = tmp_path / "list_landmarks_celeba.txt"
    path.write_text("\n".join([str(len(lines)), " ".join(COLUMNS), *lines]) + "\n")
    return path


def write_csv(tmp_path, header, *lines):
    path = tmp_path / "landmarks.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_text_and_csv_give_the_same_points(tmp_path):
    (text,) = list(iterate_landmark_file(write_text(tmp_path, f"000001.jpg {POINTS}")))
    (table,) = list(
        iterate_landmark_file(
            write_csv(tmp_path, "image_id," + ",".join(COLUMNS), "000001.jpg," + POINTS.replace(" ", ","))
        )
    )
    assert text.file == table.file == "000001.jpg"
    expected = [[69, 109], [106, 113], [77, 142], [73, 152], [108, 154]]
    np.testing.assert_array_equal(text.points, expected)
    np.testing.assert_array_equal(table.points, expected)


def test_csv_columns_may_stand_in_any_order(tmp_path):
    header = "image_id," + ",".join(reversed(COLUMNS))
    (row,) = list(iterate_landmark_file(write_csv(tmp_path, header, "a.jpg," + ",".join(reversed(POINTS.split())))))
    np.testing.assert_array_equal(row.points[0], [69, 109])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a.jpg 1 2 3", "malformed"),
        (f"a.jpg {POINTS} 7", "malformed"),
        (f"a.jpg {POINTS.replace('69', 'x')}", "malformed"),
        (f"a.jpg {POINTS.replace('69', 'nan')}", "not_finite"),
        (f"a.jpg {POINTS.replace('69', 'inf')}", "not_finite"),
    ],
)
def test_a_bad_row_is_rejected_alone(tmp_path, line, reason):
    bad, good = list(iterate_landmark_file(write_text(tmp_path, line, f"b.jpg {POINTS}")))
    assert bad.points is None
    assert (bad.problem.stage, bad.problem.reason) == ("landmarks", reason)
    assert good.problem is None


def test_every_row_of_a_file_named_twice_is_rejected(tmp_path):
    rows = list(iterate_landmark_file(write_text(tmp_path, f"a.jpg {POINTS}", f"b.jpg {POINTS}", f"a.jpg {POINTS}")))
    assert [row.problem.reason if row.problem else None for row in rows] == ["duplicate", None, "duplicate"]


def test_the_column_of_names_may_stand_anywhere(tmp_path):
    numbers = POINTS.replace(" ", ",")
    last = write_csv(tmp_path, ",".join(COLUMNS) + ",image_id", numbers + ",a.jpg")
    assert [row.file for row in list(iterate_landmark_file(last))] == ["a.jpg"]
    numbered = write_csv(tmp_path, ",Photo," + ",".join(COLUMNS), "0,a.jpg," + numbers, "1,b c.jpg," + numbers)
    rows = list(iterate_landmark_file(numbered))
    assert [row.file for row in rows] == ["a.jpg", "b c.jpg"]
    np.testing.assert_array_equal(rows[1].points[0], [69, 109])


@pytest.mark.parametrize("name", ["my photo.jpg", "a 1.jpg", "1 2", "x  y.jpg"])
def test_a_name_in_the_text_form_may_have_spaces_in_it(tmp_path, name):
    (row,) = list(iterate_landmark_file(write_text(tmp_path, f"{name} {POINTS}")))
    if name == "1 2":  # eleven numbers
        assert row.problem.reason == "malformed"
        return
    assert (row.file, row.problem) == (name, None)
    np.testing.assert_array_equal(row.points[0], [69, 109])


def test_a_number_too_large_is_said_without_a_warning(tmp_path, recwarn):
    (row,) = list(iterate_landmark_file(write_text(tmp_path, f"a.jpg {POINTS.replace('69', '1e300')}")))
    assert row.problem.reason == "not_finite"
    assert not recwarn.list


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="pipe: a pipe or device"):
        list(iterate_landmark_file(tmp_path / "pipe"))


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_byte_order_marks_of_any_system_are_read(tmp_path, ending, mark):
    path = tmp_path / "list.txt"
    lines = [mark + "1", " ".join(COLUMNS), f"a.jpg {POINTS}", ""]
    path.write_bytes(ending.join(lines).encode())
    (row,) = list(iterate_landmark_file(path))
    np.testing.assert_array_equal(row.points[0], [69, 109])


def test_damage_behind_the_first_rows_is_said_like_damage_at_the_beginning(tmp_path):
    path = write_text(tmp_path, *(f"{number}.jpg {POINTS}" for number in range(2000)))
    path.write_bytes(path.read_bytes() + b"\xff\xfe.jpg 1 2\n")
    with pytest.raises(InputError, match=r"celeba\.txt: not a text file"):
        list(iterate_landmark_file(path))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00\x01",
        b"hello\nworld\n",
        b"2\nnot the header\n",
        b"a,b\n1,2\n",
        ("file," + ",".join(COLUMNS) + "\n" + "x" * 200_000).encode(),
    ],
)
def test_a_foreign_file_is_refused_with_its_name(tmp_path, content):
    path = tmp_path / "foreign.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"foreign\.txt"):
        list(iterate_landmark_file(path))


def test_a_missing_file_is_refused_with_its_name(tmp_path):
    with pytest.raises(InputError, match=r"gone\.txt: cannot read"):
        list(iterate_landmark_file(tmp_path / "gone.txt"))
