"""`celebahq serve` in a real browser: a build watched while it runs, faces reviewed by keyboard, a run followed."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.keys import Keys

from celebahq_tools.errors import StoreError
from celebahq_tools.source.samples import write_sample_folder
from celebahq_tools.store.journal import Journal
from celebahq_tools.store.reviews import Reviews

CELEBAHQ = Path(sys.executable).with_name("celebahq")
QUICK = ("--size", "128", "--dejpeg", "none", "--sr", "lanczos", "--no-report", "--workers", "1")


def start_server(folder):
    """Return the process and the address it prints."""
    command = [CELEBAHQ, "serve", str(folder), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in process.stdout:
        if line.startswith("Open: "):
            return process, line.removeprefix("Open: ").strip()
    raise AssertionError("the server ended before it printed its address")


def stop_server(process):
    process.send_signal(signal.SIGINT)
    assert process.wait(60) in (0, 130)


def count_rows(journal):
    try:
        with Journal.open_readonly(journal) as opened:
            return opened.count_done()
    except StoreError:  # the build has only begun
        return 0


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A work folder of a build that was halted when some of its faces were made, and the build."""
    folder = tmp_path_factory.mktemp("live")
    write_sample_folder(folder / "celeba")
    command = [CELEBAHQ, "build", "--in", folder / "celeba", "--out", folder / "x.h5", "--keep", "20"]
    command += ["--work", folder / "work", *QUICK]
    build = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while count_rows(folder / "work" / "journal.sqlite") < 2:
        assert build.poll() is None
        time.sleep(0.01)
    os.kill(build.pid, signal.SIGSTOP)  # one worker: the whole build stands still
    yield folder, build, command
    if build.poll() is None:
        build.kill()
        build.wait()


@pytest.fixture(scope="module")
def live(work, browser):
    """The served page of the halted build."""
    process, address = start_server(work[0] / "work")
    browser.open(address)
    browser.wait("return document.documentElement.dataset.live === 'on'")
    yield browser
    stop_server(process)


COUNT = "return document.querySelectorAll('.canvas .face').length"
TILES = (
    "return Object.fromEntries(Array.from(document.querySelectorAll('.tiles li'),"
    " node => [node.children[1].textContent, node.children[0].textContent]))"
)


def select(index):
    return f'.canvas .face[data-index="{index}"]'


def test_the_page_follows_a_real_build_without_a_reload(work, live):
    _, build, _ = work
    halted = live.wait(COUNT)
    assert halted < 12
    assert live.run(TILES)["found"] == "14"
    assert int(live.run(TILES)["not worked on yet"]) > 0
    live.run("window.untouched = true")
    os.kill(build.pid, signal.SIGCONT)
    live.wait(f"{COUNT} === 12")
    assert build.wait(120) == 0
    live.wait(lambda: live.run(TILES).get("kept") == "12")
    assert live.run(TILES)["rejected"] == "2"
    live.wait("return document.querySelectorAll('#rejected tbody tr').length === 2")
    live.wait("return document.querySelectorAll('#duplicates .pair').length > 0")
    pictures = "return Array.from(document.querySelectorAll('#duplicates img'), node => node.src)"
    assert all("/thumb/" in address for address in live.run(pictures))
    assert live.run("return window.untouched")
    assert live.read_console() == []
    host = live.run("return location.host")
    assert all(address.startswith(f"http://{host}/") for address in live.list_requests())
    assert "token" not in live.run("return location.href")


def test_faces_are_reviewed_by_keyboard_and_verdicts_undone(work, live):
    reviews = Reviews(work[0] / "work" / "journal.sqlite")
    order = live.run("return page.gallery.order.map(row => row.index)")
    live.run("document.querySelector('.canvas .face[tabindex=\"0\"]').focus()")
    live.press("r", "a", "r", "u")
    live.wait(lambda: reviews.verdicts() == {order[0]: "refused", order[1]: "accepted"})
    live.wait("return document.querySelector('.review output').textContent.startsWith('Undone')")
    classes = {index: live.find(select(index)).get_attribute("class") for index in order[:3]}
    assert "refused" in classes[order[0]]
    assert "accepted" in classes[order[1]]
    assert not {"refused", "accepted"} & set(classes[order[2]].split())
    assert live.find(".review .counts").text == "1 accepted, 1 rejected of 12"
    live.click(select(order[4]))
    live.wait("return document.querySelector('dialog .explained') !== null")
    live.press("r")
    live.wait(lambda: reviews.verdicts().get(order[4]) == "refused")
    live.wait(lambda: str(live.run("return page.explainer.row.index")) == str(order[5]))
    live.press("u", Keys.ESCAPE)
    live.wait(lambda: order[4] not in reviews.verdicts())
    live.driver.refresh()
    live.wait(f"{COUNT} === 12")
    live.wait(
        f"return document.querySelector('.canvas .face[data-index=\"{order[0]}\"]').classList.contains('refused')"
    )


