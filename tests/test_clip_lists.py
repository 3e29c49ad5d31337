"""Lists of clips as spreadsheets and people write them: read whole, or refused by their line."""

from unicodedata import normalize

import pytest
from awkward import POINTER, account, put, sound, tree

from helpers import corpora, tables
from helpers.errors import CourseError

HEAD = ["path", "emotion", "speaker", "sentence"]
ROWS = [[f"clips/{i}.wav", ("happy", "sad")[i % 2], f"s{i % 3}", "Kids, talking"] for i in range(6)]


@pytest.fixture
def listed(tmp_path):
    """`listed(text or bytes)` reads a list of six clips, all of which must be used or named."""
    tree(tmp_path, *(row[0] for row in ROWS))

    def read(text, found=6):
        put(tmp_path / "list.csv", text if isinstance(text, bytes) else text.encode())
        return account(f"folder:{tmp_path}", found)[0]

    read.root = tmp_path
    return read


def text(head=HEAD, rows=ROWS, mark=",", end="\n", quote='"'):
    each = [[f"{quote}{x}{quote}" if mark in x else x for x in row] for row in [head, *rows]]
    return end.join(mark.join(row) for row in each)


def same(table):
    assert table["emotion"].tolist() == [row[1] for row in ROWS]
    assert table["speaker"].str[-2:].tolist() == [row[2] for row in ROWS]
    assert table["sentence"].tolist() == [row[3] for row in ROWS]


@pytest.mark.parametrize("mark", [",", ";", "\t", "|", ", "])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_delimiter_and_end_of_line(listed, mark, end):
    same(listed(text(mark=mark, end=end)))


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_any_unicode(listed, coding):
    rows = [[*row[:3], "Straße 情感"] for row in ROWS]
    table = listed(text(rows=rows).encode(coding))
    assert table["sentence"].unique().tolist() == ["Straße 情感"]


@pytest.mark.parametrize(
    "head",
    [
        ["Path", "EMOTION", "Speaker ", "Sentence"], ["file_name", "label", "speaker_id", "text"],
        ["filename", "emotion", "actor", "transcription"], ["file", "class", "spk", "transcript"],
        ["Filepath", "Emotion", "Participant", "Text"],
    ],
)  # fmt: skip
def test_columns_by_the_names_that_people_give(listed, head):
    same(listed(text(head)))


def test_the_exact_name_goes_before_another(listed):
    rows = [[*row, "wrong"] for row in ROWS]
    same(listed(text([*HEAD, "label"], rows)))


@pytest.mark.parametrize(
    ("head", "index"),
    [(["", *HEAD], True), (["Unnamed: 0", *HEAD], True), (HEAD, True), ([*HEAD, ""], False)],
)
def test_an_index_or_an_empty_column_is_no_clip(listed, head, index):
    rows = [[str(i), *row] if index else [*row, ""] for i, row in enumerate(ROWS)]
    same(listed(text(head, rows)))


def test_windows_paths_and_other_unicode_forms(listed):
    same(listed(text(rows=[[row[0].replace("/", "\\"), *row[1:]] for row in ROWS])))
    for i in range(6):
        put(listed.root / "clips" / normalize("NFD", f"Zoë {i}.wav"), sound(i))
    rows = [[f"clips/{normalize('NFC', 'Zoë')} {i}.wav", *row[1:]] for i, row in enumerate(ROWS)]
    same(listed(text(rows=rows), found=12))


def test_excel_says_which_delimiter_it_takes(listed):
    same(listed("sep=;\r\n" + text(mark=";", end="\r\n")))


def test_blank_lines_are_no_rows(listed):
    same(listed("\n" + text(end="\n\n") + "\n,,,\n \n"))


def test_numbers_with_a_decimal_comma(listed):
    rows = [[*row, "0,5", ("", "NaN", "1e999")[i % 3]] for i, row in enumerate(ROWS)]
    table = listed(text([*HEAD, "arousal", "pleasure"], rows, mark=";"))
    assert set(table["arousal"]) == {0.5} and table["pleasure"].isna().all()


def test_clips_that_no_row_names_are_named(listed):
    put(listed.root / "clips/extra.wav", sound(9))
    table, named = account_of(listed, text(), 7)
    same(table)
    assert set(named) == {"extra.wav"}


def account_of(listed, content, found):
    put(listed.root / "list.csv", content.encode())
    return account(f"folder:{listed.root}", found)


@pytest.mark.parametrize("empty", ["", "unknown", "nan", " "])
def test_rows_without_a_speaker_beside_rows_with_one_are_left_out(listed, empty):
    rows = [[row[0], row[1], row[2] if i else empty, row[3]] for i, row in enumerate(ROWS)]
    table, named = account_of(listed, text(rows=rows), 6)
    assert set(table["speaker"].str[-2:]) == {"s0", "s1", "s2"}
    assert named == {"0.wav": "no speaker, where other clips have one"}
    only = corpora.frame(f"folder:{listed.root}/list.csv")
    assert len(only) == 5


