"""The tools that made the embedded encoder, on a tiny teacher and a handful of clips."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch

ROOT = Path(__file__).resolve().parents[1]


def run(tool, *arguments, **environment):
    import os

    done = subprocess.run([sys.executable, str(ROOT / "tools" / tool), *map(str, arguments)],
                          capture_output=True, text=True, cwd=ROOT,
                          env=os.environ | {"PYTHONPATH": str(ROOT)} | environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    """Targets of a random two-layer Whisper on six noisy tones of two pretended corpora."""
    from transformers import WhisperConfig, WhisperFeatureExtractor
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    from tools import teacher_targets

    folder = tmp_path_factory.mktemp("distil")
    teacher = folder / "teacher"
    WhisperEncoder(WhisperConfig(d_model=16, encoder_layers=2, encoder_attention_heads=2,
                                 encoder_ffn_dim=32)).save_pretrained(teacher)
    WhisperFeatureExtractor().save_pretrained(teacher)
    rng = np.random.default_rng(0)
    for corpus, stem in (("nemo/samples", "IC0_a_1"), ("nemo/samples", "EB0_a_1"),
                         ("nemo/samples", "EB0_a_2"), ("crema_d/AudioWAV", "1002_DFA_HAP_XX"),
                         ("crema_d/AudioWAV", "1003_DFA_SAD_XX")):
        path = folder / "corpora" / corpus / f"{stem}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        wave = 0.1 * np.sin(2 * np.pi * 200 * np.arange(40000) / 16000) + rng.normal(0, 0.01, 40000)
        sf.write(path, wave.astype(np.float32), 16000)
    forbidden = folder / "corpora" / "emodb" / "wav" / "03a01Fa.wav"
    forbidden.parent.mkdir(parents=True)
    sf.write(forbidden, wave.astype(np.float32), 16000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SER_CORPORA", str(folder / "corpora"))
        patch.setattr(teacher_targets.corpora, "REPOSITORY", folder)  # not the 1,440 real clips
        patch.setattr(sys, "argv", ["x", "--teacher", str(teacher), "--out",
                                    str(folder / "targets"), "--layers", "1", "2"])
        teacher_targets.main()
    return folder / "targets"


def test_the_corpora_that_measure_the_encoder_are_never_heard(targets):
    index = json.loads((targets / "index.json").read_text())
    assert len(index["files"]) == 5
    assert not any("emodb" in Path(f).parts for f in index["files"])
    assert np.fromfile(targets / "targets.f16", np.float16).size == sum(index["frames"]) * 2 * 16


def test_training_goes_on_from_its_checkpoint_and_exports_a_loadable_encoder(targets, tmp_path):
    from helpers import encoders

    first = run("distil_encoder.py", "--targets", targets, "--minutes", 0.02, "--out", tmp_path)
    second = run("distil_encoder.py", "--targets", targets, "--minutes", 0.04, "--out", tmp_path)
    assert "resumed" not in first and "resumed at step" in second
    encoder = encoders.load(str(tmp_path / "encoder"))
    assert encoder.frame_s == 0.02 and encoder.masked
    weights = tmp_path / "encoder" / "model.safetensors"
    assert weights.stat().st_size <= 20e6
    again = run("distil_encoder.py", "--targets", targets, "--minutes", 0.02, "--start",
                tmp_path / "encoder", "--out", tmp_path / "again")
    assert "held out before this round" in again  # heads by least squares, then training
    rounds = json.loads((tmp_path / "again" / "encoder" / "training.json").read_text())
    assert len(rounds) == 2 and all(r["steps"] > 0 for r in rounds)
    assert encoders.load(str(tmp_path / "again" / "encoder")).key != encoder.key


def test_every_batch_can_be_drawn_again(targets):
    from tools.distil_encoder import Clips

    clips = Clips([targets])
    (a, b), (c, d) = clips.draw(3), clips.draw(3)
    assert np.array_equal(a, c) and np.array_equal(b, d)
    assert not np.array_equal(a[:1, :100], clips.draw(4)[0][:1, :100])
    kept = {Path(clips.items[k][3]).stem for k in clips.train}
    assert "IC0_a_1" not in kept and "EB0_a_1" in kept  # held-out speakers only choose


def test_a_cut_encoder_gives_the_lower_layers_states(targets, tmp_path):
    from helpers import encoders

    teacher = targets.parent / "teacher"
    run("cut_encoder.py", teacher, "--layers", 1, "--out", tmp_path / "cut")
    whole, cut = encoders.load(str(teacher)), encoders.load(str(tmp_path / "cut"))
    assert (whole.layers, cut.layers) == (2, 1)
    wave = np.random.default_rng(0).normal(0, 0.1, 24000).astype(np.float32)
    a, b = (encoders.embed([wave], e, layer=0, progress=False) for e in (whole, cut))
    np.testing.assert_allclose(a, b, atol=2e-3)  # half precision
    norm = whole.model.encoder.layer_norm
    low = encoders.embed([wave], whole, layer=1, pooling=None, progress=False)[0]
    want = norm(torch.from_numpy(low)).mean(0).detach().numpy()
    np.testing.assert_allclose(encoders.embed([wave], cut, progress=False)[0], want, atol=5e-3)
