"""Write environment.yml for conda users: the packages and pins of pyproject.toml, in plain sight.

Run it after a change to pyproject.toml: python -m tools.write_environment
"""

import argparse
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "environment.yml"
HEAD = """\
# For conda users: conda env create -f environment.yml && conda activate ser-course
# Python comes from conda-forge, the packages from pip, pinned as in pyproject.toml, from which
# this file is written: python -m tools.write_environment
name: ser-course
channels:
  - conda-forge
dependencies:
  - python>=3.11,<3.14
  - pip
  - pip:
      - -c requirements.lock
      - -e .
"""


def environment() -> str:
    """Return what environment.yml should hold."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    pins = project["dependencies"] + [pin for extra in extras for pin in extra]
    return HEAD + "".join(f"      - {pin}\n" for pin in pins)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    TARGET.write_text(environment(), encoding="utf-8")
