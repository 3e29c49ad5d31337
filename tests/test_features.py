"""MFCC statistics and F0."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from helpers import audio, features
from helpers.errors import CourseError


def voice(hertz=150.0, seconds=1.0):
    """A buzz of ten harmonics: enough of a voice for a pitch tracker."""
    t = np.arange(round(seconds * audio.SAMPLE_RATE)) / audio.SAMPLE_RATE
    wave = sum(np.sin(2 * np.pi * hertz * k * t) / k for k in range(1, 11))
    return (0.2 * wave).astype(np.float32)


def test_shapes():
    frames = features.mfcc(voice())
    assert frames.shape == (39, 101)
    assert frames.dtype == np.float32
    assert features.statistics(frames).shape == (78,)
    assert features.mfcc(voice(seconds=0.1)).shape == (39, 11)
    assert features.mfcc(voice(seconds=0.05)).shape == (39, 9)


def test_level_moves_nothing_but_c0():
    wave = np.concatenate([voice(), np.zeros(4000, dtype=np.float32)])
    moved = features.mfcc(wave / 1000) - features.mfcc(wave)
    np.testing.assert_allclose(moved[0], -60 * np.sqrt(40), atol=0.01)
    np.testing.assert_allclose(moved[1:], 0, atol=0.01)


def test_f0_of_a_buzz():
    times, track = features.f0(voice(150))
    assert len(times) == len(track)
    assert np.nanmedian(track) == pytest.approx(150, rel=0.01)
    noise = np.random.default_rng(0).normal(0, 0.1, audio.SAMPLE_RATE).astype(np.float32)
    assert np.isnan(features.f0(noise)[1]).mean() > 0.8


def test_statistics_of_files_are_cached_and_bad_files_reported(tmp_path, monkeypatch):
    paths = [tmp_path / f"{i}.wav" for i in range(3)]
    for i, path in enumerate(paths):
        soundfile.write(path, voice(100 + 50 * i) * (i != 1), audio.SAMPLE_RATE)
    cache = tmp_path / "cache"
    first = features.mfcc_statistics(paths, cache, progress=False)
    assert first[0].shape == (2, 78)
    assert first[1].tolist() == [0, 2]
    assert [error.reason for error in first[2]] == ["silent"]
    monkeypatch.setattr(features, "mfcc", None)  # what is cached is not computed again
    again = features.mfcc_statistics(paths, cache, progress=False)
    np.testing.assert_array_equal(again[0], first[0])
    assert str(again[2][0]) == str(first[2][0])
    monkeypatch.undo()
    soundfile.write(paths[1], voice(120), audio.SAMPLE_RATE)
    assert len(features.mfcc_statistics(paths, cache, progress=False)[0]) == 3
    with pytest.raises(CourseError, match="none of 1 clips can be used"):
        features.mfcc_statistics([tmp_path / "no.wav"], progress=False)


def test_frames_of_files_keep_their_length_and_their_place(tmp_path):
    paths = [tmp_path / "good.wav", tmp_path / "corrupt.wav", tmp_path / "other.wav"]
    waves = voice(120), voice(200, 4)
    soundfile.write(paths[0], waves[0], audio.SAMPLE_RATE, subtype="FLOAT")
    paths[1].write_bytes(b"RIFF, and then nothing")
    soundfile.write(paths[2], waves[1], audio.SAMPLE_RATE, subtype="FLOAT")
    for _ in range(2):  # computed, then from the cache
        frames, kept, skipped = features.mfcc_of_files(paths, tmp_path / "cache", progress=False)
        for found, wave in zip(frames, waves, strict=True):
            np.testing.assert_array_equal(found, features.mfcc(wave))
        assert kept.tolist() == [0, 2]
        assert [error.path.name for error in skipped] == ["corrupt.wav"]


@pytest.mark.parametrize("kind", ["locked", "folder", "absent", "nul", "link"])
def test_one_file_that_cannot_be_opened_costs_no_other(tmp_path, monkeypatch, kind):
    paths = [tmp_path / "a.wav", tmp_path / "b.wav"]
    soundfile.write(paths[0], voice(), audio.SAMPLE_RATE)
    if kind == "locked":  # root may read what mode 000 forbids
        soundfile.write(paths[1], voice(200), audio.SAMPLE_RATE)
        real = Path.read_bytes

        def locked(path):
            if path == paths[1]:
                raise PermissionError(13, "Permission denied", str(path))
            return real(path)

        monkeypatch.setattr(Path, "read_bytes", locked)
    elif kind == "folder":
        paths[1].mkdir()
    elif kind == "nul":
        paths[1] = tmp_path / "b\0.wav"
    elif kind == "link":
        paths[1].symlink_to("b.wav")
    for cache in (None, tmp_path / "cache"):
        found, kept, (skipped,) = features.mfcc_statistics(paths, cache, progress=False)
        assert found.shape == (1, 78) and kept.tolist() == [0]
        assert skipped.path == paths[1] and "\n" not in str(skipped)
