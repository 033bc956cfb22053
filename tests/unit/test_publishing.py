"""The dataset on its way to its name: killed anywhere, the choice changed, the disk full, faces damaged."""

import shutil

import h5py
import numpy as np
import pytest

from celebahq_tools import dataset_parts, publishing
from celebahq_tools.dataset_parts import DamagedFaceError, Recipe, write_faces
from celebahq_tools.publishing import Publication
from celebahq_tools.store import partial_file
from celebahq_tools.store.encoding import encode_face, load_encoded, save_encoded
from celebahq_tools.store.journal import Journal
from celebahq_tools.store.partial_file import CHECKPOINT, load_checkpoint, matches_checkpoint, restore_file
from celebahq_tools.store.verify import verify_dataset
from celebahq_tools.store.waiting import face_path
from celebahq_tools.types import ItemRecord

COUNT, SIZE, PART = 21, 64, 4
NOISE = np.random.default_rng(0).integers(0, 256, (COUNT, SIZE, SIZE, 3), dtype=np.uint8)
KEPT = list(range(COUNT))
# Places the first run is ended at: mid-part, just after a checkpoint, before the deletion, at the last face.
STEPS = (1, 2, 6, 11, 17, 26, 31)


class Kill(BaseException):
    """Stands for SIGKILL; what HDF5 does to the file afterwards is undone by scribbling over it."""


class Silent:
    def begin_stage(self, name, *, total, done):
        pass

    def advance(self, record):
        pass


@pytest.fixture(scope="module")
def waiting(tmp_path_factory):
    """A work folder in which all faces wait."""
    work = tmp_path_factory.mktemp("waiting") / "x.h5.work"
    work.mkdir()
    with Journal(work / "journal.sqlite") as journal:
        for index in KEPT:
            path = face_path(work / "faces", index)
            path.parent.mkdir(parents=True, exist_ok=True)
            save_encoded(path, encode_face(NOISE[index]))
            journal.record(ItemRecord(index, f"{index}.jpg", score=0.5))
    return work


def make_recipe(compression="gzip", **attributes):
    return Recipe(SIZE, {"keep": COUNT, "source": "/somewhere", **attributes}, compression, PART)


def publish(folder, *, kept=KEPT, recipe=None, keep_faces=False, listener=None, tables=None, finish=True):
    work = folder / "x.h5.work"
    with Journal(work / "journal.sqlite") as journal:
        publication = Publication(
            folder / "x.h5", work, work / "faces", journal, listener or Silent(), keep_faces=keep_faces
        )
        # What a build does when it starts.
        found = {int(path.stem) for path in (work / "faces").glob("*/*.npz")}
        journal.mark_waiting((found - journal.stored()) & publication.held)
        journal.mark_deleted(journal.stored() - found)
        assert set(KEPT) <= journal.stored() | publication.held, "a face is lost"
        publication.write(kept, recipe or make_recipe(), tables or {})
        if finish:
            publication.finish()


def scribble(folder):
    """Overwrite all that HDF5 may have changed since the checkpoint, and put rubbish behind it."""
    checkpoint = load_checkpoint(folder / "x.h5.work" / CHECKPOINT)
    for file in folder.glob(".x.h5.*.building"):
        if checkpoint is None or file.stat().st_size < checkpoint.length:
            continue
        with file.open("r+b") as stream:
            for start, size in zip(checkpoint.starts.tolist(), checkpoint.sizes.tolist(), strict=True):
                stream.seek(start)
                stream.write(b"\xa5" * size)
            stream.seek(checkpoint.length)
            stream.write(b"\x5a" * 5000)


def count_kinds(folder):
    return len(list(folder.glob("x.h5.work/faces/*/*.npz"))), len(list(folder.glob(".x.h5.*.building")))


@pytest.fixture
def folder(waiting, tmp_path):
    shutil.copytree(waiting, tmp_path / "x.h5.work")
    return tmp_path


