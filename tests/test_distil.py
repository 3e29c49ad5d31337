"""The tools that made the embedded encoder, on a tiny teacher and a handful of clips."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch

from helpers.embed import embed
from helpers.errors import CourseError

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.nightly


def run(tool, *arguments, **environment):
    import os

    done = subprocess.run(
        [sys.executable, "-m", f"tools.{tool}", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def call(tool, *arguments):
    """`main` of an imported tool: as `run`, but torch is loaded already."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["x", *map(str, arguments)])
        tool.main()


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    """Targets of a random two-layer Whisper on noisy tones of three pretended corpora."""
    from transformers import WhisperConfig, WhisperFeatureExtractor
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    from tools import teacher_targets

    folder = tmp_path_factory.mktemp("distil")
    teacher = folder / "teacher"
    torch.manual_seed(0)
    model = WhisperEncoder(
        WhisperConfig(d_model=16, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=32)
    )
    for name, value in model.named_parameters():
        if name != "embed_positions.weight":  # as trained weights: no block is near the identity
            value.data.normal_(value.mean().item(), 0.2)
    model.save_pretrained(teacher)
    WhisperFeatureExtractor().save_pretrained(teacher)
    rng = np.random.default_rng(0)
    for corpus, stem in (
        ("nemo/samples", "IC0_a_1"),
        ("nemo/samples", "EB0_a_1"),
        ("nemo/samples", "EB0_a_2"),
        ("crema_d/AudioWAV", "1002_DFA_HAP_XX"),
        ("crema_d/AudioWAV", "1003_DFA_SAD_XX"),
        ("emogator/000", "000020-01-1"),
        ("emogator/000", "000021-01-1"),
    ):
        path = folder / "corpora" / corpus / f"{stem}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        n = 30720 if "emogator" in corpus else 40000  # 1.92 s, as most of EmoGator
        wave = 0.1 * np.sin(2 * np.pi * 200 * np.arange(n) / 16000) + rng.normal(0, 0.01, n)
        sf.write(path, wave.astype(np.float32), 16000)
    forbidden = folder / "corpora" / "emodb" / "wav" / "03a01Fa.wav"
    forbidden.parent.mkdir(parents=True)
    sf.write(forbidden, wave.astype(np.float32), 16000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SER_CORPORA", str(folder / "corpora"))
        patch.setattr(teacher_targets.corpora, "REPOSITORY", folder)  # not the 1,440 real clips
        patch.setattr(teacher_targets, "WINDOWS", 32)
        options = "--teacher", teacher, "--layers", 0, 1, 2
        call(teacher_targets, *options, "--out", folder / "targets")
        yield folder / "targets"


def test_the_corpora_that_measure_the_encoder_are_never_heard(targets):
    index = json.loads((targets / "index.json").read_text())
    assert len(index["files"]) == 7
    assert not any("emodb" in Path(f).parts for f in index["files"])
    assert np.fromfile(targets / "targets.f16", np.float16).size == sum(index["frames"]) * 3 * 16


def test_targets_go_on_where_they_stopped(targets, tmp_path, monkeypatch):
    from tools import teacher_targets

    monkeypatch.setattr(teacher_targets, "EVERY", 1)
    monkeypatch.setattr(teacher_targets, "batches", lambda frames: [[i] for i in range(7)])
    monkeypatch.setattr(teacher_targets, "WINDOWS", 32)
    options = "--teacher", targets.parent / "teacher", "--layers", 0, 1, 2, "--out", tmp_path
    states, heard = teacher_targets.Teacher.states, []

    def stop_at(count):
        def counted(self, waves):
            if len(waves[0]) < 100_000:  # a clip, no window for positions
                heard.append(len(waves))
            if len(heard) > count:
                raise KeyboardInterrupt
            return states(self, waves)

        monkeypatch.setattr(teacher_targets.Teacher, "states", counted)

    stop_at(3)
    with pytest.raises(KeyboardInterrupt):
        call(teacher_targets, *options)
    with pytest.raises(CourseError, match="unfinished"):
        teacher_targets.read([tmp_path])
    heard.clear()
    stop_at(4)  # seven clips, three of them done
    call(teacher_targets, *options)
    for name in ("audio.i16", "targets.f16"):
        kind = np.int16 if name == "audio.i16" else np.float16
        a, b = (np.fromfile(folder / name, kind).astype(float) for folder in (tmp_path, targets))
        np.testing.assert_allclose(a, b, atol=2e-2)  # batches of other sizes
    with pytest.raises(CourseError, match="other clips or options"):
        call(teacher_targets, *options, "--speed", 0.25)
    with pytest.raises(CourseError, match="--layers 3: this teacher has layers 0 to 2"):
        call(teacher_targets, *options, "--layers", 3)


def test_targets_with_another_constant_are_refused(targets, tmp_path):
    from tools import teacher_targets

    index = json.loads((targets / "index.json").read_text())
    assert index.pop("seed") == 0
    (tmp_path / "index.json").write_text(json.dumps(index))
    with pytest.raises(CourseError, match=f"{tmp_path}: made by an earlier version; make them"):
        teacher_targets.read([targets, tmp_path])


def test_targets_lose_their_position_and_keep_their_mean(targets):
    """What position explains, over clips of stationary sound: most of the raw states."""
    from tools import teacher_targets

    found, parts = teacher_targets.read([targets])
    teacher = teacher_targets.Teacher(str(targets.parent / "teacher"), found[0]["layers"])
    sound, kept, edges, starts = parts[0]
    waves = [sound[edges[i] : edges[i + 1]] / np.float32(32767) for i in range(7)]
    raw = np.stack([teacher.states([wave])[0][:92] for wave in waves])
    free = np.stack([kept[start : start + 92] for start in starts[:7]]).astype(np.float32)

    def explained(states):  # an even and an odd half of the clips: noise does not agree
        halves = [part.mean(0) - part.mean((0, 1)) for part in (states[::2], states[1::2])]
        return (halves[0] * halves[1]).sum((0, 2)) / (states.var((0, 1)).sum(-1) * 92)

    # Attention over 92 frames is not attention over the windows that the means are from.
    assert (np.abs(explained(free)) < 0.3 * explained(raw)).all(), (explained(free), explained(raw))
    first = slice(teacher_targets.LEAST)  # whatever the clips' length: copies at other speeds agree
    gap = raw[:, first].mean((0, 1)) - free[:, first].mean((0, 1))
    assert np.abs(gap).mean() < 0.01 * raw.std()


def test_level_does_not_reach_the_targets(targets):
    from tools.teacher_targets import LEVEL, load

    path = targets.parent / "quiet.wav"
    wave, rate = sf.read(targets.parent / "corpora/nemo/samples/EB0_a_1.wav")
    sf.write(path, wave / 8, rate, subtype="FLOAT")
    quiet, usual = load(path, 1), load(targets.parent / "corpora/nemo/samples/EB0_a_1.wav", 1)
    np.testing.assert_allclose(quiet, usual, atol=1e-3)
    assert quiet.std() == pytest.approx(LEVEL, rel=0.01)


def test_copied_blocks_compute_what_the_teachers_compute(targets):
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    from tools.student import new_student

    teacher = WhisperEncoder.from_pretrained(targets.parent / "teacher")
    student = new_student(targets.parent / "teacher", 2, [8, 8, 8])
    x = torch.randn(2, 30, 16)
    for ours, theirs in zip(student.encoder.layers, teacher.layers, strict=True):
        want = theirs(x, None)
        torch.testing.assert_close(ours(x), want)
        assert (want - x).std() > 0.1
        x = want


def test_states_are_those_of_the_model_before_its_final_norm(targets):
    from tools.student import new_student, settle_norm, states

    student = new_student(targets.parent / "teacher", 2, [8, 8, 8]).eval()
    waves = torch.randn(3, 64 * 320 + 80)
    settle_norm(student, [waves])
    with torch.no_grad():
        found, model = states(student, waves), student(waves, output_hidden_states=True)
    torch.testing.assert_close(found[:, :, 1], model.hidden_states[1])
    last = student.encoder.layer_norm(found[:, :, 2])
    torch.testing.assert_close(last, model.last_hidden_state)
    torch.testing.assert_close(last.mean((0, 1)), torch.zeros(16), atol=1e-3, rtol=0)
    torch.testing.assert_close(last.flatten(0, 1).std(0), torch.ones(16), atol=0.05, rtol=0)


def test_the_second_convolution_begins_deaf_to_phase(targets):
    from tools.student import new_student

    first, second = new_student(
        targets.parent / "teacher", 1, [64, 16, 8]
    ).feature_extractor.conv_layers[:2]
    first.conv.bias.data.zero_()
    t = torch.arange(400 + 160 * 4) / 16000
    tones = torch.stack([torch.cos(2 * np.pi * 1000 * t + shift) for shift in (0, np.pi / 2)])
    with torch.no_grad():
        heard = first(tones[:, None])
        a, b = second.conv(heard)
        torch.testing.assert_close(a, b, atol=0.02 * a.std().item(), rtol=0)
        assert (heard[0] - heard[1]).std() > 0.2 * heard.std()  # the first still hears it


def test_whitened_filters_are_equally_strong(targets):
    from tools.student import new_student, whiten_filters

    student = new_student(targets.parent / "teacher", 1, [64, 16, 8])
    conv = student.feature_extractor.conv_layers[0].conv
    torch.manual_seed(0)
    waves = torch.cumsum(torch.randn(4, 16000), 1)  # falls by 6 dB an octave
    waves = waves - waves.mean(1, keepdim=True)
    shape = torch.nn.functional.normalize(conv.weight.detach(), dim=-1)
    whiten_filters(student, waves)
    with torch.no_grad():
        heard = conv(waves[:, None]) - conv.bias[:, None]
    strength = heard.square().mean((0, 2)).unflatten(0, (-1, 4)).mean(1)
    torch.testing.assert_close(strength, torch.ones(16), atol=0.01, rtol=0)
    torch.testing.assert_close(torch.nn.functional.normalize(conv.weight.detach(), dim=-1), shape)


def test_the_projection_begins_at_the_least_squares(targets):
    from tools.student import SHIFT, fit_projection, new_student, states

    student = new_student(targets.parent / "teacher", 1, [8, 8, 8]).eval()
    waves = torch.randn(4, 64 * 320 + 80)
    with torch.no_grad():
        wanted = as_target(states(student, waves, 0)[:, :, 0] * 2 + 1, SHIFT)
        fit_projection(student, [(waves, wanted)], ridge=1e-4)
        found = as_target(states(student, waves, 0)[:, :, 0], SHIFT)
    torch.testing.assert_close(found, wanted, atol=1e-2, rtol=0)


def as_target(frames, count):
    """As a target: `count` frames earlier than the student has."""
    return torch.nn.functional.pad(frames, (0, 0, count, 0))


def test_the_teacher_stops_after_the_highest_layer_asked_for(targets):
    from tools.teacher_targets import Teacher

    wave = np.random.default_rng(0).normal(0, 0.1, 64 * 320 + 80).astype(np.float32)
    low = Teacher(str(targets.parent / "teacher"), [0, 1])
    want = Teacher(str(targets.parent / "teacher"), [0, 1, 2]).states([wave])[:, :, :2]
    low.model.layers[1].forward = None  # would fail if it were called
    np.testing.assert_array_equal(low.states([wave]), want)


def test_a_twentieth_of_emogators_speakers_is_held_out(targets):
    from tools.heard_clips import DRAW, LENGTHS, Clips
    from tools.teacher_targets import HEARD, held_out

    assert held_out("x/emogator/000/000020-01-1.opus")
    assert not held_out("x/emogator/000/000021-01-1.opus")
    speakers = [held_out(f"emogator/000/{n:06d}-05-2.opus") for n in range(1, 358)]
    assert sum(speakers) == 17
    assert set(DRAW) == {*HEARD, "embedded"}
    clips = Clips([targets], 2)
    trained = {Path(clips.items[k][3]).stem: clips.items[k][2] for k in clips.train}
    assert trained["000021-01-1"] == 92 and 92 in LENGTHS and "000020-01-1" not in trained
    hours = clips.hours["emogator"]
    assert hours["trained"] == hours["held_out"] == pytest.approx(92 * 0.02 / 3600, abs=1e-4)


@pytest.mark.parametrize("fast", [True, False])
def test_bfloat16_only_where_it_is_fast(monkeypatch, fast):
    from tools import teacher_targets

    monkeypatch.setattr(teacher_targets, "fast_bf16", lambda: fast)
    with teacher_targets.autocast():
        assert torch.is_autocast_enabled("cpu") is fast


SMALL = "--blocks", 2, "--channels", 8, 8, 8, "--front", 2, "--frames", 256


def test_training_goes_on_from_its_checkpoint_and_exports_a_loadable_encoder(
    targets, tmp_path, capsys
):
    from safetensors.torch import load_file

    from helpers import encoders
    from tools import distil_encoder

    options = "--targets", targets, "--out", tmp_path, *SMALL
    call(distil_encoder, *options, "--minutes", 0.02)
    first = capsys.readouterr().out
    assert "resumed" not in first and "emogator: 0.00 h trained on, 0.00 h held out" in first
    kept = load_file(tmp_path / "checkpoint.safetensors")
    call(distil_encoder, *options, "--minutes", 0.02)  # done: nothing changes
    assert "resumed at step" in capsys.readouterr().out
    again = load_file(tmp_path / "checkpoint.safetensors")
    assert all(torch.equal(kept[k], again[k]) for k in kept)
    encoder = encoders.load(str(tmp_path / "encoder"))
    assert encoder.frame_s == 0.02 and encoder.masked
    average = kept["avg.feature_projection.projection.weight"]
    shipped = encoder.model.feature_projection.projection.weight.detach()
    assert torch.equal(shipped, average.half().float())
    with pytest.raises(CourseError, match="--minutes 0.04: .* begun with 0.02; give that again"):
        call(distil_encoder, *options, "--minutes", 0.04)
    round_two = "--targets", targets, "--minutes", 0.02, "--out", tmp_path / "again", *SMALL
    call(distil_encoder, *round_two, "--start", tmp_path / "encoder")
    rounds = json.loads((tmp_path / "again" / "encoder" / "training.json").read_text())
    assert len(rounds) == 2 and all(r["steps"] > 0 for r in rounds)
    assert set(rounds[1]["hours"]) == {"crema_d", "nemo", "emogator"}
    assert len(rounds[1]["held_out_cosine_by_layer"]) == 3  # layer 0 and two blocks
    assert encoders.load(str(tmp_path / "again" / "encoder")).key != encoder.key
    with pytest.raises(CourseError, match="--start None: .* begun with .*encoder; give that"):
        call(distil_encoder, *round_two)
    assert len(json.loads((tmp_path / "again" / "encoder" / "training.json").read_text())) == 2


def test_a_round_begins_with_the_front_end_and_a_warm_up(targets):
    from tools.distil_encoder import AGAIN, BLOCK_RATE, RATE, WARM_UP, Run
    from tools.student import new_student

    student = new_student(targets.parent / "teacher", 1, [8, 8, 8])
    run = Run(student, {}, front=10)

    def rates():
        run.set_rates(0)
        return {group["copied"]: group["lr"] for group in run.optimiser.param_groups}

    run.step = 9
    assert rates() == {True: 0, False: pytest.approx(RATE * 10 / WARM_UP)}
    run.step = 9 + WARM_UP
    assert rates() == {True: pytest.approx(BLOCK_RATE), False: RATE}
    run = Run(student, {}, scale=AGAIN)
    assert rates()[True] == pytest.approx(AGAIN * BLOCK_RATE / WARM_UP)
    assert sum(p.numel() for g in run.optimiser.param_groups for p in g["params"]) == sum(
        p.numel() for p in student.parameters()
    )


def test_the_encoder_that_is_trained_fits_into_the_bound(targets):
    """512 wide, as Whisper base has it: 2 bytes a weight."""
    from tools import distil_encoder, student

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["x", "--targets", "t", "--out", "o"])
        given = distil_encoder.options()
    whole = {"hidden_size": 512, "num_attention_heads": 8, "intermediate_size": 2048}
    with torch.device("meta"):
        model = student.Wav2Vec2Model(
            student.Wav2Vec2Config(
                **student.CONFIG, **whole, conv_dim=given.channels, num_hidden_layers=given.blocks
            )
        )
    assert 2 * sum(p.numel() for p in model.parameters()) <= 27.9e6


