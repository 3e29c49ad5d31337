"""Fine-tuning and its artefact: learns, resumes, repeats itself, and names what is damaged."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile
import threadpoolctl
import torch
from filelock import FileLock
from tiny_models import save

from helpers import (
    artefact,
    audio,
    encoders,
    finetune,
    networks,
    probe,
    profiles,
    provenance,
    training,
    turns,
)
from helpers.embed import embed
from helpers.errors import CourseError

TONES = {"neutral": 200, "happy": 500, "sad": 1100, "calm": 2500}  # Hz; calm is unknown
TINY = profiles.Settings(epochs=3, learning_rate=3e-3, samples=6000, fixed=False, probe_head=True,
                         freeze_front=True, bf16=False, patience=None, turns=2, random_turns=1,
                         batch=8, warmup=0.1)  # fmt: skip


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return save("wav2vec2", tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def frame(tmp_path_factory):
    """Six speakers, four emotions as tones in noise, three clips each."""
    folder, rng, rows = tmp_path_factory.mktemp("toy"), np.random.default_rng(0), []
    for speaker in range(6):
        for emotion, hertz in TONES.items():
            for take in range(3):
                time = np.arange(rng.integers(5000, 9000)) / 16_000
                tone = np.sign(np.sin(2 * np.pi * hertz * (1 + 0.02 * speaker) * time))
                path = folder / f"{speaker}-{emotion}-{take}.wav"
                soundfile.write(path, 0.3 * tone + rng.normal(0, 0.02, len(time)), 16_000)
                rows.append({"path": str(path), "utterance": f"toy/{path.stem}", "corpus": "toy",
                             "speaker": f"toy/{speaker}", "gender": "female", "language": "en",
                             "emotion": emotion, "sentence": str(take)})  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture(autouse=True)
def tiny_profiles(monkeypatch):
    monkeypatch.setitem(profiles.PROFILES, "quick", TINY)


@pytest.fixture(scope="module")
def made(frame, encoder, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(profiles.PROFILES, "quick", TINY)
        folder = tmp_path_factory.mktemp("made")
        return finetune.artefact(frame, encoder, folder=folder, progress=False)


def test_it_learns(made):
    logits, rows, turn = made.pooled()
    assert (logits.argmax(1) == made.labels[rows]).mean() > 0.6  # chance 1/3, unseen speakers
    assert np.array_equal(made.fold[rows], turn) and len(np.unique(rows)) == len(rows)


def test_shapes_and_contracts(made, frame):
    turns, clips, classes, size = 2, len(frame), 3, 32
    assert made.classes.tolist() == ["neutral", "happy", "sad"]
    assert made.logits.shape == (turns, clips, classes)
    assert made.embeddings.shape == (turns, clips, size)
    for turn in range(turns):
        want = made.embeddings[turn] @ made.head_weight[turn].T + made.head_bias[turn]
        np.testing.assert_allclose(made.logits[turn], want, atol=1e-5)
        logits, owner = made.segments(turn)
        known, tested = made.labels >= 0, made.split[turn] == "test"
        assert np.array_equal(np.isfinite(made.logits[turn]).all(1), known | tested)
        scored = tested | (known & (made.split[turn] == "tune"))
        assert set(owner) == set(np.flatnonzero(scored)) and len(logits) == len(owner)
        speakers = [set(made.speakers[made.split[turn] == part]) for part in artefact.PARTS]
        assert sum(map(len, speakers)) == len(set.union(*speakers)) == 6
    assert (made.labels[made.emotions == "calm"] == -1).all()
    assert made.utterances.tolist() == frame["utterance"].tolist()
    columns = ["epoch", "train_loss", "val_loss", "accuracy", "precision", "recall", "f1"]
    assert [list(row)[:7] for row in made.history(0)] == [columns] * 3
    with pytest.raises(CourseError):
        made.part(0, "exam")


def test_only_known_emotions_of_training_speakers_are_learned(
    frame, encoder, tmp_path, monkeypatch
):
    seen, probed = [], []
    real_fit, real_choose = training.fit, probe.choose

    def fit(model, train, stop, *rest, **options):
        seen.append((train.paths, stop.paths))
        return real_fit(model, train, stop, *rest, **options)

    def choose(features, y, speakers, **options):
        probed.append(set(speakers))
        return real_choose(features, y, speakers, **options)

    monkeypatch.setattr(training, "fit", fit)
    monkeypatch.setattr(probe, "choose", choose)
    art = finetune.artefact(frame, encoder, seed=1, folder=tmp_path, progress=False)
    paths = frame["path"].to_numpy()
    assert len(seen) == len(probed) == 2
    for turn, parts in enumerate(seen):
        for part, heard in zip(("train", "stop"), parts, strict=True):
            assert set(heard) == set(paths[art.part(turn, part)]) and len(heard)
            assert not any("calm" in path for path in heard)
        assert probed[turn] == set(art.speakers[art.part(turn, "train")])


def test_read_back_is_the_same(made, frame, encoder):
    again = artefact.read(made.folder)
    for name in artefact.ARRAYS:
        np.testing.assert_array_equal(getattr(again, name), getattr(made, name), name)
    assert again.how == made.how and again.how["settings"]["epochs"] == 3
    stamp = (made.folder / "arrays.npz").stat().st_mtime_ns
    finetune.artefact(frame, encoder, folder=made.folder.parents[1], progress=False)
    assert (made.folder / "arrays.npz").stat().st_mtime_ns == stamp


def test_the_saved_model_gives_the_logits(made, frame, encoder):
    loaded = encoders.load(encoder)
    model = finetune.load_model(made, 1, loaded)
    assert type(model).__name__ == "Wav2Vec2ForSequenceClassification"
    waves = [audio.read(path) for path in frame["path"][:6]]
    with torch.no_grad():
        logits = model(**loaded.batch(waves)).logits
    np.testing.assert_allclose(logits, made.logits[1, :6], atol=1e-4)


def test_same_seed_same_figures_other_seed_others(made, frame, encoder, tmp_path):
    again = finetune.artefact(frame, encoder, folder=tmp_path, progress=False)
    np.testing.assert_array_equal(again.logits, made.logits)
    other = finetune.artefact(frame, encoder, seed=7, folder=tmp_path, progress=False)
    assert other.folder != again.folder
    assert not np.array_equal(other.pooled()[0][:3], made.pooled()[0][:3])


@pytest.mark.parametrize("cut", ["after epoch 2", "while a checkpoint is written", "in turn 2"])
def test_interrupted_and_run_again_ends_at_the_same_figures(
    made, frame, encoder, tmp_path, monkeypatch, cut
):
    calls = {"saves": 0, "fits": 0}
    real_save, real_fit = training._Watch.on_save, training.fit

    def on_save(self, args, state, control, **kwargs):
        calls["saves"] += 1
        if calls["saves"] == 2 and cut.startswith("while"):
            raise KeyboardInterrupt  # files are there, the mark is not
        real_save(self, args, state, control, **kwargs)
        if calls["saves"] == 2 and cut.startswith("after"):
            raise KeyboardInterrupt

    def fit(*args, **options):
        calls["fits"] += 1
        if calls["fits"] == 2 and cut == "in turn 2":
            raise KeyboardInterrupt
        return real_fit(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(training._Watch, "on_save", on_save)
        patch.setattr(training, "fit", fit)
        with pytest.raises(KeyboardInterrupt):
            finetune.artefact(frame, encoder, folder=tmp_path, progress=False)
    assert not list(tmp_path.glob("artefacts/*/arrays.npz"))
    steps = []
    monkeypatch.setattr(
        training._Watch,
        "on_step_end",
        lambda self, args, state, control, **_: steps.append(state.global_step),
    )
    again = finetune.artefact(frame, encoder, folder=tmp_path, progress=False)
    np.testing.assert_allclose(again.logits, made.logits, atol=1e-5)
    assert len(steps) < 2 * max(steps)  # it went on, it did not begin again
    assert not list(tmp_path.glob("artefacts/*/*/checkpoints"))


def test_early_stopping_keeps_the_best_epoch(frame, encoder, tmp_path, monkeypatch):
    stopping = replace(TINY, epochs=12, patience=2, turns=1, learning_rate=1e-6)
    monkeypatch.setitem(profiles.PROFILES, "quick", stopping)
    art = finetune.artefact(frame, encoder, folder=tmp_path, progress=False)
    assert len(art.history(0)) == 3  # no better recall in two epochs after the first


@pytest.mark.parametrize("kind", ["wav2vec2", "hubert", "whisper", "wavlm"])
def test_upper_blocks_learn_the_same_whether_states_below_are_kept_or_not(
    frame, tmp_path, monkeypatch, kind
):
    monkeypatch.setitem(profiles.PROFILES, "quick", replace(TINY, turns=1, blocks=1, samples=9000))
    loaded = encoders.load(save(kind, tmp_path))
    assert loaded.divisible == (kind != "wavlm")
    for name in ("hidden", "attention", "activation", "feat_proj"):
        setattr(loaded.config, f"{name}_dropout", 0.0)  # what is kept was heard without
    loaded.config.layerdrop, loaded.config.apply_spec_augment = 0.0, False
    kept = finetune.artefact(frame, loaded, folder=tmp_path / "kept", progress=False)
    monkeypatch.setattr(finetune, "KEPT", 0)
    anew = finetune.artefact(frame, loaded, folder=tmp_path / "anew", progress=False)
    np.testing.assert_allclose(kept.logits, anew.logits, atol=1e-3)
    tuned = finetune.load_model(kept, 0, loaded).base_model.state_dict()
    changed = {n for n, v in loaded.model.state_dict().items() if not torch.equal(v, tuned[n])}
    assert changed and all("layers.1." in name for name in changed)  # of layers 0 and 1


def test_long_clips_are_cut_where_states_are_kept(frame, encoder, tmp_path, monkeypatch):
    monkeypatch.setitem(profiles.PROFILES, "quick", replace(TINY, turns=1, blocks=1, samples=3200))
    seen, real = [], networks.Top.forward
    monkeypatch.setattr(
        networks.Top,
        "forward",
        lambda self, states, mask: seen.append(states.shape[1]) or real(self, states, mask),
    )
    finetune.artefact(frame, encoder, folder=tmp_path, progress=False)
    assert set(seen) == {10}  # 0.2 s


def test_paper_profile_is_the_sources(frame, encoder, tmp_path, monkeypatch):
    """Source 1, section 4, on a tiny group-norm encoder of the class of wav2vec2-base."""
    paper = profiles.PROFILES["paper"]
    assert (paper.learning_rate, paper.weight_decay, paper.batch) == (2e-5, 0.01, 16)
    assert (paper.epochs, paper.samples, paper.fixed) == (3, 45_000, True)
    assert not paper.probe_head and not paper.freeze_front and not paper.bf16
    seen = []
    real = training.Trainer.training_step

    def step(self, model, inputs, *args, **kwargs):
        seen.append((type(model).__name__, tuple(inputs["input_values"].shape), set(inputs),
                     self.optimizer.param_groups[0]["weight_decay"],
                     all(p.requires_grad for p in model.parameters())))  # fmt: skip
        return real(self, model, inputs, *args, **kwargs)

    monkeypatch.setattr(training.Trainer, "training_step", step)
    monkeypatch.setitem(profiles.PROFILES, "paper", replace(paper, turns=1))
    tiny = save("wav2vec2-group", tmp_path)
    art = finetune.artefact(frame, tiny, profile="paper", folder=tmp_path / "runs", progress=False)
    rows = art.part(0, "train")
    assert len(seen) == 3 * -(-len(rows) // 16)
    assert seen[0] == ("Wav2Vec2ForSequenceClassification", (16, 45_000),
                       {"input_values", "labels"}, 0.01, True)  # fmt: skip
    assert len(art.history(0)) == 3


@pytest.mark.parametrize("kind", ["wav2vec2-group", "whisper"])
def test_other_families_take_the_same_path(frame, tmp_path, monkeypatch, kind):
    monkeypatch.setitem(profiles.PROFILES, "quick", replace(TINY, epochs=1, turns=1))
    tiny = save(kind, tmp_path)
    art = finetune.artefact(frame, tiny, folder=tmp_path / "runs", progress=False)
    model = finetune.load_model(art, 0, encoders.load(tiny))
    assert np.allclose(networks.effective_head(model)[0], art.head_weight[0], atol=1e-6)
    assert np.isfinite(art.pooled()[0]).all()


def test_random_split_shares_speakers(frame, encoder, tmp_path):
    art = finetune.artefact(frame, encoder, folder=tmp_path, split="random", progress=False)
    assert art.turns == 1 and art.how["split"] == "random"
    assert set(art.speakers[art.part(0, "train")]) & set(art.speakers[art.part(0, "test")])
    assert np.isfinite(art.pooled()[0]).all() and not len(art.segments(0)[0])


def test_bad_clips_are_left_out_and_counted(frame, encoder, tmp_path, monkeypatch):
    monkeypatch.setitem(profiles.PROFILES, "quick", replace(TINY, epochs=1, turns=1))
    (tmp_path / "broken.wav").write_bytes(b"RIFF????WAVE")
    worse = frame.copy()
    worse.loc[4, "path"] = str(tmp_path / "broken.wav")
    with pytest.warns(UserWarning, match="1 clip skipped.*broken.wav"):
        art = finetune.artefact(worse, encoder, folder=tmp_path, progress=False)
    assert len(art.utterances) == len(frame) - 1 and art.how["skipped"] == 1


def test_a_fold_without_a_class_is_named(frame, encoder, tmp_path, monkeypatch):
    monkeypatch.setitem(profiles.PROFILES, "quick", replace(TINY, turns=None))
    lone = frame[(frame["emotion"] != "sad") | (frame["speaker"] == "toy/0")]
    with pytest.raises(CourseError, match="turn . has no 'sad'"):
        finetune.artefact(lone, encoder, folder=tmp_path, progress=False)


def test_two_runs_at_once_in_one_folder(made, frame, encoder):
    with FileLock(made.folder / ".lock"), pytest.raises(CourseError, match="another run"):
        finetune.artefact(frame, encoder, folder=made.folder.parents[1], progress=False)


def test_unknown_profile(frame, encoder, tmp_path):
    with pytest.raises(CourseError, match="did you mean 'quick'"):
        finetune.artefact(frame, encoder, profile="quik", folder=tmp_path)


@pytest.mark.parametrize("harm", ["truncated", "missing", "no how", "array gone", "shapes"])
def test_a_damaged_artefact_is_named(made, tmp_path, harm):
    folder = shutil.copytree(made.folder, tmp_path / "copy")
    arrays = folder / "arrays.npz"
    if harm == "truncated":
        arrays.write_bytes(arrays.read_bytes()[:-200])
    elif harm == "missing":
        arrays.unlink()
    elif harm == "no how":
        (folder / "how.json").write_text("{")
    else:
        stored = artefact.load_arrays(arrays)
        if harm == "array gone":
            del stored["head_bias"]
        else:
            stored["split"] = stored["split"][:1]
        artefact.save_arrays(arrays, stored)
    with pytest.raises(CourseError, match="copy.*delete this folder"):
        artefact.read(folder)


def test_a_damaged_model_is_named(made, tmp_path, encoder):
    folder = shutil.copytree(made.folder, tmp_path / "copy")
    weights = folder / "turn-0" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:3000])
    with pytest.raises(CourseError, match="copy.*delete"):
        finetune.load_model(artefact.read(folder), 0, encoders.load(encoder))


def test_what_cannot_be_written_leaves_nothing_half_written(made, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    artefact.write(made, tmp_path)
    before = (tmp_path / "arrays.npz").read_bytes()
    monkeypatch.setattr(artefact.np, "savez", full)
    with pytest.raises(OSError, match="No space"):
        artefact.write(made, tmp_path)
    assert (tmp_path / "arrays.npz").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["arrays.npz", "how.json"]


CHANGES = ("speakers", "languages", "bytes", "the code that trains", "the code of turns")


@pytest.mark.parametrize("change", CHANGES)
def test_an_artefact_is_not_read_back_where_what_made_it_has_changed(
    made, frame, encoder, monkeypatch, tmp_path, change
):
    """A corrected table of speakers, or an edited trainer, must not pass off old figures as new."""
    place, other = made.folder.parents[1], frame
    monkeypatch.setattr(turns, "_make", lambda *_: "made anew")
    assert finetune.artefact(frame, encoder, folder=place, progress=False) != "made anew"
    if change == "speakers":
        other = frame.assign(speaker=np.roll(frame["speaker"], 1))
    elif change == "languages":
        other = frame.assign(language=np.where(frame["speaker"] == frame["speaker"][0], "de", "en"))
    elif change == "bytes":  # as many: what a tool leaves that makes all clips as loud
        raw = bytearray(Path(frame["path"][0]).read_bytes())
        raw[-1] ^= 1
        louder = tmp_path / "louder.wav"
        louder.write_bytes(raw)
        other = frame.assign(path=[str(louder), *frame["path"][1:]])
    elif change == "the code that trains":
        monkeypatch.setattr(finetune, "CODE", "edited")
    else:
        monkeypatch.setattr(turns, "CODE", "edited")
    assert finetune.artefact(other, encoder, folder=place, progress=False) == "made anew"


def test_the_digests_cover_what_makes_an_artefact():
    """Whatever these modules import, and what that imports: sniff.py mends what audio.py reads."""
    ground, reached, ahead = {"cache", "errors", "files", "progress"}, set(), {"finetune", "turns"}
    while ahead:
        reached |= ahead
        ahead = set().union(*(provenance._helper(name)[1] for name in ahead)) - reached
    assert "sniff" in reached and reached - ground == {*finetune.USED, *turns.USED}


def test_the_head_that_training_begins_with_is_fitted_on_one_thread(monkeypatch):
    """Its last digits must not hang on how many cores there are."""
    seen = []

    def fit(*_):
        pools = threadpoolctl.threadpool_info()
        seen.extend(pool["num_threads"] for pool in pools if pool["user_api"] == "blas")
        return None, None

    monkeypatch.setattr(finetune.probe, "choose", lambda *_: SimpleNamespace(C=1.0))
    monkeypatch.setattr(finetune.probe, "fit", fit)
    monkeypatch.setattr(finetune.networks, "start_head", lambda *_: None)
    with threadpoolctl.threadpool_limits(limits=2, user_api="blas"):
        rows, two = np.zeros((2, 3)), np.arange(2)
        finetune.start_as_probe(None, rows, two, two, two)
    assert set(seen) == {1}


def test_heads_on_frozen_states_of_several_layers(frame, encoder, tmp_path):
    """The same artefact, read by the same lessons, from an encoder that nobody tuned."""
    art = finetune.artefact(frame, encoder, folder=tmp_path, progress=False, kind=finetune.Frozen)
    loaded = encoders.load(encoder)
    assert loaded.head_layers == (1, 2) and art.how["layers"] == [1, 2]
    rows = art.part(0, "test")
    wanted = embed(frame["path"][rows], loaded, "all", "mean+std", progress=False)[:, [1, 2]]
    np.testing.assert_allclose(art.embeddings[0][rows], wanted.reshape(len(rows), -1), atol=1e-5)
    linear = art.embeddings[0] @ art.head_weight[0].T + art.head_bias[0]
    np.testing.assert_allclose(art.logits[0][rows], linear[rows], atol=1e-4)
    train = art.part(0, "train")
    logits = art.embeddings[0][train] @ art.head_weight[0].T + art.head_bias[0]
    assert (logits.argmax(1) == art.labels[train]).mean() > 0.8
    assert np.isfinite(art.pooled(known=None)[0]).all() and not len(art.segments(0)[0])
    assert not list(art.folder.glob("turn-*/model.safetensors"))
    again = artefact.read(art.folder)
    assert (again.embeddings[0][train] == art.embeddings[0][train]).all()


class Cosines(torch.nn.Module):
    """A network like lesson 12's, on two numbers a clip: cosines to each class, two attributes."""

    def __init__(self):
        super().__init__()
        self.body, self.angles = torch.nn.Linear(2, 4), torch.nn.Linear(4, 3, bias=False)
        self.gender = torch.nn.Linear(4, 2)

    def embed(self, x):
        return torch.nn.functional.normalize(self.body(x), dim=-1)

    def forward(self, x):
        e = self.embed(x)
        cosines = e @ torch.nn.functional.normalize(self.angles.weight, dim=-1).T
        return {"logits": cosines, "gender": self.gender(e)}


