"""Anybody's recordings: a list of clips in a CSV, or folders named after emotions."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from helpers import tables
from helpers.emotions import ALIASES, EMOTIONS, canonical, plain
from helpers.errors import CourseError, nearest
from helpers.tree import Tree

CSV = "or list the clips in a CSV (path, emotion, speaker) and give folder:PATH.csv"
EXPECTED = f"expected emotion/clip, or speaker/emotion/clip, {CSV}"
PART = re.compile(  # of a split, by any of a name's words: such levels are passed over
    r"(.*[^a-z])?(train|training|val|trainval|valid|validation|dev|devel|test|testing|eval"
    r"|evaluation|k?fold[a-z]*|cv|split|holdout|heldout)(set|data|split)?([^a-z].*)?"
)
NOBODY = re.compile(  # no people: days, parts of a session, groups, kinds of file
    r"(day|date|session|take|week|round|batch|part|set|subset|rec)s?([ _.-]?\d+|[ _.-][a-z])"
    r"([^a-z].*)?|(sun|mon|tues|wednes|thurs|fri|satur)day"
    r"|\d{4}[ _.-]?\d\d[ _.-]?\d\d|\d\d?[ _.-]\d\d?[ _.-]\d{4}"
    r"|(fe)?males?|(wo)?m[ae]n|girls?|boys?|[fm]"
    r"|audio|wavs?|clips?|data|speech|recordings?"
)


def recordings(tree: Tree) -> Iterator[dict]:
    """Read a list of clips (see `tables.clips`), a folder with one in it, or class folders.

    Class folders are `emotion/clip`, with a folder a speaker above or below the emotion, which is
    the one folder whose name is an emotion or an alias of one.
    """
    if tree.folder.is_file():
        yield from tables.clips(tree.folder)
        return
    csvs = [path for path in tree.others(r"[^/]+\.[ct]sv") if path.parent == tree.folder]
    lists = [path for path in csvs if _is_list(path)]
    named = any(_labels(_folders(path, tree)) for path in tree.clips)
    if not csvs or (named and not lists):
        yield from _class_folders(tree)
        tree.note += "".join(f"; {path.name} lists no clips" for path in csvs)
    elif len(lists or csvs) > 1:
        several = f"{len(lists or csvs)} CSV files; name the one to read, folder:PATH.csv"
        raise CourseError(f"{tree.folder}: {several}")
    else:
        yield from tables.clips((lists or csvs)[0])


def _class_folders(tree: Tree) -> Iterator[dict]:
    clips, levels = [], {}
    for path in tree.once(lambda path: path.with_suffix("")).values():
        folders = _folders(path, tree)
        at = _emotion(path, folders)
        # Levels above the emotion are counted from the top, those below it from the emotion.
        others = {
            (i > at, i - at * (i > at)): name
            for i, name in enumerate(folders) if name.lower() not in ALIASES
        }  # fmt: skip
        clips.append((path, folders[at], others))
        for level, name in others.items():
            levels.setdefault(level, set()).add(name)
    parts = {level for level, names in levels.items() if _is_split(names, tree.folder)}
    speakers = set()
    for path, emotion, others in clips:
        people = {level: name for level, name in others.items() if level not in parts}
        if len(people) > 1:
            which = " or ".join(f"'{name}' (of {_some(levels[k])})" for k, name in people.items())
            raise CourseError(
                f"{path}: which folder is the speaker, {which}? Keep one level, {CSV}"
            )
        speakers.update(people.values())
        yield {"path": path, "emotion": emotion, "speaker": next(iter(people.values()), "")}
    nobody = {name for name in speakers if NOBODY.fullmatch(name.lower())}
    if nobody and (nobody == speakers or max(map(len, nobody)) > 1):  # people may be letters
        raise CourseError(f"{tree.folder}: {_some(nobody)} name no speakers; rename them, {CSV}")
    tree.note = f"speakers: {len(speakers)}"
    if speakers:
        sides = sorted("below" if below else "above" for below, _ in levels.keys() - parts)
        tree.note += f", by the folders {' and '.join(dict.fromkeys(sides))} the emotions: "
        tree.note += _some(speakers)
    if parts:
        tree.note += f" (passed over: {_some(set().union(*map(levels.get, parts)))})"


def _emotion(path: Path, folders: list[str]) -> int:
    """Return which of the folders above a clip names its emotion."""
    at = _labels(folders)
    if not at:
        hint = nearest(folders[-1], EMOTIONS) if folders else ""
        known = f"names: {', '.join(EMOTIONS)}"
        raise CourseError(f"{path}: no folder above it names an emotion{hint}; {EXPECTED}; {known}")
    if len({canonical(folders[i]) for i in at}) > 1:
        both = " and ".join(folders[i] for i in at)
        raise CourseError(f"{path}: {both} both name an emotion; rename one")
    return at[-1]


def _is_split(names: set[str], folder: Path) -> bool:
    parts = {name for name in names if PART.fullmatch(name.lower())}
    if parts and parts != names:
        mixed = (
            f"{_some(parts)} are named as parts of a split, {_some(names - parts)} beside are not"
        )
        raise CourseError(f"{folder}: {mixed}; move one kind, {CSV}")
    return bool(parts)


def _some(names: Iterable[str], shown: int = 4) -> str:
    names = sorted(names)
    return ", ".join(names[:shown]) + f" and {len(names) - shown} more" * (len(names) > shown)


def _folders(path: Path, tree: Tree) -> list[str]:
    return [plain(name) for name in path.relative_to(tree.folder).parts[:-1]]


def _labels(folders: list[str]) -> list[int]:
    return [i for i, name in enumerate(folders) if name.lower() in ALIASES]


def _is_list(path: Path) -> bool:
    try:
        return bool(tables.columns(path))
    except CourseError:
        return False