def test_other_options_than_the_checkpoints_are_named(targets, tmp_path):
    import shutil

    from tools.distil_encoder import Run
    from tools.heard_clips import Clips
    from tools.student import new_student

    student = new_student(targets.parent / "teacher", 1, [8, 8, 8])
    Run(student, {"--blocks": 1}).save(tmp_path / "checkpoint.safetensors")
    with pytest.raises(CourseError, match=r"--blocks 2: .*begun with 1; give that again"):
        Run(student, {"--blocks": 2}).resume(tmp_path / "checkpoint.safetensors")
    with pytest.raises(CourseError, match=r"layers \[0, 1, 2\], but 3 blocks need 0 to 3"):
        Clips([targets], 3)
    copy = Path(shutil.copytree(targets, tmp_path / "copy"))
    index = json.loads((copy / "index.json").read_text()) | {"layers": [0, 1, 3]}
    (copy / "index.json").write_text(json.dumps(index))
    with pytest.raises(CourseError, match="make them alike"):
        Clips([targets, copy], 2)


def test_the_average_follows_the_weights_and_is_kept(targets, tmp_path):
    from tools.distil_encoder import AVERAGE, Run
    from tools.student import new_student

    run, other = (Run(new_student(targets.parent / "teacher", 1, [8, 8, 8]), {}) for _ in range(2))
    name = "feature_projection.projection.bias"
    bias = run.student.get_parameter(name)
    values = (1.0, 2.0, 4.0)
    for value in values:
        bias.data.fill_(value)
        run.follow()
    want = values[0]
    for value in values[1:]:
        want = AVERAGE * want + (1 - AVERAGE) * value
    torch.testing.assert_close(run.average[name], torch.full((16,), want))
    run.save(tmp_path / "x.safetensors")
    other.resume(tmp_path / "x.safetensors")
    assert torch.equal(other.average[name], run.average[name])
    assert torch.equal(other.student.get_parameter(name), bias)


