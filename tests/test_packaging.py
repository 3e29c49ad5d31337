"""What is pinned agrees everywhere; what is tracked names no machine."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import helpers
from tools.write_environment import environment

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"].values()
DIRECT = PROJECT["dependencies"] + [pin for extra in EXTRAS for pin in extra]


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git clone")
    return [ROOT / line for line in done.stdout.splitlines()]


def test_every_direct_dependency_is_pinned_exactly_and_once():
    names = [pin.partition("==")[0] for pin in DIRECT]
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", pin) for pin in DIRECT)
    assert len(set(names)) == len(names)


def test_the_lock_holds_the_same_pins():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    locked = {line.partition(" ;")[0] for line in lines if not line.startswith("#")}
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", pin) for pin in locked)
    assert set(DIRECT) <= locked


def test_conda_users_get_the_same_pins():
    written = (ROOT / "environment.yml").read_text(encoding="utf-8")
    assert written == environment(), "run: python -m tools.write_environment"
    assert set(re.findall(r"- (\S+==\S+)", written)) == set(DIRECT)
    assert "python>=3.11" in written and "requirements.lock" in written


def test_what_is_imported_is_declared():
    declared = {pin.partition("==")[0] for pin in DIRECT}
    declared |= {"course", "helpers", "tools", "conftest"}
    known = {"sklearn": "scikit-learn", "huggingface_hub": "huggingface-hub"}
    known |= {"bs4": "beautifulsoup4", "PIL": "pillow", "yaml": "pyyaml"}
    brought = {
        "fontTools",
        "markupsafe",
        "matplotlib_inline",
        "psutil",
        "pygments",
        "traitlets",
        "zmq",
        "IPython",
    }  # pinned with what brings them
    for path in [p for room in ("course", "helpers", "tools") for p in ROOT.glob(f"{room}/*.py")]:
        for name in re.findall(r"^\s*(?:from|import) (\w+)", path.read_text(), re.M):
            own = (path.parent / f"{name}.py").exists()
            if name in sys.stdlib_module_names or name in brought or own:
                continue
            assert known.get(name, name) in declared, f"{path.name} imports {name}"


@pytest.mark.parametrize("page", ["README.md", "docs/students/README.md"])
def test_the_cpu_build_that_a_readme_names_is_the_pinned_one(page):
    (pin,) = re.findall(r'"(torch==[\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert re.findall(r"torch==[\d.]+", (ROOT / page).read_text(encoding="utf-8")) == [pin]


def test_version_is_said_once():
    assert re.fullmatch(r"\d+\.\d+\.\d+", helpers.__version__)
    about = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert about["version"] == helpers.__version__
    assert {"authors", "title", "date-released", "license", "message", "type"} <= set(about)


def test_only_one_place_knows_where_shared_corpora_lie_and_none_a_machine():
    machine = re.compile(r"(?<![\w.:/~-])/(?:home|mnt|opt|root|srv|tmp|Users|work)/\w")
    index = re.compile(r"pypi\.org|pythonhosted|download\.pytorch")
    shared = re.compile("shared/corpora")
    public = {"README.md", ".github/workflows/test.yml", ".github/workflows/site.yml"}
    for path in tracked():
        binary = path.suffix in {".opus", ".safetensors", ".png", ".npz", ".woff"}
        if binary or not path.is_file() or path == Path(__file__).resolve():
            continue
        text = path.read_text(encoding="utf-8", errors="ignore")
        name = path.relative_to(ROOT).as_posix()
        assert not machine.search(text), name
        assert not index.search(text) or name in public, name
        assert not shared.search(text) or name == ".ci/run", name
