import numpy as np
import pytest
from PIL import Image

from celebahq_tools.errors import InputError, StoreError
from celebahq_tools.pictures.canvas import fit_picture
from celebahq_tools.pictures.contact_sheet import draw_contact_sheet, draw_dataset_sheet
from celebahq_tools.pictures.stages import StageView, draw_stages
from celebahq_tools.rank.spectrum import score_spectrum
from celebahq_tools.store.manifest import manifest_path, write_manifest, write_source_manifest
from celebahq_tools.store.reader import DatasetReader
from celebahq_tools.store.writer import create_dataset
from celebahq_tools.types import ItemRecord

RED = np.full((40, 20, 3), (255, 0, 0), np.uint8)


@pytest.mark.parametrize(("box", "size"), [((80, 80), (40, 80)), ((10, 90), (10, 20)), ((40, 10), (5, 10))])
def test_a_picture_keeps_its_proportions_in_any_box(box, size):
    assert fit_picture(RED, *box).size == size


def test_a_sheet_holds_every_face_at_its_place():
    faces = [(np.full((8, 8, 3), value, np.uint8), str(value)) for value in (0, 60, 120, 180)]
    sheet = np.array(draw_contact_sheet(faces, columns=3, thumb=32))
    assert sheet.shape == (2 * (32 + 6 + 20) + 6, 3 * 38 + 6, 3)
    assert [int(sheet[20, 20 + 38 * column, 0]) for column in range(3)] == [0, 60, 120]
    assert sheet[20 + 58, 20, 0] == 180
    with pytest.raises(InputError, match="no faces"):
        draw_contact_sheet([], columns=3, thumb=32)


def test_a_dataset_sheet_goes_from_the_best_score_down_and_spreads_over_the_order(tmp_path):
    path = tmp_path / "faces.h5"
    greys = [10, 200, 90, 150, 40]
    with create_dataset(path, height=64, width=64) as writer:
        for grey in greys:
            writer.append(np.full((64, 64, 3), grey, np.uint8))
    records = [ItemRecord(index, f"{index}.jpg", score=grey / 255) for index, grey in enumerate(greys)]
    write_manifest(manifest_path(path), records, dataset_index={index: index for index in range(5)}, components=[])
    with DatasetReader(path) as reader:
        sheet = np.array(draw_dataset_sheet(reader, count=3, columns=3, thumb=32))
    assert [int(sheet[20, 20 + 38 * column, 0]) for column in range(3)] == [200, 90, 10]


def test_the_detail_of_every_stage_shows_the_same_place():
    photo = np.zeros((200, 200, 3), np.uint8)
    photo[90:110, 70:90] = 255
    quad = np.array([(50, 50), (50, 150), (150, 150), (150, 50)], np.float64)
    landmarks = np.array([(80, 100), (120, 100), (100, 120), (85, 140), (115, 140)], np.float32)
    half = np.array(Image.fromarray(photo).resize((100, 100), Image.Resampling.BOX))
    views = [StageView("input", photo, quad), StageView("half", half, quad / 2)]
    score = score_spectrum(np.ascontiguousarray(photo[50:178, 50:178]))
    canvas = np.array(draw_stages(views, landmarks, score))
    top = 12 + 26 + 320 + 12 + 26
    first, second = (canvas[top : top + 320, left : left + 320] for left in (12, 12 + 332))
    assert (first[160, 160] == 255).all()
    assert (first != second).mean() < 0.02


@pytest.mark.parametrize("channels", [1, 3])
def test_a_sheet_of_images_without_scores_keeps_their_order(tmp_path, channels):
    path = tmp_path / "faces.h5"
    greys = [10, 200, 90]
    with create_dataset(path, height=64, width=64, channels=channels) as writer:
        for grey in greys:
            writer.append(np.full((64, 64, channels), grey, np.uint8))
    with write_source_manifest(manifest_path(path)) as write_row:
        for index in range(3):
            write_row(index, f"{index}.jpg", "", index)
    with DatasetReader(path) as reader:
        sheet = np.array(draw_dataset_sheet(reader, count=3, columns=3, thumb=32))
    assert [int(sheet[20, 20 + 38 * column, 0]) for column in range(3)] == greys


@pytest.mark.parametrize("cell", ["9", "", "x", "1"])
def test_a_sheet_of_a_damaged_manifest_is_refused(tmp_path, cell):
    path = tmp_path / "faces.h5"
    with create_dataset(path, height=64, width=64) as writer:
        for grey in (1, 2, 3):
            writer.append(np.full((64, 64, 3), grey, np.uint8))
    with write_source_manifest(manifest_path(path)) as write_row:
        for index in range(3):
            write_row(index, f"{index}.jpg", "", cell if index == 2 else index)
    with DatasetReader(path) as reader, pytest.raises(StoreError, match=r"faces\.manifest\.csv: .*see celebahq verify"):
        draw_dataset_sheet(reader, count=3, columns=3, thumb=32)
