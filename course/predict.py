"""What the course hears in a file: calibrated probabilities, an unknown score and a PAD point.

A small head on frozen embeddings ships in ``data/head`` (made by ``tools/make_head.py``): it lets
a bare clone predict, and enters no measured result.
"""

import glob
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from course.settings import ROOT
from helpers import audio, emotions
from helpers.errors import CourseError, printable
from helpers.tree import Tree

HEAD = ROOT / "data" / "head"
ARRAYS = ("weight", "bias", "mean", "scale")
BATCH = 600 * audio.SAMPLE_RATE  # samples that are held at once


@dataclass
class Head:
    """A linear classifier on embeddings: ``logits = ((x - mean) / scale) @ weight.T + bias``.

    ``weight (K, H)``, ``bias (K,)``, ``mean (H,)``, ``scale (H,)``; ``about`` holds ``classes``,
    ``temperature``, ``encoder``, ``encoder_key``, ``corpus``, ``licence`` and how it was made.
    """

    weight: np.ndarray
    bias: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    about: dict

    def logits(self, embeddings):
        return (embeddings - self.mean) / self.scale @ self.weight.T + self.bias

    def predict_proba(self, embeddings):
        """Calibrated probabilities ``(n, K)`` of ``embeddings (n, H)`` (lesson 03)."""
        scaled = self.logits(embeddings) / self.about["temperature"]
        raised = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return raised / raised.sum(axis=1, keepdims=True)


def write_head(head: Head, folder: Path = HEAD) -> None:
    """Save a head as safetensors and JSON."""
    from safetensors.numpy import save_file

    from helpers.files import write_json

    folder.mkdir(parents=True, exist_ok=True)
    arrays = {name: np.ascontiguousarray(getattr(head, name), np.float32) for name in ARRAYS}
    save_file(arrays, folder / "head.safetensors")
    write_json(folder / "head.json", head.about)


def read_head(folder: Path = HEAD) -> Head:
    """Load a head; CourseError when it is absent or its files do not fit together."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    remedy = "restore it with git checkout data/head, or make it: python -m tools.make_head"
    try:
        about = json.loads((folder / "head.json").read_text(encoding="utf-8"))
        arrays = load_file(folder / "head.safetensors")
        head = Head(*(arrays[name] for name in ARRAYS), about)
        fits = head.weight.shape == (len(about["classes"]), len(head.mean))
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise CourseError(f"{folder}: no classification head to read ({error}); {remedy}") from None
    if not fits:
        raise CourseError(f"{folder}: weights and classes do not fit together; {remedy}")
    return head


def describe(probabilities, classes) -> list[dict]:
    """A dict a clip of ``probabilities (n, K)``: emotion, probabilities, unknown score, PAD point.

    The unknown score is the entropy over its maximum (source 1, 6.1): 0 certain, 1 no idea. The
    PAD point is the mean of the emotions' vectors, weighted by probability (source 2, eq. 4).
    """
    p = np.asarray(probabilities, dtype=float)
    entropy = -(p * np.log(np.clip(p, 1e-12, None))).sum(axis=1) / np.log(p.shape[1])
    points = p @ np.array([emotions.PAD[name] for name in classes])
    return [
        {
            "emotion": classes[row.argmax()],
            "probabilities": dict(zip(classes, row.round(4).tolist(), strict=True)),
            "unknown": round(float(score), 4),
            "pad": dict(
                zip(("pleasure", "arousal", "dominance"), point.round(3).tolist(), strict=True)
            ),
        }
        for row, score, point in zip(p, entropy, points, strict=True)
    ]


def expand(words: list[str]) -> tuple[list[str], list[str]]:
    """``(files, problems)`` that words name: files, folders, ``~``, patterns no shell expanded."""
    files, problems = [], []
    for word in map(os.path.expanduser, words):
        for path in [word] if os.path.lexists(word) else sorted(glob.glob(word)) or [word]:
            if not os.path.isdir(path):
                files.append(path)
                continue
            tree = Tree(Path(path))
            files += map(str, tree.clips)
            problems += map(str, tree.left_out)
            if not tree.clips and not tree.left_out:
                problems.append(f"{path}: no audio file in this folder")
    return list(dict.fromkeys(files)), problems


def predict(words: list[str], head_folder: Path = HEAD) -> tuple[list[dict], list[str], dict]:
    """``(predictions, problems, about)``: a dict a readable file, a line an unreadable one.

    Files of more than 30 s are heard in ``pieces``, whose embeddings are averaged. Raises
    CourseError when the head is absent or was made for another encoder.
    """
    head, found = read_head(head_folder), []
    files, problems = expand(words)
    for batch in _batches(files, problems):
        embeddings = _embed(batch, head, head_folder)
        described = describe(head.predict_proba(embeddings), head.about["classes"])
        for (file, pieces), about in zip(batch.items(), described, strict=True):
            found.append({"file": printable(file), "pieces": len(pieces)} | about)
    return found, problems, head.about


def _batches(files: list[str], problems: list[str]):
    """Yield ``{file: pieces}`` by the ten minutes; what cannot be read goes to ``problems``."""
    batch = {}
    for file in files:
        try:
            batch[file] = audio.windows(file)
        except CourseError as error:
            problems.append(str(error))
        if sum(len(piece) for pieces in batch.values() for piece in pieces) > BATCH:
            yield batch
            batch = {}
    if batch:
        yield batch


def _embed(batch: dict[str, list], head: Head, head_folder: Path):
    """Embeddings ``(n, H)`` of files, each the mean of its pieces by their length."""
    from helpers import encoders
    from helpers.embed import embed

    encoder = encoders.load(head.about["encoder"])
    if encoder.key != head.about["encoder_key"]:
        raise CourseError(
            f"{head_folder}: made for another '{encoder.name}' encoder; python -m tools.make_head"
        )
    rows = iter(embed([p for pieces in batch.values() for p in pieces], encoder, progress=False))
    return np.stack([
        np.average([next(rows) for _ in pieces], axis=0, weights=list(map(len, pieces)))
        for pieces in batch.values()
    ])  # fmt: skip


def show(words: list[str], as_json: bool) -> int:
    """Print predictions as a table or JSON; 1 when a file could not be read."""
    found, problems, about = predict(words)
    long = [
        f"{d['file']}: long; heard in {d['pieces']} pieces of up to {audio.WINDOW_S:.0f} s"
        for d in found if d["pieces"] > 1
    ]  # fmt: skip
    for line in problems + long:
        print(f"ser-course: {line}", file=sys.stderr)
    if as_json:
        print(json.dumps({"head": about, "predictions": found}, indent=1))
    elif found:
        width = max(len(d["file"]) for d in found)
        print(f"{'file':{width}}  unknown  pleasure  arousal  dominance  probabilities")
        for d in found:
            ranked = sorted(d["probabilities"].items(), key=lambda item: -item[1])
            point = "  ".join(f"{v:>{len(k)}.2f}" for k, v in d["pad"].items())
            said = "  ".join(f"{name} {p:.2f}" for name, p in ranked)
            print(f"{d['file']:{width}}  {d['unknown']:7.2f}  {point}  {said}")
        print(
            f"\nunknown: 0 certain, 1 no idea. Trained on {about['corpus']} ({about['licence']})."
        )
    return 1 if problems else 0
