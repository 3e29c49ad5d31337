"""Layers over encoder frames: poolings, learned layer weights, classification heads.

Lesson 02 derives them. Shapes: frames `(b, T, H)`, mask `(b, T)` bool, True on real frames.
"""

import torch
from torch import nn


def pool(frames, mask, how: str = "mean"):
    """Pool frames `(b, T, H)` or `(b, L, T, H)` over time to `(..., H)`, "mean+std" to `(..., 2H)`.

    The standard deviation is the population's (divided by the number of frames).
    """
    mask = mask.to(frames.dtype)[..., None]
    if frames.dim() == 4:
        mask = mask[:, None]
    count = mask.sum(-2)
    mean = (frames * mask).sum(-2) / count
    if how == "mean":
        return mean
    variance = ((frames - mean.unsqueeze(-2)).square() * mask).sum(-2) / count
    return torch.cat([mean, variance.clamp_min(1e-12).sqrt()], -1)


class AttentiveStatistics(nn.Module):
    """Mean and deviation weighted by learned attention, `(b, T, H)` to `(b, 2H)`.

    Okabe, Koshinaka & Shinoda, "Attentive statistics pooling", Interspeech 2018, eqs. 4-7.
    """

    def __init__(self, size: int, width: int = 64):
        super().__init__()
        self.score = nn.Sequential(nn.Linear(size, width), nn.Tanh(), nn.Linear(width, 1))

    def forward(self, frames, mask):
        score = self.score(frames).masked_fill(~mask[..., None], float("-inf"))
        weight = score.softmax(1)
        mean = (weight * frames).sum(1)
        variance = (weight * (frames - mean[:, None]).square()).sum(1)
        return torch.cat([mean, variance.clamp_min(1e-6).sqrt()], -1)


class LayerWeights(nn.Module):
    """One learned weight a layer, softmax over layers: `(b, L, ...)` to `(b, ...)`.

    Yang et al., "SUPERB", Interspeech 2021, section 3.
    """

    def __init__(self, layers: int):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(layers))

    def forward(self, states):
        weight = self.logits.softmax(0).reshape(1, -1, *[1] * (states.dim() - 2))
        return (weight * states).sum(1)


class WhisperFrames(nn.Module):
    """Whisper's encoder on the clip alone, without padding to 30 s.

    Convolutions see the silence that follows a clip, as in the padded run; attention does not.
    The result is another, cheaper function of the clip than transformers': no tolerance would be
    honest, for the padded run spends most of its attention on silence. How near the two stay,
    layer by layer, and what is saved: `tests/benchmarks/test_embedding_speed.py` measures it.
    Clips end at 30 s.
    """

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder
        self.config = encoder.config

    @staticmethod
    def frame_mask(attention_mask):
        """Mel mask `(b, F)` to frame mask `(b, T)`: a frame counts where its first mel does."""
        mask = attention_mask[:, ::2].bool()
        return mask[:, : int(mask.sum(1).max())]

    def forward(self, input_values, attention_mask, output_hidden_states=False):
        """Mel `(b, bins, F)` and mask `(b, F)` to an output with `last_hidden_state (b, T, H)`."""
        from transformers.modeling_outputs import BaseModelOutput

        encoder, mask = self.encoder, self.frame_mask(attention_mask)
        x = nn.functional.gelu(encoder.conv1(input_values))
        x = nn.functional.gelu(encoder.conv2(x)).transpose(1, 2)[:, : mask.shape[1]]
        x = x + encoder.embed_positions.weight[: x.shape[1]]
        x = nn.functional.dropout(x, p=encoder.dropout, training=self.training)
        bias = attention_bias(mask, x.dtype)
        states = [x]
        for layer in encoder.layers:
            x = layer(x, bias)
            states.append(x)
        states[-1] = encoder.layer_norm(x)
        return BaseModelOutput(
            last_hidden_state=states[-1],
            hidden_states=tuple(states) if output_hidden_states else None,
        )


class WhisperClassifier(nn.Module):
    """Whisper's frames under the head of wav2vec2's classifier: linear, mean, linear."""

    def __init__(self, frames: WhisperFrames, classes: int, width: int = 256):
        super().__init__()
        self.base_model = frames
        self.config = frames.config
        self.projector = nn.Linear(self.config.hidden_size, width)
        self.classifier = nn.Linear(width, classes)

    def forward(self, input_values, attention_mask):
        from transformers.modeling_outputs import SequenceClassifierOutput

        frames = self.base_model(input_values, attention_mask).last_hidden_state
        mask = self.base_model.frame_mask(attention_mask)
        logits = self.classifier(pool(self.projector(frames), mask))
        return SequenceClassifierOutput(logits=logits)


