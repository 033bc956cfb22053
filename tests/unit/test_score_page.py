"""The page of a score, its projections, and the comparison with an earlier score."""

import json
import re

import numpy as np
import pytest
from celebahq_cli.swd import main
from click.testing import CliRunner
from gan_metrics import MetricResult, MetricSettings, SlicedWasserstein
from gan_metrics.earlier_score import EarlierScore, list_changes, list_differences, read_earlier
from gan_metrics.projection import plan_comparisons
from gan_metrics.score_page import ScoreReport, render_score_page
from scipy import ndimage
from scipy.stats import wasserstein_distance

from celebahq_tools.errors import InputError


def make_images(count, seed, blur=0.8, side=32):
    noise = np.random.default_rng(seed).normal(size=(count, 3, side, side))
    smooth = ndimage.gaussian_filter(noise, (0, 0, blur, blur))
    return np.clip(smooth / smooth.std() * 45 + 128, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def scored():
    metric = SlicedWasserstein(MetricSettings(workers=1, seed=2))
    metric.update_reals(make_images(20, 1))
    metric.update_fakes(make_images(20, 2, blur=1.1))
    return metric, metric.compute()


def test_the_distances_along_the_directions_average_to_the_score(scored):
    metric, result = scored
    for level in metric.describe_projections():
        assert level.distances.shape == (512,)
        assert level.distances.mean() == pytest.approx(result.values[f"SWDx1e3_{level.level}"], rel=1e-12)
        median, largest = level.chosen
        assert largest.distance == level.distances.max()
        assert np.sum(level.distances < median.distance) == 256


def test_the_histograms_are_those_of_the_sets_that_were_compared(scored):
    # Their Wasserstein distance, from scipy, is the score's own, to the width of a bin.
    for level in scored[0].describe_projections():
        for sets in level.chosen:
            centres = (sets.edges[:-1] + sets.edges[1:]) / 2
            assert sets.reals.sum() == pytest.approx(1)
            assert sets.fakes.sum() == pytest.approx(1)
            found = 1e3 * wasserstein_distance(centres, centres, sets.reals, sets.fakes)
            assert found == pytest.approx(sets.distance, abs=1e3 * np.diff(sets.edges)[0] / 4 + 0.1 * sets.distance)


def test_a_direction_is_shown_as_the_neighbourhood_it_responds_to_most(scored):
    # The descriptor of a patch itself, flattened in the order channel, column, row, is the direction.
    (sets, _) = scored[0].describe_projections()[0].chosen
    assert sets.patch.shape == (7, 7, 3)
    assert np.linalg.norm(sets.patch) == pytest.approx(1, abs=1e-5)
    directions, _ = plan_comparisons(scored[0].settings.seed, 0, np.arange(1))[0]
    assert (np.abs(directions - sets.patch.transpose(2, 1, 0).reshape(-1)).max(axis=1) == 0).sum() == 1


def test_projections_need_a_score_of_these_images():
    metric = SlicedWasserstein(MetricSettings(workers=1, floor=False))
    metric.update_reals(make_images(2, 1))
    metric.update_fakes(make_images(2, 2))
    with pytest.raises(InputError, match="after compute"):
        metric.describe_projections()
    metric.compute()
    metric.update_fakes(make_images(2, 3))
    with pytest.raises(InputError, match="after compute"):
        metric.describe_projections()


def test_images_without_any_variation_have_a_page_too():
    metric = SlicedWasserstein(MetricSettings(workers=1, floor=False))
    metric.update_reals(np.full((2, 3, 16, 16), 9, np.uint8))
    metric.update_fakes(np.full((2, 3, 16, 16), 9, np.uint8))
    result = metric.compute()
    html = render_score_page(ScoreReport([result], "a", "b", 0, metric.describe_projections()))
    assert "Level 16" in html


def make_result(value, error, *, metric="swd", name="SWDx1e3_avg", count=64, suffix="_se_images"):
    errors = {} if error is None else {f"{name}{suffix}": error}
    return MetricResult(metric, {name: value}, count, errors=errors)


def make_earlier(result, tmp_path, **changes):
    return EarlierScore(tmp_path / "then.json", "reals", "old fakes", 0, {result.metric: result.to_dict()} | changes)


@pytest.mark.parametrize(
    ("then", "now", "error", "verdict"),
    [
        (20.0, 10.0, 1.0, "better"),
        (10.0, 20.0, 1.0, "worse"),
        # Two errors of 1 make one of 1.41, and twice that is 2.83.
        (10.0, 12.8, 1.0, "within the noise"),
        (10.0, 12.9, 1.0, "worse"),
        (10.0, 10.0, None, "the same"),
        (10.0, 1.0, None, "noise not known"),
    ],
)
def test_a_change_is_judged_by_the_errors_of_both_scores(tmp_path, then, now, error, verdict):
    earlier = make_earlier(make_result(then, error), tmp_path)
    (change,) = list_changes([make_result(now, error)], earlier)
    assert (change.before, change.now, change.verdict) == (then, now, verdict)


def test_more_is_better_for_coverage_and_directions_alone_are_not_noise(tmp_path):
    now = make_result(0.9, 0.01, metric="prdc", name="coverage", suffix="_se")
    (change,) = list_changes(
        [now], make_earlier(make_result(0.5, 0.01, metric="prdc", name="coverage", suffix="_se"), tmp_path)
    )
    assert change.verdict == "better"
    only = make_result(10.0, 0.01, suffix="_se_directions")
    (change,) = list_changes([only], make_earlier(make_result(20.0, 0.01, suffix="_se_directions"), tmp_path))
    assert change.verdict == "noise not known"


def test_what_makes_two_scores_hard_to_compare_is_said(tmp_path):
    earlier = make_earlier(make_result(1.0, 1.0, count=32), tmp_path)
    results = [make_result(1.0, 1.0), make_result(1.0, None, metric="fid", name="fid")]
    said = " ".join(list_differences(results, earlier, reals="other reals", seed=5))
    for expected in ("reals differ", "seeds differ", "then of 32 images, now of 64", "fid was not in"):
        assert expected in said
    assert list_differences(results[:1], make_earlier(results[0], tmp_path), reals="reals", seed=0) == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"metrics": 3}', '{"metrics": {"swd": {"values": null}}}', "\x00"])
