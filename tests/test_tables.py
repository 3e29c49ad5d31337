"""README, the page of all figures and the encoder's card say what the results say."""

import json
import re

import pytest

from helpers import results
from tools import measure_cost, write_tables


@pytest.mark.parametrize("page", write_tables.PAGES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_generated_tables_are_fresh(page):
    text = page.read_text(encoding="utf-8")
    assert "<!-- end -->" in text
    assert write_tables.filled(text) == text, "run: python -m tools.write_tables"


def test_a_changed_figure_is_noticed():
    text = write_tables.CARD.read_text(encoding="utf-8")
    digit = next(c for c in text[text.index("<!-- training -->") :] if c.isdigit() and c != "0")
    start = text.index("<!-- training -->")
    end = text.index("<!-- end -->", start)  # of that table: the prose behind it has digits too
    wrong = text[:start] + text[start:end].replace(digit, "0") + text[end:]
    assert wrong != text and write_tables.filled(wrong) == text


def test_the_page_on_a_thousand_runs_shows_what_was_measured():
    cost = json.loads(measure_cost.COST.read_text(encoding="utf-8"))
    page = measure_cost.PAGE.read_text(encoding="utf-8")
    assert measure_cost.table(cost) in page, "run: python -m tools.measure_cost"


def test_minutes_in_the_readme_are_those_measured():
    cost = json.loads(measure_cost.COST.read_text(encoding="utf-8"))
    page = (measure_cost.ROOT / "README.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| (\d\d) \| [^|]+ \| (\d*)(½?) \|", page, flags=re.M)
    minutes = {number: int(whole or 0) + (half == "½") / 2 for number, whole, half in told}
    taken = {name[:2]: seconds / 60 for name, seconds in cost["seconds"].items()}
    assert minutes == {number: pytest.approx(m, abs=0.5) for number, m in taken.items()}


def test_all_lessons_fit_a_laptop():
    cost = json.loads(measure_cost.COST.read_text(encoding="utf-8"))
    assert len(cost["cpu_seconds"]) == 13
    assert sum(cost["cpu_seconds"].values()) <= 24 * 60 and cost["peak_mib"] < 3000


@pytest.mark.parametrize(
    ("low", "high", "aim", "word"),
    [
        (0.5, 0.8, {"above": 0.4}, "reached"),
        (0.5, 0.8, {"above": 0.6}, "open"),
        (0.5, 0.8, {"above": 0.5}, "open"),
        (0.5, 0.8, {"above": 0.9}, "missed"),
        (0.5, 0.8, {"below": 0.9}, "reached"),
        (0.5, 0.8, {"below": 0.8}, "open"),
        (0.5, 0.8, {"below": 0.4}, "missed"),
        (None, None, {"above": 0.4}, "open"),
    ],
)
def test_a_verdict_needs_the_whole_interval(low, high, aim, word):
    assert results.verdict({"value": 0.7, "low": low, "high": high}, **aim) == word
