"""What the course hears in a file, and what it is taught there.

A small head on frozen states ships in `data/head` (made by `tools/make_head.py`): it lets a
bare clone predict, and enters no measured result. `course.memory` keeps what a user teaches.
"""

import glob
import json
import os
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from course.memory import Memory, named
from course.settings import ROOT, UsageError
from helpers import audio, emotions
from helpers.errors import CourseError, nearest, printable
from helpers.listener import Channel, Heard, Listener, View
from helpers.tree import Tree
from helpers.voice import Voice

HEAD = ROOT / "data" / "head"
VIEWS = ("anybody", "enrolled")
BATCH = 600 * audio.SAMPLE_RATE  # samples that are held at once
SPAN_S, STEP_S = 10.0, 5.0  # windows of a long file: some sentences each, a change shows in time
FLAGGED = 0.1  # share of clips of taught emotions, by new speakers, that is to be called unknown


def read_head(folder: Path) -> tuple[Listener, Channel, dict]:
    """A listener that nobody has taught, and of what it is made; CourseError if unreadable."""
    try:
        about = json.loads((folder / "head.json").read_text(encoding="utf-8"))
        arrays = load_file(folder / "head.safetensors")
        arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
        views = [View(*(arrays[f"{v}.{part}"] for part in View._fields)) for v in VIEWS]
        voice = Voice(about["tau"])
        voice.mean_, voice.deviation_ = arrays["voice.mean"], arrays["voice.deviation"]
        voice.tau_, voice.voices_ = about["tau"], {}
        if any(v.weight.shape != (len(about["classes"]), len(voice.mean_)) for v in views):
            raise ValueError("weights and classes do not fit together")
        channel = Channel(*(arrays[f"channel.{part}"] for part in Channel._fields))
        listener = Listener(about["classes"], views, voice, emotions.PAD, about["delta"])
        return listener, channel, about
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        remedy = "restore it with git checkout data/head, or make it: python -m tools.make_head"
        raise CourseError(f"{folder}: no classification head to read ({error}); {remedy}") from None


def describe(heard: Heard, names: list[str]) -> list[dict]:
    """A dict a clip; `names (C,)`: the emotions of the columns.

    `unknown`: the share of clips of taught emotions, by speakers never met, that look less
    strange; the decision is "unknown" above 1 - `FLAGGED`. `pad`: the mean of the emotions'
    vectors, weighted by probability (source 2, eq. 4).
    """
    return [
        {"emotion": names[row.argmax()],
         "probabilities": dict(zip(names, row.astype(float).round(4).tolist(), strict=True)),
         "unknown": round(float(unknown), 4),
         "decision": "unknown" if unknown > 1 - FLAGGED else "known",
         "pad": dict(zip(("pleasure", "arousal", "dominance"), at.round(3).tolist(), strict=True)),
         "cluster": None if cluster < 0 else int(cluster)}
        for row, unknown, at, cluster in zip(*heard, strict=True)
    ]  # fmt: skip


def expand(words: list[str]) -> tuple[list[str], list[str]]:
    """`(files, problems)` that words name: files, folders, `~`, patterns no shell expanded."""
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


class Ears:
    """A listener with its encoder, and the `memory` of what it was taught.

    CourseError when the head is absent or was made for another encoder.
    """

    def __init__(self):
        self.listener, self.channel, self.about = read_head(HEAD)
        self.memory = Memory(self.listener, self.about["encoder_key"])
        self._encoder = None

    def embed(self, clips: list[list]) -> np.ndarray:
        """Embeddings (n, H) of clips, each the mean of its pieces by their length."""
        from helpers import embed, encoders

        encoder = self._encoder = self._encoder or encoders.load(self.about["encoder"])
        if encoder.key != self.about["encoder_key"]:
            reason = f"made for another '{encoder.name}' encoder; python -m tools.make_head"
            raise CourseError(f"{HEAD}: {reason}")
        pieces = [piece for clip in clips for piece in clip]
        # Of a long file a few at once: rows kept among freed states leave holes in the memory.
        long = sum(map(len, pieces)) > BATCH + audio.WINDOW_S * audio.SAMPLE_RATE
        few = 24 if long else len(pieces)
        states = [embed.embed(pieces[i : i + few], encoder, "all", "mean+std", progress=False)
                  for i in range(0, len(pieces), few)]  # fmt: skip
        rows = iter(encoder.several(np.concatenate(states)))
        return np.array([np.average([next(rows) for _ in c], axis=0, weights=list(map(len, c)))
                         for c in clips])  # fmt: skip

    def hear(self, X, voice: str = "") -> list[dict]:
        """What is heard in embeddings (n, H), see `describe`, and if the head knows the like.

        `unlike`: the share of clips of the corpora that taught it, by speakers never met, whose
        voice and channel are less strange.
        """
        described = describe(self.listener.hear(X, voice), self.listener.names_)
        unlike = self.channel.unlike(X, self.listener.views[0]).round(4).tolist()
        return [about | {"voice": voice or None, "unlike": far}
                for about, far in zip(described, unlike, strict=True)]  # fmt: skip

    def windows(self, pieces: list, voice: str = "") -> list[dict]:
        """What is heard when in a file's pieces: an answer every `STEP_S`, times in seconds.

        Each of `SPAN_S`; the last one ends where the file does. A silent one has no emotion.
        """
        wave, rate = np.concatenate(pieces), audio.SAMPLE_RATE
        span, step = int(SPAN_S * rate), int(STEP_S * rate)
        starts = [*range(0, len(wave) - span, step), len(wave) - span]
        parts = [wave[at : at + span] for at in starts]
        answers = self.hear(self.embed([[part] for part in parts]), voice)
        for part, said in zip(parts, answers, strict=True):
            if np.abs(part - part.mean()).max() < audio.SILENCE:
                said |= {"emotion": None, "unknown": None, "decision": "silent"}
        return [
            {"start": round(at / rate, 2), "end": round((at + span) / rate, 2),
             "emotion": said["emotion"], "probability": said["probabilities"].get(said["emotion"]),
             "unknown": said["unknown"], "decision": said["decision"]}
            for at, said in zip(starts, answers, strict=True)
        ]  # fmt: skip


