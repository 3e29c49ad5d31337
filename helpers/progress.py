"""Progress bars: one look, off where nobody would see them."""

import os


def bar(show: bool, title: str, total: int, unit: str, done: int = 0):
    """A bar to `update`; none if not `show` or if TQDM_DISABLE is set: the runner has its own."""
    from tqdm.auto import tqdm

    off = not show or bool(os.environ.get("TQDM_DISABLE"))
    return tqdm(desc=title, total=total, initial=done, unit=unit, leave=False, disable=off)
