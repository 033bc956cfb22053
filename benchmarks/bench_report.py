"""Size of a report of many faces, and how long a browser takes to open it.

    python -m benchmarks.bench_report [FACES]

makes a dataset of that many faces (30,000) of 64 x 64 pixels, crops of real photographs at random places, sizes and
brightness, scores each, writes the report and opens it in headless Chromium five times.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from skimage import data

from celebahq_tools.rank.spectrum import COMPONENT_NAMES, score_spectrum
from celebahq_tools.report.build import write_report
from celebahq_tools.report.view import open_view
from celebahq_tools.source.samples import PORTRAITS
from celebahq_tools.store.manifest import manifest_path, write_manifest
from celebahq_tools.store.writer import create_dataset
from celebahq_tools.types import ItemRecord

SIDE = 64
RUNS = 5


def make_dataset(path: Path, count: int) -> None:
    """Write a dataset and its manifest: faces of the portraits and pieces of other photographs, each another crop."""
    rng = np.random.default_rng(0)
    portraits = [(np.asarray(one.load()), one.landmarks.mean(axis=0)) for one in PORTRAITS.values()]
    others = [data.chelsea(), data.coffee(), data.rocket()]
    records = []
    with create_dataset(path, height=SIDE, width=SIDE, attributes={"size": str(SIDE)}) as writer:
        for index in range(count):
            if index % 4:
                photo, middle = portraits[index % 2]
                side = int(rng.integers(110, 190))
                centre = middle + rng.normal(0, 9, 2)
            else:
                photo = others[int(rng.integers(len(others)))]
                side = int(rng.integers(80, 200))
                centre = rng.uniform(side / 2, np.array(photo.shape[1::-1]) - side / 2)
            x, y = (np.clip(centre - side / 2, 0, np.array(photo.shape[1::-1]) - side)).astype(int)
            face = cv2.resize(photo[y : y + side, x : x + side], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
            face = np.clip(face * rng.uniform(0.7, 1.2) + rng.normal(0, rng.uniform(0, 6), face.shape), 0, 255)
            face = face.astype(np.uint8)[:, :: -1 if rng.random() < 0.5 else 1]
            face = np.ascontiguousarray(face)
            score = score_spectrum(face)
            writer.append(face)
            records.append(
                ItemRecord(
                    index,
                    f"{index + 1:06d}.jpg",
                    f"{index:064x}",
                    quad=np.array([(x, y), (x, y + side), (x + side, y + side), (x + side, y)], np.float64),
                    zoom=SIDE / side,
                    photo_fraction=float(rng.uniform(0.6, 1.0)),
                    score=score.value,
                    components=score.components,
                )
            )
    positions = {index: index for index in range(count)}
    write_manifest(manifest_path(path), records, dataset_index=positions, components=COMPONENT_NAMES)


def time_opening(page: Path) -> dict[str, float]:
    """Return seconds from the start of the navigation to the load event, and until the sheet's faces are painted."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or "chromium"
    profile = tempfile.mkdtemp()
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"):
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={profile}")
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        driver.set_window_size(1280, 900)
        driver.get(page.as_uri())
        loaded = driver.execute_script("return performance.getEntriesByType('navigation')[0].loadEventEnd / 1000")
        driver.set_script_timeout(60)
        painted = driver.execute_async_script(
            "const done = arguments[0]; document.getElementById('all').scrollIntoView({behavior: 'instant'});"
            "const wait = () => document.querySelectorAll('.canvas .face').length"
            " ? requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() / 1000)))"
            " : setTimeout(wait, 5); wait();"
        )
        sorting = driver.execute_script(
            "const t = performance.now(); const f = document.querySelector('.controls').elements.sort;"
            "f.value = 'zoom'; f.dispatchEvent(new Event('input', {bubbles: true}));"
            "document.body.offsetHeight; return (performance.now() - t) / 1000"
        )
        return {"load event": loaded, "sheet painted": painted, "sort of all faces": sorting}
    finally:
        driver.quit()
        shutil.rmtree(profile, ignore_errors=True)


def main() -> None:
    """Print the figures."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 30_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_dataset(folder / "faces.h5", count)
        started = time.perf_counter()
        write_report(open_view(folder / "faces.h5"), folder / "report.html")
        print(f"{count:,} faces of {SIDE} x {SIDE}: written in {time.perf_counter() - started:.0f} s")
        print(f"size {(folder / 'report.html').stat().st_size / 1e6:.1f} MB")
        runs = [time_opening(folder / "report.html") for _ in range(RUNS)]
        for what in runs[0]:
            figures = [run[what] for run in runs]
            print(
                f"{what}: median {statistics.median(figures):.2f} s of {RUNS}, {min(figures):.2f} to {max(figures):.2f}"
            )


if __name__ == "__main__":
    main()
