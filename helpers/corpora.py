"""Corpora: where they lie, what they are, one table of utterances for all (lesson 01)."""

import os
import tomllib
import warnings
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from helpers import audio, readers, recordings
from helpers.audio import AudioError
from helpers.emotions import canonical, plain
from helpers.errors import CourseError, nearest
from helpers.tree import Tree

REPOSITORY = Path(__file__).resolve().parents[1]
CATALOGUE = REPOSITORY / "data" / "catalogue.toml"
REQUIRED = (
    "path", "utterance", "corpus", "speaker", "gender", "language", "emotion", "sentence",
)  # fmt: skip


class Corpus(NamedTuple):
    """What a student must know before asking for a corpus: a table of `data/catalogue.toml`.

    `example`: how a clip is named. `open_audio`: clips and pictures of clips may be published
    (it decides what is committed).
    """

    title: str
    licence: str
    source: str
    get: str
    example: str
    open_audio: bool = False


CORPORA = {
    name: Corpus(**about)
    for name, about in tomllib.loads(CATALOGUE.read_text(encoding="utf-8")).items()
}


def root() -> Path:
    """Return the folder of the corpora: `SER_CORPORA`, or `data/corpora` in the repository."""
    return Path(os.environ.get("SER_CORPORA") or REPOSITORY / "data" / "corpora").resolve()


def folder(name: str) -> Path:
    """Return the folder in which a corpus lies, there or not; `CourseError` for unknown names."""
    if name not in CORPORA:
        raise CourseError(
            f"unknown corpus '{name}'{nearest(name, CORPORA)}; "
            f"known: {', '.join(CORPORA)}, folder:PATH"
        )
    return REPOSITORY / "data" / "corpus" if name == "embedded" else root() / name


def available(name: str) -> bool:
    """Say whether the folder of a corpus exists."""
    return folder(name).is_dir()


def parts(spec: str) -> list[str]:
    """Split corpora joined by `+`; a `+` in the path of a folder is no joint."""
    found: list[str] = []
    for part in spec.split("+"):
        whole = f"{found[-1]}+{part}" if found else part
        inside = whole.startswith("folder:") and not part.startswith("folder:")
        if inside and (part not in CORPORA or _where(whole).exists()):
            found[-1:] = [whole]
        else:
            found.append(part)
    return found


def present(spec: str) -> tuple[str, list[str]]:
    """Split corpora joined by `+` into those that are here, joined again, and the absent ones.

    When nothing is here, `spec` comes back whole: `frame` then says what is missing.
    """
    absent = [p for p in parts(spec) if not p.startswith("folder:") and not available(p)]
    here = [p for p in parts(spec) if p not in absent]
    return ("+".join(here), absent) if here else (spec, [])


def open_audio(spec: str) -> bool:
    """Say whether clips of every corpus in `spec` may be shown in what gets published."""
    return all(part in CORPORA and CORPORA[part].open_audio for part in parts(spec))


def frame(spec: str) -> pd.DataFrame:
    """Return the utterances of a corpus as a table, a row an utterance, sorted by `utterance`.

    `spec`: a name, `folder:PATH`, or several joined by `+`. Columns: `path` (absolute),
    `utterance` (unique id, `corpus/relative/stem`), `corpus`, `speaker` (`corpus/id`),
    `gender` (female, male, unknown), `language` (ISO 639-1), `emotion` (canonical),
    `sentence`; where the corpus has them `intensity`, `votes` (dict of counts by emotion),
    `pleasure, arousal, dominance` (-1 to 1), and what else a folder's CSV holds.
    A warning counts and names what is left out (`survey` returns it), and says of a folder which
    names were taken for speakers. Errors: CourseError when a corpus is unknown, absent or empty.
    """
    table, _, notes = survey(spec)
    for note in notes:
        warnings.warn(note, stacklevel=2)
    return table


