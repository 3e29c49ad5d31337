"""Audio of every kind, good and bad."""

import io
import os

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
        "opposite": "its channels cancel each other; keep one",
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
    many = audio.report(skipped * 10, shown=1)  # every reason is told, however many share it
    assert many == "20 clips skipped: silent.wav and 9 more (silent), " + (
        "short.wav and 9 more (0.05 s is shorter than 0.1 s)"
    )


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


# --- what a header may say, and what a name may be --------------------------------------------


def with_rate(wave, rate, **how):
    """A WAV whose header says `rate`, whatever its samples."""
    out = io.BytesIO()
    soundfile.write(out, wave, SAMPLE_RATE, format="WAV", **how)
    raw = bytearray(out.getvalue())
    raw[24:28] = rate.to_bytes(4, "little")
    return bytes(raw)


@pytest.mark.parametrize("rate", [1, 100, 3_999, 384_001, 2**31 - 1])
def test_rates_that_no_recording_of_speech_has_are_refused(rate):
    """At 1 Hz two seconds of samples are nine hours, and 14 GB when they are resampled."""
    with pytest.raises(AudioError, match=f"says {rate:,} Hz, not 4 to 384 kHz"):
        audio.read("a.wav", with_rate(tone(2), rate))


@pytest.mark.parametrize("rate", [4_000, 384_000])
def test_rates_at_the_bounds_are_read(rate):
    wave = audio.read("a.wav", with_rate(tone(6), rate))
    assert len(wave) == 6 * SAMPLE_RATE**2 / rate


