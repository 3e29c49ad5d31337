"""Make lessons ready to commit: outputs stripped, exercises marked for nbgrader, cell ids, newline.

Run it after a change to a lesson: python -m tools.stamp_notebooks [--check] [notebooks/03*.ipynb]
"""

import argparse
import copy
import sys
from pathlib import Path

import nbformat

from course import students
from course.settings import lessons


def stamped(nb, stem: str):
    """A copy of `nb` as it should lie in git."""
    nb = copy.deepcopy(nb)
    students.mark(nb, stem)
    nb.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    nb.nbformat, nb.nbformat_minor = 4, 5
    for i, cell in enumerate(nb.cells):
        cell.setdefault("id", f"cell-{i:03d}")
        if cell.cell_type == "code":
            kept = {k: v for k, v in cell.metadata.items() if k in ("tags", "nbgrader")}
            if cell.metadata.get("jupyter", {}).get("source_hidden"):
                kept["jupyter"] = {"source_hidden": True}  # a fold
            cell.metadata = nbformat.from_dict(kept)
    return nb


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="*", type=Path)
    parser.add_argument("--check", action="store_true", help="change nothing; 1 if something would")
    args = parser.parse_args()
    stale = 0
    for path in args.paths or lessons().values():
        nb = nbformat.read(path, as_version=4)
        text = nbformat.writes(stamped(nb, path.stem)) + "\n"
        if text != path.read_text(encoding="utf-8"):
            stale += 1
            print(f"{path}: {'needs' if args.check else 'got'} a stamp")
            if not args.check:
                path.write_text(text, encoding="utf-8")
    return 1 if args.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
