"""Break one thing at a time and see that a fast test notices.

    python -m tools.mutants [NAME...]

Each file in `tests/mutants` is a patch under a line `Turns red: TEST`. All those tests must pass on
a copy of the clone, and each must fail there once its patch is applied.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MUTANTS = ROOT / "tests" / "mutants"
ROOMS = ("helpers", "course", "tools", "tests", "notebooks", "data", "docs", "figures")
HEAD = re.compile(r"Turns red: (\S+)")


def named(patch: Path) -> str:
    """The test that a patch must turn red."""
    found = HEAD.match(patch.read_text(encoding="utf-8"))
    if not found:
        raise SystemExit(f"{patch.name}: its first line must say 'Turns red: TEST'")
    return found[1]


def copied(folder: Path) -> None:
    """Copy what tests need into `folder`: files of the rooms, and those beside them."""
    for path in ROOT.iterdir():
        if path.name in ROOMS:
            ignored = shutil.ignore_patterns("__pycache__", "corpora", "cache")
            shutil.copytree(path, folder / path.name, ignore=ignored)
        elif path.is_file():
            shutil.copy2(path, folder)


def tested(folder: Path, tests: list[str]) -> subprocess.CompletedProcess:
    """Run tests on the code in `folder`, with no bytecode kept that would outlive a patch."""
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    own = os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True)


def patched(folder: Path, patch: Path, *options: str) -> bool:
    command = ["git", "apply", *options, str(patch)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True).returncode == 0


def survivors(patches: list[Path]) -> list[str]:
    """A line for each mutant that no longer applies, or that its test lets live."""
    lines = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copied(folder)
        clean = tested(folder, sorted({named(patch) for patch in patches}))
        if clean.returncode:
            raise SystemExit(f"tests fail without a mutant:\n{clean.stdout[-2000:]}")
        for patch in patches:
            started = time.monotonic()
            if not patched(folder, patch):
                lines.append(f"{patch.stem}: the patch does not fit the code any more")
                continue
            # 1: tests failed. Anything else (not found, no import) kills no mutant.
            killed = tested(folder, [named(patch)]).returncode == 1
            patched(folder, patch, "--reverse")
            lines += [] if killed else [f"{patch.stem}: survives {named(patch)}"]
            word = "killed" if killed else "SURVIVES"
            print(f"{patch.stem}: {word} ({time.monotonic() - started:.0f} s)", flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", nargs="*", help="mutants to try (default: all)")
    names = parser.parse_args().name
    patches = [p for p in sorted(MUTANTS.glob("*.diff")) if not names or p.stem in names]
    if missing := set(names) - {p.stem for p in patches}:
        raise SystemExit(f"no such mutant: {', '.join(sorted(missing))}")
    if lines := survivors(patches):
        raise SystemExit("\n".join(lines))
    print(f"all {len(patches)} killed")


if __name__ == "__main__":
    main()
