"""`celebahq report`, and the report that ends a build, through the installed command."""

import pytest

from celebahq_tools.source.samples import write_sample_folder

from .commands import run, run_well

QUICK = ("--size", "128", "--dejpeg", "none", "--sr", "lanczos")
HOSTILE = "<img_src=x_onerror=document.title=1>\u202e.jpg"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A finished build with its report, of the sample photographs; one of them has a hostile name."""
    folder = tmp_path_factory.mktemp("report")
    photos = folder / "celeba"
    write_sample_folder(photos)
    (photos / "img_celeba" / "000003.jpg").rename(photos / "img_celeba" / HOSTILE)
    table = photos / "Anno" / "list_landmarks_celeba.txt"
    table.write_text(table.read_text().replace("000003.jpg", HOSTILE))
    result = run_well(
        "build", "--in", photos, "--out", folder / "faces.h5", "--keep", 10, "--work", folder / "work", *QUICK
    )
    return folder, result


def test_a_build_ends_with_a_report(built):
    folder, result = built
    report = folder / "faces.report.html"
    assert f"Report:   {report}" in result.stdout
    html = report.read_text(encoding="utf-8")
    # Strips of three faces: the photographs of a build are where they were.
    assert html.count('<ol class="strip"') == 3
    assert "decode.truncated" in html
    assert "<img_src=x" not in html


def test_a_report_that_cannot_be_written_does_not_fail_the_build(built, tmp_path):
    (tmp_path / "x.report.html").mkdir()
    result = run("build", "--in", built[0] / "celeba", "--out", tmp_path / "x.h5", "--keep", 2, *QUICK)
    assert result.returncode == 0
    assert "Report:   not made" in result.stderr
    assert "Traceback" not in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.h5", "x.manifest.csv", "x.report.html"]


def test_a_report_of_a_file_shows_steps_where_the_photographs_are(built, tmp_path):
    folder, _ = built
    out = tmp_path / "report.html"
    photos = ("--photos", folder / "celeba")
    result = run_well("report", folder / "faces.h5", "--out", out, *photos, "--strips", 2, "--shown", 3)
    assert f"Report: {out}" in result.stdout
    assert out.read_text().count('<ol class="strip"') == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("gone.h5",), "no manifest"),
        ((".",), "no journal.sqlite"),
        (("{}/faces.h5", "--photos", "gone"), "gone: no such folder"),
        (("{}/faces.h5", "--shown", "0"), "--shown 0"),
        (("{}/faces.h5", "--out", "no/such/folder/x.html"), "No such file"),
    ],
)
def test_a_wrong_command_is_answered_with_the_reason(built, arguments, message):
    result = run("report", *(word.format(built[0]) for word in arguments))
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr
