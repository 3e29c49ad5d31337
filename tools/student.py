"""The student that is distilled: a small wav2vec2 whose blocks begin as the teacher's first ones.

Whisper's blocks and wav2vec2's (`do_stable_layer_norm`) are the same function: norm, attention
(its key without a bias), norm, two dense layers. So they are copied tensor by tensor, as
DistilHuBERT (arXiv 2110.01900) begins with HuBERT's, and state k of the student is regressed onto
state k of the teacher without a head. Whisper's convolutions on log-mel frames are not copied: this
front end hears the wave.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import Wav2Vec2Config, Wav2Vec2Model
from transformers.models.whisper.modeling_whisper import WhisperEncoder

SHIFT = 1  # a student frame needs 1,040 samples: its centre is that of the teacher's next frame
# Three convolutions instead of wav2vec2's seven. The first has the window and hop of a log-mel
# front end and starts from its filters, so that little of the budget goes into inventing them.
CONFIG = dict(
    conv_kernel=[400, 3, 3],
    conv_stride=[160, 1, 2],
    num_feat_extract_layers=3,
    feat_extract_norm="layer",
    conv_bias=True,
    do_stable_layer_norm=True,
    num_conv_pos_embeddings=32,
    num_conv_pos_embedding_groups=16,
    hidden_dropout=0.0,
    attention_dropout=0.0,
    activation_dropout=0.0,
    feat_proj_dropout=0.0,
    layerdrop=0.0,
    apply_spec_augment=False,
    mask_time_prob=0.0,
    vocab_size=32,
)
COPIED = {  # names in a block of Whisper, and in one of wav2vec2
    "self_attn_layer_norm": "layer_norm",
    "self_attn": "attention",
    "final_layer_norm": "final_layer_norm",
    "fc1": "feed_forward.intermediate_dense",
    "fc2": "feed_forward.output_dense",
}


def new_student(teacher: Path | str, blocks: int, channels: list[int]) -> Wav2Vec2Model:
    """A student of the teacher's width, with `blocks` of its blocks and `channels` in front."""
    source = WhisperEncoder.from_pretrained(teacher, dtype=torch.float32)
    model = Wav2Vec2Model(
        Wav2Vec2Config(
            **CONFIG,
            conv_dim=channels,
            hidden_size=source.config.d_model,
            num_attention_heads=source.config.encoder_attention_heads,
            intermediate_size=source.config.encoder_ffn_dim,
            num_hidden_layers=blocks,
        )
    )
    start_filters(model)
    for ours, theirs in zip(model.encoder.layers, source.layers[:blocks], strict=True):
        copy_block(theirs, ours)
    # Blocks first hear what they heard in the teacher: the relative positions come in by learning.
    model.encoder.pos_conv_embed.conv.parametrizations.weight.original0.data.mul_(0.1)
    return model


def copy_block(theirs: nn.Module, ours: nn.Module) -> None:
    """Make one block of wav2vec2 compute what one of Whisper computes."""
    found = {}
    for name, value in theirs.state_dict().items():
        part = next(p for p in COPIED if name.startswith(f"{p}."))
        found[COPIED[part] + name[len(part) :]] = value
    found["attention.k_proj.bias"] = torch.zeros_like(found["attention.q_proj.bias"])
    ours.load_state_dict(found)


