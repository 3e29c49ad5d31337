"""One executed lesson as HTML that needs no network: formulas as MathML, sliders as pictures."""

import ast
import binascii
import html
import io
import re
import shutil
from base64 import b64decode
from pathlib import Path
from typing import NamedTuple

import nbconvert
import nbformat
from bs4 import BeautifulSoup
from latex2mathml import exceptions as mathml_exceptions
from latex2mathml.converter import convert
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbconvert.preprocessors import ExtractOutputPreprocessor
from PIL import Image

from course import exports
from helpers.errors import CourseError

TEMPLATES = Path(__file__).with_name("templates")
WIDGET = "application/vnd.jupyter.widget-view+json"
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
MATH_ERRORS = tuple(
    e for e in vars(mathml_exceptions).values() if isinstance(e, type) and issubclass(e, Exception)
)
PICTURES = ("image/png", "image/jpeg", "image/svg+xml")
LABELS = ("suptitle", "title", "xlabel", "ylabel", "zlabel")


class Page(NamedTuple):
    """A lesson as HTML, its headings `[(level, id, text)]`, figures, and what was broken."""

    content: str
    headings: list
    figures: list
    problems: list


# --- formulas ---------------------------------------------------------------------------------


def math(latex: str, display: str = "inline") -> str:
    """LaTeX as MathML; what the converter cannot read stays visible as code."""
    try:
        # commands that it does not know (\arg) come back with their backslash
        return re.sub(r">\\(\w+)<", r">\1<", convert(latex.strip(), display=display))
    except (*MATH_ERRORS, KeyError, IndexError):
        return f'<code class="latex">{html.escape(latex.strip())}</code>'


def formula(latex: str) -> str:
    """LaTeX between `$` signs as a line of its own."""
    return f'<div class="formula">{math(latex.strip().strip("$"), "block")}</div>'


class _Renderer(IPythonRenderer):
    def block_math(self, body: str) -> str:
        return formula(body.replace(r"\tag", r"\qquad\tag"))  # else it reads as a factor

    def inline_math(self, body: str) -> str:
        return math(body)

    def latex_environment(self, name: str, body: str) -> str:
        return formula(f"\\begin{{{name}}}{body}\\end{{{name}}}")


def markdown(text: str) -> str:
    """A markdown cell as HTML."""
    renderer = _Renderer(escape=False, exclude_anchor_links=True)
    return MarkdownWithMath(renderer=renderer).render(text)


# --- figures ----------------------------------------------------------------------------------


def _shown_by(model_id: str, states: dict) -> list:
    """Outputs that a widget and its children hold: what the slider showed when it was run."""
    state = states.get(model_id, {}).get("state", {})
    found = list(state.get("outputs", []))
    for child in state.get("children", []):
        found += _shown_by(child.removeprefix("IPY_MODEL_"), states)
    return [nbformat.from_dict(output) for output in found]


def _without_widgets(nb) -> None:
    states = nb.metadata.pop("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    for cell in nb.cells:
        kept = []
        for output in cell.get("outputs", []):
            if WIDGET in output.get("data", {}):
                kept += _shown_by(output["data"][WIDGET]["model_id"], states)
                note = "<p class='note'>Move the slider in JupyterLab: <code>make lab</code>.</p>"
                kept.append(nbformat.v4.new_output("display_data", {"text/html": note}))
            else:
                kept.append(output)
        if cell.cell_type == "code":
            cell.outputs = kept


def _words(node) -> str:
    """The text of a string or f-string in code, its variable parts as dots."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_words(part) or "…" for part in node.values)
    return ""


def described(source: str) -> str:
    """What a cell's figure shows: the titles and axis labels that its code gives."""
    try:
        calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    except SyntaxError:  # a magic command
        return ""
    found = []
    for call in calls:
        called = getattr(call.func, "attr", getattr(call.func, "id", ""))
        given = {word.arg: word.value for word in call.keywords}
        if called.removeprefix("set_") in LABELS and call.args:
            given |= {called.removeprefix("set_"): call.args[0]}
        found += [(LABELS.index(name), _words(given[name])) for name in LABELS if name in given]
        if isinstance(call.func, ast.Attribute) and getattr(call.func.value, "id", "") == "plots":
            found.append((len(LABELS), called.replace("_", " ")))
    drawn = dict.fromkeys(text.replace("\n", " ") for _, text in sorted(found) if text.strip("… "))
    drawn.pop("style", None), drawn.pop("legend below", None), drawn.pop("colours", None)
    return "; ".join(drawn)


def _readable(kind: str, content: str) -> bool:
    if kind == "image/svg+xml":
        return "</svg>" in content
    try:
        Image.open(io.BytesIO(b64decode(content))).load()
    except (OSError, SyntaxError, binascii.Error):  # what Pillow raises for broken files
        return False
    return True


def _describe_figures(nb) -> list[str]:
    """Give every picture its alt text; put a note in the place of a broken one and return it."""
    heading, problems = title(nb), []
    for number, cell in enumerate(nb.cells, 1):
        if cell.cell_type == "markdown":
            heading = ([heading] + re.findall(r"^#+ +(.+)$", cell.source, re.M))[-1]
        for output in (o for o in cell.get("outputs", []) if "data" in o):
            for kind in [k for k in PICTURES if k in output.data]:
                if not _readable(kind, output.data[kind]):
                    problems.append(f"cell {number}: a figure is broken and left out")
                    note = f'<p class="failed">{problems[-1]}; run this lesson again.</p>'
                    output["data"] = nbformat.from_dict({"text/html": note})
                    break
                alt = ": ".join(filter(None, [_plain(heading), described(cell.source)]))
                output.metadata.setdefault(kind, {}).setdefault("alt", f"Figure. {alt}")
    return problems


# --- pages ------------------------------------------------------------------------------------


def _plain(markup: str) -> str:
    return re.sub(r"[*`_$]", "", markup).strip()


def title(nb) -> str:
    """The first heading of a lesson, without markup."""
    text = "\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")
    heading = re.search(r"^# +(.+)$", text, re.M)
    return _plain(heading[1]) if heading else "Untitled"


