"""Readers: for each corpus the pattern of its manual and a mapping (lesson 01 reads one of them).

A reader gets the files of its corpus and yields a dict an utterance: `path`, `speaker`,
`emotion` and what else the corpus says. Labels are mapped by `emotions.canonical`. What a
pattern finds comes in lower case, for copies of a corpus differ in case.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from helpers import tables
from helpers.emotions import ALIASES
from helpers.errors import CourseError
from helpers.tables import PAD
from helpers.tree import Tree

GENDERS = {"f": "female", "female": "female", "m": "male", "male": "male"}


def clip(path, speaker, gender, language, emotion, sentence="", **more) -> dict:
    """Return what every corpus says of an utterance, and what only some say."""
    about = {"path": path, "speaker": speaker, "gender": gender, "language": language}
    return about | {"emotion": emotion, "sentence": sentence} | more


# RAVDESS: modality-channel-emotion-intensity-statement-repetition-actor, odd actors are men
# (Livingstone & Russo 2018, doi 10.1371/journal.pone.0196391); 03-01 is audio only, speech.
RAVDESS = dict(enumerate("neutral calm happy sad angry fearful disgust surprised".split(), 1))
RAVDESS_SAID = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}
RAVDESS_LEVEL = {"01": "normal", "02": "strong"}


def ravdess(tree: Tree) -> Iterator[dict]:
    pattern = r"03-01-(0[1-8])-(0[12])-(0[12])-(0[12])-(\d\d)"
    for path, (emotion, level, said, _, actor) in tree.named(pattern):
        emotion, gender = RAVDESS[int(emotion)], "fm"[int(actor) % 2]
        level = RAVDESS_LEVEL[level]
        yield clip(path, actor, gender, "en", emotion, RAVDESS_SAID[said], intensity=level)


# EMO-DB: speaker, text, emotion (first letter of the German word), version
# (Burkhardt et al. 2005; http://emodb.bilderbar.info/index-1280.html lists the speakers).
EMODB = {"w": "anger", "l": "boredom", "e": "disgust", "a": "fear", "f": "happy", "t": "sad",
         "n": "neutral"}  # fmt: skip
EMODB_MEN = {"03", "10", "11", "12", "15"}


def emodb(tree: Tree) -> Iterator[dict]:
    for path, (speaker, text, emotion, _) in tree.named(r"(\d\d)([ab]\d\d)([WLEAFTN])([a-z])"):
        gender = "m" if speaker in EMODB_MEN else "f"
        yield clip(path, speaker, gender, "de", EMODB[emotion], text)


# TESS: OAF (older) and YAF (younger actress), "Say the word ...", emotion; ps: pleasant surprise
# (Pichora-Fuller & Dupuis 2020). OA_bite_neutral is a slip of the corpus for OAF.
def tess(tree: Tree) -> Iterator[dict]:
    for path, (speaker, word, emotion) in tree.named(
        r"(OAF|YAF|OA)_([a-z]+)_(angry|disgust|fear|happy|neutral|ps|sad)"
    ):
        speaker = "YAF" if speaker == "yaf" else "OAF"
        yield clip(path, speaker, "f", "en", emotion, f"Say the word {word}")


# SAVEE: speaker (folder or prefix), letters of the emotion, sentence number (Haq & Jackson 2010).
# Sentences 1-3 are common to all emotions, 4-5 of each emotion and all its others its own.
SAVEE = {"a": "anger", "d": "disgust", "f": "fear", "h": "happy", "n": "neutral", "sa": "sad",
         "su": "surprise"}  # fmt: skip


def savee(tree: Tree) -> Iterator[dict]:
    for path, (speaker, emotion, number) in tree.named(r"(DC|JE|JK|KL)[/_](sa|su|a|d|f|h|n)(\d\d)"):
        sentence = number if int(number) <= 3 else emotion + number
        yield clip(path, speaker.upper(), "m", "en", SAVEE[emotion], sentence)


# EMOVO: emotion (Italian), speaker, sentence (Costantini et al. 2014).
EMOVO = {"neu": "neutral", "dis": "disgust", "gio": "joy", "pau": "fear", "rab": "anger",
         "sor": "surprise", "tri": "sad"}  # fmt: skip


def emovo(tree: Tree) -> Iterator[dict]:
    pattern = r"(neu|dis|gio|pau|rab|sor|tri)-([fm]\d)-(\w+)"
    for path, (emotion, speaker, said) in tree.named(pattern):
        yield clip(path, speaker, speaker[0], "it", EMOVO[emotion], said)


# CREMA-D: actor, sentence, intended emotion, level (Cao et al. 2014). In tabulatedVotes.csv the
# row ids of clips that were judged by voice alone start with 1 (2: face, 3: both).
CREMA_VOTES = {"A": "angry", "D": "disgust", "F": "fearful", "H": "happy", "N": "neutral",
               "S": "sad"}  # fmt: skip
CREMA_LEVEL = {"lo": "low", "md": "medium", "hi": "high", "xx": "unspecified", "x": "unspecified"}


def crema_d(tree: Tree) -> Iterator[dict]:
    sex = {row["ActorID"]: row["Sex"] for row in _table(tree, r"VideoDemographics\.csv")}
    votes: dict[str, Counter] = {}
    for row in _table(tree, r"processedResults/tabulatedVotes\.csv"):
        ids = next(iter(row))  # its first column has no name
        if ids in CREMA_VOTES:
            why = "the column of row ids is missing; fetch it again"
            raise CourseError(f"{tree.folder}: tabulatedVotes.csv: {why}")
        if row[ids].startswith("1"):
            counts = {name: int(row[letter]) for letter, name in CREMA_VOTES.items()}
            votes.setdefault(row["fileName"], Counter()).update(counts)
    pattern = r"(1\d{3})_([A-Z]{3})_(ANG|DIS|FEA|HAP|NEU|SAD)_(LO|MD|HI|XX?)"
    for path, (actor, said, emotion, level) in tree.named(pattern):
        more = {"intensity": CREMA_LEVEL[level]}
        more["votes"] = dict(votes[path.stem]) if path.stem in votes else None
        yield clip(path, actor, sex.get(actor), "en", emotion, said.upper(), **more)


# ESD: speaker/emotion[/part]/speaker_number; 350 parallel sentences repeated for five emotions;
# 0001-0010 Mandarin, 0011-0020 English (Zhou et al. 2022; ReadMe.txt lists the genders).
ESD_MEN = {4, 5, 6, 8, 10, 11, 12, 13, 14, 20}


def esd(tree: Tree) -> Iterator[dict]:
    pattern = r"(Angry|Happy|Neutral|Sad|Surprise)(?:/\w+)?/(\d{4})_(\d{6})"
    for path, (emotion, speaker, number) in tree.named(pattern):
        gender, language = "fm"[int(speaker) in ESD_MEN], "zh" if int(speaker) <= 10 else "en"
        sentence = f"{(int(number) - 1) % 350 + 1:03d}"
        yield clip(path, speaker, gender, language, emotion, sentence)


# CASIA: speaker/emotion/sentence, two women and two men, 50 sentences in the part that is public.
CASIA_WOMEN = {"liuchanhg", "zhaoquanyin"}


def casia(tree: Tree) -> Iterator[dict]:
    pattern = r"(\w+)/(angry|fear|happy|neutral|sad|surprise)/(\d+)"
    for path, (speaker, emotion, said) in tree.named(pattern):
        yield clip(path, speaker, "mf"[speaker in CASIA_WOMEN], "zh", emotion, said)


# IEMOCAP: Session?/dialog/EmoEvaluation/*.txt has a line a turn: [from - to], turn, label,
# [valence, activation, dominance] on 1-5, then the raters' labels (Busso et al. 2008). The turn's
# last letter is who speaks. Turns without majority (xxx) or with other emotions (oth) are left out.
IEMOCAP_TURN = re.compile(r"\[.+\]\t(Ses0(\d)[FM]_\w+_([FM])\w+)\t(\w+)\t\[([\d., ]+)\]")
IEMOCAP_VOTE = re.compile(r"C-\w+:\t(.*?)\t")


def iemocap(tree: Tree) -> Iterator[dict]:
    paths = tree.once(lambda path: path.stem)
    said = {}
    for text in tree.others(r"dialog/transcriptions/Ses\w+\.txt"):
        for line in text.read_text("utf-8", "replace").splitlines():
            turn, _, words = line.partition(" ")
            said[turn] = words.partition(":")[2].strip()
    for text in tree.others(r"dialog/EmoEvaluation/Ses\w+\.txt"):
        for block in text.read_text("utf-8", "replace").split("\n["):
            found = IEMOCAP_TURN.match(block if block.startswith("[") else "[" + block)
            if not found or (path := paths.pop(found[1], None)) is None:
                continue
            if found[4] in ("xxx", "oth"):
                tree.leave(path, "no majority for one of its emotions")
                continue
            labels = "".join(IEMOCAP_VOTE.findall(block)).replace(" ", "").split(";")
            pad = dict(zip(PAD, ((float(x) - 3) / 2 for x in found[5].split(",")), strict=True))
            speaker, words = found[2] + found[3], said.get(found[1], "")
            yield clip(path, speaker, found[3], "en", found[4], words, votes=_votes(labels), **pad)


# MSP-Podcast: Labels/labels_consensus.csv with EmoClass letters, EmoVal/EmoAct/EmoDom on 1-7, and
# Labels/labels_detailed.csv with a row a rater: EmoClass_Major, or in later releases EmoDetail,
# "worker; emotion; ..." (Lotfian & Busso 2019). Other (O), no agreement (X)
# and clips of unknown speakers are left out: they cannot be labelled, or split by speaker.
MSP = {"A": "angry", "S": "sad", "H": "happy", "U": "surprise", "F": "fear", "D": "disgust",
       "C": "contempt", "N": "neutral"}  # fmt: skip


def msp_podcast(tree: Tree) -> Iterator[dict]:
    raters: dict[str, list[str]] = {}
    for row in _table(tree, r"Labels/labels_detailed\.csv"):
        chosen = row.get("EmoClass_Major") or row["EmoDetail"].split(";")[1]
        raters.setdefault(row["FileName"], []).append(chosen.strip())
    paths = tree.once(lambda path: path.stem)
    for row in _table(tree, r"Labels/labels_consensus\.csv"):
        path = paths.pop(Path(row["FileName"]).stem, None)
        if path is None:
            continue
        if row["EmoClass"] not in MSP or row["SpkrID"] == "Unknown":
            tree.leave(path, "no agreed emotion, or an unknown speaker")
            continue
        keys = zip(PAD, ("EmoVal", "EmoAct", "EmoDom"), strict=True)
        more = {name: (float(row[key]) - 4) / 3 for name, key in keys}
        more["votes"] = _votes(raters.get(row["FileName"], ()))
        yield clip(path, row["SpkrID"], row["Gender"], "en", MSP[row["EmoClass"]], **more)


def embedded(tree: Tree) -> Iterator[dict]:
    """Read the shipped corpus: `table.csv` as `tables.clips` reads it."""
    return tables.clips(tree.folder / "table.csv")


def _table(tree: Tree, pattern: str) -> Iterator[dict[str, str]]:
    """Yield the rows of a corpus' own table, none when it is not there (subsets leave it out)."""
    for path in tree.others(pattern)[:1]:
        yield from (row for _, row in tables.rows(path))


def _votes(labels: Iterable[str]) -> dict[str, int]:
    """Count raters' labels by canonical emotion; labels outside the table are left out."""
    return dict(Counter(ALIASES[x.lower()] for x in labels if x.lower() in ALIASES))
