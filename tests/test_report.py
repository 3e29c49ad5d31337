"""The report opens without network, on a phone, and shows what was measured."""

import re

import nbformat
import pytest
from conftest import write_lesson

from course import pages, report
from helpers.errors import CourseError
from helpers.files import write_json

PLOT = "import matplotlib.pyplot as plt\nplt.plot([1, 2]); plt.xlabel('t [s]')"
SLIDER = (
    "from ipywidgets import interact\n@interact(t=(0.0, 1.0))\n"
    "def show(t=0.5):\n    plt.plot([t, 1])\n    plt.show()"
)
LATEX = r"from IPython.display import Math; Math(r'\frac{a}{b}')"
RECORD = (
    "from helpers import results\nresults.record('ece_after', 0.02, 0.01, 0.05, n=30)\n"
    "results.record('odd<key', None, reason='no <votes>')"
)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """A run of two lessons, without the runner."""
    from nbclient import NotebookClient

    root = tmp_path_factory.mktemp("run")
    for name, cells in {
        "03_calibration": ["# $x$ and ![p](p.png) and [next](04_x.ipynb)", PLOT, SLIDER, LATEX],
        "04_x": ["print(1)"],
    }.items():
        path = write_lesson(root / "notebooks" / f"{name}.ipynb", *cells)
        nb = nbformat.read(path, as_version=4)
        NotebookClient(nb, kernel_name="python3").execute()
        nbformat.write(nb, path)
    entry = {"value": 0.02, "low": 0.01, "high": 0.05, "n": 30, "seeds": [0]}
    odd = {"value": None, "low": None, "high": None, "n": None, "seeds": [0], "reason": "no <v>"}
    run = {"corpus": "embedded", "encoder": "embedded", "profile": "quick", "seeds": [0]}
    run |= {"versions": {"python": "3"}, "threads": "1", "failed": {"05_y": "cell 1 <x> failed"}}
    run |= {"seconds": {"03_calibration": 3.0, "04_x": 1.0}}
    notebooks = {"03_calibration": {"ece_after": entry, "odd<key": odd}}
    write_json(root / "results.json", {"schema": 1, "run": run, "notebooks": notebooks})
    report.build(root)
    return root


def test_nothing_is_fetched(out):
    for page in (out / "report").rglob("*.html"):
        text = page.read_text()
        assert not re.search(r"""(src|href)=["'](https?:)?//""", text), page
        assert "<script" not in text and "require.js" not in text, page
    assert "url(" not in (out / "report" / "style.css").read_text()


def test_every_local_link_leads_somewhere(out):
    for page in (out / "report").rglob("*.html"):
        for link in re.findall(r'(?:src|href)="((?!data:)[^"#]+)"', page.read_text()):
            if link != "p.png":  # a picture that the lesson does not have
                assert (page.parent / link).exists(), (page.name, link)


def test_index_sets_measured_beside_claimed(out):
    text = (out / "report" / "index.html").read_text()
    assert "0.00336" in text and "<strong>0.0200</strong>" in text and "[0.0100, 0.0500]" in text
    assert "odd&lt;key" in text and "no &lt;v&gt;" in text and "cell 1 &lt;x&gt; failed" in text
    assert "synthetic" in text and 'name="viewport"' in text


def test_formulas_and_sliders_show_without_scripts(out):
    text = (out / "report" / "03_calibration.html").read_text()
    assert text.count("<math") >= 3 and "\\frac" not in re.sub(
        r"<pre>.*?</pre>", "", text, flags=re.S
    )
    assert text.count("<img") >= 2  # the plot, and what the slider showed
    assert "make lab" in text and 'href="04_x.html"' in text
    assert 'href="03_calibration.html"' in (out / "report" / "04_x.html").read_text()


def test_math_falls_back_to_code():
    assert "<math" in pages.math(r"\arg\min_T")
    assert "\\" not in pages.math(r"\arg\min_T")
    assert pages.math(r"\frac{a") and pages.math("x^") and pages.math(r"\left( x")


def test_nothing_to_report(tmp_path):
    with pytest.raises(CourseError, match="ser-course run"):
        report.build(tmp_path)
