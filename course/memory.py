"""What a listener was taught, on disk: a folder of versions, each whole or absent; no pickle.

Embeddings of people's clips are personal data: the folder is the user's own, git ignores it, and
what is forgotten goes from every version. `SER_LISTENER` names another folder.
"""

import json
import os
import secrets
import warnings
from contextlib import contextmanager, nullcontext
from pathlib import Path

import filelock
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from course.settings import ROOT, UsageError
from helpers.emotions import ALIASES, plain
from helpers.errors import CourseError
from helpers.files import replacing
from helpers.listener import Listener, Note

KEPT = 3  # versions
LONGEST = 40  # letters of a name


def named(text: str, emotion: bool = False) -> str:
    """A name as it is kept: in one form, an emotion under its canonical name (fear: fearful)."""
    name = plain(text)
    if not name.isprintable() or not 0 < len(name) <= LONGEST:
        raise UsageError(f"'{text[:LONGEST]}': a name has 1 to {LONGEST} letters, on one line")
    return ALIASES.get(name.lower(), name.lower()) if emotion else name


class Memory:
    """The notes of a `listener` in a folder. `encoder`: the key that its embeddings are of.

    CourseError where the folder was written with another encoder, or no version of it is whole.
    """

    def __init__(self, listener: Listener, encoder: str):
        self.listener, self.encoder, self.seen = listener, encoder, None
        self.folder = Path(os.environ.get("SER_LISTENER") or ROOT / "data" / "listener")
        self.refresh()

    def refresh(self) -> None:
        """Take in what another process wrote, or deleted, since."""
        with self._locked() if self.folder.is_dir() else nullcontext():
            self._read()

    def change(self, act) -> None:
        """`act(listener)`, on top of all that is there, and write it as the next version.

        CourseError where nothing can be written.
        """
        with self._locked():
            self._read()
            before = self.listener.notes
            act(self.listener)
            self._write(forgotten=len(self.listener.notes) < len(before))

    @contextmanager
    def _locked(self):
        before = self.listener.notes
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with filelock.FileLock(self.folder / ".lock", timeout=60):
                yield
        except filelock.Timeout:
            raise CourseError(f"{self.folder}: another process holds it; try again") from None
        except (OSError, SafetensorError) as error:
            self.listener.follow(before)
            why = f"{self.folder}: {getattr(error, 'strerror', '') or error}; nothing was changed"
            raise CourseError(f"{why}; SER_LISTENER may name another folder") from None

    def _versions(self):
        return sorted(self.folder.glob("memory-*.safetensors"), reverse=True)

    def _read(self):
        versions = self._versions()
        for path in versions:
            if path.name == self.seen:
                return
            try:
                notes, encoder = _load(path)
            except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
                warnings.warn(f"{path}: damaged ({error}); the one before is taken", stacklevel=2)
                continue
            if encoder != self.encoder:
                again = f"delete {self.folder} and teach again"
                raise CourseError(f"{path}: taught with another encoder; {again}")
            self.listener.follow(notes)
            self.seen = path.name
            return
        if versions:
            raise CourseError(f"{self.folder}: no version is whole; delete it and teach again")
        self.listener.follow([])  # somebody may have deleted all
        self.seen = None

    def _write(self, forgotten):
        notes, old = self.listener.notes, self._versions()
        number = 1 + (int(old[0].stem.split("-")[1]) if old else 0)
        rows = np.array([n.x for n in notes], np.float32)
        about = {"encoder": self.encoder, "notes": json.dumps([n[1:] for n in notes])}
        # The token tells it from a version of the same number in a folder that was deleted.
        path = self.folder / f"memory-{number:08}-{secrets.token_hex(4)}.safetensors"
        with replacing(path) as temporary:
            save_file({"x": rows}, temporary, about)
        self.seen = path.name
        # What a killed process was writing goes too. What was forgotten is in no version.
        for late in [*old[0 if forgotten else KEPT - 1 :], *self.folder.glob(".*-memory-*")]:
            late.unlink(missing_ok=True)


def _load(path):
    with safe_open(path, "numpy") as file:
        rows, about = file.get_tensor("x"), file.metadata()
    each = zip(rows, json.loads(about["notes"]), strict=True)
    return [Note(x, *map(str, words), int(step)) for x, (*words, step) in each], about["encoder"]
