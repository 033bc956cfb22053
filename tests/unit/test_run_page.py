"""The page of a training run: what a real run leaves, and the same run unfinished, damaged or with hostile names."""

import json
import re
import shutil
from html.parser import HTMLParser

import pytest
import torch
from celebahq_cli.pggan import main
from click.testing import CliRunner

from celebahq_tools.errors import InputError
from pggan_core.run_page import MOST_FRAMES, render_run_page
from pggan_core.run_plots import group_scores
from pggan_core.run_record import check_checkpoint, list_phases, read_run
from pggan_core.trainer import Hooks, Trainer

from .tiny_runs import make_config, write_noise

torch.set_num_threads(1)  # Small tensors: a second thread only waits.


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A whole run: 4x4 up to 64 images, 8x8 fades in up to 128, then stays; scored along the way."""
    folder = tmp_path_factory.mktemp("runs")
    config = make_config(write_noise(folder / "d.h5"), snapshot_kimg=0.032, every=0.08, metrics=("swd",), keep=3)

    def score(snapshot):
        value = 300.0 - snapshot.images_shown
        return {"SWDx1e3_32": value, "SWDx1e3_16": value / 2, "SWDx1e3_avg": 0.75 * value, "fid": 2 * value}

    assert Trainer(config, folder / "run", hooks=Hooks(on_snapshot=score)).run()
    return folder / "run"


@pytest.fixture
def run(finished, tmp_path):
    """A copy of it, to damage."""
    return shutil.copytree(finished, tmp_path / "run")


class Page(HTMLParser):
    """What a page holds: its text, its elements with attributes, and the addresses it would load."""

    def __init__(self, html):
        super().__init__()
        self.text, self.elements = "", []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def find(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def whole(finished):
    """The page of the whole run."""
    return Page(render_run_page(finished))


def test_a_finished_run_shows_scores_samples_losses_speed_and_settings(whole):
    page = whole
    sections = [attributes["id"] for attributes in page.find("section")]
    assert sections == ["overview", "samples", "scores", "losses", "speed", "settings", "files"]
    assert "100 % of 0.16" in page.text
    assert "finished" in page.text
    assert "What is missing or damaged" not in page.text
    assert "SWD x1e3, last" in page.text
    assert "lowest 105.0 at 0.16 thousand" in page.text


def test_the_samples_are_those_of_the_run_in_order(finished, whole):
    shown = [image["alt"] for image in whole.find("img") if "same latents" in image["alt"]]
    expected = [int(path.stem.split("-")[1]) / 1000 for path in sorted(finished.glob("samples/fakes-*.png"))]
    assert [float(re.search(r"([\d.]+) thousand", text)[1]) for text in shown] == expected
    assert len(expected) >= 5


def test_nothing_is_loaded_from_elsewhere_and_every_picture_has_a_text(whole):
    page = whole
    for tag in ("img", "video", "source", "script", "link", "iframe"):
        for attributes in page.find(tag):
            address = attributes.get("src") or attributes.get("href") or "data:"
            assert address.startswith("data:")
    assert all(image.get("alt") for image in page.find("img"))
    assert all(plot.get("aria-label") for plot in page.find("svg"))


def test_phases_are_those_of_the_schedule(finished):
    phases = list_phases(read_run(finished))
    found = [(phase.resolution, phase.fading, phase.start, phase.end) for phase in phases]
    assert found == [(4, False, 0, 0.064), (8, True, 0.064, 0.128), (8, False, 0.128, 0.16)]
    ticks = [json.loads(line) for line in (finished / "log.jsonl").read_text().splitlines()]
    seconds = max(tick["seconds"] for tick in ticks if tick["event"] == "tick")
    assert sum(phase.seconds for phase in phases) == pytest.approx(seconds)
    assert all(phase.batch == 8 and phase.images_per_second > 0 for phase in phases)


def write_ticks(run, ticks):
    names = ("images", "resolution", "level", "alpha", "seconds")
    lines = [{"event": "tick", **dict(zip(names, tick, strict=True))} for tick in ticks]
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_change_of_phase_between_two_ticks_is_placed_by_the_settings_and_the_time_divided(run):
    # One tick at 48 images, the next at 80: the change lies at 64, half-way, and the four seconds are halved.
    write_ticks(run, [(48, 4, 0, 1.0, 3.0), (80, 8, 1, 0.25, 7.0)])
    first, second = list_phases(read_run(run))
    assert (first.end, second.start, second.end) == (0.064, 0.064, 0.08)
    assert (first.seconds, second.seconds) == (5.0, 2.0)


def test_a_running_run_says_how_far_it_is_and_how_to_go_on(run):
    lines = (run / "log.jsonl").read_text().splitlines()
    (run / "log.jsonl").write_text("\n".join(lines[: len(lines) // 2]) + '\n{"event": "tick", "ima')
    page = Page(render_run_page(run))
    assert "unfinished" in page.text
    assert "--resume auto" in page.text
    assert f"log.jsonl: 1 of {len(lines) // 2 + 1} lines are damaged" in page.text


@pytest.mark.parametrize("length", [0, 5, 100, -100, -1])
def test_a_checkpoint_cut_short_is_named(run, length):
    path = sorted(run.glob("checkpoints/*"))[-1]
    assert check_checkpoint(path).problem == ""
    path.write_bytes(path.read_bytes()[:length])
    assert "damaged" in check_checkpoint(path).problem
    assert [each for each in read_run(run).problems if each.startswith(f"{path.name}: damaged")]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda run: (run / "config.json").unlink(), "config.json is missing"),
        (lambda run: (run / "config.json").write_text("{"), "config.json cannot be read"),
        (lambda run: (run / "config.json").write_text("[]"), "not a table of settings"),
        (lambda run: (run / "config.json").write_text('{"kimk": 3}'), "settings of another version"),
        (lambda run: (run / "log.jsonl").unlink(), "log.jsonl is missing"),
        (lambda run: (run / "log.jsonl").write_bytes(b"\xff\xfe\n[1]\n{}\n"), "3 of 3 lines are damaged"),
        (lambda run: (run / "log.jsonl").write_text('{"event": "tick", "images": NaN}\n'), "1 of 1 lines"),
        (lambda run: shutil.rmtree(run / "samples"), "no sample grids yet"),
        (lambda run: shutil.rmtree(run / "checkpoints"), "no checkpoint yet"),
        (lambda run: (run / "samples" / "reals.png").write_bytes(b"\x89PNG"), "reals.png is damaged"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_damaged_is_said(run, damage, said):
    damage(run)
    assert said in "\n".join(read_run(run).problems)


def test_a_run_of_which_only_a_damaged_log_is_left_is_shown(run):
    for part in ("samples", "checkpoints"):
        shutil.rmtree(run / part)
    (run / "config.json").unlink()
    with (run / "log.jsonl").open("a") as file:
        file.write('{"event": "tick", "ima')
    page = Page(render_run_page(run))
    assert "What is missing or damaged" in page.text
    assert {"overview", "samples", "scores", "losses", "speed"} <= {section["id"] for section in page.find("section")}
    assert "of an unknown number" in page.text


def test_a_log_with_values_of_the_wrong_kind_does_not_stop_the_page(run):
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    for line in lines:
        line.update(g_loss=None, fid="high", batch="<b>many</b>", images_per_second=0, note={"a": [1]})
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert "<b>many" not in render_run_page(run)


def test_hostile_names_and_settings_only_show(finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "<script>alert(1)<\u202e'\"&")
    settings = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**settings, "data": "</script><img src=x onerror=alert(1)>"}))
    (run / "<img onerror=x>.mp4").write_bytes(b"film")
    html = render_run_page(run)
    assert "<script>alert" not in html
    assert "<img src=x" not in html
    assert "\u202e" not in html
    page = Page(html)
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert "<script>alert(1)<\\u202e" in page.text


def test_a_video_in_the_run_folder_is_embedded_and_a_huge_one_only_named(run, monkeypatch):
    (run / "walk.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    assert [video["src"] for video in Page(render_run_page(run)).find("video")] == [
        "data:video/mp4;base64,AAAAGGZ0eXBtcDQy"
    ]
    monkeypatch.setattr("pggan_core.run_page._LARGEST_VIDEO", 4)
    page = Page(render_run_page(run))
    assert not page.find("video")
    assert "walk.mp4 (0 MB) is too large to embed" in page.text


def test_a_grid_that_is_damaged_inside_is_left_out_and_named(run):
    path = sorted(run.glob("samples/fakes-*.png"))[1]
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    path.write_bytes(data)
    page = Page(render_run_page(run))
    assert f"Damaged and left out: {path.name}." in page.text
    shown = [image["alt"] for image in page.find("img") if "same latents" in image["alt"]]
    assert len(shown) == len(list(run.glob("samples/fakes-*.png"))) - 1


def test_a_long_run_shows_a_bounded_number_of_grids_with_the_first_and_the_last(run):
    first = next(run.glob("samples/fakes-*.png"))
    for number in range(1000, 1000 + 3 * MOST_FRAMES):
        shutil.copy(first, run / "samples" / f"fakes-{number:011d}.png")
    page = Page(render_run_page(run))
    shown = [image["alt"] for image in page.find("img") if "same latents" in image["alt"]]
    assert len(shown) == MOST_FRAMES
    assert ", 0 thousand" in shown[0]
    assert f"{(999 + 3 * MOST_FRAMES) / 1000:g} thousand" in shown[-1]


def test_scores_are_grouped_by_what_they_share_and_unknown_ones_stand_alone():
    scores = [{"event": "score", "images": 0, "SWDx1e3_16": 1.0, "SWDx1e3_avg": 2.0, "kid": 1, "kid_subset_std": 1}]
    scores.append({"event": "score", "images": 9, "precision": 0.5, "fid": 3.0, "my_own": 4.0, "broken": None})
    groups = {group.title: group.keys for group in group_scores(scores)}
    assert groups == {
        "Sliced Wasserstein distance x1e3": ("SWDx1e3_16", "SWDx1e3_avg"),
        "KID": ("kid",),
        "FID": ("fid",),
        "Precision and recall": ("precision",),
        "my_own": ("my_own",),
    }


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no run"):
        render_run_page(tmp_path)
    with pytest.raises(InputError, match="no such run folder"):
        render_run_page(tmp_path / "absent")


def test_the_command_writes_the_page_and_says_what_is_wrong(run, tmp_path):
    done = CliRunner().invoke(main, ["report", str(run)])
    assert done.exit_code == 0, done.output
    assert done.output.startswith(f"{run / 'report.html'} (")
    assert (run / "report.html").read_text(encoding="utf-8") == render_run_page(run)
    for arguments in (["report", str(tmp_path / "absent")], ["report", str(run), "--out", str(tmp_path / "no" / "x")]):
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 1
        assert done.output.startswith("Error: ")
