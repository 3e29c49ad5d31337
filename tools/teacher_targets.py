"""What the student is to regress: a teacher's hidden states on every clip it may hear.

    python tools/teacher_targets.py --teacher DIR --out DIR [--speed 0.25]

Hears CREMA-D, nEMO and EmoGator under SER_CORPORA, and the embedded corpus. Never EMO-DB, RAVDESS,
TESS, SAVEE or EMOVO: they are what the encoder is measured on. No label is read.
Writes `audio.i16`, `targets.f16` (frames, layers, teacher's width) and `index.json`, all flat.

Computed once and kept, the targets make a training step about a third cheaper, and let the input
be perturbed while the targets stay clean.
"""

import argparse
import json
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

HEARD = ("crema_d", "nemo", "emogator")
STRIDE, OFFSET = 320, 200  # a student frame is centred OFFSET samples after the teacher's
LONGEST = 8 * audio.SAMPLE_RATE


def clips() -> list[Path]:
    """Files that may be heard, in a fixed order."""
    folders = [corpora.root() / name for name in HEARD]
    folders.append(corpora.REPOSITORY / "data" / "corpus" / "audio")
    return [p for folder in folders for p in sorted(folder.rglob("*"))
            if p.suffix in (".opus", ".wav", ".flac", ".ogg", ".mp3")]


def load(path: Path, speed: float) -> np.ndarray:
    """A clip at `speed` (faster is higher, too), cut to whole groups of four frames."""
    try:
        wave = audio.read(path)
    except audio.AudioError as error:
        tqdm.write(str(error))
        return np.zeros(0, np.float32)
    if speed != 1:
        wave = soxr.resample(wave, audio.SAMPLE_RATE * speed, audio.SAMPLE_RATE)
    frames = (len(wave[:LONGEST]) - 80) // STRIDE // 4 * 4
    return wave[:frames * STRIDE + 80].astype(np.float32) if frames > 0 else wave[:0]


class Teacher:
    """Whisper's encoder on the clip alone, without 30 s of padding."""

    def __init__(self, folder: str, layers: list[int]):
        self.model = WhisperEncoder.from_pretrained(folder, dtype=torch.float32).eval()
        self.layers, self.size = layers, self.model.config.d_model
        self.mel = WhisperFeatureExtractor.from_pretrained(folder)

    def frames(self, wave: np.ndarray) -> torch.Tensor:
        # Delayed by OFFSET, frame t of the teacher is centred where the student's frame t is.
        delayed = np.concatenate([wave[OFFSET:], np.zeros(OFFSET, np.float32)])
        delayed = delayed[:len(wave) // STRIDE * STRIDE]
        return torch.as_tensor(np.asarray(self.mel._torch_extract_fbank_features(delayed[None])[0]))

    @torch.inference_mode()
    def states(self, waves: list[np.ndarray]) -> np.ndarray:
        """`(clips, frames, layers, 512)` of clips of one length."""
        count = len(waves[0]) // STRIDE
        mel = torch.stack([self.frames(w)[:, :2 * count] for w in waves])
        with torch.autocast("cpu", torch.bfloat16):
            x = torch.nn.functional.gelu(self.model.conv1(mel))
            x = torch.nn.functional.gelu(self.model.conv2(x)).permute(0, 2, 1).float()
            x = x + self.model.embed_positions.weight[:count]
            kept = []
            for number, layer in enumerate(self.model.layers, 1):
                x = layer(x, None)
                if number in self.layers:
                    last = number == len(self.model.layers)
                    kept.append((self.model.layer_norm(x) if last else x).float())
        return torch.stack(kept, 2).numpy().astype(np.float16)


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", required=True, help="folder of a Whisper encoder")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--speed", type=float, default=0.0,
                        help="change speed by up to this much (log scale); 0: as recorded")
    parser.add_argument("--layers", type=int, nargs="+", default=[2, 4, 6],
                        help="low ones hold voice and prosody, the last what is said")
    options = parser.parse_args()
    files = clips()
    if not files:
        raise SystemExit("no clips: set SER_CORPORA to the folder that holds crema_d and others")
    teacher = Teacher(options.teacher, options.layers)
    rng = np.random.default_rng(0)
    speeds = np.exp(rng.uniform(-options.speed, options.speed, len(files)))
    with ThreadPoolExecutor() as pool:
        waves = list(tqdm(pool.map(load, files, speeds), total=len(files), desc="decode"))
    frames = np.array([len(w) // STRIDE for w in waves])
    starts = np.concatenate([[0], np.cumsum(frames)]).tolist()
    edges = np.concatenate([[0], np.cumsum([len(w) for w in waves])]).tolist()
    options.out.mkdir(parents=True, exist_ok=True)
    sound = np.memmap(options.out / "audio.i16", np.int16, "w+", shape=(edges[-1],))
    for i, wave in enumerate(waves):
        sound[edges[i]:edges[i + 1]] = np.clip(wave * 32767, -32767, 32767)
    targets = np.memmap(options.out / "targets.f16", np.float16, "w+",
                        shape=(starts[-1], len(options.layers), teacher.size))
    for batch in tqdm(batches(frames), desc="teacher"):
        for i, states in zip(batch, teacher.states([waves[i] for i in batch]), strict=True):
            targets[starts[i]:starts[i + 1]] = states
    targets.flush()
    sound.flush()
    index = {"files": [str(f) for f in files], "frames": frames.tolist(), "layers": options.layers,
             "size": teacher.size}
    (options.out / "index.json").write_text(json.dumps(index))
    print(f"{len(files)} clips, {frames.sum() * STRIDE / audio.SAMPLE_RATE / 3600:.2f} h")


if __name__ == "__main__":
    try:
        main()
    except CourseError as error:
        raise SystemExit(str(error)) from error
