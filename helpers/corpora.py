"""Corpora: where they lie, what they are, one table of utterances for all (lesson 01)."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from helpers import emotions, readers
from helpers.errors import CourseError, nearest

REPOSITORY = Path(__file__).resolve().parents[1]
REQUIRED = (
    "path", "utterance", "corpus", "speaker", "gender", "language", "emotion", "sentence",
)  # fmt: skip


class Corpus(NamedTuple):
    """What a student must know before asking for a corpus.

    ``open_audio``: clips and pictures of clips may be published (it decides what is committed).
    """

    title: str
    licence: str
    source: str
    get: str
    read: Callable[[Path], Iterable[dict]]
    open_audio: bool = False


_ASK = "ask for it there (registration), then unpack it"
_PAGE = "download it there, then unpack it"

CORPORA = {
    "embedded": Corpus(
        "Embedded corpus: synthetic speech, 24 voices", "CC0 1.0", "data/corpus",
        "it is part of the repository: restore it with git checkout data/corpus",
        readers.embedded, open_audio=True,
    ),
    "ravdess": Corpus(
        "RAVDESS, speech part", "CC BY-NC-SA 4.0", "https://zenodo.org/records/1188976",
        "run ser-course download ravdess", readers.ravdess,
    ),
    "emodb": Corpus(
        "Berlin database of emotional speech (EMO-DB)", "free to use", "http://emodb.bilderbar.info",
        _PAGE, readers.emodb,
    ),
    "tess": Corpus(
        "Toronto emotional speech set (TESS)", "CC BY-NC-ND 4.0",
        "https://doi.org/10.5683/SP2/E8H2MF", _PAGE, readers.tess,
    ),
    "savee": Corpus(
        "Surrey audio-visual expressed emotion (SAVEE)", "research only",
        "http://kahlan.eps.surrey.ac.uk/savee", _ASK, readers.savee,
    ),
    "emovo": Corpus(
        "EMOVO, Italian", "research only", "http://voice.fub.it/activities/corpora/emovo",
        _PAGE, readers.emovo,
    ),
    "crema_d": Corpus(
        "CREMA-D, crowd-sourced votes", "ODbL 1.0",
        "https://github.com/CheyneyComputerScience/CREMA-D",
        "clone it with git lfs", readers.crema_d,
    ),
    "esd": Corpus(
        "Emotional speech dataset (ESD), English and Mandarin", "research only",
        "https://github.com/HLTSingapore/Emotional-Speech-Data", _ASK, readers.esd,
    ),
    "casia": Corpus(
        "CASIA Chinese emotional speech", "under licence", "http://www.chineseldc.org", _ASK,
        readers.casia,
    ),
    "iemocap": Corpus(
        "IEMOCAP", "under licence", "https://sail.usc.edu/iemocap", _ASK, readers.iemocap,
    ),
    "msp_podcast": Corpus(
        "MSP-Podcast", "under licence",
        "https://www.lab-msp.com/MSP/MSP-Podcast.html", _ASK, readers.msp_podcast,
    ),
}  # fmt: skip


def root() -> Path:
    """Return the folder of the corpora: ``SER_CORPORA``, or ``data/corpora`` in the repository."""
    return Path(os.environ.get("SER_CORPORA") or REPOSITORY / "data" / "corpora").resolve()


def names() -> tuple[str, ...]:
    """Return the names that ``load`` knows, besides ``folder:PATH``."""
    return tuple(CORPORA)


def folder(name: str) -> Path:
    """Return the folder in which a corpus lies, there or not; ``CourseError`` for unknown names."""
    if name not in CORPORA:
        raise CourseError(
            f"unknown corpus '{name}'{nearest(name, CORPORA)}; "
            f"known: {', '.join(CORPORA)}, folder:PATH"
        )
    return REPOSITORY / "data" / "corpus" if name == "embedded" else root() / name


def available(name: str) -> bool:
    """Say whether the folder of a corpus exists."""
    return folder(name).is_dir()


def present(spec: str) -> tuple[str, list[str]]:
    """Split corpora joined by ``+`` into those that are here, joined again, and the absent ones.

    When nothing is here, ``spec`` comes back whole: ``frame`` then says what is missing.
    """
    parts = spec.split("+")
    absent = [p for p in parts if not p.startswith("folder:") and not available(p)]
    here = [p for p in parts if p not in absent]
    return ("+".join(here), absent) if here else (spec, [])


def open_audio(spec: str) -> bool:
    """Say whether clips of every corpus in ``spec`` may be shown in what gets published."""
    return all(part in CORPORA and CORPORA[part].open_audio for part in spec.split("+"))


def frame(spec: str) -> pd.DataFrame:
    """Return the utterances of a corpus as a table, a row an utterance, sorted by ``utterance``.

    ``spec``: a name, ``folder:PATH``, or several joined by ``+``. Columns: ``path`` (absolute),
    ``utterance`` (unique id, ``corpus/relative/stem``), ``corpus``, ``speaker`` (``corpus/id``),
    ``gender`` (female, male, unknown), ``language`` (ISO 639-1), ``emotion`` (canonical),
    ``sentence``; where the corpus has them ``intensity``, ``votes`` (dict of counts by emotion),
    ``pleasure, arousal, dominance`` (-1 to 1), and what else a folder's CSV holds.
    Raises ``CourseError`` when a corpus is unknown, absent or empty.
    """
    parts = spec.split("+")
    if len(set(parts)) < len(parts):
        raise CourseError(f"corpus '{spec}' names the same corpus twice")
    tables = [_one(part) for part in parts]
    table = pd.concat(tables, ignore_index=True) if len(tables) > 1 else tables[0]
    if len(doubles := table.loc[table.utterance.duplicated(), "utterance"]):
        raise CourseError(f"corpus '{spec}': two folders of one name, {doubles.iloc[0]} in both")
    words = table.select_dtypes(exclude="number").columns
    table[words] = table[words].astype(object).where(table[words].notna(), None)
    return table.sort_values("utterance", ignore_index=True)


def load(spec: str):
    """Return the same table as ``frame`` as a ``datasets.Dataset``."""
    import datasets

    return datasets.Dataset.from_list(frame(spec).to_dict("records"))


def _one(part: str) -> pd.DataFrame:
    if part.startswith("folder:"):
        where = Path(part.removeprefix("folder:")).expanduser().resolve()
        if not where.exists():
            raise CourseError(f"{part}: no such folder or CSV file")
        name, read = where.stem, readers.folder
    else:
        where, name, read = folder(part), part, CORPORA[part].read
        if not where.is_dir():
            about = CORPORA[part]
            raise CourseError(
                f"corpus '{part}' is not at {where}: {about.title}, licence {about.licence}, "
                f"{about.source}; {about.get}"
                + ("" if about.get.startswith(("run", "it is")) else f" into {where}")
            )
    rows = list(read(where))
    if not rows:
        raise CourseError(f"corpus '{part}': {where} holds no audio file named as its manual says")
    base = where if where.is_dir() else where.parent
    table = pd.DataFrame([_complete(row, name, base) for row in rows])
    if len(doubles := table.loc[table.utterance.duplicated(), "utterance"]):
        raise CourseError(f"corpus '{part}': {doubles.iloc[0]} is listed twice")
    return table


def _complete(row: dict, name: str, base: Path) -> dict:
    """Fill a reader's row up to the columns that all corpora share; check its emotion."""
    path = Path(row["path"])
    try:
        emotion = emotions.canonical(str(row["emotion"]))
    except CourseError as error:
        raise CourseError(f"{path}: {error}") from None
    inside = path.relative_to(base) if path.is_relative_to(base) else path.relative_to(path.anchor)
    speaker = str(row.get("speaker", "unknown")).strip() or "unknown"
    known = {
        "path": str(path),
        "utterance": f"{name}/{inside.with_suffix('').as_posix()}",
        "corpus": name,
        "speaker": f"{name}/{speaker}",
        "gender": readers.GENDERS.get(str(row.get("gender")).strip().lower(), "unknown"),
        "language": str(row.get("language", "")),
        "emotion": emotion,
        "sentence": str(row.get("sentence", "")),
    }
    return known | {key: value for key, value in row.items() if key not in known}
