import errno
import sqlite3
import time
from dataclasses import replace

import numpy as np
import pytest

from celebahq_tools.errors import ConfigError, ShapeError, StoreError
from celebahq_tools.store.journal import Journal
from celebahq_tools.store.journal_database import explain_error
from celebahq_tools.types import ItemRecord


def face(index, score):
    return ItemRecord(
        index,
        f"{index:06d}.jpg",
        "ab" * 32,
        np.arange(10, dtype=np.float32).reshape(5, 2),
        np.arange(8, dtype=np.float64).reshape(4, 2) / 3,
        1.5,
        0.75,
        score,
        {"breadth": 0.1 + score},
    )


def rejection(index, reason="truncated"):
    return ItemRecord(index, f"{index:06d}.jpg", stage="decode", reason=reason, detail="why")


@pytest.fixture
def journal(tmp_path):
    with Journal(tmp_path / "journal.sqlite") as opened:
        yield opened


def test_records_come_back_exactly_and_in_index_order(journal):
    for record in (face(2, 1 / 3), rejection(0), face(1, 0.1)):
        journal.record(record)
    rows = list(journal.records())
    assert [row.index for row in rows] == [0, 1, 2]
    assert rows[0].reason == "truncated"
    assert rows[0].quad is None
    assert rows[2].score == 1 / 3
    assert rows[2].components == {"breadth": 0.1 + 1 / 3}
    np.testing.assert_array_equal(rows[2].quad, face(2, 1 / 3).quad)
    np.testing.assert_array_equal(rows[2].landmarks, face(2, 1 / 3).landmarks)
    assert journal.done().tolist() == [0, 1, 2]


def test_scores_come_in_index_order(journal):
    for index, score in [(3, 0.1), (1, 0.9)]:
        journal.record(face(index, score))
    journal.record(rejection(2))
    indices, scores = journal.scores()
    assert (indices.tolist(), scores.tolist()) == ([1, 3], [0.9, 0.1])


def test_deleted_faces_wait_no_more_and_stay_in_the_ranking(journal):
    for index in range(3):
        journal.record(face(index, float(index)))
    journal.mark_deleted([0])
    assert journal.stored() == {1, 2}
    assert journal.count_stored() == 2
    assert journal.scores()[0].tolist() == [0, 1, 2]
    journal.forget([0])
    assert journal.done().tolist() == [1, 2]
    assert journal.count_done() == 2
    journal.record(rejection(1))
    assert journal.stored() == {2}


def test_a_row_takes_about_a_kilobyte(journal):
    """With a checksum, landmarks, corners, parts of the score, times and a thumbnail that hardly compresses."""
    parts = {name: 1 / number for number, name in enumerate("abcdefgh", 3)}
    seconds = {f"stage {number}": 0.123456 for number in range(8)}
    for index in range(400):
        thumb = np.random.default_rng(index).bytes(420)
        journal.record(replace(face(index, 1 / 3), components=parts, seconds=seconds, thumb=thumb))
    journal.close()
    assert journal.path.stat().st_size / 400 < 1200
    with Journal(journal.path) as opened:
        assert dict(opened.thumbs())[7] == np.random.default_rng(7).bytes(420)


def test_times_and_facts_of_a_photograph_are_kept(journal):
    record = replace(face(0, 0.5), seconds={"decode": 0.25, "align": 1.5}, facts={"hash": "00ff", "blocks": [1, 2.5]})
    journal.record(record)
    journal.record(replace(rejection(1), seconds={"decode": 0.75}))
    first = next(iter(journal.records()))
    assert first.seconds == record.seconds
    assert first.facts == record.facts
    assert journal.total_seconds() == {"decode": (2, 1.0), "align": (1, 1.5)}
    assert len(journal.finish_times()) == 2
    assert len(journal.finish_times(since=time.time() + 60)) == 0


def test_every_run_is_noted_with_its_end(journal):
    first = journal.begin_run({"workers": 2})
    journal.end_run(first, "KeyboardInterrupt")
    journal.begin_run({"workers": 3})
    ended, running = journal.runs()
    assert (ended.outcome, ended.details) == ("KeyboardInterrupt", {"workers": 2})
    assert ended.ended >= ended.started
    assert (running.outcome, running.ended) == ("running", None)


def test_a_journal_is_read_while_another_process_writes(journal):
    journal.bind_settings({"size": "64"})
    journal.record(face(0, 0.5))
    with Journal.open_readonly(journal.path) as reader:
        assert reader.count_done() == 1
        journal.record(face(1, 0.25))
        assert reader.count_done() == 2
        assert reader.settings() == {"size": "64"}
        with pytest.raises(PermissionError):
            reader.record(face(2, 0.1))


