"""Every compression holds the same pixels, is noticed when damaged, and says what it needs."""

import subprocess
import sys

import h5py
import numpy as np
import pytest
from celebahq_cli import celebahq_options

from celebahq_tools.errors import ConfigError
from celebahq_tools.importing import ImportConfig, run_import
from celebahq_tools.source.importers.base import ImportRequest
from celebahq_tools.store.compression import COMPRESSIONS, choose_filters
from celebahq_tools.store.description import describe_dataset
from celebahq_tools.store.encoding import encode_face
from celebahq_tools.store.reader import DatasetReader
from celebahq_tools.store.verify import verify_dataset
from celebahq_tools.store.writer import create_dataset

SMOOTH = np.linspace(0, 250, 32 * 32 * 3).reshape(32, 32, 3).astype(np.uint8)
FACES = np.stack([np.roll(SMOOTH, 3 * index, axis=1) for index in range(6)])


class Listener:
    def begin_stage(self, name, *, total, done):
        pass

    def advance(self, record):
        pass


def write(path, compression):
    with create_dataset(path, height=32, width=32, compression=compression) as writer:
        writer.extend(FACES[:3], threads=2)
        for face in FACES[3:5]:
            writer.append(face)
        writer.append_encoded(encode_face(FACES[5]))  # as the work folder of a build holds it
    return path


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_every_compression_holds_the_same_pixels_and_is_found_sound(compression, tmp_path):
    path, plain = write(tmp_path / "a.h5", compression), write(tmp_path / "plain.h5", "gzip")
    with DatasetReader(path) as ours, DatasetReader(plain) as theirs:
        assert ours.shapes == theirs.shapes
        for _, height, _ in ours.shapes:
            every = list(range(6))
            np.testing.assert_array_equal(ours.read(every, height=height), theirs.read(every, height=height))
    assert verify_dataset(path, Listener()).findings == ()
    filters = describe_dataset(path).levels[0].filters
    assert (
        filters
        == {
            "gzip": ("gzip",),
            "lzf": ("lzf", "fletcher32"),
            "blosc": ("blosc", "fletcher32"),
            "none": ("fletcher32",),
        }[compression]
    )
    if compression != "none":
        assert describe_dataset(path).levels[0].stored_bytes < describe_dataset(path).levels[0].raw_bytes


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_flipped_bit_is_noticed_in_every_compression(compression, tmp_path):
    path = write(tmp_path / "a.h5", compression)
    with h5py.File(path) as file:
        chunk = file["data32x32"].id.get_chunk_info(4)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset + chunk.size // 2] ^= 1
    path.write_bytes(data)
    (finding,) = verify_dataset(path, Listener()).findings
    assert (finding.kind, finding.where, finding.chunk) == ("chunk.damaged", "data32x32", 4)


def test_gzip_and_none_are_read_by_an_h5py_that_has_no_plug_ins(tmp_path):
    for compression in ("gzip", "none", "lzf"):
        write(tmp_path / f"{compression}.h5", compression)
    code = (
        "import sys, h5py; sys.modules['hdf5plugin'] = None\n"
        f"for name in ('gzip', 'none', 'lzf'): h5py.File(rf'{tmp_path}/{{name}}.h5')['data32x32'][:]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_blosc_file_without_hdf5plugin_is_answered_with_the_remedy(tmp_path):
    path = write(tmp_path / "a.h5", "blosc")
    # In a process of its own: once loaded, the plug-in stays.
    code = "import sys; sys.modules['hdf5plugin'] = None\nfrom celebahq_cli.celebahq import main\nmain(sys.argv[1:])"
    for command in ("info", "verify", "sheet"):
        result = subprocess.run([sys.executable, "-c", code, command, str(path)], capture_output=True, text=True)
        assert result.returncode == 1
        assert "is compressed with blosc, which h5py cannot read alone; pip install 'celebahq-tools[blosc]'" in (
            result.stderr
        )
        assert "Traceback" not in result.stderr
    result = subprocess.run(
        [sys.executable, "-c", code, "import", str(path), "--kind", "hdf5", "--out", str(tmp_path / "b.h5")],
        capture_output=True,
        text=True,
    )
    assert "celebahq-tools[blosc]" in result.stderr


def test_writing_blosc_without_hdf5plugin_is_refused_with_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    with pytest.raises(ConfigError, match=r"needs hdf5plugin: pip install 'celebahq-tools\[blosc\]'"):
        write(tmp_path / "a.h5", "blosc")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_compression_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'gzip'"):
        choose_filters("gzp")


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_an_import_of_a_dataset_changes_its_compression_and_nothing_else(compression, tmp_path):
    source = write(tmp_path / "a.h5", "gzip")
    np.save(tmp_path / "a-labels.npy", np.eye(6, dtype=np.float32))
    run_import(ImportConfig(ImportRequest(source), "hdf5", tmp_path / "b.h5", compression=compression), Listener())
    with DatasetReader(tmp_path / "b.h5") as reader:
        np.testing.assert_array_equal(reader.read(list(range(6))).transpose(0, 2, 3, 1), FACES)
        np.testing.assert_array_equal(reader.labels, np.eye(6))
    assert verify_dataset(tmp_path / "b.h5", Listener()).findings == ()


def test_a_build_asks_for_its_plug_in_before_the_work(monkeypatch, tmp_path):
    from celebahq_tools.build_config import BuildConfig
    from celebahq_tools.plan import plan_build

    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    with pytest.raises(ConfigError, match="needs hdf5plugin"):
        plan_build(BuildConfig(tmp_path, tmp_path / "a.h5", compression="blosc"))


def test_the_command_line_offers_every_compression():
    assert celebahq_options.COMPRESSIONS == COMPRESSIONS
