"""Unit tests of the MNIST mode test and its classifier."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from gan_metrics.digit_classifier import encode_classifier, load_classifier, train_classifier
from gan_metrics.modes import ModeCoverage, count_modes, split_digits

from celebahq_tools.errors import InputError, ShapeError, WeightsError
from celebahq_tools.source.idx import read_idx, read_mnist

RNG = np.random.default_rng(0)


def draw_digits(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Ten kinds of bright bars: what a classifier can learn in seconds."""
    labels = RNG.integers(0, 10, count).astype(np.uint8)
    images = RNG.integers(0, 30, (count, 28, 28)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        position = 3 + 4 * (label % 5)
        image[slice(position, position + 5) if label < 5 else slice(4, 24)] //= 2
        if label < 5:
            image[position : position + 4, 4:24] = 230
        else:
            image[4:24, position : position + 4] = 230
    return images, labels


def write_idx(path: Path, array: np.ndarray) -> None:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, dtype=">u4").tobytes()
    data = header + array.tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def test_modes_and_divergence_have_their_closed_forms() -> None:
    every = np.stack(np.unravel_index(np.arange(1000), (10, 10, 10)), axis=1)
    assert count_modes(every) == (1000, pytest.approx(0, abs=1e-12))
    assert count_modes(np.tile([[1, 2, 3]], (50, 1))) == (1, pytest.approx(np.log(1000)))
    assert count_modes(every[:250]) == (250, pytest.approx(np.log(4)))
    with pytest.raises(InputError, match="no images"):
        count_modes(np.zeros((0, 3), np.int64))


def test_uniform_digits_diverge_as_much_as_chance_makes_them() -> None:
    _, divergence = count_modes(RNG.integers(0, 10, (25600, 3)))
    # Half of a chi-square with 999 degrees of freedom over N; its deviation is sqrt(2*999)/2N.
    assert divergence == pytest.approx(999 / 51200, abs=5 * np.sqrt(2 * 999) / 51200)


def test_channels_become_digits_without_the_padding() -> None:
    stacked = RNG.integers(0, 256, (4, 3, 28, 28), dtype=np.uint8)
    padded = np.pad(stacked, ((0, 0), (0, 0), (2, 2), (2, 2)))
    np.testing.assert_array_equal(split_digits(padded), stacked)
    np.testing.assert_array_equal(split_digits(stacked), stacked)
    with pytest.raises(ShapeError, match="28x28, or 32x32"):
        split_digits(np.zeros((1, 3, 64, 64), np.uint8))


def test_training_learns_repeats_itself_and_survives_a_file(tmp_path: Path) -> None:
    images, labels = draw_digits(1000)
    test_images, test_labels = draw_digits(300)
    steps: list[tuple[int, int]] = []
    net = train_classifier(images, labels, epochs=5, seed=1, progress=lambda *at: steps.append(at))
    assert (net.predict(test_images) == test_labels).mean() > 0.9
    assert steps[-1] == (40, 40)
    path = tmp_path / "own.safetensors"
    path.write_bytes(encode_classifier(net, {"data": "bars"}))
    loaded, description = load_classifier(path)
    assert description == {"data": "bars"}
    # float16 weights may turn a close call.
    assert (loaded.predict(test_images) == net.predict(test_images)).mean() > 0.99


def test_the_shipped_classifier_says_where_it_comes_from() -> None:
    net, description = load_classifier()
    assert "MNIST" in description["data"]
    assert 0.2 < float(description["test_error_percent"]) < 0.6
    assert sum(parameter.numel() for parameter in net.parameters()) == 70586


def test_the_shipped_classifier_reads_drawn_digits() -> None:
    """A one is a vertical stroke, a zero a ring: no data set needed."""
    rows, columns = np.mgrid[:28, :28]
    radius = np.hypot((rows - 13.5) / 1.25, columns - 13.5)
    zero = (np.abs(radius - 6) < 1.4) * 255
    one = ((np.abs(columns - 13.5) < 1.6) & (np.abs(rows - 13.5) < 9.5)) * 255
    stack = np.stack([zero, one, zero]).astype(np.uint8)
    metric = ModeCoverage()
    metric.update_fakes(np.stack([stack, stack[[1, 0, 0]], stack]))
    result = metric.compute()
    assert result.values["modes"] == 2
    assert metric._net.predict(stack).tolist() == [0, 1, 0]
    assert any("25600" in note for note in result.notes)


def test_wrong_classifier_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="--train-classifier"):
        load_classifier(tmp_path / "missing")
    (tmp_path / "bad").write_bytes(b"nonsense")
    with pytest.raises(WeightsError, match="not weights of the digit classifier"):
        load_classifier(tmp_path / "bad")


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_files_are_read_plain_and_gzipped(tmp_path: Path, suffix: str) -> None:
    images, labels = draw_digits(5)
    write_idx(tmp_path / f"train-images-idx3-ubyte{suffix}", images)
    write_idx(tmp_path / f"train-labels-idx1-ubyte{suffix}", labels)
    found = read_mnist(tmp_path, "train")
    np.testing.assert_array_equal(found[0], images)
    np.testing.assert_array_equal(found[1], labels)


def test_a_gzipped_idx_file_is_not_unpacked_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("celebahq_tools.source.idx._MAX_BYTES", 1 << 20)
    (tmp_path / "x.gz").write_bytes(gzip.compress(bytes((1 << 20) + 1)))
    with pytest.raises(InputError, match="holds more than 1 MiB"):
        read_idx(tmp_path / "x.gz")


def test_damaged_idx_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no t10k-images-idx3-ubyte"):
        read_mnist(tmp_path, "t10k")
    path = tmp_path / "x"
    write_idx(path, np.zeros((4, 28, 28), np.uint8))
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(InputError, match="asks for 3136"):
        read_idx(path)
    path.write_bytes(b"\x89PNG")
    with pytest.raises(InputError, match="not an IDX file"):
        read_idx(path)
    path.write_bytes(b"\0\0\x08\x03\0")
    with pytest.raises(InputError, match="cut short"):
        read_idx(path)