def test_reading_makes_no_journal(tmp_path):
    with pytest.raises(StoreError, match="no journal; pass the --work folder"):
        Journal.open_readonly(tmp_path / "journal.sqlite")
    assert not list(tmp_path.iterdir())


def test_a_journal_of_another_version_is_refused(tmp_path):
    path = tmp_path / "journal.sqlite"
    with Journal(path):
        pass
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 1")
    database.close()
    for open_journal in (Journal, Journal.open_readonly):
        with pytest.raises(StoreError, match="another version of the program"):
            open_journal(path)


def test_reasons_are_counted_most_frequent_first(journal):
    for index, reason in enumerate(["grey", "truncated", "truncated"]):
        journal.record(rejection(index, reason))
    assert list(journal.count_reasons().items()) == [("decode.truncated", 2), ("decode.grey", 1)]


def test_a_reopened_journal_knows_its_settings_and_rows(tmp_path):
    path = tmp_path / "journal.sqlite"
    with Journal(path) as journal:
        journal.bind_settings({"size": "1024", "sr": "a"})
        journal.record(face(0, 0.5))
    with Journal(path) as journal:
        journal.bind_settings({"size": "1024", "sr": "a"})
        assert journal.done().tolist() == [0]
        with pytest.raises(ConfigError, match=r"other settings \(new: None -> x; size: 1024 -> 512; sr: a -> None\)"):
            journal.bind_settings({"size": "512", "new": "x"})


def test_a_file_that_is_no_journal_is_refused(tmp_path):
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match="delete the work folder"):
        Journal(path)


def test_a_record_is_either_scored_or_rejected():
    with pytest.raises(ShapeError):
        ItemRecord(0, "a.jpg")
    with pytest.raises(ShapeError):
        ItemRecord(0, "a.jpg", score=0.5, stage="decode", reason="grey")


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        (sqlite3.SQLITE_FULL, OSError, "No space left"),
        (sqlite3.SQLITE_IOERR, OSError, "Input/output error"),
        (sqlite3.SQLITE_IOERR | (10 << 8), OSError, "Input/output error"),
        (sqlite3.SQLITE_READONLY, PermissionError, "denied"),
        (sqlite3.SQLITE_CANTOPEN, StoreError, "copy the folder"),
        (sqlite3.SQLITE_BUSY, StoreError, "another program is writing"),
        (sqlite3.SQLITE_CORRUPT, StoreError, "delete the work folder"),
        (sqlite3.SQLITE_NOTADB, StoreError, "delete the work folder"),
    ],
)
def test_only_damage_is_answered_with_deleting_the_work_folder(tmp_path, code, kind, message):
    error = sqlite3.OperationalError("as SQLite says it")
    error.sqlite_errorcode = code
    found = explain_error(tmp_path / "j", error)
    assert type(found) is kind
    assert message in str(found)
    assert ("delete the work folder" in str(found)) == (message == "delete the work folder")


def test_a_journal_that_cannot_grow_says_that_the_disk_is_full(journal):
    journal._database.execute("PRAGMA max_page_count = 20")
    with pytest.raises(OSError, match="No space left") as caught:
        for index in range(2000):
            journal.record(face(index, 0.5))
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(journal.path)
    assert journal.count_done() > 0


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("components", "'{'"),
        ("components", "7"),
        ("seconds", "'[1]'"),
        ("quad", "x'00'"),
        ("sha256", "'text'"),
        ("facts", "x'ff'"),
        ("file", "CAST(x'ff' AS TEXT)"),
    ],
)
def test_a_damaged_row_is_a_message_whatever_is_asked(journal, column, value):
    journal.record(face(3, 0.5))
    journal._database.execute(f"UPDATE items SET {column} = {value}")
    with pytest.raises(StoreError, match="delete the work folder to start again"):
        list(journal.records())
    if column == "seconds":
        with pytest.raises(StoreError, match="delete the work folder to start again"):
            journal.total_seconds()


def test_damaged_pages_are_a_message_whenever_they_are_read(journal):
    for index in range(300):
        journal.record(face(index, 0.5))
    journal.close()
    data = bytearray(journal.path.read_bytes())
    rng = np.random.default_rng(0)
    refused = 0
    for trial in range(40):
        damaged = bytearray(data)
        for place in rng.integers(100, len(data), 30):
            damaged[place] = rng.integers(256)
        path = journal.path.with_name(f"{trial}.sqlite")
        path.write_bytes(damaged)
        try:
            with Journal(path) as opened:
                for ask in (opened.settings, opened.runs, opened.done, opened.scores, opened.count_reasons):
                    ask()
                list(opened.records())
                opened.total_seconds()
                opened.record(face(1000, 0.5))
        except StoreError:
            refused += 1
    assert refused > 10
