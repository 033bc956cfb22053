"""Plain numbers in files, read in slices and by threads."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from gan_metrics.raw_file import RawArray

from celebahq_tools.errors import StoreError


@pytest.fixture
def values(tmp_path):
    array = np.arange(600, dtype=np.float32).reshape(200, 3)
    path = tmp_path / "raw"
    path.write_bytes(b"header" + array.tobytes())
    with path.open("rb", buffering=0) as file:
        yield array, RawArray(file, 6, array.shape, array.dtype)


def test_slices_are_those_of_the_array(values):
    array, raw = values
    assert len(raw) == 200
    for rows in (slice(0, 7), slice(150, None), slice(None), slice(5, 5)):
        np.testing.assert_array_equal(raw[rows], array[rows])
    with pytest.raises(IndexError, match="without gaps"):
        raw[::2]


def test_threads_do_not_disturb_each_other(values):
    array, raw = values

    def read(row):
        out = np.empty((1, 3), np.float32)
        raw.read_into(row, out)
        return out

    with ThreadPoolExecutor(4) as pool:
        np.testing.assert_array_equal(np.concatenate(list(pool.map(read, range(200)))), array)


def test_a_file_that_ends_early_is_named(values):
    _, raw = values
    with pytest.raises(StoreError, match=r"raw: cut short"):
        raw.read_into(199, np.empty((2, 3), np.float32))


def test_the_whole_is_an_array_for_numpy(values):
    array, raw = values
    np.testing.assert_array_equal(np.asarray(raw), array)
    assert np.asarray(raw, np.float64).dtype == np.float64
