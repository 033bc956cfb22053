import pytest

from celebahq_tools.errors import StoreError
from celebahq_tools.store.manifest import manifest_path, read_manifest, write_manifest
from celebahq_tools.types import ItemRecord


def test_rows_say_what_became_of_each_photograph(tmp_path):
    records = [
        ItemRecord(0, 'hostile,"name"\n<b>.jpg', stage="decode", reason="grey", detail="mode L"),
        ItemRecord(1, "low.jpg", score=0.25, components={"breadth": 0.5}),
        ItemRecord(2, "best.jpg", score=0.75, components={"breadth": 0.9}, zoom=2.0, photo_fraction=1.0),
    ]
    path = manifest_path(tmp_path / "faces.h5")
    records.append(ItemRecord(3, "twin.jpg", score=0.75))
    left_out = {3: ("rank.duplicate", "of best.jpg")}
    write_manifest(path, records, dataset_index={2: 0}, components=["breadth"], left_out=left_out)
    assert path.name == "faces.manifest.csv"
    rows = read_manifest(path)
    assert [row["status"] for row in rows] == ["rejected", "ranked_out", "kept", "ranked_out"]
    assert [row["reason"] for row in rows] == ["decode.grey", "rank.below_threshold", "", "rank.duplicate"]
    assert rows[3]["detail"] == "of best.jpg"
    assert rows[0]["file"] == 'hostile,"name"\n<b>.jpg'
    assert [row["dataset_index"] for row in rows] == ["", "", "0", ""]
    assert [row["breadth"] for row in rows] == ["", "0.5", "0.9", ""]


@pytest.mark.parametrize("content", [None, b"a,b\n1,2\n", b"\xff\xfe\x00"])
def test_a_missing_or_foreign_manifest_is_refused(tmp_path, content):
    path = tmp_path / "x.manifest.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StoreError, match=r"x\.manifest\.csv"):
        read_manifest(path)