def test_what_is_no_report_is_refused_as_an_earlier_score(tmp_path, text):
    (tmp_path / "then.json").write_text(text)
    with pytest.raises(InputError, match="swd score --json"):
        read_earlier(tmp_path / "then.json")


def test_an_earlier_report_of_odd_values_is_read_without_them(tmp_path, scored):
    metrics = {"swd": {"values": {"SWDx1e3_16": "high", "SWDx1e3_32": None}, "errors": 3, "num_images": "many"}}
    (tmp_path / "then.json").write_text(json.dumps({"metrics": metrics, "seed": "x"}))
    earlier = read_earlier(tmp_path / "then.json")
    assert list_changes([scored[1]], earlier) == []
    html = render_score_page(ScoreReport([scored[1]], "a", "b", 0, earlier=earlier))
    assert "has none of these values" in html


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    np.save(folder / "reals.npy", make_images(40, 1))
    np.save(folder / "<img src=x onerror=alert(1)>.npy", make_images(20, 2, blur=1.1))
    return folder


def test_the_command_makes_a_page_with_levels_projections_images_and_changes(sets, tmp_path):
    reals, fakes = str(sets / "reals.npy"), str(sets / "<img src=x onerror=alert(1)>.npy")
    common = ["score", reals, fakes, "--num-images", "20", "--workers", "1"]
    page, then = tmp_path / "score.html", tmp_path / "then.json"
    assert CliRunner().invoke(main, [*common, "--json", str(then)]).exit_code == 0
    done = CliRunner().invoke(main, [*common, "--report", str(page), "--against", str(then)])
    assert done.exit_code == 0, done.output
    assert f"{page} (" in done.output
    html = page.read_text(encoding="utf-8")
    values = json.loads(then.read_text())["metrics"]["swd"]["values"]
    for name, value in values.items():
        assert f"{value:.2f}" in html, name
    assert re.findall(r"Level (\d+): ", html) == ["32", "16"]
    assert html.count("the same</span>") == len(values)
    assert html.count("16 images of ") == 2
    assert "<img src=x" not in html
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', html)


def test_the_command_makes_a_page_from_saved_reals_with_the_images_it_has(sets, tmp_path):
    stats, page = str(tmp_path / "reals.stats"), tmp_path / "score.html"
    fakes = str(sets / "<img src=x onerror=alert(1)>.npy")
    common = ["--num-images", "20", "--workers", "1"]
    assert CliRunner().invoke(main, ["stats", str(sets / "reals.npy"), "--out", stats, *common]).exit_code == 0
    done = CliRunner().invoke(main, ["score", stats, fakes, *common, "--report", str(page)])
    assert done.exit_code == 0, done.output
    assert page.read_text(encoding="utf-8").count("16 images of ") == 1


def test_the_command_says_what_is_wrong_before_it_works(sets, tmp_path):
    common = ["score", str(sets / "reals.npy"), str(sets / "reals.npy"), "--num-images", "20"]
    done = CliRunner().invoke(main, [*common, "--against", "then.json"])
    assert done.exit_code == 2
    assert "--report" in done.output
    done = CliRunner().invoke(
        main, [*common, "--report", str(tmp_path / "x.html"), "--against", str(tmp_path / "no.json")]
    )
    assert done.exit_code == 1
    assert "cannot read the earlier score" in done.output
    assert not (tmp_path / "x.html").exists()
