"""Folders of one's own: who is a speaker, what is sound, which copy is read, what is left out."""

import os
import warnings
from unicodedata import normalize

import pytest
from awkward import M4A, MAC, POINTER, SUFFIXES, WEBM, account, put, sound, tree

from helpers import corpora, splits
from helpers.audio import AudioError
from helpers.errors import CourseError
from helpers.tree import Tree


def people(table):
    return sorted({name.partition("/")[2] for name in table["speaker"]})


def names(*levels):
    """`names("a b", "happy sad")`: a clip in a/happy, a/sad, b/happy and b/sad."""
    paths = [""]
    for level in levels:
        paths = [f"{path}{name}/" for path in paths for name in level.split()]
    return [f"{path}{i}.wav" for i, path in enumerate(paths)]


# --- a folder that is no person is no speaker -------------------------------------------------


@pytest.mark.parametrize(
    "parts",
    [
        "train val test", "Train Test", "training validation testing", "train dev eval",
        "fold1 fold2 fold3", "Fold_01 Fold_02", "my_train my_test", "train-set test-set",
        "split0 split1", "fold_a foldB fold-one", "train-clean-100 dev-clean test-other",
        "train_A val_A test_A", "Train_Audio Test_Audio", "train(1) test(1)", "kfold1 kfold2",
        "trainval test", "train_16k test_16k",
    ],
)  # fmt: skip
def test_parts_of_a_split_are_passed_over(tmp_path, parts):
    table, _ = account(
        f"folder:{tree(tmp_path, *names(parts, 'happy sad'))}", len(parts.split()) * 2
    )
    assert people(table) == ["unknown"]  # so that no result on unseen speakers is claimed
    with pytest.raises(CourseError, match="a rotation needs 3"):
        splits.rotation(table)
    _, _, (note,) = corpora.survey(f"folder:{tmp_path}")
    assert "speakers: 0 (passed over: " in note and parts.split()[0] in note


@pytest.mark.parametrize(
    "levels",
    [
        ("train test", "anna ben", "happy sad"), ("anna ben", "train test", "happy sad"),
        ("anna ben", "happy sad", "train test"), ("happy sad", "anna ben", "fold1 fold2"),
        ("train test", "happy sad", "anna ben"),
    ],
)  # fmt: skip
def test_beside_parts_of_a_split_the_level_of_people_is_taken(tmp_path, levels):
    table, _ = account(f"folder:{tree(tmp_path, *names(*levels))}", 8)
    assert people(table) == ["anna", "ben"]
    _, _, (note,) = corpora.survey(f"folder:{tmp_path}")
    side = "below" if levels.index("anna ben") > levels.index("happy sad") else "above"
    assert f"speakers: 2, by the folders {side} the emotions: anna, ben (passed over: " in note


@pytest.mark.parametrize(
    "levels",
    [
        ("alice bob carol", "day1 day2", "happy sad"), ("day1 day2", "alice bob", "happy sad"),
        ("alice bob", "happy sad", "day1 day2"), ("happy sad", "alice bob", "studio street"),
        ("train test", "alice bob", "day1 day2", "happy sad"), ("data", "alice bob", "happy sad"),
    ],
)  # fmt: skip
def test_two_levels_that_may_be_people_are_refused(tmp_path, levels):
    tree(tmp_path, *names(*levels))
    with pytest.raises(
        CourseError, match="which folder is the speaker, '.*' .* or '.*' .* CSV"
    ) as caught:
        corpora.frame(f"folder:{tmp_path}")
    assert "alice, bob" in str(caught.value)


@pytest.mark.parametrize(
    "level", ["day1 day2 day3", "Session1 Session2 Session3", "take_1 take_2", "wav",
              "2024-01-05 2024-01-06", "05-01-2024 06.01.2024 07_01_2024", "set1 set2 set3",
              "male female", "Women Men", "F M", "boys girls men", "session-a session-b",
              "Day1_morning Day1_evening", "monday Friday", "5.1.2024 16.1.2024", "day1 anna"]
)  # fmt: skip
def test_days_takes_and_genders_alone_are_no_people(tmp_path, level):
    tree(tmp_path, *names(level, "happy sad"))
    with pytest.raises(
        CourseError, match="name no speakers; rename them, or list the clips in a CSV"
    ):
        corpora.frame(f"folder:{tmp_path}")


@pytest.mark.parametrize("level", ["train test extra", "dev anna", "fold1 fold2 ben"])
def test_parts_of_a_split_beside_other_names_are_refused(tmp_path, level):
    tree(tmp_path, *names(level, "happy sad"))
    with pytest.raises(CourseError, match="named as parts of a split, .* beside are not"):
        corpora.frame(f"folder:{tmp_path}")


