"""The one kind of error a user may see: one line that names the file or option, and the remedy."""

from collections.abc import Iterable
from difflib import get_close_matches


class CourseError(Exception):
    """Bad input. The message is one line: what is wrong, where, and what to do."""

    def __init__(self, message: object):
        super().__init__(printable(str(message)))


def printable(text: str) -> str:
    """Return `text` with what breaks a line, or is no UTF-8, escaped: names may hold both."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def nearest(name: str, options: Iterable[str]) -> str:
    """Return the option closest to `name` as a question, or an empty string when none is close.

    >>> nearest("emodv", ["emodb", "ravdess"])
    " (did you mean 'emodb'?)"
    """
    close = get_close_matches(name.lower(), list(options), n=1, cutoff=0.5)
    return f" (did you mean '{close[0]}'?)" if close else ""
