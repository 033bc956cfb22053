"""`celebahq build` and its companions through the installed command, as a user types them."""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from celebahq_tools.source.landmark_file import COLUMNS
from celebahq_tools.source.samples import Variation, render_variation

from .commands import CELEBAHQ, run, run_well

QUICK = ("--size", "128", "--dejpeg", "none", "--sr", "lanczos", "--no-report")


def read_rows(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def built(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("built") / "faces.h5"
    result = run_well("build", "--in", photos, "--out", out, "--keep", 9, *QUICK)
    return out, result


def test_a_build_keeps_the_best_and_lists_everything(built):
    out, result = built
    assert "Found 14, ranked 12, kept 9" in result.stdout
    assert "decode.truncated" in result.stdout
    assert "source.missing_file" in result.stdout
    assert sorted(os.listdir(out.parent)) == ["faces.h5", "faces.manifest.csv"]
    rows = read_rows(out.with_name("faces.manifest.csv"))
    assert [row["status"] for row in rows].count("kept") == 9
    scores = {status: [float(r["score"]) for r in rows if r["status"] == status] for status in ("kept", "ranked_out")}
    assert min(scores["kept"]) >= max(scores["ranked_out"])
    kept = [row for row in rows if row["status"] == "kept"]
    assert [int(row["dataset_index"]) for row in kept] == list(range(9))
    assert all(len(row["sha256"]) == 64 and 0 < float(row["photo_fraction"]) <= 1 for row in kept)


def test_the_dataset_opens_with_plain_h5py(built):
    with h5py.File(built[0]) as file:
        assert sorted(file, key=len)[0] == "data1x1"
        assert {name: file[name].shape for name in file} == {
            f"data{r}x{r}": (9, 3, r, r) for r in (128, 64, 32, 16, 8, 4, 2, 1)
        }
        faces = file["data128x128"][:]
        assert file.attrs["resample"] == "box"
    # Real pictures of real faces: neither flat nor alike.
    assert (faces.reshape(9, -1).std(axis=1) > 20).all()
    assert len({face.tobytes() for face in faces}) == 9


def test_the_same_build_with_another_number_of_workers_is_byte_identical(photos, built, tmp_path):
    out = tmp_path / "faces.h5"
    run_well("build", "--in", photos, "--out", out, "--keep", 9, "--workers", 1, *QUICK)
    assert out.read_bytes() == built[0].read_bytes()
    assert out.with_name("faces.manifest.csv").read_bytes() == built[0].with_name("faces.manifest.csv").read_bytes()


def test_a_killed_build_goes_on_and_ends_byte_identical(photos, built, tmp_path):
    out, work = tmp_path / "faces.h5", tmp_path / "work"
    command = ("build", "--in", photos, "--out", out, "--keep", 9, "--work", work, *QUICK)
    process = subprocess.Popen([CELEBAHQ, *map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(work.glob("faces/*/*.npz")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists()
    run_well(*command)
    assert out.read_bytes() == built[0].read_bytes()
    assert work.is_dir()


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the workers through /proc")
def test_a_worker_killed_by_the_system_costs_nothing(photos, built, tmp_path):
    out = tmp_path / "faces.h5"
    command = ("build", "--in", photos, "--out", out, "--keep", 9, "--workers", 2, *QUICK)
    process = subprocess.Popen(
        [CELEBAHQ, *map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("faces.h5.work/faces/*/*.npz")) and time.monotonic() < deadline:
        time.sleep(0.02)
    for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        if b"LokyProcess" in Path(f"/proc/{child}/cmdline").read_bytes():
            os.kill(int(child), signal.SIGKILL)
            break
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert out.read_bytes() == built[0].read_bytes()


def test_ctrl_c_leaves_no_dataset_and_says_how_to_go_on(photos, tmp_path):
    out = tmp_path / "faces.h5"
    # One worker: the build must still be under way when the signal comes.
    arguments = ["build", "--in", photos, "--out", out, *QUICK, "--size", "1024", "--workers", "1"]
    process = subprocess.Popen(
        [CELEBAHQ, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Whoever runs the tests in the background has them ignore Ctrl-C, and programs they start would too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("faces.h5.work/faces/*/*.npz")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Interrupted; run the same command again to go on" in errors
    assert "Traceback" not in errors
    assert not out.exists()


def test_other_settings_in_the_same_work_folder_are_refused(photos, tmp_path):
    work = tmp_path / "work"
    run_well("build", "--in", photos, "--out", tmp_path / "a.h5", "--work", work, *QUICK)
    second = run("build", "--in", photos, "--out", tmp_path / "b.h5", "--work", work, *QUICK, "--resample", "lanczos")
    assert second.returncode == 1
    assert "resample: box -> lanczos" in second.stderr


def test_more_to_keep_redoes_what_was_deleted(photos, built, tmp_path):
    work = tmp_path / "work"
    run_well("build", "--in", photos, "--out", tmp_path / "few.h5", "--keep", 3, "--work", work, *QUICK)
    assert len(list(work.glob("faces/*/*.npz"))) == 3
    run_well("build", "--in", photos, "--out", tmp_path / "more.h5", "--keep", 9, "--work", work, *QUICK)
    with h5py.File(tmp_path / "more.h5") as ours, h5py.File(built[0]) as theirs:
        np.testing.assert_array_equal(ours["data128x128"][:], theirs["data128x128"][:])


def test_an_existing_file_needs_overwrite(photos, built, tmp_path):
    out = tmp_path / "faces.h5"
    out.write_text("mine")
    result = run("build", "--in", photos, "--out", out, "--keep", 9, *QUICK)
    assert result.returncode == 1
    assert "--overwrite" in result.stderr
    assert out.read_text() == "mine"
    run_well("build", "--in", photos, "--out", out, "--keep", 9, "--overwrite", *QUICK)
    assert out.read_bytes() == built[0].read_bytes()


def test_a_dry_run_prints_the_settings_and_makes_nothing(photos, tmp_path):
    config = tmp_path / "run.toml"
    config.write_text(f'input = "{photos}"\nkeep = 7\nsize = 64\ndejpeg = "none"\nsr = "none"\n')
    result = run_well("build", "--config", config, "--out", tmp_path / "x.h5", "--keep", 5, "--dry-run")
    assert "keep the best 5" in result.stdout
    assert os.listdir(tmp_path) == ["run.toml"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--in", "gone"), "gone: no such folder"),
        (("--size", "100"), "must be a power of two"),
        (("--keep", "0"), "keep at least one"),
        (("--sr", "realsr"), "did you mean 'realsr-df2k'"),
        (("--out", "no/such/folder/x.h5"), "no such folder"),
        (("--config", "gone.toml"), "cannot read the configuration"),
        (("--workers", "-1"), "--workers -1"),
    ],
)
def test_a_wrong_command_is_answered_with_the_remedy(photos, tmp_path, arguments, message):
    defaults = {"--in": str(photos), "--out": str(tmp_path / "x.h5"), "--dejpeg": "none", "--sr": "none"}
    defaults.update([arguments])
    result = run("build", *(word for pair in defaults.items() for word in pair), cwd=tmp_path)
    assert result.returncode != 0
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_named(photos, tmp_path):
    tmp_path.chmod(0o500)
    result = run("build", "--in", photos, "--out", tmp_path / "x.h5", *QUICK)
    assert result.returncode == 1
    assert "no permission" in result.stderr


@pytest.mark.skipif(not Path("/dev/shm").is_dir() or os.name == "nt" or os.geteuid() != 0, reason="mounts a tiny disk")
def test_a_full_disk_is_named_and_leaves_no_dataset(photos, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("this machine does not let the tests mount a disk")
    try:
        result = run("build", "--in", photos, "--out", disk / "x.h5", *QUICK)
        assert result.returncode == 1
        assert "the disk is full" in result.stderr
        assert "Traceback" not in result.stderr
        assert not (disk / "x.h5").exists()
    finally:
        subprocess.run(["umount", disk], check=True)


def make_odd_folder(folder):
    """One good photograph among every kind of bad one; returns the reason expected for each name."""
    data, landmarks = render_variation(Variation("astronaut", 0.5, 90))
    good = Image.open(io.BytesIO(data))
    points = " ".join(str(round(value)) for value in landmarks.ravel())
    images = folder / "img_celeba"
    images.mkdir(parents=True)
    (folder / "Anno").mkdir()
    rows = {}

    def add(name, content, reason, row=points):
        if isinstance(content, Image.Image):
            stream = io.BytesIO()
            content.save(stream, "PNG")
            content = stream.getvalue()
        if content is not None:
            (images / name).write_bytes(content)
        rows[name] = (row, reason)

    add("good.jpg", data, "")
    add("empty.jpg", b"", "decode.empty")
    add("truncated.jpg", data[: len(data) // 3], "decode.truncated")
    add("text.jpg", b"hello", "decode.not_an_image")
    add("grey.png", good.convert("L"), "decode.grey")
    add("alpha.png", good.convert("RGBA"), "decode.alpha")
    stream = io.BytesIO()
    good.convert("CMYK").save(stream, "JPEG")
    add("cmyk.jpg", stream.getvalue(), "decode.cmyk")
    stream = io.BytesIO()
    good.save(stream, "GIF", save_all=True, append_images=[good.rotate(5)])
    add("animated.gif", stream.getvalue(), "decode.animated")
    exif = Image.Exif()
    exif[0x0112] = 8
    stream = io.BytesIO()
    good.save(stream, "JPEG", exif=exif)
    add("rotated.jpg", stream.getvalue(), "decode.exif_rotated")
    add("gone.jpg", None, "source.missing_file")
    add("nan.jpg", data, "landmarks.not_finite", points.replace(points.split()[0], "nan", 1))
    add("short.jpg", data, "landmarks.malformed", "1 2 3")
    add("absurd.jpg", data, "landmarks.outside", " ".join(["99999"] * 10))
    add("point.jpg", data, "landmarks.degenerate", " ".join(["50"] * 10))
    (images / "unlisted.jpg").write_bytes(data)
    lines = [f"{name} {row}" for name, (row, _) in rows.items()]
    text = "\n".join([str(len(lines)), " ".join(COLUMNS), *lines])
    (folder / "Anno" / "list_landmarks_celeba.txt").write_text(text + "\n")
    return {name: reason for name, (_, reason) in rows.items()} | {"unlisted.jpg": "landmarks.missing"}


def test_odd_files_are_rejected_one_by_one_and_the_build_goes_on(tmp_path):
    expected = make_odd_folder(tmp_path / "celeba")
    run_well("build", "--in", tmp_path / "celeba", "--out", tmp_path / "x.h5", *QUICK)
    rows = read_rows(tmp_path / "x.manifest.csv")
    assert {row["file"]: row["reason"] for row in rows} == expected
    assert [row["file"] for row in rows if row["status"] == "kept"] == ["good.jpg"]


def test_nothing_built_is_a_failure_with_the_reasons_listed(tmp_path):
    make_odd_folder(tmp_path / "celeba")
    (tmp_path / "celeba" / "img_celeba" / "good.jpg").write_bytes(b"spoilt")
    result = run("build", "--in", tmp_path / "celeba", "--out", tmp_path / "x.h5", *QUICK)
    assert result.returncode == 1
    assert "none of 15 photographs gave a face" in result.stderr
    assert not (tmp_path / "x.h5").exists()
    assert len(read_rows(tmp_path / "x.manifest.csv")) == 15


def test_a_contact_sheet_shows_the_kept_faces(built, tmp_path):
    picture = tmp_path / "sheet.png"
    run_well("sheet", built[0], "--out", picture, "--columns", 3, "--thumb", 64)
    image = np.array(Image.open(picture).convert("RGB"))
    assert image.shape[1] == 3 * 70 + 6
    assert image.std() > 20


@pytest.mark.weights
def test_the_real_nets_build_and_inspect_a_real_photograph(tmp_path):
    data, landmarks = render_variation(Variation("hopper", 0.12, 60))
    folder = tmp_path / "celeba"
    (folder / "img_celeba").mkdir(parents=True)
    (folder / "img_celeba" / "a.jpg").write_bytes(data)
    points = ",".join(f"{value:.0f}" for value in landmarks.ravel())
    table = folder / "points.csv"
    table.write_text("image_id," + ",".join(COLUMNS) + f"\na.jpg,{points}\n")
    out = tmp_path / "x.h5"
    result = run_well("build", "--in", folder, "--out", out, "--landmarks", table, "--size", 256)
    with h5py.File(out) as file:
        assert file["data256x256"].shape == (1, 3, 256, 256)
        assert "a3f5eb53906ef54d" in file.attrs["sr"]
    plain = tmp_path / "plain.h5"
    assert run("build", "--in", folder, "--out", plain, "--landmarks", table, *QUICK, "--size", 256).returncode == 0
    score, base = (float(read_rows(p.with_suffix(".manifest.csv"))[0]["score"]) for p in (out, plain))
    # The nets are there to bring back high frequencies: the ranking has to see them.
    assert score > base
    picture = tmp_path / "stages.png"
    result = run_well(
        "inspect", folder / "img_celeba" / "a.jpg", "--landmarks", points, "--out", picture, "--size", 256
    )
    assert result.stdout.startswith("score ")
    # input, crop, JPEG removal, 4x, final: this face needs no padding
    assert Image.open(picture).width == 5 * (320 + 12) + 12


def test_inspect_takes_the_row_of_a_landmark_file(photos, tmp_path):
    landmarks = photos / "Anno" / "list_landmarks_celeba.txt"
    photo = photos / "img_celeba" / "000009.jpg"
    arguments = ["inspect", photo, "--landmarks", landmarks, "--dejpeg", "none", "--sr", "lanczos", "--size", "128"]
    result = run_well(*arguments, cwd=tmp_path)
    assert (tmp_path / "000009.stages.png").is_file()
    shutil.copy(photo, tmp_path / "other.jpg")
    result = run("inspect", tmp_path / "other.jpg", "--landmarks", landmarks, cwd=tmp_path)
    assert result.returncode == 1
    assert "no row names other.jpg" in result.stderr


def test_the_weights_are_listed_with_licence_and_command():
    result = run("weights")
    assert result.returncode == 0
    assert "realsr-df2k" in result.stdout
    assert "licence: MIT" in result.stdout


def test_the_originals_options_give_the_originals_face(golden, tmp_path):
    from skimage.data import astronaut

    folder = tmp_path / "celeba"
    (folder / "img_celeba").mkdir(parents=True)
    Image.fromarray(astronaut()).save(folder / "img_celeba" / "a.png")
    landmarks = json.loads((golden / "hq" / "cases.json").read_text())["A_native"]["landmarks"]
    points = ",".join(f"{value:.0f}" for value in np.ravel(landmarks))
    (folder / "list_landmarks_celeba.csv").write_text("image_id," + ",".join(COLUMNS) + f"\na.png,{points}\n")
    out = tmp_path / "x.h5"
    options = ("--dejpeg", "none", "--sr", "lanczos", "--resample", "lanczos")
    run_well("build", "--in", folder, "--out", out, *options)
    with h5py.File(out) as file:
        face = file["data1024x1024"][0].transpose(1, 2, 0).astype(int)
    original = np.array(Image.open(golden / "hq" / "A_native.output.webp").convert("RGB"))
    # Pillow of today against Pillow 3.1.1: 0.2 % of values differ, by one grey level.
    assert np.abs(face - original).max() <= 1
    assert np.abs(face - original).mean() < 0.05
