"""A listener that lasts: it hears, enrols voices, learns emotions, takes back and forgets.

What ships holds statistics and no clip: the old emotions are rehearsed by points drawn from their
Gaussians (Robins 1995), as in lesson 10. All that a user adds is a list of `Note`, and the rest
follows from it: of a lesson taken back nothing is left. Plain arrays.
"""

from collections import namedtuple

import numpy as np
from scipy.linalg import block_diag
from scipy.spatial.distance import cdist
from scipy.special import softmax

from helpers.arrays import matrix
from helpers.clustering import OnlineClustering, unit
from helpers.errors import CourseError, nearest
from helpers.pad import pad_points

REHEARSED = 100  # points of each old emotion
# Rates of new and of old weights, from lesson 10's "Settings, before any test clip": what its grid
# picks for points and a voice on the embedded corpus, each known emotion left out in turn.
FAST, SLOW = 100.0, 10.0
LATEST = 200  # unnamed clips that are kept


FITTED = "mean scale weight bias components centres whitener temperature quantiles"


class View(namedtuple("View", FITTED)):
    """K emotions as they were taught at first: a voice taken out of each clip, or none.

    A clip x lies at z = (x - mean) / scale, (H,); its logits are z @ weight.T + bias, (K, H) and
    (K,), over the temperature, which stays when emotions are added (lesson 10 says why).
    u = components @ z, (d, H), has one Gaussian an emotion: centres (K, d), all of covariance
    (whitenerᵀ whitener)⁻¹. Quantiles (q,): of the strangeness of taught emotions, in clips of new
    speakers.
    """

    def strangeness(self, u, taught) -> np.ndarray:
        """Least squared distance of u (m, d) to a centre, less the deviation: (m,).

        As `distances.MinMinusStd`. Centres `taught` since count as near, not in the deviation.
        """
        old, new = (cdist(u @ self.whitener.T, c @ self.whitener.T) for c in (self.centres, taught))
        return np.hstack([old, new]).min(axis=1) ** 2 - (old**2).std(axis=1)


class Channel(namedtuple("Channel", "centres whitener quantiles")):
    """Corpora that a `View` was taught on: do a voice and its microphone belong to one of them?

    Each is a Gaussian among the view's components: centres (N, d), covariance as in `View`.
    Quantiles (q,): of the least squared distance, in clips of their speakers whom it never met.
    """

    def unlike(self, X, view) -> np.ndarray:
        """Share of clips of these corpora that lie nearer than X (m, H): (m,)."""
        u = (X - view.mean) / view.scale @ view.components.T
        apart = cdist(u @ self.whitener.T, self.centres @ self.whitener.T).min(axis=1) ** 2
        return np.searchsorted(self.quantiles, apart) / len(self.quantiles)


class Note(namedtuple("Note", "x kind emotion voice step")):
    """A clip that a user gave: personal data.

    x (H,) float32; kind: "voice", "taught", or "rejected", named or not; voice: "" for nobody's;
    step: the number of the request that named it, 0 for none.
    """


class Heard(namedtuple("Heard", "probabilities unknown pad cluster")):
    """What was heard in m clips: (m, C), columns as `Listener.names_`; (m,); (m, 3); (m,).

    Unknown: the share of clips of taught emotions that look less strange. Cluster: of unnamed
    clips, -1 where none is near.
    """


def rehearsal(centres, whitener) -> tuple[np.ndarray, np.ndarray]:
    """Points (K * REHEARSED, d) of the old emotions, each time the same, and their classes.

    Drawn from Gaussians of centres (K, d), all of covariance (whitenerᵀ whitener)⁻¹ (lesson 10).
    """
    y = np.repeat(np.arange(len(centres)), REHEARSED)
    noise = np.random.default_rng(0).normal(size=(len(y), len(whitener)))
    return centres[y] + np.linalg.solve(whitener, noise.T).T, y


