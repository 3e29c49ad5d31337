"""Read any audio file as 16 kHz mono, and cut it: the only place where files are decoded."""

import io
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from helpers import sniff
from helpers.errors import CourseError, printable

SAMPLE_RATE = 16_000  # Hz; what wav2vec2 and its kin were trained on
LOSSLESS = tuple(".wav .flac .aif .aiff .aifc .au .snd .caf .w64 .rf64 .sph .voc .8svx".split())
SUFFIXES = (*LOSSLESS, ".ogg", ".oga", ".opus", ".mp3")
SHORTEST_S = 0.1  # below this no vowel is heard and the encoders have next to no frames
LONGEST_S = 300.0  # an utterance; attention takes time and memory by the square of it
WINDOW_S = 30.0  # what is decoded, and where files may be long also embedded, at once
LARGEST = 1 << 30  # bytes
RATES = (4_000, 384_000)  # Hz; beyond them a header lies, or it is no recording of speech
SILENCE = 1e-4  # largest distance from the mean, full scale = 1: -80 dBFS


class _Bytes(io.BytesIO):
    """Bytes that stay where they are when a broken header leads to before their start."""

    def seek(self, offset, whence=0):
        return super().seek(offset, whence) if whence or offset >= 0 else self.tell()


class AudioError(CourseError):
    """A file that cannot be used. `path` and `reason` are kept for reports."""

    def __init__(self, path: str | Path, reason: str):
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = Path(path), reason


def load(path: str | Path) -> bytes:
    """Return the bytes of a file. Errors: AudioError when it cannot be opened, or is too large."""
    try:
        if not (path := Path(path)).is_file():
            raise AudioError(path, "no file, but a folder" if path.is_dir() else "no such file")
        if path.stat().st_size > LARGEST:
            raise AudioError(path, f"larger than {LARGEST >> 30} GiB; cut it into utterances")
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in its name
        raise AudioError(path, f"cannot be opened ({getattr(error, 'strerror', error)})") from None


def read(path: str | Path, raw: bytes | None = None) -> np.ndarray:
    """Decode a file of any kind in `SUFFIXES` to float32 (n,) at 16 kHz, full scale = 1.

    `raw`: the file's bytes, where they have been read already.

    Channels are averaged (a channel of silence halves the level); any other rate is resampled with
    soxr at its high quality. Half a file is not taken for a clip: what ends 0.1 s or more before
    its header says, or goes on with a second recording, is refused. (A header with no size at all,
    which a pipe or a crash leaves, is read to the end of the file.)

    Errors: AudioError when the file is missing, unreadable, empty, cut off, shorter than 0.1 s
    or longer than 300 s, silent, of a rate outside 4-384 kHz, or holds NaN or infinity.
    """
    blocks, rates = zip(*_blocks(path, load(path) if raw is None else raw, LONGEST_S), strict=True)
    return check(resample(np.concatenate(blocks), rates[0]), path)


def windows(path: str | Path) -> list[np.ndarray]:
    """Decode a file of up to two hours in pieces of at most 30 s, each as `read` returns it.

    Errors: AudioError as `read` does; the file as a whole must be neither short nor silent.
    """
    pieces = [resample(block, rate) for block, rate in _blocks(path, load(path), 7200)]
    check(np.concatenate(pieces), path)
    return [piece for piece in pieces if len(piece) >= SHORTEST_S * SAMPLE_RATE]


def duration(path: str | Path) -> float:
    """Return the seconds of a file that `read` accepts, without decoding it."""
    with _open(load(path)) as file:
        return file.frames / file.samplerate


def _open(raw: bytes):
    """Open from bytes: by name, libsndfile would look into ._x for what belongs to x."""
    import soundfile

    raw = sniff.finished(raw)
    try:
        return soundfile.SoundFile(_Bytes(raw))
    except soundfile.LibsndfileError:
        if not any(map(os.path.lexists, ("._", ".AppleDouble"))):
            raise
    with tempfile.NamedTemporaryFile() as file:  # bytes have no name, so it looks into these
        file.write(raw)
        file.flush()
        return soundfile.SoundFile(file.name)


