import numpy as np
import pytest

from celebahq_tools.errors import ConfigError, InputError, RejectionError, StoreError
from celebahq_tools.labelling import label_dataset
from celebahq_tools.store.manifest import manifest_path, write_source_manifest
from celebahq_tools.store.reader import DatasetReader
from celebahq_tools.store.writer import create_dataset

LIST = "4\nBald Smiling\na.jpg  1 -1\nb.jpg -1  1\nc.jpg  1  1\nd.jpg -1 -1\n"


@pytest.fixture
def dataset(tmp_path):
    path = tmp_path / "faces.h5"
    with create_dataset(path, height=4, width=4) as writer:
        for _ in range(3):
            writer.append(np.zeros((4, 4, 3), np.uint8))
    with write_source_manifest(manifest_path(path)) as write_row:
        # A selection file may order images otherwise than the source.
        for index, (file, outcome) in enumerate([("d.jpg", 2), ("a.jpg", 0), ("b.jpg", None), ("c.jpg", 1)]):
            write_row(index, file, "", RejectionError("decode", "grey") if outcome is None else outcome)
    (tmp_path / "list.txt").write_text(LIST)
    return path


def test_each_image_gets_the_attributes_of_its_photograph(dataset, tmp_path):
    _, names = label_dataset(dataset, tmp_path / "list.txt")
    assert names == ("Bald", "Smiling")
    with DatasetReader(dataset) as reader:
        np.testing.assert_array_equal(reader.labels, [[1, 0], [1, 1], [0, 0]])
    with pytest.raises(ConfigError, match=r"faces-labels\.npy: exists already"):
        label_dataset(dataset, tmp_path / "list.txt")
    label_dataset(dataset, tmp_path / "list.txt", overwrite=True)


def test_what_does_not_fit_is_refused_and_nothing_is_written(dataset, tmp_path):
    attributes = tmp_path / "list.txt"
    attributes.write_text(LIST.replace("c.jpg", "x.jpg"))
    with pytest.raises(InputError, match=r"no row for 1 photographs of .*faces\.h5, c\.jpg"):
        label_dataset(dataset, attributes)
    for text in ("", "4\n", LIST.replace("d.jpg -1 -1", "d.jpg -1"), LIST.replace("1  1", "1  7")):
        attributes.write_text(text)
        with pytest.raises(InputError, match=r"list\.txt"):
            label_dataset(dataset, attributes)
    attributes.write_text(LIST)
    manifest = manifest_path(dataset)
    manifest.write_text(manifest.read_text().replace("kept,1", "kept,5"))
    with pytest.raises(StoreError, match="do not match the 3 images"):
        label_dataset(dataset, attributes)
    manifest.unlink()
    with pytest.raises(StoreError, match="no such manifest"):
        label_dataset(dataset, attributes)
    assert not (tmp_path / "faces-labels.npy").exists()
