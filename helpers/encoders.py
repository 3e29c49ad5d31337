"""Any speech encoder in one call: wav2vec2, HuBERT, WavLM, data2vec-audio and Whisper.

torch is imported where it is used: the command line asks this module only where an encoder lies.
"""

import hashlib
import json
import re
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from helpers import audio
from helpers.cache import key
from helpers.errors import CourseError, nearest

SHIPPED = Path(__file__).resolve().parents[1] / "data" / "encoders"
EMBEDDED = SHIPPED / "embedded"
FAMILIES = ("wav2vec2", "hubert", "wavlm", "data2vec-audio", "whisper")


@dataclass
class Encoder:
    """A loaded encoder. Hidden states go from 0 (the transformer's input) to `layers`."""

    name: str
    model: "torch.nn.Module" = field(repr=False)  # noqa: F821
    extractor: object = field(repr=False)
    dtype: str = "float32"
    rate = audio.SAMPLE_RATE

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

    @property
    def divisible(self) -> bool:
        """Is a state all that a block needs of the blocks below, and a norm all that follows?

        WavLM's blocks pass on positions too; the norm of wav2vec2-base comes before its blocks.
        """
        if self.family == "whisper":
            return True
        stable = getattr(self.config, "do_stable_layer_norm", False)
        return stable and self.family in ("wav2vec2", "hubert")

    @property
    def head_layers(self) -> tuple[int, ...]:
        """What heads on frozen states read: three layers, evenly spaced up to the last.

        No other place says so.
        """
        return tuple(sorted({-(-self.layers * k // 3) for k in (1, 2, 3)}))

    def several(self, states) -> np.ndarray:
        """`head_layers` of states (n, layers + 1, D), side by side: (n, D')."""
        return states[:, self.head_layers].reshape(len(states), -1)

    @cached_property
    def key(self) -> str:
        """SHA-256 of configuration and weights: which encoder this is, whatever its name."""
        import torch

        digest = hashlib.sha256(
            json.dumps(self.config.to_diff_dict(), sort_keys=True, default=str).encode()
        )
        for name, value in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().data)
        return digest.hexdigest()

    @cached_property
    def cache_key(self) -> str:
        """What it computes: `key`, the preprocessor's settings, precision."""
        settings = json.dumps(self.extractor.to_dict(), sort_keys=True, default=str)
        return key(self.key, settings, self.dtype)

    def batch(self, waves, normalise: bool | None = None) -> dict:
        """Model input for `waves` (16 kHz, 1-D each): `input_values` and, if needed, a mask.

        `normalise`: zero mean and unit variance per clip; None does what the encoder was
        trained with.
        """
        import torch

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
        import torch

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
        mel = self.extractor(waves, sampling_rate=audio.SAMPLE_RATE, padding="max_length",
                             max_length=room, return_tensors="pt")["input_features"]  # fmt: skip
        mask = torch.arange(mel.shape[-1])[None] < torch.tensor(frames)[:, None]
        return {"input_values": mel, "attention_mask": mask.long()}

    def frames(self, batch: dict, every: bool = False):
        """Hidden states and mask: `[(b, T, H)]` (last, or all layers + 1) and bool `(b, T)`."""
        import torch

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


def folder_of(name) -> Path | None:
    """The folder of a local encoder, or None for a hub id.

    `name`: one of those in `data/encoders`, as "embedded"; a folder with config.json; or a hub id.
    Errors: CourseError when it is none of these.
    """
    folder = SHIPPED / name if "/" not in str(name) else Path(name).expanduser()
    if (folder / "config.json").is_file():
        return folder
    if name == "embedded":
        raise CourseError(f"{folder}: no encoder here; restore it with git checkout data/encoders")
    if re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", str(name)) and not folder.exists():
        return None
    if folder.is_dir():
        raise CourseError(f"encoder folder {folder}: no config.json in it; copy the folder again")
    here = sorted(path.parent.name for path in SHIPPED.glob("*/config.json"))
    raise CourseError(
        f"encoder '{name}': no such folder or name{nearest(str(name), here)}; use "
        f"{', '.join(here)}, a folder with config.json, or a hub id as facebook/wav2vec2-base"
    )


def load(name="embedded", dtype: str = "float32") -> Encoder:
    """Load an encoder by hub id, by directory, or the one that the course ships (`embedded`).

    `dtype`: "float32", or "bfloat16" to compute under autocast (weights stay float32).
    Errors: CourseError when it is unknown, offline, incomplete or damaged.
    """
    if dtype not in ("float32", "bfloat16"):
        raise CourseError(f"dtype '{dtype}': use float32 or bfloat16")
    from safetensors import SafetensorError

    folder = folder_of(name)
    try:
        with quiet():
            model, extractor, report = _read(str(folder or name))
        missing = [n for n in report["missing_keys"] if "masked_spec_embed" not in n]
        if missing:  # transformers would go on with random weights
            raise ValueError(f"weights lack {len(missing)} tensors, such as {min(missing)}")
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise CourseError(
            f"encoder folder {folder}: missing or damaged file ({reason}); copy the folder again"
            if folder
            else f"encoder '{name}': not a folder here, and the model hub did not give it whole "
            f"({reason}); use --encoder embedded or a folder"
        ) from error
    if model.config.model_type == "whisper":
        from helpers.networks import WhisperFrames

        model = WhisperFrames(getattr(model, "encoder", model))
    return Encoder(str(name), model.eval(), extractor, dtype)


def _read(source: str):
    """Model, feature extractor and transformers' report on what the weights lack."""
    import torch
    from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, WhisperModel
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    config, kind = AutoConfig.from_pretrained(source), AutoModel
    if config.model_type not in FAMILIES:
        raise CourseError(
            f"encoder '{source}' is of the family '{config.model_type}'; "
            f"this course knows {', '.join(FAMILIES)}"
        )
    call = "Wav2Vec2FeatureExtractor(return_attention_mask=True)"
    if config.model_type == "whisper":
        call = f"WhisperFeatureExtractor(feature_size={config.num_mel_bins})"
        bare = "WhisperEncoder" in (config.architectures or ())
        kind = WhisperEncoder if bare else WhisperModel
    if Path(source).is_dir() and not list(Path(source).glob("*processor_config.json")):
        raise CourseError(
            f"encoder folder {source}: no preprocessor_config.json; write it with "
            f"transformers.{call}.save_pretrained({str(source)!r})"
        )
    extractor = AutoFeatureExtractor.from_pretrained(source)
    model, report = kind.from_pretrained(source, dtype=torch.float32, output_loading_info=True)
    return model, extractor, report


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