def joined(windows: list[dict]) -> list[str]:
    """Lines of what is heard when; of two windows that differ, each has half of what both hear."""
    said = [w["emotion"] if w["decision"] == "known" else w["decision"] for w in windows]
    cuts = [(a["end"] + b["start"]) / 2 for a, b in pairwise(windows)]
    ends = [f"{int(t) // 60}:{int(t) % 60:02}" for t in (0, *cuts, windows[-1]["end"])]
    new = [i for i in range(len(said)) if i == 0 or said[i] != said[i - 1]]
    return [f"{ends[i]}-{ends[j]} {said[i]}" for i, j in pairwise([*new, len(said)])]


def predict(words: list[str], learn: str = "", voice: str = "") -> tuple[list, list, str, Ears]:
    """`(predictions, problems, taught, ears)`: a dict a file, a line a thing that went wrong.

    `taught` says what was enrolled or learned; "" for nothing. A `voice` that nobody enrolled is
    enrolled by these files, which are not scored then; they are heard before they teach the
    emotion `learn`. Files of more than 30 s are heard in `pieces`, and once more in `windows`:
    what is heard when.
    """
    ears = Ears()
    new = bool(voice) and voice not in ears.listener.voices_
    if new and learn:
        raise UsageError(f"voice '{voice}' is not enrolled; first give clips and --voice alone")
    files, problems = expand(words)
    found, given, taught = [], [], ""
    try:
        for batch in _batches(files, problems):
            given.append(X := ears.embed(list(batch.values())))
            for (file, pieces), about in zip(batch.items(), ears.hear(X, "" if new else voice),
                                             strict=True):  # fmt: skip
                about = {"file": printable(file), "pieces": len(pieces)} | about
                if not new and sum(map(len, pieces)) > audio.WINDOW_S * audio.SAMPLE_RATE:
                    about["windows"] = ears.windows(pieces, voice)
                found.append(about)
        if given and (new or learn):
            taught = _teach(ears, np.concatenate(given), learn, voice)
    except (KeyboardInterrupt, CourseError) as error:  # what was heard is shown all the same
        heard = f"heard {len(found)} of {len(files)} files, taught nothing"
        problems.append(str(error) or f"interrupted: {heard}")
    return [] if new else found, problems, taught, ears


def _teach(ears, X, learn, voice) -> str:
    """Learn an emotion, or enrol a voice, by X (n, H); what was done, in words."""
    name, known = (learn, ears.listener.names_) if learn else (voice, ears.listener.voices_)
    like = "" if name in known else nearest(name, known)
    act = (lambda to: to.learn(X, learn, voice)) if learn else (lambda to: to.enrol(X, voice))
    ears.memory.change(act)
    done = "taught" if learn else "enrolled by clips (ten are meant) that are not scored"
    return f"'{name}'{like}: {done}; clips: {len(X)}; ser-course listen takes it back"


def _batches(files: list[str], problems: list[str]):
    """Yield `{file: pieces}` by the ten minutes; what cannot be read goes to `problems`."""
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


def show(words: list[str], as_json: bool, learn: str | None, voice: str | None) -> int:
    """Print predictions as a table or JSON; 1 when something went wrong."""
    learn = "" if learn is None else named(learn, emotion=True)
    voice = "" if voice is None else named(voice)
    found, problems, taught, ears = predict(words, learn, voice)
    notes = problems + [taught] * bool(taught)
    for line in notes:
        print(f"ser-course: {line}", file=sys.stderr)
    known = {"emotions": ears.listener.names_, "voices": ears.listener.voices_}
    if as_json:
        told = {"head": ears.about, "listener": known, "predictions": found, "notes": notes}
        print(json.dumps(told, indent=1))
    elif found:
        _table(found, ears.about)
    if (learn or voice) and not as_json and ears.memory.folder.is_dir():
        print(f"emotions: {', '.join(known['emotions'])}; voices: {', '.join(known['voices'])}")
        print(f"What was taught is personal data and lies in {ears.memory.folder}")
    return 1 if problems else 0


def _table(found, about) -> None:
    """Print a line a file, what is heard when in a long one, and how to read it."""
    width = max(len(d["file"]) for d in found)
    print(f"{'file':{width}}  unknown  decision   probabilities")
    for d in found:
        ranked = sorted(d["probabilities"].items(), key=lambda item: -item[1])
        said = "  ".join(f"{name} {p:.2f}" for name, p in ranked)
        decision = d["decision"] + "*" * (not d["voice"] and d["unlike"] > 1 - FLAGGED)
        print(f"{d['file']:{width}}  {d['unknown']:7.2f}  {decision:9}  {said}")
        for line in joined(d["windows"]) if "windows" in d else []:
            print(f"  {line}")
    print(
        f"\nunknown: share of taught emotions' clips that look less strange; 'unknown' above "
        f"{1 - FLAGGED:.2f}. No voice: it may be upside down. With one: too frequent.\n"
        f"* a voice or channel unlike all that were taught: believe less, or enrol (--voice).\n"
        f"{about.get('worth', '')} Trained on {about['corpus']} ({about['licence']})."
    )