@pytest.fixture(scope="module")
def undisturbed(waiting, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    shutil.copytree(waiting, folder / "x.h5.work")
    publish(folder)
    assert count_kinds(folder) == (0, 0)
    return (folder / "x.h5").read_bytes()


def kill_after(monkeypatch, steps):
    """End the run at its n-th step, a step being a face read, a checkpoint, a deletion or a renaming."""
    taken = 0

    def watch(owner, name):
        real = getattr(owner, name)

        def step(*arguments, **options):
            nonlocal taken
            taken += 1
            if taken > steps:
                raise Kill
            return real(*arguments, **options)

        monkeypatch.setattr(owner, name, step)

    watch(dataset_parts, "load_encoded")
    watch(publishing, "save_checkpoint")
    watch(publishing, "save_encoded")
    watch(publishing, "restore_file")
    watch(Journal, "mark_deleted")
    watch(Journal, "mark_waiting")
    watch(publishing.os, "truncate")


def test_the_file_holds_the_faces_in_any_number_of_parts(undisturbed, tmp_path):
    path = tmp_path / "x.h5"
    path.write_bytes(undisturbed)
    assert not verify_dataset(path, Silent()).findings
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file[f"data{SIZE}x{SIZE}"][:].transpose(0, 2, 3, 1), NOISE)
        assert file["data1x1"].shape == (COUNT, 3, 1, 1)
        assert "source" not in file.attrs


@pytest.mark.parametrize("steps", STEPS)
def test_killed_anywhere_the_file_ends_byte_identical(folder, undisturbed, monkeypatch, steps):
    with monkeypatch.context() as patch:
        kill_after(patch, steps)
        with pytest.raises(Kill):
            publish(folder)
    assert not (folder / "x.h5").exists()
    scribble(folder)
    publish(folder)
    assert (folder / "x.h5").read_bytes() == undisturbed
    assert count_kinds(folder) == (0, 0)


def test_killed_again_and_again_it_still_ends_byte_identical(folder, undisturbed, monkeypatch):
    for _ in range(60):
        try:
            with monkeypatch.context() as patch:
                kill_after(patch, 11)  # a little more than a part takes
                publish(folder)
            break
        except Kill:
            scribble(folder)
    assert (folder / "x.h5").read_bytes() == undisturbed


@pytest.mark.parametrize("compression", ["gzip", "lzf", "blosc", "none"])
def test_another_choice_takes_the_faces_back_bit_for_bit(folder, waiting, monkeypatch, compression):
    with monkeypatch.context() as patch:
        kill_after(patch, 22)
        with pytest.raises(Kill):
            publish(folder, recipe=make_recipe(compression))
    assert count_kinds(folder)[0] < COUNT
    scribble(folder)
    other = [index for index in KEPT if index != 2]
    for steps in (3, 8, 12):  # killed while it takes them back, too
        with monkeypatch.context() as patch, pytest.raises(Kill):
            kill_after(patch, steps)
            publish(folder, kept=other)
        scribble(folder)
    publish(folder, kept=other, keep_faces=True)
    for index in KEPT:
        ours = load_encoded(face_path(folder / "x.h5.work/faces", index))
        theirs = load_encoded(face_path(waiting / "faces", index))
        assert ours.keys() == theirs.keys()
        assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    with write_faces(folder / "y.h5", waiting / "faces", other, make_recipe(), Silent()):
        pass
    assert (folder / "x.h5").read_bytes() == (folder / "y.h5").read_bytes()


def test_the_finished_file_gives_its_faces_back_and_stays(folder, undisturbed, monkeypatch):
    publish(folder)
    publish(folder, kept=KEPT[3:], finish=False)
    assert (folder / "x.h5").read_bytes() == undisturbed
    # Another file under that name is not taken for it: its faces are not ours.
    (folder / "x.h5").write_bytes(undisturbed[:3000] + b"x" + undisturbed[3001:])
    publish(folder)
    assert (folder / "x.h5").read_bytes() == undisturbed


