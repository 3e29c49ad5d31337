"""Readers: real corpora against known counts, others against trees laid out as in their manuals.

`SER_CORPORA` names the folder of the real ones; without it their tests are skipped.
"""

import csv
import os
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
import soundfile
from awkward import M4A, MAC, POINTER, account, put
from sklearn.metrics import f1_score

from course.settings import lessons
from helpers import corpora, multilabel
from helpers.errors import CourseError

REAL = os.environ.get("SER_CORPORA")
# clips, speakers, women's clips, then clips by emotion; CREMA-D may be any subset of 7,442 clips.
COUNTS = {
    "ravdess": (1440, 24, 720, {"neutral": 96, "calm": 192, "surprised": 192}),
    "emodb": (535, 10, 302, {"angry": 127, "bored": 81, "neutral": 79, "happy": 71, "fearful": 69}),
    "tess": (2800, 2, 2800, {"surprised": 400, "neutral": 400}),
    "savee": (480, 4, 0, {"neutral": 120, "surprised": 60}),
    "emovo": (588, 6, 294, {"disgust": 84, "happy": 84}),
}


@pytest.mark.parametrize("name", COUNTS)
def test_real_corpora_have_the_known_counts(name):
    if not REAL or not corpora.available(name):
        pytest.skip(f"SER_CORPORA is not set, or holds no {name}")
    clips, speakers, women, emotions = COUNTS[name]
    frame = corpora.frame(name)
    assert len(frame) == clips
    assert frame["speaker"].nunique() == speakers
    assert frame["gender"].eq("female").sum() == women
    assert emotions.items() <= frame["emotion"].value_counts().to_dict().items()
    assert frame["utterance"].is_unique
    assert not frame["sentence"].eq("").any()
    assert Path(frame["path"][0]).is_file()


def test_real_crema_d_has_voice_only_votes():
    if not REAL or not corpora.available("crema_d"):
        pytest.skip("SER_CORPORA is not set, or holds no crema_d")
    frame = corpora.frame("crema_d")
    assert frame["speaker"].nunique() <= 91
    assert set(frame["gender"]) == {"female", "male"}
    totals = frame["votes"].map(lambda votes: sum(votes.values()))
    assert 8 < totals.mean() < 11
    # Of those who heard 1001_IEO_HAP_LO without seeing it, 6 said neutral and 3 happy.
    if len(one := frame[frame["utterance"].str.endswith("1001_IEO_HAP_LO")]):
        assert one["votes"].iloc[0]["neutral"] == 6


