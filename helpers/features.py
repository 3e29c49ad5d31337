"""Features of the years before wav2vec2: MFCC statistics and F0 (lesson 01 listens to both).

Lesson 09 reads MFCC frame by frame.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from helpers import audio, sniff
from helpers.cache import Cache, code, key
from helpers.errors import CourseError
from helpers.progress import bar

FRAME, HOP, COEFFICIENTS = 400, 160, 13  # samples: windows of 25 ms every 10 ms
F0_LOW, F0_HIGH = 60.0, 500.0  # Hz: a low man's voice to a woman's shout
CODE = code(__file__, audio.__file__, sniff.__file__)  # a part of the cache's key
FRAMES, STRIDE = 162, 2  # of `mfcc_frames`: as many as source 3 takes, every second frame


def mfcc(wave: np.ndarray) -> np.ndarray:
    """Return 13 MFCC and their first and second differences, float32 (39, frames), 10 ms apart.

    Davis & Mermelstein (1980), with librosa's mel scale. Clips of fewer than 9 frames (90 ms) are
    padded with their edge, for the differences are slopes over 9 frames.
    """
    import librosa

    bands = librosa.feature.melspectrogram(
        y=wave, sr=audio.SAMPLE_RATE, n_fft=512, win_length=FRAME, hop_length=HOP, n_mels=40
    )
    # 80 dB below the loudest is silence. librosa's own floor is absolute and would make the
    # features of soft recordings depend on their level in more than c0.
    decibel = librosa.power_to_db(bands, amin=1e-20, top_db=80)
    static = librosa.feature.mfcc(S=decibel, n_mfcc=COEFFICIENTS)
    static = np.pad(static, ((0, 0), (0, max(0, 9 - static.shape[1]))), mode="edge")
    both = [librosa.feature.delta(static, order=order) for order in (1, 2)]
    return np.concatenate([static, *both]).astype(np.float32)


def statistics(frames: np.ndarray) -> np.ndarray:
    """Return mean and standard deviation over time of (d, frames): float32 (2 d,)."""
    return np.concatenate([frames.mean(axis=1), frames.std(axis=1)]).astype(np.float32)


def f0(wave: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Track the fundamental frequency with probabilistic YIN (Mauch & Dixon 2014).

    Returns times in seconds and F0 in Hz, both (frames,), a frame every 16 ms; NaN where unvoiced.
    About ten times real time on one core: meant for looking at clips, not for whole corpora.
    """
    import librosa

    hop = 256
    track, _, _ = librosa.pyin(
        wave, fmin=F0_LOW, fmax=F0_HIGH, sr=audio.SAMPLE_RATE, frame_length=1024, hop_length=hop
    )
    return np.arange(len(track)) * hop / audio.SAMPLE_RATE, track


def fixed_frames(frames: np.ndarray) -> np.ndarray:
    """Bring ``mfcc`` (39, frames) to 162 frames 20 ms apart: float32 (39, 162).

    Source 3 pads or cuts, and does not say where. Here longer clips lose their end, and shorter
    ones end in frames of exact zeros, which no frame of speech is: see ``standardise``.
    """
    kept = frames[:, ::STRIDE][:, :FRAMES]
    return np.pad(kept, ((0, 0), (0, FRAMES - kept.shape[1]))).astype(np.float32)


def standardise(frames: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Give each coefficient of (n, d, T) mean 0 and deviation 1 over the real frames of ``rows``.

    ``rows`` are the training clips. Padding stays zero, which is now the mean of training. (To
    standardise each clip by itself would take away how loud and bright its speaker is.)
    """
    real = frames.any(axis=1, keepdims=True)  # (n, 1, T)
    count = real[rows].sum()
    mean = frames[rows].sum(axis=(0, 2), keepdims=True, dtype=np.float64) / count
    mean = mean.astype(np.float32)
    gap = np.where(real[rows], frames[rows] - mean, 0)
    deviation = np.sqrt(np.square(gap).sum(axis=(0, 2), keepdims=True, dtype=np.float64) / count)
    deviation = np.maximum(deviation, 1e-6).astype(np.float32)
    return np.where(real, (frames - mean) / deviation, 0)


def mfcc_statistics(
    paths: Sequence[str | Path], cache: str | Path | None = None, progress: bool = True
) -> tuple[np.ndarray, np.ndarray, list[audio.AudioError]]:
    """Return ``(features, kept, skipped)`` for audio files.

    ``features`` float32 (n, 78): mean and standard deviation of ``mfcc``; ``kept`` int (n,): which
    paths they belong to; ``skipped``: the others and why. ``cache`` names a folder in which
    features are kept by the bytes of their file. Raises ``CourseError`` when no file can be used.
    """
    return _each(paths, lambda wave: statistics(mfcc(wave)), "statistics", cache, progress)


def mfcc_frames(
    paths: Sequence[str | Path], cache: str | Path | None = None, progress: bool = True
) -> tuple[np.ndarray, np.ndarray, list[audio.AudioError]]:
    """Return ``(frames, kept, skipped)`` as ``mfcc_statistics`` does: frames float32 (n, 39, 162).

    See ``fixed_frames`` for the hop and for clips that are longer or shorter.
    """
    return _each(paths, lambda wave: fixed_frames(mfcc(wave)), "frames", cache, progress)


def _each(
    paths: Sequence[str | Path],
    compute: Callable[[np.ndarray], np.ndarray],
    kind: str,
    cache: str | Path | None,
    progress: bool,
) -> tuple[np.ndarray, np.ndarray, list[audio.AudioError]]:
    """``compute`` of the wave of each file, kept under ``kind`` and the bytes of the file."""
    paths, names, found = list(paths), {}, {}

    def one(path):
        try:
            return compute(audio.read(path))
        except audio.AudioError as error:
            return error

    def name_of(path):
        try:
            return key(CODE, kind, audio.load(path))
        except audio.AudioError:
            return None

    if store := Cache(cache) if cache else None:
        names = {i: name for i, p in enumerate(paths) if (name := name_of(p))}
        found = {i: kept for i, name in names.items() if (kept := store.get(name)) is not None}
    todo = [i for i in range(len(paths)) if i not in found]
    # A thread a core; inside, the many small matrix products would only wait on each other.
    with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count()) as pool:
        shown = bar(progress, "MFCC", len(todo), "clip")
        new = {}
        for i, value in zip(todo, pool.map(one, [paths[i] for i in todo]), strict=True):
            new[i] = value
            shown.update()
        shown.close()
    skipped = [value for value in new.values() if isinstance(value, audio.AudioError)]
    new = {i: value for i, value in new.items() if not isinstance(value, audio.AudioError)}
    if store:
        store.put({names[i]: value for i, value in new.items()})
        store.close()
    found = dict(sorted((found | new).items()))
    if not found:
        raise CourseError(f"none of {len(paths)} clips can be used: {audio.report(skipped)}")
    return np.stack(list(found.values())), np.array(list(found)), skipped
