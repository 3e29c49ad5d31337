"""The files of a folder: whatever looks like sound is a clip, or is left out for a reason."""

import os
import re
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from unicodedata import normalize

from helpers import audio, sniff
from helpers.audio import AudioError

# Sound and video that is not read here, by name. Files of any other name are looked into.
UNREAD = frozenset(
    ".m4a .m4b .mp4 .m4v .mov .aac .webm .weba .mkv .mka .wma .wmv .amr .3gp .3ga .ape .wv .avi"
    " .flv .mpg .mpeg .mp2 .ac3 .raw .pcm .ra .dts .dsf .dss .ds2 .gsm .vox .silk .mts"
    " .sf .ircam .avr .paf .pvf .sds .wve .htk .xi .mpc .spx .tta .rm".split()
)
# Hidden by their system, without a dot.
BINS = set("__macosx $recycle.bin recycler #recycle @recycle @eadir #snapshot lost+found".split())


class Tree:
    """What lies in `folder`, but for anything below a hidden name; links are followed once.

    `clips`: paths of all files that `audio.read` knows by their suffix, sorted. `left_out`:
    an `AudioError` for all else that looks like sound, and for links and folders that cannot be
    followed. `note`: what a reader has to say. Readers add to the last two.
    """

    def __init__(self, folder: Path):
        self.folder, self.note = folder, ""
        self.clips: list[Path] = []
        self.left_out: list[AudioError] = []
        self._others: list[Path] = []
        here, links, seen = [str(folder)], [], set()
        while here or links:  # links last: what they lead to keeps its own place
            place = here.pop() if here else links.pop(0)
            real = os.path.realpath(place)
            if real in seen and os.path.islink(place):
                self.leave(place, "a link to what is read already")
            elif real not in seen and os.path.isdir(place):
                try:
                    names = sorted(os.listdir(place), reverse=True)
                except OSError as error:
                    self.leave(place, f"cannot be opened ({error.strerror})")
                    names = []
                inside = [f"{place}/{n}" for n in names if n[:1] != "." and n.lower() not in BINS]
                links += filter(os.path.islink, inside)
                here += [path for path in inside if not os.path.islink(path)]
            elif real not in seen:
                self._sort(Path(place))
            seen.add(real)
        self.clips.sort()

    def leave(self, path: str | Path, reason: str) -> None:
        """Note that a file is left out, and why."""
        self.left_out.append(AudioError(path, reason))

    def others(self, pattern: str) -> list[Path]:
        """Return the files that are no sound and whose path in the folder ends in `pattern`."""
        match = re.compile(rf"(?:.*/)?{pattern}", re.I)
        return sorted(
            p for p in self._others if match.fullmatch(p.relative_to(self.folder).as_posix())
        )

    def named(self, pattern: str) -> Iterator[tuple[Path, tuple[str, ...]]]:
        """Yield (path, groups in lower case) of clips whose path, without suffix, ends in it."""
        match = re.compile(rf"(?:.*/)?{pattern}", re.I)

        def groups(path):
            inside = path.relative_to(self.folder).with_suffix("").as_posix()
            found = match.fullmatch(normalize("NFC", inside).lower())
            return found and found.groups()

        for found, path in self.once(groups).items():
            yield path, found

    def once(self, key: Callable[[Path], Hashable]) -> dict[Hashable, Path]:
        """Return {key: clip}; of clips with one key the best copy; no clip whose key is None."""
        copies: dict[Hashable, list[Path]] = {}
        for path in self.clips:
            if (found := key(path)) is not None:
                copies.setdefault(found, []).append(path)
        return {found: self.best(paths) for found, paths in copies.items()}

    def best(self, copies: list[Path]) -> Path:
        """Return the first of several copies, lossless ones before others, that can be read."""
        copies = sorted(copies, key=lambda path: path.suffix.lower() not in audio.LOSSLESS)
        best = copies[0]
        if len(copies) > 1 and len({_try(audio.load, path) for path in copies}) > 1:
            best = next((path for path in copies if _try(audio.read, path) is not None), best)
        for path in copies:
            if path != best:
                self.leave(path, "a copy of a clip that is read")
        return best

    def _sort(self, path: Path) -> None:
        suffix = path.suffix.lower()
        known = suffix in audio.SUFFIXES or suffix in UNREAD
        if not path.is_file():
            if known or path.is_symlink():
                self.leave(path, "a link to nowhere" if path.is_symlink() else "no regular file")
        elif not known and not sniff.is_sound(_head(path)):
            self._others.append(path)
        elif str(path).encode(errors="ignore").decode() != str(path):
            self.leave(path, "its name is not UTF-8; rename it")
        elif suffix in audio.SUFFIXES:
            self.clips.append(path)
        else:
            mend = f"sound that is not read under this name; {sniff.MEND}"
            self.leave(path, sniff.what(_head(path)) or mend)


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(512)
    except OSError:
        return b""


def _try(read: Callable, path: Path) -> object:
    try:
        return read(path)
    except AudioError:
        return None
