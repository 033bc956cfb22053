import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from markupsafe import Markup

from celebahq_tools.errors import ConfigError, InputError
from celebahq_tools.pages import parts, plots
from celebahq_tools.pages.images import embed_file, embed_picture
from celebahq_tools.pages.page import Section, render_page, write_page
from celebahq_tools.pages.text import show_text

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>.jpg',
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "a&lt;b&amp;.jpg",
    "photo\u202egpj.exe",
    "two\u2028lines\nand\x00nul",
    "\udce9.jpg",
    "x" * 5000,
]


class Outline(HTMLParser):
    """What a browser would see: tags, attributes, and the text of each script."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.scripts, self.text = [], [], [], ""
        self._script = None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag == "script":
            self._script = (dict(attrs), [])

    def handle_endtag(self, tag):
        if tag == "script":
            self.scripts.append((self._script[0], "".join(self._script[1])))
            self._script = None

    def handle_data(self, data):
        if self._script is not None:
            self._script[1].append(data)
        else:
            self.text += data


def make_page(text, **options):
    body = parts.join_parts(
        [
            parts.make_paragraph(text),
            parts.make_code(text),
            parts.make_tiles([(text, text, text)]),
            parts.make_facts({text: text}),
            parts.make_table([text], [[text], [None], [0.123456789]], caption=text, sortable=True, searchable=True),
            parts.make_figure("data:image/png;base64,AA", alt=text, caption=text),
            parts.make_slides([(text, "data:image/png;base64,AA")], name="s", alt=text),
            parts.make_details(text, parts.make_paragraph(text)),
            parts.make_grid([parts.make_video("data:video/mp4;base64,AA", caption=text)]),
        ]
    )
    section = Section("one", text, body, lead=text)
    return render_page(title=text, subtitle=text, sections=[section], data={"d": [text]}, **options)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_changes_neither_tags_nor_attributes(text):
    page, plain = Outline(make_page(text)), Outline(make_page("harmless"))
    assert page.tags == plain.tags
    assert [(tag, name) for tag, name, _ in page.attributes] == [(tag, name) for tag, name, _ in plain.attributes]
    data = next(body for attributes, body in page.scripts if attributes.get("id") == "data-d")
    assert json.loads(data) == [text]


def test_a_page_is_written_whole_as_utf8_whatever_the_names(tmp_path):
    for text in HOSTILE:
        write_page(tmp_path / "page.html", make_page(text, blocks={"b": "AAAA"}))
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_page_refers_to_nothing_outside_and_allows_only_its_own_scripts():
    page = Outline(make_page("x", scripts=["'use strict';"]))
    links = [value for _, name, value in page.attributes if name in ("src", "href", "poster", "action", "srcset")]
    assert links
    assert all(link.startswith(("data:", "#")) for link in links)
    policy = next(value for _, name, value in page.attributes if name == "content" and "default-src" in value)
    allowed = set(re.findall(r"'sha256-([^']+)'", policy))
    code = [body for attributes, body in page.scripts if "type" not in attributes]
    assert {base64.b64encode(hashlib.sha256(body.encode()).digest()).decode() for body in code} == allowed
    assert "connect-src 'none'" in policy
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("photo\u202egpj.exe", "photo\\u202egpj.exe"),
        ("a\u200bb\x00c\nd", "a\\u200bb\\x00c\\x0ad"),
        ("\udce9.jpg", "\\xe9.jpg"),
        ("\ud800", "\\ud800"),
        ("café 東京 👩.jpg", "café 東京 👩.jpg"),
        ("<b>", "<b>"),
    ],
)
def test_what_a_name_hides_is_written_out(text, shown):
    assert show_text(text) == shown


def test_long_text_keeps_its_ends():
    shown = show_text("begin" + "x" * 10_000 + "end")
    assert len(shown) <= 310
    assert shown.startswith("begin")
    assert shown.endswith("end")


def test_a_plot_is_well_formed_svg_in_the_colours_of_the_page():
    svg = plots.draw_histogram(
        [0.1, 0.2, 0.2, 0.9], name="a plot/1", alt='"<scores>"', label="score", mark=0.5, mark_label="cut"
    )
    root = ElementTree.fromstring(svg)
    assert root.attrib["aria-label"] == '"<scores>"'
    assert "width" not in root.attrib
    ids = [node.attrib["id"] for node in root.iter() if "id" in node.attrib]
    assert len(set(ids)) == len(ids)
    assert all(name.startswith("a-plot-1-") for name in ids)
    used = {name for name in re.findall(r"url\(#([^)]+)\)|href=\"#([^\"]+)\"", svg) for name in name if name}
    assert used <= set(ids)
    assert "var(--series-1)" in svg
    assert "var(--bad)" in svg
    assert not re.findall(r"#0[1-6]0[1-6]0[1-6]", svg)
    assert svg == plots.draw_histogram(
        [0.1, 0.2, 0.2, 0.9], name="a plot/1", alt='"<scores>"', label="score", mark=0.5, mark_label="cut"
    )


def test_bars_of_a_histogram_count_the_values():
    values = np.repeat([0.5, 1.5, 2.5], [3, 1, 6])
    svg = plots.draw_histogram(values, name="h", alt="h", label="x", bins=3, span=(0, 3))
    # Bars are clipped rectangles M x0 y0 L x1 y0 L x1 y1: their heights stand as the counts do.
    bars = re.findall(r'<path d="M ([\d.]+) ([\d.]+) \nL ([\d.]+) \2 \nL \3 ([\d.]+)', svg)[-3:]
    heights = np.array([float(bottom) - float(top) for _, bottom, _, top in bars])
    np.testing.assert_allclose(heights / heights.sum(), [0.3, 0.1, 0.6], atol=1e-4)


def test_pictures_and_files_become_data_addresses(tmp_path):
    pixels = np.zeros((40, 20, 3), np.uint8)
    assert embed_picture(pixels, encoding="PNG").startswith("data:image/png;base64,")
    path = tmp_path / "clip.webm"
    path.write_bytes(b"video")
    assert embed_file(path) == "data:video/webm;base64,dmlkZW8="
    with pytest.raises(InputError, match="not a picture or video"):
        embed_file(tmp_path / "notes.txt")
    with pytest.raises(InputError, match="cannot read"):
        embed_file(tmp_path / "gone.png")


def test_markup_in_a_table_stays_markup():
    table = parts.make_table(["a"], [[Markup("<b>bold</b>")], ["<b>text</b>"]], caption="c")
    assert "<td><b>bold</b></td>" in table
    assert "&lt;b&gt;text" in table


def test_a_block_of_a_page_is_base64_only():
    with pytest.raises(ConfigError, match="base64"):
        make_page("x", blocks={"b": "</script>"})


@pytest.mark.parametrize("name", ["", "a b", 'x"y', "é"])
def test_a_section_name_is_an_identifier(name):
    with pytest.raises(ConfigError):
        Section(name, "title", Markup(""))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.421, "0.42 s"), (38.2, "38 s"), (250, "4 min 10 s"), (11100, "3 h 05 min")]
)
def test_durations_read_naturally(seconds, text):
    assert parts.format_seconds(seconds) == text
