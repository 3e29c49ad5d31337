"""What fine-tuning leaves behind: one folder of plain arrays that every later lesson reads.

Layout: `how.json` (how it was made), `arrays.npz` (no pickle), `turn-<i>/` (a model that
transformers loads, safetensors). `arrays.npz` is renamed into place last: then all is there.
"""

import json
import zipfile
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np

from helpers.errors import CourseError
from helpers.files import replacing
from helpers.splits import PARTS

SEGMENT_S, HOP_S = 1.0, 1.0  # seconds: fixed-length segments of source 1, section 6.1


@dataclass
class Artefact:
    """Outputs of the models of all turns: n clips, K classes, H dimensions.

    `labels` index `classes`; -1 is an emotion that no model was taught. `fold` is the turn (a row
    of the arrays below) in which a clip is tested, -1 if in none that was run. Each turn's model
    has scored the clips that it tests, and those of known emotions elsewhere (of a random split:
    in the tuning part only); the rest is NaN. `logits == embeddings @ head_weight.T + head_bias`,
    where `embeddings` are what the head reads: mean-pooled last states of a fine-tuned encoder,
    states of several layers of a frozen one, or the unit vectors of a network whose logits are
    s cos(angle) without margin. Segments are cut from the scored clips that a turn tunes on and
    tests on (none of a random split): S in all turns.
    """

    classes: np.ndarray  # (K,) names
    utterances: np.ndarray  # (n,)
    emotions: np.ndarray  # (n,)
    labels: np.ndarray  # (n,) int
    speakers: np.ndarray  # (n,)
    genders: np.ndarray  # (n,)
    fold: np.ndarray  # (n,) int
    split: np.ndarray  # (turns, n) names of PARTS
    logits: np.ndarray  # (turns, n, K)
    embeddings: np.ndarray  # (turns, n, H)
    head_weight: np.ndarray  # (turns, K, H)
    head_bias: np.ndarray  # (turns, K)
    segment_logits: np.ndarray  # (S, K)
    segment_owner: np.ndarray  # (S,) int: the row of the clip that each was cut from
    segment_turn: np.ndarray  # (S,) int
    how: dict = field(default_factory=dict)
    folder: Path | None = None

    @property
    def turns(self) -> int:
        """How many turns were run."""
        return len(self.logits)

    def part(self, turn: int, part: str, known: bool | None = True) -> np.ndarray:
        """Rows in `part` of `turn`: of known emotions, of unknown ones, or (None) of both."""
        if part not in PARTS:
            raise CourseError(f"part '{part}': one of {', '.join(PARTS)}")
        inside = self.split[turn] == part
        if known is not None:
            inside &= (self.labels >= 0) == known
        return np.flatnonzero(inside)

    def pooled(self, values="logits", part: str = "test", known: bool | None = True):
        """Stack one part of all turns: `(values (m, ...), rows (m,), turn (m,))`.

        `values` names an array `(turns, n, ...)` of this artefact, or is one. With "test" each
        clip comes once, scored by a model that never met its speaker.
        """
        array = getattr(self, values) if isinstance(values, str) else values
        rows = [self.part(turn, part, known) for turn in range(self.turns)]
        turn = np.repeat(np.arange(self.turns), [len(r) for r in rows])
        return np.concatenate([array[t][r] for t, r in enumerate(rows)]), np.concatenate(rows), turn

    def segments(self, turn: int):
        """Segment logits `(S, K)` of one turn and the row of the clip each was cut from `(S,)`."""
        inside = self.segment_turn == turn
        return self.segment_logits[inside], self.segment_owner[inside]

    def tensors(self, turn: int) -> dict:
        """The weights of the network of `turn`. Errors: CourseError when they are damaged."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(self.folder / f"turn-{turn}" / "model.safetensors")
        except (OSError, SafetensorError) as error:
            raise damaged(self.folder, str(error).splitlines()[0][:120]) from error

    def history(self, turn: int) -> list[dict]:
        """The columns of source 1's table 1, a row an epoch."""
        return self.how["history"][turn]


ARRAYS = [f.name for f in fields(Artefact) if f.name not in ("how", "folder")]


def write(art: Artefact, folder) -> None:
    """Write `art` to `folder`: `how.json` first, then `arrays.npz`, each under a temporary name."""
    with replacing(Path(folder) / "how.json") as temporary:
        temporary.write_text(json.dumps(art.how, indent=1), encoding="utf-8")
    save_arrays(Path(folder) / "arrays.npz", {name: getattr(art, name) for name in ARRAYS})


def read(folder) -> Artefact:
    """Read an artefact. Errors: CourseError when it is missing, unfinished or damaged."""
    folder = Path(folder)
    arrays = load_arrays(folder / "arrays.npz")
    try:
        how = json.loads((folder / "how.json").read_text(encoding="utf-8"))
        art = Artefact(**arrays, how=how, folder=folder)
    except (OSError, ValueError, TypeError) as error:
        raise damaged(folder, error) from error
    turns, clips, classes = len(art.split), len(art.utterances), len(art.classes)
    if art.split.shape != (turns, clips) or art.logits.shape != (turns, clips, classes):
        raise damaged(folder, "shapes do not agree")
    return art


def damaged(folder, reason) -> CourseError:
    """The error for a folder that cannot be read back."""
    return CourseError(
        f"artefact {folder}: damaged or unfinished ({reason}); delete this folder, "
        "lesson 02 makes it again"
    )


def save_arrays(path, arrays: dict) -> None:
    """Write arrays to `path` (.npz), whole or not at all. Text is kept as fixed-width unicode."""
    with replacing(path) as temporary, open(temporary, "wb") as out:
        plain = {k: np.asarray(v) for k, v in arrays.items()}
        np.savez(out, **{k: v.astype(str) if v.dtype == object else v for k, v in plain.items()})


def load_arrays(path) -> dict:
    """Read arrays written by `save_arrays`. Errors: CourseError when missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise damaged(Path(path).parent, error) from error
