"""Pages as a browser lays them out. Skipped where no Chromium is on the PATH; none is fetched."""

import html
import json
import re
import shutil
import subprocess

import pytest
from conftest import execute, write_lesson

from course import site
from helpers.files import write_json

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="no chromium, chromium-browser or google-chrome here"),
]
FLAGS = """--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking
--disable-component-update --disable-sync --allow-file-access-from-files
--virtual-time-budget=5000""".split()
# A window is at least 500 pixels wide: a frame is as narrow as a phone.
FRAME = """<iframe id="frame" src="{page}" style="border:0;width:{width}px;height:900px"></iframe>
<pre id="said"></pre><script>onload = async () => {{
  const page = frame.contentDocument, root = page.documentElement;
  root.getBoundingClientRect();  // lays out, and so asks for the fonts that it needs
  await page.fonts.ready;
  const wide = [...page.querySelectorAll("pre, p, li, td, h1, h2, h3, .input_area, main")]
    .filter(e => e.clientWidth && e.scrollWidth > e.clientWidth + 1).map(e => e.outerHTML);
  const cut = [...page.querySelectorAll(".formula")].filter(e => e.scrollHeight > e.clientHeight)
    .map(e => e.outerHTML);
  const font = [...page.fonts].map(f => f.family + " " + f.status);
  said.textContent = JSON.stringify([root.scrollWidth, root.clientWidth, [...wide, ...cut], font]);
}}</script>"""
LINES = ["print('" + "a long line " * 9 + "')", "print('x' * 400)"]
TABLE = "import pandas as pd\npd.DataFrame({f'column {i}': [i / 7] for i in range(9)})"
FOLDED = "# Folded\n\n<details><summary>For the instructor</summary>\n\n{}\n\n</details>"


def browse(folder, *words) -> str:
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120).stdout


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """The report over one lesson with all that may be too wide."""
    import nbformat

    root = tmp_path_factory.mktemp("run")
    prose = "# Words\n\n" + "`a_very_long_name_of_something_in_code` and more " * 9
    prose += r"""

$$\Sigma_c = \frac{1}{N_c - 1} \sum_{n: y_n = c} (\hat{f}_n - \mu_c)^\top + \epsilon I$$

$$d = \sqrt{(\hat{f} - \mu_c)^\top \Sigma_c^{-1} (\hat{f} - \mu_c)} \qquad u = \sum_{c=1}^K z_c$$

$$\cos\theta_{j,i} = \frac{x_i^\top w_j}{\lVert x_i\rVert\,\lVert w_j\rVert} \tag{1}$$

$$\mathbf{a}(j) = \log\mathrm{softmax}(Z), \qquad \mathbf{c}(j) = \frac{\mathbf{a}(j)}{T(j)}$$"""
    folded = FOLDED.format("\n\n".join(f"Paragraph {i}." for i in range(200)))
    path = write_lesson(root / "notebooks" / "03_x.ipynb", prose, *LINES, TABLE, folded)
    nb = nbformat.read(path, as_version=4)
    execute(nb)
    nbformat.write(nb, path)
    entry = {"value": 0.02, "low": 0.01, "high": 0.05, "n": 30, "seeds": [0]}
    run = {"corpus": "embedded", "encoder": "embedded", "profile": "quick", "seeds": [0]}
    run |= {"versions": {"python": "3"}, "threads": "1", "failed": {}, "seconds": {"03_x": 3.0}}
    notebooks = {"03_calibration": {"ece_after": entry, "ece_before": entry}}
    write_json(root / "results.json", {"schema": 1, "run": run, "notebooks": notebooks})
    site.build(root)
    return root


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", ["index", "03_x"])
def test_nothing_scrolls_sideways(out, tmp_path, name, width):
    page = (out / "report" / f"{name}.html").as_uri()
    (tmp_path / "frame.html").write_text(FRAME.format(page=page, width=width))
    shown = browse(tmp_path, "--dump-dom", (tmp_path / "frame.html").as_uri())
    said = html.unescape(re.search(r'<pre id="said">(.*?)</pre>', shown, re.S)[1])
    scroll, client, wide, fonts = json.loads(said)
    assert scroll == client and not wide
    if name == "03_x":
        assert fonts == ["Course Math loaded"] or fonts == ['"Course Math" loaded']


def test_what_is_folded_is_printed(out, tmp_path):
    browse(
        tmp_path, f"--print-to-pdf={tmp_path / 'p.pdf'}", (out / "report" / "03_x.html").as_uri()
    )
    sheets = len(re.findall(rb"/Type\s*/Page\b", (tmp_path / "p.pdf").read_bytes()))
    assert sheets >= 4  # 200 paragraphs; one or two without them


def test_the_search_finds_a_section(out, tmp_path):
    page = (out / "site" / "search.html").as_uri()
    shown = browse(tmp_path, "--dump-dom", f"{page}?q=paragraph+instructor")
    assert 'href="03_x.html#folded"' in shown and "1 sections hold" in shown
    shown = browse(tmp_path, "--dump-dom", f"{page}?q=%3Cb%3Eabsent")
    assert "Nothing holds" in shown and "<b>absent" not in shown
