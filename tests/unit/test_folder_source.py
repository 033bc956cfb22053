"""Any folder of photographs: what is listed, in which order, and that links do no harm."""

from __future__ import annotations

import os

import numpy as np
import pytest

from celebahq_tools.errors import InputError
from celebahq_tools.source.folder import (
    MAX_FACES,
    list_photos,
    list_photos_with_landmarks,
    sort_naturally,
)


def make_files(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_files_are_found_recursively_in_natural_order(tmp_path):
    make_files(tmp_path, "b10.jpg", "b9.jpg", "B1.jpg", "sub/2.png", "sub/10.png", "a/deep/er/1.webp", "notes.txt")
    items = list_photos(tmp_path)
    names = ["B1.jpg", "b9.jpg", "b10.jpg", "notes.txt", "a/deep/er/1.webp", "sub/2.png", "sub/10.png"]
    assert [item.file for item in items] == names
    assert [item.index for item in items] == list(range(7))
    assert all(item.face == 0 and item.landmarks is None and item.problem is None for item in items)


def test_hidden_files_and_folders_are_passed_over(tmp_path):
    make_files(tmp_path, ".DS_Store", ".cache/x.jpg", "a.jpg")
    assert [item.file for item in list_photos(tmp_path)] == ["a.jpg"]


def test_the_image_folder_of_celeba_is_used_alone(tmp_path):
    make_files(tmp_path, "img_celeba/1.jpg", "Anno/list_landmarks_celeba.txt")
    assert [item.file for item in list_photos(tmp_path)] == ["1.jpg"]


def test_links_are_followed_but_loops_end_and_nothing_is_listed_twice(tmp_path):
    make_files(tmp_path, "photos/sub/1.jpg")
    photos = tmp_path / "photos"
    (photos / "again").symlink_to(photos / "sub")
    (photos / "up").symlink_to(tmp_path / "photos")
    (photos / "sub" / "loop").symlink_to(photos)
    (photos / "ping").symlink_to(photos / "pong")
    (photos / "pong").symlink_to(photos / "ping")
    (photos / "gone.jpg").symlink_to(tmp_path / "nowhere")
    make_files(tmp_path, "elsewhere/2.jpg")
    (photos / "more").symlink_to(tmp_path / "elsewhere")
    names = [item.file for item in list_photos(photos)]
    # Links to nothing and to each other are listed as files; opening them is refused one by one.
    assert names == ["gone.jpg", "ping", "pong", "again/1.jpg", "more/2.jpg"]


def test_deep_folders_do_not_exhaust_the_stack(tmp_path):
    deep = tmp_path.joinpath(*["d"] * 300)
    deep.mkdir(parents=True)
    (deep / "1.jpg").write_bytes(b"x")
    assert len(list_photos(tmp_path)) == 1


@pytest.mark.skipif(os.name == "nt", reason="needs a file system of bytes")
def test_a_name_that_is_no_unicode_is_listed_in_a_printable_form(tmp_path):
    (tmp_path / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"x")
    (item,) = list_photos(tmp_path)
    assert item.file == "caf\\udce9.jpg"
    assert item.path.read_bytes() == b"x"


def test_natural_order_tells_apart_names_that_differ_only_in_zeros():
    names = ["a1", "a01", "a001", "a2", "A10", "a10", "10", "9", "b", "a"]
    assert sorted(sorted(names), key=sort_naturally) == sorted(names, key=sort_naturally)
    assert sorted(names, key=sort_naturally) == ["9", "10", "a", "a001", "a01", "a1", "a2", "A10", "a10", "b"]


def test_every_face_of_a_photograph_has_an_index_of_its_own(tmp_path):
    make_files(tmp_path, "1.jpg", "2.jpg")
    photos = list_photos(tmp_path, all_faces=True)
    first, second = photos
    assert (first.index, second.index) == (0, MAX_FACES)
    others = photos.add_faces({0: 1, MAX_FACES: 3})[2:]
    assert [(item.index, item.face, item.file) for item in others] == [(101, 1, "2.jpg"), (102, 2, "2.jpg")]
    assert photos.add_faces({0: 10_000})[-1].index == MAX_FACES - 1


def test_landmark_rows_name_files_by_their_path_and_the_rest_is_listed_after_them(tmp_path):
    photos = tmp_path / "photos"
    make_files(photos, "sub/1.jpg", "2.jpg")
    make_files(tmp_path, "secret.jpg")
    table = tmp_path / "points.json"
    points = [[30, 40], [60, 40], [45, 55], [33, 70], [57, 70]]
    table.write_text(f'{{"sub/1.jpg": {points}, "../secret.jpg": {points}, "3.jpg": {points}}}')
    items = list_photos_with_landmarks(photos, table)
    assert [item.file for item in items] == ["sub/1.jpg", "../secret.jpg", "3.jpg", "2.jpg"]
    assert [item.problem and str(item.problem).split(":")[0] for item in items] == [
        None,
        "source.missing_file",
        "source.missing_file",
        "landmarks.missing",
    ]
    np.testing.assert_array_equal(items[0].landmarks, points)


def test_a_missing_or_empty_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="gone: no such folder"):
        list_photos(tmp_path / "gone")
    with pytest.raises(InputError, match="no files"):
        list_photos(tmp_path)