def test_one_name_in_two_forms_or_with_two_blanks_is_one_person(listed):
    spelled = [normalize("NFC", "Zoë B"), normalize("NFD", "Zoë B"), "Zoë  B", " Zoë\u00a0B "]
    rows = [[row[0], row[1], spelled[i % 4], spelled[i % 4]] for i, row in enumerate(ROWS)]
    table = listed(text(rows=rows))
    assert table["speaker"].nunique() == 1 and table["sentence"].nunique() == 1


# --- refused, in one line that names the line ----------------------------------------------------

LONG = "x" * 140_000


def broken(i, field):
    rows = [list(row) for row in ROWS]
    rows[i][3] = field
    return "\n".join(",".join([*row[:3], row[3].replace(", ", " ")]) for row in [HEAD, *rows])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (broken(1, '"Kids'), 'line 3: unexpected end of data; a quote .* is written ""'),
        (broken(1, '"Kids').replace("s1,Kids talking", 's1,talking"', 1), "line 3: "),
        (broken(5, '"'), "line 7: unexpected end of data"),
        (broken(2, '"Kids\nare talking"'), "line 4: unexpected end of data"),
        (broken(3, '"Kids" are'), "line 5: ',' expected after '\"'"),
        (broken(4, LONG), "line 6: field larger than field limit"),
        (broken(2, "a,b"), "line 4: 5 fields for 4 columns; quote"),
        (broken(2, "a\0b"), "line 4: a NUL byte"),
        (text().replace("s1,", "", 1), "line 3: fewer fields than columns"),
        (text(rows=[*ROWS, ["clips/9.wav", "sad", "s1", "x"]]), "line 8: no file clips/9.wav"),
        (text(rows=[["", *ROWS[0][1:]], *ROWS[1:]]), "line 2: no file "),
        (text(rows=[["x" * 5000, *ROWS[0][1:]], *ROWS[1:]]), "line 2: no file xxx"),
        (text(rows=[[ROWS[0][0], "", *ROWS[0][2:]], *ROWS[1:]]), "line 2: .*emotion '' is not in"),
        (text(["path", "emotion", "speaker", "speaker"]), "two columns 'speaker'; rename one"),
        (text(["a", "b", "c", "d"]), r"no column 'path'; columns here: a, b, c, d"),
        (text().encode("utf-16")[:-1], "line 7 is no UTF-8; save it as UTF-8"),
        (text(rows=[[*ROWS[0][:3], "Stra\xdfe"]]).encode("latin-1"), "line 2 is no UTF-8"),
        (POINTER, "a Git LFS pointer.*git lfs pull"),
        (b"<html><body>404</body></html>", "a web page"),
        (b"PK\3\4\x14\0\6\0", "zip archive or a spreadsheet.*save it as CSV"),
        (b"", "no column 'path'; columns here: none"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_line(listed, content, said):
    put(listed.root / "list.csv", content if isinstance(content, bytes) else content.encode())
    for spec in (listed.root, listed.root / "list.csv"):
        with pytest.raises(CourseError, match=said) as caught:
            corpora.frame(f"folder:{spec}")
        assert "list.csv" in str(caught.value) and "\n" not in str(caught.value)


def test_every_row_is_read_or_none(listed):
    """Wherever a quote goes astray, no row is swallowed."""
    whole, refused = broken(0, "x"), 0
    for at in range(len(whole)):
        put(path := listed.root / "list.csv", (whole[:at] + '"' + whole[at:]).encode())
        try:
            assert len(list(tables.clips(path))) == 6
        except CourseError:
            refused += 1
    assert refused > len(whole) / 2


# --- which file is the list ---------------------------------------------------------------------


def test_a_table_of_something_else_does_no_harm(tmp_path):
    tree(tmp_path, "anna/happy/1.wav", "ben/sad/2.wav")
    (tmp_path / "features.csv").write_text("file,mfcc1\na,1\n")
    table, _ = account(f"folder:{tmp_path}", 2)
    assert len(table) == 2
    assert "features.csv lists no clips" in corpora.survey(f"folder:{tmp_path}")[2][0]


def test_a_list_goes_before_folders_and_other_tables(listed):
    (listed.root / "features.tsv").write_text("file\tmfcc1\na\t1\n")
    same(listed(text()))
    (listed.root / "again.csv").write_text(text())
    with pytest.raises(CourseError, match="2 CSV files; name the one to read, folder:PATH.csv"):
        corpora.frame(f"folder:{listed.root}")


def test_sound_is_no_list(tmp_path):
    put(tmp_path / "a.wav", sound())
    with pytest.raises(CourseError, match="a.wav: sound, not a list of clips"):
        corpora.frame(f"folder:{tmp_path}/a.wav")
