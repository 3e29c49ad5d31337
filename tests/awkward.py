"""Small folders and files as people have them, and the sum that must come out for each."""

import io
import struct

import numpy as np
import soundfile

from helpers import audio, corpora

RATE = 16_000


def sound(seed=0, seconds=0.25, kind="WAV", **how):
    """The bytes of a clip of noise, of its own for each `seed`."""
    out = io.BytesIO()
    wave = np.random.default_rng(seed).normal(0, 0.1, int(seconds * RATE)).astype(np.float32)
    soundfile.write(out, wave, RATE, format=kind, **how)
    return out.getvalue()


SUFFIXES = {
    "wav": sound(), "flac": sound(kind="FLAC"), "aiff": sound(kind="AIFF"),
    "aif": sound(kind="AIFF"), "au": sound(kind="AU"), "caf": sound(kind="CAF"),
    "ogg": sound(kind="OGG"), "oga": sound(kind="OGG"), "opus": sound(kind="OGG", subtype="OPUS"),
    "mp3": sound(kind="MP3"), "w64": sound(kind="W64"), "sph": sound(kind="NIST"),
    "voc": sound(kind="VOC"), "8svx": sound(kind="SVX"),
}  # fmt: skip
M4A = struct.pack(">I", 28) + b"ftypM4A " + bytes(400)
WEBM = b"\x1aE\xdf\xa3\x9fB\x86" + bytes(400)
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 72862\n"
MAC = b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(400)


def tree(root, *names, **contents):
    """Write clips, each of its own sound, and files of given bytes, below `root`."""
    for i, name in enumerate(names):
        put(root / name, sound(i))
    for name, content in contents.items():
        put(root / name, content)
    return root


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def account(spec, found):
    """Assert that each of `found` clips is used or named; return (table, unusable by name)."""
    table, left_out, notes = corpora.survey(str(spec))
    named = {error.path.name: error.reason for error in left_out}
    assert len(named) == len(left_out)
    said = " ".join(notes)
    assert "\n" not in said and (not left_out or f"{len(left_out)} clip" in said)
    used = 0
    for path in table["path"]:
        try:
            audio.read(path)
            used += 1
        except audio.AudioError as error:
            named[error.path.name] = error.reason
    assert used + len(named) == found
    return table, named
