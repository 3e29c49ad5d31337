"""Files that are whole or absent, whatever interrupts their writing."""

import json
import os
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path):
    """Give a temporary path beside `path`; move it there when the block ends without an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path, content) -> None:
    """Write `content` as JSON, whole or not at all; ValueError for NaN in it."""
    with replacing(path) as temporary:
        text = json.dumps(content, indent=1, allow_nan=False) + "\n"
        temporary.write_text(text, encoding="utf-8")
