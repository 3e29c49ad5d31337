"""Make the embedded corpus: espeak-ng speaks, NumPy gives it an expression, Opus stores it.

    python -m tools.make_corpus --out data/corpus --jobs 2

Needs Debian's espeak-ng 1.51 (`apt install espeak-ng`). Every random draw is seeded by the name
of the clip or the speaker, so any clip can be made alone and comes out the same.
"""

import argparse
import csv
import io
import shutil
import subprocess
import zlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
from scipy.ndimage import map_coordinates, uniform_filter1d

from helpers.emotions import PAD
from tools import corpus_rules as rules

ROOT = Path(__file__).resolve().parents[1]
SEED = 20
RATE = 16000
LONGEST = 3.3  # seconds of speech; a slower clip is spoken a little faster
SHORT, LONG = 1.6, 4.0  # seconds of a clip with the silence around it
OPUS_LEVEL = 0.97  # libsndfile's compression level: about 14 kbit/s


@dataclass(frozen=True)
class Clip:
    """One utterance to make; `path` is relative to the corpus folder."""

    speaker: tuple
    emotion: str
    intensity: str
    number: int

    @property
    def language(self) -> str:
        return self.speaker[0][:2]

    @property
    def sentence(self) -> str:
        return rules.SENTENCES[self.language][self.number]

    @property
    def name(self) -> str:
        return f"{self.speaker[0]}_{self.emotion}_{self.intensity}_s{self.number + 1}"

    @property
    def path(self) -> str:
        return f"audio/{self.speaker[0]}/{self.name}.opus"


def clips() -> list[Clip]:
    """Every clip of the corpus, in the order of the table."""
    return [
        Clip(speaker, emotion, intensity, number)
        for speaker in rules.SPEAKERS
        for emotion in rules.EMOTIONS
        for intensity in rules.INTENSITIES
        if (emotion, intensity) != ("neutral", "strong")
        for number in range(len(rules.SENTENCES[speaker[0][:2]]))
    ]


def seeded(*names: str) -> np.random.Generator:
    """A generator that depends on the names alone, not on the order of the work."""
    return np.random.default_rng([SEED, *(zlib.crc32(name.encode()) for name in names)])


def style(speaker: str) -> tuple[dict, dict, dict]:
    """How a speaker talks: offset and gain of each parameter; what the microphone does."""
    rng = seeded(speaker)
    offset = {p: spread * rng.standard_normal() for p, (_, _, spread) in rules.PARAMETERS.items()}
    # Speakers differ in the means they use: one acts by pitch, another by rate or loudness.
    gain = {p: float(np.exp(0.2 * rng.standard_normal())) for p in rules.PARAMETERS}
    room = {
        "colour": 1.8 * rng.standard_normal(6),  # dB at six points from 100 Hz to 8 kHz
        "gain": 2.5 * rng.standard_normal(),  # dB
        "snr": rng.uniform(28, 45),  # dB
    }
    return offset, gain, room


def expression(clip: Clip) -> tuple[dict, float]:
    """The clip's parameters in the units of `rules.PARAMETERS`, and its strength (0 to 1.3)."""
    rng = seeded(clip.name)
    strength = clip.speaker[5] * rules.INTENSITIES[clip.intensity]
    strength *= float(np.exp(0.15 * rng.standard_normal()))
    offset, gain, _ = style(clip.speaker[0])
    values = {}
    for p, (_, spread, _) in rules.PARAMETERS.items():
        value = rules.RULES[clip.emotion].get(p, (0.0, ""))[0]
        values[p] = offset[p] + gain[p] * strength * value + spread * rng.standard_normal()
    for p in ("breath", "jitter", "tremor", "rough"):
        values[p] = max(values[p], 0.0)
    values["rate"] = float(np.clip(values["rate"], -0.45, 0.5))
    values["formants"] = float(np.clip(values["formants"], -8, 10))
    values["f0"] = float(np.clip(values["f0"], -7, 11))
    return values, strength


