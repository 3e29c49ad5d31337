"""How long a user waits: `pytest -m benchmark tests/benchmarks/test_listener_speed.py -s`.

Ratios within one run, so that a busy machine weighs on both sides.
"""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.benchmark
LOAD = """
import torch, transformers
from helpers import encoders
encoders.load("embedded")
"""
PREDICT = "import sys; from course.cli import main; sys.exit(main(['predict', sys.argv[1]]))"


def test_a_clip_in_a_warm_listener(tmp_path, monkeypatch):
    """Three seconds, with a voice and three lessons: at most 1.5 times the encoder alone."""
    import torch

    from course.predict import Ears
    from helpers import encoders

    monkeypatch.setenv("SER_LISTENER", str(tmp_path))
    ears, rng = Ears(), np.random.default_rng(0)
    wave = rng.normal(0, 0.1, 48_000).astype(np.float32)
    X = ears.embed([[wave]])
    ears.listener.enrol(np.repeat(X, 10, axis=0), "me")
    for name in ("calm", "fearful", "disgust"):
        ears.listener.learn(X + rng.normal(size=(10, X.shape[1])), name, "me")
    encoder = encoders.load("embedded")
    batch = encoder.batch([wave])

    def plain():
        with torch.inference_mode():
            encoder.model(**batch)

    def warm():
        ears.hear(ears.embed([[wave]]), "me")

    seconds = {plain: [], warm: []}
    for _ in range(20):
        for call, spent in seconds.items():
            start = time.perf_counter()
            call()
            spent.append(time.perf_counter() - start)
    alone, ours = (np.median(seconds[call][5:]) for call in (plain, warm))
    print(
        f"\nencoder {1000 * alone:.0f} ms, warm listener {1000 * ours:.0f} ms: {ours / alone:.2f}"
    )
    assert ours <= 1.5 * alone


def test_the_first_answer(tmp_path, monkeypatch):
    """A new process: at most 1.5 times importing torch and transformers and loading the encoder."""
    monkeypatch.setenv("SER_LISTENER", str(tmp_path / "none"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    clip = tmp_path / "clip.wav"
    soundfile.write(clip, np.random.default_rng(0).normal(0, 0.1, 48_000), 16_000)
    seconds = {LOAD: [], PREDICT: []}
    for _ in range(3):
        for code, spent in seconds.items():
            start = time.perf_counter()
            subprocess.run(
                [sys.executable, "-c", code, clip], check=True, stdout=subprocess.DEVNULL
            )
            spent.append(time.perf_counter() - start)
    load, predict = (min(seconds[code][1:]) for code in (LOAD, PREDICT))
    print(f"\nimport and load {load:.1f} s, predict {predict:.1f} s: {predict / load:.2f}")
    assert predict <= 1.5 * load
