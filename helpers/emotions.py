"""Emotions: one table of names, aliases, PAD vectors and colours (lesson 08 draws it)."""

from collections.abc import Iterable
from typing import NamedTuple
from unicodedata import category, normalize

from helpers.errors import CourseError, nearest

TABLE_1 = "source 2 (E-ODN), table 1"


class Emotion(NamedTuple):
    """A row: PAD vector on the scale printed by source 2, where it comes from, colour, aliases."""

    pad: tuple[float, float, float]
    source: str
    colour: str
    aliases: str


# Colours: Okabe & Ito (2008) for the eight emotions seen most, Tol's "muted" scheme for the rest.
# Table 1 prints adjectives and nouns; its "Boring" is read as bored, "Animosity" as hostile.
TABLE = {
    "neutral": Emotion((0, 0, 0), "origin of the scale", "#7F7F7F", "neu n neutrality"),
    "calm": Emotion((1.57, -0.79, 0.38), "assumption: as mild", "#56B4E9", "calmness"),
    "happy": Emotion((2.77, 1.21, 1.42), TABLE_1, "#E69F00", "hap happiness joy joyful"),
    "sad": Emotion((-0.89, 0.17, -0.70), TABLE_1, "#0072B2", "sadness"),
    "angry": Emotion((-1.98, 1.10, 0.60), TABLE_1, "#D55E00", "ang anger"),
    "fearful": Emotion((-0.93, 1.30, -0.64), TABLE_1, "#332288", "fea fear afraid"),
    "disgust": Emotion((-1.80, 0.40, 0.67), TABLE_1, "#009E73", "dis disgusted"),
    "surprised": Emotion((1.72, 1.71, 0.22), TABLE_1, "#CC79A7", "sur surprise ps"),
    "bored": Emotion((-0.53, -1.25, -0.84), TABLE_1, "#882255", "boredom boring"),
    "excited": Emotion(
        (2.25, 1.46, 0.82), "assumption: between happy and surprised", "#F0E442", "exc excitement"
    ),
    "frustrated": Emotion(
        (-1.44, 0.64, -0.05), "assumption: between angry and sad", "#661100", "fru frustration"
    ),
    "contempt": Emotion((-2.08, 1.00, 1.12), "assumption: as hostile", "#999933", "contemptuous"),
    "amused": Emotion((2.77, 1.21, 1.42), "assumption: as happy", "#CC6677", "amusement"),
    "optimistic": Emotion((2.48, 1.05, 1.75), TABLE_1, "#DDCC77", "optimism"),
    "relaxed": Emotion((2.19, -0.66, 1.05), TABLE_1, "#88CCEE", "relaxation"),
    "mild": Emotion((1.57, -0.79, 0.38), TABLE_1, "#44AA99", "mildness"),
    "anxious": Emotion((-0.95, 0.32, -0.63), TABLE_1, "#AA4499", "anxiety worried"),
    "hostile": Emotion((-2.08, 1.00, 1.12), TABLE_1, "#000000", "animosity hostility"),
}

EMOTIONS: tuple[str, ...] = tuple(TABLE)
PAD: dict[str, tuple[float, float, float]] = {name: row.pad for name, row in TABLE.items()}
PAD_SOURCE: dict[str, str] = {name: row.source for name, row in TABLE.items()}
COLOURS: dict[str, str] = {name: row.colour for name, row in TABLE.items()}
ALIASES: dict[str, str] = {
    alias: name for name, row in TABLE.items() for alias in (name, *row.aliases.split())
}

# What the later lessons teach the model; whatever else a corpus has is what it was never taught.
KNOWN = ("neutral", "happy", "sad", "angry", "surprised")
# ESD has these five and nothing else, so one of them must play the unknown.
KNOWN_IN = {"esd": ("neutral", "happy", "sad", "angry")}


def plain(text: object) -> str:
    """Return `text` in one Unicode form (NFC), single blanks, nothing of no width: one name.

    >>> plain(" mu" + chr(0x308) + "de   heute")  # u and two dots are one letter
    'müde heute'
    """
    seen = "".join(c for c in str(text) if category(c) != "Cf")
    return " ".join(normalize("NFC", seen).split())


def canonical(name: str) -> str:
    """Return the canonical emotion for a label in any case.

    Errors: CourseError when the label is not in the table.

    >>> canonical("Fear")
    'fearful'
    """
    label = plain(name).lower()
    if label not in ALIASES:
        raise CourseError(
            f"emotion '{name}' is not in the table{nearest(label, ALIASES)}; "
            f"rename the label, or leave those clips out; names: {', '.join(EMOTIONS)}"
        )
    return ALIASES[label]


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return the distinct canonical names among `names`, in the order of `EMOTIONS`.

    >>> in_order(["sad", "neutral", "sad"])
    ('neutral', 'sad')
    """
    present = set(names)
    return tuple(name for name in EMOTIONS if name in present)


def partition(
    corpus: str, present: Iterable[str], known: Iterable[str] | None = None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Split the emotions of a corpus into (known, unknown), both in canonical order.

    `known`: what to teach, in any spelling of the table; else `KNOWN` (`KNOWN_IN` lists
    exceptions). What the corpus lacks is passed over, and the rest is unknown. With fewer than two
    known ones there is nothing to classify: then all are known.

    >>> partition("emodb", ["angry", "bored", "sad"])  # `KNOWN` lacks bored
    (('sad', 'angry'), ('bored',))
    >>> partition("emodb", ["angry", "bored", "sad"], known=["Anger"])  # one alone tells nothing
    (('sad', 'angry', 'bored'), ())
    """
    present = in_order(present)
    teach = KNOWN_IN.get(corpus, KNOWN) if known is None else {canonical(name) for name in known}
    known = tuple(name for name in present if name in teach)
    if len(known) < 2:
        return present, ()
    return known, tuple(name for name in present if name not in known)