def speak(clip: Clip, values: dict, warp: float) -> tuple[np.ndarray, int]:
    """espeak-ng's wave (float64) and rate, `warp` times too low and slow, as asked."""
    _, _, voice, pitch, _, _ = clip.speaker
    octaves = np.log2(pitch / warp) + values["f0"] / 12
    words = (clip.sentence[:-1] + ("?" if values["final"] > 2 else ".")).split()
    marked = []
    for i, word in enumerate(words):
        late = max(0.0, (i + 1) / len(words) - 2 / 3) * 3
        shift = values["wave"] * (0.5 - i % 2) + values["final"] * late
        # Measured on espeak-ng 1.51: -p moves F0 an octave per 64 steps up, 80 down, within 0-99.
        step = octaves + shift / 12
        p = int(np.clip(round(50 + step * (64 if step > 0 else 80)), 0, 99))
        marked.append(f'<prosody pitch="{p}">{word}</prosody>')
    extent = int(np.clip(round(50 + values["range"] / 2), 0, 99))
    text = f'<speak><prosody range="{extent}">{" ".join(marked)}</prosody></speak>'
    speed = 185 * 2 ** values["rate"] / warp
    wave, rate = espeak(voice, text, speed)
    slow = len(wave) / rate * warp / LONGEST
    return espeak(voice, text, speed * slow) if slow > 1 else (wave, rate)


