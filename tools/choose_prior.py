"""Choose how many clips a speaker counts as, against the prior of a temperature.

    SER_CORPORA=FOLDER python -m tools.choose_prior

Frozen heads on nEMO and on CREMA-D (happy, sad): no corpus that the course reports on. Speakers are
drawn anew each time: some train a head, two tune its temperature, the others are scored. Heads of
every strength that the course tries, so of every overconfidence. The number of clips that removes
most NLL on average, both corpora alike, is chosen. All goes to `data/reference/prior.json`.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy.special import log_softmax
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from helpers import probe
from helpers.calibration import TemperatureScaling
from helpers.embed import embed
from helpers.encoders import load
from helpers.files import write_json
from tools.probe_held_out import clips

CLIPS = (0.5, 1, 2, 3, 4, 6, 10)  # a voice counts as
DRAWS, VOICES = 40, 2
TRAIN, MOST = {"nemo": 5, "crema_d": 16}, 700  # speakers of a head, and clips: as in `quick`


def gains(X, y, speakers, train, rng) -> np.ndarray:
    """NLL removed on the speakers left: (strengths, CLIPS + the likelihood alone)."""
    order = rng.permutation(np.unique(speakers))
    fit, tune, test = (
        np.flatnonzero(np.isin(speakers, part)) for part in np.split(order, [train, train + VOICES])
    )
    fit = rng.permutation(fit)[:MOST]
    found = []
    for strength in probe.STRENGTHS:
        weight, bias = probe.fit(X[fit], y[fit], strength)
        logits = X @ weight.T + bias
        fits = [TemperatureScaling(clips_a_voice=c) for c in CLIPS]
        fits = [one.fit(logits[tune], y[tune], speakers[tune]) for one in fits]
        fits.append(TemperatureScaling().fit(logits[tune], y[tune]))
        T = np.array([1.0, *(one.temperature_ for one in fits)])
        log_p = log_softmax(logits[test] / T[:, None, None], axis=2)
        nll = -log_p[:, np.arange(len(test)), y[test]].mean(axis=1)
        found.append(nll[0] - nll[1:])
    return np.array(found)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", default="embedded")
    parser.add_argument("--out", type=Path, default=Path("data/reference/prior.json"))
    args = parser.parse_args()
    encoder, found = load(args.encoder), {}
    for name, (paths, emotions, speakers) in clips().items():
        states = embed(paths, encoder, layer="all", pooling="mean+std", cache="data/cache")
        usable = np.isfinite(states).all(axis=(1, 2))
        X = encoder.several(states[usable])
        y, rng = np.unique(emotions[usable], return_inverse=True)[1], np.random.default_rng(0)
        with threadpool_limits(1):
            draws = [gains(X, y, speakers[usable], TRAIN[name], rng) for _ in tqdm(range(DRAWS))]
        found[name] = np.mean(draws, axis=(0, 1))
    best = CLIPS[int(np.mean(list(found.values()), axis=0)[:-1].argmax())]
    columns = [*map(str, CLIPS), "likelihood"]
    gains_ = {n: dict(zip(columns, g.round(4).tolist(), strict=True)) for n, g in found.items()}
    choice = {"clips_a_voice": best, "draws": DRAWS, "voices": VOICES, "nll_gain": gains_}
    write_json(args.out, choice)
    print(args.out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