def read(path: Path):
    """An executed lesson as a notebook node; CourseError when it is none."""
    try:
        return nbformat.read(path, as_version=4)
    except (nbformat.reader.NotJSONError, nbformat.ValidationError, AttributeError) as error:
        remedy = "delete it and run the lesson again"
        raise CourseError(f"{path}: not a notebook; {remedy}") from error


def anchors(soup) -> list[tuple[int, str, str]]:
    """Give headings an id and a link to themselves; return `[(level, id, text)]`."""
    found, used = [], set()
    for heading in soup.find_all(["h1", "h2", "h3"]):
        text = heading.get_text(" ", strip=True)
        name = base = re.sub(r"\W+", "-", text.lower()).strip("-") or "section"
        while name in used:
            name = f"{base}-{len(used)}"
        used.add(name)
        heading["id"] = name
        link = soup.new_tag("a", href=f"#{name}", attrs={"class": "anchor"})
        link["aria-label"] = "link to this heading"
        link.string = "#"
        heading.append(link)
        found.append((int(heading.name[1]), name, text))
    return found


def local_pictures(soup, folder: Path, beside: Path) -> list[str]:
    """Copy the pictures that the prose shows; put a note in the place of an absent one."""
    problems = []
    for picture in soup.find_all("img", src=re.compile(r"^(?!data:|https?:)")):
        if picture.find_parent("figure"):  # drawn by the lesson itself
            continue
        source = (beside / picture["src"]).resolve()
        if source.is_file():
            shutil.copyfile(source, folder / "figures" / source.name)
            picture["src"] = f"figures/{source.name}"
        else:
            problems.append(f"no picture {picture['src']}")
            note = soup.new_tag("span", attrs={"class": "failed"})
            note.string = f"({problems[-1]})"
            picture.replace_with(note)
    return problems


def body(nb, stem: str, folder: Path, beside: Path) -> Page:
    """A lesson as a page; pictures land in `folder/figures`, tables in `folder/tables`.

    `beside` is the folder that relative paths of the lesson's prose start from.
    """
    _without_widgets(nb)
    problems = _describe_figures(nb)
    templates = {"template_name": "lesson", "extra_template_basedirs": [str(TEMPLATES)]}
    exporter = nbconvert.HTMLExporter(**templates)
    exporter.register_preprocessor(ExtractOutputPreprocessor(), enabled=True)
    exporter.register_filter("markdown2html", markdown)
    exporter.register_filter("formula", formula)
    about = {"unique_key": stem, "output_files_dir": "figures"}
    content, resources = exporter.from_notebook_node(nb, resources=about)
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for name, picture in resources["outputs"].items():
        (folder / name).write_bytes(picture)
    soup = BeautifulSoup(content, "html.parser")
    problems += local_pictures(soup, folder, beside)
    for link in soup.find_all("a", href=re.compile(r"^(\./)?\d\d_\w+\.ipynb")):
        link["href"] = link["href"].removeprefix("./").replace(".ipynb", ".html", 1)
    headings = anchors(soup)
    exports.finish_tables(soup, stem, folder)
    return Page(str(soup), headings, list(resources["outputs"]), problems)
