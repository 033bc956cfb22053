"""Numbers of the original authors' programs: pyramids, descriptors, distances and MS-SSIM.

Tolerances: the original worked in float32 with sums in another order than ours.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gan_metrics.descriptors import extract_descriptors, normalise_descriptors
from gan_metrics.ms_ssim import compare_scale, compute_ms_ssim
from gan_metrics.projection import sliced_wasserstein
from gan_metrics.pyramid import decompose_image, laplacian_pyramid

FOLDER = Path(__file__).parent / "swd"
EXPECTED = json.loads((FOLDER / "expected.json").read_text())
LEVELS = range(4)


@pytest.fixture(scope="module")
def images() -> dict[str, np.ndarray]:
    return dict(np.load(FOLDER / "images8.npz"))


@pytest.fixture(scope="module")
def descriptors(images: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Ours, taken at the places the original took."""
    found = {}
    for letter, name in (("A", "real"), ("B", "fake")):
        pyramids = [decompose_image(image.transpose(1, 2, 0)) for image in images[name]]
        for level in LEVELS:
            places = images[f"centres_{letter}{level}"]
            found[f"{letter}{level}"] = np.concatenate(
                [
                    extract_descriptors(pyramid[level], places[places[:, 0] == index, 1:].astype(np.int64))
                    for index, pyramid in enumerate(pyramids)
                ]
            )
    return found


def noisy(images: np.ndarray) -> np.ndarray:
    shape = (len(images), 128, 128, 3)
    added = images.transpose(0, 2, 3, 1) + np.random.RandomState(5).normal(0, 10, shape)
    return np.clip(np.rint(added), 0, 255).astype(np.uint8).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("level", LEVELS)
def test_pyramid_levels_equal_the_originals(images: dict[str, np.ndarray], level: int) -> None:
    expected = np.load(FOLDER / "pyramid2.npz")[f"level{level}"]
    np.testing.assert_allclose(laplacian_pyramid(images["real"][:2])[level], expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("key", [f"{letter}{level}" for letter in "AB" for level in LEVELS])
def test_descriptors_and_their_normalisation_equal_the_originals(descriptors: dict[str, np.ndarray], key: str) -> None:
    expected: Any = np.load(FOLDER / "descriptors_every32.npz")
    np.testing.assert_allclose(descriptors[key][::32], expected[f"raw_{key}"], rtol=0, atol=1e-3)
    # 1e-4 of the standard deviation, which is 1.
    normalised = normalise_descriptors(descriptors[key])[::32]
    np.testing.assert_allclose(normalised, expected[f"normalised_{key}"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("level", LEVELS)
def test_distances_along_the_originals_directions_equal_the_originals(
    descriptors: dict[str, np.ndarray], level: int
) -> None:
    pair = np.load(FOLDER / f"directions_levels{level // 2 * 2}{level // 2 * 2 + 1}.npy")
    a, b = (normalise_descriptors(descriptors[f"{letter}{level}"]) for letter in "AB")
    distance = sliced_wasserstein(a, b, pair[level % 2].transpose(0, 2, 1))
    assert distance == pytest.approx(EXPECTED["distance_per_level"][level], rel=1e-4)


def test_ms_ssim_of_pairs_equals_the_originals(images: dict[str, np.ndarray]) -> None:
    real = images["real"]
    found = [compute_ms_ssim(real[index], real[index + 1]) for index in range(0, 8, 2)]
    assert found == pytest.approx(EXPECTED["ms_ssim_pairs_of_first_8"], abs=1e-5)


def test_ms_ssim_of_noisy_images_equals_the_originals(images: dict[str, np.ndarray]) -> None:
    found = [compute_ms_ssim(a, b) for a, b in zip(images["real"], noisy(images["real"]), strict=True)]
    assert found == pytest.approx(EXPECTED["ms_ssim_noisy_vs_clean_first_8"], abs=1e-5)


def test_ssim_and_contrast_of_one_scale_equal_the_originals(images: dict[str, np.ndarray]) -> None:
    clean = images["real"][:4]
    pairs = zip(clean, noisy(images["real"])[:4], strict=True)
    centred = [[image.transpose(1, 2, 0).astype(np.float32) - 128 for image in pair] for pair in pairs]
    found = np.array([compare_scale(*pair) for pair in centred])
    np.testing.assert_allclose(found[:, 0], EXPECTED["ssim_level0_first_4"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(found[:, 1], EXPECTED["cs_level0_first_4"], rtol=0, atol=1e-5)
