"""How fast embeddings are, beside the loop that a user of transformers would write.

`pytest -m benchmark tests/benchmarks -s`. SER_BENCH_ENCODER names another encoder (a directory);
with a Whisper encoder there the cost and the effect of leaving its padding out are measured too.
SER_BENCH_OUT names a file to keep the rates in (`data/reference/speed.json`): idle machines only.
"""

import os
import time

import numpy as np
import pytest
import soundfile
import torch

from helpers import corpora, encoders, profiles
from helpers.embed import embed
from helpers.files import write_json

CLIPS = 96
pytestmark = pytest.mark.benchmark


def matrix_rate(dtype) -> float:
    """The machine's best rate on a large square product, in floating point operations a second."""
    a, b = torch.randn(2048, 2048).to(dtype), torch.randn(2048, 2048).to(dtype)
    best = np.inf
    for _ in range(12):
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return 2 * 2048**3 / best


def operations(encoder, seconds: float) -> float:
    """Multiplications and additions for `seconds` of audio, each clip `seconds / CLIPS` long."""
    config, frames = encoder.config, seconds / encoder.frame_s
    hidden, inner = config.hidden_size, config.intermediate_size
    layer = 4 * hidden**2 + 2 * hidden * inner + 2 * hidden * frames / CLIPS  # attention's two
    total, samples, width = 0.0, seconds * 16_000, 1
    for kernel, stride, out in zip(config.conv_kernel, config.conv_stride, config.conv_dim,
                                   strict=True):  # fmt: skip
        samples /= stride
        total += samples * kernel * width * out
        width = out
    position = config.num_conv_pos_embeddings * hidden**2 / config.num_conv_pos_embedding_groups
    per_frame = width * hidden + position + config.num_hidden_layers * layer
    return 2 * (total + frames * per_frame)


def best_of(call, times=3) -> float:
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


@pytest.fixture(scope="module")
def paths():
    return corpora.frame("embedded")["path"].sample(CLIPS, random_state=0).tolist()


def test_throughput_against_the_plain_loop(paths):
    from transformers import AutoFeatureExtractor, AutoModel

    folder = os.environ.get("SER_BENCH_ENCODER", str(encoders.EMBEDDED))
    exact = encoders.load(folder)
    if exact.family == "whisper":
        pytest.skip("transformers pads Whisper to 30 s: see the test below")
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    extractor = AutoFeatureExtractor.from_pretrained(folder)

    def plain():
        rows = []
        with torch.no_grad():
            for path in paths:
                wave, rate = soundfile.read(path, dtype="float32")
                wave = encoders.audio.resample(wave, rate)
                inputs = extractor(wave, sampling_rate=16_000, return_tensors="pt")
                rows.append(model(inputs.input_values).last_hidden_state[0].mean(0).numpy())
        return np.stack(rows)

    def ours(encoder):
        return embed(paths, encoder, progress=False)

    np.testing.assert_allclose(ours(exact), plain(), atol=1e-4)
    seconds = sum(len(encoders.audio.read(p)) for p in paths) / 16_000
    measured = [("plain loop, fp32", best_of(plain), torch.float32),
                ("embed, fp32", best_of(lambda: ours(exact)), torch.float32)]  # fmt: skip
    if profiles.fast_bf16():  # emulated elsewhere: minutes for what fp32 does in seconds
        quick = encoders.load(folder, "bfloat16")
        measured.append(("embed, bf16", best_of(lambda: ours(quick)), torch.bfloat16))
    loop = measured[0][1]
    work = operations(exact, seconds)
    print(f"\n{CLIPS} clips, {seconds:.0f} s of audio, {torch.get_num_threads()} threads")
    rates = {}
    for name, spent, dtype in measured:
        rates[name] = {"real_time": seconds / spent, "times_the_loop": loop / spent,
                       "share_of_matrix_rate": work / spent / matrix_rate(dtype)}  # fmt: skip
        print(
            f"{name}: {seconds / spent:.0f}x real time, {loop / spent:.2f} times the plain loop, "
            f"{rates[name]['share_of_matrix_rate']:.0%} of the machine's matrix-product rate"
        )
    if "SER_BENCH_OUT" in os.environ:
        kind = torch.backends.cpu.get_cpu_capability()
        write_json(
            os.environ["SER_BENCH_OUT"],
            {"threads": torch.get_num_threads(), "cpu": kind, "rates": rates},
        )
    assert rates["embed, fp32"]["times_the_loop"] > 1.2
    if len(measured) > 2:
        assert rates["embed, bf16"]["times_the_loop"] > rates["embed, fp32"]["times_the_loop"]


def test_whisper_without_padding():
    """Cost and effect of leaving out the padding to 30 s: another function, and how far."""
    folder = os.environ.get("SER_BENCH_ENCODER", "")
    if not folder or encoders.load(folder).family != "whisper":
        pytest.skip("set SER_BENCH_ENCODER to the directory of a Whisper encoder")
    from transformers import AutoFeatureExtractor

    encoder, extractor = encoders.load(folder), AutoFeatureExtractor.from_pretrained(folder)
    inner, cosines, costs = encoder.model.encoder, [], [0.0, 0.0]
    for path in corpora.frame("embedded")["path"].sample(12, random_state=0):
        wave = encoders.audio.read(path)
        start = time.perf_counter()
        ours = embed([wave], encoder, "all", pooling=None, progress=False)[0]
        middle = time.perf_counter()
        mel = extractor(wave, sampling_rate=16_000, return_tensors="pt").input_features
        with torch.no_grad():
            out = inner(mel, output_hidden_states=True)
        costs = [costs[0] + middle - start, costs[1] + time.perf_counter() - middle]
        padded = [*out.hidden_states[:-1], out.last_hidden_state]
        padded = torch.stack(padded)[:, 0, : ours.shape[1]].numpy()
        dot = (ours * padded).sum(-1)
        cosines.append(np.median(dot / np.linalg.norm(ours, axis=-1)
                                 / np.linalg.norm(padded, axis=-1), axis=1))  # fmt: skip
    print(
        f"\n{costs[1] / costs[0]:.1f} times faster; median cosine of a frame to the padded run, "
        f"layer 0 to last: {np.mean(cosines, axis=0).round(3)}"
    )
    assert costs[1] / costs[0] > 2
