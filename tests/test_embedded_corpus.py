"""The embedded corpus: what ships is what tools/make_corpus.py makes, and is hard enough."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from helpers import features, metrics
from helpers.emotions import PAD
from tools import corpus_card, make_corpus
from tools import corpus_rules as rules

ROOT = Path(__file__).resolve().parents[1]
CORPUS = ROOT / "data" / "corpus"


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return pd.read_csv(CORPUS / "table.csv")


def test_columns(table):
    votes = [f"votes_{emotion}" for emotion in rules.EMOTIONS]
    assert list(table.columns) == [
        "path", "speaker", "gender", "language", "emotion", "intensity", "sentence",
        *votes, "pleasure", "arousal", "dominance", "strength",
    ]  # fmt: skip
    assert not table.isna().any().any()
    assert (table[votes].sum(axis=1) == rules.RATERS).all()
    assert rules.RATERS >= 6


def test_table_is_what_the_tool_writes(table):
    made = pd.DataFrame([make_corpus.row(clip) for clip in make_corpus.clips()])
    pd.testing.assert_frame_equal(made, table, check_dtype=False, atol=0.011)


def test_every_clip_has_a_file_and_every_file_a_row(table):
    assert sorted(table.path) == sorted(
        path.relative_to(CORPUS).as_posix() for path in CORPUS.rglob("*.opus")
    )
    assert table.path.is_unique
    assert len(table) >= 1200


def test_size():
    files = [path for path in CORPUS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 10e6
    assert {"LICENSE", "README.md", "table.csv"} <= {path.name for path in files}


def test_speakers(table):
    who = table.groupby("speaker")[["gender", "language"]].first()
    assert len(who) == 24
    assert who.groupby(["language", "gender"]).size().nunique() == 1, "balanced in each language"
    assert who.language.nunique() >= 3
    assert set(who.gender) == {"female", "male"}


def test_emotions_and_intensities(table):
    counts = table.groupby(["speaker", "emotion", "intensity"]).size().unstack(fill_value=0)
    neutral = counts.xs("neutral", level="emotion")
    others = counts.drop("neutral", level="emotion")
    assert set(table.emotion) == set(rules.EMOTIONS)
    assert (neutral.strong == 0).all() and (neutral.normal == 4).all()
    assert (others == 4).all().all()


def test_sentences_are_parallel_within_a_language(table):
    said = table.groupby(["language", "speaker", "emotion"]).sentence.agg(frozenset)
    assert (said.groupby("language").nunique() == 1).all()


def test_durations_and_levels(table):
    for path in table.path:
        info = sf.info(str(CORPUS / path))
        assert (info.samplerate, info.channels) == (16000, 1)
        assert 1.5 <= info.duration <= 4.0, path
    for path in table.path[::40]:
        wave, _ = sf.read(str(CORPUS / path))
        assert 0.01 < np.abs(wave).max() <= 1.0, path


def test_strength_moves_votes_and_pad(table):
    strong, weak = (table[table.intensity == name] for name in ("strong", "normal"))
    weak = weak[weak.emotion != "neutral"]
    agreed = [
        np.mean([row[f"votes_{row.emotion}"] for _, row in part.iterrows()])
        for part in (strong, weak)
    ]
    assert agreed[0] > agreed[1]
    for emotion, part in table.groupby("emotion"):
        mean = part[["pleasure", "arousal", "dominance"]].mean()
        expected = part.strength.mean() * np.array(PAD[emotion])
        np.testing.assert_allclose(mean, expected, atol=5 * rules.PAD_NOISE / len(part) ** 0.5)


def test_rules_name_their_source_and_a_known_parameter():
    for emotion, wanted in rules.RULES.items():
        assert emotion in rules.EMOTIONS
        for parameter, (_, source) in wanted.items():
            assert parameter in rules.PARAMETERS
            assert source.startswith(("B&S", "M&A", "Cahn in S", "J&L", "ours")), source
    for row in (*rules.CONFUSION.values(), rules.WEAK):
        assert sum(row) == pytest.approx(1)


def espeak_version() -> str:
    if shutil.which("espeak-ng") is None:
        return "absent"
    done = subprocess.run(["espeak-ng", "--version"], capture_output=True, text=True, check=True)
    return done.stdout.split(":")[1].split()[0]


def pitch(wave: np.ndarray) -> float:
    """Median F0 in Hz of the loud, periodic frames (50 ms), by autocorrelation at 60 to 400 Hz."""
    n, found = 800, []
    for frame in np.lib.stride_tricks.sliding_window_view(wave, n)[::400]:
        frame = frame - frame.mean()
        # Not divided by the number of terms: of a period's multiples the shortest is then best.
        likeness = np.fft.irfft(np.abs(np.fft.rfft(frame, 2048)) ** 2)
        lag = 40 + likeness[40:267].argmax()
        found.append((frame.std(), likeness[lag] / likeness[0], 16000 / lag))
    level, likeness, f0 = np.array(found).T
    return float(np.median(f0[(level > 0.3 * level.max()) & (likeness > 0.4)]))


def test_pitch_of_a_known_tone():
    t = np.arange(16000) / 16000
    for f0 in (90, 220):
        tone = sum(np.sin(2 * np.pi * k * f0 * t) / k for k in range(1, 8))
        assert pitch(tone) == pytest.approx(f0, rel=0.02)


def test_neutral_pitch_separates_the_genders(table):
    """A variant that espeak-ng ignores leaves a male voice: en01 once spoke at 103 Hz."""
    expected = {"female": (165, 255), "male": (85, 155)}
    neutral = table[(table.emotion == "neutral") & table.path.str.contains("_s[12]", regex=True)]
    assert neutral.speaker.nunique() == 24
    for speaker, part in neutral.groupby("speaker"):
        f0 = np.mean([pitch(sf.read(str(CORPUS / path))[0]) for path in part.path])
        low, high = expected[part.gender.iloc[0]]
        assert low <= f0 <= high, f"{speaker}: {f0:.0f} Hz"


@pytest.mark.nightly  # of a tool that maintainers run once
def test_no_two_speakers_share_a_voice():
    voices = [voice for _, _, voice, *_ in rules.SPEAKERS]
    assert len(set(voices)) == len(voices)
    assert all(voice.count("+") == 1 for voice in voices)
    if (version := espeak_version()) != "1.51":
        pytest.skip(f"voices are compared with espeak-ng 1.51; here it is {version}")
    sounds = {
        voice: make_corpus.espeak(voice, "Ma", 185)[0].tobytes()
        for voice in (*voices, *{voice.split("+")[0] for voice in voices})
    }
    assert len(set(sounds.values())) == len(sounds), "espeak-ng ignores a variant"


@pytest.mark.nightly  # of a tool that maintainers run once
@pytest.mark.parametrize(
    "name",
    [
        "de04_sad_normal_s2",
        "en01_neutral_normal_s1",
        "en03_angry_strong_s1",
        "fr05_calm_strong_s4",
        "it01_surprised_strong_s3",
    ],
)
def test_regenerated_audio_is_the_same(name, tmp_path):
    if (version := espeak_version()) != "1.51":
        pytest.skip(f"audio is regenerated with espeak-ng 1.51; here it is {version}")
    clip = next(clip for clip in make_corpus.clips() if clip.name == name)
    make_corpus.write(clip, tmp_path)
    old, _ = sf.read(str(CORPUS / clip.path))
    new, _ = sf.read(str(tmp_path / clip.path))
    assert len(old) == len(new)
    snr = 10 * np.log10(np.sum(old**2) / max(np.sum((old - new) ** 2), 1e-12))
    assert np.corrcoef(old, new)[0, 1] > 0.99
    assert snr > 20, f"{snr:.1f} dB"


@pytest.mark.slow
def test_hard_enough_to_teach_on(table):
    x, kept, _ = features.mfcc_statistics(
        [CORPUS / path for path in table.path], cache=corpus_card.CACHE, progress=False
    )
    assert len(kept) == len(table)
    unseen = metrics.uar(table.emotion, corpus_card.unseen_speakers(table, x, seed=0))
    leaked = metrics.uar(table.emotion, corpus_card.random_split(table, x, seed=0))
    assert 0.45 <= unseen <= 0.80
    assert leaked > unseen, "a random split leaks speakers"
