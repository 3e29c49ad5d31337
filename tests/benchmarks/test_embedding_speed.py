"""How fast embeddings are, beside the loop that a user of transformers would write.

`pytest -m benchmark tests/benchmarks -s`. SER_BENCH_ENCODER names another encoder (a directory);
with a Whisper encoder there the cost and the effect of leaving its padding out are measured too.
SER_BENCH_OUT names a file to keep the rates in (`data/reference/speed.json`): idle machines only.

What limits `embed`, from a run of `test_where_the_time_of_a_batch_goes` (one thread with AVX-512,
in processor seconds, on a machine that others used too): it reaches 72 to 75 % of the rate of a
large square product. Two thirds of the time are blocks; their six products run at that rate, and
norms, GELU and attention, which read and write much for each operation, take a fifth of the
blocks' time. The convolutions reach 68 to 77 %. The positional convolution takes 9 % of the time
for 4 % of the operations: its 16 groups are narrow.
"""

import os
import time

import numpy as np
import pytest
import soundfile
import torch
from threadpoolctl import threadpool_limits
from torch import nn

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


def cpu_of(call, times=5) -> float:
    """The fewest processor seconds of a call: other programs weigh less on them than on a clock."""
    seconds = []
    for _ in range(times):
        start = time.process_time()
        call()
        seconds.append(time.process_time() - start)
    return min(seconds)


@threadpool_limits.wrap(limits=1)
def test_where_the_time_of_a_batch_goes(paths):
    encoder = encoders.load("embedded")
    model, config = encoder.model, encoder.config
    waves = [np.resize(encoders.audio.read(path), 3 * 16_000) for path in paths[:8]]  # 24 s
    x = encoder.batch(waves)["input_values"]
    h, inner = config.hidden_size, config.intermediate_size
    square = torch.randn(1024, 1024)
    with torch.inference_mode():
        front = model.feature_extractor(x).transpose(1, 2)
        states = model.feature_projection(front)[0]
        n, frames = states[..., 0].numel(), states.shape[1]
        wide = torch.randn(n, inner)
        products = [(nn.Linear(h, h), states.reshape(n, h))] * 4
        products += [(nn.Linear(h, inner), states.reshape(n, h)), (nn.Linear(inner, h), wide)]
        rate = 2 * 1024**3 / cpu_of(lambda: square @ square)
        block = 4 * h**2 + 2 * h * inner
        groups = config.num_conv_pos_embedding_groups
        blocks, projection = config.num_hidden_layers * block, config.conv_dim[-1] * h
        work = operations(encoder, 24.0) / 2 - n * (blocks + projection)
        position = n * config.num_conv_pos_embeddings * h**2 / groups
        stages = {
            "convolutions": (lambda: model.feature_extractor(x), work - position, 1),
            "positional convolution": (
                lambda: model.encoder.pos_conv_embed(states), position, 1),
            "blocks": (lambda: model.encoder.layers[0](states), n * (block + 2 * h * frames),
                       config.num_hidden_layers),
            "of these, the six matrix products": (
                lambda: [f(y) for f, y in products], n * block, config.num_hidden_layers),
            "all of it": (lambda: model(x), operations(encoder, 24.0) / 2, 1),
        }  # fmt: skip
        found = {name: (times * cpu_of(call), times * 2 * products / rate)
                 for name, (call, products, times) in stages.items()}  # fmt: skip
    print(f"\none thread; the matrix-product rate is {rate / 1e9:.0f} GFLOP/s")
    for name, (spent, ideal) in found.items():
        share = spent / found["all of it"][0]
        print(f"{name}: {spent:.3f} s, {share:.0%} of all, {ideal / spent:.0%} of that rate")
    assert sum(found[name][0] for name in list(stages)[:3]) > 0.8 * found["all of it"][0]


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
