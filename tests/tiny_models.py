"""Tiny saved encoders of every family, random weights: what tests run on in seconds."""

import torch
import transformers as tf

from helpers.encoders import quiet

CONV = {"conv_dim": [16, 16], "conv_kernel": [400, 3], "conv_stride": [160, 2],
        "num_feat_extract_layers": 2}  # fmt: skip
BODY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 64, "num_conv_pos_embedding_groups": 4}  # fmt: skip
LAYER = {"feat_extract_norm": "layer", "conv_bias": True}
SAVED = ("wav2vec2", "wav2vec2-group", "hubert", "wavlm", "data2vec", "whisper", "whisper-full")


def save(kind: str, folder) -> str:
    """Save a tiny encoder of `kind` (one of SAVED) under `folder`; return its directory."""
    torch.manual_seed(0)
    wide = {**CONV, **BODY, "num_conv_pos_embeddings": 16}
    listen = {"d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 4,
              "encoder_ffn_dim": 64, "decoder_layers": 1, "decoder_attention_heads": 4,
              "decoder_ffn_dim": 64, "vocab_size": 64, "pad_token_id": 0, "bos_token_id": 0,
              "eos_token_id": 0, "decoder_start_token_id": 0, "num_mel_bins": 80}  # fmt: skip
    if kind == "wav2vec2":
        stable = {"do_stable_layer_norm": True, "apply_spec_augment": False}
        model = tf.Wav2Vec2Model(tf.Wav2Vec2Config(**wide, **LAYER, **stable))
    elif kind == "wav2vec2-group":  # as facebook/wav2vec2-base
        model = tf.Wav2Vec2Model(tf.Wav2Vec2Config(**wide, feat_extract_norm="group"))
    elif kind == "hubert":
        model = tf.HubertModel(tf.HubertConfig(**wide, **LAYER, do_stable_layer_norm=True))
    elif kind == "wavlm":
        model = tf.WavLMModel(tf.WavLMConfig(**wide, **LAYER))
    elif kind == "data2vec":
        stack = {"num_conv_pos_embeddings": 3, "conv_pos_kernel_size": 5}
        model = tf.Data2VecAudioModel(tf.Data2VecAudioConfig(**CONV, **BODY, **stack))
    else:
        model = tf.WhisperModel(tf.WhisperConfig(**listen))
    extractor = (
        tf.WhisperFeatureExtractor()
        if "whisper" in kind
        else tf.Wav2Vec2FeatureExtractor(
            do_normalize=True, return_attention_mask=kind == "wav2vec2"
        )
    )
    place = folder / kind
    with quiet():
        (model.encoder if kind == "whisper" else model).save_pretrained(place)
    extractor.save_pretrained(place)
    return str(place)
