"""The dataset report, from the rows of a manifest or journal to a page."""

import base64
import io
import math
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from celebahq_tools.errors import ConfigError, InputError, StoreError
from celebahq_tools.rank.duplicates import MAX_DIFFERENCE, make_thumb
from celebahq_tools.report.build import ReportOptions, write_report
from celebahq_tools.report.pairs import find_pairs
from celebahq_tools.report.photographs import Photographs
from celebahq_tools.report.spectra import draw_power_spectrum
from celebahq_tools.report.sprites import COLUMNS, PER_SHEET, SpriteSize, choose_sprite_size, pack_sprites
from celebahq_tools.report.summary import choose_groups, count_outcomes
from celebahq_tools.report.view import FileView, WorkView, open_view
from celebahq_tools.store.manifest import manifest_path
from celebahq_tools.store.writer import create_dataset
from celebahq_tools.types import ItemRecord

from .work_folders import SETTINGS, cut_faces, make_records, write_dataset, write_work

HOSTILE = [
    "<script>alert(1)</script>.jpg",
    '"><img src=x onerror=alert(1)>.jpg',
    "' onfocus='alert(1)",
    "</template></script><script>alert(1)</script>",
    "photo\u202egpj.exe",
    "{{ 7 * 7 }}",
    "x" * 4000,
    "two\nlines.jpg",
    "東京 👩.jpg",
]


class Outline(HTMLParser):
    """Tags and names of attributes, in order."""

    def __init__(self, html):
        super().__init__()
        self.seen = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, tuple(name for name, _ in attrs)))


def test_a_file_and_its_work_folder_give_the_same_snapshot(tmp_path):
    records, faces = make_records(30)
    file = FileView(write_dataset(tmp_path / "a.h5", records, faces, keep=10))
    work = WorkView(write_work(tmp_path / "work", records, faces, keep=10))
    one, other = file.take_snapshot(), work.take_snapshot()
    assert one.faces.files == other.faces.files
    for name in ("index", "position"):
        np.testing.assert_array_equal(getattr(one.faces, name), getattr(other.faces, name))
    for name in ("score", "parts", "zoom", "photo_fraction"):  # the manifest holds 9 digits
        np.testing.assert_allclose(getattr(one.faces, name), getattr(other.faces, name), rtol=1e-8)
    assert one.threshold == pytest.approx(other.threshold, rel=1e-8)
    assert count_outcomes(one) == count_outcomes(other)
    assert [record.detail for record in one.rejections] == [record.detail for record in other.rejections]
    row = int(np.flatnonzero(one.faces.kept)[3])
    place = int(one.faces.index[row]), int(one.faces.position[row])
    for view in (file, work):
        np.testing.assert_array_equal(view.read_face(*place, side=64), faces[place[0]])
        assert view.read_face(*place, side=20).shape == (32, 32, 3)
        assert view.find_records([place[0]])[place[0]].sha256 == "ab" * 32
    file.close()


def test_a_build_under_way_counts_what_waits(tmp_path):
    records, faces = make_records(10)
    view = WorkView(write_work(tmp_path / "work", records, faces, keep=3, found=50))
    counts = count_outcomes(view.take_snapshot())
    assert (counts.found, counts.waiting, counts.ranked, counts.kept) == (50, 40, 8, 3)
    assert counts.rejected == {"decode.truncated": 2}


def test_groups_show_the_best_the_worst_and_both_sides_of_the_cut(tmp_path):
    records, faces = make_records(40)
    snapshot = WorkView(write_work(tmp_path / "work", records, faces, keep=20)).take_snapshot()
    groups = {group.name: group.rows for group in choose_groups(snapshot, lambda row: True, count=6)}
    order = np.argsort(-snapshot.faces.score, kind="stable")
    np.testing.assert_array_equal(groups["best"], order[:6])
    np.testing.assert_array_equal(groups["worst"], order[19:13:-1])
    np.testing.assert_array_equal(groups["cut"], order[17:23])
    assert set(groups["random"]) <= set(order[:20].tolist())
    again = {group.name: group.rows for group in choose_groups(snapshot, lambda row: True, count=6, seed=1)}
    assert again["random"].tolist() != groups["random"].tolist()
    hidden = set(order[:3].tolist())
    best = choose_groups(snapshot, lambda row: row not in hidden, count=6)[0]
    np.testing.assert_array_equal(best.rows, order[3:9])


