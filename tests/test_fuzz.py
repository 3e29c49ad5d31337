"""Bytes, tables and folders gone wrong in ways that nobody listed: one line, and nothing lost.

Whatever is given, the command ends with 0, 1 or 2; it says at most one line of what is wrong, and
each clip is used or named.
"""

import os
import random

import pytest
from awkward import M4A, MAC, POINTER, RATE, SUFFIXES, account, put, sound
from test_cli import hear  # noqa: F401  (a fixture)

from course import cli, report, runner
from helpers import audio, corpora
from helpers.errors import CourseError

WHOLE = {suffix: len(audio.read("a", raw)) for suffix, raw in SUFFIXES.items()}


def mutated(raw: bytes, rng: random.Random, marks: list[bytes]) -> bytes:
    """Change `raw` in a few places: bits, pieces lost, doubled or moved, `marks`."""
    raw = bytearray(raw)
    for _ in range(rng.choice([1, 1, 2, 4])):
        at = rng.randrange(len(raw) + 1)
        to = min(len(raw), at + rng.choice([1, 10, 100, len(raw)]))
        near = rng.randrange(min(len(raw), 64) + 1)  # most of what is fragile lies in the header
        match rng.randrange(7):
            case 0:
                raw[near : near + 1] = rng.randbytes(1)
            case 1:
                raw[near : near + 4] = rng.choice([bytes(4), b"\xff" * 4, rng.randbytes(4)])
            case 2:
                del raw[at:to]
            case 3:
                raw[at:at] = raw[at:to][:5000]
            case 4:
                raw[at:at] = rng.choice(marks)
            case 5:
                del raw[at:]
            case 6:
                raw[at : at + 1] = rng.randbytes(1)
    return bytes(raw)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_bytes_of_sound(suffix):
    rng = random.Random(suffix)
    marks = [raw[:40] for raw in SUFFIXES.values()] + [MAC, POINTER, M4A, bytes(50)]
    for _ in range(120):
        raw = mutated(SUFFIXES[suffix], rng, marks)
        try:
            wave = audio.read(f"a.{suffix}", raw)
        except audio.AudioError as error:
            assert str(error).isprintable() and len(error.reason) < 300
        else:
            assert wave.dtype == "float32" and 0.1 * RATE <= len(wave) <= audio.LONGEST_S * RATE


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_sound_cut_anywhere_is_whole_or_refused(suffix):
    rng = random.Random(suffix)
    for _ in range(60):
        end = rng.randrange(len(SUFFIXES[suffix]))
        try:
            wave = audio.read(f"a.{suffix}", SUFFIXES[suffix][:end])
        except audio.AudioError:
            continue
        assert WHOLE[suffix] - len(wave) <= 0.1 * RATE + 1152  # an MP3 frame, at most


def test_predict_on_files_gone_wrong(hear, world):  # noqa: F811
    rng = random.Random(1)
    for i in range(60):
        raw = mutated(SUFFIXES[rng.choice(list(SUFFIXES))], rng, [MAC, M4A])
        put(world / f"heap/{i}.{rng.choice(list(SUFFIXES))}", raw)
    status, found, lines = hear("heap")
    assert status in (0, 1) and len(found) + len(lines) == 60
    assert len(found) > 5 and len(lines) > 20


# --- what `run` is given, up to the first lesson --------------------------------------------------


@pytest.fixture
def start(world, monkeypatch, capsys):
    """`start(spec)`: status and what is wrong; a note on what is left out is none."""
    (world / "lessons").mkdir()
    monkeypatch.setattr(runner, "choose", lambda names, folder: {})
    monkeypatch.setattr(runner, "_run", lambda *_: [])
    monkeypatch.setattr(report, "build", lambda out: out)

    def run(spec):
        words = ["run", "--corpus", spec, "--encoder", str(world / "tiny"), "--out", "out"]
        status = cli.main(words)
        lines = capsys.readouterr().err.splitlines()
        assert all(line.startswith("ser-course: ") and line.isprintable() for line in lines)
        wrong = [line for line in lines if "skipped: " not in line and "speakers: " not in line]
        assert len(wrong) == (status != 0) or (status and len(lines) == 1)
        return status

    return run


LIST = "path,emotion,speaker,sentence,arousal\n" + "".join(
    f'clips/{i}.wav,{("happy", "sad")[i % 2]},s{i % 3},"Kids, they talk",{i / 9}\n'
    for i in range(6)
)


