"""The report of a dataset in a real browser: quiet, offline, by keyboard, in the dark, on a phone."""

import subprocess
import sys
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from celebahq_tools.source.samples import write_sample_folder

CELEBAHQ = Path(sys.executable).with_name("celebahq")
QUICK = ("--size", "128", "--dejpeg", "none", "--sr", "lanczos")
HOSTILE = "<img_src=x_onerror=document.title=1>\u202e.jpg"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A finished build with its report, of the sample photographs; one of them has a hostile name."""
    folder = tmp_path_factory.mktemp("report")
    photos = folder / "celeba"
    write_sample_folder(photos)
    (photos / "img_celeba" / "000003.jpg").rename(photos / "img_celeba" / HOSTILE)
    table = photos / "Anno" / "list_landmarks_celeba.txt"
    table.write_text(table.read_text().replace("000003.jpg", HOSTILE))
    command = [CELEBAHQ, "build", "--in", photos, "--out", folder / "faces.h5", "--keep", "10", *QUICK]
    subprocess.run(command, check=True, capture_output=True, timeout=500)
    return folder


@pytest.fixture(scope="module")
def page(built, browser):
    """The build's report, opened."""
    browser.open(built / "faces.report.html")
    browser.wait("return document.querySelectorAll('.canvas .face').length > 0")
    return browser


def shown_scores(page):
    return [float(node.text) for node in sorted(page.find_all(".canvas .face .badge"), key=place)]


def place(node):
    return node.location["y"], node.location["x"]


def choose(page, name, value):
    page.run(
        "const f = document.querySelector('.controls').elements[arguments[0]]; f.value = arguments[1];"
        "f.dispatchEvent(new Event('input', {bubbles: true}));",
        name,
        value,
    )


def test_it_opens_without_a_message_and_asks_the_network_for_nothing(built, page):
    assert page.read_console() == []
    assert page.list_requests() == [(built / "faces.report.html").as_uri()]
    assert page.driver.title == "faces.h5"


def test_hostile_names_show_and_do_nothing(page):
    assert page.driver.title == "faces.h5"
    assert page.run("return document.querySelectorAll('img[src=x], [onerror]').length") == 0
    labels = [node.get_attribute("aria-label") for node in page.find_all(".canvas .face")]
    assert [label for label in labels if label.startswith("<img_src=x") and "\\u202e" in label]


def test_faces_sort_and_filter(page):
    choose(page, "order", "down")
    down = shown_scores(page)
    assert len(down) >= 10
    assert down == sorted(down, reverse=True)
    choose(page, "order", "up")
    assert shown_scores(page) == sorted(down)
    choose(page, "least", str(down[4] - 0.0006))  # badges are rounded
    assert shown_scores(page) == sorted(score for score in down if score >= down[4])
    choose(page, "least", "")
    choose(page, "text", "00001")
    assert page.find(".controls output").text == f"{len(shown_scores(page))} of {len(down)} faces"
    assert all("00001" in node.get_attribute("aria-label") for node in page.find_all(".canvas .face"))
    choose(page, "text", "")
    choose(page, "order", "down")
    table = "#rejected table"
    page.click(f"{table} th:nth-child(2) button")
    names = [node.text for node in page.find_all(f"{table} tbody td:nth-child(2)")]
    assert names == sorted(names)
    page.click(f"{table} th:nth-child(2) button")
    assert [node.text for node in page.find_all(f"{table} tbody td:nth-child(2)")] == names[::-1]
    page.find("#rejected .search input").send_keys("truncated")
    assert len([row for row in page.find_all(f"{table} tbody tr") if row.is_displayed()]) == 1


def test_score_parts_show_on_keyboard_focus(page):
    face = page.find('[data-group="best"] .face')
    parts = face.find_element("css selector", ".parts")
    page.run("document.activeElement.blur()")
    assert not parts.is_displayed()
    page.run("arguments[0].focus()", face)
    assert parts.is_displayed()
    assert "breadth" in parts.text


def test_faces_open_and_close_by_keyboard(page):
    page.run("document.querySelector('.canvas .face[tabindex=\"0\"]').focus()")
    first = page.run("return document.activeElement.dataset.index")
    page.press(Keys.ARROW_RIGHT)
    second = page.run("return document.activeElement.dataset.index")
    assert second != first
    page.press(Keys.ENTER)
    page.wait("return document.querySelector('dialog .explained') !== null")
    title = page.find("#face-title").text
    page.press(Keys.ARROW_LEFT)
    page.wait(lambda: page.find("#face-title").text != title)
    page.press(Keys.ESCAPE)
    page.wait("return !document.querySelector('dialog').open")
    assert page.run("return document.activeElement.dataset.index") == second


def test_an_opened_face_shows_its_steps_spectrum_and_profile(page):
    index = page.run("return document.querySelector('[data-group=best] .face').dataset.index")
    page.click("[data-group=best] .face")
    page.wait("return document.querySelector('dialog .strip') !== null")
    steps = [node.text.split("\n")[0] for node in page.find_all("dialog .strip figcaption")]
    assert steps[0] == "Input"
    assert steps[-1] == "Final"
    loaded = "return Array.from(document.querySelectorAll('dialog img')).every(i => i.complete && i.naturalWidth > 0)"
    page.wait(loaded)
    assert len(page.find_all("dialog .profile svg path")) > 2
    assert page.find("dialog .portrait img").get_attribute("alt").startswith(f"Face {index} from")
    page.press(Keys.ESCAPE)
    assert page.read_console() == []


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_shows_it_without_scrolling_sideways(built, browser, dark):
    browser.open(built / "faces.report.html", width=390, height=800, dark=dark)
    browser.wait("return document.querySelectorAll('.canvas .face').length > 0")
    assert not browser.is_too_wide()
    assert browser.find_pale_text() == []
    browser.click(".faces .face")
    browser.wait("return document.querySelector('dialog .explained') !== null")
    assert browser.run("return document.querySelector('dialog').scrollWidth") <= 390
    background = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) < 200) == dark
