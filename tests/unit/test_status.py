import pytest
from celebahq_cli.celebahq import main
from click.testing import CliRunner
from filelock import FileLock

from celebahq_tools.errors import InputError
from celebahq_tools.status import read_status
from celebahq_tools.store.journal import Journal
from celebahq_tools.types import ItemRecord


@pytest.fixture
def work(tmp_path):
    """A build of ten photographs that did four."""
    folder = tmp_path / "x.h5.work"
    folder.mkdir()
    with Journal(folder / "journal.sqlite") as journal:
        journal.begin_run({"found": 10, "out": "x.h5"})
        for index in range(3):
            journal.record(ItemRecord(index, f"{index}.jpg", score=0.5, seconds={"align": 0.25 * index}))
        journal.record(ItemRecord(3, "3.jpg", stage="decode", reason="grey"))
    return folder


def test_a_killed_build_shows_progress_rate_and_reasons(work):
    with Journal.open_readonly(work / "journal.sqlite") as journal:
        started = journal.runs()[0].started
    status = read_status(work, now=started + 8)
    assert (status.state, status.found, status.done, status.waiting) == ("killed", 10, 4, 3)
    assert status.rate == pytest.approx(0.5)
    assert status.seconds_left == pytest.approx(12)
    assert status.rejected == {"decode.grey": 1}
    assert status.stage_seconds == {"align": 0.25}


def test_a_build_that_holds_the_lock_is_running(work):
    with FileLock(work / "lock"):
        assert read_status(work).state == "running"


def test_an_ended_build_says_how(work):
    with Journal(work / "journal.sqlite") as journal:
        journal.end_run(1, "KeyboardInterrupt")
        assert read_status(work).state == "stopped"
        journal.end_run(journal.begin_run({"found": 10, "out": "x.h5"}), "finished")
    status = read_status(work)
    assert (status.state, status.runs) == ("finished", 2)


def test_the_out_file_finds_its_work_folder(work):
    result = CliRunner().invoke(main, ["status", str(work.with_name("x.h5"))])
    assert result.exit_code == 0
    assert "killed, started 1 times; makes x.h5" in result.output
    assert "4 of 10 done (40.0%), 3 faces waiting" in result.output
    assert "rejected      1  decode.grey" in result.output
    assert "Run the same build command again" in result.output
    assert '"done": 4' in CliRunner().invoke(main, ["status", "--json", str(work)]).output


def test_a_folder_without_a_build_is_refused(tmp_path):
    with pytest.raises(InputError, match="no build is under way there"):
        read_status(tmp_path)
    with Journal(tmp_path / "journal.sqlite"):
        pass
    with pytest.raises(InputError, match="never begun"):
        read_status(tmp_path)
