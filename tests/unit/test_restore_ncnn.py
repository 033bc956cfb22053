"""The ncnn reader, against files packed here byte by byte."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from celebahq_tools.errors import WeightsError
from celebahq_tools.restore.ncnn import ConvolutionShape, read_convolutions

FLOAT16_TAG = 0x01306B47
# 3 * 1 * 1 * 1 = 3 halves are six bytes: padded to eight. 2 * 3 * 9 = 54 halves need no padding.
SHAPES = [ConvolutionShape(3, 1, 1), ConvolutionShape(2, 3, 3)]


def pack(tags: list[int], shapes: list[ConvolutionShape] = SHAPES) -> bytes:
    data = b""
    value = 0.0
    for tag, shape in zip(tags, shapes, strict=True):
        count = shape.outputs * shape.inputs * shape.kernel**2
        weights = [value + 0.5 * i for i in range(count)]
        value += 100
        body = struct.pack(f"<{count}{'e' if tag == FLOAT16_TAG else 'f'}", *weights)
        data += struct.pack("<I", tag) + body + b"\0" * (-len(body) % 4)
        data += struct.pack(f"<{shape.outputs}f", *(-value - i for i in range(shape.outputs)))
    return data


@pytest.mark.parametrize("tags", [[FLOAT16_TAG, FLOAT16_TAG], [0, 0], [FLOAT16_TAG, 0]])
def test_weights_and_biases_are_read_in_file_order(tmp_path: Path, tags: list[int]) -> None:
    path = tmp_path / "net.bin"
    path.write_bytes(pack(tags))
    (first, first_bias), (second, second_bias) = read_convolutions(path, SHAPES)
    np.testing.assert_array_equal(first.ravel(), [0, 0.5, 1])
    np.testing.assert_array_equal(first_bias, [-100, -101, -102])
    assert second.shape == (2, 3, 3, 3)
    np.testing.assert_array_equal(second.ravel(), 100 + 0.5 * np.arange(54))
    np.testing.assert_array_equal(second_bias, [-200, -201])
    assert first.dtype == second_bias.dtype == np.float32


def test_a_file_cut_off_anywhere_is_called_truncated(tmp_path: Path) -> None:
    data = pack([FLOAT16_TAG, 0])
    path = tmp_path / "net.bin"
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(WeightsError, match="truncated"):
            read_convolutions(path, SHAPES)


def test_bytes_left_over_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.bin"
    path.write_bytes(pack([0, 0]) + b"\0\0\0\0")
    with pytest.raises(WeightsError, match=r"4 of \d+ bytes are left over after the last of 2 convolutions"):
        read_convolutions(path, SHAPES)


def test_an_unknown_tag_is_refused_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "net.bin"
    path.write_bytes(pack([FLOAT16_TAG, 0x000D4B38]))
    with pytest.raises(WeightsError, match=r"convolution 1 at byte 24 has the tag 0x000d4b38"):
        read_convolutions(path, SHAPES)


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    data = bytearray(pack([0, 0]))
    data[4:8] = struct.pack("<f", float("nan"))
    path = tmp_path / "net.bin"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="convolution 0 holds numbers that are not finite"):
        read_convolutions(path, SHAPES)


def test_a_missing_file_gives_a_message_of_our_own(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot read the weights"):
        read_convolutions(tmp_path / "absent.bin", SHAPES)
