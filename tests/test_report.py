"""The report opens without network, on a phone, and shows what was measured."""

import html
import json
import re

import nbformat
import pytest
from conftest import execute, write_lesson

from course import pages, report, settings, site
from helpers import measures
from helpers.errors import CourseError
from helpers.files import write_json

PLOT = "import matplotlib.pyplot as plt\nplt.plot([1, 2]); plt.xlabel('t [s]')"
SLIDER = (
    "from ipywidgets import interact\n@interact(t=(0.0, 1.0))\n"
    "def show(t=0.5):\n    plt.plot([t, 1])\n    plt.show()"
)
LATEX = r"from IPython.display import Math; Math(r'\frac{a}{b}')"
TABLE = (
    "import pandas as pd\n"
    "pd.DataFrame({('a', 'x'): [1], ('a', 'y'): ['50 % & more']}, index=['one'])"
)
NOTE = "# Two\n\n<details><summary>For the instructor</summary>\n\nSecret.\n\n</details>\n\nSeen."


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """A run of two lessons, without the runner."""
    root = tmp_path_factory.mktemp("run")
    for name, cells in {
        "03_calibration": ["# $x$ and ![p](p.png) and [next](04_x.ipynb)", PLOT, SLIDER, LATEX],
        "04_x": [NOTE, "print(1)", PLOT, TABLE],
    }.items():
        path = write_lesson(root / "notebooks" / f"{name}.ipynb", *cells)
        nb = nbformat.read(path, as_version=4)
        execute(nb)
        if name == "04_x":
            (drawn,) = [c for c in nb.cells if c.source == PLOT]
            drawn.outputs[-1].data["image/png"] = drawn.outputs[-1].data["image/png"][:400]
            drawn.metadata["jupyter"] = {"source_hidden": True}
        nbformat.write(nb, path)
    entry = {"value": 0.02, "low": 0.01, "high": 0.05, "n": 30, "seeds": [0]}
    odd = {"value": None, "low": None, "high": None, "n": None, "seeds": [0], "reason": "no <v>"}
    run = {"corpus": "embedded", "encoder": "embedded", "profile": "quick", "seeds": [0]}
    run |= {"versions": {"python": "3"}, "threads": "1", "failed": {"05_y": "cell 1 <x> failed"}}
    run |= {"seconds": {"03_calibration": 3.0, "04_x": 1.0}}
    run |= {"cpu_seconds": {"03_calibration": 4.2}, "date": "2026-11-25T20:00:00+00:00"}
    run |= {"commit": "0123456789ab", "command": "ser-course run --seed 0", "machine": "Linux, 2"}
    notebooks = {"03_calibration": {"ece_after": entry, "odd<key": odd}}
    write_json(root / "results.json", {"schema": 1, "run": run, "notebooks": notebooks})
    site.build(root)
    return root


def test_nothing_is_fetched(out):
    for page in (out / "report").rglob("*.html"):
        text = page.read_text()
        assert not re.search(r"""(src|href)=["'](https?:)?//""", text), page
        assert "<script" not in text and "require.js" not in text, page
    style = (out / "report" / "style.css").read_text()
    for address in re.findall(r"url\((.*?)\)", style):
        assert (out / "report" / address).exists(), address


@pytest.mark.parametrize("edition", ["report", "site"])
def test_every_local_link_leads_somewhere(out, edition):
    for page in (out / edition).rglob("*.html"):
        for link in re.findall(r'(?:src|href)="((?!data:|https?:)[^"#]+)', page.read_text()):
            assert (page.parent / link).exists(), (page.name, link)
        ids = re.findall(r' id="([^"]+)"', page.read_text())
        assert len(set(ids)) == len(ids)
        for anchor in re.findall(r'href="#([^"]+)"', page.read_text()):
            assert anchor in ids, (page.name, anchor)


def test_index_sets_measured_beside_claimed(out):
    text = (out / "report" / "index.html").read_text()
    assert "0.00336" in text and "<strong>0.0200</strong>" in text and "[0.0100, 0.0500]" in text
    assert "odd&lt;key" in text and "no &lt;v&gt;" in text and "cell 1 &lt;x&gt; failed" in text
    for said in ("4 CPU-seconds", "2026-11-25", "0123456789ab", "run --seed 0", "Linux, 2"):
        assert said in text
    assert "synthetic" in text and 'name="viewport"' in text
    assert "the encoder may have heard the voice" in text


@pytest.mark.parametrize(
    ("encoder", "corpus", "met"),
    [
        ("embedded", "ravdess+crema_d", ["crema_d"]),
        ("embedded", "ravdess", []),
        ("whisper-base-4", "crema_d", []),
    ],
)
def test_index_says_where_the_encoder_has_heard_the_corpus(encoder, corpus, met):
    run = {"corpus": corpus, "encoder": encoder, "seeds": [0], "versions": {}}
    text = report._index({}, {"": {"run": run, "notebooks": {}}}, {}, [])
    assert re.findall(r"trained on speech of <code>(\w+)</code>", text) == met
    assert "synthetic" not in text


