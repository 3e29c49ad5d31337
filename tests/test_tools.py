"""Every tool says what it does, run as its docstring says: `python -m tools.x` from the root."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.files import write_json

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.nightly
TOOLS = sorted(p.stem for p in (ROOT / "tools").glob("*.py") if "argparse" in p.read_text())
# One process for all, because loading torch costs seconds: what a tool puts on the path and which
# of this project's modules it loads is undone before the next one.
RUN_ALL = """
import contextlib, io, json, runpy, sys
said = {}
for name in sys.argv[1:]:
    for module in [m for m in sys.modules if m.split(".")[0] in ("course", "helpers", "tools")]:
        del sys.modules[module]
    sys.argv, out = [name, "--help"], io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            runpy.run_module(f"tools.{name}", run_name="__main__")
    except SystemExit as error:
        out.write(f"exit {error.code}")
    except Exception as error:
        out.write(repr(error))
    said[name] = out.getvalue()
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def said():
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL, *TOOLS],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("tool", TOOLS)
def test_help_without_a_path(said, tool):
    assert said[tool].startswith("usage:") and said[tool].endswith("exit 0"), said[tool][-300:]


def test_a_scoring_is_earlier_where_a_later_one_has_other_weights(tmp_path, monkeypatch):
    from tools import write_tables

    def row(encoder, key, scoring, *corpora):
        entry = {"ua": {"value": 0.5, "low": 0.4, "high": 0.6}}
        return {
            "encoder": encoder,
            "key": key,
            "scoring": scoring,
            "parameters": 1e6,
            "corpora": {name: entry for name in corpora},
        }

    (tmp_path / "folds.json").write_text(
        json.dumps(
            [
                row("embedded", "a", 1, "emodb"),
                row("other", "c", 1, "emodb"),
                row("embedded", "b", 2, "emodb"),
                row("embedded", "b", 3, "emodb"),
            ]
        )
    )
    monkeypatch.setattr(write_tables, "REFERENCE", tmp_path)
    first = [line.split(" | ")[0] for line in write_tables.folds().splitlines()[2:6]]
    assert first == ["| embedded (earlier weights)", "| other", "| embedded", "| embedded"]
    assert "99.96" in write_tables.folds()


def test_a_reference_is_not_pooled_from_some_seeds(tmp_path):
    """A lesson run again for one seed alone would stand under the title of all of them."""
    from tools.collect_reference import complete

    entry = {"value": 0.5, "low": None, "high": None, "n": None, "seeds": [0]}
    paths = [tmp_path / "emodb-embedded-0", tmp_path / "emodb-embedded-1"]
    for path, lessons in zip(paths, (("01_data", "06_openmax"), ("06_openmax",)), strict=True):
        notebooks = {lesson: {"uar": entry} for lesson in lessons}
        write_json(
            path / "results.json", {"schema": 1, "run": {"seeds": [0]}, "notebooks": notebooks}
        )
    with pytest.raises(SystemExit, match="01_data"):
        complete(paths)
    complete(paths[1:])


def test_what_a_replaced_reference_said_is_kept(monkeypatch, tmp_path):
    """Of lessons that the new one has too, and that were older; another corpus' stays."""
    from tools import collect_reference

    kept = tmp_path / "data" / "reference" / "before.json"
    kept.parent.mkdir(parents=True)
    kept.write_text('{"ravdess": {}}', encoding="utf-8")
    monkeypatch.setattr(collect_reference, "ROOT", tmp_path)
    monkeypatch.setattr(collect_reference, "older", lambda run, lesson: lesson != "01_data")
    entry = {"value": 0.8, "low": 0.7, "high": 0.9, "n": 3, "seeds": [0, 1]}
    there = {
        "run": {},
        "notebooks": {
            "01_data": {"uar_heard_sentences": entry},
            "02_fine_tune": {"uar": entry},
            "06_openmax": {"auroc_source": entry},
        },
    }
    collect_reference.remember("emodb", there, {"notebooks": {"01_data": {}, "02_fine_tune": {}}})
    said = {"02_fine_tune/uar": {"value": 0.8, "low": 0.7, "high": 0.9, "seeds": [0, 1]}}
    assert json.loads(kept.read_text(encoding="utf-8")) == {"ravdess": {}, "emodb": said}
    entry["value"] = 0.6  # replaced once more, lesson by lesson: the first word stays
    there["notebooks"]["05_entropy_ood"] = {"auroc_entropy": entry}
    new = {"notebooks": {"02_fine_tune": {}, "05_entropy_ood": {}}}
    collect_reference.remember("emodb", there, new)
    found = json.loads(kept.read_text(encoding="utf-8"))["emodb"]
    assert found["02_fine_tune/uar"]["value"] == 0.8
    assert found["05_entropy_ood/auroc_entropy"]["value"] == 0.6


