"""One executed lesson as HTML that needs no network: formulas as MathML, sliders as pictures."""

import base64
import html
import re
import shutil
from pathlib import Path

import nbconvert
import nbformat
from latex2mathml import exceptions as mathml_exceptions
from latex2mathml.converter import convert
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from pygments.formatters import HtmlFormatter

WIDGET = "application/vnd.jupyter.widget-view+json"
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
MATH_ERRORS = tuple(
    e for e in vars(mathml_exceptions).values() if isinstance(e, type) and issubclass(e, Exception)
)
EXTENSIONS = {"image/png": "png", "image/jpeg": "jpg", "image/svg+xml": "svg"}


def math(latex: str, display: str = "inline") -> str:
    """LaTeX as MathML; what the converter cannot read stays visible as code."""
    try:
        # commands that it does not know (\arg) come back with their backslash
        return re.sub(r">\\(\w+)<", r">\1<", convert(latex.strip(), display=display))
    except (*MATH_ERRORS, KeyError, IndexError):
        return f'<code class="latex">{html.escape(latex.strip())}</code>'


class _Renderer(IPythonRenderer):
    def block_math(self, body: str) -> str:
        return f'<div class="formula">{math(body, "block")}</div>'

    def inline_math(self, body: str) -> str:
        return math(body)

    def latex_environment(self, name: str, body: str) -> str:
        return self.block_math(f"\\begin{{{name}}}{body}\\end{{{name}}}")


def markdown(text: str) -> str:
    """A markdown cell as HTML."""
    renderer = _Renderer(escape=False, exclude_anchor_links=True)
    return MarkdownWithMath(renderer=renderer).render(text)


def _latex_output(text: str) -> str:
    return f'<div class="formula">{math(text.strip().strip("$"), "block")}</div>'


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


def _figures(nb, stem: str, folder: Path) -> list[str]:
    """Write every image output to ``folder`` and refer to it; return the names."""
    names: list[str] = []
    for output in (o for c in nb.cells for o in c.get("outputs", []) if "data" in o):
        for kind in [k for k in EXTENSIONS if k in output["data"]]:
            content = output["data"].pop(kind)
            name = f"{stem}-{len(names) + 1:02d}.{EXTENSIONS[kind]}"
            text = kind == "image/svg+xml"
            (folder / name).write_bytes(content.encode() if text else base64.b64decode(content))
            alt = html.escape("".join(output["data"].get("text/plain", "figure"))[:120])
            size = output.get("metadata", {}).get(kind, {}).get("width")
            width = f' width="{size}"' if size else ""
            tag = f'<img src="figures/{name}" alt="{alt}" loading="lazy"{width}>'
            output["data"]["text/html"] = f'<figure><a href="figures/{name}">{tag}</a></figure>'
            names.append(name)
    return names


def title(nb) -> str:
    """The first heading of a lesson, without markup."""
    text = "\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")
    heading = re.search(r"^# +(.+)$", text, re.M)
    return re.sub(r"[*`_$]", "", heading[1]).strip() if heading else "Untitled"


def read(path: Path):
    """An executed lesson as a notebook node."""
    return nbformat.read(path, as_version=4)


def body(nb, stem: str, folder: Path, beside: Path) -> tuple[str, list[str]]:
    """Return ``(html, figure names)`` of a lesson; images land in ``folder/figures``.

    ``beside`` is the folder that relative paths of the lesson's prose start from.
    """
    _without_widgets(nb)
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    names = _figures(nb, stem, folder / "figures")
    exporter = nbconvert.HTMLExporter(template_name="basic")
    exporter.register_filter("markdown2html", markdown)
    exporter.register_filter("markdown2html_mistune", markdown)
    for cell in nb.cells:  # the template leaves LaTeX outputs to a script: make them formulas here
        for output in cell.get("outputs", []):
            if "text/latex" in output.get("data", {}):
                output["data"]["text/html"] = _latex_output(output["data"].pop("text/latex"))
    content, _ = exporter.from_notebook_node(nb)

    def local(match):
        source = (beside / match[1]).resolve()
        if not source.is_file():
            return match[0]
        shutil.copyfile(source, folder / "figures" / source.name)
        return f'src="figures/{source.name}"'

    content = re.sub(r'src="((?!figures/|data:|https?:)[^"]+)"', local, content)
    content = re.sub(r'href="(?:\./)?(\d\d_\w+)\.ipynb', r'href="\1.html', content)
    content = re.sub(r"<table(?=[ >])", '<div class="wide"><table', content)
    return content.replace("</table>", "</table></div>"), names


def code_style() -> str:
    """CSS for highlighted code, readable in black and white."""
    return HtmlFormatter(style="bw").get_style_defs(".highlight")
