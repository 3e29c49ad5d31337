"""The one file of what each figure is: complete, and in step with what the references hold."""

import json
import re

import nbformat
import pytest

from course.settings import ROOT, lessons
from helpers import measures, results
from helpers.errors import CourseError
from tools import reference_tables

UNITS = set("share percent probability nats score index correlation factor".split())
UNITS |= set("clips speakers emotions clusters hours seconds".split())
LESSONS = json.loads(measures.PATH.read_text(encoding="utf-8"))["lessons"]


@pytest.mark.parametrize("lesson", LESSONS)
def test_entries_are_complete(lesson):
    for key, entry in LESSONS[lesson].items():
        assert entry["what"] and entry["unit"] in UNITS, key
        assert ("claimed" in entry) == ("why" in entry), key
        assert ("source" in entry) == isinstance(entry.get("claimed"), float), key
        assert entry.get("source", "1") in measures.sources(), key
        assert "*" not in key[:-1] and ("*" in entry["what"]) == key.endswith("*"), key


def test_rows_of_a_table_tell_themselves_apart():
    for name in json.loads(measures.PATH.read_text(encoding="utf-8"))["pages"]:
        titles = [measures.measure(*row)["what"] for row in measures.page(name)]
        assert len(titles) == len(set(titles)), name


@pytest.mark.parametrize("path", sorted(results.REFERENCE.glob("*.json")), ids=lambda p: p.stem)
def test_every_figure_of_the_references_is_described(path):
    content = json.loads(path.read_text(encoding="utf-8"))
    if "notebooks" not in content:
        pytest.skip("not the results of a run")
    # Keys of an older lesson, until its reference is made again.
    older = {"variance_emotion", "variance_speaker", "variance_sentence"}
    for lesson, entries in content["notebooks"].items():
        for key in set(entries) - older:
            assert measures.measure(lesson, key)["unit"]


def test_families_and_misspelt_keys():
    assert measures.measure("06_openmax", "auroc_calm")["what"].endswith("calm alone")
    assert measures.measure("06_openmax", "auroc_source")["what"].endswith("prints it")
    with pytest.raises(CourseError, match="did you mean 'ece_after'"):
        measures.measure("03_calibration", "ece_afer")


def test_a_difference_may_be_below_zero():
    """The unit says what limits an interval over seeds: a share has 0 and 1, a difference not."""
    for lesson, entries in measures.lessons().items():
        for key, entry in entries.items():
            if {"gain", "minus", "loss", "gap", "reduction"} & set(key.split("_")):
                limited = key in ("loss_chosen", "auroc_min_minus_std")
                assert (entry["unit"] in ("share", "probability")) == limited, f"{lesson}: {key}"


def test_aims_have_a_figure_and_one_bound():
    for aim in reference_tables.asked():
        assert measures.measure(aim["lesson"], aim["key"])
        assert len({"above", "below"} & set(aim)) == 1
    for aim in measures.aims():  # lesson 06 lists them: one number each
        assert isinstance(aim.get("above", aim.get("below")), float)


def test_the_page_of_sources_names_sections_that_there_are():
    """A lesson's number, then in italics one of its headings."""
    text = (ROOT / "docs" / "sources.md").read_text(encoding="utf-8")
    found = re.findall(r"(?<!\d)(\d\d) \*([^*]+)\*", text)
    headings = {
        name[:2]: re.findall(r"^#+ (.+)$", "\n".join(c.source for c in nb.cells), re.M)
        for name, nb in ((n, nbformat.read(p, as_version=4)) for n, p in lessons().items())
    }
    assert len(found) > 40
    assert [each for each in found if each[1] not in headings[each[0]]] == []
    stands = {line.split(" | ")[2] for line in text.splitlines() if re.match(r"\| [1-5] ", line)}
    assert stands == {"done", "in part", "control", "not here", "out of scope"}
