"""Pairs of alike faces on the live page: searched in a thread, each face read once, shown when found."""

import time

import numpy as np
import pytest

from celebahq_tools.report.view import WorkView
from celebahq_tools.serve import live_pairs
from celebahq_tools.serve.live_pairs import LivePairs
from celebahq_tools.store.encoding import encode_face, save_encoded
from celebahq_tools.store.journal import Journal
from celebahq_tools.store.waiting import face_path
from celebahq_tools.types import ItemRecord

from .work_folders import make_records, write_work


class CountingView(WorkView):
    """A work folder that remembers which faces were read."""

    def __init__(self, path):
        super().__init__(path)
        self.read = []

    def read_face(self, index, position, *, side):
        self.read.append(index)
        return super().read_face(index, position, side=side)


def add_face(work, index, pixels):
    path = face_path(work / "faces", index)
    path.parent.mkdir(exist_ok=True)
    save_encoded(path, encode_face(pixels))
    with Journal(work / "journal.sqlite") as journal:
        journal.record(ItemRecord(index, f"{index}.jpg", score=0.5, components={}))


def wait_for(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "nothing was found in a minute"
        time.sleep(0.005)


@pytest.fixture
def work(tmp_path):
    records, faces = make_records(12)
    faces[7] = np.clip(faces[2].astype(int) + 9, 0, 255).astype(np.uint8)  # brighter, else the same
    return write_work(tmp_path / "work", records, faces, keep=5), faces


def test_pairs_appear_without_holding_up_who_looks_and_each_face_is_read_once(work):
    folder, faces = work
    view = CountingView(folder)
    told = []
    pairs = LivePairs(view, lambda: told.append(1), rest=0)
    snapshot = view.take_snapshot()
    first = pairs.look(snapshot)
    assert first is None or first.compared == 10
    wait_for(lambda: told)
    found = pairs.look(snapshot)
    assert found.compared == 10
    assert found.pairs[0][:2] == (2, 7)
    assert found.pairs[0][2] < 0.05
    for _ in range(3):
        assert pairs.look(snapshot) is found
    assert sorted(view.read) == sorted(snapshot.faces.index[snapshot.at_hand].tolist())

    add_face(folder, 20, faces[3])
    pairs.look(view.take_snapshot())
    wait_for(lambda: len(told) == 2)
    assert {pair[:2] for pair in pairs.look(view.take_snapshot()).pairs[:2]} == {(2, 7), (3, 20)}
    assert view.read.count(20) == 1
    assert len(view.read) == 11


def test_faces_deleted_meanwhile_are_left_out(work):
    folder, _ = work
    view = WorkView(folder)
    snapshot = view.take_snapshot()
    face_path(folder / "faces", 7).unlink()
    told = []
    pairs = LivePairs(view, lambda: told.append(1), rest=0)
    pairs.look(snapshot)
    wait_for(lambda: told)
    found = pairs.look(snapshot)
    assert found.compared == 9
    assert all(7 not in pair[:2] for pair in found.pairs)


def test_of_very_many_faces_the_best_are_compared(work, monkeypatch):
    folder, _ = work
    monkeypatch.setattr(live_pairs, "_MOST_FACES", 4)
    view = CountingView(folder)
    snapshot = view.take_snapshot()
    told = []
    pairs = LivePairs(view, lambda: told.append(1), rest=0)
    pairs.look(snapshot)
    wait_for(lambda: told)
    best = snapshot.faces.index[np.argsort(-snapshot.faces.score, kind="stable")[:4]]
    assert sorted(view.read) == sorted(best.tolist())


def test_after_a_failure_the_next_look_tries_again(work, monkeypatch):
    folder, _ = work
    view = WorkView(folder)
    pairs = LivePairs(view, lambda: None, rest=0)
    failed = []
    monkeypatch.setattr("threading.excepthook", failed.append)
    with monkeypatch.context() as broken:
        broken.setattr(view, "read_face", lambda *_, **__: 1 / 0)
        pairs.look(view.take_snapshot())
        wait_for(lambda: failed)
    wait_for(lambda: pairs.look(view.take_snapshot()) is not None)