def test_every_thumbnail_lies_at_its_place():
    count = PER_SHEET + 20
    greys = np.linspace(10, 245, count).astype(np.uint8)
    size = SpriteSize(16, 90)
    sheets = {}
    for name, sheet, _ in pack_sprites(count, lambda n: np.full((64, 64, 3), greys[n], np.uint8), size):
        sheets[name] = np.array(Image.open(io.BytesIO(base64.b64decode(sheet))).convert("L"), dtype=int)
    assert list(sheets) == ["sprite-0", "sprite-1"]
    assert sheets["sprite-1"].shape == (2 * 16, COLUMNS * 16)
    for number in (0, 17, PER_SHEET - 1, PER_SHEET, count - 1):
        row, column = divmod(number % PER_SHEET, COLUMNS)
        tile = sheets[f"sprite-{number // PER_SHEET}"][row * 16 + 8, column * 16 + 8]
        assert abs(tile - greys[number]) <= 4  # WebP at quality 90


@pytest.mark.parametrize("count", [1, 1_000, 30_000, 200_000])
def test_more_faces_get_smaller_thumbnails(count):
    assert choose_sprite_size(count).side >= choose_sprite_size(count + 100_000).side


def test_a_grating_is_two_bright_points_in_the_spectrum_picture():
    n, waves = 256, 32
    x = np.arange(n)
    grating = np.broadcast_to(128 + 100 * np.sin(2 * np.pi * waves * x / n), (n, n)).round().astype(np.uint8)
    picture = np.array(draw_power_spectrum(np.dstack([grating] * 3), side=n).convert("L"), dtype=int)
    assert picture.shape == (n, n)
    columns = np.flatnonzero(picture[n // 2] > picture.max() - 10)
    # The Hann window spreads a line over its two neighbours.
    assert {int(column) for column in columns} <= {n // 2 + s * waves + d for s in (-1, 1) for d in (-1, 0, 1)}
    assert {n // 2 - waves, n // 2 + waves} <= {int(column) for column in columns}


def test_the_report_shows_counts_faces_and_reasons(tmp_path):
    records, faces = make_records(30)
    path = write_dataset(tmp_path / "faces.h5", records, faces, keep=10)
    out = tmp_path / "report.html"
    write_report(open_view(path), out, options=ReportOptions(shown=4))
    html = out.read_text()
    for text in (
        "decode.truncated",
        "000004.jpg",
        "rank.below_threshold",
        "Best",
        "Around the cut",
        "Progressive Growing",
    ):
        assert text in html
    assert html.count('<button type="button" class="face') == 4 * 4 - 2  # no face below the cut can be shown
    assert html.count("<template id=") >= 4
    assert "The photographs are not at hand" in html


def test_hostile_names_and_reasons_only_show(tmp_path):
    outlines, pages = [], []
    for number, names in enumerate([HOSTILE, None]):
        records, faces = make_records(27, names)
        path = write_dataset(tmp_path / f"{number}.h5", records, faces, keep=15)
        write_report(open_view(path), tmp_path / f"{number}.html", options=ReportOptions(shown=2))
        pages.append((tmp_path / f"{number}.html").read_text())
        outlines.append(Outline(pages[-1]).seen)
    assert outlines[0] == outlines[1]
    assert "\u202e" not in pages[0]
    assert "photo\\u202egpj.exe" in pages[0]
    assert len(pages[0]) < 1.3 * len(pages[1])


def test_photographs_outside_the_folder_or_changed_are_not_opened(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (folder / "a.jpg").write_bytes(b"photo")
    photographs = Photographs(folder, SETTINGS)
    for name in ("../secret.jpg", str(tmp_path / "secret.jpg"), "x/../../secret.jpg", "a\x00.jpg"):
        with pytest.raises(InputError, match="leads out"):
            photographs.read(name, "")
        assert photographs.measure(name) is None
    with pytest.raises(InputError, match="sha256 differs"):
        photographs.read("a.jpg", "00" * 32)
    with pytest.raises(InputError, match="not in the folder"):
        photographs.read("gone.jpg", "")
    assert photographs.read("a.jpg", "") == b"photo"


def test_a_manifest_of_another_dataset_is_refused(tmp_path):
    records, faces = make_records(20)
    path = write_dataset(tmp_path / "a.h5", records, faces, keep=10)
    write_dataset(tmp_path / "b.h5", records, faces, keep=5)
    manifest_path(tmp_path / "b.h5").replace(manifest_path(path))
    with pytest.raises(StoreError, match="not of the same build"):
        open_view(path).take_snapshot()
    manifest_path(path).write_text("index,file\n1,a\n")
    with pytest.raises(StoreError, match="no column"):
        open_view(path).take_snapshot()
    manifest_path(path).unlink()
    with pytest.raises(StoreError, match="no manifest"):
        open_view(path)
    with pytest.raises(InputError, match=r"no journal\.sqlite"):
        open_view(tmp_path)


def test_faces_without_scores_and_empty_builds_make_a_page(tmp_path):
    faces = cut_faces(3)
    path = tmp_path / "imported.h5"
    with create_dataset(path, height=64, width=64) as writer:
        for pixels in faces:
            writer.append(pixels)
    text = "index,file,sha256,status,dataset_index,reason,detail,score,zoom\n"
    text += "".join(f"{n},{n}.png,,kept,{n},,,,\n" for n in range(3))
    manifest_path(path).write_text(text)
    snapshot = write_report(open_view(path), tmp_path / "a.html")
    assert len(snapshot.faces) == 3
    assert math.isnan(snapshot.threshold)
    work = write_work(tmp_path / "work", [ItemRecord(0, "a", stage="decode", reason="empty")], [], keep=3)
    write_report(open_view(work), tmp_path / "b.html")
    assert "No face has a score yet" in (tmp_path / "b.html").read_text()


@pytest.mark.parametrize("wrong", [{"shown": 0}, {"shown": 1000}, {"strips": -1}])
def test_wrong_options_are_named(wrong):
    with pytest.raises(ConfigError, match=f"--{next(iter(wrong))}"):
        ReportOptions(**wrong)


def test_the_likest_pairs_are_found_among_many(tmp_path):
    faces = cut_faces(60)
    planted = {10: 3, 41: 22}
    for copy, original in planted.items():
        stream = io.BytesIO()
        Image.fromarray(faces[original]).save(stream, "JPEG", quality=60)
        faces[copy] = np.array(Image.open(stream))
    pairs = find_pairs(np.stack([make_thumb(pixels) for pixels in faces]))
    assert {(pair.second, pair.first) for pair in pairs[:2]} == set(planted.items())
    assert all(pair.difference < MAX_DIFFERENCE for pair in pairs[:2])
    assert all(pair.difference > MAX_DIFFERENCE for pair in pairs[2:])
    # Many times the same picture: each is shown once, not with every other.
    crowd = find_pairs(np.stack([make_thumb(faces[0])] * 30), count=100)
    assert len(crowd) == 29
    assert find_pairs(np.stack([make_thumb(faces[0]), make_thumb(faces[1])])) == []
    # Faces without a thumbnail are not alike for that.
    gaps = np.stack([make_thumb(faces[0]), np.zeros((24, 24), np.uint8)] * 3)
    assert [(pair.first, pair.second) for pair in find_pairs(gaps)] == [(0, 2), (0, 4)]
