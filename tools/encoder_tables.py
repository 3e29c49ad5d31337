"""Tables of the embedded encoder and of the head: header and rows, for `write_tables.py`."""

import json
from pathlib import Path

from course.predict import FLAGGED

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "data" / "encoders" / "embedded"
REFERENCE = ROOT / "data" / "reference"
Table = tuple[list[str], list[list[str]]]


def kept(name: str) -> list[dict]:
    """What the tools left beside the encoder's weights."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def by_layer(facts: dict) -> str:
    return " ".join(f"{cosine:.2f}" for cosine in facts["held_out_cosine_by_layer"])


def recalls(facts: dict) -> list[str]:
    """UAR in % on the speakers held back, where `probe_held_out.py` took it."""
    found = (facts.get(f"held_out_uar_{corpus}") for corpus in ("nemo", "crema_d"))
    return ["–" if recall is None else f"{100 * recall:.1f}" for recall in found]


def training() -> Table:
    """How long the embedded encoder was trained, and how near it came on held-out speakers."""
    body = []
    for number, facts in enumerate(kept("training"), 1):
        if "replaced" in facts:
            body.append(["the weights before these", *"––––", *recalls(facts["replaced"])])
        cells = f"{number}", f"{facts['steps']:,}", f"{facts['asked']['--frames']:,}", cost(facts)
        body.append([*cells, by_layer(facts), *recalls(facts)])
    header = ["round", "steps", "frames of a batch", "compute", "cosine, layers 0 to 3"]
    return [*header, "UAR nEMO, %", "UAR CREMA-D, %"], body


def cost(facts: dict) -> str:
    if facts.get("device", "cpu") == "cpu":
        return f"{facts['cpu_minutes']:.0f} CPU-minutes"
    return f"{facts['minutes']:.1f} minutes, {facts['device']}"


def hours() -> Table:
    """How much of each corpus the last round heard (all copies), and how much was held back."""
    spent = kept("training")[-1]["hours"]
    spent["together"] = {k: sum(v[k] for v in spent.values()) for k in ("trained", "held_out")}
    body = [[name, *(f"{value:.1f}" for value in v.values())] for name, v in spent.items()]
    return ["corpus", "hours trained on", "hours held back"], body


def pilots() -> Table:
    """What short trainings at equal CPU time came to, on held-out speakers."""
    body = []
    for facts in kept("pilots"):
        asked = facts["asked"]
        channels = ", ".join(map(str, asked["--channels"]))
        size = f"{facts['parameters'] / 1e6:.1f} M"
        what = [f"{asked['--blocks']}", channels, size, f"{asked['--frames']:,}"]
        body.append([*what, f"{facts['steps']}", f"{facts['minutes']:.1f}", by_layer(facts)])
    what = ["blocks", "channels", "parameters", "frames of a batch"]
    return [*what, "steps", "CPU-minutes", "cosine, from layer 0"], body


def speed() -> Table:
    """What `tests/benchmarks/test_embedding_speed.py` measured (SER_BENCH_OUT)."""
    found = json.loads((REFERENCE / "speed.json").read_text(encoding="utf-8"))
    body = []
    for name, rate in found["rates"].items():
        real, times = f"{rate['real_time']:.0f}", f"{rate['times_the_loop']:.2f}"
        body.append([name, real, times, f"{rate['share_of_matrix_rate'] * 100:.0f} %"])
    header = [f"{found['threads']} threads, {found['cpu']}", "times real time"]
    return [*header, "times the plain loop", "of the machine's matrix-product rate"], body


def head(titles: dict[str, str]) -> Table:
    """What `ser-course predict` is worth on corpora that no part of its head had met."""
    kept = json.loads((REFERENCE / "head.json").read_text(encoding="utf-8"))["corpora"]
    lines = {"UAR": "uar", "NLL, nats": "nll", "ECE": "ece", "AUROC of unknown": "auroc_unknown"}
    called = {
        "mean confidence minus accuracy": "sureness",
        f"called unknown, of taught emotions ({FLAGGED:.2f} is meant)": "flagged_known",
        "called unknown, of emotions never taught": "flagged_unknown",
    }
    body = [
        ["speakers, clips scored", *(f"{c['speakers']}, {c['clips']}" for c in kept.values())],
        ["UAR by chance", *(f"{c['chance']:.2f}" for c in kept.values())],
        ["UAR, taught on other speakers of it", *(f"{c['uar_within']:.2f}" for c in kept.values())],
    ]
    told = {"anybody": "", "enrolled": ", with a voice"}
    for what, key in lines.items():
        for kind, voice in told.items():
            for origin, by in (("", ""), ("_synthetic", ", taught by synthetic voices")):
                found = [c[kind + origin].get(key) for c in kept.values()]
                body.append([what + voice + by, *map(_ends, found)])
    for kind, voice in told.items():
        less = [_ends(c[f"{kind}_nll_less"]) for c in kept.values()]
        body.append([f"NLL less than taught by synthetic voices{voice}", *less])
        less = [_ends(c.get(f"{kind}_uar_less")) for c in kept.values()]
        body.append([f"UAR less than taught on other speakers of it{voice}", *less])
        more = [_ends(c.get(f"{kind}_beyond_half")) for c in kept.values()]
        body.append([f"UAR beyond half of the way from chance to there{voice}", *more])
        for what, key in called.items():
            body.append([what + voice, *(_ends(c[kind].get(key)) for c in kept.values())])
    for what in ("UAR", "AUROC of unknown"):
        more = [_ends(c.get("voice_gain", {}).get(lines[what])) for c in kept.values()]
        body.append([f"{what}, with a voice minus without", *more])
    far = [_ends(c.get("unlike")) for c in kept.values()]
    body.append(["called unlike what was taught, voice or channel", *far])
    body = [line for line in body if set(line[1:]) != {"–"}]  # rows of a later measurement
    return ["", *(titles[name] for name in kept)], body


def _ends(found: list | None) -> str:
    return "{:.2f} [{:.2f}, {:.2f}]".format(*(x + 0 for x in found)) if found else "–"