class Top(nn.Module):
    """The upper `blocks` and the head of a `classifier` of `build`, on states of the block below.

    What lies below is frozen: its states are computed once a clip, not once an epoch and a turn.
    To `embed` this is an encoder, which hears states `(T, H)` where others hear waves.
    """

    def __init__(self, classifier, blocks: int, encoder):
        super().__init__()
        self.model, self.blocks = classifier, blocks
        self.name, self.dtype, self.layers = encoder.name, encoder.dtype, blocks
        self.masked, self.rate = True, 1 / encoder.frame_s

    def forward(self, states, mask):
        """Logits `(b, K)`."""
        (frames,), mask = self.frames({"states": states, "mask": mask})
        return {"logits": self.model.classifier(pool(self.model.projector(frames), mask))}

    @staticmethod
    def batch(states, normalise=None) -> dict:
        """States of several clips `(b, T, H)`, padded, and their mask `(b, T)`."""
        lengths = torch.tensor([len(each) for each in states])
        padded = nn.utils.rnn.pad_sequence([torch.from_numpy(s) for s in states], batch_first=True)
        return {"states": padded, "mask": torch.arange(padded.shape[1]) < lengths[:, None]}

    def frames(self, batch, every=False):
        """Last states `[(b, T, H)]` and mask."""
        encoder, states, mask = self.model.base_model.encoder, batch["states"], batch["mask"]
        bias = attention_bias(mask, states.dtype)
        for block in encoder.layers[-self.blocks :]:
            states = block(states, bias)
        return [encoder.layer_norm(states)], mask


def freeze(classifier, blocks: int) -> None:
    """Leave all of a classifier of `build` as it is but its upper `blocks` and its head."""
    classifier.base_model.requires_grad_(False)
    classifier.base_model.encoder.layers[-blocks:].requires_grad_(True)


def attention_bias(mask, dtype):
    """What is added to attention scores, `(b, 1, T, T)`; None where no frame is padding."""
    if bool(mask.all()):
        return None
    bias = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
    bias = bias.masked_fill(~mask, torch.finfo(dtype).min)[:, None, None]
    return bias.expand(-1, 1, mask.shape[1], -1)


def effective_head(model):
    """Weight `(K, H)` and bias `(K,)` with logits = mean frame @ weight.T + bias.

    Nothing bends between projector, mean and classifier, so the two linear maps are one.
    """
    with torch.no_grad():
        weight = model.classifier.weight @ model.projector.weight
        bias = model.classifier.weight @ model.projector.bias + model.classifier.bias
    return weight.float().cpu().numpy(), bias.float().cpu().numpy()


def start_head(model, weight, bias) -> None:
    """Let the head begin as the linear probe `weight (K, H)`, `bias (K,)`, unchanged in output.

    Kumar et al., "Fine-tuning can distort pretrained features", arXiv 2202.10054: linear probe
    first, then fine-tune. The probe fills the projector's first K rows; the others stay random
    and are read with weight 0 at first.
    """
    weight = torch.as_tensor(weight, dtype=torch.float32)
    classes = len(weight)
    with torch.no_grad():
        model.projector.weight[:classes] = weight
        model.projector.bias[:classes] = 0
        model.classifier.weight.zero_()
        model.classifier.weight[:, :classes] = torch.eye(classes)
        model.classifier.bias.copy_(torch.as_tensor(bias, dtype=torch.float32))


def build(encoder, classes) -> nn.Module:
    """A classifier over a copy of `encoder`, head random: linear, mean over frames, linear.

    transformers' own class (`Wav2Vec2ForSequenceClassification` and its kin); for Whisper, whose
    class there needs 30 s of padding, `WhisperClassifier`.
    """
    from copy import deepcopy

    from transformers import AutoModelForAudioClassification

    if encoder.family == "whisper":
        return WhisperClassifier(deepcopy(encoder.model), len(classes))
    config = deepcopy(encoder.config)
    config.id2label = dict(enumerate(map(str, classes)))
    config.label2id = {name: k for k, name in config.id2label.items()}
    model = AutoModelForAudioClassification.from_config(config)
    model.base_model.load_state_dict(encoder.model.state_dict())
    return model
