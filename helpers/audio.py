"""Read any audio file as 16 kHz mono, and cut it: the only place where files are decoded."""

import io
from pathlib import Path

import numpy as np

from helpers.errors import CourseError

SAMPLE_RATE = 16_000  # Hz; what wav2vec2 and its kin were trained on
SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3")
SHORTEST_S = 0.1  # below this no vowel is heard and the encoders have next to no frames
SILENCE = 1e-4  # largest distance from the mean, full scale = 1: -80 dBFS


class AudioError(CourseError):
    """A file that cannot be used. ``path`` and ``reason`` are kept for reports."""

    def __init__(self, path: str | Path, reason: str):
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = Path(path), reason


def read(path: str | Path, raw: bytes | None = None) -> np.ndarray:
    """Decode a wav, flac, ogg, opus or mp3 file to float32 (n,) at 16 kHz, full scale = 1.

    ``raw``: the file's bytes, where they have been read already.

    Channels are averaged (a channel of silence halves the level, opposite channels cancel); any
    other rate is resampled with soxr at its high quality. Raises ``AudioError`` when the file is
    missing, unreadable, empty, shorter than 0.1 s, silent, or holds NaN or infinity.
    """
    import soundfile

    path = Path(path)
    if raw is None and not path.is_file():
        raise AudioError(path, "no such file")
    if (path.stat().st_size if raw is None else len(raw)) == 0:
        raise AudioError(path, "empty file")
    try:
        source = path if raw is None else io.BytesIO(raw)
        wave, rate = soundfile.read(source, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        reason = str(error).split(":")[-1].strip().rstrip(".")
        raise AudioError(path, f"cannot be decoded ({reason})") from None
    return check(resample(wave.mean(axis=1), rate), path)


def resample(wave: np.ndarray, rate: int) -> np.ndarray:
    """Bring a mono wave (n,) from ``rate`` Hz to 16 kHz."""
    if rate == SAMPLE_RATE or len(wave) == 0 or not np.isfinite(wave).all():
        return wave
    import soxr

    return soxr.resample(wave, rate, SAMPLE_RATE).astype(np.float32)


def check(wave: np.ndarray, path: str | Path = "this clip") -> np.ndarray:
    """Return ``wave`` (n,) when it can be used; raise ``AudioError`` saying why when it cannot."""
    if wave.ndim != 1:
        raise AudioError(path, f"expected samples in one dimension, got shape {wave.shape}")
    if len(wave) == 0:
        raise AudioError(path, "no samples")
    if not np.isfinite(wave).all():
        raise AudioError(path, "holds NaN or infinity")
    if len(wave) < SHORTEST_S * SAMPLE_RATE:
        raise AudioError(path, f"{len(wave) / SAMPLE_RATE:.2f} s is shorter than {SHORTEST_S} s")
    if np.abs(wave - wave.mean()).max() < SILENCE:
        raise AudioError(path, "silent")
    return wave


def report(skipped: list[AudioError], shown: int = 10) -> str:
    """Return one line on the skipped files: how many, which, and why; "" when none are."""
    if not skipped:
        return ""
    names = ", ".join(f"{error.path.name} ({error.reason})" for error in skipped[:shown])
    more = f" and {len(skipped) - shown} more" if len(skipped) > shown else ""
    return f"{len(skipped)} clip{'s' * (len(skipped) > 1)} skipped: {names}{more}"


def fix_length(wave: np.ndarray, n: int) -> np.ndarray:
    """Return the first ``n`` samples of ``wave`` (m,), with zeros at the end when it is shorter."""
    return np.pad(wave[:n], (0, max(0, n - len(wave))))


def segments(wave: np.ndarray, length_s: float, hop_s: float) -> np.ndarray:
    """Cut ``wave`` (n,) into overlapping segments: float32 (m, length_s * 16000).

    Remainder rule: what is left after the last full segment is covered by one more segment that
    ends where the clip ends, so nothing is dropped and no silence is added. A clip shorter than
    one segment gives one segment, zeros at its end.
    """
    length, hop = round(length_s * SAMPLE_RATE), round(hop_s * SAMPLE_RATE)
    if length < 1 or hop < 1:
        raise CourseError(f"segments need a positive length and hop, got {length_s} s, {hop_s} s")
    if len(wave) <= length:
        return fix_length(wave, length)[None]
    starts = list(range(0, len(wave) - length + 1, hop))
    if starts[-1] + length < len(wave):
        starts.append(len(wave) - length)
    return np.stack([wave[start : start + length] for start in starts])