def survey(spec: str) -> tuple[pd.DataFrame, list[AudioError], list[str]]:
    """Return the table of `frame`, an error for each audio file not in it, and what to tell."""
    if len(set(parts(spec))) < len(parts(spec)):
        raise CourseError(f"corpus '{spec}' names the same corpus twice")
    each, left_out, notes = zip(*map(_one, parts(spec)), strict=True)
    table = pd.concat(each, ignore_index=True) if len(each) > 1 else each[0]
    if len(doubles := table.loc[table.utterance.duplicated(), "utterance"]):
        raise CourseError(f"corpus '{spec}': two folders of one name, {doubles.iloc[0]} in both")
    words = table.select_dtypes(exclude="number").columns
    table[words] = table[words].astype(object).where(table[words].notna(), None)
    table = table.sort_values("utterance", ignore_index=True)
    return table, sum(left_out, []), [note for note in notes if note]


def load(spec: str):
    """Return the same table as `frame` as a `datasets.Dataset`."""
    import datasets

    return datasets.Dataset.from_list(frame(spec).to_dict("records"))


def _where(part: str) -> Path:
    return Path(os.path.realpath(os.path.expanduser(part.removeprefix("folder:"))))


def _one(part: str) -> tuple[pd.DataFrame, list[AudioError], str]:
    """Read one corpus: its table, what was left out, and a line on both ("" if all is plain)."""
    own = part.startswith("folder:")
    where = _where(part) if own else folder(part)
    if own and not where.exists():
        raise CourseError(f"{part}: no such folder or CSV file")
    if not own and not where.is_dir():
        about = CORPORA[part]
        raise CourseError(
            f"corpus '{part}' is not at {where}: {about.title}, licence {about.licence}, "
            f"{about.source}; {about.get}"
            + ("" if about.get.startswith(("run", "it is")) else f" into {where}")
        )
    tree = Tree(where)
    try:
        read = recordings.recordings if own else getattr(readers, part)
        rows = list(read(tree))
    except (KeyError, IndexError, ValueError) as error:
        wrong = f"a table in {where} is not as its manual says"
        raise CourseError(f"corpus '{part}': {wrong} ({error!r}); fetch it again") from None
    rows, left = _account(rows, tree), audio.report(tree.left_out)
    if not rows:
        like = "that is read here" if own else f"named as its manual says, {CORPORA[part].example}"
        holds = f"{where} holds no audio file {like}"
        raise CourseError("; ".join(filter(None, [f"corpus '{part}': {holds}", left])))
    name, base = where.stem if own else part, where.parent if where.is_file() else where
    table = pd.DataFrame([_complete(row, name, base) for row in rows])
    if len(doubles := table.loc[table.utterance.duplicated(), "utterance"]):
        raise CourseError(f"corpus '{part}': {doubles.iloc[0]} is listed twice")
    note = "; ".join(filter(None, [tree.note, left]))
    return table, tree.left_out, f"{name}: {note}" if note else ""


def _account(rows: list[dict], tree: Tree) -> list[dict]:
    """Give every clip of `tree` that is not among `rows` a reason; return rows of somebody.

    Clips without a speaker may be anybody's: beside others that have one they are left out, for
    they could put one voice on both sides of a split.
    """
    known = {os.path.realpath(row["path"]) for row in rows}
    known |= {os.path.realpath(error.path) for error in tree.left_out}
    for path in tree.clips:
        if os.path.realpath(path) not in known:
            tree.leave(path, "neither named nor listed as this corpus is read")
    named = [row for row in rows if _speaker(row) != "unknown"]
    for row in rows if named else ():
        if _speaker(row) == "unknown":
            tree.leave(row["path"], "no speaker, where other clips have one")
    return named or rows


def _speaker(row: dict) -> str:
    speaker = plain(row.get("speaker") or "")
    return "unknown" if speaker.lower() in ("", "nan", "none", "n/a", "unknown") else speaker


def _complete(row: dict, name: str, base: Path) -> dict:
    """Fill a reader's row up to the columns that all corpora share; check its emotion."""
    path = Path(row["path"])
    inside = path.relative_to(base) if path.is_relative_to(base) else path.relative_to(path.anchor)
    known = {
        "path": str(path),
        "utterance": f"{name}/{inside.with_suffix('').as_posix()}",
        "corpus": name,
        "speaker": f"{name}/{_speaker(row)}",
        "gender": readers.GENDERS.get(str(row.get("gender")).strip().lower(), "unknown"),
        "language": str(row.get("language", "")),
        "emotion": canonical(str(row["emotion"])),
        "sentence": plain(row.get("sentence") or ""),
    }
    return known | {key: value for key, value in row.items() if key not in known}
