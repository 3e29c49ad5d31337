"""Readers: for each corpus the pattern of its manual and a mapping (lesson 01 reads one of them).

A reader gets the folder of its corpus and yields a dict an utterance: ``path``, ``speaker``,
``emotion`` and what else the corpus says. Labels are mapped by ``emotions.canonical``.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from helpers.audio import SUFFIXES
from helpers.errors import CourseError, nearest

GENDERS = {"f": "female", "female": "female", "m": "male", "male": "male"}
PAD = ("pleasure", "arousal", "dominance")


def files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield (relative path without suffix, path) of every audio file, sorted, each stem once."""
    seen = set()
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            stem = path.relative_to(folder).with_suffix("").as_posix()
            if stem not in seen:
                seen.add(stem)
                yield stem, path


def named(folder: Path, pattern: str) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Yield (path, groups) for files whose relative path ends in ``pattern``, each name once."""
    match, seen = re.compile(rf"(?:.*/)?{pattern}"), set()
    for stem, path in files(folder):
        if (found := match.fullmatch(stem)) and found.groups() not in seen:
            seen.add(found.groups())
            yield path, found.groups()


# RAVDESS: modality-channel-emotion-intensity-statement-repetition-actor, odd actors are men
# (Livingstone & Russo 2018, doi 10.1371/journal.pone.0196391); 03-01 is audio only, speech.
RAVDESS = dict(enumerate("neutral calm happy sad angry fearful disgust surprised".split(), 1))
RAVDESS_SAID = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}


def ravdess(folder: Path) -> Iterator[dict]:
    for path, (emotion, intensity, said, _, actor) in named(
        folder, r"03-01-(0[1-8])-(0[12])-(0[12])-(0[12])-(\d\d)"
    ):
        yield {
            "path": path, "speaker": actor, "gender": "fm"[int(actor) % 2], "language": "en",
            "emotion": RAVDESS[int(emotion)], "sentence": RAVDESS_SAID[said],
            "intensity": {"01": "normal", "02": "strong"}[intensity],
        }  # fmt: skip


# EMO-DB: speaker, text, emotion (first letter of the German word), version
# (Burkhardt et al. 2005; http://emodb.bilderbar.info/index-1280.html lists the speakers).
EMODB = {"W": "anger", "L": "boredom", "E": "disgust", "A": "fear", "F": "happy", "T": "sad",
         "N": "neutral"}  # fmt: skip
EMODB_MEN = {"03", "10", "11", "12", "15"}


def emodb(folder: Path) -> Iterator[dict]:
    for path, (speaker, text, emotion, _) in named(folder, r"(\d\d)([ab]\d\d)([WLEAFTN])([a-z])"):
        yield {
            "path": path, "speaker": speaker, "gender": "m" if speaker in EMODB_MEN else "f",
            "language": "de", "emotion": EMODB[emotion], "sentence": text,
        }  # fmt: skip


# TESS: OAF (older) and YAF (younger actress), "Say the word ...", emotion; ps: pleasant surprise
# (Pichora-Fuller & Dupuis 2020). OA_bite_neutral is a slip of the corpus for OAF.
def tess(folder: Path) -> Iterator[dict]:
    for path, (speaker, word, emotion) in named(folder, r"(OAF|YAF|OA)_([a-z]+)_([a-z]+)"):
        yield {
            "path": path, "speaker": "OAF" if speaker == "OA" else speaker, "gender": "f",
            "language": "en", "emotion": emotion, "sentence": f"Say the word {word}",
        }  # fmt: skip


# SAVEE: speaker (folder or prefix), letters of the emotion, sentence number (Haq & Jackson 2010).
# Sentences 1-3 are common to all emotions, 4-5 of each emotion and all its others its own.
SAVEE = {"a": "anger", "d": "disgust", "f": "fear", "h": "happy", "n": "neutral", "sa": "sad",
         "su": "surprise"}  # fmt: skip


def savee(folder: Path) -> Iterator[dict]:
    for path, (speaker, emotion, number) in named(
        folder, r"(DC|JE|JK|KL)[/_](sa|su|a|d|f|h|n)(\d\d)"
    ):
        common = int(number) <= 3
        yield {
            "path": path, "speaker": speaker, "gender": "m", "language": "en",
            "emotion": SAVEE[emotion], "sentence": number if common else emotion + number,
        }  # fmt: skip


# EMOVO: emotion (Italian), speaker, sentence (Costantini et al. 2014).
EMOVO = {"neu": "neutral", "dis": "disgust", "gio": "joy", "pau": "fear", "rab": "anger",
         "sor": "surprise", "tri": "sad"}  # fmt: skip


def emovo(folder: Path) -> Iterator[dict]:
    for path, (emotion, speaker, said) in named(
        folder, r"(neu|dis|gio|pau|rab|sor|tri)-([fm]\d)-(\w+)"
    ):
        yield {
            "path": path, "speaker": speaker, "gender": speaker[0], "language": "it",
            "emotion": EMOVO[emotion], "sentence": said,
        }  # fmt: skip


# CREMA-D: actor, sentence, intended emotion, level (Cao et al. 2014). In tabulatedVotes.csv the
# row ids of clips that were judged by voice alone start with 1 (2: face, 3: both).
CREMA_VOTES = {"A": "angry", "D": "disgust", "F": "fearful", "H": "happy", "N": "neutral",
               "S": "sad"}  # fmt: skip
CREMA_LEVEL = {"LO": "low", "MD": "medium", "HI": "high", "XX": "unspecified", "X": "unspecified"}


def crema_d(folder: Path) -> Iterator[dict]:
    sex = {row["ActorID"]: row["Sex"] for row in _csv(folder / "VideoDemographics.csv")}
    votes: dict[str, Counter] = {}
    for row in _csv(folder / "processedResults" / "tabulatedVotes.csv"):
        if row[""].startswith("1"):
            counts = {name: int(row[letter]) for letter, name in CREMA_VOTES.items()}
            votes.setdefault(row["fileName"], Counter()).update(counts)
    for path, (actor, said, emotion, level) in named(
        folder, r"(1\d{3})_([A-Z]{3})_(ANG|DIS|FEA|HAP|NEU|SAD)_(LO|MD|HI|XX?)"
    ):
        yield {
            "path": path, "speaker": actor, "gender": sex.get(actor), "language": "en",
            "emotion": emotion, "sentence": said, "intensity": CREMA_LEVEL[level],
            "votes": dict(votes[path.stem]) if path.stem in votes else None,
        }  # fmt: skip


# ESD: speaker/emotion[/part]/speaker_number; 350 parallel sentences repeated for five emotions;
# 0001-0010 Mandarin, 0011-0020 English (Zhou et al. 2022; ReadMe.txt lists the genders).
ESD_MEN = {4, 5, 6, 8, 10, 11, 12, 13, 14, 20}


def esd(folder: Path) -> Iterator[dict]:
    for path, (emotion, speaker, number) in named(
        folder, r"(Angry|Happy|Neutral|Sad|Surprise)(?:/\w+)?/(\d{4})_(\d{6})"
    ):
        yield {
            "path": path, "speaker": speaker, "gender": "m" if int(speaker) in ESD_MEN else "f",
            "language": "zh" if int(speaker) <= 10 else "en", "emotion": emotion,
            "sentence": f"{(int(number) - 1) % 350 + 1:03d}",
        }  # fmt: skip


# CASIA: speaker/emotion/sentence, two women and two men, 50 sentences in the part that is public.
CASIA_WOMEN = {"liuchanhg", "zhaoquanyin"}


def casia(folder: Path) -> Iterator[dict]:
    for path, (speaker, emotion, said) in named(
        folder, r"(\w+)/(angry|fear|happy|neutral|sad|surprise)/(\d+)"
    ):
        yield {
            "path": path, "speaker": speaker, "gender": "f" if speaker in CASIA_WOMEN else "m",
            "language": "zh", "emotion": emotion, "sentence": said,
        }  # fmt: skip


# IEMOCAP: Session?/dialog/EmoEvaluation/*.txt has a line a turn: [from - to], turn, label,
# [valence, activation, dominance] on 1-5, then the raters' labels (Busso et al. 2008). The turn's
# last letter is who speaks. Turns without majority (xxx) or with other emotions (oth) are left out.
IEMOCAP_TURN = re.compile(r"\[.+\]\t(Ses0(\d)[FM]_\w+_([FM])\w+)\t(\w+)\t\[([\d., ]+)\]")
IEMOCAP_VOTE = re.compile(r"C-\w+:\t(.*?)\t")


def iemocap(folder: Path) -> Iterator[dict]:
    paths = {path.stem: path for _, path in files(folder) if path.stem.startswith("Ses0")}
    said = {}
    for text in sorted(folder.glob("Session*/dialog/transcriptions/Ses*.txt")):
        for line in text.read_text("utf-8", "replace").splitlines():
            turn, _, words = line.partition(" ")
            said[turn] = words.partition(":")[2].strip()
    for text in sorted(folder.glob("Session*/dialog/EmoEvaluation/Ses*.txt")):
        for block in text.read_text("utf-8", "replace").split("\n["):
            found = IEMOCAP_TURN.match(block if block.startswith("[") else "[" + block)
            if not found or found[4] in ("xxx", "oth") or found[1] not in paths:
                continue
            labels = "".join(IEMOCAP_VOTE.findall(block)).replace(" ", "").split(";")
            yield {
                "path": paths[found[1]], "speaker": f"{found[2]}{found[3]}", "gender": found[3],
                "language": "en", "emotion": found[4], "sentence": said.get(found[1], ""),
                "votes": _votes(labels),
                **dict(zip(PAD, ((float(x) - 3) / 2 for x in found[5].split(",")), strict=True)),
            }  # fmt: skip


# MSP-Podcast: Labels/labels_consensus.csv with EmoClass letters, EmoVal/EmoAct/EmoDom on 1-7, and
# Labels/labels_detailed.csv with a row a rater: EmoClass_Major, or in later releases EmoDetail,
# "worker; emotion; ..." (Lotfian & Busso 2019). Other (O), no agreement (X)
# and clips of unknown speakers are left out: they cannot be labelled, or split by speaker.
MSP = {"A": "angry", "S": "sad", "H": "happy", "U": "surprise", "F": "fear", "D": "disgust",
       "C": "contempt", "N": "neutral"}  # fmt: skip


def msp_podcast(folder: Path) -> Iterator[dict]:
    raters: dict[str, list[str]] = {}
    for row in _csv(folder / "Labels" / "labels_detailed.csv"):
        chosen = row.get("EmoClass_Major") or row["EmoDetail"].split(";")[1]
        raters.setdefault(row["FileName"], []).append(chosen.strip())
    paths = {path.stem: path for _, path in files(folder)}
    for row in _csv(folder / "Labels" / "labels_consensus.csv"):
        path = paths.get(Path(row["FileName"]).stem)
        if path is None or row["EmoClass"] not in MSP or row["SpkrID"] == "Unknown":
            continue
        yield {
            "path": path, "speaker": row["SpkrID"], "gender": row["Gender"], "language": "en",
            "emotion": MSP[row["EmoClass"]], "votes": _votes(raters.get(row["FileName"], ())),
            **{name: (float(row[key]) - 4) / 3
               for name, key in zip(PAD, ("EmoVal", "EmoAct", "EmoDom"), strict=True)},
        }  # fmt: skip


def embedded(folder: Path) -> Iterator[dict]:
    """Read the shipped corpus: ``table.csv`` as ``folder`` reads it."""
    return table(folder / "table.csv")


def folder(where: Path) -> Iterator[dict]:
    """Read anybody's recordings: a CSV, a folder with one CSV in it, or a folder of class folders.

    In class folders (``emotion/clip`` with ``speaker`` above or below the emotion) the emotion is
    the one folder whose name is an emotion or an alias of one.
    """
    if where.is_file():
        return table(where)
    lists = sorted(where.glob("*.csv"))
    if len(lists) > 1:
        raise CourseError(f"{where}: {len(lists)} CSV files; name the one to read, folder:PATH.csv")
    return table(lists[0]) if lists else _class_folders(where)


def table(path: Path) -> Iterator[dict]:
    """Read a CSV with ``path`` (relative to the CSV), ``emotion``, ``speaker``, any other column.

    Columns ``votes_<emotion>`` become one ``votes`` dict; PAD values are numbers, the rest text.
    """
    rows = _csv(path)
    if not rows:
        raise CourseError(f"{path}: missing or without rows")
    for column in ("path", "emotion", "speaker"):
        if column not in rows[0]:
            raise CourseError(f"{path}: no column '{column}'{nearest(column, rows[0])}")
    for number, row in enumerate(rows, 2):
        if None in row.values():
            raise CourseError(f"{path} line {number}: fewer fields than columns")
        audio = (path.parent / row["path"]).resolve()
        if not audio.is_file():
            raise CourseError(f"{path} line {number}: no file {row['path']}")
        rest = {k: v for k, v in row.items() if k and not k.startswith("votes_")}
        try:
            rest |= {
                name: float(rest[name]) if rest[name] else None for name in PAD if name in rest
            }
            votes = {k.removeprefix("votes_"): int(float(v or 0)) for k, v in row.items()
                     if k and k.startswith("votes_")}  # fmt: skip
        except ValueError as error:
            raise CourseError(f"{path} line {number}: {error}") from None
        yield rest | {"path": audio} | ({"votes": votes} if votes else {})


def _class_folders(where: Path) -> Iterator[dict]:
    from helpers.emotions import ALIASES, canonical

    for stem, path in files(where):
        above = stem.split("/")[:-1]
        labels = [name for name in above if name.lower() in ALIASES]
        if not labels:
            canonical(above[-1] if above else path.stem)  # raises, and says what is expected
        if len({canonical(name) for name in labels}) > 1:
            raise CourseError(f"{path}: {' and '.join(labels)} both name an emotion; rename one")
        others = [name for name in above if name != labels[-1]]
        yield {"path": path, "emotion": labels[-1], "speaker": others[-1] if others else "unknown"}


def _csv(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file, none when it is not there (subsets leave tables out)."""
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            return list(csv.DictReader(lines))
    except UnicodeDecodeError as error:
        raise CourseError(f"{path}: {error.reason}; save it as UTF-8") from None


def _votes(labels: Iterable[str]) -> dict[str, int]:
    """Count raters' labels by canonical emotion; labels outside the table are left out."""
    from helpers.emotions import ALIASES

    return dict(Counter(ALIASES[x.lower()] for x in labels if x.lower() in ALIASES))