def test_a_figure_without_results_is_not_kept(tmp_path):
    """A sweep run again for some lessons still holds the older notebooks of the others."""
    import base64

    import nbformat
    import nbformat.v4 as v4

    from tools.collect_reference import figures

    image = v4.new_output("display_data", {"image/png": base64.b64encode(b"png").decode()})
    run = tmp_path / "run"
    (run / "notebooks").mkdir(parents=True)
    for lesson in ("01_data", "09_ensemble"):
        cell = v4.new_code_cell(outputs=[image], metadata={"tags": [f"figure-{lesson[3:]}"]})
        nbformat.write(v4.new_notebook(cells=[cell]), run / "notebooks" / f"{lesson}.ipynb")
    found = {"schema": 1, "run": {"seeds": [0]}, "notebooks": {"01_data": {}}}
    write_json(run / "results.json", found)
    merged = {"notebooks": {"01_data": {"uar": {"seeds": [0, 1]}}}}
    assert [p.name for p in figures(run, "emodb", tmp_path, merged)] == ["emodb-data.png"]
    write_json(run / "results.json", found | {"run": {"seeds": [1]}})
    assert figures(run, "emodb", tmp_path, merged) == []  # added later: seed 0 gave the figure


def test_a_reference_holds_no_path_of_an_encoder():
    from helpers.provenance import made
    from tools.collect_reference import nameless

    lesson, folder = ROOT / "notebooks" / "01_data.ipynb", "/somewhere/whisper-base-4"
    run = {"encoder": folder, "command": f"run --encoder {folder} --seed 0"}
    run["made"] = {"01_data": made(lesson, folder)}
    nameless(run)
    assert folder not in json.dumps(run) and run["encoder"] in run["command"]
    assert run["made"]["01_data"] == made(lesson, run["encoder"])  # so it is not called older


def test_seeds_that_were_merged_come_apart_and_merge_again():
    """A sweep in pieces gives what the whole gives: figures, ends, reasons, provenance."""
    from test_results import run

    from course.pooled import merge
    from tools.collect_reference import apart

    runs = [run(0, 0.30, 0.2, 0.5), run(1, 0.32, 0.2, 0.5), run(2, None, reason="none")]
    for each in runs:
        each["run"]["made"] = {"03_calibration": {"lesson": "a"}}
    whole = merge(runs)
    pieces = apart(merge(runs[:2]), ["03_calibration"])
    assert [p["run"]["seeds"] for p in pieces] == [[0], [1]]
    assert pieces[1]["notebooks"]["03_calibration"]["ece_after"]["low"] == 0.2
    assert merge([*pieces, runs[2]]) == whole
    assert merge([*apart(merge(runs[:1]), ["03_calibration"]), *runs[1:]]) == whole


def test_seeds_without_their_intervals_do_not_come_apart():
    from test_results import run

    from course.pooled import merge
    from tools.collect_reference import apart

    merged = merge([run(0, 0.30, 0.2, 0.5), run(1, 0.32, 0.2, 0.5)])
    merged["run"]["made"] = {"03_calibration": {}}
    del merged["notebooks"]["03_calibration"]["ece_after"]["ends"]
    with pytest.raises(SystemExit, match="03_calibration: kept without the intervals"):
        apart(merged, ["03_calibration"])


def test_a_sweep_of_more_seeds_adds_them_to_the_reference(capsys):
    from course.pooled import merge
    from tools.collect_reference import grown

    def sweep(*seeds, code="a", off=0.0):
        runs = []
        for seed in seeds:
            value = (seed + 3) / 10 + off
            entry = {"value": value, "low": seed / 10, "high": (seed + 4) / 10, "n": 9}
            run = {"corpus": "emodb", "encoder": "embedded", "profile": "full", "seeds": [seed]}
            run["made"] = {"02_fine_tune": {"code": code}} if code else {}
            uar = {"uar": entry | {"seeds": [seed]}}
            runs.append({"schema": 1, "run": run, "notebooks": {"02_fine_tune": uar}})
        return merge(runs)

    whole = sweep(0, 1, 2)["notebooks"]
    assert grown(sweep(0), sweep(1, 2))["notebooks"] == whole
    again = grown(sweep(0, 1, off=0.05), sweep(1, 2))["notebooks"]["02_fine_tune"]["uar"]
    assert again["each"] == pytest.approx([0.35, 0.4, 0.5])  # a seed that ran again is the new one
    assert grown(sweep(0, 1), sweep(2))["run"]["seeds"] == [0, 1, 2]
    assert capsys.readouterr().out == ""
    for code in ("b", None):  # not of this code: it goes, and that is said
        assert grown(sweep(0, code=code), sweep(1, 2)) == sweep(1, 2)
        assert "02_fine_tune: seeds [0] go" in capsys.readouterr().out


