"""Embeddings of many files: decoded in threads, batched by length, cached.

Lesson 02 builds the plain loop that `embed` speeds up.
"""

import warnings
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path

import numpy as np
import torch

from helpers import audio, encoders, networks, sniff
from helpers.cache import Cache, code, key
from helpers.errors import CourseError
from helpers.progress import bar

CODE = code(*(m.__file__ for m in (audio, encoders, networks, sniff)), __file__)  # file to row
BATCH_S = 24.0  # seconds of audio in a batch, padding included
WINDOW = 256  # files decoded at once: memory grows with this, not with the number of files


def embed(clips, encoder, layer="last", pooling="mean", normalise=None, length=None, cache=None,
          progress=True) -> np.ndarray | list:  # fmt: skip
    """Embeddings of `clips` (paths, or 16 kHz waves): float32 `(n, H)`, `(n, 2H)` for "mean+std".

    `layer`: "last", a number 0..layers, or "all" (`(n, layers + 1, H)`). `pooling`: "mean",
    "mean+std", or None for a list of `(T, H)`, which is not flat in memory. `normalise`: see
    `Encoder.batch`. `length`: cut or zero-pad each clip to so many samples. `cache`: a folder, or
    None.

    A file that cannot be read becomes a row of NaN, and one warning counts and names them all.
    Errors: CourseError when no file can be read.
    """
    if layer != "last" and layer != "all" and not 0 <= int(layer) <= encoder.layers:
        raise CourseError(f"layer {layer}: '{encoder.name}' has layers 0 to {encoder.layers}")
    if pooling not in ("mean", "mean+std", None):
        raise CourseError(f"pooling '{pooling}': use mean, mean+std or None")
    store = Cache(cache) if cache is not None and pooling is not None else None
    settings = (encoder.cache_key, CODE, layer, pooling, normalise, length) if store else ()

    def fetch(clip):  # in a thread: soundfile and hashlib release the interpreter's lock
        try:
            name, raw, wave = None, None, clip if isinstance(clip, np.ndarray) else None
            if store:
                raw = audio.load(clip) if wave is None else wave.tobytes()
                name = key(raw, *settings)
                row = store.get(name)
                if row is not None:
                    return name, None, row
            # What was hashed is decoded: by now the file may be another.
            wave = audio.read(clip, raw) if wave is None else wave
            return name, wave if length is None else audio.fix_length(wave, length), None
        except audio.AudioError as error:
            return None, None, error

    clips, rows, skipped, room = list(clips), {}, [], BATCH_S * encoder.rate
    title = f"embed {Path(encoder.name).name}"
    with ThreadPoolExecutor(4) as readers, bar(progress, title, len(clips), "clip") as shown:
        for start in range(0, len(clips), WINDOW):
            chunk = range(len(clips))[start : start + WINDOW]
            names, waves = {}, {}
            for row, heard in zip(
                chunk, readers.map(fetch, clips[start : start + WINDOW]), strict=True
            ):
                names[row], wave, found = heard
                if wave is not None:
                    waves[row] = wave
                elif isinstance(found, audio.AudioError):
                    skipped.append(found)
                else:
                    rows[row] = found
            shown.update(len(chunk) - len(waves))
            for batch in batches({r: len(w) for r, w in waves.items()}, room, encoder.masked):
                done = _forward([waves.pop(r) for r in batch], encoder, layer, pooling, normalise)
                rows.update(zip(batch, done, strict=True))
                if store:
                    store.put({names[r]: rows[r] for r in batch})
                shown.update(len(batch))
    if store:
        store.close()
    if skipped:
        if len(skipped) == len(clips):
            raise CourseError(f"no clip can be used: {audio.report(skipped)}")
        warnings.warn(audio.report(skipped), stacklevel=2)
    if pooling is None:
        return [rows.get(r) for r in range(len(clips))]
    blank = np.full_like(next(iter(rows.values())), np.nan) if rows else np.empty(0, np.float32)
    return np.stack([rows.get(r, blank) for r in range(len(clips))]) if clips else blank


def batches(lengths: dict, room: float, mixed: bool) -> list:
    """Group keys of `lengths`, longest first: at most `room` of length in a batch, with padding.

    `mixed=False` puts only equal lengths together.
    """
    order = sorted(lengths, key=lengths.get, reverse=True)
    groups = [order] if mixed else [list(g) for _, g in groupby(order, key=lengths.get)]
    out = []
    for group in groups:
        while group:
            size = max(1, int(room / lengths[group[0]]))
            out.append(group[:size])
            group = group[size:]
    return out


@torch.inference_mode()
def _forward(waves, encoder, layer, pooling, normalise) -> list:
    device = next(encoder.model.parameters()).device
    batch = {k: v.to(device) for k, v in encoder.batch(waves, normalise).items()}
    with torch.autocast(device.type, torch.bfloat16, enabled=encoder.dtype == "bfloat16"):
        states, mask = encoder.frames(batch, every=layer != "last")
    states = [s.float() for s in states]
    states = torch.stack(states, 1) if layer == "all" else states[-1 if layer == "last" else layer]
    if pooling is None:
        keep = mask.cpu().numpy()
        return [s[..., k, :] for s, k in zip(states.cpu().numpy(), keep, strict=True)]
    return list(networks.pool(states, mask.to(device), pooling).cpu().numpy())
