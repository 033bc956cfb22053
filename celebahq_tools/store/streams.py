"""zlib streams by libdeflate: what HDF5's gzip filter reads and writes, several times faster than zlib itself."""

from __future__ import annotations

import deflate

from celebahq_tools.errors import StoreError

# Measured in benchmarks/results/store.md: nearly four times as fast as zlib's level 4 for photographs, 1.4 % larger.
LEVEL = 1
STREAM_FORMAT = f"zlib (libdeflate {LEVEL}), bands"
"""Name of how streams are made (bands.py says which); other streams of the same pixels would be other bytes."""


def compress_stream(data: bytes | memoryview) -> bytes:
    """Return data as a zlib stream. Lets other threads run meanwhile."""
    return bytes(deflate.zlib_compress(data, LEVEL))


def decompress_stream(stream: bytes | memoryview, size: int) -> bytearray:
    """Return the data of a zlib stream of any origin, its checksum verified. Lets other threads run meanwhile.

    Args:
        stream: The stream.
        size: Bytes of the data, exactly.
    Raises:
        StoreError: If the stream is damaged or holds another amount of data.
    """
    try:
        data = deflate.zlib_decompress(stream, size)
    except deflate.DeflateError as error:
        raise StoreError(f"damaged zlib stream ({error})") from None
    if len(data) != size:
        raise StoreError(f"a zlib stream of {len(data)} bytes instead of {size}")
    return data
