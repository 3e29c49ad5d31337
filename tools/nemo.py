"""nEMO (Christop 2024, Polish) as a list of clips: it chooses; `measure_head` reports on it."""

import pandas as pd

from helpers import corpora

EMOTIONS = {
    "anger": "angry", "fear": "fearful", "happiness": "happy", "neutral": "neutral",
    "sadness": "sad", "surprised": "surprised",
}  # fmt: skip
EVERY = 3  # a third of the clips: its nine speakers say the same sentences


def frame() -> pd.DataFrame:
    """Columns path, emotion, speaker, as file names tell them: `EB0_anger_1`."""
    paths = sorted((corpora.root() / "nemo" / "samples").iterdir())[::EVERY]
    parts = [path.stem.split("_") for path in paths]
    return pd.DataFrame(
        {
            "path": list(map(str, paths)),
            "emotion": [EMOTIONS[emotion] for _, emotion, *_ in parts],
            "speaker": [f"nemo/{speaker}" for speaker, *_ in parts],
        }
    )
