"""The reader of pickles runs nothing, whatever a file says: hostile files of every kind, and harmless ones in full."""

import collections
import contextlib
import os
import pickle
import pickletools
import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celebahq_tools.errors import InputError
from pggan_core import passive_objects, passive_pickle
from pggan_core.passive_objects import PassiveArray, PassiveObject, PickleRefusedError
from pggan_core.passive_pickle import read_pickle

CLASSES = frozenset({("tfutil", "Network")})
NAME = b"ctfutil\nNetwork\n"


def read(tmp_path, data):
    path = tmp_path / "file.pkl"
    path.write_bytes(data)
    return read_pickle(path, CLASSES)


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.parts = (function, arguments)

    def __reduce__(self):
        return self.parts


def unwrap(value):
    """Return what the ordinary reader would have given, for comparison."""
    if type(value) is PassiveArray:
        return value.values
    if type(value) in (list, tuple):
        return type(value)(map(unwrap, value))
    return {key: unwrap(item) for key, item in value.items()} if type(value) is dict else value


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(), inner, max_size=4) | st.tuples(inner)
    ),
    max_leaves=20,
)


@settings(max_examples=40, deadline=None)
@given(value=PLAIN, protocol=st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_plain_data_is_read_as_by_the_ordinary_reader(tmp_path_factory, value, protocol):
    assert read(tmp_path_factory.getbasetemp(), pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "array",
    [
        np.arange(24, dtype=np.float32).reshape(2, 3, 4),
        np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
        np.array([1, -2], dtype=">i4"),
        np.array(2.5, dtype=np.float16),
        np.zeros((0, 3), dtype=np.uint8),
        np.array([True, False]),
        np.float32(0.25),
        np.int64(7),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_and_scalars_of_numbers_come_back(tmp_path, array, protocol):
    got = read(tmp_path, pickle.dumps({"a": array}, protocol))["a"].values
    assert got.dtype == array.dtype
    np.testing.assert_array_equal(got, array)


def test_shared_and_circular_containers_come_back(tmp_path):
    shared = [1]
    loop = [shared, shared]
    loop.append(loop)
    got = read(tmp_path, pickle.dumps(loop))
    assert got[0] is got[1] and got[2] is got
    assert read(tmp_path, pickle.dumps(collections.OrderedDict(a=1))) == {"a": 1}
    assert read(tmp_path, pickle.dumps({1, 2})) == {1, 2}
    assert read(tmp_path, pickle.dumps(frozenset({1}))) == {1}


def test_text_of_python_2_serves_as_the_bytes_of_an_array(tmp_path):
    """As Python 2 wrote it, with protocol 2."""
    data = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89U\x08" + struct.pack("<2f", 1.5, -2.0) + b"tb."
    )
    assert read(tmp_path, data).values.tolist() == [1.5, -2.0]


def test_an_object_of_the_expected_class_is_only_described(tmp_path):
    got = read(tmp_path, b"\x80\x02" + NAME + b")\x81}U\x01aK\x05sb.")
    assert type(got) is PassiveObject
    assert (got.module, got.name, got.state) == ("tfutil", "Network", {"a": 5})


HOSTILE = {
    "os.system": pickle.dumps(Call(os.system, "touch OWNED")),
    "os.system, protocol 0": pickle.dumps(Call(os.system, "touch OWNED"), 0),
    "builtins.eval": pickle.dumps(Call(eval, "open('OWNED', 'w')")),
    "builtins.exec": pickle.dumps(Call(exec, "open('OWNED', 'w')")),
    "builtins.getattr": pickle.dumps(Call(getattr, {}, "get")),
    "builtins.__import__": pickle.dumps(Call(__import__, "os")),
    "subprocess": pickle.dumps(Call(subprocess.Popen, ["touch", "OWNED"])),
    "inside a list of a dict": pickle.dumps({"variables": [("a", [Call(os.system, "touch OWNED")])]}),
    "as a state": b"\x80\x02" + NAME + b")\x81cposix\nsystem\nU\x0btouch OWNED\x85Rb.",
    "thrown away": b"\x80\x02cposix\nsystem\nU\x0btouch OWNED\x85R0}.",
    "named, not called": b"\x80\x02cposix\nsystem\n.",
    "a dotted name": b"\x80\x04\x8c\x06tfutil\x8c\x10Network.__init__\x93.",
    "a submodule of numpy": b"\x80\x02cnumpy.testing._private.utils\nrunstring\nU\x011}\x86R.",
    "numpy.load": b"\x80\x02cnumpy\nload\nU\x01a\x85R.",
    "INST": b"(S'touch OWNED'\nios\nsystem\n.",
    "OBJ": b"(cposix\nsystem\nU\x0btouch OWNEDo.",
    "persistent": b"Pa\n.",
    "binary persistent": b"\x80\x02K\x01Q.",
    "extension": b"\x80\x02\x82\x01.",
    "out-of-band buffer": b"\x80\x05\x97.",
    "a call of text": b"\x80\x02U\x06systemU\x01a\x85R.",
    "a call of the class": b"\x80\x02" + NAME + b")R.",
    "a class with arguments": b"\x80\x02" + NAME + b"K\x01\x85\x81.",
    "a function as a class": b"\x80\x02c_codecs\nencode\n)\x81.",
    "keyword arguments": b"\x80\x04" + NAME + b")}\x92.",
    "state of a name": b"\x80\x02" + NAME + b"}U\x04nameU\x01xsb.",
    "attributes of a function": b"\x80\x02c_codecs\nencode\n}U\x08__code__K\x00sb.",
    "slots of the class": b"\x80\x02" + NAME + b"N}U\x0c__setstate__K\x00s\x86b.",
    "state of a list": b"\x80\x02]}b.",
    "state of a dict": b"\x80\x02}}U\x01aK\x01sb.",
    "a state that is no dict": b"\x80\x02" + NAME + b")\x81K\x01b.",
    "encoding by a codec": b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.",
    "an array of objects": pickle.dumps(np.array([Call(os.system, "touch OWNED")], dtype=object)),
    "an array of harmless objects": pickle.dumps(np.array([[1], "a"], dtype=object)),
    "an array of records": pickle.dumps(np.zeros(2, dtype=[("a", "f4")])),
    "an array of text": pickle.dumps(np.array(["a"])),
    "a mark as a value": b"\x80\x02((\x85.",
    "nothing": b"",
    "no end": pickle.dumps([1, 2])[:-1],
    "an empty stack": b"\x80\x02.",
    "a missing memory": b"\x80\x02h\x05.",
    "a memory of nothing": b"\x80\x02q\x00.",
    "a key without value": b"\x80\x02}(K\x01u.",
    "a list as key": b"\x80\x02}]K\x01s.",
    "a tuple as key": b"\x80\x02}K\x01\x85K\x01s.",
    "a text file": b"hello\n",
    "a zip": b"PK\x03\x04" + bytes(100),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_and_damaged_files_are_refused_and_nothing_is_run(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        read(tmp_path, HOSTILE[name])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.pkl"]
    # Nor did anything stick to the names that the file had hold of.
    assert passive_objects.FUNCTIONS["_codecs", "encode"] == "encode"


def test_the_hostile_files_are_hostile(tmp_path, monkeypatch):
    """The ordinary reader does what the worst of them say; without this, their refusal would show nothing."""
    monkeypatch.chdir(tmp_path)
    for name in ("os.system", "builtins.eval", "subprocess", "inside a list of a dict", "thrown away", "INST"):
        (tmp_path / "OWNED").unlink(missing_ok=True)
        result = pickle.loads(HOSTILE[name])
        if name == "subprocess":
            result.wait()
        assert (tmp_path / "OWNED").exists(), name


def test_the_message_says_what_was_asked_for(tmp_path):
    with pytest.raises(PickleRefusedError, match=r"asks for posix\.system, .*nothing of it was run"):
        read(tmp_path, HOSTILE["os.system"])


SMALL_ARRAY = pickle.dumps(np.zeros(3, np.float32))
GREEDY = {
    "4 GB of bytes": b"\x80\x04\x8e" + struct.pack("<Q", 4 << 30) + b"abc.",
    "2^62 bytes": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b"abc.",
    "4 GB of text": b"\x80\x04\x8d" + struct.pack("<Q", 4 << 30) + b"abc.",
    "a 2 GB number": b"\x80\x02\x8b" + struct.pack("<i", (1 << 31) - 1) + b"abc.",
    "a memory of four billion places": b"\x80\x02K\x01r\xff\xff\xff\xff\x80\x02K",
    "an array larger than its bytes": SMALL_ARRAY.replace(b"K\x03\x85", b"J\xff\xff\xff\x7f\x85"),
    "a negative shape": SMALL_ARRAY.replace(b"K\x03\x85", b"J\xff\xff\xff\xff\x85"),
    "a million copies of one text": b"\x80\x02X\x40\x42\x0f\x00" + b"a" * 1000000 + b"q\x000"
    + b"(" + b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R" * 20000 + b"l.",
    "millions of empty lists": b"\x80\x02(" + b"]" * 2_500_000 + b"l.",
    "a deep nest": b"\x80\x02]" + b"\x85" * 300_000 + b".",
    "a deep nest as a key": b"\x80\x02}K\x01" + b"\x85" * 300_000 + b"K\x01s.",
}  # fmt: skip


def test_greedy_files_take_no_more_than_their_size_allows(tmp_path):
    """In a process of their own: a crash would show as a signal, a hang as a time-out."""
    for number, data in enumerate(GREEDY.values()):
        (tmp_path / f"{number}.pkl").write_bytes(data)
    code = (
        "import resource; from pathlib import Path; from celebahq_tools.errors import InputError\n"
        "from pggan_core.passive_pickle import read_pickle\n"
        f"for number in range({len(GREEDY)}):\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"    try: read_pickle(Path({str(tmp_path)!r}) / f'{{number}}.pkl', frozenset()); outcome = 'read'\n"
        "    except InputError as error: outcome = type(error).__name__\n"
        "    print(outcome, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, flush=True)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    for name, line in zip(GREEDY, done.stdout.splitlines(), strict=True):
        outcome, grown = line.split()
        # A nest of tuples is plain data, and small.
        assert outcome == ("read" if name == "a deep nest" else "PickleRefusedError"), name
        # Kilobytes; the largest of the files has 2.5 million objects of at least 56 bytes.
        assert int(grown) < 300_000, name


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_change_of_bytes_is_read_or_refused_and_never_anything_else(tmp_path_factory, data):
    stream = bytearray(pickle.dumps({"a": [np.arange(4, dtype=np.float32), "text", 1.5, (None, True)]}, 4))
    for _ in range(data.draw(st.integers(1, 4))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(InputError):
        read(tmp_path_factory.getbasetemp(), bytes(stream))


def test_every_opcode_is_either_carried_out_or_refused_on_purpose():
    """A new Python may bring new ones: they are refused until someone has thought about them."""
    refused = {opcode.name for opcode in pickletools.opcodes} - set(passive_pickle._ACTIONS) - {"STOP"}
    assert refused == {
        *("INST", "OBJ", "NEWOBJ_EX", "PERSID", "BINPERSID", "EXT1", "EXT2", "EXT4"),
        *("NEXT_BUFFER", "READONLY_BUFFER"),
    }


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_pickle(tmp_path / "none.pkl", CLASSES)
