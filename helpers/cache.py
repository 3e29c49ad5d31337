"""A cache of embeddings on disk: one SQLite file, so that two processes may share it."""

import hashlib
import sqlite3
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from helpers.errors import CourseError


def key(*parts) -> str:
    """SHA-256 over `parts`: bytes as they are, anything else by its `repr`."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part if isinstance(part, bytes) else repr(part).encode()
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.hexdigest()


def code(*files) -> str:
    """SHA-256 of source files: the part of a key that changes when what computes a value does.

    Call it when a module is imported: what is edited later does not run in this process.
    """
    return key(*(Path(file).read_bytes() for file in files))


class Cache:
    """Float32 arrays by key, in `folder/embeddings.sqlite`.

    SQLite writes a row whole or not at all, and its lock makes two processes wait for each
    other. Values are raw float32 bytes beside their shape: nothing is unpickled.
    Errors: CourseError when the folder cannot be written or the file is damaged.
    """

    def __init__(self, folder):
        self.path = Path(folder) / "embeddings.sqlite"
        self._lock = threading.Lock()  # decoding threads ask, the main thread writes
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, timeout=60, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise self._broken(error) from error
        with self._transaction() as db:
            columns = "(key TEXT PRIMARY KEY, shape TEXT, value BLOB)"
            db.execute(f"CREATE TABLE IF NOT EXISTS embeddings {columns}")

    def get(self, key: str) -> np.ndarray | None:
        """The array stored under `key`, or None."""
        with self._transaction() as db:
            asked = db.execute("SELECT shape, value FROM embeddings WHERE key = ?", (key,))
            row = asked.fetchone()
        if row is None:
            return None
        shape = [int(size) for size in row[0].split(",")]
        return np.frombuffer(row[1], dtype="<f4").reshape(shape).copy()

    def put(self, arrays: dict[str, np.ndarray]) -> None:
        """Store `arrays` by key, all of them or none."""
        rows = [
            (key, ",".join(map(str, array.shape)), np.asarray(array, "<f4").tobytes())
            for key, array in arrays.items()
        ]
        with self._transaction() as db:
            db.executemany("INSERT OR REPLACE INTO embeddings VALUES (?, ?, ?)", rows)

    def close(self) -> None:
        """Close the file; further calls are errors."""
        self._db.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @contextmanager
    def _transaction(self):
        try:
            with self._lock, self._db:
                yield self._db
        except sqlite3.Error as error:
            raise self._broken(error) from error

    def _broken(self, error) -> CourseError:
        return CourseError(f"cache {self.path}: {error}; delete this file, it is made again")