def espeak(voice: str, text: str, speed: float) -> tuple[np.ndarray, int]:
    """Run espeak-ng at `speed` words a minute: its wave without silent ends, and its rate."""
    words = str(int(np.clip(round(speed), 80, 400)))
    call = ["espeak-ng", "-v", voice, "-s", words, "-z", "-m", "--stdout"]
    done = subprocess.run(call, input=text.encode(), capture_output=True, check=True)
    # The header of a piped WAV claims more samples than there are: read the samples themselves.
    header, _, data = done.stdout.partition(b"data")
    rate = int(np.frombuffer(header[24:28], "<u4")[0])
    wave = np.frombuffer(data[4 : len(data) // 2 * 2], "<i2") / 32768.0
    heard = np.flatnonzero(np.abs(wave) > 0.002)
    return wave[heard[0] : heard[-1] + 1], rate


def shape_spectrum(wave: np.ndarray, rate: int, tilt: float, colour: np.ndarray) -> np.ndarray:
    """Tilt above 500 Hz (dB per octave) and the microphone's colour (dB), linear phase."""
    f = np.fft.rfftfreq(len(wave), 1 / rate)
    points = np.geomspace(100, 8000, len(colour))
    db = tilt * np.clip(np.log2(np.maximum(f, 1) / 500), 0, 4)
    db += np.interp(np.log(np.maximum(f, 1)), np.log(points), colour)
    gain = 10 ** (db / 20) * np.clip((7800 - f) / 400, 0, 1)  # nothing above RATE / 2
    return np.fft.irfft(np.fft.rfft(wave) * gain, len(wave))


def warp_time(
    wave: np.ndarray, step: float, jitter: float, tremor: float, rng: np.random.Generator
) -> np.ndarray:
    """Read the wave at `step` samples a sample, with irregular (jitter) and slow (tremor) F0."""
    n = int(len(wave) / step)
    t = np.arange(n) / RATE
    noise = uniform_filter1d(rng.standard_normal(n), RATE // 125)  # 8 ms, about a period
    noise *= jitter / 100 / max(noise.std(), 1e-9)
    shake = 2 ** (tremor / 12 * np.sin(2 * np.pi * (5.5 * t + rng.uniform()))) - 1
    position = np.cumsum(step * (1 + noise + shake))
    return map_coordinates(wave, [position], order=3, mode="constant")


def rough_breathy(wave: np.ndarray, rough: float, breath: float, rng) -> np.ndarray:
    """Irregular amplitude (a creaky voice) and aspiration noise that follows the voice."""
    beat = uniform_filter1d(rng.standard_normal(len(wave)), RATE // 50)
    beat = np.clip(beat / max(beat.std(), 1e-9), -2, 2)
    wave = wave * (1 - min(rough, 0.8) * (0.5 - 0.5 * beat / 2))
    envelope = np.sqrt(uniform_filter1d(wave**2, RATE // 60))
    noise = np.diff(rng.standard_normal(len(wave) + 1))  # rises by 6 dB per octave
    return wave + breath * envelope * noise


def make(clip: Clip) -> np.ndarray:
    """The finished wave: float32, mono, 16 kHz."""
    values, _ = expression(clip)
    room = style(clip.speaker[0])[2]
    rng = seeded(clip.name, "wave")
    warp = clip.speaker[4] * (1 + values["formants"] / 100)
    wave, rate = speak(clip, values, warp)
    wave = shape_spectrum(wave, rate, values["tilt"], room["colour"])
    wave = warp_time(wave, warp * rate / RATE, values["jitter"], values["tremor"], rng)
    wave = rough_breathy(wave, values["rough"], values["breath"], rng)
    loud = np.abs(wave) > 0.1 * np.abs(wave).max()
    level = 10 ** ((values["loudness"] + room["gain"] - 27) / 20)
    wave = wave / np.sqrt(np.mean(wave[loud] ** 2)) * level
    before, after = (int(RATE * s) for s in rng.uniform(0.08, 0.25, 2))
    least, most = (int(s * RATE) - len(wave) - before for s in (SHORT, LONG))
    wave = np.pad(wave, (before, min(max(after, least), most)))
    floor = 10 ** ((room["gain"] - 27 - room["snr"]) / 20)
    wave = wave + floor * rng.standard_normal(len(wave))
    return (0.98 * np.tanh(wave / 0.98)).astype(np.float32)


def encode(wave: np.ndarray) -> bytes:
    """Ogg Opus bytes."""
    buffer = io.BytesIO()
    sf.write(buffer, wave, RATE, format="OGG", subtype="OPUS", compression_level=OPUS_LEVEL)
    return buffer.getvalue()


def row(clip: Clip) -> dict:
    """The clip's line of the table, with simulated votes and PAD values."""
    _, strength = expression(clip)
    rng = seeded(clip.name, "raters")
    clear = min(strength, 1.0)
    heard = clear * np.array(rules.CONFUSION[clip.emotion]) + (1 - clear) * np.array(rules.WEAK)
    votes = rng.multinomial(rules.RATERS, heard / heard.sum())
    pad = strength * np.array(PAD[clip.emotion]) + rules.PAD_NOISE * rng.standard_normal(3)
    return {
        "path": clip.path, "speaker": clip.speaker[0], "gender": clip.speaker[1],
        "language": clip.language, "emotion": clip.emotion, "intensity": clip.intensity,
        "sentence": clip.sentence,
        **{f"votes_{e}": int(v) for e, v in zip(rules.EMOTIONS, votes, strict=True)},
        **dict(zip(("pleasure", "arousal", "dominance"), pad.round(2).tolist(), strict=True)),
        "strength": round(strength, 3),
    }  # fmt: skip


def write(clip: Clip, out: Path) -> float:
    """Make, encode and write one clip; returns its seconds."""
    wave = make(clip)
    target = out / clip.path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(encode(wave))
    return len(wave) / RATE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "data" / "corpus")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--speakers", nargs="*", help="only these; others stay as they are")
    options = parser.parse_args()
    if shutil.which("espeak-ng") is None:
        parser.exit(1, "espeak-ng is missing: install Debian's package espeak-ng\n")
    todo = [c for c in clips() if not options.speakers or c.speaker[0] in options.speakers]
    with ProcessPoolExecutor(options.jobs) as pool:
        seconds = list(pool.map(write, todo, [options.out] * len(todo), chunksize=20))
    with (options.out / "table.csv").open("w", newline="", encoding="utf-8") as file:
        rows = [row(c) for c in clips() if (options.out / c.path).exists()]
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    size = sum(f.stat().st_size for f in options.out.rglob("*") if f.is_file())
    print(f"{len(todo)} clips, {sum(seconds) / 60:.1f} min, {size / 1e6:.2f} MB")
    print(f"shortest {min(seconds):.2f} s, longest {max(seconds):.2f} s")


if __name__ == "__main__":
    main()
