"""What a user installs."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {"celebahq_tools", "pggan_core", "gan_metrics", "celebahq_cli", "celebahq_manifests"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_holds_only_our_names(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == PACKAGES


def test_the_wheel_holds_licence_notice_types_and_manifests(wheel):
    names = wheel.namelist()
    assert {Path(name).name for name in names if ".dist-info/licenses/" in name} == {"LICENSE", "NOTICE"}
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names)
    assert "celebahq_manifests/weights.toml" in names
    names = set(names)
    pages = "templates/page.html.j2 templates/parts.html.j2 static/page.css static/page.js static/served.js"
    assert {f"celebahq_tools/pages/{name}" for name in pages.split()} <= names
    report = "templates/face.html.j2 templates/faces.html.j2 templates/steps.html.j2 static/faces.css static/faces.js"
    assert {f"celebahq_tools/report/{name}" for name in report.split()} <= names
    assert "celebahq_tools/serve/static/live.js" in names


def test_the_wheel_ships_no_third_party_weights(wheel):
    assert not [name for name in wheel.namelist() if name.endswith((".bin", ".pth", ".pt", ".onnx", ".param"))]


def test_the_three_commands_are_installed(wheel):
    (entry,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    text = wheel.read(entry).decode()
    assert [line.split(" = ")[0] for line in text.splitlines() if " = " in line] == ["celebahq", "pggan", "swd"]
