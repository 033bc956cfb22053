"""The pages of a run and of a score in a real browser: quiet, offline, by keyboard, in the dark, on a phone."""

import json
import math

import numpy as np
import pytest
from gan_metrics import MetricSettings, SlicedWasserstein
from gan_metrics.earlier_score import EarlierScore
from gan_metrics.score_page import ScoreReport, render_score_page
from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from pggan_core.run_page import render_run_page


@pytest.fixture(scope="module")
def run_page(tmp_path_factory):
    """The page of a run with five grids and a hostile name in its settings."""
    run = tmp_path_factory.mktemp("runs") / "<b>run"
    (run / "samples").mkdir(parents=True)
    rng = np.random.default_rng(0)
    lines = []
    for step in range(5):
        images = step * 1000
        pixels = rng.integers(0, 256, (32, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(run / "samples" / f"fakes-{images:011d}.png")
        lines.append({"event": "score", "images": images, "SWDx1e3_16": 200 - 9 * step, "SWDx1e3_avg": 200 - 9 * step})
        tick = {"resolution": 4 << step // 3, "level": step // 3, "alpha": 1.0, "seconds": 10.0 * step, "skipped": 0}
        if step:
            tick |= {"g_loss": math.sin(step), "d_loss": -step, "penalty": 0.1, "real_score": 1, "fake_score": -1}
            lines.append(
                {"event": "tick", "images": images, "batch": 8, "lr": 1e-3, "images_per_second": 99.0 - step} | tick
            )
    Image.fromarray(pixels).save(run / "samples" / "reals.png")
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (run / "config.json").write_text(json.dumps({"data": "<img src='https://example.org/x.png'>", "kimg": 8.0}))
    path = run / "report.html"
    path.write_text(render_run_page(run), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def score_page(tmp_path_factory):
    """The page of a score with projections, previews, unreadable files and an earlier score."""
    reals, fakes = np.random.default_rng(1).integers(0, 256, (2, 20, 3, 32, 32), dtype=np.uint8)
    metric = SlicedWasserstein(MetricSettings(workers=1))
    metric.update_reals(reals)
    metric.update_fakes(fakes // 2)
    result = metric.compute()
    path = tmp_path_factory.mktemp("scores") / "score.html"
    earlier = EarlierScore(path, "reals", "old", 0, {"swd": {"values": {"SWDx1e3_16": 999.0}}})
    previews = {"reals": reals, "fakes": fakes}
    skipped = {"fakes": {"<script>alert(1)</script>.png": "not an image"}}
    report = ScoreReport([result], "reals", "fakes", 0, metric.describe_projections(), previews, skipped, earlier)
    path.write_text(render_score_page(report), encoding="utf-8")
    return path


@pytest.fixture(scope="module", params=["run_page", "score_page"])
def page(request):
    return request.getfixturevalue(request.param)


def test_the_page_loads_without_a_complaint_and_asks_for_nothing(browser, page):
    browser.open(page)
    assert browser.read_console() == []
    assert browser.list_requests() == [page.as_uri()]
    assert browser.run("return [...document.images].filter((i) => i.loading !== 'lazy' && !i.naturalWidth).length") == 0


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_all_text_stands_out_from_what_is_behind_it(browser, page, dark):
    browser.open(page, dark=dark)
    browser.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert browser.find_pale_text() == []


def test_pale_text_would_be_found(browser, run_page):
    browser.open(run_page)
    browser.run("document.querySelector('h1').style.color = '#999'")
    assert [found for found in browser.find_pale_text() if "Training run" in found]


def test_the_page_fits_a_phone(browser, page):
    browser.open(page, width=360, height=740)
    assert not browser.is_too_wide()


def test_the_first_key_leads_to_the_content_and_the_next_to_the_menu(browser, page):
    browser.open(page)
    body = browser.driver.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.TAB)
    assert browser.driver.switch_to.active_element.get_attribute("class") == "skip"
    browser.driver.switch_to.active_element.send_keys(Keys.TAB)
    assert browser.driver.switch_to.active_element.get_attribute("href").endswith("#overview")


def find_shown(browser):
    return browser.run("return [...document.querySelectorAll('#slides-samples figure')].findIndex((f) => !f.hidden)")


def test_the_samples_move_in_time_by_keyboard_and_by_the_play_button(browser, run_page):
    browser.open(run_page)
    slider = browser.driver.find_element(By.CSS_SELECTOR, "#slides-samples input[type=range]")
    assert find_shown(browser) == 4
    slider.send_keys(Keys.ARROW_LEFT)
    assert find_shown(browser) == 3
    slider.send_keys(Keys.HOME)
    assert find_shown(browser) == 0
    assert slider.get_attribute("aria-valuetext") == "0 thousand images"
    button = browser.driver.find_element(By.CSS_SELECTOR, "#slides-samples .play")
    button.send_keys(Keys.ENTER)
    assert button.text == "Pause"
    WebDriverWait(browser.driver, 60).until(lambda _: button.text == "Play")
    assert find_shown(browser) == 4


def test_the_numbers_of_the_scores_sort(browser, run_page):
    browser.open(run_page)
    browser.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    browser.driver.find_element(By.CSS_SELECTOR, "#scores th:nth-child(2) button").send_keys(Keys.ENTER)
    column = "return [...document.querySelectorAll('#scores td:nth-child(2)')].map((cell) => Number(cell.textContent))"
    falling = browser.run(column)
    browser.driver.find_element(By.CSS_SELECTOR, "#scores th:nth-child(2) button").send_keys(Keys.ENTER)
    assert falling == sorted(falling, reverse=True)
    assert browser.run(column) == falling[::-1]


def test_names_from_outside_only_show(browser, run_page):
    browser.open(run_page)
    assert "<b>run" in browser.driver.find_element(By.TAG_NAME, "h1").text
    assert browser.run("return document.querySelectorAll('h1 b, main img[src^=http]').length") == 0