class Maker:
    """Loudness and crossings of zero under `Cosines`; the margin lives in the loss alone."""

    name, about, code = "cosines", {"scale": 10.0}, "code"

    def prepare(self, paths, folder, progress):
        waves = [audio.read(path) for path in paths]
        x = [[w.std(), 5 * (w[1:] * w[:-1] < 0).mean()] for w in waves]
        self.x = torch.tensor(x, dtype=torch.float32)
        return np.ones(len(paths), bool)

    def fit(self, task, place, seed, progress):
        torch.manual_seed(seed)
        model, gender = Cosines(), (task.frame["gender"] == "male").to_numpy().astype(int)

        def collate(rows):
            labels = np.stack([task.labels[rows], gender[rows]], axis=1)
            return {"x": self.x[rows], "labels": torch.from_numpy(labels)}

        def loss(output, labels, num_items_in_batch=None):  # AM-Softmax with m = 0.1, s = 10
            margin = 0.1 * torch.nn.functional.one_hot(labels[:, 0], 3)
            emotion = torch.nn.functional.cross_entropy(
                10 * (output["logits"] - margin), labels[:, 0]
            )
            return emotion + torch.nn.functional.cross_entropy(output["gender"], labels[:, 1])

        def score(evaluation):
            right = evaluation.predictions[0].argmax(-1) == evaluation.label_ids[:, 0]
            return {"accuracy": right.mean()}

        settings = profiles.Settings(epochs=20, learning_rate=0.05, batch=8, patience=None)
        history = training.fit(model, task.train, task.stop, collate, settings, place, seed,
                               progress, loss=loss, score=score, best="accuracy")  # fmt: skip
        return model, history

    def embed(self, model, rows, progress):
        with torch.no_grad():
            return model.embed(self.x[rows]).numpy()

    def head(self, model):
        weight = torch.nn.functional.normalize(model.angles.weight, dim=-1).detach()
        return 10 * weight.numpy(), np.zeros(3, np.float32)

    def hear(self, model, waves):
        return None

    def tensors(self, model):
        return model.state_dict()