def test_formulas_and_sliders_show_without_scripts(out):
    text = (out / "report" / "03_calibration.html").read_text()
    assert text.count("<math") >= 3 and "\\frac" not in re.sub(
        r"<pre>.*?</pre>", "", text, flags=re.S
    )
    assert text.count("<img") >= 2  # the plot, and what the slider showed
    assert "make lab" in text and 'href="04_x.html"' in text
    assert 'href="03_calibration.html"' in (out / "report" / "04_x.html").read_text()


def test_what_is_broken_is_said_in_its_place(out, capsys):
    report.build(out)
    said = capsys.readouterr().err
    assert "no picture p.png" in said and "04_x.ipynb: cell" in said and "figure is broken" in said
    assert "no picture p.png" in (out / "report" / "03_calibration.html").read_text()
    assert "figure is broken" in (out / "report" / "04_x.html").read_text()


def test_a_figure_says_what_it_shows(out):
    text = (out / "report" / "03_calibration.html").read_text()
    assert (
        'alt="Figure. x and !p(p.png)' not in text and "t [s]" in re.search('alt="(.*?)"', text)[1]
    )
    drawn = (
        "ax.set_title(f'T = {t}')\nplots.confusion(ax, m, c, title='before')\nplt.ylabel('share')"
    )
    assert pages.described(drawn) == "T = …; before; share; confusion"
    assert pages.described("%matplotlib inline") == ""


def test_folded_code_can_be_opened(out):
    text = (out / "report" / "04_x.html").read_text()
    (folded,) = re.findall(r'<details class="code">(.*?)</details>', text, re.S)
    assert "plot" in folded


def test_tables_are_labelled_and_come_as_files(out):
    text = (out / "report" / "04_x.html").read_text()
    assert 'data-label="a y"' in text and 'href="tables/04_x-1.tex"' in text
    tables = out / "report" / "tables"
    assert (tables / "04_x-1.csv").read_text() == ",a x,a y\none,1,50 % & more\n"
    assert (tables / "04_x-1.tex").read_text().splitlines()[1:] == [
        r"\begin{tabular}{lll}",
        r"\toprule",
        r" & a x & a y \\",
        r"\midrule",
        r"one & 1 & 50 \% \& more \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
    told = measures.measure("03_calibration", "ece_after")
    assert (tables / "results.csv").read_text() == (
        "run,lesson,key,what,unit,value,low,high,n,seeds,reason\n"
        f",03_calibration,ece_after,{told['what']},{told['unit']},0.02,0.01,0.05,30,0,\n"
        ",03_calibration,odd<key,,,,,,,0,no <v>\n"
    )
    assert "& 0.02 & 0.01 & 0.05 & 30 & 0 &" in (tables / "results.tex").read_text()
    bib = (tables / "sources.bib").read_text()
    assert bib.count("@misc") == len(measures.sources()) and "@software" in bib


def test_the_handout_has_neither_solutions_nor_notes(out):
    report.build(out, handout=True)
    text = (out / "handout" / "04_x.html").read_text()
    assert "NotImplementedError" in text and "BEGIN SOLUTION" not in text
    assert "Secret" not in text and "Seen" in text and "<pre>1\n</pre>" in text
    assert "Secret" in (out / "report" / "04_x.html").read_text()


def test_the_math_font_holds_what_the_lessons_write():
    from fontTools.ttLib import TTFont

    known = set(TTFont(report.ASSETS / "math.woff").getBestCmap())
    for path in settings.lessons().values():
        prose = [c.source for c in pages.read(path).cells if c.cell_type == "markdown"]
        for formula in re.findall(r"<math.*?</math>", pages.markdown("\n\n".join(prose)), re.S):
            used = set(map(ord, html.unescape(re.sub(r"<[^>]+>", "", formula))))
            assert used <= known, (path.name, [chr(code) for code in used - known])


def test_the_site_can_be_searched(out):
    text = (out / "site" / "search-index.js").read_text()
    sections = json.loads(text.removeprefix("const SECTIONS = ").removesuffix(";\n"))
    found = {address: words for address, _, _, words in sections}
    assert "Seen." in found["04_x.html#two"] and "Secret." in found["04_x.html#two"]
    for address in found:
        page, _, anchor = address.partition("#")
        assert not anchor or f'id="{anchor}"' in (out / "site" / page).read_text()
    home = (out / "site" / "index.html").read_text()
    assert "make course" in home and 'action="search.html"' in home
    assert 'href="results.html">Results' in (out / "site" / "04_x.html").read_text()


def test_math_falls_back_to_code():
    assert "<math" in pages.math(r"\arg\min_T")
    assert "\\" not in pages.math(r"\arg\min_T")
    assert pages.math(r"\frac{a") and pages.math("x^") and pages.math(r"\left( x")


def test_the_number_of_a_formula_stands_apart_from_it():
    assert re.search(r"<mi>L</mi><mspace[^>]*>.*\(1\)", pages.markdown(r"$$L \tag{1}$$"))


def test_nothing_to_report(tmp_path):
    with pytest.raises(CourseError, match="ser-course run"):
        report.build(tmp_path)