def test_every_batch_can_be_drawn_again(targets):
    from tools.heard_clips import Clips

    clips = Clips([targets], 2)
    (a, b), (c, d) = clips.draw(3), clips.draw(3)
    assert np.array_equal(a, c) and np.array_equal(b, d)
    assert not np.array_equal(a[:1, :100], clips.draw(4)[0][:1, :100])
    kept = {Path(clips.items[k][3]).stem for k in clips.train}
    assert "IC0_a_1" not in kept and "EB0_a_1" in kept  # held-out speakers only choose


def test_a_cut_encoder_gives_the_lower_layers_states(targets, tmp_path):
    from helpers import encoders

    teacher = targets.parent / "teacher"
    run("cut_encoder", teacher, "--layers", 1, "--out", tmp_path / "cut")
    whole, cut = encoders.load(str(teacher)), encoders.load(str(tmp_path / "cut"))
    assert (whole.layers, cut.layers) == (2, 1)
    wave = np.random.default_rng(0).normal(0, 0.1, 24000).astype(np.float32)
    a, b = (embed([wave], e, layer=0, progress=False) for e in (whole, cut))
    np.testing.assert_allclose(a, b, atol=2e-3)  # half precision
    norm = whole.model.encoder.layer_norm
    low = embed([wave], whole, layer=1, pooling=None, progress=False)[0]
    want = norm(torch.from_numpy(low)).mean(0).detach().numpy()
    np.testing.assert_allclose(embed([wave], cut, progress=False)[0], want, atol=5e-3)
