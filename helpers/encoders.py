"""Any speech encoder in one call, and embeddings of many files.

Lesson 02 builds the plain loop that `embed` speeds up. Families: wav2vec2, HuBERT, WavLM,
data2vec-audio and Whisper, as transformers names them.
"""

import hashlib
import json
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby, zip_longest
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError

from helpers import audio
from helpers.cache import Cache, key
from helpers.errors import CourseError, nearest
from helpers.networks import WhisperFrames, pool

EMBEDDED = Path(__file__).resolve().parents[1] / "data" / "encoders" / "embedded"
FAMILIES = ("wav2vec2", "hubert", "wavlm", "data2vec-audio", "whisper")
KNOWN = (
    "embedded",
    "facebook/wav2vec2-base",
    "facebook/hubert-base-ls960",
    "microsoft/wavlm-base",
    "facebook/data2vec-audio-base",
    "openai/whisper-base",
)
VERSION = 1  # of the code from file to embedding: another number makes every cached row anew
WINDOW = 256  # files decoded ahead: memory grows with this, not with the number of files


@dataclass
class Encoder:
    """A loaded encoder. Hidden states go from 0 (the transformer's input) to `layers`."""

    name: str
    model: torch.nn.Module = field(repr=False)
    extractor: object = field(repr=False)
    dtype: str = "float32"

    def __post_init__(self):
        self.config = self.model.config
        self.family: str = self.config.model_type
        self.hidden_size: int = self.config.hidden_size
        self.layers: int = self.config.num_hidden_layers  # for Whisper transformers gives encoder's

    @property
    def frame_s(self) -> float:
        """Seconds from one frame to the next."""
        if self.family == "whisper":
            return 2 * self.extractor.hop_length / audio.SAMPLE_RATE
        return float(np.prod(self.config.conv_stride)) / audio.SAMPLE_RATE

    @property
    def masked(self) -> bool:
        """May clips of different length share a batch?

        Group norm (wav2vec2-base) averages over time, padding included; data2vec's stack of
        positional convolutions carries padding into the clip, as does batch norm before them.
        """
        if self.family == "whisper":
            return True
        return (
            self.family != "data2vec-audio"
            and self.config.feat_extract_norm == "layer"
            and not getattr(self.config, "conv_pos_batch_norm", False)
        )

    @cached_property
    def key(self) -> str:
        """SHA-256 of configuration and weights: which encoder this is, whatever its name."""
        digest = hashlib.sha256(
            json.dumps(self.config.to_diff_dict(), sort_keys=True, default=str).encode()
        )
        for name, value in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().data)
        return digest.hexdigest()

    @cached_property
    def cache_key(self) -> str:
        """What `embed` computes: `key`, the preprocessor's settings, precision, this code."""
        settings = json.dumps(self.extractor.to_dict(), sort_keys=True, default=str)
        return key(self.key, settings, self.dtype, VERSION)

    def batch(self, waves, normalise: bool | None = None) -> dict:
        """Model input for `waves` (16 kHz, 1-D each): `input_values` and, if needed, a mask.

        `normalise`: zero mean and unit variance per clip; None does what the encoder was
        trained with.
        """
        if normalise is None:
            normalise = bool(getattr(self.extractor, "do_normalize", False))
        if normalise:
            waves = [(w - w.mean()) / np.sqrt(w.var() + 1e-7) for w in waves]
        if self.family == "whisper":
            return self._mel(waves)
        lengths = [len(w) for w in waves]
        if len(set(lengths)) == 1:
            return {"input_values": torch.from_numpy(np.stack(waves).astype(np.float32))}
        if not self.masked:
            raise CourseError(
                f"encoder '{self.name}': its clips must have equal length to share "
                "a batch; cut or pad them to one length"
            )
        values = np.zeros((len(waves), max(lengths)), np.float32)
        mask = np.zeros(values.shape, np.int64)
        for row, wave in enumerate(waves):
            values[row, : len(wave)], mask[row, : len(wave)] = wave, 1
        return {"input_values": torch.from_numpy(values), "attention_mask": torch.from_numpy(mask)}

    def _mel(self, waves) -> dict:
        """Log-mel frames of the clips only, with the silence after them that convolutions see."""
        limit = 2 * self.config.max_source_positions * self.extractor.hop_length
        if max(map(len, waves)) > limit:
            warnings.warn(
                f"encoder '{self.name}' hears {limit / audio.SAMPLE_RATE:.0f} s of a "
                "clip; what comes after is cut",
                stacklevel=2,
            )
        waves = [w[:limit] for w in waves]
        frames = [-(-len(w) // self.extractor.hop_length) for w in waves]
        room = max(len(w) for w in waves) + 2 * self.extractor.n_fft
        mel = self.extractor(
            waves,
            sampling_rate=audio.SAMPLE_RATE,
            padding="max_length",
            max_length=room,
            return_tensors="pt",
        )["input_features"]
        mask = torch.arange(mel.shape[-1])[None] < torch.tensor(frames)[:, None]
        return {"input_values": mel, "attention_mask": mask.long()}

    def frames(self, batch: dict, every: bool = False):
        """Hidden states and mask: `[(b, T, H)]` (last, or all layers + 1) and bool `(b, T)`."""
        out = self.model(**batch, output_hidden_states=every)
        # The last state is the one after the final layer norm, which not every family records.
        states = [*(out.hidden_states[:-1] if every else ()), out.last_hidden_state]
        if self.family == "whisper":
            return states, self.model.frame_mask(batch["attention_mask"])
        if batch.get("attention_mask") is None:
            return states, torch.ones(states[0].shape[:2], dtype=torch.bool)
        return states, self.model._get_feature_vector_attention_mask(
            states[0].shape[1], batch["attention_mask"]
        )


def load(name="embedded", dtype: str = "float32") -> Encoder:
    """Load an encoder by hub id, by directory, or the one that the course ships (`embedded`).

    `dtype`: "float32", or "bfloat16" to compute under autocast (weights stay float32).
    Errors: CourseError when it is unknown, offline, incomplete or damaged.
    """
    from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, WhisperModel
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    if dtype not in ("float32", "bfloat16"):
        raise CourseError(f"dtype '{dtype}': use float32 or bfloat16")
    folder = EMBEDDED if str(name) == "embedded" else Path(name)
    local = folder.is_dir()
    if not local and (
        str(name) == "embedded"
        or "/" not in str(name)
        or folder.is_absolute()
        or str(name).startswith(".")
    ):
        raise CourseError(f"encoder '{name}': no such folder{nearest(str(name), KNOWN)}")
    source = str(folder) if local else str(name)
    try:
        with quiet():
            config = AutoConfig.from_pretrained(source)
            if config.model_type not in FAMILIES:
                raise CourseError(
                    f"encoder '{name}' is of the family '{config.model_type}'; "
                    f"this course knows {', '.join(FAMILIES)}"
                )
            extractor = AutoFeatureExtractor.from_pretrained(source)
            kind = AutoModel
            if config.model_type == "whisper":
                bare = "WhisperEncoder" in (config.architectures or ())
                kind = WhisperEncoder if bare else WhisperModel
            model, report = kind.from_pretrained(
                source, dtype=torch.float32, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0][:160] if str(error) else type(error).__name__
        if local:
            raise CourseError(
                f"encoder folder {folder}: missing or damaged file ({reason}); "
                "copy the folder again"
            ) from error
        raise CourseError(
            f"encoder '{name}': not a folder here, and the model hub did not give it "
            "(offline, or no such id); use --encoder embedded or a folder"
        ) from error
    missing = [n for n in report["missing_keys"] if "masked_spec_embed" not in n]
    if missing:  # transformers would go on with random weights
        raise CourseError(
            f"encoder '{name}': weights lack {len(missing)} tensors, such as "
            f"{sorted(missing)[0]}; copy the folder again"
        )
    if config.model_type == "whisper":
        model = WhisperFrames(getattr(model, "encoder", model))
    return Encoder(str(name), model.eval(), extractor, dtype)


@contextmanager
def quiet():
    """Silence transformers' loading bars and advice; errors still come through."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        logging.enable_progress_bar()


def bar(progress: bool, title: str, total: int, unit: str, done: int = 0):
    """A progress bar; none if not wanted, or where TQDM_DISABLE is set (the runner has its own)."""
    from tqdm.auto import tqdm

    off = not progress or bool(os.environ.get("TQDM_DISABLE"))
    return tqdm(desc=title, total=total, initial=done, unit=unit, leave=False, disable=off)


def embed(
    clips,
    encoder,
    layer="last",
    pooling="mean",
    normalise=None,
    length=None,
    batch_s=24.0,
    cache=None,
    progress=True,
    threads=4,
):
    """Embeddings of `clips` (paths, or 16 kHz waves): float32 `(n, H)`, `(n, 2H)` for "mean+std".

    `layer`: "last", a number 0..layers, or "all" (`(n, layers + 1, H)`). `pooling`: "mean",
    "mean+std", or None for a list of `(T, H)`, which is not flat in memory. `normalise`: see
    `Encoder.batch`. `length`: cut or zero-pad each clip to so many samples. `batch_s`: seconds
    of audio in a batch, padding included. `cache`: a folder, or None.

    A file that cannot be read becomes a row of NaN, and one warning counts and names them all.
    Errors: CourseError when no file can be read.
    """
    if layer != "last" and layer != "all" and not 0 <= int(layer) <= encoder.layers:
        raise CourseError(f"layer {layer}: '{encoder.name}' has layers 0 to {encoder.layers}")
    if pooling not in ("mean", "mean+std", None):
        raise CourseError(f"pooling '{pooling}': use mean, mean+std or None")
    store = Cache(cache) if cache is not None and pooling is not None else None
    settings = (encoder.cache_key, layer, pooling, normalise, length) if store else ()

    def fetch(clip):  # in a thread: soundfile and hashlib release the interpreter's lock
        try:
            name, raw, wave = None, None, clip if isinstance(clip, np.ndarray) else None
            if store:
                raw = Path(clip).read_bytes() if wave is None else wave.tobytes()
                name = key(raw, *settings)
                row = store.get(name)
                if row is not None:
                    return name, None, row
            # What was hashed is decoded: by now the file may be another.
            wave = audio.read(clip, raw) if wave is None else wave
            return name, wave if length is None else audio.fix_length(wave, length), None
        except OSError as error:
            return None, None, audio.AudioError(clip, error.strerror)
        except audio.AudioError as error:
            return None, None, error

    clips, rows, skipped = list(clips), {}, []
    title = f"embed {Path(encoder.name).name}"
    with ThreadPoolExecutor(threads) as readers, bar(progress, title, len(clips), "clip") as shown:
        chunks = [range(i, min(i + WINDOW, len(clips))) for i in range(0, len(clips), WINDOW)]
        ahead = [readers.submit(fetch, clips[r]) for r in chunks[0]] if chunks else []
        for chunk, following in zip_longest(chunks, chunks[1:], fillvalue=()):
            window = dict(zip(chunk, ahead, strict=True))
            ahead = [readers.submit(fetch, clips[r]) for r in following]
            names, waves = {}, {}
            for row in chunk:
                names[row], wave, found = window.pop(row).result()
                if wave is not None:
                    waves[row] = wave
                elif isinstance(found, audio.AudioError):
                    skipped.append(found)
                else:
                    rows[row] = found
            shown.update(len(chunk) - len(waves))
            for batch in batches({r: len(w) for r, w in waves.items()}, batch_s, encoder.masked):
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


def batches(lengths: dict, batch_s: float, mixed: bool) -> list:
    """Group keys of `lengths` (samples), longest first: at most `batch_s` seconds in a batch.

    `mixed=False` puts only equal lengths together.
    """
    order = sorted(lengths, key=lengths.get, reverse=True)
    groups = [order] if mixed else [list(g) for _, g in groupby(order, key=lengths.get)]
    out = []
    for group in groups:
        while group:
            size = max(1, int(batch_s * audio.SAMPLE_RATE / lengths[group[0]]))
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
    return list(pool(states, mask.to(device), pooling).cpu().numpy())