@pytest.mark.parametrize(
    "level", ["01 02 03", "F1 F2 M1", "speaker1 speaker2", "Val Anna", "Testa Deval", "a f m"]
)
def test_people_are_people(tmp_path, level):
    tree(tmp_path, *names(level.replace("Val ", "Valerie "), "happy sad"))
    table, _ = account(f"folder:{tmp_path}", 2 * len(level.split()))
    assert len(people(table)) == len(level.split())


def test_clips_of_nobody_beside_clips_of_somebody_are_left_out(tmp_path):
    """They may be anna's, and would put her on both sides of a split."""
    tree(tmp_path, "anna/happy/1.wav", "ben/sad/2.wav", "happy/3.wav")
    table, named = account(f"folder:{tmp_path}", 3)
    assert people(table) == ["anna", "ben"] and "no speaker" in named["3.wav"]


def test_what_was_taken_for_speakers_is_said_when_the_table_is_made(tmp_path):
    tree(tmp_path / "mine", *names("anna ben carl dora eve", "happy"))
    with pytest.warns(UserWarning, match="mine: speakers: 5, by the folders above .* and 1 more"):
        corpora.frame(f"folder:{tmp_path}/mine")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        corpora.frame("embedded")  # nothing to tell


# --- nothing that looks like sound is left out in silence --------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_whatever_libsndfile_reads_is_read(tmp_path, suffix):
    put(tmp_path / f"anna/happy/1.{suffix.upper()}", SUFFIXES[suffix])
    put(tmp_path / f"ben/sad/2.{suffix}", SUFFIXES[suffix])
    table, named = account(f"folder:{tmp_path}", 2)
    assert len(table) == 2 and not named


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.m4a", M4A, "MP4 or M4A; ffmpeg"), ("a.webm", WEBM, "WebM.*ffmpeg"),
        ("a.amr", b"#!AMR\n", "ffmpeg"), ("a.wma", b"0&\xb2u", "ffmpeg"),
        ("a.mp4", M4A, "ffmpeg"), ("a.aac", b"\xff\xf1\x50", "AAC; ffmpeg"),
        ("a.pcm", sound()[44:], "ffmpeg"), ("a.3gp", b"", "ffmpeg"),
        ("REC001", sound(), "not read under this name"), ("a.wav.bak", sound(), "this name"),
        ("a.dat", SUFFIXES["ogg"], "this name"), ("phone", M4A, "MP4 or M4A; ffmpeg"),
        ("a.mpga", b"\xff\xf2\x84\x04", "this name"), ("REC2", b"\xff\xfd\x84\x04", "this name"),
        ("REC3", b"\xff\xe3\x18\xc4", "this name"), ("a.ra", b".ra\xfd", "ffmpeg"),
        ("old", sound(kind="VOC"), "this name"), ("a.dss", b"\x02dss", "this name"),
        ("a.sf", sound(kind="IRCAM"), "this name"), ("a.avr", sound(kind="AVR"), "this name"),
        ("a.paf", sound(kind="PAF"), "this name"), ("a.pvf", sound(kind="PVF"), "this name"),
    ],
)  # fmt: skip
def test_sound_that_is_not_read_is_counted_and_named(tmp_path, name, content, reason):
    tree(tmp_path, "ben/happy/1.wav", "notes.txt", "picture.png")
    (tmp_path / "notes.txt").write_text("no sound")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n")
    put(tmp_path / "anna/happy" / name, content)
    table, named = account(f"folder:{tmp_path}", 2)
    assert len(table) == 1
    with pytest.raises(AudioError, match=reason):
        raise AudioError(name, named[name])


@pytest.mark.parametrize("content", [b"", POINTER, MAC, M4A, sound()[:3000]])
def test_what_cannot_be_decoded_is_named(tmp_path, content):
    tree(tmp_path, "ben/happy/1.wav")
    put(tmp_path / "anna/happy/2.wav", content)
    _, named = account(f"folder:{tmp_path}", 2)
    assert list(named) == ["2.wav"]


def test_a_folder_without_a_readable_clip_says_what_is_there(tmp_path):
    for name in ("happy/1.m4a", "sad/2.m4a", "sad/3.m4a", "sad/4.m4a"):
        put(tmp_path / name, M4A)
    told = r"no audio file that is read here; 4 clips skipped: 1.m4a, 2.m4a, 3.m4a and 1 more \(MP4"
    with pytest.raises(CourseError, match=told):
        corpora.frame(f"folder:{tmp_path}")


# --- links ------------------------------------------------------------------------------------


def test_a_speaker_whose_folder_is_a_link(tmp_path):
    tree(tmp_path, "mine/ben/happy/1.wav", "elsewhere/happy/2.wav")
    (tmp_path / "mine/anna").symlink_to("../elsewhere")
    table, _ = account(f"folder:{tmp_path}/mine", 2)
    assert people(table) == ["anna", "ben"]


