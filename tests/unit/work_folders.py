"""Work folders and datasets as a build leaves them, of pieces of a photograph."""

import numpy as np
from skimage.data import astronaut

from celebahq_tools.rank.spectrum import score_spectrum
from celebahq_tools.store.encoding import encode_face, save_encoded
from celebahq_tools.store.journal import Journal
from celebahq_tools.store.manifest import manifest_path, write_manifest
from celebahq_tools.store.waiting import face_path
from celebahq_tools.store.writer import create_dataset
from celebahq_tools.types import ItemRecord

QUAD = np.array([(0, 0), (0, 40), (40, 40), (40, 0)], np.float64)
LANDMARKS = np.array([(10, 10), (30, 10), (20, 20), (12, 30), (28, 30)], np.float32)
SETTINGS = {"size": "64", "resample": "box", "dejpeg": "none", "sr": "lanczos"}


def cut_faces(count):
    photo = astronaut()
    rng = np.random.default_rng(1)
    corners = rng.integers(0, 400, (count, 2))
    return [np.ascontiguousarray(photo[y : y + 64, x : x + 64]) for y, x in corners.tolist()]


def make_records(count, names=None):
    """Scored faces of pieces of a photograph, every fifth a rejection."""
    faces = cut_faces(count)
    records = []
    for index, pixels in enumerate(faces):
        name = names[index % len(names)] if names else f"{index:06d}.jpg"
        if index % 5 == 4:
            records.append(ItemRecord(index, name, stage="decode", reason="truncated", detail=f"{name} is cut off"))
            continue
        score = score_spectrum(pixels)
        records.append(ItemRecord(index, name, "ab" * 32, LANDMARKS, QUAD, 1.6, 0.9, score.value, score.components))
    return records, faces


def write_work(folder, records, faces, *, keep, found=None):
    """A work folder as a build leaves it."""
    (folder / "faces").mkdir(parents=True)
    with Journal(folder / "journal.sqlite") as journal:
        journal.bind_settings(SETTINGS)
        number = journal.begin_run({"keep": keep, "found": found or len(records), "workers": 1, "versions": {}})
        for record in records:
            journal.record(record)
            if record.score is not None:
                path = face_path(folder / "faces", record.index)
                path.parent.mkdir(exist_ok=True)
                save_encoded(path, encode_face(faces[record.index]))
        journal.end_run(number, "finished")
    return folder


def write_dataset(path, records, faces, *, keep):
    """The dataset that a build makes of such records."""
    scored = sorted((one for one in records if one.score is not None), key=lambda one: -one.score)[:keep]
    kept = sorted(one.index for one in scored)
    with create_dataset(path, height=64, width=64, attributes=SETTINGS) as writer:
        for index in kept:
            writer.append(faces[index])
    names = ("breadth", "asymmetry", "excess", "noise")
    positions = {index: position for position, index in enumerate(kept)}
    write_manifest(manifest_path(path), records, dataset_index=positions, components=names)
    return path
