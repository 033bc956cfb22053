"""Reads the convolutions of an ncnn weight file, the format in which some super-resolution nets are published."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from celebahq_tools.errors import WeightsError

Floats = npt.NDArray[np.float32]

# The tag before the weights of each layer; float16 data is padded to whole words of four bytes.
_TAG_FLOAT32 = 0
_TAG_FLOAT16 = 0x01306B47
_WORD = 4


@dataclass(frozen=True)
class ConvolutionShape:
    """Shape of one square convolution with bias."""

    outputs: int
    inputs: int
    kernel: int


def read_convolutions(path: Path, shapes: Iterable[ConvolutionShape]) -> list[tuple[Floats, Floats]]:
    """Return weights and biases of a net that consists of nothing but convolutions with bias.

    The file has no names, shapes or count: they come from the architecture, in file order. The check is that every
    tag is a known one, every number is finite and every byte is used, which no other architecture passes.

    Args:
        path: The ``.bin`` file.
        shapes: The convolutions of the net, in file order.
    Returns:
        Per convolution the weight, float32 (outputs, inputs, kernel, kernel), and the bias, float32 (outputs,).
    Raises:
        WeightsError: If the file cannot be read, is truncated, or holds another net.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: cannot read the weights: {error.strerror}") from None
    reader = _Reader(path, data)
    layers = [reader.read_convolution(shape) for shape in shapes]
    if reader.offset != len(data):
        raise WeightsError(
            f"{path}: {len(data) - reader.offset} of {len(data)} bytes are left over after the last of "
            f"{len(layers)} convolutions; the file holds another net"
        )
    return layers


class _Reader:
    """A cursor over the bytes of one file."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.path = path
        self.data = data
        self.offset = 0
        self.layer = 0

    def read_convolution(self, shape: ConvolutionShape) -> tuple[Floats, Floats]:
        count = shape.outputs * shape.inputs * shape.kernel**2
        tag = int(self._take("<u4", 1)[0])
        if tag == _TAG_FLOAT16:
            weight = self._take("<f2", count)
            self.offset += -self.offset % _WORD
        elif tag == _TAG_FLOAT32:
            weight = self._take("<f4", count)
        else:
            raise WeightsError(
                f"{self.path}: convolution {self.layer} at byte {self.offset - _WORD} has the tag {tag:#010x}, neither "
                "float16 nor float32; the file is damaged, quantised, or holds another net"
            )
        bias = self._take("<f4", shape.outputs)
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise WeightsError(
                f"{self.path}: convolution {self.layer} holds numbers that are not finite; "
                "the file is damaged or holds another net"
            )
        self.layer += 1
        weight = weight.astype(np.float32).reshape(shape.outputs, shape.inputs, shape.kernel, shape.kernel)
        return weight, bias.astype(np.float32)

    def _take(self, kind: str, count: int) -> npt.NDArray[Any]:
        dtype = np.dtype(kind)
        end = self.offset + count * dtype.itemsize
        if end > len(self.data):
            raise WeightsError(
                f"{self.path}: ends at byte {len(self.data)} within convolution {self.layer}, which needs {end}; "
                "the file is truncated or holds another net"
            )
        values = np.frombuffer(self.data, dtype, count, self.offset)
        self.offset = end
        return values