def test_a_full_disk_and_a_damaged_face_leave_the_parts_that_are_whole(folder, undisturbed, monkeypatch):
    path = face_path(folder / "x.h5.work/faces", 9)
    whole = path.read_bytes()
    path.write_bytes(whole[:50])
    with pytest.raises(DamagedFaceError):
        publish(folder)
    assert load_checkpoint(folder / "x.h5.work" / CHECKPOINT).written.tolist() == KEPT[:8]
    (file,) = folder.glob(".x.h5.*.building")
    assert matches_checkpoint(file, load_checkpoint(folder / "x.h5.work" / CHECKPOINT))
    path.write_bytes(whole)

    def fill(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(publishing, "save_checkpoint", fill)
        publish(folder)
    publish(folder)
    assert (folder / "x.h5").read_bytes() == undisturbed


def test_a_named_work_folder_keeps_its_faces_and_the_same_bytes(folder, undisturbed):
    publish(folder, keep_faces=True)
    assert (folder / "x.h5").read_bytes() == undisturbed
    assert count_kinds(folder) == (COUNT, 0)
    assert not (folder / "x.h5.work" / CHECKPOINT).exists()


def test_two_work_folders_never_share_a_file(folder):
    shutil.copytree(folder / "x.h5.work", folder / "other")
    names = set()
    for work in (folder / "x.h5.work", folder / "other"):
        with Journal(work / "journal.sqlite") as journal:
            Publication(folder / "x.h5", work, work / "faces", journal, Silent(), keep_faces=False).write(
                KEPT, make_recipe(), {}
            )
        names = {path.name for path in folder.glob(".x.h5.*.building")}
    assert len(names) == 2


def test_an_unfinished_file_goes_with_its_work_folder_and_not_before(folder, monkeypatch):
    with monkeypatch.context() as patched:
        kill_after(patched, 17)
        with pytest.raises(Kill):
            publish(folder)
    (file,) = folder.glob(".x.h5.*.building")
    work = folder / "x.h5.work"

    def tidy():
        with Journal(work / "journal.sqlite") as journal:
            Publication(folder / "x.h5", work, work / "faces", journal, Silent(), keep_faces=False).tidy()

    tidy()
    assert file.is_file()
    shutil.rmtree(work)  # to start again, as messages suggest
    work.mkdir()
    tidy()
    assert not file.exists()


def test_disk_stays_within_a_fifth_of_the_dataset(tmp_path, monkeypatch):
    """110 faces wait for a dataset of 100; sizes are those of the files, at the moment before each deletion."""
    count, size = 100, 128
    work, rng = tmp_path / "x.h5.work", np.random.default_rng(1)
    work.mkdir()
    sizes = []

    def measure():
        files = [*work.rglob("*"), *tmp_path.glob(".x.h5.*"), *tmp_path.glob("x.h5")]
        journal = sum(path.stat().st_size for path in work.glob("journal*"))
        sizes.append(sum(path.stat().st_size for path in files if path.is_file()) - journal)

    class Measuring(Silent):
        def advance(self, record):
            measure()

    real = partial_file.save_checkpoint

    def save(*arguments):
        checkpoint = real(*arguments)
        measure()
        return checkpoint

    monkeypatch.setattr(publishing, "save_checkpoint", save)
    with Journal(work / "journal.sqlite") as journal:
        for index in range(count * 11 // 10):
            path = face_path(work / "faces", index)
            path.parent.mkdir(parents=True, exist_ok=True)
            save_encoded(path, encode_face(rng.integers(0, 256, (size, size, 3), dtype=np.uint8)))
            journal.record(ItemRecord(index, f"{index}.jpg", score=0.5))
        publication = Publication(tmp_path / "x.h5", work, work / "faces", journal, Measuring(), keep_faces=False)
        publication.write(list(range(count)), Recipe(size, {}, "gzip", 5), {})
        publication.finish()
    assert len(sizes) == count + count // 5
    assert max(sizes) <= 1.2 * (tmp_path / "x.h5").stat().st_size


def test_a_checkpoint_brings_back_every_byte(folder):
    publish(folder, kept=KEPT, finish=False)
    (file,) = folder.glob(".x.h5.*.building")
    checkpoint = load_checkpoint(folder / "x.h5.work" / CHECKPOINT)
    before = file.read_bytes()
    assert checkpoint.sizes.sum() < len(before) / 3
    scribble(folder)
    assert file.read_bytes() != before
    restore_file(file, checkpoint)
    assert file.read_bytes() == before
    (folder / "x.h5.work" / CHECKPOINT).write_bytes(b"rubbish")
    assert load_checkpoint(folder / "x.h5.work" / CHECKPOINT) is None
