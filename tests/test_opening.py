"""The one opening of lessons 03-08: what it gives is what the artefact holds."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from test_pseudo import EMBEDDINGS, tiny_artefact

from helpers import corpora, finetune, opening
from helpers.calibration import TemperatureScaling
from helpers.errors import CourseError


@pytest.fixture
def art(monkeypatch, tmp_path):
    art = tiny_artefact()
    art.folder = tmp_path / "artefacts" / "tiny"
    shuffled = np.random.default_rng(0).permutation(len(art.utterances))
    frame = pd.DataFrame({"utterance": art.utterances, "emotion": art.emotions}).iloc[shuffled]
    monkeypatch.setattr(corpora, "frame", lambda corpus: frame)
    monkeypatch.setattr(finetune, "artefact", lambda *_, **__: art)
    return art


def test_each_test_clip_once_with_what_belongs_to_it(art):
    found = opening.opened("tiny")
    assert len(found.rows) == len(set(found.rows)) == (art.fold >= 0).sum()
    assert (found.turn == art.fold[found.rows]).all()
    for name in ("labels", "emotions", "speakers", "genders"):
        assert (getattr(found, name) == getattr(art, name)[found.rows]).all()
    assert (found.logits == art.logits[found.turn, found.rows]).all()
    assert (found.unknown == (found.emotions == "fearful")).all() and found.unknown.any()
    assert (found.frame["utterance"] == art.utterances).all()
    assert (found.frame["emotion"][found.rows] == found.emotions).all()
    known = opening.opened("tiny", unknown=False)
    assert not known.unknown.any() and len(known.rows) == (~found.unknown).sum()


def test_probabilities_are_calibrated_by_the_tuning_speakers_of_their_turn(art):
    found = opening.opened("tiny")
    for turn, rows in enumerate(found.tune):
        assert (art.split[turn, rows] == "tune").all() and (art.labels[rows] >= 0).all()
        fitted = TemperatureScaling().fit(
            art.logits[turn, rows], art.labels[rows], art.speakers[rows]
        )
        assert found.temperatures[turn] == fitted.temperature_
        here = found.turn == turn
        want = softmax(found.logits[here] / fitted.temperature_, axis=1)
        assert np.allclose(found.probs[here], want)


def test_a_corpus_without_an_unknown_emotion_is_refused_where_one_is_needed(art):
    art.labels = np.abs(art.labels)
    with pytest.raises(CourseError, match="tiny: every emotion here is taught"):
        opening.opened("tiny")
    assert len(opening.opened("tiny", unknown=False).rows) == (art.fold >= 0).sum()


def test_frozen_embeddings_come_from_the_same_encoder_and_cache(art, monkeypatch):
    asked = []
    monkeypatch.setattr(finetune, "frozen", lambda *a, **_: asked.append(a[2:]) or EMBEDDINGS)
    found = opening.opened("tiny")
    assert found.frozen is found.frozen and asked == [("tiny", art.folder.parents[1])]
