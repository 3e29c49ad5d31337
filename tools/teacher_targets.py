"""What the student is to regress: a teacher's hidden states on every clip it may hear.

    python -m tools.teacher_targets --teacher DIR --out DIR [--speed 0.25 --seed 1]

Hears CREMA-D, nEMO and EmoGator under SER_CORPORA, and the embedded corpus. Never EMO-DB, RAVDESS,
TESS, SAVEE or EMOVO: they are what the encoder is measured on. No label is read.
Writes `audio.i16`, `targets.f16` (frames, layers, teacher's width) and `index.json`, all flat.
Memory does not grow with the clips. `progress.json` says which batches are done: a rerun with the
same options goes on there.

Two things that the student cannot know are taken out of the targets. Every clip is brought to one
level first, because the student hears clips of unit variance. And Whisper adds absolute positions:
the mean state at each position, over windows that begin anywhere in what is heard, is replaced by
the mean over positions (`positions.npy`). The teacher itself keeps its positions, without which it
hears badly.

Computed once and kept, the targets make a training step about a third cheaper, and let the input
be perturbed while the targets stay clean.
"""

import argparse
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import soxr
import torch
from tqdm import tqdm
from transformers import WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from helpers import audio, corpora
from helpers.errors import CourseError
from helpers.profiles import fast_bf16

HEARD = ("crema_d", "nemo", "emogator")
STRIDE, OFFSET = 320, 200  # a student frame is centred OFFSET samples after the teacher's
LONGEST = 8 * audio.SAMPLE_RATE
LEVEL = 0.05  # root mean square of what the teacher hears, full scale = 1: a usual level of speech
WINDOWS = 400  # that the mean state of a position is taken over: its error is a 20th of a deviation
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
LEAST = 64  # frames of the shortest clips that are trained on (1.28 s)
EVERY = 50  # batches from one note of progress to the next


def clips() -> list[Path]:
    """Files that may be heard, in a fixed order."""
    folders = [corpora.root() / name for name in HEARD]
    folders.append(corpora.REPOSITORY / "data" / "corpus" / "audio")
    return [
        p
        for folder in folders
        for p in sorted(folder.rglob("*"))
        if p.suffix in (".opus", ".wav", ".flac", ".ogg", ".mp3")
    ]


def corpus_of(file: str) -> str:
    return next((name for name in HEARD if name in Path(file).parts), "embedded")


def held_out(file: str) -> bool:
    """Speakers kept back: 2 of nEMO, every 11th of CREMA-D, every 20th of EmoGator."""
    name, corpus = Path(file).name, corpus_of(file)
    if corpus == "nemo":
        return name[:3] in ("IC0", "MP0")
    if corpus == "crema_d":
        return (int(name[:4]) - 1001) % 11 == 0
    return corpus == "emogator" and int(name.split("-")[0]) % 20 == 0


def hours(clips) -> dict:
    """Hours of each corpus, trained on and held out. clips: files and their frames."""
    out = {}
    for file, frames in clips:
        spent = out.setdefault(corpus_of(file), {"trained": 0.0, "held_out": 0.0})
        spent["held_out" if held_out(file) else "trained"] += frames * STRIDE / 16000 / 3600
    return {name: {k: round(v, 4) for k, v in spent.items()} for name, spent in out.items()}


def autocast():
    """bfloat16 where the machine multiplies it; elsewhere it is many times slower."""
    return torch.autocast(DEVICE, torch.bfloat16, enabled=fast_bf16())


def load(path: Path, speed: float) -> np.ndarray:
    """A clip at `speed` (faster is higher, too) and `LEVEL`, cut to whole groups of four frames."""
    try:
        wave = audio.read(path)
    except audio.AudioError as error:
        tqdm.write(str(error))
        return np.zeros(0, np.float32)
    if speed != 1:
        wave = soxr.resample(wave, audio.SAMPLE_RATE * speed, audio.SAMPLE_RATE)
    frames = (len(wave[:LONGEST]) - 80) // STRIDE // 4 * 4
    wave = wave[: max(frames, 0) * STRIDE + 80 * (frames > 0)].astype(np.float32)
    return (wave - wave.mean()) * (LEVEL / (wave.std() + 1e-5)) if frames > 0 else wave


