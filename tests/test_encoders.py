"""Encoders: any family in one call, batches equal single clips, bad folders are named."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tiny_models import SAVED, save

from course import settings
from helpers import embed as embedding
from helpers import encoders, networks
from helpers.cache import Cache, code, key
from helpers.errors import CourseError

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoders")
    return {kind: save(kind, folder) for kind in SAVED}


@pytest.fixture(scope="session")
def waves():
    rng = np.random.default_rng(0)
    lengths = [4000, 9000, 12345, 9000, 16000, 1700]
    return [rng.normal(scale=0.1, size=n).astype(np.float32) for n in lengths]


def test_what_hangs_on_the_shipped_encoder_was_made_with_it():
    """The head and what is measured beside it: other weights need all of them again."""
    own, data = encoders.load("embedded").key, ROOT / "data"

    def read(name):
        return json.loads((data / f"{name}.json").read_text(encoding="utf-8"))

    assert read("head/head")["encoder_key"] == read("reference/head")["encoder_key"] == own
    assert read("reference/speaker_effects")["encoder_key"] == own
    assert read("reference/intervals")["encoder_key"] == own
    assert own.startswith(read("reference/rate")["key"])
    assert read("reference/layers")["embedded"]["key"] == own
    latest = [row for row in read("reference/folds") if row["encoder"] == "embedded"][-1]
    assert own.startswith(latest["key"])


def embed(clips, encoder, **options):
    return embedding.embed(clips, encoder, progress=False, **options)


@pytest.mark.parametrize("kind", SAVED)
def test_batched_equals_one_by_one(saved, waves, kind):
    encoder = encoders.load(saved[kind])
    for options in ({"layer": "all"}, {"pooling": "mean+std"}):
        single = np.concatenate([embed([wave], encoder, **options) for wave in waves])
        np.testing.assert_allclose(embed(waves, encoder, **options), single, atol=1e-4)


@pytest.mark.parametrize("kind", [kind for kind in SAVED if "whisper" not in kind])
def test_embedding_is_the_mean_of_what_transformers_gives(saved, waves, kind):
    from transformers import AutoFeatureExtractor, AutoModel

    model = AutoModel.from_pretrained(saved[kind]).eval()
    extractor = AutoFeatureExtractor.from_pretrained(saved[kind])
    got = embed(waves, encoders.load(saved[kind]))
    for row, wave in zip(got, waves, strict=True):
        values = extractor(wave, sampling_rate=16_000, return_tensors="pt").input_values
        with torch.no_grad():
            want = model(values).last_hidden_state[0].mean(0)
        np.testing.assert_allclose(row, want, atol=1e-4)


def test_whisper_equals_transformers_on_a_clip_that_fills_30_s(saved):
    """Without padding the two must agree: only attention to padding sets them apart."""
    from transformers import AutoFeatureExtractor, WhisperModel

    wave = np.random.default_rng(1).normal(scale=0.1, size=480_000).astype(np.float32)
    extractor = AutoFeatureExtractor.from_pretrained(saved["whisper-full"])
    mel = extractor(wave, sampling_rate=16_000, return_tensors="pt").input_features
    with torch.no_grad():
        want = WhisperModel.from_pretrained(saved["whisper-full"]).encoder(mel).last_hidden_state[0]
    got = embed([wave], encoders.load(saved["whisper"]), pooling=None)[0]
    assert got.shape == (1500, 32)
    # The last mel frames differ: here silence follows, there the clip is mirrored at its end.
    np.testing.assert_allclose(got[:-2], want[:-2], atol=2e-3)
    np.testing.assert_allclose(got.mean(0), want.mean(0), atol=1e-4)


def test_whisper_convolutions_see_what_they_see_in_the_padded_run(saved, waves):
    """Layer 0 (before attention) equals the padded run on every frame of the clip."""
    from transformers import AutoFeatureExtractor

    encoder = encoders.load(saved["whisper"])
    extractor = AutoFeatureExtractor.from_pretrained(saved["whisper"])
    mel = extractor(waves[2], sampling_rate=16_000, return_tensors="pt").input_features
    inner = encoder.model.encoder
    with torch.no_grad():
        x = torch.nn.functional.gelu(inner.conv1(mel))
        x = torch.nn.functional.gelu(inner.conv2(x))[0].T + inner.embed_positions.weight
    got = embed([waves[2]], encoder, layer=0, pooling=None)[0]
    assert len(got) == -(-12345 // 320)
    np.testing.assert_allclose(got, x[: len(got)], atol=1e-5)


@pytest.mark.parametrize("kind", ["wav2vec2", "hubert", "wavlm", "whisper"])
def test_padding_changes_nothing(saved, waves, kind):
    encoder = encoders.load(saved[kind])
    alone, beside = encoder.batch([waves[0]]), encoder.batch([waves[0], waves[4]])
    with torch.no_grad():
        (want,), _ = encoder.frames(alone)
        (got,), mask = encoder.frames(beside)
    assert not mask[0].all()
    torch.testing.assert_close(got[0][mask[0]], want[0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", ["wav2vec2-group", "data2vec"])
def test_encoders_that_padding_would_change_refuse_it(saved, waves, kind):
    encoder = encoders.load(saved[kind])
    with pytest.raises(CourseError, match="equal length"):
        encoder.batch([waves[0], waves[1]])


def test_what_an_encoder_says_of_itself(saved):
    encoder = encoders.load(saved["wav2vec2"])
    assert (encoder.hidden_size, encoder.layers, encoder.family) == (32, 2, "wav2vec2")
    assert encoder.frame_s == pytest.approx(0.02)
    whisper = encoders.load(saved["whisper"])
    assert (whisper.hidden_size, whisper.layers) == (32, 2)
    assert whisper.frame_s == pytest.approx(0.02)


def test_the_key_follows_the_weights_not_the_name(saved, tmp_path):
    copy = shutil.copytree(saved["wav2vec2"], tmp_path / "other")
    first, second = encoders.load(saved["wav2vec2"]), encoders.load(str(copy))
    assert first.key == second.key
    with torch.no_grad():
        next(second.model.parameters()).add_(1e-3)
    assert first.key != encoders.Encoder("x", second.model, second.extractor).key


def test_the_key_of_cached_rows_follows_preprocessor_and_precision(saved, tmp_path):
    copy = Path(shutil.copytree(saved["wav2vec2"], tmp_path / "other"))
    first, same = encoders.load(saved["wav2vec2"]), encoders.load(str(copy))
    told = copy / "preprocessor_config.json"
    told.write_text(told.read_text().replace('"do_normalize": true', '"do_normalize": false'))
    raw, half = encoders.load(str(copy)), encoders.load(saved["wav2vec2"], "bfloat16")
    assert first.cache_key == same.cache_key and first.key == raw.key
    assert len({e.cache_key for e in (first, raw, half)}) == 3


def test_two_folders_that_differ_in_normalising_share_no_cached_row(saved, files, tmp_path):
    copy = Path(shutil.copytree(saved["wav2vec2"], tmp_path / "other"))
    told = copy / "preprocessor_config.json"
    told.write_text(told.read_text().replace('"do_normalize": true', '"do_normalize": false'))
    raw = encoders.load(str(copy))
    embed(files, encoders.load(saved["wav2vec2"]), cache=tmp_path)
    assert np.array_equal(embed(files, raw, cache=tmp_path), embed(files, raw))


def test_the_shipped_encoder_is_what_its_card_says(waves):
    from transformers import Wav2Vec2Model

    bare = Wav2Vec2Model.from_pretrained(encoders.EMBEDDED)
    assert np.prod(bare.config.conv_stride) == 320 and bare.config.feat_extract_norm == "layer"
    weights = list(encoders.EMBEDDED.glob("*.safetensors"))
    assert len(weights) == 1 and weights[0].stat().st_size <= 28e6
    licence = (encoders.EMBEDDED / "LICENSE").read_text(encoding="utf-8")
    assert all(n in licence for n in ("CC BY-NC-SA 4.0", "nEMO", "CREMA-D", "EmoGator", "MIT"))
    encoder = encoders.load("embedded")
    assert encoder.frame_s == 0.02 and encoder.masked
    single = np.concatenate([embed([wave], encoder, layer="all") for wave in waves])
    np.testing.assert_allclose(embed(waves, encoder, layer="all"), single, atol=1e-4)


def test_whisper_says_that_it_cuts_long_clips(saved):
    wave = np.random.default_rng(1).normal(scale=0.1, size=31 * 16_000).astype(np.float32)
    encoder = encoders.load(saved["whisper"])
    with pytest.warns(UserWarning, match="hears 30 s.*cut"):
        cut = embed([wave], encoder)
    np.testing.assert_allclose(cut, embed([wave[: 30 * 16_000]], encoder), atol=1e-5)


def test_layers_poolings_and_lengths(saved, waves):
    encoder = encoders.load(saved["wav2vec2"])
    every = embed(waves, encoder, layer="all")
    assert every.shape == (6, 3, 32)
    assert np.array_equal(every[:, 1], embed(waves, encoder, layer=1))
    np.testing.assert_allclose(every[:, -1], embed(waves, encoder), atol=1e-6)
    both = embed(waves, encoder, pooling="mean+std")
    frames = embed(waves, encoder, pooling=None)
    for row, frame in zip(both, frames, strict=True):
        np.testing.assert_allclose(row, np.r_[frame.mean(0), frame.std(0)], atol=1e-4)
    cut = embed(waves, encoder, length=4000)
    np.testing.assert_allclose(cut[0], embed(waves[:1], encoder)[0], atol=1e-5)
    raw = embed(waves, encoder, normalise=False)
    assert np.abs(raw - every[:, -1]).max() > 1e-3
    for wrong in ({"layer": 3}, {"pooling": "median"}):
        with pytest.raises(CourseError):
            embed(waves, encoder, **wrong)


def test_bfloat16_stays_near_float32(saved, waves):
    exact = embed(waves, encoders.load(saved["wav2vec2"]))
    near = embed(waves, encoders.load(saved["wav2vec2"], "bfloat16"))
    cosine = (exact * near).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(near, axis=1)
    assert near.dtype == np.float32 and cosine.min() > 0.999


@pytest.mark.parametrize("mixed", [True, False])
def test_batches_hold_every_clip_once_within_the_budget(mixed):
    rng = np.random.default_rng(3)
    lengths = {f"c{i}": int(n) for i, n in enumerate(rng.choice([8000, 16000, 40000, 900000], 50))}
    made = embedding.batches(lengths, 5 * 16_000, mixed)
    assert sorted(c for batch in made for c in batch) == sorted(lengths)
    for batch in made:
        sizes = [lengths[c] for c in batch]
        assert len(batch) == 1 or max(sizes) * len(batch) <= 5 * 16_000
        assert mixed or len(set(sizes)) == 1


@pytest.fixture
def files(tmp_path, waves):
    for i, wave in enumerate(waves):
        soundfile.write(tmp_path / f"{i}.wav", wave, 16_000, subtype="FLOAT")
    return [str(tmp_path / f"{i}.wav") for i in range(len(waves))]


def test_bad_files_become_nan_rows_and_are_named(saved, waves, files, monkeypatch):
    monkeypatch.setattr(embedding, "WINDOW", 4)  # several windows
    Path(files[1]).write_bytes(b"")
    soundfile.write(files[5], np.zeros(8000), 16_000)
    with pytest.warns(UserWarning, match="2 clips skipped.*1.wav.*5.wav"):
        got = embed([*files, "gone.wav"][:6], encoders.load(saved["wav2vec2"]))
    assert np.isnan(got).all(1).tolist() == [False, True, False, False, False, True]
    np.testing.assert_allclose(
        got[4], embed([waves[4]], encoders.load(saved["wav2vec2"]))[0], atol=1e-5
    )
    with pytest.raises(CourseError, match="no clip can be used.*gone.wav"):
        embed(["gone.wav"], encoders.load(saved["wav2vec2"]))


def test_the_cache_answers_for_same_audio_weights_and_settings_only(
    saved, files, tmp_path, monkeypatch
):
    calls = []
    forward = embedding._forward
    monkeypatch.setattr(embedding, "_forward", lambda *a: calls.append(len(a[0])) or forward(*a))
    encoder, cache = encoders.load(saved["wav2vec2"]), tmp_path / "cache"
    first = embed(files, encoder, cache=cache)
    assert sum(calls) == 6
    moved = shutil.copy(files[0], tmp_path / "moved.wav")
    again = embed([moved, *files[1:]], encoders.load(saved["wav2vec2"]), cache=cache)
    assert np.array_equal(first, again) and sum(calls) == 6
    embed(files, encoder, cache=cache, layer=1)
    embed(files, encoder, cache=cache, length=4000)
    embed(files, encoders.load(saved["hubert"]), cache=cache)
    embed(files, encoders.load(saved["wav2vec2"], "bfloat16"), cache=cache)
    assert sum(calls) == 30
    monkeypatch.setattr(embedding, "CODE", "edited")
    embed(files, encoder, cache=cache)
    assert sum(calls) == 36


def test_the_digest_of_code_follows_every_file(tmp_path):
    files = [tmp_path / "a.py", tmp_path / "b.py"]
    for file in files:
        file.write_text("x = 1\n")
    before = code(*files)
    assert code(*files) == before
    files[1].write_text("x = 2\n")
    assert code(*files) != before


def test_one_resolver_for_names_folders_and_hub_ids(saved, tmp_path, monkeypatch):
    monkeypatch.setattr(encoders, "SHIPPED", tmp_path)
    shutil.copytree(saved["wav2vec2"], tmp_path / "mine")
    assert settings.encoder_folder("mine") == tmp_path / "mine"
    assert encoders.load("mine").key == encoders.load(saved["wav2vec2"]).key
    assert encoders.load(str(tmp_path / "mine")).name == str(tmp_path / "mine")
    assert encoders.folder_of("facebook/wav2vec2-base") is None
    (tmp_path / "empty").mkdir()
    for name, what in (("empty", "no config.json"), ("mime", "did you mean 'mine'")):
        with pytest.raises(settings.UsageError, match=what):
            settings.encoder_folder(name)
        with pytest.raises(CourseError, match=what):
            encoders.load(name)
    with pytest.raises(CourseError, match="git checkout") as caught:
        settings.encoder_folder("embedded")
    assert not isinstance(caught.value, settings.UsageError)


def test_a_missing_preprocessor_is_named_and_can_be_written(saved, tmp_path):
    folder = Path(shutil.copytree(saved["wav2vec2"], tmp_path / "bare"))
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(
        CourseError, match="no preprocessor_config.json; write it .*save_pretrained"
    ):
        encoders.load(str(folder))
    encoders.load(saved["wav2vec2"]).extractor.save_pretrained(folder)
    assert encoders.load(str(folder)).cache_key == encoders.load(saved["wav2vec2"]).cache_key


@pytest.mark.parametrize(
    ("family", "maker"),
    [
        ("wav2vec2", "Wav2Vec2FeatureExtractor(return_attention_mask=True)"),
        ("hubert", "Wav2Vec2FeatureExtractor(return_attention_mask=True)"),
        ("wavlm", "Wav2Vec2FeatureExtractor(return_attention_mask=True)"),
        ("whisper", "WhisperFeatureExtractor(feature_size=80)"),
    ],
)
def test_the_call_that_writes_a_missing_preprocessor_is_said(tmp_path, family, maker):
    (tmp_path / "config.json").write_text(f'{{"model_type": "{family}"}}')
    call = f"write it with transformers.{maker}.save_pretrained('{tmp_path}')"
    with pytest.raises(CourseError, match=re.escape(f"no preprocessor_config.json; {call}")):
        encoders.load(str(tmp_path))


def test_a_file_replaced_while_it_is_read_is_not_cached_under_its_old_bytes(
    saved, files, tmp_path, monkeypatch
):
    encoder, path, other = encoders.load(saved["wav2vec2"]), Path(files[0]), Path(files[3])
    before, want = path.read_bytes(), embed(files[:1], encoder)

    def replaced(*parts):
        path.write_bytes(other.read_bytes())
        return key(*parts)

    assert encoder.cache_key  # kept from here on, so that `replaced` is called after reading only
    with monkeypatch.context() as patch:
        patch.setattr(embedding, "key", replaced)
        assert np.array_equal(embed(files[:1], encoder, cache=tmp_path / "cache"), want)
    assert path.read_bytes() != before
    new = embed(files[:1], encoder, cache=tmp_path / "cache")
    assert np.array_equal(new, embed([files[3]], encoder))
    path.write_bytes(before)
    assert np.array_equal(embed(files[:1], encoder, cache=tmp_path / "cache"), want)


def test_a_damaged_cache_is_named(saved, files, tmp_path):
    (tmp_path / "embeddings.sqlite").write_bytes(b"not a database, but long enough" * 50)
    with pytest.raises(CourseError, match="embeddings.sqlite.*delete"):
        embed(files, encoders.load(saved["wav2vec2"]), cache=tmp_path)


def test_two_processes_share_a_cache(tmp_path):
    script = (
        "import sys, numpy as np; from helpers.cache import Cache\n"
        "with Cache(sys.argv[1]) as cache:\n"
        "    for i in range(60):\n"
        "        cache.put({f'{i}-{j}': np.full((2, 3), i + j, 'f4') for j in range(5)})\n"
        "        assert cache.get(f'{i}-0')[0, 0] == i\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    running = [subprocess.Popen(command, cwd=ROOT) for _ in range(2)]
    assert [process.wait(60) for process in running] == [0, 0]
    with Cache(tmp_path) as cache:
        assert all(cache.get(f"{i}-{j}")[1, 2] == i + j for i in range(60) for j in range(5))


def test_keys_do_not_run_together():
    parts = ((b"ab", "c"), (b"a", "bc"), (b"a", b"bc"), (b"ab", b"c"), (b"abc",))
    assert len({key(*each) for each in parts}) == len(parts)


@pytest.mark.parametrize("harm", ["truncated", "no weights", "bad json", "no preprocessor",
                                  "half the tensors", "other family"])  # fmt: skip
def test_a_damaged_encoder_folder_is_named(saved, tmp_path, harm):
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(saved["wav2vec2"], tmp_path / "damaged"))
    weights = folder / "model.safetensors"
    if harm == "truncated":
        weights.write_bytes(weights.read_bytes()[:5000])
    elif harm == "no weights":
        weights.unlink()
    elif harm == "bad json":
        (folder / "config.json").write_text('{"model_type": "wav2')
    elif harm == "no preprocessor":
        (folder / "preprocessor_config.json").unlink()
    elif harm == "half the tensors":
        kept = {k: v for k, v in load_file(weights).items() if "layers.1" not in k}
        save_file(kept, weights, metadata={"format": "pt"})
    else:
        (folder / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(CourseError, match="/damaged") as caught:
        encoders.load(str(folder))
    assert "\n" not in str(caught.value)


def test_unknown_and_offline_encoders(monkeypatch):
    with pytest.raises(CourseError, match="did you mean 'embedded'"):
        encoders.load("embeded")
    with pytest.raises(CourseError, match="no such folder"):
        encoders.load("/nowhere/at/all")
    with pytest.raises(CourseError, match="dtype"):
        encoders.load("embedded", "float8")
    import transformers

    def offline(*_, **__):
        raise OSError("We couldn't connect to the hub\nand more lines")

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", offline)
    with pytest.raises(CourseError, match="hub.*--encoder embedded") as caught:
        encoders.load("facebook/wav2vec2-base")
    assert "\n" not in str(caught.value)


def test_poolings_ignore_padding():
    rng = torch.Generator().manual_seed(0)
    frames = torch.randn(2, 5, 4, generator=rng)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    attentive = networks.AttentiveStatistics(4)
    for pooling in (lambda f, m: networks.pool(f, m, "mean+std"), attentive):
        together, alone = pooling(frames, mask), pooling(frames[1:, :3], mask[1:, :3])
        torch.testing.assert_close(together[1:], alone)
    weights = networks.LayerWeights(3)
    torch.testing.assert_close(weights(torch.stack([frames] * 3, 1)), frames)
    stacked = torch.stack([frames, frames * 2], 1)
    torch.testing.assert_close(networks.pool(stacked, mask)[:, 1], 2 * networks.pool(frames, mask))


@pytest.mark.parametrize("kind", ["wav2vec2", "hubert", "wavlm", "data2vec", "whisper"])
def test_every_family_becomes_a_classifier_with_a_linear_head(saved, waves, kind):
    encoder = encoders.load(saved[kind])
    model = networks.build(encoder, ["a", "b", "c"]).eval()
    want = np.random.default_rng(0).normal(size=(3, 32)), np.array([0.1, 0.2, 0.3])
    networks.start_head(model, *want)
    weight, bias = networks.effective_head(model)
    np.testing.assert_allclose(weight, want[0], atol=1e-6)
    with torch.no_grad():
        logits = model(**encoder.batch(waves[:1])).logits.numpy()
    np.testing.assert_allclose(embed(waves[:1], encoder) @ weight.T + bias, logits, atol=1e-4)
