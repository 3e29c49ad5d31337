"""Features of the years before wav2vec2: MFCC, their statistics, and F0 (lessons 01 and 09)."""

import os
from collections.abc import Sequence
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


def mfcc_of_files(
    paths: Sequence[str | Path], cache: str | Path | None = None, progress: bool = True
) -> tuple[list[np.ndarray], np.ndarray, list[audio.AudioError]]:
    """Return `(frames, kept, skipped)` for audio files.

    `frames`: `mfcc` of each, a list of float32 (39, frames); `kept` int (n,): which paths
    they belong to; `skipped`: the others and why. `cache` names a folder in which they are kept
    by the bytes of their file. Errors: CourseError when no file can be used.
    """
    paths, store = list(paths), Cache(cache) if cache else None

    def one(path):
        try:
            raw = audio.load(path)
            name = key(CODE, raw)
            if store and (kept := store.get(name)) is not None:
                return name, kept, False
            return name, mfcc(audio.read(path, raw)), True
        except audio.AudioError as error:
            return None, error, False

    found = []
    # A thread a core; inside, the many small matrix products would only wait on each other.
    with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count()) as pool:
        with bar(progress, "MFCC", len(paths), "clip") as shown:
            for item in pool.map(one, paths):
                found.append(item)
                shown.update()
    if store:
        store.put({name: frames for name, frames, new in found if new})
        store.close()
    kept = [i for i, (name, _, _) in enumerate(found) if name]
    skipped = [error for name, error, _ in found if not name]
    if not kept:
        raise CourseError(f"none of {len(paths)} clips can be used: {audio.report(skipped)}")
    return [found[i][1] for i in kept], np.array(kept), skipped


def mfcc_statistics(
    paths: Sequence[str | Path], cache: str | Path | None = None, progress: bool = True
) -> tuple[np.ndarray, np.ndarray, list[audio.AudioError]]:
    """Return `mfcc_of_files` with the `statistics` of each in place of frames: (n, 78)."""
    frames, kept, skipped = mfcc_of_files(paths, cache, progress)
    return np.stack([statistics(each) for each in frames]), kept, skipped
