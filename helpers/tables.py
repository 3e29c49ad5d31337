"""Tables as people have them: a CSV from any spreadsheet, read without losing a row."""

import csv
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from unicodedata import normalize

from helpers import audio, sniff
from helpers.emotions import canonical, plain
from helpers.errors import CourseError, nearest

PAD = ("pleasure", "arousal", "dominance")
NEEDED = ("path", "emotion", "speaker")
COLUMNS = {  # of a list of clips, and other names that people give them
    "path": "file_name filename file filepath file_path audio wav clip",
    "emotion": "label class category",
    "speaker": "speaker_id speakerid spk actor subject participant client_id",
    "sentence": "text transcript transcription",
    "gender": "sex",
}


def rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Read a CSV with any of , ; tab | between fields: (line number, {column: text}) a row.

    A field ends on the line where it began: so a lone quote cannot swallow the rows after it. One
    field more in every row than in the header is an index. Errors: CourseError naming the line.
    """
    (_, header), *table = list(_fields(path)) or [(1, [])]
    header = [plain(name) for name in header]
    if twice := [name for name in header if name and header.count(name) > 1]:
        raise CourseError(f"{path}: two columns '{twice[0]}'; rename one")
    if table and all(len(row) == len(header) + 1 and row[0].isdigit() for _, row in table):
        header = ["", *header]
    for number, row in table:
        if len(row) < len(header):
            raise CourseError(f"{path} line {number}: fewer fields than columns")
        if any(row[len(header) :]):
            many = f"{len(row)} fields for {len(header)} columns"
            raise CourseError(f"{path} line {number}: {many}; quote the one that holds a delimiter")
    return [(number, dict(zip(header, row, strict=False))) for number, row in table]


def columns(path: Path) -> dict[str, str]:
    """Return the columns of a list of clips, {as written: as named here}; CourseError if none."""
    _, header = next(_fields(path), (1, []))
    written = {plain(name).lower(): plain(name) for name in header if name}
    found = {name: lower for lower, name in written.items()}
    for column, others in COLUMNS.items():
        if name := next((written[n] for n in (column, *others.split()) if n in written), None):
            found[name] = column
        elif column in NEEDED:
            here = ", ".join(written.values()) or "none"
            hint = nearest(column, written)
            raise CourseError(f"{path}: no column '{column}'{hint}; columns here: {here}")
    return found


def clips(path: Path) -> Iterator[dict]:
    """Read a CSV with `path` (relative to the CSV), `emotion`, `speaker`, any other column.

    Columns `votes_<emotion>` become one `votes` dict; PAD values are numbers, the rest text.
    """
    names, table = columns(path), rows(path)
    if not table:
        raise CourseError(f"{path}: missing or without rows")
    for number, written in table:
        row = {names[name]: text for name, text in written.items() if name}
        try:
            row["path"] = _find(path.parent, row["path"])
            canonical(row["emotion"])
            votes = {
                name.removeprefix("votes_"): int(_number(row.pop(name)) or 0)
                for name in list(row) if name.startswith("votes_")
            }  # fmt: skip
            row |= {name: _number(row[name]) for name in PAD if name in row}
        except (ValueError, CourseError) as error:
            raise CourseError(f"{path} line {number}: {error}") from None
        yield row | ({"votes": votes} if votes else {})


def _fields(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, fields) of the header, and of each other line that holds anything."""
    lines = [
        (number, line) for number, line in enumerate(re.split("\r\n|\r|\n", _text(path)), 1)
        if line.strip(" ,;|\t\"")
    ]  # fmt: skip
    marks = ",;\t|"
    if lines and (said := re.fullmatch(r"sep=(.)", lines[0][1])):  # a line of Excel's
        marks, lines = said[1], lines[1:]
    mark = max(marks, key=lambda mark: lines[0][1].count(mark)) if lines else ""
    for number, line in lines:
        if "\0" in line:
            raise CourseError(f"{path} line {number}: a NUL byte; save it again as UTF-8")
        try:
            (row,) = csv.reader([line], delimiter=mark, strict=True, skipinitialspace=True)
        except csv.Error as error:
            hint = 'a quote in a field is written "", and a line break never'
            raise CourseError(f"{path} line {number}: {error}; {hint}") from None
        yield number, [field.strip() for field in row]


def _text(path: Path) -> str:
    raw = audio.load(path)
    if reason := sniff.what(raw) or "sound, not a list of clips" * sniff.is_sound(raw):
        raise CourseError(f"{path}: {reason}")
    coding = {0: "utf-16-be", 1: "utf-16-le"}.get(raw[:2].find(b"\0"), "utf-8-sig")
    try:
        return raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else coding)
    except UnicodeDecodeError as error:
        number = raw.count(b"\n", 0, error.start) + 1
        raise CourseError(f"{path}: line {number} is no UTF-8; save it as UTF-8") from None


def _number(text: str) -> float | None:
    """Read a number with a decimal point or comma; None for an empty cell, nan, or infinity."""
    value = float(text.replace(",", ".") or "nan")
    return value if math.isfinite(value) else None


def _find(folder: Path, name: str) -> Path:
    """Find a file by a name that may be written as Windows does, or in the other Unicode form."""
    slashed = name.replace("\\", "/")
    for written in (name, slashed, normalize("NFC", slashed), normalize("NFD", slashed)):
        if os.path.isfile(path := os.path.abspath(folder / written)):
            return Path(path)
    raise CourseError(f"no file {name}")
