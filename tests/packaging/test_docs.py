"""The docs: every page in the navigation, every link alive, every command known, nothing from outside."""

import fnmatch
import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import click
import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
GENERATED = DOCS / "api"
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(page for page in DOCS.rglob("*.md") if GENERATED not in page.parents),
        *(ROOT / "benchmarks").rglob("*.md"),
    ]
)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
LARGEST_PICTURE = 400_000


def name_page(page):
    return str(page.relative_to(ROOT))


def strip_code(text):
    """Return a page without fenced blocks and code spans, in which brackets mean nothing."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def list_anchors(page):
    """Return the anchors that GitHub and MyST give a page's headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def list_navigation():
    """Return (pattern, folder) of every line of every table of contents."""
    entries = []
    for page in DOCS.rglob("*.md"):
        for block in re.findall(r"^```\{toctree\}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            lines = [line.strip() for line in block.splitlines()]
            entries += [(page.parent / line).resolve() for line in lines if line and not line.startswith(":")]
    return entries


def list_commands(page):
    """Yield the command lines of a page's code blocks, continuation lines joined, comments and prompts removed."""
    text = page.read_text()
    blocks = re.findall(r"^```(?:\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    blocks += re.findall(r"(?:^(?: {4}.*)?\n)+", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.M)
    for block in blocks:
        for line in re.sub(r"\\\n", " ", block).splitlines():
            found = re.match(r"\s*(?:\$ )?(?:[A-Z_]+=\S+ )*((?:celebahq|swd|pggan)\s+[a-z].*)", line)
            if found:
                yield found[1]


@pytest.mark.parametrize("page", PAGES, ids=name_page)
def test_every_link_leads_somewhere(page):
    for target in LINK.findall(strip_code(page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = unquote(target).partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{name_page(page)}: {target} is not there"
        if anchor and found.suffix == ".md":
            assert anchor in list_anchors(found), f"{name_page(page)}: {target} has no such heading"


def test_every_page_of_the_docs_is_in_the_navigation():
    navigation = [str(entry) for entry in list_navigation()]
    for page in PAGES:
        if DOCS in page.parents and page != DOCS / "index.md":
            name = str(page.with_suffix(""))
            assert any(fnmatch.fnmatch(name, entry) for entry in navigation), f"add {name_page(page)} to docs/index.md"


def test_every_entry_of_the_navigation_is_a_page():
    for entry in list_navigation():
        if GENERATED not in entry.parents:
            assert list(entry.parent.glob(entry.name + ".md")), f"docs/index.md names {entry}, which is not there"


def test_every_picture_is_shown_and_small():
    text = "\n".join(page.read_text() for page in PAGES)
    for picture in (DOCS / "images").iterdir():
        assert picture.name in text, f"{picture} is shown on no page"
        assert picture.stat().st_size < LARGEST_PICTURE, f"{picture}: {picture.stat().st_size} bytes"


def test_every_picture_says_what_it_shows():
    for page in PAGES:
        assert not re.search(r"!\[\s*\]\(", strip_code(page.read_text())), f"{name_page(page)}: a picture without text"


@pytest.mark.parametrize("page", PAGES, ids=name_page)
def test_commands_in_the_docs_have_the_options_they_are_shown_with(page):
    for line in list_commands(page):
        # What stands for something else (DIR|none, [options], ...) is not typed as it is.
        words = shlex.split(re.split(r"\s[#|>&;]", line)[0].replace("[options]", "").replace("...", ""))
        group = importlib.import_module(f"celebahq_cli.{words[0]}").main
        if words[1] not in group.commands and "NAME" not in words[1]:
            raise AssertionError(f"{name_page(page)}: `{line}`: {words[0]} has no command {words[1]}")
        command = group.commands[words[1]]
        rest = words[2:]
        while isinstance(command, click.Group) and rest and rest[0] in command.commands:
            command = command.commands[rest.pop(0)]
        known = {name for param in command.params for name in [*param.opts, *param.secondary_opts]} | {"--help", "-h"}
        for word in rest:
            if word.startswith("--"):
                assert word.split("=")[0] in known, f"{name_page(page)}: `{line}`: there is no {word}"


def test_the_example_of_a_metric_works():
    import numpy as np

    names: dict[str, object] = {}
    (example,) = re.findall(r"```python\n(.*?)```", (DOCS / "how-to" / "add-a-metric.md").read_text(), re.DOTALL)
    exec(compile(example, "add-a-metric.md", "exec"), names)
    metric = names["MeanBrightness"]()
    metric.update_reals(np.full((2, 3, 16, 16), 100, np.uint8))
    metric.update_fakes(np.full((4, 3, 16, 16), 107, np.uint8))
    result = metric.compute()
    assert (dict(result.values), result.num_images) == ({"brightness": 7.0}, 4)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the site as `make docs` does: any warning, such as a page outside the navigation, is an error."""
    pytest.importorskip("sphinx", reason="the docs extra is not installed")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-c", str(DOCS)]
    result = subprocess.run([*command, str(ROOT), str(folder)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return folder


def test_the_site_loads_nothing_from_elsewhere(site):
    for page in site.rglob("*.html"):
        text = page.read_text()
        outside = re.findall(r"<(?:script|img|source|iframe|video)\b[^>]*\bsrc=\"(?:https?:)?//[^\"]*\"", text)
        outside += re.findall(r"<link\b[^>]*\bhref=\"(?:https?:)?//[^\"]*\"", text)
        assert not outside, f"{page}: {outside}"
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(\s*[\"']?(?:https?:)?//|@import", style.read_text()), style


def test_the_reference_documents_every_module(site):
    written = "\n".join(page.read_text() for page in (site / "docs" / "api").glob("*.html"))
    packages = [ROOT / "celebahq_tools", ROOT / "pggan_core", ROOT / "metrics" / "gan_metrics"]
    for package in packages:
        for module in package.rglob("*.py"):
            name = ".".join(module.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__")
            assert f'id="module-{name}"' in written, name
