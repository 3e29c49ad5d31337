"""The tables of the reference runs: figures beside claims, aims with verdicts, what has changed."""

import json
import re
from functools import partial

from helpers import contest, measures, results
from helpers.provenance import older
from tools.encoder_tables import REFERENCE

MAIN = (("ravdess", "RAVDESS"), ("emodb", "EMO-DB"))
WHISPER = "whisper-base-4"  # the lower layers of a Whisper encoder, `tools/cut_encoder.py`
LARGE = tuple((f"{name}-{WHISPER}", f"{title}, Whisper") for name, title in MAIN)
SYNTHETIC = ("embedded", "embedded corpus")
ALL = (*MAIN, *LARGE, SYNTHETIC)
# Corpora that one lesson alone reads.
ELSEWHERE = (
    ("ravdess+crema_d+tess+savee", "four corpora"),
    ("emodb+emovo+ravdess", "three corpora"),
    ("crema_d", "CREMA-D"),
    (f"crema_d-{WHISPER}", "CREMA-D, Whisper"),
)
FROZEN = "not fine-tuned"  # a run on an encoder too large for its machine: two linear heads
LAST = "over the last layer, not fine-tuned"  # what several layers, or a voice, gain there
OLDER = " (older)"  # lesson, code or encoder changed since: make reference says which
CONDITIONS = {  # the end of a key of a detector, in words
    "enrolled": ", 10 clips a voice",
    "covariate": ", spoiled clips",
    "nonspeech": ", no speech",
}
PERCENT = ("share", "percent")  # units shown times 100