def test_an_opened_face_gets_its_steps(live):
    live.click(".canvas .face")
    live.wait("return document.querySelector('dialog .strip') !== null")
    steps = [node.text.split("\n")[0] for node in live.find_all("dialog .strip figcaption")]
    assert steps[0] == "Input"
    assert steps[-1] == "Final"
    live.press(Keys.ESCAPE)
    assert live.read_console() == []


def test_a_build_honours_the_verdicts(work, live):
    folder, _, command = work
    verdicts = Reviews(folder / "work" / "journal.sqlite").verdicts()
    refused = next(index for index, verdict in verdicts.items() if verdict == "refused")
    accepted = next(index for index, verdict in verdicts.items() if verdict == "accepted")
    again = [*command, "--overwrite", "--keep", "1"]
    subprocess.run(list(map(str, again)), check=True, capture_output=True, timeout=300)
    with (folder / "x.manifest.csv").open(newline="") as stream:
        rows = {int(row["index"]): row for row in csv.DictReader(stream)}
    assert [index for index, row in rows.items() if row["status"] == "kept"] == [accepted]
    assert (rows[refused]["status"], rows[refused]["reason"]) == ("ranked_out", "review.rejected")


def test_without_the_token_the_page_is_read_only(work, browser, live):
    address = live.run("return location.origin")
    browser.driver.delete_all_cookies()
    browser.open(address)
    browser.wait(f"{COUNT} > 0")
    assert "Read only" in browser.find(".review").text
    before = Reviews(work[0] / "work" / "journal.sqlite").verdicts()
    browser.run("document.querySelector('.canvas .face').focus()")
    browser.press("r", "a", "u")
    status = browser.run(
        "return fetch('/api/review', {method: 'POST', headers: {'content-type': 'application/json'},"
        ' body: \'{"index": 0, "verdict": "refused"}\'}).then(answer => answer.status)'
    )
    assert status == 401
    assert Reviews(work[0] / "work" / "journal.sqlite").verdicts() == before


def test_the_page_of_a_run_follows_it(tmp_path, browser):
    run = tmp_path / "run"
    (run / "samples").mkdir(parents=True)

    def add(images):
        pixels = np.full((32, 64, 3), images // 100, np.uint8)
        Image.fromarray(pixels).save(run / "samples" / f"fakes-{images:011d}.png")
        tick = {"event": "tick", "images": images, "batch": 8, "lr": 1e-3, "images_per_second": 9.0, "resolution": 4}
        tick |= {"level": 0, "alpha": 1.0, "seconds": images / 9, "skipped": 0, "g_loss": 1.0, "d_loss": -1.0}
        tick |= {"penalty": 0.1, "real_score": 1, "fake_score": -1}
        with (run / "log.jsonl").open("a") as stream:
            stream.write(json.dumps(tick) + "\n")

    for images in (0, 1000):
        add(images)
    (run / "config.json").write_text(json.dumps({"data": "x.h5", "kimg": 8.0}))
    process, address = start_server(run)
    browser.open(address)
    browser.wait("return document.documentElement.dataset.live === 'on'")
    frames = "return document.querySelectorAll('.slides .frames > figure').length"
    assert browser.run(frames) == 2
    browser.run("window.untouched = true")
    add(2000)
    browser.wait(f"{frames} === 3")
    browser.wait("return document.querySelectorAll('.slides .play').length === 1")
    assert browser.run("return window.untouched")
    assert browser.read_console() == []
    stop_server(process)
