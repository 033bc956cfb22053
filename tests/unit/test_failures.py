import errno

import click
import pytest
from celebahq_cli.failures import Program, report_failures
from click.testing import CliRunner

from celebahq_tools.errors import InputError


def run(error, then=""):
    @click.group(cls=Program)
    def main():
        pass

    @main.command()
    def work():
        with report_failures(then):
            raise error

    return CliRunner().invoke(main, ["work"])


def test_our_own_errors_are_printed_as_they_are():
    result = run(InputError("photos/: no such folder; pass --in"))
    assert (result.exit_code, result.output) == (1, "Error: photos/: no such folder; pass --in\n")


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.ENOSPC, "free some space"), (errno.EROFS, "choose another folder"), (errno.EACCES, "may write")],
)
def test_errors_of_the_machine_name_the_file_the_remedy_and_what_is_next(number, remedy):
    result = run(OSError(number, "system text", "x.h5"), then="run it again")
    assert result.exit_code == 1
    assert result.output.startswith("Error: x.h5: ")
    assert remedy in result.output
    assert result.output.endswith("; run it again\n")


def test_another_error_of_the_system_is_shown_in_its_own_words():
    assert run(OSError(errno.ELOOP, "Too many levels", "a")).output == "Error: a: Too many levels\n"


def test_a_broken_pipe_to_something_else_than_the_reader_is_told():
    assert run(BrokenPipeError(errno.EPIPE, "Broken pipe")).output == "Error: Broken pipe\n"


def test_ctrl_c_ends_with_130_and_says_how_to_go_on():
    result = run(KeyboardInterrupt(), then="run it again")
    assert (result.exit_code, result.output) == (130, "\nInterrupted; run it again.\n")


def test_a_bug_is_not_hidden():
    assert isinstance(run(ZeroDivisionError()).exception, ZeroDivisionError)
