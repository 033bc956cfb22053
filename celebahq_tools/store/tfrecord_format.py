"""TFRecord files without TensorFlow: framing with masked CRC-32C, and images as ``tf.train.Example`` messages.

A record is its length (uint64), the masked CRC of those eight bytes, the data, and the masked CRC of the data, all
little endian. The message is written and read field by field (protocol buffers wire format).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import ConfigError, InputError

_MASK_DELTA = 0xA282EAD8
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_DIMENSIONS = 8


def load_crc() -> Callable[[bytes], int]:
    """Return the CRC-32C function.

    Raises:
        ConfigError: If the package that computes it is not installed.
    """
    try:
        import google_crc32c
    except ImportError:
        raise ConfigError("TFRecords need google-crc32c: pip install 'celebahq-tools[tfrecords]'") from None
    value: Callable[[bytes], int] = google_crc32c.value
    return value


def mask_crc(crc: int) -> int:
    """Return the CRC as it is stored, rotated by 15 bits and shifted by a constant."""
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


class RecordWriter:
    """Appends records to an open binary file."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._crc = load_crc()

    def write(self, data: bytes) -> None:
        """Append one record."""
        length = struct.pack("<Q", len(data))
        self._stream.write(length + struct.pack("<I", mask_crc(self._crc(length))))
        self._stream.write(data)
        self._stream.write(struct.pack("<I", mask_crc(self._crc(data))))


class RecordFile:
    """A TFRecord file opened for reading in any order; not for several threads at once.

    Raises:
        InputError: If the file is missing, or its framing is damaged or cut short.
        ConfigError: If the CRC package is not installed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._crc = load_crc()
        try:
            self._stream = path.open("rb")
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from None
        try:
            self._places = list(self._scan())
        except BaseException:
            self._stream.close()
            raise

    def __len__(self) -> int:
        return len(self._places)

    def read(self, index: int) -> bytes:
        """Return the data of one record.

        Raises:
            InputError: If its checksum is wrong.
        """
        offset, length = self._places[index]
        self._stream.seek(offset)
        data = self._stream.read(length + 4)
        if len(data) < length + 4:
            raise InputError(f"{self.path}: record {index} is cut short")
        if struct.unpack("<I", data[length:])[0] != mask_crc(self._crc(data[:length])):
            raise InputError(f"{self.path}: record {index} is damaged, its checksum differs")
        return data[:length]

    def _scan(self) -> Iterator[tuple[int, int]]:
        size = self.path.stat().st_size
        offset = 0
        while offset < size:
            self._stream.seek(offset)
            head = self._stream.read(12)
            if len(head) < 12:
                raise InputError(f"{self.path}: cut short in the head at byte {offset}")
            length, stored = struct.unpack("<QI", head)
            if stored != mask_crc(self._crc(head[:8])):
                raise InputError(f"{self.path}: not a TFRecord file, or damaged: wrong checksum at byte {offset}")
            if offset + 16 + length > size:
                raise InputError(f"{self.path}: cut short, the record at byte {offset} needs {length} bytes")
            yield offset + 12, length
            offset += 16 + length

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def encode_image_example(image: NDArray[np.uint8]) -> bytes:
    """Return a ``tf.train.Example`` with features ``shape`` (int64[3]) and ``data`` (the bytes).

    Args:
        image: (C, H, W) uint8.
    """
    shape = b"".join(_encode_varint(side) for side in image.shape)
    features = {
        "shape": _wrap(3, _wrap(1, shape)),  # Feature.int64_list, packed Int64List.value
        "data": _wrap(1, _wrap(1, image.tobytes())),  # Feature.bytes_list, BytesList.value
    }
    entries = b"".join(_wrap(1, _wrap(1, name.encode()) + _wrap(2, value)) for name, value in features.items())
    return _wrap(1, entries)


def decode_image_example(data: bytes) -> NDArray[np.uint8]:
    """Return the (C, H, W) uint8 image of a ``tf.train.Example`` as :func:`encode_image_example` makes.

    Raises:
        ValueError: If it is not such a message.
    """
    features: dict[str, bytes] = {}
    for entry in _pick(_join(_pick(data, 1)), 1):
        features[_join(_pick(entry, 1)).decode("utf-8", "replace")] = _join(_pick(entry, 2))
    if not {"shape", "data"} <= features.keys():
        raise ValueError(f"features {sorted(features)} instead of shape and data")
    shape = list(_read_int64_list(_join(_pick(features["shape"], 3))))
    pixels = _join(_pick(_join(_pick(features["data"], 1)), 1))
    if len(shape) != 3 or not all(0 < side < 2**31 for side in shape):
        raise ValueError(f"shape {shape} is not (channels, height, width)")
    if len(pixels) != shape[0] * shape[1] * shape[2]:
        raise ValueError(f"{len(pixels)} bytes for shape {shape}")
    return np.frombuffer(pixels, np.uint8).reshape(shape)


def _encode_varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _wrap(field: int, content: bytes) -> bytes:
    return _encode_varint(field << 3 | _BYTES) + _encode_varint(len(content)) + content


def _decode_varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(data) or shift > 63:
            raise ValueError("broken varint")
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position


def _read_fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (field number, varint or bytes) of a message; fixed-width fields are passed over."""
    position = 0
    while position < len(data):
        key, position = _decode_varint(data, position)
        kind = key & 7
        if kind == _VARINT:
            value, position = _decode_varint(data, position)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            length, position = _decode_varint(data, position)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"unknown wire type {kind}")
        if position + length > len(data):
            raise ValueError("a field is cut short")
        if kind == _BYTES:
            yield key >> 3, data[position : position + length]
        position += length


def _pick(data: bytes, field: int) -> list[bytes]:
    return [value for number, value in _read_fields(data) if number == field and isinstance(value, bytes)]


def _join(parts: list[bytes]) -> bytes:
    # The last of several wins, as for any singular field; none is the empty default.
    return parts[-1] if parts else b""


def _read_int64_list(data: bytes) -> Iterator[int]:
    """Yield at most a few integers, packed or one by one: both are allowed."""
    for number, value in _read_fields(data):
        if number == 1 and isinstance(value, int):
            yield value
        elif number == 1 and isinstance(value, bytes):
            position = count = 0
            while position < len(value) and count < _MAX_DIMENSIONS:
                integer, position = _decode_varint(value, position)
                yield integer
                count += 1
