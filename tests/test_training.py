"""The training loop: any network, any labels, losses, scores and optimisers."""

import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from helpers import profiles, training

SETTINGS = profiles.Settings(epochs=8, learning_rate=0.1, batch=8, patience=None)


class Line(nn.Module):
    """Linear maps of two numbers, one for each name."""

    def __init__(self, **sizes):
        super().__init__()
        self.maps = nn.ModuleDict({name: nn.Linear(2, size) for name, size in sizes.items()})

    def forward(self, x):
        return {name: one(x) for name, one in self.maps.items()}


@pytest.fixture
def points():
    torch.manual_seed(0)
    return torch.randn(64, 2)


def collate(items):
    x, y = zip(*items, strict=True)
    return {"x": torch.stack(x), "labels": torch.stack([torch.as_tensor(each) for each in y])}


def fitted(model, data, folder, settings=SETTINGS, **options):
    return training.fit(model, data[:48], data[48:], collate, settings, folder, 0, False, **options)


def test_any_network_that_gives_logits_can_be_fitted(points, tmp_path):
    rows = fitted(Line(logits=2), [(x, int(x[0] > 0)) for x in points], tmp_path)
    assert rows[-1]["accuracy"] > 0.8 and json.dumps(rows)
    scores = ["accuracy", "precision", "recall", "f1"]
    names = ["epoch", "train_loss", "val_loss", *scores, "losses", "seconds"]
    assert [list(row) for row in rows] == [names] * 8
    assert [row["epoch"] for row in rows] == list(range(1, 9))
    for row in rows:  # 48 clips in batches of eight
        assert len(row["losses"]) == 6 and row["train_loss"] == np.mean(row["losses"])
    assert rows[0]["losses"][0] > 2 * rows[-1]["losses"][-1]


def test_several_attributes_travel_as_columns(points, tmp_path):
    """Lesson 12: the loss gets all of them, the score too, and a number of labels to divide by."""
    seen = []

    def loss(output, labels, num_items_in_batch=None):
        if num_items_in_batch is not None:  # None where nothing is trained
            seen.append((tuple(labels.shape), int(num_items_in_batch)))
        both = zip(("logits", "gender"), labels.T, strict=True)
        return sum(functional.cross_entropy(output[name], y) for name, y in both)

    def score(evaluation):
        guess = np.stack([each.argmax(-1) for each in evaluation.predictions], axis=1)
        right = (guess == evaluation.label_ids).mean(axis=0)
        return {"emotion": right[0], "gender": right[1]}

    data = [(x, [int(x[0] > 0), int(x[1] > 0)]) for x in points]
    rows = fitted(Line(logits=2, gender=2), data, tmp_path, loss=loss, score=score, best="emotion")
    assert set(seen) == {((8, 2), 16)}
    assert min(rows[-1]["emotion"], rows[-1]["gender"]) > 0.8


def test_votes_are_targets_and_the_lowest_loss_is_kept(points, tmp_path):
    """Lesson 11: binary cross-entropy on votes; source 5 keeps the best development loss."""

    def loss(output, labels, num_items_in_batch=None):
        return functional.binary_cross_entropy_with_logits(output["logits"], labels)

    noise = torch.rand(64, 3)  # nothing to learn: a large rate soon does harm
    model, data = Line(logits=3), list(zip(points, noise, strict=True))
    harmful = profiles.Settings(epochs=8, learning_rate=3.0, batch=8, patience=None)
    rows = fitted(model, data, tmp_path, harmful, loss=loss, score=lambda _: {}, best="loss")
    with torch.no_grad():
        kept = float(loss(model(points[48:]), noise[48:]))
    losses = [row["val_loss"] for row in rows]
    assert kept == pytest.approx(min(losses), rel=1e-5) and kept < losses[-1]


def test_shares_of_votes_are_soft_labels_for_the_usual_loss():
    logits, shares = torch.randn(5, 3), torch.rand(5, 3).softmax(-1)
    want = -(shares * logits.log_softmax(-1)).sum(-1).mean()
    torch.testing.assert_close(training.cross_entropy({"logits": logits}, shares), want)


def test_the_loss_asked_for_is_the_one_that_is_made_small(points, tmp_path):
    """Lesson 09: the focal loss, with weights of classes."""
    weight = torch.tensor([1.0, 5.0])

    def loss(output, labels, num_items_in_batch=None):
        return functional.cross_entropy(output["logits"], labels, weight)

    model, data = Line(logits=2), [(x, int(x[0] > 0)) for x in points]
    rows = fitted(model, data, tmp_path, loss=loss, best="loss")
    with torch.no_grad():
        y = torch.tensor([label for _, label in data[48:]])
        means = [loss(model(points[48 + i : 56 + i]), y[i : i + 8]) for i in (0, 8)]
    assert rows[-1]["val_loss"] == pytest.approx(float(sum(means) / 2), rel=1e-5)


def test_new_weights_may_learn_faster_than_old_ones(points, tmp_path):
    """Lesson 10: a rate for each part; here the old part has none."""
    model = Line(logits=2, old=2)
    before = model.maps["old"].weight.detach().clone()
    groups = [{"params": model.maps["old"].parameters(), "lr": 0.0},
              {"params": model.maps["logits"].parameters(), "lr": 0.1}]  # fmt: skip

    def loss(output, labels, num_items_in_batch=None):
        return functional.cross_entropy(output["logits"] + output["old"], labels)

    data = [(x, int(x[0] > 0)) for x in points]
    optimizers = torch.optim.AdamW(groups, weight_decay=0), None
    rows = fitted(model, data, tmp_path, loss=loss, optimizers=optimizers, best="loss")
    assert torch.equal(model.maps["old"].weight, before) and rows[-1]["val_loss"] < 0.3


def test_a_schedule_of_ones_own_is_followed(points, tmp_path):
    """Lesson 12: cosine. One that is zero from the start trains nothing."""
    model, data = Line(logits=2), [(x, int(x[0] > 0)) for x in points]
    before = model.maps["logits"].weight.detach().clone()
    adam = torch.optim.AdamW(model.parameters(), lr=0.1)
    nothing = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: 0.0)
    fitted(model, data, tmp_path, optimizers=(adam, nothing))
    assert torch.equal(model.maps["logits"].weight, before)