def test_a_clip_that_is_a_link(tmp_path):
    tree(tmp_path, "mine/ben/happy/1.wav", "cache/ab12")
    (tmp_path / "mine/anna/happy").mkdir(parents=True)
    (tmp_path / "mine/anna/happy/2.wav").symlink_to(tmp_path / "cache/ab12")
    assert people(account(f"folder:{tmp_path}/mine", 2)[0]) == ["anna", "ben"]


def test_one_folder_under_two_names_is_one_person(tmp_path):
    tree(tmp_path, "anna/happy/1.wav", "ben/sad/2.wav")
    (tmp_path / "aaa").symlink_to("anna")  # before anna, and yet anna keeps her name
    (tmp_path / "ben/sad/3.wav").symlink_to("2.wav")
    table, named = account(f"folder:{tmp_path}", 4)
    assert people(table) == ["anna", "ben"] and set(named) == {"aaa", "3.wav"}


def test_links_in_a_ring_end(tmp_path):
    tree(tmp_path, "anna/happy/1.wav")
    (tmp_path / "anna/happy/up").symlink_to(tmp_path)
    (tmp_path / "ring").symlink_to("ring")
    _, named = account(f"folder:{tmp_path}", 3)
    assert set(named) == {"up", "ring"}


@pytest.mark.parametrize("name", ["ben", "ben/happy/2.wav"])
def test_links_to_nowhere_are_named(tmp_path, name):
    tree(tmp_path, "anna/happy/1.wav")
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).symlink_to("/not/mounted/here")
    _, named = account(f"folder:{tmp_path}", 2)
    assert named == {os.path.basename(name): "a link to nowhere"}


def test_a_folder_that_cannot_be_opened_is_named(tmp_path, monkeypatch):
    tree(tmp_path, "anna/happy/1.wav", "ben/happy/2.wav")
    real = os.listdir

    def locked(place):
        if str(place).endswith("ben"):  # root may list what mode 000 forbids
            raise PermissionError(13, "Permission denied", str(place))
        return real(place)

    monkeypatch.setattr(os, "listdir", locked)
    left_out = Tree(tmp_path).left_out
    assert [str(error) for error in left_out] == [
        f"{tmp_path}/ben: cannot be opened (Permission denied)"
    ]


def test_what_is_no_regular_file_is_named(tmp_path):
    tree(tmp_path, "anna/happy/1.wav", "anna/happy/folder.wav/2.wav")
    os.mkfifo(tmp_path / "anna/happy/3.wav")
    tree_ = Tree(tmp_path)
    assert [path.name for path in tree_.clips] == ["1.wav", "2.wav"]
    assert [error.reason for error in tree_.left_out] == ["no regular file"]


# --- hidden things, and copies ------------------------------------------------------------------


@pytest.mark.parametrize(
    "hidden",
    ".AppleDouble .Trash-1000 .git __MACOSX $RECYCLE.BIN #recycle @eaDir ._ $Recycle.Bin RECYCLER"
    " @Recycle #snapshot lost+found".split(),
)
def test_hidden_parts_of_a_path_are_skipped(tmp_path, hidden):
    tree(tmp_path, "anna/happy/1.wav")
    inside = f"anna/happy/{hidden}1.wav" if hidden == "._" else f"anna/happy/{hidden}/1.wav"
    put(tmp_path / inside, MAC)
    put(tmp_path / hidden.replace("._", ".bin") / "ben/happy/withdrawn.wav", sound(9))
    table, named = account(f"folder:{tmp_path}", 1)
    assert people(table) == ["anna"] and not named


def test_a_hidden_folder_may_hold_the_corpus(tmp_path):
    tree(tmp_path / ".cache/mine", "anna/happy/1.wav")
    account(f"folder:{tmp_path}/.cache/mine", 1)


SILENT = sound()[:44] + bytes(len(sound()) - 44)


@pytest.mark.parametrize(
    ("copies", "read"),
    [
        ({"a.flac": SUFFIXES["flac"], "a.mp3": SUFFIXES["mp3"]}, "a.flac"),
        ({"a.mp3": SUFFIXES["mp3"], "a.wav": sound()}, "a.wav"),
        ({"a.mp3": SUFFIXES["mp3"], "a.wav": b""}, "a.mp3"),
        ({"a.mp3": SUFFIXES["mp3"], "a.wav": POINTER}, "a.mp3"),
        ({"a.flac": sound()[:2000], "a.wav": sound()}, "a.wav"),
        ({"a.ogg": SUFFIXES["ogg"], "a.wav": SILENT}, "a.ogg"),
        ({"a.flac": SILENT, "a.mp3": b"broken", "a.opus": SUFFIXES["opus"]}, "a.opus"),
        ({"a.flac": b"", "a.mp3": b"broken"}, "a.flac"),
    ],
)
def test_of_copies_the_lossless_and_readable_one_is_read(tmp_path, copies, read):
    for name, content in copies.items():
        put(tmp_path / "anna/happy" / name, content)
    tree(tmp_path, "ben/happy/b.wav")
    table, named = account(f"folder:{tmp_path}", 1 + len(copies))
    assert [os.path.basename(path) for path in table["path"]] == [read, "b.wav"]
    assert set(copies) - {read} <= set(named)


