"""What a file is by its bytes, and whether it is one whole recording: half a clip is no clip."""

import io
import re
import struct

import numpy as np
import pytest
import soundfile

from helpers import audio, sniff
from helpers.audio import SAMPLE_RATE, AudioError

NOISE = np.random.default_rng(0).normal(0, 0.1, 2 * SAMPLE_RATE).astype(np.float32)
# Louder in its second half, so that its MP3 has frames of several bit rates.
SPEECH = NOISE * np.repeat([0.05, 2.0], SAMPLE_RATE).astype(np.float32)


def encoded(kind, subtype=None, wave=SPEECH, **how):
    out = io.BytesIO()
    soundfile.write(out, wave, SAMPLE_RATE, format=kind, subtype=subtype, **how)
    return out.getvalue()


WAV = encoded("WAV")
KINDS = {
    "wav": WAV, "wavex": encoded("WAVEX"), "rf64": encoded("RF64"), "w64": encoded("W64"),
    "adpcm": encoded("WAV", "MS_ADPCM"), "aiff": encoded("AIFF"), "au": encoded("AU"),
    "nist": encoded("NIST"), "flac": encoded("FLAC"),
    "caf": encoded("CAF"), "vorbis": encoded("OGG"), "opus": encoded("OGG", "OPUS"),
    "mp3": encoded("MP3"),
    "mp3, one bit rate": encoded("MP3", bitrate_mode="CONSTANT", compression_level=0.5),
}  # fmt: skip


def seconds(raw):
    return len(audio.read("clip.wav", raw)) / SAMPLE_RATE


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_file_is_read_whole(kind):
    assert seconds(KINDS[kind]) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.3, 0.5, 0.85])
def test_a_file_cut_short_is_refused(kind, share):
    raw = KINDS[kind]
    with pytest.raises(AudioError, match="cut off, its end is missing|cannot be decoded"):
        audio.read("clip.wav", raw[: int(share * len(raw))])


@pytest.mark.parametrize("kind", ["vorbis", "opus"])
def test_an_ogg_file_without_its_last_page_is_refused(kind):
    with pytest.raises(AudioError, match="cut off"):
        audio.read("clip.ogg", KINDS[kind][: KINDS[kind].rindex(b"OggS")])


def test_a_header_that_counts_a_little_too_much_is_forgiven():
    raw = bytearray(WAV)
    raw[40:44] = struct.pack("<I", len(WAV))  # recorders that count the header too
    assert seconds(bytes(raw)) == 2
    assert seconds(WAV[:-100]) == pytest.approx(2, abs=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_recording_after_the_first_is_not_passed_over(kind):
    with pytest.raises(AudioError, match="second recording"):
        audio.read("clip.wav", KINDS[kind] * 2)


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"mp3", "mp3, one bit rate"}))
def test_a_second_recording_of_another_kind_is_not_passed_over(kind):
    for first in ("wav", "au", "flac", "aiff", "caf", "rf64"):
        with pytest.raises(AudioError, match="second recording"):
            audio.read("clip.wav", KINDS[first] + KINDS[kind])


