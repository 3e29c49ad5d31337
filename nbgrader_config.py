"""nbgrader's settings for this course; nbgrader runs in this folder (docs/teaching.md says how).

``runs/course`` is read by every notebook, on release and when it is marked: what `ser-course run`
made there once, nobody makes again.
"""

import base64
import os
import re
from pathlib import Path

from nbgrader import preprocessors as nb

from course.settings import ROOT
from course.students import edition

HERE = Path(__file__).resolve().parent


def inline(link: re.Match) -> str:
    """A link to a picture in ``figures/`` with the picture in it: nbgrader hands out one file."""
    drawn = (ROOT / "figures" / link[1]).read_bytes()
    return f"](data:image/svg+xml;base64,{base64.b64encode(drawn).decode()})"


class Edition(nb.NbGraderPreprocessor):
    """The student edition: stubs that keep their hints, no notes for the instructor."""

    def preprocess(self, notebook, resources):
        """Take solutions and notes out, and pictures in."""
        notebook = edition(notebook)
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = re.sub(r"\]\(\.\./figures/([\w-]+\.svg)\)", inline, cell.source)
        return notebook, resources


class OneOut(nb.NbGraderPreprocessor):
    """The one folder of artefacts and caches, whoever runs the notebook and wherever it lies."""

    def preprocess(self, notebook, resources):
        """Set `out`; leave out what needs several corpora."""
        shared = f'out: str = "{(HERE / "runs" / "course").as_posix()}"'
        tags = [cell.metadata.get("tags", []) for cell in notebook.cells]
        for cell, own in zip(notebook.cells, tags, strict=True):
            if "parameters" in own:
                cell.source = re.sub(r'^out: str = "[^"]*"', shared, cell.source, flags=re.M)
        kept = zip(notebook.cells, tags, strict=True)
        notebook.cells = [cell for cell, own in kept if "joined" not in own]
        return notebook, resources


os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
os.environ |= {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1", "OMP_WAIT_POLICY": "PASSIVE"}

c = get_config()  # noqa: F821 (nbgrader gives it)
c.CourseDirectory.course_id = "ser"
c.CourseDirectory.root = str(HERE)
c.Execute.timeout = 1800  # seconds a cell: on a busy machine nobody loses marks
c.GenerateAssignment.preprocessors = [
    nb.IncludeHeaderFooter, nb.LockCells, Edition, OneOut, nb.ClearOutput, nb.CheckCellMetadata,
    nb.ComputeChecksums, nb.SaveCells, nb.CheckCellMetadata,
]  # fmt: skip
c.Autograde.autograde_preprocessors = [
    OneOut, nb.Execute, nb.IgnorePattern, "nbconvert.preprocessors.ClearMetadataPreprocessor",
    nb.LimitOutput, nb.SaveAutoGrades, nb.AssignLatePenalties, nb.CheckCellMetadata,
]  # fmt: skip