@pytest.mark.parametrize("seed", range(4))
def test_text_of_lists(start, world, seed):
    rng, ran = random.Random(seed), 0
    marks = [
        x.encode() for x in ['"', ",", ";", "\t", "\n", "\r\n", "\r", "\0", "é", '""', " ", "|"]
    ]
    marks += [b"\xe9", b"\xff\xfe", b"\n\n", b"x" * 140_000, b"nan", b"sep=;\n", b"clips\\0.wav"]
    for i in range(6):
        put(world / f"mine/clips/{i}.wav", sound(i))
    for _ in range(60):
        raw = mutated(LIST.encode(), rng, marks)
        put(world / "mine/list.csv", raw)
        for spec in ("folder:mine", "folder:mine/list.csv"):
            if status := start(spec):
                assert status == 1
                continue
            ran += 1
            table, left_out, _ = corpora.survey(spec)
            nobody = [e for e in left_out if e.reason.startswith("no speaker")]
            text = raw.decode("utf-16" if raw[:2] == b"\xff\xfe" else "utf-8-sig")
            lines = [x for x in text.replace("\r", "\n").split("\n") if x.strip(' ,;|\t"')]
            lines = lines[lines[0][:4] == "sep=" :]
            assert len(table) + len(nobody) == len(lines) - 1
            account("folder:mine", 6)
    assert ran > 5


LEVELS = {
    "people": "anna ben José Jose\u0301 01 a+b 情感".split(), "parts": "train test fold1".split(),
    "days": "day1 day2".split(), "emotions": "happy sad Joy anger".split(),
    "odd": ["proud", "_", ".git", "__MACOSX", "caf\udce9", "x\ny", "happy.wav", "anna", "train"],
}  # fmt: skip
FILES = {f"{i}.{s}": raw for i in range(2) for s, raw in SUFFIXES.items()} | {
    "a.m4a": M4A, "b.webm": b"\x1aE\xdf\xa3", "REC1": sound(7), "cut.wav": sound(8)[:4000],
    "none.wav": b"", "ptr.flac": POINTER, "c\udce9.wav": sound(),
}  # fmt: skip
OTHERS = {
    "notes.txt": b"x",
    "features.csv": b"file,x\na,1\n",
    "._0.wav": MAC,
    ".hidden.wav": sound(),
}


def grown(root, rng: random.Random) -> int:
    """Write a tree of some depth with files of all kinds and links; return the sounds to find."""
    kinds = rng.choice(["people emotions", "parts people emotions", "emotions people", "emotions",
                        "parts emotions", "people days emotions"]).split()  # fmt: skip
    places, found = [(root, True)], 0
    for _ in range(rng.randint(1, 6)):
        place, seen = root, True
        for kind in kinds:
            name = rng.choice(LEVELS["odd" if rng.random() < 0.05 else kind])
            place, seen = place / name, seen and name not in (".git", "__MACOSX")
        if (place, seen) not in places:
            places.append((place, seen))
    for place, seen in places:
        os.makedirs(os.fsencode(place), exist_ok=True)
        for name, raw in rng.sample(list(FILES.items()), rng.randint(0, 3) * (place != root)):
            write(place / name, raw)
            found += seen
        for name, raw in rng.sample(list(OTHERS.items()), rng.randint(0, 1)):
            write(place / name, raw)
    for i in range(rng.choice([0, 0, 1, 2])):
        (place, seen), target = rng.choice(places), rng.choice(["nowhere", root])
        os.symlink(os.fsencode(target), os.fsencode(place / f"link{i}"))
        found += seen
    return found


def write(path, raw):
    with open(os.fsencode(path), "wb") as out:
        out.write(raw)


@pytest.mark.parametrize("seed", range(4))
def test_folders(start, world, seed):
    rng, ran = random.Random(seed), 0
    for i in range(60):
        root = world / f"{seed}-{i}"
        found = grown(root, rng)
        status = start(f"folder:{root.name}")
        try:
            table, left_out, _ = corpora.survey(f"folder:{root}")
        except CourseError as error:
            assert status == 1 and str(error).isprintable()
            continue
        assert status == 0 and len(table) + len(left_out) == found, str(root)
        assert len({e.path for e in left_out} | set(map(type(root), table["path"]))) == found
        ran += 1
    assert ran > 5
