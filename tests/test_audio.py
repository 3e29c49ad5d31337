"""Audio of every kind, good and bad."""

import numpy as np
import pytest
import soundfile

from helpers import audio
from helpers.audio import SAMPLE_RATE, AudioError
from helpers.errors import CourseError


def tone(seconds=0.5, rate=SAMPLE_RATE, hertz=440.0):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def write(path, wave, rate=SAMPLE_RATE, **how):
    soundfile.write(path, wave, rate, **how)
    return path


@pytest.mark.parametrize(
    ("suffix", "how"),
    [
        ("wav", {}),
        ("flac", {}),
        ("ogg", {"format": "OGG", "subtype": "VORBIS"}),
        ("opus", {"format": "OGG", "subtype": "OPUS"}),
        ("mp3", {}),
    ],
)
def test_formats(tmp_path, suffix, how):
    wave = audio.read(write(tmp_path / f"a.{suffix}", tone(), **how))
    assert wave.dtype == np.float32
    assert wave.ndim == 1
    assert abs(len(wave) - SAMPLE_RATE / 2) < 1200  # mp3 adds an encoder's delay
    spectrum = np.abs(np.fft.rfft(wave))
    assert np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE)[spectrum.argmax()] == pytest.approx(440, 2)


@pytest.mark.parametrize("rate", [8_000, 44_100, 192_000])
def test_other_rates_are_resampled(tmp_path, rate):
    wave = audio.read(write(tmp_path / "a.wav", tone(rate=rate), rate, subtype="FLOAT"))
    middle = slice(1000, -1000)
    assert len(wave) == SAMPLE_RATE / 2
    np.testing.assert_allclose(wave[middle], tone()[middle], atol=0.01)


def test_eight_channels_are_averaged(tmp_path):
    channels = np.stack([tone() * k for k in range(8)], axis=1) / 8
    wave = audio.read(write(tmp_path / "a.wav", channels, subtype="FLOAT"))
    np.testing.assert_allclose(wave, tone() * 3.5 / 8, atol=1e-5)


def test_what_cannot_be_used_says_why(tmp_path):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("no sound in here " * 50)
    write(tmp_path / "short.wav", tone(0.05))
    write(tmp_path / "none.wav", tone(0))
    write(tmp_path / "silent.wav", np.zeros(SAMPLE_RATE))
    write(tmp_path / "nan.wav", np.full(SAMPLE_RATE, np.nan), subtype="FLOAT")
    write(tmp_path / "nan48.wav", np.full(48_000, np.nan), 48_000, subtype="FLOAT")
    write(tmp_path / "opposite.wav", np.stack([tone(), -tone()], axis=1))
    reasons = {
        "empty": "empty file",
        "text": "cannot be decoded",
        "short": "0.05 s is shorter than 0.1 s",
        "none": "no samples",
        "silent": "silent",
        "nan": "NaN",
        "nan48": "NaN",
        "opposite": "silent",
        "absent": "no such file",
    }
    for name, reason in reasons.items():
        with pytest.raises(AudioError, match=reason) as caught:
            audio.read(tmp_path / f"{name}.wav")
        assert caught.value.path == tmp_path / f"{name}.wav"
        assert "\n" not in str(caught.value)
    skipped = []
    for name in ("silent.wav", "short.wav"):
        with pytest.raises(AudioError) as caught:
            audio.read(tmp_path / name)
        skipped.append(caught.value)
    assert audio.report(skipped).startswith("2 clips skipped: silent.wav (silent), short.wav (0.05")
    assert audio.report([]) == ""
    assert audio.report(skipped * 10, shown=1).endswith("and 19 more")


def test_fix_length():
    wave = np.arange(5, dtype=np.float32)
    assert audio.fix_length(wave, 3).tolist() == [0, 1, 2]
    assert audio.fix_length(wave, 7).tolist() == [0, 1, 2, 3, 4, 0, 0]


def test_segments_cover_the_clip_and_keep_the_remainder():
    wave = np.arange(2.5 * SAMPLE_RATE, dtype=np.float32)
    cut = audio.segments(wave, length_s=1, hop_s=1)
    assert cut.shape == (3, SAMPLE_RATE)
    assert cut[:, 0].tolist() == [0, SAMPLE_RATE, 1.5 * SAMPLE_RATE]  # the last ends with the clip
    assert cut[-1, -1] == wave[-1]
    assert audio.segments(wave[:100], 1, 0.5).shape == (1, SAMPLE_RATE)
    assert audio.segments(wave[: 2 * SAMPLE_RATE], 1, 1).shape == (2, SAMPLE_RATE)
    with pytest.raises(CourseError, match="positive length"):
        audio.segments(wave, 1, 0)