@pytest.mark.parametrize("channels", [1, 2, 64])
def test_long_files_are_refused_before_they_fill_the_memory(channels):
    wave = np.zeros((1_210_000 // channels, channels), np.float32)
    raw = with_rate(wave, 4_000, subtype="PCM_U8")
    seconds = len(wave) / 4_000
    if seconds > audio.LONGEST_S:
        with pytest.raises(AudioError, match="longer than 300 s; cut it into utterances"):
            audio.read("a.wav", raw)
    else:
        with pytest.raises(AudioError, match="silent"):
            audio.read("a.wav", raw)


@pytest.mark.parametrize(
    ("count", "said"),
    [(2**36 - 1, "cut off|cannot be"), (10**6, "cut off|cannot be"), (0, "cannot be.*ffmpeg")],
)
def test_a_header_that_promises_terabytes_takes_no_memory(count, said):
    """A FLAC header counts its samples in 36 bits; what is read at once does not go by it."""
    raw = io.BytesIO()
    soundfile.write(raw, tone(), SAMPLE_RATE, format="FLAC")
    raw = bytearray(raw.getvalue())
    raw[21] = raw[21] & 0xF0 | count >> 32
    raw[22:26] = (count & 0xFFFFFFFF).to_bytes(4, "big")
    with pytest.raises(AudioError, match=said):
        audio.read("a.flac", bytes(raw))


def test_windows_of_a_long_file(tmp_path, monkeypatch):
    monkeypatch.setattr(audio, "WINDOW_S", 1.0)
    wave = tone(2.5) * np.linspace(0.1, 0.9, round(2.5 * SAMPLE_RATE))
    path = write(tmp_path / "a.wav", wave, subtype="FLOAT")
    pieces = audio.windows(path)
    assert [len(piece) / SAMPLE_RATE for piece in pieces] == [1, 1, 0.5]
    np.testing.assert_array_equal(np.concatenate(pieces), audio.read(path))
    path = write(tmp_path / "b.wav", tone(1.05, 48_000), 48_000)
    assert [len(piece) for piece in audio.windows(path)] == [SAMPLE_RATE]  # 0.05 s is nothing
    with pytest.raises(AudioError, match="silent"):
        audio.windows(write(tmp_path / "c.wav", np.zeros(2 * SAMPLE_RATE)))


@pytest.mark.parametrize("right", [-1.0, -0.9, -1.2])
def test_channels_that_cancel_are_not_called_silent(right):
    wave = np.stack([tone(), right * tone()], axis=1) / 2
    with pytest.raises(AudioError, match="cancel each other; keep one: ffmpeg"):
        audio.read("a.wav", with_rate(wave, SAMPLE_RATE))


@pytest.mark.parametrize("mix", [[[1, 0]], [[1, 1]], [[1, 0.2]], [[1] + [0] * 15]])
def test_channels_that_do_not_cancel_are_read(mix):
    wave = tone()[:, None] @ np.array(mix)
    assert len(audio.read("a.wav", with_rate(wave, SAMPLE_RATE))) == SAMPLE_RATE / 2
    noise = np.random.default_rng(0).normal(0, 0.1, (SAMPLE_RATE, 2))
    assert len(audio.read("a.wav", with_rate(noise, SAMPLE_RATE))) == SAMPLE_RATE


@pytest.mark.parametrize("suffix", ["wav", "mp3", "flac", "ogg"])
def test_what_a_mac_leaves_beside_a_file_does_no_harm(tmp_path, suffix):
    path = write(tmp_path / f"a.{suffix}", tone())
    (tmp_path / f"._a.{suffix}").write_bytes(
        b"\0\5\x16\7\0\2\0\0Mac OS X        \0\2\0\0\0\x09\0\0\0\x32\0\0\x0e\xb0" + bytes(4000)
    )
    assert len(audio.read(path)) > 0.4 * SAMPLE_RATE


@pytest.mark.parametrize("beside", ["._", ".AppleDouble/a"])
def test_what_a_mac_leaves_where_one_works_does_no_harm(tmp_path, monkeypatch, beside):
    """libsndfile takes bytes without a name for Sound Designer II where these lie."""
    path = write(tmp_path / "a.mp3", tone())
    (tmp_path / beside).parent.mkdir(exist_ok=True)
    (tmp_path / beside).write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    assert len(audio.read(path)) > 0.4 * SAMPLE_RATE


@pytest.mark.parametrize(
    "name",
    ["new\nline.wav", "caf\udce9.wav", "情感.wav", "a+b.wav", "100%.wav", "x" * 240 + ".wav"],
)
def test_any_name_is_read_and_told_in_one_line(tmp_path, name):
    path = tmp_path / name
    with open(os.fsencode(path), "wb") as out:
        soundfile.write(out, tone(), SAMPLE_RATE, format="WAV")
    assert len(audio.read(path)) == SAMPLE_RATE / 2
    path.write_bytes(b"")
    with pytest.raises(AudioError, match="empty file") as caught:
        audio.read(path)
    told = (str(caught.value), audio.report([caught.value]))
    assert all(line.isprintable() and line.encode() for line in told)


def test_the_duration_of_what_is_read(tmp_path):
    path = write(tmp_path / "a.mp3", tone(1.5, 44_100), 44_100)
    (tmp_path / "._a.mp3").write_bytes(b"\0\5\16\7" + bytes(4000))  # libsndfile would look there
    assert audio.duration(path) == pytest.approx(1.5, abs=0.1)
    raw = bytearray(write(tmp_path / "b.wav", tone()).read_bytes())
    raw[4:8] = raw[40:44] = bytes(4)
    (tmp_path / "b.wav").write_bytes(raw)
    assert audio.duration(tmp_path / "b.wav") == 0.5


def test_what_is_no_file_is_an_error_in_one_line(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.wav")  # to open it would wait for ever
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "link.wav").symlink_to("nowhere")
    for name in ("pipe.wav", "link.wav", "a\0b.wav", "x" * 5000 + ".wav"):
        with pytest.raises(AudioError, match="no such file|cannot be opened"):
            audio.read(tmp_path / name)
    with pytest.raises(AudioError, match="no file, but a folder"):
        audio.read(tmp_path / "folder.wav")
    path = write(tmp_path / "locked.wav", tone())

    def locked(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_bytes", locked)  # root may read what mode 000 forbids
    with pytest.raises(AudioError, match=r"cannot be opened \(Permission denied\)"):
        audio.read(path)


def test_a_file_that_does_not_fit_in_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(audio, "LARGEST", 1000)
    with pytest.raises(AudioError, match="larger than 0 GiB; cut it"):
        audio.read(write(tmp_path / "a.wav", tone()))
