"""The documentation site: `make docs` builds it strictly and offline into build/docs.

The source folder is the repository, so that links between the pages, ARCHITECTURE.md and benchmarks/ are the same
on the site and in a checkout. The reference is generated from docstrings, one page per package.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_CONTAINERS = {"gan_metrics": "metrics", "celebahq_cli": "cli", "celebahq_manifests": "data_manifests"}
_PACKAGES = ("celebahq_tools", "gan_metrics", "pggan_core", "celebahq_manifests")

project = "celebahq-tools"
author = "The celebahq-tools authors"
project_copyright = author
release = version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
include_patterns = [
    "docs/**",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "benchmarks/RESULTS.md",
    "benchmarks/results/**",
]
exclude_patterns = [".venv", "build", "dist", "demo", "tests", "docs/images"]
source_suffix = {".md": "markdown"}
myst_heading_anchors = 4
myst_enable_extensions = ["fieldlist"]
suppress_warnings = ["myst.header"]
nitpicky = False

# Blocks without a language are commands and what they print.
highlight_language = "none"

html_theme = "furo"
html_title = f"celebahq-tools {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["_root"]
html_copy_source = False
html_show_sphinx = False
# Furo's defaults name no outside font or script; tests/packaging/test_docs.py keeps it so.
html_theme_options = {"top_of_page_buttons": []}

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
# A name is documented where it is defined, not again where a package hands it on.
autodoc_default_options = {"members": True, "ignore-module-all": True}
# Loaded by no module at its top; named so that a page can be built where they are not installed.
autodoc_mock_imports = ["matplotlib", "tensorboard"]
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False


def write_reference(folder: Path) -> None:
    """Write one page per package, with a section per module; stale pages are removed."""
    folder.mkdir(exist_ok=True)
    pages: dict[str, list[str]] = {}
    for package in _PACKAGES:
        base = ROOT / _CONTAINERS.get(package, "")
        for path in sorted((base / package).rglob("*.py")):
            parts = list(path.relative_to(base).with_suffix("").parts)
            page = ".".join(parts[:-1])
            if parts[-1] == "__init__":
                parts.pop()
            module = ".".join(parts)
            pages.setdefault(page, []).append(f"## {module}\n\n```{{eval-rst}}\n.. automodule:: {module}\n```\n")
    wanted = {folder / f"{page}.md": f"# {page}\n\n" + "\n".join(parts) for page, parts in pages.items()}
    for stale in set(folder.glob("*.md")) - set(wanted):
        stale.unlink()
    for path, text in wanted.items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def quote_docstring(_app: Any, _what: str, _name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    """Make our docstrings, which are plain text with `code` and :roles:, valid reStructuredText."""
    for index, line in enumerate(lines):
        pieces = re.split(r"(``[^`]*``|:[a-z:]+:`[^`]*`|`[^`]*`)", line)
        for place, piece in enumerate(pieces):
            if place % 2 == 0:
                pieces[place] = re.sub(r"([*|])|(?<=\w)(_)(?=\W|$)", lambda found: "\\" + found[0], piece)
            elif piece.startswith("`") and not piece.startswith("``"):
                pieces[place] = f"`{piece}`"
        lines[index] = "".join(pieces)


def setup(app: Any) -> dict[str, bool]:
    """Write the reference's pages before they are read, and quote docstrings before napoleon takes them apart."""
    write_reference(ROOT / "docs" / "api")
    app.connect("autodoc-process-docstring", quote_docstring, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