def test_lesson_11_says_of_crema_d_what_its_votes_say():
    if not REAL or not corpora.available("crema_d") or len(corpora.frame("crema_d")) != 2014:
        pytest.skip("SER_CORPORA is not set, or holds no crema_d of 2,014 clips")
    frame = corpora.frame("crema_d")
    names = ["neutral", "happy", "sad", "angry", "fearful", "disgust"]
    votes = np.array([[v.get(name, 0) for name in names] for v in frame["votes"]])
    truth = votes / votes.sum(axis=1, keepdims=True) > 1 / 6 + 1e-9  # by fractions, not by ours
    speakers = [frame["speaker"][has].nunique() for has in truth.T]
    cells = nbformat.read(lessons()["11_multilabel_calibration"], as_version=4).cells
    (said,) = (c.source for c in cells if c.source.startswith("CREMA-D, counted"))
    for title, counts in (("clips", truth.sum(axis=0)), ("speakers", speakers)):
        assert f"| {title} with it | {' | '.join(f'{n:,}' for n in counts)} |" in said
    assert (
        f"{frame['speaker'].nunique()} speakers" in said and "| CREMA-D | neutral | happy" in said
    )
    assert f"{(truth.sum(axis=1) > 1).sum():,} of them have more than one label" in said
    # "One rater against the others scores below a model that always says yes on CREMA-D."
    one, rest, weight, _ = multilabel.rater_against_rest(votes)
    rater = f1_score(rest, one, average="macro", sample_weight=weight)
    assert rater < f1_score(truth, np.ones_like(truth), average="macro")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder of corpora, and how to put an audio file into it."""
    monkeypatch.setenv("SER_CORPORA", str(tmp_path))
    noise = np.random.default_rng(0).normal(0, 0.1, 4000)

    def put(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            how = {"format": "OGG", "subtype": "OPUS"} if name.endswith("opus") else {}
            soundfile.write(path, noise, 16_000, **how)

    put.root = tmp_path
    return put


def only(name):
    """The columns that readers fill, as tuples in the order of utterances."""
    frame = corpora.frame(name)
    keys = ["speaker", "gender", "language", "emotion", "sentence"]
    return [tuple(row) for row in frame[keys].to_numpy()]


def test_ravdess_skips_song_video_and_other_files(here):
    here(
        "ravdess/Actor_01/03-01-06-01-02-01-01.wav",
        "ravdess/Actor_02/03-01-08-02-01-01-02.flac",
        "ravdess/Actor_01/03-02-06-01-02-01-01.wav",
        "ravdess/Actor_01/notes.wav",
    )
    assert only("ravdess") == [
        ("ravdess/01", "male", "en", "fearful", "Dogs are sitting by the door"),
        ("ravdess/02", "female", "en", "surprised", "Kids are talking by the door"),
    ]
    assert corpora.frame("ravdess")["intensity"].tolist() == ["normal", "strong"]


def test_the_same_clip_in_two_formats_counts_once(here):
    here("emodb/wav/03a01Fa.wav", "emodb/wav/03a01Fa.opus", "emodb/copy/03a01Fa.mp3")
    assert only("emodb") == [("emodb/03", "male", "de", "happy", "a01")]


def test_tess_slip_belongs_to_the_older_actress(here):
    here("tess/OAF_neutral/OA_bite_neutral.wav", "tess/YAF_pleasant_surprised/YAF_gap_ps.wav")
    assert only("tess") == [
        ("tess/OAF", "female", "en", "neutral", "Say the word bite"),
        ("tess/YAF", "female", "en", "surprised", "Say the word gap"),
    ]


@pytest.mark.parametrize("names", [("DC/sa01.wav", "KL/a09.wav"), ("DC_sa01.opus", "KL_a09.mp3")])
def test_savee_in_both_layouts(here, names):
    here(*(f"savee/{name}" for name in names))
    assert only("savee") == [
        ("savee/DC", "male", "en", "sad", "01"),
        ("savee/KL", "male", "en", "angry", "a09"),
    ]


def test_emovo(here):
    here("emovo/f1/gio-f1-b2.wav", "emovo/m3/rab-m3-l4.wav")
    assert only("emovo") == [
        ("emovo/f1", "female", "it", "happy", "b2"),
        ("emovo/m3", "male", "it", "angry", "l4"),
    ]


def test_crema_d_counts_voice_only_votes(here):
    here("crema_d/AudioWAV/1001_IEO_SAD_LO.wav", "crema_d/AudioWAV/1002_TAI_ANG_XX.wav")
    (here.root / "crema_d/VideoDemographics.csv").write_text(
        '"ActorID","Age","Sex","Race","Ethnicity"\n1001,51,"Male","x","y"\n'
    )
    table = here.root / "crema_d/processedResults/tabulatedVotes.csv"
    table.parent.mkdir()
    table.write_text(
        '"","A","D","F","H","N","S","fileName"\n'
        '"100001",0,1,0,0,4,5,"1001_IEO_SAD_LO"\n'
        '"200001",9,9,9,9,9,9,"1001_IEO_SAD_LO"\n'
    )
    frame = corpora.frame("crema_d")
    assert only("crema_d")[0] == ("crema_d/1001", "male", "en", "sad", "IEO")
    assert frame["gender"].tolist() == ["male", "unknown"]
    assert frame["votes"][0] == {
        "angry": 0, "disgust": 1, "fearful": 0, "happy": 0, "neutral": 4, "sad": 5
    }  # fmt: skip
    assert frame["votes"][1] is None
    assert corpora.load("crema_d")[0]["votes"]["sad"] == 5


def test_esd_with_and_without_parts(here):
    here("esd/0001/Angry/0001_000351.wav", "esd/0015/Surprise/train/0015_001750.wav")
    assert only("esd") == [
        ("esd/0001", "female", "zh", "angry", "001"),
        ("esd/0015", "female", "en", "surprised", "350"),
    ]


def test_casia(here):
    here("casia/liuchanhg/fear/201.wav", "casia/wangzhe/neutral/202.wav")
    assert only("casia") == [
        ("casia/liuchanhg", "female", "zh", "fearful", "201"),
        ("casia/wangzhe", "male", "zh", "neutral", "202"),
    ]


def test_iemocap_turns_votes_and_scales(here):
    turns = ["Ses01F_impro01_F000", "Ses01F_impro01_M001", "Ses01F_impro01_F002"]
    here(*(f"iemocap/Session1/sentences/wav/Ses01F_impro01/{turn}.wav" for turn in turns))
    dialog = here.root / "iemocap/Session1/dialog"
    (dialog / "EmoEvaluation").mkdir(parents=True)
    (dialog / "transcriptions").mkdir()
    (dialog / "EmoEvaluation/Ses01F_impro01.txt").write_text(
        "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
        f"[6.2901 - 8.2357]\t{turns[0]}\tneu\t[2.5000, 3.0000, 5.0000]\n"
        "C-E2:\tNeutral;\t()\nC-E3:\tNeutral; Sadness;\t()\nC-F1:\tOther;\t(curious)\n"
        "A-E3:\tval 3; act 2; dom  2;\t()\n\n"
        f"[9.0 - 11.0]\t{turns[1]}\texc\t[1.0000, 1.0000, 1.0000]\nC-E2:\tExcited;\t()\n\n"
        f"[12.0 - 13.0]\t{turns[2]}\txxx\t[1.0000, 1.0000, 1.0000]\nC-E2:\tAnger;\t()\n"
    )
    (dialog / "transcriptions/Ses01F_impro01.txt").write_text(
        f"{turns[0]} [006.2901-008.2357]: Excuse me.\n"
    )
    frame = corpora.frame("iemocap")
    assert only("iemocap") == [
        ("iemocap/1F", "female", "en", "neutral", "Excuse me."),
        ("iemocap/1M", "male", "en", "excited", ""),
    ]
    assert frame["votes"][0] == {"neutral": 2, "sad": 1}
    assert frame[["pleasure", "arousal", "dominance"]].iloc[0].tolist() == [-0.25, 0, 1]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("EmoClass_Major", ["Happy", "Contempt", "Happy"]),
        (
            "EmoDetail",
            ["WORKER01; Happy; Happy,Amused; A:5", "WORKER02; Contempt; ", "W3; Happy; "],
        ),
    ],
)
def test_msp_podcast_in_old_and_new_releases(here, column, values):
    names = [f"MSP-PODCAST_0001_000{i}.wav" for i in range(4)]
    here(*(f"msp_podcast/Audios/{name}" for name in names))
    labels = here.root / "msp_podcast/Labels"
    labels.mkdir()
    head = "FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set\n"
    (labels / "labels_consensus.csv").write_text(
        head
        + f"{names[0]},H,4,7,1,12,Female,Train\n{names[1]},X,4,4,4,12,Female,Train\n"
        + f"{names[2]},C,4,4,4,Unknown,Male,Train\nabsent.wav,H,4,4,4,13,Male,Train\n"
    )
    with (labels / "labels_detailed.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["FileName", column], *([names[0], v] for v in values)])
    frame = corpora.frame("msp_podcast")
    assert only("msp_podcast") == [("msp_podcast/12", "female", "en", "happy", "")]
    assert frame["votes"][0] == {"happy": 2, "contempt": 1}
    assert frame[["pleasure", "arousal", "dominance"]].iloc[0].tolist() == [1, 0, -1]


def test_folder_of_class_folders(here):
    here("mine/anna/Anger/1.wav", "mine/anna/joy/2.mp3", "mine/joy/ben/3.flac", "mine/fear/4.wav")
    frame = corpora.frame(f"folder:{here.root}/mine")
    assert sorted(zip(frame["speaker"], frame["emotion"], strict=True)) == [
        ("mine/anna", "angry"), ("mine/anna", "happy"), ("mine/ben", "happy"),
    ]  # fmt: skip
    assert corpora.frame(f"folder:{here.root}/mine")["path"].map(os.path.isabs).all()


@pytest.mark.parametrize(
    ("name", "clip"),
    [
        ("ravdess", "Actor_01/03-01-01-01-01-01-01"),
        ("emodb", "wav/03a01Fa"),
        ("tess", "OAF_angry/OAF_back_angry"),
        ("savee", "AudioData/DC/a01"),
        ("emovo", "f1/gio-f1-b2"),
        ("crema_d", "AudioWAV/1001_IEO_SAD_LO"),
        ("esd", "0011/Happy/0011_000001"),
        ("casia", "wangzhe/neutral/202"),
    ],
)
@pytest.mark.parametrize(
    "case", ["nested", "lower", "upper", "twice", "empty first", "mp3 first", "apple", "bin"]
)
def test_corpora_as_people_have_them(here, name, clip, case):
    """One folder down, in another case, twice, with an empty, lossy or hidden copy: one clip."""
    here(f"{name}/{clip}.wav")
    (expected,) = only(name)
    root = here.root / name
    if case == "nested":
        root.rename(here.root / "down")
        root.mkdir()
        (here.root / "down").rename(root / "full_release")
    elif case in ("lower", "upper"):
        (root / f"{clip}.wav").unlink()
        here(f"{name}/{getattr(clip, case)()}.{getattr('wav', case)()}")
    elif case == "twice":
        put(root / f"copy/{clip}.wav", (root / f"{clip}.wav").read_bytes())
    elif case == "empty first":
        put(root / f"AAA/{clip}.wav", b"")
    elif case == "mp3 first":
        here(f"{name}/AAA/{clip}.mp3")
    elif case == "apple":
        for hidden in (f".AppleDouble/{clip}.wav", f"._{clip}.wav"):
            put(root / hidden, MAC)
    else:
        put(root / f".Trash/{clip}.wav", b"withdrawn")
    table, named = account(name, 1 + (case in ("twice", "empty first", "mp3 first")))
    assert only(name) == [expected]
    assert Path(table["path"][0]).stat().st_size > 1000
    assert set(named.values()) <= {"a copy of a clip that is read"}


@pytest.mark.parametrize(
    ("name", "there", "wanted"),
    [
        ("ravdess", "Actor_01/01-01-03-01-01-01-01.wav", "03-01-06-01-02-01-12.wav"),
        ("savee", "a01 (2).wav", "DC/a01.wav or DC_a01.wav"),
        (
            "iemocap",
            "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav",
            "EmoEvaluation",
        ),
        ("msp_podcast", "Audios/MSP-PODCAST_0001_0008.wav", "labels_consensus.csv"),
        ("emodb", "wav/anger_03.wav", "03a01Fa.wav"),
        ("esd", "0011/0011_000351.wav", "0011/Angry/0011_000351.wav"),
    ],
)
def test_where_nothing_fits_what_was_looked_for_is_said(here, name, there, wanted):
    here(f"{name}/{there}")
    put(here.root / name / "more.m4a", M4A)
    with pytest.raises(CourseError, match=re.escape(wanted)) as caught:
        corpora.frame(name)
    assert Path(there).name in str(caught.value) and "more.m4a" in str(caught.value)


def test_iemocap_one_folder_down_and_twice(here):
    turn = "Ses01F_impro01_F000"
    for root in ("IEMOCAP_full_release", "copy"):
        here(f"iemocap/{root}/Session1/sentences/wav/Ses01F_impro01/{turn}.wav")
        dialog = here.root / "iemocap" / root / "Session1/dialog/EmoEvaluation"
        put(dialog / "Ses01F_impro01.txt", f"[6.2 - 8.2]\t{turn}\tneu\t[2.5, 3, 5]\n".encode())
        put(dialog / "._Ses01F_impro01.txt", MAC + b"\xff\xfe")
    account("iemocap", 2)
    assert only("iemocap") == [("iemocap/1F", "female", "en", "neutral", "")]


VOTES = "A,D,F,H,N,S,fileName\n"


@pytest.mark.parametrize(
    ("table", "sad"),
    [
        (f",{VOTES}100001,0,1,0,0,4,5,1001_IEO_SAD_LO\n", 5),
        (f"{VOTES}100001,0,1,0,0,4,5,1001_IEO_SAD_LO\n", 5),  # as R writes it
        (f"Unnamed: 0,{VOTES}100001,0,1,0,0,4,5,1001_IEO_SAD_LO\n", 5),
        (f"id;{VOTES.replace(',', ';')}100001;0;1;0;0;4;5;1001_IEO_SAD_LO\n", 5),
        (f"{VOTES}0,1,0,0,4,5,1001_IEO_SAD_LO\n", "column of row ids is missing"),
        (f"id,{VOTES}100001,x,1,0,0,4,5,1001_IEO_SAD_LO\n", "not as its manual says"),
        ("id,A,D\n100001,1,2\n", "not as its manual says"),
        (POINTER.decode(), "git lfs pull"),
    ],
)
def test_votes_of_crema_d_as_they_are_passed_on(here, table, sad):
    here("crema_d/AudioWAV/1001_IEO_SAD_LO.wav")
    put(here.root / "crema_d/processedResults/tabulatedVotes.csv", table.encode())
    if isinstance(sad, int):
        assert account("crema_d", 1)[0]["votes"][0]["sad"] == sad
        return
    with pytest.raises(CourseError, match=sad) as caught:
        corpora.frame("crema_d")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a+b", "a+emodb", "+", "a++b"])
def test_a_plus_in_the_path_of_a_folder(here, name):
    here(f"{name}/happy/1.wav", "emodb/wav/03a01Fa.wav")
    spec = f"folder:{here.root}/{name}"
    assert corpora.parts(f"{spec}+emodb") == [spec, "emodb"]
    assert corpora.parts(f"emodb+{spec}+{spec}x") == ["emodb", spec, f"{spec}x"]
    assert len(corpora.frame(f"{spec}+emodb")) == 2


def test_folder_with_a_csv_of_any_columns(here):
    here("mine/a.wav", "mine/b.wav")
    (here.root / "mine/list.csv").write_text(
        "path,emotion,speaker,gender,votes_sad,votes_calm,arousal,room\n"
        "a.wav,Sadness,anna,F,3,1,0.5,kitchen\nb.wav,calm,ben,male,,2,-1,hall\n"
    )
    frame = corpora.frame(f"folder:{here.root}/mine")
    assert frame["gender"].tolist() == ["female", "male"]
    assert frame["votes"].tolist() == [{"sad": 3, "calm": 1}, {"sad": 0, "calm": 2}]
    assert frame["arousal"].tolist() == [0.5, -1]
    assert frame["room"].tolist() == ["kitchen", "hall"]
    assert frame["utterance"].tolist() == ["mine/a", "mine/b"]
    by_file = corpora.frame(f"folder:{here.root}/mine/list.csv")
    assert by_file["emotion"].tolist() == ["sad", "calm"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,emotion,speaker\na.wav,hapy,x\n", "line 2: emotion 'hapy' .* .did you mean 'happy'"),
        ("path,emotions,speaker\na.wav,happy,x\n", "no column 'emotion' .did you mean 'emotions'"),
        ("path,emotion,speaker\nz.wav,happy,x\n", "list.csv line 2: no file z.wav"),
        ("path,emotion,speaker\n", "missing or without rows"),
        (
            "path,emotion,speaker,arousal\na.wav,sad,x,high\n",
            "line 2: could not convert .*high",
        ),
        ("path,emotion,speaker\na.wav,sad,x\na.wav,sad,x\n", "mine/a is listed twice"),
        ("path,emotion,speaker\na.wav,happy\n", "list.csv line 2: fewer fields than columns"),
        ("emotion,speaker,path\nhappy,x\n", "list.csv line 2: fewer fields than columns"),
        (
            "path,emotion,speaker,votes_sad\na.wav,sad,x,two\n",
            "line 2: could not convert .*two",
        ),
    ],
)
def test_bad_csv(here, text, message):
    here("mine/a.wav")
    (here.root / "mine/list.csv").write_text(text)
    with pytest.raises(CourseError, match=message) as caught:
        corpora.frame(f"folder:{here.root}/mine")
    assert "\n" not in str(caught.value)


def test_votes_may_be_written_as_a_spreadsheet_does(here):
    here("mine/a.wav")
    (here.root / "mine/list.csv").write_text("path,emotion,speaker,votes_sad\na.wav,sad,x,2.0\n")
    assert corpora.frame(f"folder:{here.root}/mine")["votes"].tolist() == [{"sad": 2}]


def test_csv_that_is_not_utf8(here):
    here("mine/a.wav")
    text = "path,emotion,speaker\na.wav,happy,J\u00f6rg\n"
    (here.root / "mine/list.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(CourseError, match="list.csv: .*save it as UTF-8"):
        corpora.frame(f"folder:{here.root}/mine")


@pytest.mark.parametrize("path", ["sad/Joy/1.wav", "joy/N/1.wav"])
def test_two_folders_that_name_an_emotion(here, path):
    here(f"mine/{path}")
    with pytest.raises(CourseError, match="both name an emotion"):
        corpora.frame(f"folder:{here.root}/mine")


def test_two_folders_of_one_name_do_not_join(here):
    here("rec/happy/1.wav", "x/rec/happy/1.wav")
    with pytest.raises(CourseError, match="two folders of one name, rec/happy/1 in both"):
        corpora.frame(f"folder:{here.root}/rec+folder:{here.root}/x/rec")


def test_corpora_join(here):
    here("emodb/wav/03a01Fa.wav", "ravdess/Actor_01/03-01-06-01-02-01-01.wav")
    assert corpora.frame("ravdess+emodb")["corpus"].tolist() == ["emodb", "ravdess"]
    data = corpora.load("ravdess+emodb")
    assert data.column_names[:8] == list(corpora.REQUIRED)
    assert data[0]["intensity"] is None
    with pytest.raises(CourseError, match="twice"):
        corpora.frame("emodb+emodb")


def test_present_leaves_out_what_is_absent(here):
    here("emodb/wav/03a01Fa.wav")
    assert corpora.present("ravdess+emodb+tess") == ("emodb", ["ravdess", "tess"])
    assert corpora.present(f"emodb+folder:{here.root}/mine")[1] == []  # frame() knows folders
    assert corpora.present("ravdess+tess") == ("ravdess+tess", [])
    assert corpora.present("ravdess") == ("ravdess", [])


@pytest.mark.parametrize("name", [n for n in corpora.CORPORA if n != "embedded"])
def test_absent_corpus_says_licence_source_and_how_to_get_it(here, name):
    about = corpora.CORPORA[name]
    with pytest.raises(CourseError) as caught:
        corpora.frame(name)
    message = str(caught.value)
    assert about.licence in message
    assert about.source in message
    assert about.get in message
    assert "\n" not in message


def test_unknown_empty_and_missing(here):
    with pytest.raises(CourseError, match="'ravdes' .did you mean 'ravdess'..; known"):
        corpora.frame("ravdes")
    with pytest.raises(CourseError, match="no such folder or CSV"):
        corpora.frame(f"folder:{here.root}/nowhere")
    (here.root / "emodb").mkdir()
    with pytest.raises(CourseError, match="holds no audio file named as its manual says"):
        corpora.frame("emodb")


def test_the_embedded_corpus():
    frame = corpora.frame("embedded")
    assert len(frame) >= 1200
    assert frame.drop_duplicates("speaker")["gender"].value_counts().to_dict() == {
        "female": 12, "male": 12
    }  # fmt: skip
    assert frame["language"].nunique() >= 3
    assert frame["emotion"].nunique() == 8
    assert frame["votes"].map(lambda votes: sum(votes.values())).min() >= 6
    assert frame[["pleasure", "arousal", "dominance"]].notna().all(axis=None)


def test_only_the_embedded_corpus_may_be_shown():
    assert corpora.open_audio("embedded")
    assert not corpora.open_audio("embedded+ravdess")
    assert not corpora.open_audio("folder:/mine")


def test_root_without_the_variable_is_inside_the_repository(monkeypatch):
    monkeypatch.delenv("SER_CORPORA", raising=False)
    assert corpora.root() == corpora.REPOSITORY / "data" / "corpora"