@torch.no_grad()
def start_filters(model: Wav2Vec2Model) -> None:
    """Begin with quadrature pairs of windowed sinusoids, mel-spaced from 60 to 7,600 Hz.

    Both signs of each: GELU keeps one side only. The second convolution weighs the four phases of a
    frequency alike, so that what it gives depends on energies.
    """
    first, second = (layer.conv for layer in model.feature_extractor.conv_layers[:2])
    count, _, width = first.weight.shape
    mel = np.linspace(*(2595 * np.log10(1 + f / 700) for f in (60, 7600)), count // 4)
    t, window = (np.arange(width) - width / 2) / 16000, np.hanning(width)
    scale = np.sqrt((window**2).sum() / 2)
    bank = [
        sign * window * wave(2 * np.pi * 700 * (10 ** (m / 2595) - 1) * t) / scale
        for m in mel
        for sign in (1, -1)
        for wave in (np.cos, np.sin)
    ]
    first.weight.copy_(torch.tensor(np.array(bank), dtype=torch.float32)[:, None])
    first.bias.normal_(0, 0.1)  # the norm that follows takes the level away, but for these
    model.feature_extractor.conv_layers[0].layer_norm.weight.fill_(3)  # onto the curve of GELU
    alike = second.weight.unflatten(1, (-1, 4)).sum(2, keepdim=True) / 4
    second.weight.copy_(alike.expand(-1, -1, 4, -1).flatten(1, 2))


def states(model: Wav2Vec2Model, waves: torch.Tensor, depth: int | None = None) -> torch.Tensor:
    """`(batch, frames, layers, width)`: what the projection gives, then each of `depth` blocks.

    State 0 is taken before the positional convolution, which has no counterpart in the teacher; the
    last before the final norm, which follows the last block in wav2vec2 alone (`settle_norm`).
    """
    x = model.feature_projection(model.feature_extractor(waves).transpose(1, 2))[0]
    kept = [x]
    if depth != 0:
        x = x + model.encoder.pos_conv_embed(x)
        for layer in model.encoder.layers[:depth]:
            x = layer(x)
            kept.append(x)
    return torch.stack(kept, 2)


@torch.no_grad()
def whiten_filters(model: Wav2Vec2Model, waves: torch.Tensor) -> None:
    """Scale the first filters so that each frequency is as strong as the others in `waves`.

    Speech falls by 30 dB from the first formant to the last: what is weak would be lost to a norm
    over all.
    """
    conv = model.feature_extractor.conv_layers[0].conv
    heard = nn.functional.conv1d(waves[:, None], conv.weight, stride=conv.stride)
    strength = heard.square().mean((0, 2)).unflatten(0, (-1, 4)).mean(1).sqrt()
    conv.weight.div_(strength.repeat_interleave(4).clamp_min(1e-6)[:, None, None])


@torch.no_grad()
def fit_projection(model: Wav2Vec2Model, batches: Iterable, ridge: float = 100.0) -> None:
    """Least squares from the convolutions as they are to state 0: a start for what is not copied.

    batches: pairs of waves and states of layer 0.
    """
    projection = model.feature_projection.projection
    size = projection.in_features + 1
    left = torch.zeros(size, size, device=projection.weight.device)
    right = left.new_zeros(size, projection.out_features)
    for waves, wanted in batches:
        features = model.feature_extractor(waves).transpose(1, 2)
        x = model.feature_projection.layer_norm(features).flatten(0, 1)
        x = nn.functional.pad(x, (0, 1), value=1.0)
        left += x.T @ x
        right += x.T @ wanted[:, SHIFT : SHIFT + features.shape[1]].flatten(0, 1)
    found = torch.linalg.solve(left + ridge * torch.eye(size, device=left.device), right)
    projection.weight.copy_(found[:-1].T)
    projection.bias.copy_(found[-1])


@torch.no_grad()
def settle_norm(model: Wav2Vec2Model, batches: Iterable) -> None:
    """Set the final norm so that each dimension of the last state has mean 0 and deviation 1.

    It is regressed onto nothing; the teacher has no norm after a block that is not its last.
    """
    norm, size = model.encoder.layer_norm, (model.config.hidden_size,)
    last = torch.cat([states(model, waves)[:, :, -1].flatten(0, 1) for waves in batches])
    last = nn.functional.layer_norm(last.float(), size, eps=norm.eps)
    norm.weight.copy_(1 / (last.std(0) + 1e-3))
    norm.bias.copy_(-last.mean(0) * norm.weight)
