"""Unit tests of the pyramid, descriptors, projections and SlicedWasserstein."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import cv2
import gan_metrics.descriptor_store as descriptor_store
import numpy as np
import pytest
from gan_metrics import MetricSettings, SlicedWasserstein
from gan_metrics.descriptors import draw_centres, extract_descriptors, hash_image, normalise_descriptors
from gan_metrics.projection import draw_directions, sliced_wasserstein
from gan_metrics.pyramid import decompose_image, laplacian_pyramid, list_level_sizes, reconstruct_image
from scipy import ndimage
from scipy.stats import wasserstein_distance

from celebahq_tools.errors import ConfigError, InputError, ShapeError, StoreError

KERNEL = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256


def make_images(count: int, height: int = 32, width: int = 32, seed: int = 0, blur: float = 1.0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(count, 3, height, width))
    smooth = ndimage.gaussian_filter(noise, (0, 0, blur, blur))
    return np.clip(smooth / smooth.std() * 40 + 128, 0, 255).astype(np.uint8)


def score(reals: np.ndarray, fakes: np.ndarray, batch: int = 16, **settings: int) -> dict[str, float]:
    metric = SlicedWasserstein(MetricSettings(**{"workers": 1, "floor": False, **settings}))  # type: ignore[arg-type]
    for start in range(0, len(reals), batch):
        metric.update_reals(reals[start : start + batch])
    for start in range(0, len(fakes), batch):
        metric.update_fakes(fakes[start : start + batch])
    try:
        return dict(metric.compute().values)
    finally:
        metric.close()


@pytest.mark.parametrize(("height", "width"), [(32, 32), (128, 64), (45, 60), (33, 97), (16, 16)])
def test_pyramid_levels_equal_zero_insertion_and_convolution_in_float64(height: int, width: int) -> None:
    image = make_images(1, height, width)[0].transpose(1, 2, 0)
    current = image.astype(np.float64)
    for level, (h, w) in zip(decompose_image(image), list_level_sizes(height, width)[1:], strict=False):
        smaller = np.stack([ndimage.convolve(c, KERNEL, mode="mirror")[::2, ::2] for c in current.transpose(2, 0, 1)])
        assert smaller.shape[1:] == (h, w)
        # An odd side is expanded to the next even one and cut.
        spread = np.zeros((2 * h, 2 * w, 3))
        spread[::2, ::2] = smaller.transpose(1, 2, 0)
        expanded = np.stack([ndimage.convolve(c, 4 * KERNEL, mode="mirror") for c in spread.transpose(2, 0, 1)], axis=2)
        expanded = expanded[: current.shape[0], : current.shape[1]]
        np.testing.assert_allclose(level, current - expanded, rtol=0, atol=1e-3)
        current = smaller.transpose(1, 2, 0)
    np.testing.assert_allclose(decompose_image(image)[-1], current, rtol=0, atol=1e-3)


def test_pyramid_levels_equal_cv2() -> None:
    image = make_images(1, 64, 64)[0].transpose(1, 2, 0).astype(np.float32)
    levels = decompose_image(image)
    down = cv2.pyrDown(image)
    np.testing.assert_array_equal(levels[0], image - cv2.pyrUp(down))
    np.testing.assert_array_equal(levels[-1], cv2.pyrDown(down))


@pytest.mark.parametrize(("height", "width"), [(64, 64), (45, 70)])
def test_levels_add_up_to_the_image(height: int, width: int) -> None:
    image = make_images(1, height, width)[0].transpose(1, 2, 0)
    np.testing.assert_allclose(reconstruct_image(decompose_image(image)), image, rtol=0, atol=1e-3)


def test_level_sizes_end_at_16_and_round_up() -> None:
    assert [size[0] for size in list_level_sizes(1024, 1024)] == [1024, 512, 256, 128, 64, 32, 16]
    assert list_level_sizes(45, 70) == [(45, 70), (23, 35)]
    with pytest.raises(ShapeError, match="at least 16"):
        list_level_sizes(15, 64)


def test_neighbourhoods_follow_from_content_and_stay_inside() -> None:
    a, b = make_images(2)
    sizes = [(32, 32), (17, 40)]
    found = draw_centres(hash_image(a), 0, sizes)
    assert all(np.array_equal(x, y) for x, y in zip(found, draw_centres(hash_image(a.copy()), 0, sizes), strict=True))
    assert not np.array_equal(found[0], draw_centres(hash_image(b), 0, sizes)[0])
    assert not np.array_equal(found[0], draw_centres(hash_image(a), 1, sizes)[0])
    many = draw_centres(hash_image(a), 0, sizes, count=20000)
    for places, (height, width) in zip(many, sizes, strict=True):
        assert places.min(axis=0).tolist() == [3, 3]
        assert places.max(axis=0).tolist() == [height - 4, width - 4]
        rows = np.bincount(places[:, 0])[3:]
        # Counts of a uniform draw stay within five standard deviations.
        assert np.abs(rows - rows.mean()).max() < 5 * np.sqrt(rows.mean())


def test_descriptors_hold_channel_then_column_then_row() -> None:
    level = np.arange(20 * 22 * 3, dtype=np.float32).reshape(20, 22, 3)
    found = extract_descriptors(level, np.array([[10, 5]]))[0].reshape(3, 7, 7)
    np.testing.assert_array_equal(found, level[7:14, 2:9].transpose(2, 1, 0))
    with pytest.raises(ShapeError, match="leaves the level"):
        extract_descriptors(level, np.array([[2, 5]]))


def test_normalised_descriptors_have_mean_0_and_deviation_1_per_channel() -> None:
    raw = np.random.default_rng(0).normal(50, 20, (500, 147)).astype(np.float32)
    values = normalise_descriptors(raw).reshape(500, 3, 49).astype(np.float64)
    np.testing.assert_allclose(values.mean(axis=(0, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(values.std(axis=(0, 2)), 1, atol=1e-6)


def test_distance_equals_scipys_wasserstein_along_each_direction() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 700, 147)).astype(np.float32)
    b += 0.1
    directions = draw_directions(rng, dir_repeats=1, dirs_per_repeat=5)
    expected = np.mean([wasserstein_distance(a @ d, b @ d) for d in directions[0]])
    # Projections in float32.
    assert sliced_wasserstein(a, b, directions) == pytest.approx(expected, rel=1e-5)


def test_directions_are_unit_vectors_that_the_seed_decides() -> None:
    found = draw_directions(np.random.default_rng(3))
    assert found.shape == (4, 128, 147)
    np.testing.assert_allclose(np.linalg.norm(found, axis=2), 1, rtol=1e-6)
    np.testing.assert_array_equal(found, draw_directions(np.random.default_rng(3)))


def test_the_class_equals_the_plain_functions() -> None:
    reals, fakes = make_images(20, seed=1), make_images(20, seed=2, blur=1.5)
    found = score(reals, fakes, seed=7)
    for number, size in enumerate([32, 16]):
        sets = []
        for images in (reals, fakes):
            level = laplacian_pyramid(images)[number].transpose(0, 2, 3, 1)
            sizes = [(32, 32), (16, 16)]
            places = [draw_centres(hash_image(image), 7, sizes)[number] for image in images]
            taken = [extract_descriptors(picture, where) for picture, where in zip(level, places, strict=True)]
            sets.append(normalise_descriptors(np.concatenate(taken)))
        rng = np.random.Generator(np.random.Philox(key=[7, number]))
        expected = 1e3 * sliced_wasserstein(sets[0], sets[1], draw_directions(rng))
        # The class folds the normalisation into the directions.
        assert found[f"SWDx1e3_{size}"] == pytest.approx(expected, rel=1e-5)
    assert found["SWDx1e3_avg"] == pytest.approx((found["SWDx1e3_32"] + found["SWDx1e3_16"]) / 2)


def test_the_result_is_the_same_to_the_last_bit_however_it_is_computed(tmp_path: Path) -> None:
    reals, fakes = make_images(40, 48, 40, seed=1), make_images(40, 48, 40, seed=2, blur=1.4)
    expected = score(reals, fakes)
    shuffle = np.random.default_rng(0).permutation(40)
    assert score(reals, fakes, batch=7) == expected
    assert score(reals, fakes, workers=3) == expected
    assert score(reals[shuffle], fakes[::-1], batch=11, workers=2) == expected
    # 40 images need 32 kB of projections per direction and set, and 12 MB of descriptors: all but none are spilled.
    assert score(reals, fakes, max_memory=2 << 20) == expected


def test_counted_projections_are_the_same_to_the_last_bit_too() -> None:
    # 512 images: 65,536 descriptors a level, from where on projections are counted instead of sorted.
    reals, fakes = make_images(512, 16, seed=1), make_images(515, 16, seed=2, blur=1.4)[:512]
    expected = score(reals, fakes)
    shuffle = np.random.default_rng(0).permutation(512)
    assert score(reals[shuffle], fakes, workers=2, max_memory=40 << 20) == expected
    settings = MetricSettings(workers=1, floor=False, save_projections=True)
    saver, metric = SlicedWasserstein(settings), SlicedWasserstein(settings)
    saver.update_reals(reals)
    metric.load_reals(export(saver))
    metric.update_fakes(fakes)
    assert metric.compute().values == expected


def test_bounded_memory_spills_descriptors_to_a_file_that_close_removes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    metric = SlicedWasserstein(MetricSettings(workers=1, max_memory=2 << 20, floor=False))
    metric.update_reals(make_images(20, seed=1))
    metric.update_fakes(make_images(20, seed=2))
    assert metric.compute().details["spilled_images"] > 30
    # The file never has a name: even a killed program leaves nothing.
    assert list(tmp_path.iterdir()) == []
    metric.close()


def test_a_full_disk_is_said_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(descriptor_store.tempfile, "TemporaryFile", fail)
    with pytest.raises(InputError, match=r"No space left.*TMPDIR"):
        score(make_images(8), make_images(8), max_memory=1)


def test_memory_too_small_for_any_projection_is_said() -> None:
    with pytest.raises(ConfigError, match="--max-memory"):
        score(make_images(40), make_images(40), max_memory=100_000)


def test_equal_sets_score_exactly_zero_and_the_note_says_why() -> None:
    images = make_images(20)
    metric = SlicedWasserstein(MetricSettings(workers=1))
    metric.update_reals(images)
    metric.update_fakes(images[::-1])
    result = metric.compute()
    assert set(result.values.values()) == {0.0}
    assert "20 images stand in both sets, pixel for pixel" in result.notes


def test_repeated_fakes_are_counted_in_a_note() -> None:
    fakes = make_images(20, seed=5)
    fakes[3:9] = fakes[2]
    metric = SlicedWasserstein(MetricSettings(workers=1, floor=False))
    metric.update_reals(make_images(20))
    metric.update_fakes(fakes)
    result = metric.compute()
    assert "6 of 20 fakes repeat another fake pixel for pixel" in result.notes
    assert np.isfinite(list(result.values.values())).all()


def test_constant_images_give_a_finite_large_distance() -> None:
    constant = np.full((20, 3, 32, 32), 90, dtype=np.uint8)
    found = score(make_images(20), constant)
    # A constant set normalises to all zeros: the distance is the mean absolute projection of the reals.
    assert 300 < found["SWDx1e3_32"] < 1500
    assert set(score(constant, constant).values()) == {0.0}


def test_the_floor_has_the_same_size_when_there_are_twice_as_many_reals() -> None:
    reals = make_images(60, seed=1)
    metric = SlicedWasserstein(MetricSettings(workers=1, num_images=20))
    metric.update_reals(reals)
    metric.update_fakes(make_images(20, seed=2))
    result = metric.compute()
    assert (result.num_images, result.floor_num_images) == (20, 20)
    order = sorted(range(60), key=lambda index: hash_image(reals[index]))
    direct = score(reals[order[:20]], reals[order[20:40]])
    assert dict(result.floor) == direct


def test_the_floor_of_few_reals_comes_from_halves_and_says_so() -> None:
    metric = SlicedWasserstein(MetricSettings(workers=1))
    metric.update_reals(make_images(20, seed=1))
    metric.update_fakes(make_images(20, seed=2))
    result = metric.compute()
    assert result.floor_num_images == 10
    assert any("between two sets of 10 reals" in note for note in result.notes)


def test_the_standard_error_over_images_matches_independent_repetitions() -> None:
    """The spread of scores over fresh pairs of sets is what the error of one score should tell."""
    scores, errors = [], []
    for seed in range(16):
        metric = SlicedWasserstein(MetricSettings(workers=1, floor=False))
        # Images of unequal contrast, as photographs are, so that the choice of images matters.
        contrast = np.random.default_rng(seed).uniform(0.2, 1.5, (128, 1, 1, 1))
        images = (make_images(128, 16, 16, seed=seed) - 128.0) * contrast + 128
        images = np.clip(images, 0, 255).astype(np.uint8)
        metric.update_reals(images[:64])
        metric.update_fakes(255 - images[64:] // 2)
        result = metric.compute()
        scores.append(result.values["SWDx1e3_avg"])
        errors.append(result.errors["SWDx1e3_avg_se_images"])
    ratio = np.mean(errors) / np.std(scores, ddof=1)
    # Sixteen repetitions know the spread to about 20 %, and small groups overrate it.
    assert 0.6 < ratio < 2.5


def test_the_standard_error_over_directions_matches_other_seeds() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 2000, 147)).astype(np.float32)
    b *= rng.uniform(0.7, 1.4, 147).astype(np.float32)
    scores = [1e3 * sliced_wasserstein(a, b, draw_directions(np.random.default_rng(seed))) for seed in range(12)]
    single = [1e3 * sliced_wasserstein(a, b, direction[None]) for direction in draw_directions(rng)[0]]
    assert 0.5 < np.std(single, ddof=1) / np.sqrt(512) / np.std(scores, ddof=1) < 2


def export(metric: SlicedWasserstein) -> dict[str, np.ndarray]:
    return {
        name: np.concatenate(list(map(np.copy, array.pieces))) if hasattr(array, "pieces") else array
        for name, array in metric.export_reals().items()
    }


@pytest.mark.parametrize("projections", [False, True])
@pytest.mark.parametrize("count", [20, 21, 10])
def test_saved_reals_give_the_same_result_and_floor(projections: bool, count: int) -> None:
    # 21 images make groups of unequal size; 10 are fewer than were saved, whose projections are of no use then.
    reals, fakes = make_images(42, seed=1), make_images(count, seed=2)
    settings = MetricSettings(workers=1, num_images=count, floor=count != 10)
    direct, loader = SlicedWasserstein(settings), SlicedWasserstein(settings)
    saver = SlicedWasserstein(replace(settings, num_images=max(count, 20), save_projections=projections))
    direct.update_reals(reals)
    saver.update_reals(reals)
    exported = export(saver)
    assert ("projections_0" in exported) == projections
    loader.load_reals(exported)
    for metric in (direct, loader):
        metric.update_fakes(fakes)
    assert loader.compute() == direct.compute()


def test_saved_projections_are_used_and_not_made_anew() -> None:
    settings = MetricSettings(workers=1, num_images=20, floor=False)
    saver, loader = SlicedWasserstein(replace(settings, save_projections=True)), SlicedWasserstein(settings)
    saver.update_reals(make_images(20, seed=1))
    exported = export(saver)
    for name in exported:
        if name.startswith("descriptors"):
            exported[name] = np.full_like(exported[name], np.nan)
    loader.load_reals(exported)
    loader.update_fakes(make_images(20, seed=2))
    assert np.isfinite(loader.compute().values["SWDx1e3_avg"])


def test_saved_projections_of_another_number_are_refused() -> None:
    settings = MetricSettings(workers=1, num_images=20, floor=False, save_projections=True)
    saver = SlicedWasserstein(settings)
    saver.update_reals(make_images(20, seed=1))
    exported = export(saver)
    exported["projections_0"] = exported["projections_0"][:-1]
    with pytest.raises(StoreError, match="make the statistics again"):
        SlicedWasserstein(settings).load_reals(exported)


def test_saved_reals_cannot_be_added_to() -> None:
    saver, loader = SlicedWasserstein(MetricSettings(floor=False)), SlicedWasserstein()
    saver.update_reals(make_images(4))
    loader.load_reals(export(saver))
    with pytest.raises(InputError, match="cannot be added to"):
        loader.update_reals(make_images(4))


def test_saved_reals_of_another_seed_are_refused() -> None:
    saver = SlicedWasserstein(MetricSettings(seed=1, floor=False))
    saver.update_reals(make_images(4))
    exported = saver.export_reals()
    with pytest.raises(ConfigError, match="pass --seed 1"):
        SlicedWasserstein(MetricSettings(seed=2)).load_reals(exported)


def test_reals_stay_for_the_next_fakes() -> None:
    reals, first, second = (make_images(12, seed=seed) for seed in range(3))
    metric = SlicedWasserstein(MetricSettings(workers=1, floor=False))
    metric.update_reals(reals)
    metric.update_fakes(first)
    metric.compute()
    metric.clear_fakes()
    metric.update_fakes(second)
    assert dict(metric.compute().values) == score(reals, second)


def test_too_few_images_are_counted() -> None:
    with pytest.raises(InputError, match="reals: found 8 images, need 10; pass --num-images 8"):
        score(make_images(8), make_images(12), num_images=10)
    with pytest.raises(InputError, match="fakes: no images"):
        score(make_images(8), make_images(1)[:0])


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (np.zeros((2, 3, 32, 32), np.float32), "expected uint8"),
        (np.full((2, 3, 32, 32), np.nan), "expected uint8"),
        (np.zeros((2, 1, 32, 32), np.uint8), r"expected \(N, 3, H, W\)"),
        (np.zeros((2, 3, 64, 32), np.uint8), "32x32 before, 64x32 now"),
    ],
)
def test_wrong_batches_are_refused(batch: np.ndarray, message: str) -> None:
    metric = SlicedWasserstein(MetricSettings(workers=1))
    metric.update_reals(make_images(2))
    with pytest.raises(ShapeError, match=message):
        metric.update_fakes(batch)


def test_images_below_16_pixels_are_refused() -> None:
    with pytest.raises(ShapeError, match="at least 16 pixels"):
        SlicedWasserstein().update_reals(np.zeros((2, 3, 8, 32), np.uint8))


def test_progress_ends_at_its_total() -> None:
    metric = SlicedWasserstein(MetricSettings(workers=1))
    metric.update_reals(make_images(8, seed=1))
    metric.update_fakes(make_images(8, seed=2))
    steps: list[tuple[int, int]] = []
    metric.compute(lambda done, total: steps.append((done, total)))
    assert steps[-1][0] == steps[-1][1]
    assert all(a[0] <= b[0] for a, b in itertools.pairwise(steps))
