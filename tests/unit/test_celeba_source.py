import os

import pytest

from celebahq_tools.errors import InputError
from celebahq_tools.source.celeba import list_celeba
from celebahq_tools.source.landmark_file import COLUMNS

POINTS = "69 109 106 113 77 142 73 152 108 154"


def make_folder(tmp_path, rows, files):
    (tmp_path / "img_celeba").mkdir()
    (tmp_path / "Anno").mkdir()
    for name in files:
        (tmp_path / "img_celeba" / name).touch()
    lines = [str(len(rows)), " ".join(COLUMNS), *(f"{name} {POINTS}" for name in rows)]
    (tmp_path / "Anno" / "list_landmarks_celeba.txt").write_text("\n".join(lines))
    return tmp_path


def reasons(items):
    return {item.file: item.problem and f"{item.problem.stage}.{item.problem.reason}" for item in items}


def test_the_index_is_the_row_number_as_in_the_official_lists(tmp_path):
    items = list_celeba(make_folder(tmp_path, ["000002.jpg", "000001.jpg"], ["000001.jpg", "000002.jpg"]))
    assert [(item.index, item.file) for item in items] == [(0, "000002.jpg"), (1, "000001.jpg")]


def test_rows_without_a_file_and_files_without_a_row_are_listed_with_the_reason(tmp_path):
    items = list_celeba(make_folder(tmp_path, ["a.jpg", "gone.jpg"], ["a.jpg", "extra.jpg", ".DS_Store"]))
    assert reasons(items) == {"a.jpg": None, "gone.jpg": "source.missing_file", "extra.jpg": "landmarks.missing"}


def test_a_name_that_leaves_the_folder_is_not_followed(tmp_path):
    (tmp_path / "secret.jpg").touch()
    items = list_celeba(make_folder(tmp_path, ["../secret.jpg"], []))
    assert reasons(items) == {"../secret.jpg": "source.missing_file"}


@pytest.mark.skipif(os.name == "nt", reason="file names are not bytes there")
def test_a_file_name_that_is_not_unicode_is_listed_readably(tmp_path):
    folder = make_folder(tmp_path, ["a.jpg"], ["a.jpg"])
    (folder / "img_celeba" / os.fsdecode(b"bad\xff.jpg")).touch()
    names = [item.file for item in list_celeba(folder)]
    assert names == ["a.jpg", "bad\\udcff.jpg"]
    "".join(names).encode("utf-8")


def test_the_csv_form_is_found_when_there_is_no_text(tmp_path):
    folder = make_folder(tmp_path, ["a.jpg"], ["a.jpg"])
    (folder / "Anno" / "list_landmarks_celeba.txt").unlink()
    text = "image_id," + ",".join(COLUMNS) + "\na.jpg," + POINTS.replace(" ", ",") + "\n"
    (folder / "list_landmarks_align_celeba.csv").write_text(text)
    assert reasons(list_celeba(folder)) == {"a.jpg": None}


@pytest.mark.parametrize("missing", ["folder", "images", "landmarks"])
def test_an_unusable_source_is_refused_with_the_remedy(tmp_path, missing):
    folder = make_folder(tmp_path, ["a.jpg"], ["a.jpg"])
    if missing == "folder":
        folder = tmp_path / "nowhere"
    elif missing == "images":
        (folder / "img_celeba" / "a.jpg").unlink()
        (folder / "img_celeba").rmdir()
    else:
        (folder / "Anno" / "list_landmarks_celeba.txt").unlink()
    with pytest.raises(InputError, match=r"nowhere|img_celeba|--landmarks FILE"):
        list_celeba(folder)