def _blocks(path: str | Path, raw: bytes, longest: float) -> Iterator[tuple[np.ndarray, int]]:
    """Yield (mono wave, rate) of a file piece by piece: a header may promise any amount."""
    import soundfile

    if reason := sniff.flaw(raw) if raw else "empty file":
        raise AudioError(path, reason)
    try:
        with _open(raw) as file:
            rate, got = file.samplerate, 0
            if not RATES[0] <= rate <= RATES[1]:
                reason = f"its header says {rate:,} Hz, not 4 to 384 kHz; mend the header"
                raise AudioError(path, reason)
            step = min(int(WINDOW_S * rate), (1 << 22) // file.channels)
            while len(block := file.read(step, dtype="float32", always_2d=True)):
                got += len(block)
                if got > longest * rate:
                    raise AudioError(path, f"longer than {longest:.0f} s; cut it into utterances")
                yield _mono(block, path), rate
            if not got:
                mend = f", says its header; {sniff.MEND}" if len(raw) > 4096 else ""
                raise AudioError(path, "no samples" + mend)
            if _promised(file, raw, got) > got + SHORTEST_S * rate:
                raise AudioError(path, sniff.CUT)
    except (soundfile.LibsndfileError, RuntimeError, ValueError) as error:
        reason = str(getattr(error, "error_string", error)).strip().rstrip(".")
        mend = f"cannot be decoded ({reason}); copy it again, or convert it: {sniff.MEND}"
        if re.fullmatch(rb"[\t\r\n -~]+", raw[:512]):  # as servers say that there is no such file
            mend = "cannot be decoded (text, not sound); download it again"
        raise AudioError(path, sniff.what(raw) or mend) from None


def _promised(file, raw: bytes, got: int) -> int:
    """Frames that `file` should hold by its header, as libsndfile's log of it tells them."""
    log = file.extra_info
    frames = [got, file.frames, *map(int, re.findall(r"^ *Frames +: (\d+)$", log, re.M))]
    frames += map(int, re.findall(rb"^sample_count -i (\d+)", raw[:1024], re.M))  # NIST SPHERE
    size = r"^ *(?:data|riff|SSND|BODY|Data Size) *: (\d+) \(should be (\d+)\)"
    for said, there in re.findall(size, log, re.M):
        if int(said) < sniff.UNKNOWN_SIZE:
            frames.append(got * int(said) // max(int(there), 1))
    return max(n for n in frames if n < 1 << 40)  # FLAC of unknown length: 2^63


def _mono(block: np.ndarray, path: str | Path) -> np.ndarray:
    """Average the channels of (n, channels), unless next to nothing would be left of them."""
    if block.shape[1] > 1:
        with np.errstate(over="ignore", invalid="ignore"):
            centred = block - block.mean(axis=0)
            left = np.square(centred.sum(axis=1)).sum() / max(np.square(centred).sum(), 1e-12)
        if left < 0.05 and np.abs(centred).max() >= SILENCE:  # 1 when the channels differ at random
            keep = "ffmpeg -i x -af 'pan=mono|c0=c0' y.wav"
            raise AudioError(path, f"its channels cancel each other; keep one: {keep}")
    return block.mean(axis=1)


def resample(wave: np.ndarray, rate: int) -> np.ndarray:
    """Bring a mono wave (n,) from `rate` Hz to 16 kHz."""
    if rate == SAMPLE_RATE or len(wave) == 0 or not np.isfinite(wave).all():
        return wave
    import soxr

    return soxr.resample(wave, rate, SAMPLE_RATE).astype(np.float32)


def check(wave: np.ndarray, path: str | Path = "this clip") -> np.ndarray:
    """Return `wave` (n,) when it can be used; raise `AudioError` saying why when it cannot."""
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


def report(skipped: list[AudioError], shown: int = 3) -> str:
    """Return one line on skipped files: how many, which (`shown` a reason), why; "" for none."""
    said = []
    for reason in dict.fromkeys(error.reason for error in skipped):
        names = [error.path.name for error in skipped if error.reason == reason]
        more = f" and {len(names) - shown:,} more" if len(names) > shown else ""
        said.append(f"{', '.join(names[:shown])}{more} ({reason})")
    count = f"{len(skipped):,} clip{'s' * (len(skipped) > 1)} skipped: "
    return printable(count + ", ".join(said)) if skipped else ""


def fix_length(wave: np.ndarray, n: int) -> np.ndarray:
    """Return the first `n` samples of `wave` (m,), with zeros at the end when it is shorter."""
    return np.pad(wave[:n], (0, max(0, n - len(wave))))


def segments(wave: np.ndarray, length_s: float, hop_s: float) -> np.ndarray:
    """Cut `wave` (n,) into overlapping segments: float32 (m, length_s * 16000).

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
