import pytest

from celebahq_tools.errors import InputError
from celebahq_tools.source.selection_file import SelectionRow, read_selection_file

# The first rows of the official files, in their own form.
IMAGE_LIST = """idx orig_idx orig_file proc_md5 final_md5
1 99094 099095.jpg aa bb
0 119613 119614.jpg cc dd
"""
MAPPING = """idx\t   orig_idx\t   orig_file
0            119613         119614.jpg
1            99094          099095.jpg

"""


@pytest.mark.parametrize("text", [IMAGE_LIST, MAPPING])
def test_both_official_forms_give_the_rows_in_order(tmp_path, text):
    path = tmp_path / "list.txt"
    path.write_text(text)
    assert read_selection_file(path) == [SelectionRow(0, 119613, "119614.jpg"), SelectionRow(1, 99094, "099095.jpg")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must name the columns idx, orig_idx, orig_file"),
        ("a b c\n", "must name the columns"),
        ("idx orig_idx orig_file\n", "names no photographs"),
        ("idx orig_idx orig_file\n0 x 1.jpg\n", "line 2 is not a row"),
        ("idx orig_idx orig_file\n0 1\n", "line 2 is not a row"),
        ("idx orig_idx orig_file\n0 1 a.jpg\n1 1 a.jpg\n", r"file a\.jpg stands in several rows"),
        ("idx orig_idx orig_file\n0 1 a.jpg\n0 2 b.jpg\n", "position 0 stands in several rows"),
        (None, "cannot read the selection"),
        (b"\xff\xfe\x00\x81", "not a text file"),
    ],
)
def test_another_file_is_refused_with_the_reason(tmp_path, text, message):
    path = tmp_path / "list.txt"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=message):
        read_selection_file(path)