def learn(head, Z, y, rates, steps=30) -> np.ndarray:
    """The head (K, d + 1) after gradient steps on Z (m, d + 1) of classes y (m,) (lesson 10).

    `rates (K,)`: one a class. Each class has one weight, however many clips it has.
    """
    share = 1 / np.bincount(y, minlength=len(head))[y] / len(np.unique(y))
    target, size = np.eye(len(head))[y], np.mean((Z**2).sum(axis=1))
    for _ in range(steps):
        slope = (share[:, None] * (softmax(Z @ head.T, axis=1) - target)).T @ Z
        head = head - np.reshape(rates, (-1, 1)) * slope / size
    return head


class Listener:
    """Hears clips `X (m, H)`, of a `voice` that was enrolled or of anybody ("").

    `classes`: K names; `views`: a `View` without voices and one with; `voice`: a fitted
    `Voice`; `pad`: {emotion: vector}; `delta`: the cosine that joins a cluster (lesson 07).
    Fitted: `names_` (the classes, then what was taught), `voices_`, `sizes_` of the clusters.
    All follows from `notes`, a list of `Note`; methods that change them return the listener.

    >>> view = View(np.zeros(2), 1, np.eye(2), np.zeros(2), *[np.eye(2)] * 3, 1, np.arange(9))
    >>> ears = Listener(["sad", "glad"], [view] * 2, None, {"sad": 3 * [-1], "glad": 3 * [1]}, 0.9)
    >>> ears.reject([[-3, -3]]).hear([[-9, -9], [9, 9]]).cluster.tolist()  # its way, and the other
    [0, -1]
    """

    def __init__(self, classes, views, voice, pad, delta):
        self.classes, self.views, self.voice, self.pad = list(classes), views, voice, pad
        self.delta = delta
        self.follow([])

    def follow(self, notes):
        """Be what these notes make of it."""
        self.notes = notes
        own, named = [n for n in notes if n.kind == "voice"], [n for n in notes if n.emotion]
        self.voices_ = sorted({n.voice for n in own})
        whose = [n.voice for n in own]
        self._voice = self.voice.enrol([n.x for n in own], whose) if own else self.voice
        self.names_ = list(dict.fromkeys([*self.classes, *(n.emotion for n in named)]))
        self._fitted = [self._fit(voiced, named) for voiced in (False, True)]
        self._unnamed = [n for n in notes if n.kind == "rejected" and not n.emotion]
        self._groups, self.sizes_ = OnlineClustering(self.delta), np.empty(0, int)
        if self._unnamed:
            places = [self._directions(n.x[None], n.voice)[0] for n in self._unnamed]
            self.sizes_ = self._groups.fit(places).counts_
        return self

    def _fit(self, voiced, named):
        """Head (C, H + 1), centres of what was taught, PAD vectors (C, 3)."""
        view = self.views[voiced]
        head, table = np.column_stack([view.weight, view.bias]), [self.pad[c] for c in self.classes]
        if not named:
            return head, view.centres[:0], np.array(table)
        Z = np.concatenate([self._place(n.x[None], n.voice, voiced) for n in named])
        u, y = Z @ view.components.T, np.array([self.names_.index(n.emotion) for n in named])
        points = pad_points(softmax(Z @ view.weight.T + view.bias, axis=1), table)
        K, grown = len(head), [head]
        for c in range(K, len(self.names_)):
            at = points[y == c].mean(axis=0)
            d = np.linalg.norm(at - table[:K], axis=1)
            grown.append((d - d.mean()) / max(np.ptp(d), 1e-9) @ head[None] / K)  # source 2, eq. 6
            table.append(self.pad.get(self.names_[c], at))
        grown, (old, old_y) = np.vstack(grown), rehearsal(view.centres, view.whitener)
        # The steps are taken among the components, where the Gaussians are.
        basis = block_diag(view.components, 1)
        rows = np.pad(np.vstack([old, u]), ((0, 0), (0, 1)), constant_values=1)
        rates, start = np.where(np.arange(len(grown)) < K, SLOW, FAST), grown @ basis.T
        grown += (learn(start, rows, np.r_[old_y, y], rates) - start) @ basis
        return grown, np.stack([u[y == c].mean(axis=0) for c in np.unique(y)]), np.array(table)

    def _place(self, X, voice, voiced):
        X = self._voice.transform(X, [voice] * len(X)) if voiced else X
        return (X - self.views[voiced].mean) / self.views[voiced].scale

    def _directions(self, X, voice):
        """Unit vectors (m, d) in which taught emotions spread alike."""
        view = self.views[bool(voice)]
        u = self._place(X, voice, bool(voice)) @ view.components.T
        return unit((u - view.centres.mean(axis=0)) @ view.whitener.T)

    def _checked(self, X, voice):
        if voice and voice not in self.voices_:
            hint = nearest(voice, self.voices_) or "; enrol it by clips of a plain voice first"
            raise CourseError(f"voice '{voice}' is not enrolled{hint}")
        return matrix(X, "embeddings", len(self.views[0].mean)).astype(np.float32)

    def hear(self, X, voice="") -> Heard:
        """Probabilities, how unknown, PAD point and cluster of each clip."""
        X, view = self._checked(X, voice), self.views[bool(voice)]
        head, centres, vectors = self._fitted[bool(voice)]
        Z = self._place(X, voice, bool(voice))
        p = softmax((Z @ head[:, :-1].T + head[:, -1]) / view.temperature, axis=1)
        strange = view.strangeness(Z @ view.components.T, centres)
        unknown = np.searchsorted(view.quantiles, strange) / len(view.quantiles)
        places = self._directions(X, voice)
        near = self._groups.predict(places) if len(self.sizes_) else np.full(len(X), -1)
        return Heard(p, unknown, p @ vectors, near)

    def reject(self, X, voice=""):
        """Keep clips that were called unknown, the latest 200, until they are named."""
        new = [Note(x, "rejected", "", voice, 0) for x in self._checked(X, voice)]
        late = list(map(id, self._unnamed))[: max(0, len(self._unnamed) + len(new) - LATEST)]
        return self.follow([n for n in self.notes if id(n) not in late] + new)

    def enrol(self, X, voice):
        """Know a voice by clips of it, of emotions that are known, beside those it has."""
        new = [Note(x, "voice", "", voice, self._next) for x in self._checked(X, "")]
        return self.follow(self.notes + new)

    def learn(self, X, emotion, voice=""):
        """Learn clips of an emotion, new or not; one that was rejected takes its cluster along."""
        X, step, rows = self._checked(X, voice), self._next, self._unnamed
        groups = self._groups.labels_ if rows else []
        mates = {g for n, g in zip(rows, groups, strict=True) if (n.x == X).all(axis=1).any()}
        along = [n for n, g in zip(rows, groups, strict=True) if g in mates]
        new = [Note(x, "taught", emotion, voice, step) for x in X
               if not any(np.array_equal(x, n.x) for n in along)]  # fmt: skip
        named = {id(n): n._replace(emotion=emotion, step=step) for n in along}
        return self.follow([named.get(id(n), n) for n in self.notes] + new)

    def undo(self):
        """Take back what was enrolled or taught last; what had been rejected is unnamed again."""
        if (last := self._next - 1) == 0:
            raise CourseError("nothing to undo: nothing was enrolled or taught")
        left = [n for n in self.notes if n.step < last or n.kind == "rejected"]
        return self.follow([n._replace(emotion="", step=0) if n.step == last else n for n in left])

    def forget(self, name=""):
        """Drop all clips of a voice, or all of an emotion that was taught; "": all there is."""
        kept = [n for n in self.notes if name and name not in (n.voice, n.emotion)]
        if name and len(kept) == len(self.notes):
            hint = nearest(name, {w for n in kept for w in (n.voice, n.emotion)})
            raise CourseError(f"'{name}' was never enrolled or taught{hint}")
        return self.follow(kept)

    @property
    def _next(self):
        return 1 + max((n.step for n in self.notes), default=0)