@pytest.mark.parametrize("kind", ["vorbis", "opus"])
def test_an_ogg_file_without_a_page_in_its_middle_is_refused(kind):
    first, *pages = KINDS[kind].split(b"OggS\0")
    raw = b"OggS\0".join([first, *pages[: len(pages) // 2], *pages[len(pages) // 2 + 1 :]])
    with pytest.raises(AudioError, match="a piece of its middle is missing; copy it again"):
        audio.read("clip.ogg", raw)


def test_streams_side_by_side_are_not_one_after_the_other():
    """An Ogg file may begin several streams at once, before any goes on."""
    first, rest = KINDS["opus"].split(b"OggS")[1:3], KINDS["opus"].split(b"OggS")[3:]
    other = first[0][:10] + b"\1\2\3\4" + first[0][14:]
    raw = b"OggS".join([b"", first[0], other, first[1], *rest])
    assert sniff.flaw(raw) == ""


@pytest.mark.parametrize(
    "sizes",
    [
        {4: 0, 40: 0}, {4: 36, 40: 0}, {4: 0xFFFFFFFF, 40: 0xFFFFFFFF},
        {4: 0x7FFFF024, 40: 0x7FFFF000}, {4: 0, 40: 0x80000000},
    ],
)  # fmt: skip
def test_sizes_that_a_crash_or_a_pipe_left_open_are_read_to_the_end(sizes):
    raw = bytearray(WAV)
    for at, size in sizes.items():
        raw[at : at + 4] = struct.pack("<I", size)
    np.testing.assert_array_equal(audio.read("clip.wav", bytes(raw)), audio.read("clip.wav", WAV))


def test_a_crash_with_chunks_before_the_samples():
    note = b"LIST" + struct.pack("<I", 16) + b"INFOISFT" + struct.pack("<I", 4) + b"name"
    raw = bytearray(WAV[:36] + note + WAV[36:])
    raw[4:8] = raw[64:68] = bytes(4)
    assert seconds(bytes(raw)) == 2


@pytest.mark.parametrize("rest", [b"", b"LIST" + struct.pack("<I", 9000) + bytes(9000)])
def test_an_empty_recording_is_no_crash(rest):
    raw = WAV[:40] + bytes(4) + rest
    raw = raw[:4] + struct.pack("<I", len(raw) - 8) + raw[8:]
    with pytest.raises(AudioError, match="no samples"):
        audio.read("clip.wav", raw)


def test_a_header_that_counts_too_little_is_refused():
    raw = bytearray(WAV)
    raw[4:8], raw[40:44] = struct.pack("<I", 36 + 16_000), struct.pack("<I", 16_000)
    with pytest.raises(AudioError, match="more than its header counts"):
        audio.read("clip.wav", bytes(raw))
    raw = bytearray(KINDS["au"])
    raw[8:12] = bytes(4)
    with pytest.raises(AudioError, match="no samples, says its header"):
        audio.read("clip.au", bytes(raw))


@pytest.mark.parametrize(
    "junk", [b"ID3\x03" + bytes(5000), bytes(9000), b"TAG" + b"x" * 5000,
             b"bext" + struct.pack("<I", 5000) + b"x" * 5000]
)  # fmt: skip
def test_notes_after_the_samples_do_no_harm(junk):
    assert seconds(WAV + junk) == 2


def test_notes_before_the_sound_do_no_harm():
    art = b"ID3\x03\0\0\0\0\x20\0" + b"\xff\xfb\x90\x64" * 1024
    assert seconds(art + KINDS["mp3"]) == pytest.approx(2, abs=0.1)
    assert seconds(art + KINDS["flac"]) == 2


def frames_of(raw):
    starts = [at for at, _, _ in sniff._mp3_frames(raw)]
    return [raw[a:b] for a, b in zip(starts, [*starts[1:], len(raw)], strict=True)]


def test_mp3_frames_agree_with_libsndfile():
    for kind in ("mp3", "mp3, one bit rate"):
        frames = list(sniff._mp3_frames(KINDS[kind]))
        assert sum(frames[-1][:2]) == len(KINDS[kind])
        declared = soundfile.info(io.BytesIO(KINDS[kind])).frames
        assert abs(576 * (len(frames) - 1) - declared) < 3 * 576


def test_an_mp3_that_does_not_say_how_long_it_is():
    """libsndfile then guesses by the first frame's bit rate, and reads as much as it guessed."""
    tagless = b"".join(frames_of(KINDS["mp3"])[1:])
    with pytest.raises(AudioError, match="varying bit rate"):
        audio.read("clip.mp3", tagless)
    even = b"".join(frames_of(KINDS["mp3, one bit rate"])[1:])
    assert seconds(even) == pytest.approx(2, abs=0.1)
    half = even[: len(even) // 2]
    for raw in (even[: len(even) // 2 + 7], half + bytes(len(half)), half + b"<html>" * 400):
        with pytest.raises(AudioError, match="cut off"):
            audio.read("clip.mp3", raw)


@pytest.mark.parametrize(
    "tag", [b"TAG" + bytes(125), b"APETAGEX" + bytes(4000), b"ID3" + b"x" * 99]
)
def test_tags_behind_an_mp3_do_no_harm_and_nothing_complains_of_them(tag, capfd):
    for kind in ("mp3", "mp3, one bit rate"):
        assert seconds(KINDS[kind] + tag) == seconds(KINDS[kind])
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 3\n", "git lfs pull"),
        (b"/annex/objects/SHA256E-s3--ab.wav\n", "git annex get"),
        (b"../.git/annex/objects/aa/bb/SHA256E-s3--ab.wav", "git annex get"),
        (b"\n<!DOCTYPE html><title>404", "a web page"),
        (b"<html>", "a web page"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><Error>", "a web page"),
        (b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(500), "a Mac keeps"),
        (b"\0\5\x16\0" + bytes(500), "a Mac keeps"),
        (b"\x1aE\xdf\xa3\x9fB\x86", r"WebM.*ffmpeg -i x -ar 16000 y.wav"),
        (b"\0\0\0\x1cftypM4A \0\0", r"M4A.*ffmpeg"),
        (b"\0\0\0\x14ftypqt  ", r"MP4.*ffmpeg"),
        (b"\0\0\0\x08wide\0\0\0\0mdat", r"MP4.*ffmpeg"),
        (b"\xff\xf1\x50\x80", r"AAC.*ffmpeg"),
        (b"#!AMR\n", "ffmpeg"),
        (b"0&\xb2u\x8ef\xcf\x11", "ffmpeg"),
        (b"RIFF\0\0\0\0AVI LIST", "video.*ffmpeg"),
        (b"PK\3\4\x14\0", "zip archive.*unpack"),
        (b"\x1f\x8b\x08", "archive; unpack"),
        (bytes(9000), "nothing but zeros"),
        (b"just some words " * 50, "text, not sound.; download it again"),
        (b"404: Not Found", "text, not sound.; download it again"),
        (b'{"status": 404, "message": "PID does not exist."}', "text, not sound"),
        (b"<!-- x --><html>", "a web page"),
        ("<html>".encode("utf-16"), "a web page"),
        (b"\0\0\0\x08free\0\0\0\0mdat", r"MP4.*ffmpeg"),
        (b"version https://hawser.github.com/spec/v1\n", "git lfs pull"),
        (np.random.default_rng(0).bytes(9000), r"cannot be decoded.*ffmpeg"),
    ],
)
def test_what_is_no_sound_is_named_with_the_command_that_mends_it(raw, said):
    with pytest.raises(AudioError, match=said) as caught:
        audio.read("clip.wav", raw)
    assert caught.value.reason.count("\n") == 0


def test_what_is_sound_whatever_its_name():
    for raw in (*KINDS.values(), b"\0\0\0\x1cftypM4A ", b"#!AMR\n", b"\x1aE\xdf\xa3"):
        assert sniff.is_sound(raw[:512])
    for raw in (b"", b"path,emotion\n", b"\xff\xfep\0a\0t\0h\0", b"\x89PNG\r\n", bytes(512)):
        assert not sniff.is_sound(raw)


def test_every_remedy_says_what_to_do():
    for kind in sniff.KINDS.values():
        assert re.search(r"; \w+", kind)
