"""What the checks of the exercises share."""

import sys
from contextlib import ExitStack
from unittest.mock import patch


def unaided(answer, *helpers):
    """Return `answer`, a student's function, made to do without the `helpers` that solve it.

    While it runs, each of `helpers` (functions or classes) refuses, under every name that
    `answer` could call it by: AssertionError with a friendly word.
    """

    def refuse(*_, **__):
        names = " and ".join(helper.__name__ for helper in helpers)
        raise AssertionError(f"{names} would solve this for you: write it by hand, then compare")

    def run(*args, **options):
        spaces = [vars(sys.modules[helper.__module__]) for helper in helpers]
        with ExitStack() as closed:
            for space in [*spaces, answer.__globals__]:
                names = [n for n, value in space.items() if any(value is h for h in helpers)]
                closed.enter_context(patch.dict(space, dict.fromkeys(names, refuse)))
            return answer(*args, **options)

    return run