def rows(header: list[str], body: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(entry: dict | None, unit: str, more: int = 0) -> str:
    if entry is None:
        return "–"
    if entry["value"] is None:
        return "not measured"
    scale, digits = (100, 1 + more) if unit in PERCENT else (1, 3 + more)
    text = f"{entry['value'] * scale:.{digits}f}"
    if entry.get("low") is None:
        return text
    return f"{text} [{entry['low'] * scale:.{digits}f}, {entry['high'] * scale:.{digits}f}]"


def _claimed(figure: dict) -> str:
    if "source" not in figure:
        return ""
    return f"{_cell({'value': figure['claimed']}, figure['unit'])} (source {figure['source']})"


def _there(columns) -> dict[str, dict]:
    """The reference runs that are there, by name."""
    paths = {name: REFERENCE / f"{name}.json" for name, _ in columns}
    return {name: results.read_results(p) for name, p in paths.items() if p.is_file()}


def _what(lesson: str, key: str) -> str:
    """What a row is called; a detector under other conditions by its own name."""
    figure = measures.measure(lesson, key)
    what, (alone, _, end) = figure["what"], key.rpartition("_")
    if key not in measures.of_lesson(lesson) and end in CONDITIONS:  # of a family
        what = measures.measure(lesson, alone)["what"] + CONDITIONS[end]
    return what + (", %" if figure["unit"] in PERCENT else "")


def _frozen(lesson: str, key: str, file: dict) -> str:
    """What is added to a figure, by its name of a fine-tuned network, where none was fine-tuned."""
    timed = file["notebooks"].get("02_fine_tune", {}).get("seconds_per_epoch")
    if "fine-tuned" not in _what(lesson, key) or timed is None or timed["value"] is not None:
        return ""
    return f" ({LAST if re.search('_(frozen|enrolled)_over_', key) else FROZEN})"


def _seeds(seeds: list[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def _fewer(entry: dict | None, seeds: list[int]) -> str:
    """Which seeds a figure is of, where they are not those in the head of its column."""
    if entry is None or entry["value"] is None or entry["seeds"] == seeds:
        return ""
    return f", {_seeds(entry['seeds'])}"


def measured(page: str, columns) -> str:
    """Figures of the reference runs that are there, beside what a source claims elsewhere."""
    shown = measures.page(page)
    titles, lessons = dict(columns), {lesson for lesson, _ in shown}
    files = {
        titles[name]: file
        for name, file in _there(columns).items()
        if lessons & set(file["notebooks"])
    }
    heads = [f"{title}, {_seeds(file['run']['seeds'])}" for title, file in files.items()]
    stale = [{lesson for lesson in lessons if older(f["run"], lesson)} for f in files.values()]
    body = []
    for lesson, key in shown:
        entries = [file["notebooks"].get(lesson, {}).get(key) for file in files.values()]
        if any(entries):
            figure = measures.measure(lesson, key)
            cells = [
                _cell(entry, figure["unit"])
                + (_frozen(lesson, key, file) if entry else "")
                + _fewer(entry, file["run"]["seeds"])
                + (OLDER if entry and lesson in old else "")
                for entry, file, old in zip(entries, files.values(), stale, strict=True)
            ]
            body.append([_what(lesson, key), *cells, _claimed(figure)])
    body = _whole_columns(heads, body)
    return rows(["", *heads, "a source's claim"], body)


def _whole_columns(heads: list[str], body: list[list[str]]) -> list[list[str]]:
    """Say "older" once, in the head of a column (changed in place) that is older throughout."""
    for i in range(len(heads)):
        cells = [line[i + 1] for line in body if line[i + 1] != "–"]
        if cells and all(cell.endswith(OLDER) for cell in cells):
            heads[i] += OLDER
            for line in body:
                line[i + 1] = line[i + 1].replace(OLDER, "")
    return body


def _judged(aim: dict, name: str, file: dict) -> str:
    """The verdict of one aim on one reference run, its figure and, where its own, the bound."""
    side = "above" if "above" in aim else "below"
    figure = measures.measure(aim["lesson"], aim["key"])
    unit = figure["unit"]
    entry = file["notebooks"].get(aim["lesson"], {}).get(aim["key"])
    own = isinstance(aim[side], dict)
    bound = aim[side].get(name) if own else aim[side]
    if entry is None or bound is None or (not own and name == SYNTHETIC[0]):
        return "–"  # the synthetic corpus proves nothing, but for what was aimed at on it
    cell = _cell(entry, unit)
    frozen = _frozen(aim["lesson"], aim["key"], file)
    if FROZEN in frozen and LAST not in frozen:
        cell = FROZEN
    elif entry["value"] is not None:
        shown = _cell({"value": bound}, unit)
        held = bound in (entry["low"], entry["high"])
        for more in () if held else (1, 2, 3):  # else the interval would seem to hold its bound
            if float(shown) in map(float, re.findall(r"-?[\d.]+", cell)[1:]):
                cell = _cell(entry, unit, more)
        which = f" ({side} {shown})" if own else ""
        cell = f"{results.verdict(entry, **{side: bound})}{which}: {cell}{frozen}"
    return (
        cell
        + _fewer(entry, file["run"]["seeds"])
        + (OLDER if older(file["run"], aim["lesson"]) else "")
    )


def asked() -> list[dict]:
    """The aims that lessons list, then the course's own, whose bound may hang on the corpus."""
    own = json.loads(measures.PATH.read_text(encoding="utf-8"))["course_aims"]
    return sorted(measures.aims() + own, key=lambda aim: aim["lesson"])


def aims() -> str:
    """Each aim, and what the reference runs say of it: one rule for all."""
    files, others = _there(ALL), _there(ELSEWHERE)
    titles = {
        name: f"{dict(ALL + ELSEWHERE)[name]}, {_seeds(file['run']['seeds'])}"
        for name, file in (files | others).items()
    }
    heads, body = [titles[name] for name in files], []
    for aim in asked():
        side = "above" if "above" in aim else "below"
        cells = [_judged(aim, name, file) for name, file in files.items()]
        rest = [(titles[name], _judged(aim, name, file)) for name, file in others.items()]
        cells.append("; ".join(f"{title}, {cell}" for title, cell in rest if cell != "–") or "–")
        what = f"{_what(aim['lesson'], aim['key'])}, {side}"
        if not isinstance(aim[side], dict):
            unit = measures.measure(aim["lesson"], aim["key"])["unit"]
            what += f" {_cell({'value': aim[side]}, unit)}"
        body.append([what, *cells])
    heads.append("elsewhere")
    body = _whole_columns(heads, [line for line in body if set(line[1:]) != {"–"}])
    return rows(["aim", *heads], body)


def changed() -> str:
    """What the references before these said, and what these say."""
    before = json.loads((REFERENCE / "before.json").read_text(encoding="utf-8"))
    files, body = _there([*MAIN, *LARGE]), []
    columns = [(name, title) for name, title in [*MAIN, *LARGE] if name in before and name in files]
    for lesson, key in measures.page("headline"):
        figure, cells = measures.measure(lesson, key), []
        unit = figure["unit"]
        for name, _ in columns:
            then = before[name].get(f"{lesson}/{key}")
            now = files[name]["notebooks"].get(lesson, {}).get(key)
            cell = f"{_cell(then, unit)} → {_cell(now, unit)}" if then and now else "–"
            cell += _frozen(lesson, key, files[name]) if then and now else ""
            cell += _fewer(now, files[name]["run"]["seeds"]) if cell != "–" else ""
            old = cell != "–" and older(files[name]["run"], lesson)
            cells.append(cell + (OLDER if old else ""))
        if set(cells) != {"–"}:
            body.append([_what(lesson, key), *cells])
    heads = []
    for name, title in columns:
        then = sorted({seed for entry in before[name].values() for seed in entry["seeds"]})
        heads.append(f"{title}, {_seeds(then)} → {_seeds(files[name]['run']['seeds'])}")
    body = _whole_columns(heads, body)
    return rows(["before → now", *heads], body)


def _chosen(file: dict) -> str:
    """The setting of the recommended form that the pseudo-unknowns of other corpora chose."""
    scores = contest.elsewhere("openmax", file["run"]["corpus"], file["run"]["encoder"])
    return max(scores, key=scores.get).replace("_", " ")


def _detector(file: dict) -> str:
    """The detector of the nineteen that the pseudo-unknowns of other corpora chose."""
    scores = contest.elsewhere("auroc", file["run"]["corpus"], file["run"]["encoder"])
    return _called(max(scores, key=scores.get))


def _called(name: str) -> str:
    return measures.measure("13_detectors", f"auroc_{name}")["what"].removeprefix("AUROC, ")


def _best(entries: dict, suffix: str) -> str:
    """The detector of the nineteen that ranks first on the very clips that are scored."""
    keys = {f"auroc_{name}{suffix}": name for name in contest.GRIDS}
    first = max(keys, key=lambda key: entries[key]["value"])
    return f"{_called(keys[first])}: {_cell(entries[first], 'share')}"


def _way(entries: dict, suffix: str) -> str:
    """How much of the way from the printed form to the oracle the recommended one goes."""
    names = ("openmax_printed", "openmax", "oracle")
    low, here, roof = (entries[f"auroc_{name}{suffix}"]["value"] for name in names)
    if roof <= low:
        return "no roof"
    return "beyond it" if here > roof else f"{100 * (here - low) / (roof - low):.0f}"


def musts() -> str:
    """What the recommended form had to reach by its value, and what it reached."""
    files, bounds = _there(ALL), {aim["key"]: aim.get("above") for aim in asked()}
    body = []
    for key in ("auroc_recommended_frozen", "auroc_recommended_enrolled"):
        cells = []
        for name, file in files.items():
            entry, bound = file["notebooks"]["06_openmax"][key], bounds[key].get(name)
            short = "" if bound and entry["value"] >= bound else "short of "
            cell = f" ({short}{100 * bound:.1f})" if bound else ""
            cells.append(f"{100 * entry['value']:.1f}{cell}")
        body.append([_what("06_openmax", key), *cells])
    seeds = [
        f["notebooks"]["06_openmax"]["auroc_recommended_frozen"]["seeds"] for f in files.values()
    ]
    last = [file["notebooks"]["13_detectors"] for file in files.values()]
    fewer = [_fewer(f["best_chosen_elsewhere"], own) for f, own in zip(last, seeds, strict=True)]
    ranks = [f"{file['best_chosen_elsewhere']['value']:.1f}" for file in last]
    of_last = {
        "rank of that detector among nineteen": ranks,
        "first of nineteen on these very clips: no choice": [_best(f, "") for f in last],
        "first of nineteen, with a voice": [_best(file, "_enrolled") for file in last],
        "way from the printed form to the oracle, %": [_way(file, "") for file in last],
        "way to the oracle, with a voice, %": [_way(file, "_enrolled") for file in last],
    }
    body.append(["its setting, chosen by other corpora", *map(_chosen, files.values())])
    body.append(["detector, chosen by other corpora", *map(_detector, files.values())])
    body += [
        [what, *(cell + which for cell, which in zip(cells, fewer, strict=True))]
        for what, cells in of_last.items()
    ]
    heads = []
    for (name, file), own in zip(files.items(), seeds, strict=True):
        old = any(older(file["run"], lesson) for lesson in ("06_openmax", "13_detectors"))
        heads.append(f"{dict(ALL)[name]}, {_seeds(own)}{OLDER if old else ''}")
    return rows(["", *heads], body)


MEASURED = {  # a page of `data/measures.json`, and its columns
    "first": MAIN,
    "headline": (*MAIN, *LARGE),
    "spine": ALL,
    "unknown": ALL,
    "ensemble": (ELSEWHERE[0], *MAIN, LARGE[1], SYNTHETIC),
    "learning": ALL,
    "several": (*ELSEWHERE[2:], SYNTHETIC),
    "control": (*reversed(MAIN), ELSEWHERE[1], SYNTHETIC),
    "detectors": ALL,
    "shifted": ALL,
    "profiles": (("emodb-quick", "EMO-DB, quick"), MAIN[1]),
}
TABLES = {name: partial(measured, name, columns) for name, columns in MEASURED.items()}
TABLES |= {"aims": aims, "changed": changed, "musts": musts}