def test_another_kind_of_network_leaves_the_same_artefact(frame, tmp_path):
    """Lesson 12: attributes as columns, cosines under a margin, logits of s cos without it."""
    known = ("neutral", "happy", "calm")  # lesson 12 teaches other emotions than the partition
    mixed = frame.assign(gender=np.where(frame["speaker"] < "toy/3", "male", "female"))
    art = turns.artefact(mixed, Maker(), folder=tmp_path, turns=2, known=known, progress=False)
    assert art.classes.tolist() == ["neutral", "calm", "happy"] and art.turns == 2
    assert (art.labels[art.emotions == "sad"] == -1).all()
    logits, rows, _ = art.pooled()
    assert (logits.argmax(1) == art.labels[rows]).mean() > 0.6 and np.abs(logits).max() <= 10.001
    np.testing.assert_allclose(np.linalg.norm(art.embeddings[0][rows[:3]], axis=1), 1, atol=1e-5)
    model = Cosines()
    model.load_state_dict(art.tensors(1))
    maker = Maker()
    maker.prepare(mixed["path"], None, False)
    with torch.no_grad():
        want = 10 * model(maker.x[art.part(1, "test")])["logits"].numpy()
    np.testing.assert_allclose(art.logits[1][art.part(1, "test")], want, atol=1e-4)
    assert len(art.history(0)) == 20 and not len(art.segments(0)[0])


def test_a_large_encoder_stays_frozen_without_a_gpu(frame, encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(profiles, "LARGE", 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    loaded = encoders.load(encoder)
    assert profiles.settings_for("full", loaded).epochs == 0
    assert profiles.settings_for("paper", loaded).epochs == 3
    art = finetune.artefact(frame, loaded, folder=tmp_path, progress=False)
    assert art.history(0) == [] and art.how["settings"]["epochs"] == 0
    rows = art.part(0, "test")
    heard = embed(frame.loc[rows, "path"], loaded, progress=False)
    np.testing.assert_allclose(art.embeddings[0][rows], heard, atol=1e-4)
    assert (art.logits[0][rows].argmax(1) == art.labels[rows]).mean() > 0.6
