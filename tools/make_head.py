"""Make the head that `ser-course predict` ships: python -m tools.make_head [--corpus embedded].

Frozen embeddings, one linear layer over the known emotions of the corpus, and a temperature fitted
on logits that each speaker got from a head which never met them.
"""

import argparse

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from course.predict import Head, write_head
from helpers import corpora, emotions, encoders
from helpers.calibration import TemperatureScaling
from helpers.embed import embed


def make(corpus: str = "embedded", strength: float = 0.01) -> Head:
    """Fit the head. ``strength`` is scikit-learn's C."""
    frame = corpora.frame(corpus)
    classes, _ = emotions.partition(corpus, set(frame.emotion))
    frame = frame[frame.emotion.isin(classes)].reset_index(drop=True)
    encoder = encoders.load("embedded")
    embeddings = embed(frame.path, encoder)
    usable = np.isfinite(embeddings).all(axis=1)
    frame, embeddings = frame[usable], embeddings[usable]
    labels = frame.emotion.map(classes.index).to_numpy()
    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
    unseen = cross_val_predict(
        model,
        embeddings,
        labels,
        groups=frame.speaker,
        cv=GroupKFold(5),
        method="decision_function",
    )
    model.fit(embeddings, labels)
    scaler, linear = model[0], model[1]
    licences = [
        corpora.CORPORA[part].licence for part in corpus.split("+") if part in corpora.CORPORA
    ]
    about = {
        "schema": 1,
        "classes": list(classes),
        "temperature": float(TemperatureScaling().fit(unseen, labels).temperature_),
        "encoder": "embedded",
        "encoder_key": encoder.key,
        "corpus": corpus,
        "licence": "; ".join(licences) or "your own",
        "clips": len(labels),
        "speakers": int(frame.speaker.nunique()),
        "uar_unseen_speakers": round(float(balanced_accuracy_score(labels, unseen.argmax(1))), 4),
    }
    return Head(linear.coef_, linear.intercept_, scaler.mean_, scaler.scale_, about)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", default="embedded")
    head = make(parser.parse_args().corpus)
    write_head(head)
    print({key: head.about[key] for key in ("classes", "temperature", "uar_unseen_speakers")})