class Teacher:
    """Whisper's encoder on the clip alone, without 30 s of padding."""

    def __init__(self, folder: str, layers: list[int]):
        self.model = WhisperEncoder.from_pretrained(folder, dtype=torch.float32).eval().to(DEVICE)
        self.layers, self.size = layers, self.model.config.d_model
        depth = len(self.model.layers)
        if not set(layers) <= set(range(depth + 1)):
            raise CourseError(
                f"--layers {' '.join(map(str, layers))}: this teacher has layers 0 to {depth}"
            )
        self.mel = WhisperFeatureExtractor.from_pretrained(folder)

    def frames(self, wave: np.ndarray) -> torch.Tensor:
        # Delayed by OFFSET, frame t of the teacher is centred where the student's frame t is.
        delayed = np.concatenate([wave[OFFSET:], np.zeros(OFFSET, np.float32)])
        delayed = delayed[: len(wave) // STRIDE * STRIDE]
        return torch.as_tensor(np.asarray(self.mel._torch_extract_fbank_features(delayed[None])[0]))

    @torch.inference_mode()
    def states(self, waves: list[np.ndarray]) -> np.ndarray:
        """`(clips, frames, layers, width)` of clips of one length; 0: what enters the blocks."""
        count = len(waves[0]) // STRIDE
        mel = torch.stack([self.frames(w)[:, : 2 * count] for w in waves]).to(DEVICE)
        with autocast():
            x = torch.nn.functional.gelu(self.model.conv1(mel))
            x = torch.nn.functional.gelu(self.model.conv2(x)).permute(0, 2, 1).float()
            x = x + self.model.embed_positions.weight[:count]
            kept = [x]
            for layer in self.model.layers[: max(self.layers)]:
                kept.append(layer(kept[-1], None).float())
        return torch.stack([kept[number] for number in self.layers], 2).cpu().numpy()


def batches(frames: np.ndarray, room: int = 4000) -> list[list[int]]:
    """Clips of equal length together, at most `room` frames a batch."""
    out: list[list[int]] = []
    for i in np.argsort(frames, kind="stable"):
        if not frames[i]:
            continue
        if out and frames[out[-1][0]] == frames[i] and len(out[-1]) * frames[i] < room:
            out[-1].append(int(i))
        else:
            out.append([int(i)])
    return out


def arrays(folder: Path, index: dict, mode: str) -> tuple:
    """Memory maps of audio and targets, and where each clip begins (and ends) in them."""
    frames = np.array(index["frames"])
    edges = np.concatenate([[0], np.cumsum(np.where(frames > 0, frames * STRIDE + 80, 0))])
    starts = np.concatenate([[0], np.cumsum(frames)])
    shape = int(starts[-1]), len(index["layers"]), index["size"]
    return (
        np.memmap(folder / "audio.i16", np.int16, "c"),
        np.memmap(folder / "targets.f16", np.float16, mode, shape=shape),
        edges,
        starts,
    )


def read(folders: list[Path]) -> tuple[list[dict], list[tuple]]:
    """Index and `arrays` of each folder, all finished and of the same layers."""
    for folder in folders:
        if not (folder / "index.json").exists():
            raise CourseError(f"--targets {folder}: unfinished; run teacher_targets.py again")
    found = [json.loads((folder / "index.json").read_text()) for folder in folders]
    for folder, index in zip(folders, found, strict=True):
        if "seed" not in index:  # state 0 had another constant then
            raise CourseError(f"--targets {folder}: made by an earlier version; make them again")
        if (index["layers"], index["size"]) != (found[0]["layers"], found[0]["size"]):
            raise CourseError(
                f"--targets {folder}: layers {index['layers']} of width "
                f"{index['size']}, but those before have {found[0]['layers']} "
                f"of width {found[0]['size']}; make them alike"
            )
    return found, [arrays(*each, "c") for each in zip(folders, found, strict=True)]


def write_json(path: Path, value) -> None:
    """Whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value))
    os.replace(part, path)


def position_means(teacher: Teacher, path: Path, size: int = 8) -> np.ndarray:
    """Mean state of each position: `(positions, layers, width)`.

    Windows begin anywhere: a clip often begins with silence, and what sounds is to stay.
    """
    sound, long = np.memmap(path, np.int16, "r"), LONGEST // STRIDE * STRIDE
    sound = np.resize(sound, max(len(sound), long + 1))  # fewer seconds than a window: again
    begins = np.random.default_rng(0).integers(len(sound) - long, size=(WINDOWS // size, size))
    total = 0
    for row in tqdm(begins, desc="positions"):
        waves = [sound[at : at + long].astype(np.float32) / 32767 for at in row]
        total = total + teacher.states(waves).sum(0, dtype=np.float64)
    return (total / begins.size).astype(np.float32)


def decode(files: list[Path], speeds: np.ndarray, path: Path) -> list[int]:
    """Write every clip to `path`, one after the other; return frames a clip."""
    frames = []
    with ThreadPoolExecutor() as pool, path.open("wb") as file:
        for wave in tqdm(pool.map(load, files, speeds), total=len(files), desc="decode"):
            np.clip(wave * 32767, -32767, 32767).astype(np.int16).tofile(file)
            frames.append(len(wave) // STRIDE)
    return frames


def regress(teacher: Teacher, index: dict, out: Path) -> None:
    """Fill `targets.f16` batch by batch, from where `index` says that it stopped."""
    frames = np.array(index["frames"])
    if not (out / "positions.npy").exists():
        np.save(out / "positions.npy", position_means(teacher, out / "audio.i16"))
    means = np.load(out / "positions.npy")
    shift = means - means[:LEAST].mean(0)  # of the same positions whatever the clips' length
    sound, targets, edges, starts = arrays(out, index, "r+" if index["done"] else "w+")
    todo, done = batches(frames), index["done"]
    for number in tqdm(range(done, len(todo)), initial=done, total=len(todo), desc="teacher"):
        waves = [sound[edges[i] : edges[i + 1]].astype(np.float32) / 32767 for i in todo[number]]
        for i, states in zip(todo[number], teacher.states(waves), strict=True):
            targets[starts[i] : starts[i + 1]] = states - shift[: len(states)]
        if (number + 1) % EVERY == 0 or number + 1 == len(todo):
            targets.flush()
            write_json(out / "progress.json", index | {"done": number + 1})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--teacher", required=True, help="folder of a Whisper encoder")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--speed",
        type=float,
        default=0.0,
        help="change speed by up to this much (log scale); 0: as recorded",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the speeds")
    parser.add_argument(
        "--layers",
        type=int,
        nargs="+",
        default=[0, 1, 2, 3, 4],
        help="0: what enters the first block; low ones hold voice and prosody",
    )
    options = parser.parse_args()
    files = clips()
    if not files:
        raise CourseError("no clips: set SER_CORPORA to the folder that holds crema_d and others")
    teacher = Teacher(options.teacher, options.layers)
    rng = np.random.default_rng(options.seed)
    speeds = np.exp(rng.uniform(-options.speed, options.speed, len(files)))
    options.out.mkdir(parents=True, exist_ok=True)
    progress, whole = options.out / "progress.json", options.out / "index.json"
    asked = {
        "files": [str(f) for f in files],
        "layers": options.layers,
        "size": teacher.size,
        "teacher": str(Path(options.teacher).resolve()),
        "speed": options.speed,
        "seed": options.seed,
    }
    index = next((json.loads(p.read_text()) for p in (whole, progress) if p.exists()), None)
    if index is None:
        index = asked | {"frames": decode(files, speeds, options.out / "audio.i16"), "done": 0}
        if not any(index["frames"]):
            raise CourseError("no clip can be used: all are unreadable or too short")
        write_json(progress, index)
    elif any(index.get(k) != v for k, v in asked.items()):
        raise CourseError(
            f"--out {options.out}: holds targets of other clips or options; "
            "choose another folder, or delete it"
        )
    regress(teacher, index, options.out)
    if progress.exists():
        os.replace(progress, whole)
    seconds = sum(index["frames"]) * STRIDE / audio.SAMPLE_RATE
    print(f"{len(files)} clips, {seconds / 3600:.2f} h")


if __name__ == "__main__":
    try:
        main()
    except CourseError as error:
        raise SystemExit(str(error)) from error
