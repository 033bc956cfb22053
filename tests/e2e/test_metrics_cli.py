"""The installed `swd` command, run as a user runs it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from celebahq_cli import swd, swd_stats
from celebahq_cli.swd import METRIC_NAMES
from click.testing import CliRunner
from gan_metrics import METRICS
from PIL import Image
from scipy import ndimage

from celebahq_tools.store.writer import create_dataset

SWD = str(Path(sys.executable).with_name("swd"))


def run(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [SWD, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


def make_images(count: int, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(count, 3, 32, 32))
    smooth = ndimage.gaussian_filter(noise, (0, 0, 1, 1))
    return np.clip(smooth / smooth.std() * 40 + 128, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets")
    for seed, name in enumerate(("reals", "fakes")):
        images = make_images(24, seed)
        (root / name).mkdir()
        for index, image in enumerate(images):
            Image.fromarray(image.transpose(1, 2, 0)).save(root / name / f"{index:03}.png")
        with create_dataset(root / f"{name}.h5", height=32, width=32) as writer:
            for image in images[::-1]:
                writer.append(np.ascontiguousarray(image.transpose(1, 2, 0)))
    (root / "bad").mkdir()
    for index in range(3):
        (root / "bad" / f"{index}.png").write_bytes((root / "fakes" / f"00{index}.png").read_bytes())
    (root / "bad" / "broken.png").write_bytes(b"nonsense")
    return root


def test_the_score_of_folders_and_hdf5_files_is_the_same_to_the_last_bit(folder: Path) -> None:
    options = ("--num-images", 24, "--metrics", "swd")
    first = run("score", "reals", "fakes", *options, "--json", "a.json", "--plot", "a.png", cwd=folder)
    assert first.returncode == 0, first.stderr
    assert "SWDx1e3_avg" in first.stdout
    assert "24 images per set" in first.stdout
    second = run("score", "reals.h5", "fakes.h5", *options, "--json", "b.json", "--workers", 1, cwd=folder)
    assert second.returncode == 0, second.stderr
    a, b = (json.loads((folder / name).read_text())["metrics"] for name in ("a.json", "b.json"))
    assert a["swd"]["values"] == b["swd"]["values"]
    assert a["swd"]["floor"] == b["swd"]["floor"]
    assert Image.open(folder / "a.png").width > 100


def test_a_subset_does_not_depend_on_the_order_of_the_files(folder: Path) -> None:
    found = []
    for suffix in ("", ".h5"):
        report = folder / f"subset{suffix}.json"
        done = run("score", f"reals{suffix}", f"fakes{suffix}", "--num-images", 8, "--json", report, cwd=folder)
        assert done.returncode == 0, done.stderr
        found.append(json.loads(report.read_text())["metrics"])
    assert found[0] == found[1]
    assert found[0]["swd"]["floor"]["num_images"] == 8


def test_saved_reals_give_the_same_score_and_are_mentioned(folder: Path) -> None:
    saved = run("stats", "reals", "--out", "reals.stats", "--num-images", 12, "--metrics", "swd,ms-ssim", cwd=folder)
    assert saved.returncode == 0, saved.stderr
    assert "for swd, ms-ssim" in saved.stdout
    options = ("--num-images", 12, "--metrics", "swd,ms-ssim")
    direct = run("score", "reals", "fakes", *options, cwd=folder)
    again = run("score", "reals.stats", "fakes", "--metrics", "swd,ms-ssim", cwd=folder)
    assert "statistics of 12 images of reals, saved in reals.stats" in again.stdout
    assert direct.stdout.split("seed")[1] == again.stdout.split("seed")[1]
    missing = run("score", "reals.stats", "fakes", "--metrics", "swd,kid", cwd=folder)
    assert missing.returncode == 1
    assert "holds no statistics for kid" in missing.stderr


def test_unreadable_images_stop_the_score_unless_skipped(folder: Path) -> None:
    stopped = run("score", "reals", "bad", "--num-images", 3, cwd=folder)
    assert stopped.returncode == 1
    assert "1 of 4 images cannot be used (broken.png: " in stopped.stderr
    assert "Traceback" not in stopped.stderr
    skipped = run("score", "reals", "bad", "--num-images", 3, "--skip-bad", cwd=folder)
    assert skipped.returncode == 0, skipped.stderr
    assert "skipped in bad: 1 unreadable images" in skipped.stderr
    assert "broken.png" in skipped.stderr


def test_errors_name_what_is_wrong_and_the_remedy(folder: Path) -> None:
    few = run("score", "reals", "fakes", cwd=folder)
    assert few.returncode == 1
    assert few.stderr.strip() == ("Error: reals: found 24 images, need 16384; pass --num-images 24 to score anyway")
    small = folder / "small.npy"
    np.save(small, make_images(24, 3)[:, :, ::2, ::2])
    sizes = run("score", "reals", "small.npy", "--num-images", 24, cwd=folder)
    assert "reals holds 32x32, small.npy holds 16x16; pass --resize" in sizes.stderr
    resized = run("score", "reals", "small.npy", "--num-images", 24, "--resize", cwd=folder)
    assert resized.returncode == 0, resized.stderr
    assert "SWDx1e3_32" not in resized.stdout
    levels = run("score", "reals.h5", "fakes.h5", "--num-images", 24, "--size", 16, cwd=folder)
    assert "SWDx1e3_32" not in levels.stdout
    assert "SWDx1e3_16" in levels.stdout
    nowhere = run("score", "reals", "fakes", "--num-images", 8, "--json", "no/such/folder.json", cwd=folder)
    assert nowhere.returncode == 1
    assert "no such folder" in nowhere.stderr
    picture = run("score", "reals", "fakes", "--num-images", 8, "--plot", "x.xyz", cwd=folder)
    assert picture.returncode == 2
    assert "end it in .png, .svg, .pdf" in picture.stderr


def test_the_same_set_twice_scores_zero_and_says_so(folder: Path) -> None:
    done = run("score", "reals", "reals.h5", "--num-images", 24, "--json", "same.json", cwd=folder)
    report = json.loads((folder / "same.json").read_text())["metrics"]["swd"]
    assert set(report["values"].values()) == {0.0}
    assert "24 images stand in both sets, pixel for pixel" in done.stdout


def test_missing_logits_are_explained_before_any_work(folder: Path) -> None:
    done = run("score", "reals", "fakes", "--metrics", "is", "--num-images", 8, cwd=folder)
    assert done.returncode == 1
    assert "pass --inception-weights FILE" in done.stderr


def test_the_pyramid_is_drawn(folder: Path) -> None:
    done = run("pyramid", "reals/000.png", "--out", "pyramid.png", cwd=folder)
    assert done.returncode == 0, done.stderr
    # The image, its level of 32 and its level of 16, with gaps of 8.
    assert Image.open(folder / "pyramid.png").size == (32 + 8 + 32 + 8 + 16, 32)


def test_modes_are_counted_with_the_shipped_classifier(folder: Path) -> None:
    done = run("modes", "fakes", "--num-images", 24, "--json", "modes.json", cwd=folder)
    assert done.returncode == 0, done.stderr
    report = json.loads((folder / "modes.json").read_text())
    assert 1 <= report["metrics"]["modes"]["values"]["modes"] <= 24
    assert "MNIST" in report["classifier"]["data"]
    nothing = run("modes", "--train-classifier", cwd=folder)
    assert "--train-classifier needs --mnist DIR" in nothing.stderr


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_ends_with_130_and_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "many.npy", np.concatenate([make_images(64, seed) for seed in range(32)]))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    command = [SWD, "score", "many.npy", "many.npy", "--num-images", "2048", "--max-memory", "64M", "--json", "x.json"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=os.environ | {"TMPDIR": str(scratch)},
        stderr=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background has them ignore Ctrl-C, and programs they start would too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=180)
    assert process.returncode == 130
    assert "Interrupted" in stderr
    assert "Traceback" not in stderr
    assert not (tmp_path / "x.json").exists()
    assert list(scratch.iterdir()) == []


def test_help_is_quick_and_imports_neither_torch_nor_cv2(folder: Path) -> None:
    script = (
        "import sys; from celebahq_cli.swd import main\n"
        "try: main(['score', '--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('torch', 'cv2', 'h5py', 'numpy') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "[]"


def test_the_metrics_of_the_command_are_those_of_the_registry() -> None:
    assert tuple(METRICS) == METRIC_NAMES


def test_large_statistics_of_every_metric_can_be_scored(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(swd_stats, "_LARGE", 64)
    names = "swd,fid,kid,prdc"
    stats = ["stats", "reals", "--out", "large.stats", "--num-images", "12", "--metrics", names]
    assert CliRunner().invoke(swd.main, stats).exit_code == 0
    done = CliRunner().invoke(swd.main, ["score", "large.stats", "fakes", "--metrics", names, "--json", "large.json"])
    assert done.exit_code == 0, done.output
    direct = ["score", "reals", "fakes", "--metrics", names, "--num-images", "12", "--json", "direct.json"]
    assert CliRunner().invoke(swd.main, direct).exit_code == 0
    found = [json.loads(Path(name).read_text())["metrics"] for name in ("large.json", "direct.json")]
    assert {name: metric["values"] for name, metric in found[0].items()} == {
        name: pytest.approx(metric["values"], rel=1e-6) for name, metric in found[1].items()
    }


def test_damaged_statistics_and_empty_ones_are_named(folder: Path) -> None:
    (folder / "cut.stats").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(40))
    cut = run("score", "cut.stats", "fakes", cwd=folder)
    assert cut.returncode == 1
    assert "cut.stats: damaged statistics" in cut.stderr
    empty = run("stats", "reals", "--out", "modes.stats", "--num-images", 12, "--metrics", "modes", cwd=folder)
    assert empty.returncode == 1
    assert "modes: keeps nothing of the reals" in empty.stderr
    assert not (folder / "modes.stats").exists()


def test_bad_images_may_all_stand_at_the_beginning(folder: Path) -> None:
    mixed = folder / "mixed"
    mixed.mkdir()
    for number in range(70):
        (mixed / f"a{number:03d}.png").write_bytes(b"no image")
    for path in (folder / "fakes").iterdir():
        shutil.copy(path, mixed / f"b{path.name}")
    done = run("score", "reals", "mixed", "--num-images", 8, "--skip-bad", cwd=folder)
    assert done.returncode == 0, done.stderr
    refused = run("score", "reals", "mixed", "--num-images", 8, cwd=folder)
    assert refused.returncode == 1
    assert "pass --skip-bad" in refused.stderr
