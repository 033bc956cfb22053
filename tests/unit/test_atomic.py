import os
import stat

import pytest

from celebahq_tools.atomic import write_atomically, write_text_atomically


def test_the_final_name_appears_only_after_the_block(tmp_path):
    path = tmp_path / "out.bin"
    with write_atomically(path) as temporary:
        temporary.write_bytes(b"half")
        assert not path.exists()
        temporary.write_bytes(b"whole")
    assert path.read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["out.bin"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file_and_no_rubbish(tmp_path, error):
    path = tmp_path / "out.txt"
    write_text_atomically(path, "old")
    with pytest.raises(error), write_atomically(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.txt"]


def test_a_finished_file_has_ordinary_permissions(tmp_path):
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    write_text_atomically(tmp_path / "atomic", "x")
    assert stat.S_IMODE((tmp_path / "atomic").stat().st_mode) == stat.S_IMODE(ordinary.stat().st_mode)