# --- one name, one person ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["José", "Zoë", "Đặng", "가희", "Åsa"])
def test_two_unicode_forms_of_a_name_are_one_person(tmp_path, name):
    for form in ("NFC", "NFD"):
        put(tmp_path / normalize(form, name) / "happy" / f"{form}.wav", sound(form == "NFC"))
        put(tmp_path / normalize(form, name) / "sad" / "1.wav", sound(2 + (form == "NFC")))
    table, _, _ = corpora.survey(f"folder:{tmp_path}")
    assert people(table) == [normalize("NFC", name)] and len(table) == 4
    assert table["utterance"].is_unique


@pytest.mark.parametrize("mark", ["\u200b", "\ufeff", "\u200e", "\u00ad", "\u2060"])
def test_what_has_no_width_makes_no_other_person(tmp_path, mark):
    tree(tmp_path, "anna/happy/1.wav", f"an{mark}na/sad/2.wav", f"{mark}anna/{mark}happy/3.wav")
    assert people(account(f"folder:{tmp_path}", 3)[0]) == ["anna"]


def test_a_label_in_another_unicode_form_is_the_label(tmp_path, monkeypatch):
    from helpers import emotions

    monkeypatch.setitem(emotions.ALIASES, normalize("NFC", "fröhlich"), "happy")
    for form in ("NFC", "NFD"):
        put(tmp_path / form / normalize(form, "Fröhlich") / "1.wav", sound(form == "NFC"))
    assert account(f"folder:{tmp_path}", 2)[0]["emotion"].tolist() == ["happy", "happy"]


@pytest.mark.parametrize("name", [b"caf\xe9.wav", b"\xff.mp3", b"\xe9t\xe9/1.wav", b"a\xe9.m4a"])
def test_names_that_are_no_utf8_are_named(tmp_path, name):
    tree(tmp_path, "anna/happy/1.wav")
    path = os.path.join(os.fsencode(tmp_path), b"anna/happy", name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as out:
        out.write(sound(1))
    table, left_out, (note,) = corpora.survey(f"folder:{tmp_path}")
    assert (
        len(table) + len(left_out) == 2 and left_out[0].reason == "its name is not UTF-8; rename it"
    )
    assert note.encode() and note.isprintable()


def test_two_folders_that_name_one_emotion(tmp_path):
    tree(tmp_path, "anna/happy/joy/1.wav", "joy/ben/happy/2.wav")
    table, _ = account(f"folder:{tmp_path}", 2)
    assert people(table) == ["anna", "ben"]


@pytest.mark.parametrize("spec", ["ring", "x" * 300, "~nobody/mine", "new\nline", "caf\udce9"])
def test_a_folder_that_is_not_there_is_one_line(tmp_path, monkeypatch, spec):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ring").symlink_to("ring")
    with pytest.raises((CourseError, OSError), match="no such folder|too long") as caught:
        corpora.frame(f"folder:{spec}")
    assert "\n" not in str(caught.value)


# --- flat names -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["20190615_sad.wav", "sad.wav", "03-01-01.wav", "a b (sad).mp3", "neutral_1.flac"]
)
def test_flat_names_say_what_is_expected(tmp_path, name):
    tree(tmp_path, name)
    with pytest.raises(
        CourseError, match=r"no folder above it names an emotion; expected emotion/clip"
    ):
        corpora.frame(f"folder:{tmp_path}")


@pytest.mark.parametrize(
    ("folder", "near"),
    [
        ("00_neutral", "neutral"),
        ("proud", ""),
        ("hapy", "happy"),
        ("AudioWAV", ""),
        ("Sad!", "sad"),
    ],
)
def test_a_folder_that_is_no_emotion_says_what_is_expected_and_the_nearest(tmp_path, folder, near):
    tree(tmp_path, f"anna/{folder}/1.wav")
    hint = rf".*\(did you mean '{near}'\?\)" * bool(near)
    with pytest.raises(CourseError, match=f"{folder}/1.wav: no folder above it{hint}") as caught:
        corpora.frame(f"folder:{tmp_path}")
    assert "expected emotion/clip" in str(caught.value) and "hostile" in str(caught.value)