def test_a_reference_says_where_each_seed_ran(tmp_path, monkeypatch):
    from tools import collect_reference, write_tables

    entry = {"value": 0.5, "low": None, "high": None, "n": None, "seeds": [1]}
    run = {
        "seeds": [1],
        "commit": "b",
        "date": "d",
        "machine": "2 cores, 8 GiB, GPU",
        "threads": "1",
    }
    run |= {"versions": {"course": "0", "torch": "2.11", "numpy": write_tables.LOCK["numpy"]}}
    lessons = {"09_ensemble": {"uar": entry}}
    write_json(tmp_path / "results.json", {"schema": 1, "run": run, "notebooks": lessons})
    usual = {"machine": "Linux, 2 cores, 8 GiB", "versions": {"torch": write_tables.LOCK["torch"]}}
    kept = {"09_ensemble": {"0": usual, "2": {"machine": "gone"}}}
    merged = {"notebooks": {"09_ensemble": {"uar": entry | {"seeds": [0, 1]}}, "02_fine_tune": {}}}
    told = collect_reference.origins({"run": {"origins": kept}}, merged, [tmp_path])
    assert set(told) == {"09_ensemble"} and list(told["09_ensemble"]) == ["0", "1"]
    facts = {key: run[key] for key in ("commit", "date", "machine", "threads", "versions")}
    assert told["09_ensemble"]["1"] == facts

    monkeypatch.setattr(write_tables, "REFERENCE", tmp_path)
    run |= {"origins": told}
    write_json(tmp_path / "emodb.json", {"schema": 1, "run": run, "notebooks": lessons})
    assert write_tables.origins() == "- 09, EMO-DB, seeds 1: 2 cores, 8 GiB, GPU, torch 2.11"


@pytest.mark.parametrize(
    ("encoder", "profile", "name"),
    [
        ("embedded", "full", "emodb"),
        ("embedded", "quick", "emodb-quick"),
        ("a/b", "full", "emodb-b"),
    ],
)
def test_a_reference_is_named_by_what_is_not_usual(encoder, profile, name):
    from tools import collect_reference

    run = {"corpus": "emodb", "encoder": encoder, "profile": profile}
    assert collect_reference.label(run) == name


def test_lessons_of_other_seeds_share_a_reference(monkeypatch):
    """A lesson that is too dear for three seeds keeps its one; what no longer stands goes."""
    from tools import collect_reference

    def found(seeds, *lessons, profile="full"):
        entry = {"value": 0.5, "low": None, "high": None, "n": None, "seeds": seeds}
        run = {"seeds": seeds, "profile": profile, "made": dict.fromkeys(lessons, seeds)}
        return {"schema": 1, "run": run, "notebooks": {n: {"uar": entry} for n in lessons}}

    monkeypatch.setattr(collect_reference, "older", lambda run, lesson: lesson == "05_entropy_ood")
    there = found([0], "05_entropy_ood", "09_ensemble", "02_fine_tune")
    both = collect_reference.joined(there, found([0, 1, 2], "02_fine_tune"))
    assert list(both["notebooks"]) == ["02_fine_tune", "09_ensemble"]
    assert both["run"]["made"] == {"02_fine_tune": [0, 1, 2], "09_ensemble": [0]}
    assert both["run"]["seeds"] == [0, 1, 2]
    assert both["notebooks"]["09_ensemble"]["uar"]["seeds"] == [0]
    again = collect_reference.joined(both, found([0], "09_ensemble"))
    assert again["run"]["seeds"] == [0, 1, 2] and list(again["notebooks"]) == list(
        both["notebooks"]
    )
    renewed = collect_reference.joined(
        found([0, 1, 2], "05_entropy_ood"), found([0], "02_fine_tune")
    )
    assert renewed == found([0], "02_fine_tune")  # nothing stands: nothing of the old run stays
    with pytest.raises(SystemExit, match="profile full, this run quick: delete it first"):
        collect_reference.grown(both, found([0], "09_ensemble", profile="quick"))
