"""Any folder of photographs through the installed commands: detection, guards, odd files, and choosing again."""

from __future__ import annotations

import csv
import io
import json
import shutil

import h5py
import numpy as np
import pytest
from PIL import Image

from celebahq_tools.source.samples import PORTRAITS, Variation, render_variation

from .commands import run, run_well

QUICK = ("--size", "64", "--dejpeg", "none", "--sr", "lanczos", "--workers", "1", "--no-report")

pytestmark = pytest.mark.weights


def read_rows(path):
    with path.open(newline="") as stream:
        return {row["index"]: row for row in csv.DictReader(stream)}


def encode(image, format="JPEG", **options):
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder without landmarks: two people, one photograph thrice, a group, a turned one, no face, no image."""
    folder = tmp_path_factory.mktemp("any") / "photos"
    (folder / "sub").mkdir(parents=True)
    hopper, _ = render_variation(Variation("hopper", 0.5, 92))
    again, _ = render_variation(Variation("hopper", 0.4, 40))
    astronaut, _ = render_variation(Variation("astronaut", 0.8, 92))
    (folder / "2.jpg").write_bytes(hopper)
    (folder / "10.jpg").write_bytes(again)
    (folder / "sub" / "astronaut.jpg").write_bytes(astronaut)
    mirrored = Image.open(io.BytesIO(hopper)).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    (folder / "mirrored.png").write_bytes(encode(mirrored, "PNG"))
    group = Image.new("RGB", (600, 420), (90, 120, 90))
    group.paste(Image.open(io.BytesIO(astronaut)).crop((100, 20, 290, 200)), (20, 100))
    group.paste(Image.open(io.BytesIO(hopper)).crop((40, 20, 230, 250)), (320, 80))
    (folder / "group.png").write_bytes(encode(group, "PNG"))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.open(io.BytesIO(astronaut)).transpose(Image.Transpose.ROTATE_90)
    (folder / "turned.jpg").write_bytes(encode(turned, quality=85, exif=exif))
    (folder / "wall.png").write_bytes(encode(Image.new("RGB", (200, 200), (80, 80, 200)), "PNG"))
    (folder / "notes.txt").write_text("not a photograph")
    (folder / "sub" / "loop").symlink_to(folder)
    return folder


@pytest.fixture(scope="module")
def built(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("built") / "faces.h5"
    work = out.with_name("work")
    result = run_well(
        "build", "--in", photos, "--landmarks", "detect", "--out", out, "--work", work, "--guards", "all", *QUICK
    )
    return out, work, result


def test_faces_are_detected_duplicates_left_out_and_everything_is_listed(built):
    out, _, result = built
    rows = {row["file"]: row for row in read_rows(out.with_name("faces.manifest.csv")).values()}
    assert list(rows) == [
        "2.jpg",
        "10.jpg",
        "group.png",
        "mirrored.png",
        "notes.txt",
        "turned.jpg",
        "wall.png",
        "sub/astronaut.jpg",
    ]
    reasons = {file: row["reason"] for file, row in rows.items()}
    assert reasons["notes.txt"] == "decode.not_an_image"
    assert reasons["wall.png"] == "landmarks.no_face"
    # The photograph at quality 40, and the larger face of the group, are Hopper again; the turned one the astronaut.
    assert reasons["10.jpg"] == "rank.duplicate"
    assert [reasons[name] for name in ("group.png", "2.jpg")].count("rank.duplicate") == 1
    assert [reasons[name] for name in ("turned.jpg", "sub/astronaut.jpg")].count("rank.duplicate") == 1
    assert reasons["mirrored.png"] == ""
    assert rows["group.png"]["faces"] == "2"
    assert "kept 3" in result.stdout
    with h5py.File(out) as file:
        assert file["data64x64"].shape == (3, 3, 64, 64)
        assert file.attrs["duplicates"] == "near"


def test_choosing_again_takes_no_photographs_and_can_let_duplicates_in(built, photos, tmp_path):
    _, work, _ = built
    hidden = photos.with_name("hidden")
    photos.rename(hidden)
    try:
        run_well("reselect", work, "--keep", 10, "--out", tmp_path / "every.h5", "--compression", "lzf")
        run_well("reselect", work, "--keep", 2, "--duplicates", "mirrored", "--out", tmp_path / "strict.h5")
    finally:
        hidden.rename(photos)
    with h5py.File(tmp_path / "every.h5") as file:
        assert len(file["data64x64"]) == 6
        assert file["data64x64"].compression == "lzf"
    rows = read_rows(tmp_path / "strict.manifest.csv")
    assert sum(row["status"] == "kept" for row in rows.values()) == 2
    assert {row["file"]: row["reason"] for row in rows.values()}["10.jpg"].startswith("rank.")
    again = run("reselect", work, "--keep", 2, "--out", tmp_path / "strict.h5")
    assert again.returncode == 1
    assert "--overwrite" in again.stderr


def test_choosing_more_than_the_build_kept_says_what_to_run(photos, tmp_path):
    work = tmp_path / "work"
    arguments = ("--in", photos, "--landmarks", "detect", "--out", tmp_path / "a.h5", "--work", work, "--keep", 1)
    assert run("build", *arguments, *QUICK).returncode == 0
    result = run("reselect", work, "--keep", 3, "--out", tmp_path / "b.h5")
    assert result.returncode == 1
    assert "run celebahq build again with --keep 3" in result.stderr
    assert run("reselect", tmp_path, "--keep", 1).returncode == 1


def test_every_face_of_every_photograph_on_request(photos, tmp_path):
    out = tmp_path / "faces.h5"
    command = ("build", "--in", photos, "--landmarks", "detect", "--faces", "all", "--out", out, "--guards", "none")
    run_well(*command, *QUICK)
    rows = read_rows(tmp_path / "faces.manifest.csv")
    group = {index: row for index, row in rows.items() if row["file"] == "group.png"}
    assert sorted(group) == ["200", "201"]
    # The largest first: Hopper stands at the right.
    assert float(group["200"]["nose_x"]) > 300 > float(group["201"]["nose_x"])
    assert all(row["status"] == "kept" for row in group.values())


def test_landmarks_in_json_and_guards_against_wrong_ones(photos, tmp_path):
    _, points = render_variation(Variation("hopper", 0.5, 92))
    _, other = render_variation(Variation("astronaut", 0.8, 92))
    eye_distance = np.hypot(*(points[1] - points[0]))
    table = {
        "2.jpg": points.tolist(),
        "10.jpg": (points * 0.8)[[1, 0, 2, 4, 3]].tolist(),
        "sub/astronaut.jpg": (other + 1.5 * eye_distance).tolist(),
        "gone.jpg": points.tolist(),
    }
    path = tmp_path / "points.json"
    path.write_text(json.dumps(table))
    out = tmp_path / "faces.h5"
    run_well("build", "--in", photos, "--landmarks", path, "--out", out, *QUICK)
    reasons = {row["file"]: row["reason"] for row in read_rows(tmp_path / "faces.manifest.csv").values()}
    assert reasons["2.jpg"] == ""
    assert reasons["10.jpg"] == "landmarks.order"
    assert reasons["sub/astronaut.jpg"] == "landmarks.detector"
    assert reasons["gone.jpg"] == "source.missing_file"
    assert reasons["group.png"] == "landmarks.missing"
    loose = run_well(
        "build", "--in", photos, "--landmarks", path, "--out", tmp_path / "l.h5", "--guards", "border", *QUICK
    )
    assert "ranked 3" in loose.stdout


def test_a_half_face_is_rejected_by_the_landmarks_and_by_the_border(tmp_path):
    portrait = PORTRAITS["hopper"]
    image, points = portrait.load(), portrait.landmarks
    middle = int(points[:, 0].mean())
    folder = tmp_path / "photos"
    folder.mkdir()
    image.crop((middle, 0, *image.size)).save(folder / "half.png")
    table = tmp_path / "points.json"
    table.write_text(json.dumps({"half.png": (points - [middle, 0]).tolist()}))
    arguments = ("build", "--in", folder, "--landmarks", table, "--out", tmp_path / "x.h5", *QUICK)
    for guards, reason in (("landmarks", "landmarks.outside"), ("border", "align.outside_photo")):
        result = run(*arguments, "--guards", guards)
        assert result.returncode == 1
        rows = read_rows(tmp_path / "x.manifest.csv")
        assert rows["0"]["reason"] == reason
        shutil.rmtree(tmp_path / "x.h5.work", ignore_errors=True)


def test_ranking_lists_the_best_first_and_bad_files_by_name(photos, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    portrait = PORTRAITS["astronaut"].load()
    portrait.save(folder / "good.png")
    portrait.resize((128, 128)).resize((512, 512)).save(folder / "soft.png")
    portrait.save(folder / "blocky.jpg", quality=10)
    (folder / "broken.png").write_bytes(b"no image")
    portrait.crop((0, 0, 40, 40)).save(folder / "tiny.png")
    table = tmp_path / "scores.csv"
    result = run_well("rank", folder, "--csv", table)
    rows = list(csv.DictReader(table.open()))
    assert rows[0]["name"] == "good.png"
    assert {row["name"] for row in rows[1:3]} == {"blocky.jpg", "soft.png"}
    assert {row["name"] for row in rows[3:]} == {"broken.png", "tiny.png"}
    assert "broken.png" in result.stderr
    assert "Scored 3, rejected 2" in result.stdout
    single = run("rank", folder / "good.png")
    assert float(rows[0]["score"]) == pytest.approx(float(single.stdout.splitlines()[1].split()[0]), abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--guards", "landmark"), "did you mean 'landmarks'"),
        (("--min-photo", "1.5"), "--min-photo 1.5"),
        (("--faces", "all"), "--landmarks detect"),
        (("--landmarks", "gone.json"), "gone.json: cannot read"),
    ],
)
def test_a_wrong_option_is_answered_with_the_remedy(photos, tmp_path, arguments, message):
    result = run("build", "--in", photos, "--out", tmp_path / "x.h5", *arguments)
    assert result.returncode == 1
    assert message in result.stderr
